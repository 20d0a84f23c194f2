//! What `sftunnel-status-brief` says of one manager. Its lines are read by
//! [`formats::channels`]; here is whose they are: the manager's whose UUID stands above them,
//! or the only manager's.

use formats::channels::{self, Block, Owner};
use formats::device::ManagerUuid;

/// The program's answer.
#[derive(Debug)]
pub(super) enum Brief {
    /// It could not be asked; why.
    Silent(String),
    /// Its output; foreign text.
    Printed(String),
}

/// What that says of one manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To these addresses; foreign text.
    Connected(Vec<String>),
    /// Known lines, and none of a connection.
    NotConnected,
    /// Why it does not say.
    Unknown(String),
}

impl Brief {
    /// `registered` are all managers that this box has files of.
    pub(super) fn of(&self, manager: &ManagerUuid, registered: &[ManagerUuid]) -> Verdict {
        let text = match self {
            Self::Silent(why) => return Verdict::Unknown(why.clone()),
            Self::Printed(text) => text,
        };
        let blocks = channels::blocks(text);
        // once UUIDs stand there at all, what stands under another one, or none, is not its
        if blocks.iter().any(|block| matches!(block.owner, Owner::Uuid(_) | Owner::Several)) {
            let is_own = |block: &&Block| matches!(&block.owner, Owner::Uuid(uuid) if uuid == manager.as_str());
            return verdict(blocks.iter().filter(is_own));
        }
        match registered {
            [] | [_] => verdict(blocks.iter()),
            several => unnamed(&blocks, several.len()),
        }
    }
}

/// Without names: the tunnels of all managers, or of none, or nobody knows whose.
fn unnamed(blocks: &[Block], managers: usize) -> Verdict {
    let all = verdict(blocks.iter());
    let Verdict::Connected(addresses) = &all else { return all };
    let mut controls: Vec<_> = blocks.iter().flat_map(|block| &block.control).collect();
    controls.sort_unstable();
    controls.dedup();
    if controls.len() >= managers {
        return all;
    }
    Verdict::Unknown(format!(
        "sftunnel-status-brief does not say which of {managers} managers it is connected to ({})",
        addresses.join(", ")
    ))
}

fn verdict<'a>(blocks: impl Iterator<Item = &'a Block>) -> Verdict {
    let (mut addresses, mut is_known) = (Vec::new(), false);
    for block in blocks {
        let new = |peer: &&String| !addresses.contains(*peer);
        let mut found: Vec<_> = block.connected.iter().filter(new).cloned().collect();
        addresses.append(&mut found);
        is_known |= block.is_disconnected;
    }
    match (addresses.is_empty(), is_known) {
        (false, _) => Verdict::Connected(addresses),
        (true, true) => Verdict::NotConnected,
        (true, false) => {
            Verdict::Unknown("sftunnel-status-brief prints no line that is known here".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP_A: &str = "Peer channel Channel-A is valid type (CONTROL), using 'eth0', connected to '10.0.0.1' via '10.0.0.9'\n";
    const UP_EVENT: &str = "Peer channel Channel-B is valid type (EVENT), using 'eth0', connected to '10.0.0.2' via '10.0.0.9'\n";
    const UP_C: &str = "Peer channel Channel-A is valid type (CONTROL), using 'eth0', connected to '10.0.0.3' via '10.0.0.9'\n";
    const DOWN: &str = "Registration: Completed.\nConnection to peer '' Attempted at Mon Sep 20 04:10:47 2024 UTC\nLast disconnect reason : Both control and event channel connections with peer went down\n";

    fn managers() -> [ManagerUuid; 2] {
        ["a", "b"].map(|c| format!("{}-87c9-11ef-a993-b9831565bc4e", c.repeat(8)).parse().unwrap())
    }

    fn of(text: &str, asked: usize, registered: usize) -> Verdict {
        let all = managers();
        Brief::Printed(text.to_owned()).of(&all[asked], &all[..registered])
    }

    fn connected(addresses: &[&str]) -> Verdict {
        Verdict::Connected(addresses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn only_connected_to_is_up_and_registration_proves_nothing() {
        assert_eq!(
            of(&format!("{UP_A}Registration: Completed.\n"), 0, 1),
            connected(&["10.0.0.1"])
        );
        assert_eq!(of(DOWN, 0, 1), Verdict::NotConnected);
        assert_eq!(of("Last disconnect reason : x\n", 0, 1), Verdict::NotConnected);
        for text in
            ["", "Registration: Completed.\n", "garbage \u{0} \u{fffd}\n", "connected to ''\n"]
        {
            assert!(matches!(of(text, 0, 1), Verdict::Unknown(_)), "{text:?}");
        }
        for line in ["not connected to '10.0.0.1'", "disconnected to '10.0.0.1' Attempted"] {
            assert!(!matches!(of(line, 0, 1), Verdict::Connected(_)), "{line}");
        }
    }

    #[test]
    fn a_block_belongs_to_the_manager_that_it_names() {
        let [a, b] = managers();
        let text = format!("PEER:{a}\n{DOWN}PEER:{b}\n{UP_A}{UP_EVENT}");
        assert_eq!(of(&text, 0, 2), Verdict::NotConnected);
        assert_eq!(of(&text, 1, 2), connected(&["10.0.0.1", "10.0.0.2"]));
        // a peer that is none of ours; a line with both
        let stranger = format!("{}-87c9-11ef-a993-b9831565bc4e", "c".repeat(8));
        let text = format!("PEER:{a}\n{DOWN}PEER:{stranger}\n{UP_A}");
        assert_eq!(of(&text, 0, 2), Verdict::NotConnected);
        assert!(matches!(of(&text, 1, 2), Verdict::Unknown(_)));
        assert!(matches!(of(&format!("x {a}\n{a} {b}\n{UP_A}"), 1, 2), Verdict::Unknown(_)));
        // a stranger's tunnel is not that of the only manager
        assert!(matches!(of(&format!("PEER:{stranger}\n{UP_A}"), 0, 1), Verdict::Unknown(_)));
        assert_eq!(of(&format!("PEER:10.0.0.1\n{UP_A}"), 0, 1), connected(&["10.0.0.1"]));
    }

    #[test]
    fn without_names_two_managers_are_all_up_all_down_or_unknown() {
        let both = connected(&["10.0.0.1", "10.0.0.3"]);
        assert_eq!(of(&format!("{UP_A}{UP_C}"), 0, 2), both);
        assert_eq!(of(&format!("{DOWN}{DOWN}"), 1, 2), Verdict::NotConnected);
        // one control channel, whoever's it is; the event channel may have another address
        assert!(matches!(of(&format!("{UP_A}{UP_EVENT}{DOWN}"), 0, 2), Verdict::Unknown(_)));
    }
}
