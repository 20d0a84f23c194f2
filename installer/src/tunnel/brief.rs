//! What `sftunnel-status-brief` prints (docs/facts.md). Two kinds of lines are known: those of a
//! channel that is up, `… connected to '10.0.0.1' via '10.0.0.2'`, and those of a peer that is
//! not, `Connection to peer '' Attempted at …` and `Last disconnect reason : …`. How a block
//! names its peer is not known, so that a line belongs to a manager only when its UUID stands
//! above it, or when there is only one manager.

use formats::device::ManagerUuid;

const UP: &str = "connected to '";
/// Of the two channels of each peer this one carries the control traffic.
const CONTROL: &str = "(CONTROL)";
const DISCONNECTED: &str = "Last disconnect reason";
const ATTEMPT: [&str; 2] = ["Connection to peer", "Attempted at"];

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
        let mut blocks = Blocks { registered, owner: None };
        let owned: Vec<_> = text.lines().map(|line| (blocks.owner_of(line), line)).collect();
        if owned.iter().any(|(owner, _)| owner.is_some()) {
            let own = owned.iter().filter(|(owner, _)| *owner == Some(manager));
            return verdict(own.map(|(_, line)| *line));
        }
        match registered {
            [] | [_] => verdict(text.lines()),
            several => unnamed(text, several.len()),
        }
    }
}

/// Without names: the tunnels of all managers, or of none, or nobody knows whose.
fn unnamed(text: &str, managers: usize) -> Verdict {
    let all = verdict(text.lines());
    let Verdict::Connected(addresses) = &all else { return all };
    let mut controls: Vec<_> =
        text.lines().filter(|line| line.contains(CONTROL)).filter_map(peer).collect();
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

/// Which manager a line is about: the last one whose UUID stood in it or above it.
struct Blocks<'a> {
    registered: &'a [ManagerUuid],
    owner: Option<&'a ManagerUuid>,
}

impl<'a> Blocks<'a> {
    fn owner_of(&mut self, line: &str) -> Option<&'a ManagerUuid> {
        let words = line.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
        let mut uuids = words.filter_map(|word| word.parse::<ManagerUuid>().ok());
        if let Some(first) = uuids.next() {
            // another peer's block, or a line that names several, is nobody's
            let is_only = uuids.all(|other| other == first);
            self.owner = self.registered.iter().find(|known| is_only && **known == first);
        }
        self.owner
    }
}

fn verdict<'a>(lines: impl Iterator<Item = &'a str>) -> Verdict {
    let (mut addresses, mut is_known) = (Vec::new(), false);
    for line in lines {
        if let Some(peer) = peer(line).map(str::to_owned)
            && !addresses.contains(&peer)
        {
            addresses.push(peer);
        }
        is_known |= line.contains(DISCONNECTED) || ATTEMPT.iter().all(|part| line.contains(part));
    }
    match (addresses.is_empty(), is_known) {
        (false, _) => Verdict::Connected(addresses),
        (true, true) => Verdict::NotConnected,
        (true, false) => {
            Verdict::Unknown("sftunnel-status-brief prints no line that is known here".to_owned())
        }
    }
}

/// The peer that a line says this box is connected to.
fn peer(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(UP)?;
    // "not connected to", "disconnected to"
    let before = before.trim_end().to_ascii_lowercase();
    let negated = before.ends_with("not") || before.ends_with("dis");
    let (peer, _) = after.split_once('\'')?;
    Some(peer).filter(|peer| !negated && !peer.is_empty())
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
