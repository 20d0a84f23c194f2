//! What one of Cisco's status programs says of one manager. Its lines are read by
//! [`formats::cisco::channels`]; here is whose they are: the manager's whose UUID stands above them,
//! or the only manager's.

use std::collections::{HashMap, HashSet};

use formats::cisco::channels::{self, Block, Owner, peer_key};
use formats::decode;
use formats::device::ManagerUuid;

/// Upper bound on the addresses of one manager: it has two channels, and either family.
const ADDRESSES: usize = 16;

/// A program's answer.
#[derive(Debug)]
pub(super) enum Brief {
    /// It could not be asked; why.
    Silent(String),
    /// Its output.
    Printed(Printed),
}

/// The output of a status program, read once for all managers.
#[derive(Debug)]
pub(super) struct Printed {
    program: String,
    /// The reason that is not all of it.
    cut: Option<String>,
    /// Once UUIDs stand there at all, what stands under another one, or none, is not a manager's.
    by_uuid: Option<HashMap<String, Said>>,
    /// All of it together.
    all: Said,
    /// To how many different peers there is a control channel.
    controls: usize,
}

/// Its word on one manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To these addresses; foreign text.
    Connected(Vec<String>),
    /// Known lines, and none of a connection; who says so.
    NotConnected(String),
    /// The reason it does not say.
    Unknown(String),
}

/// Some blocks, added up.
#[derive(Debug, Clone, Default)]
struct Said {
    addresses: Vec<String>,
    seen: HashSet<String>,
    is_connected: bool,
    is_disconnected: bool,
    /// A line says `No` of a control channel.
    is_denied: bool,
}

impl Said {
    fn add(&mut self, block: Block) {
        self.is_connected |= block.is_connected;
        self.is_disconnected |= block.is_disconnected;
        self.is_denied |= block.is_denied;
        for address in block.connected {
            if self.addresses.len() < ADDRESSES && self.seen.insert(address.clone()) {
                self.addresses.push(address);
            }
        }
    }
}

impl Printed {
    /// Reads the output of `program`; `cut` is why it is not all.
    pub(super) fn new(program: &str, output: &[u8], cut: Option<String>) -> Self {
        let blocks = channels::blocks(&decode::lossy(output));
        let is_named = |block: &Block| matches!(block.owner, Owner::Uuid(_) | Owner::Ambiguous);
        let mut by_uuid = blocks.iter().any(is_named).then(HashMap::<String, Said>::new);
        let (mut all, mut controls) = (Said::default(), HashSet::new());
        for block in blocks {
            controls.extend(block.control.iter().map(|peer| peer_key(peer)));
            if let (Some(by_uuid), Owner::Uuid(uuid)) = (&mut by_uuid, &block.owner) {
                by_uuid.entry(uuid.clone()).or_default().add(block.clone());
            }
            all.add(block);
        }
        Self { program: program.to_owned(), cut, by_uuid, all, controls: controls.len() }
    }

    /// True when any line of it is known.
    pub(super) fn says_anything(&self) -> bool {
        self.all.is_disconnected || self.all.is_connected
    }

    /// `registered`: how many managers this box has files of; `None` where that is not known.
    fn of(&self, manager: &ManagerUuid, registered: Option<usize>) -> Verdict {
        if let Some(by_uuid) = &self.by_uuid {
            return self.verdict(by_uuid.get(manager.as_str()).unwrap_or(&Said::default()));
        }
        let Said { is_connected, addresses, .. } = &self.all;
        // without names: the tunnels of all managers, or of none, or nobody knows whose
        match registered {
            _ if !is_connected => self.verdict(&self.all),
            Some(managers) if managers <= 1 || self.controls >= managers => self.verdict(&self.all),
            managers => {
                let number = managers.map_or_else(|| "the".to_owned(), |number| number.to_string());
                Verdict::Unknown(format!(
                    "{} does not say which of {number} managers it is connected to ({})",
                    self.program,
                    shown(addresses)
                ))
            }
        }
    }

    fn verdict(&self, said: &Said) -> Verdict {
        let Self { program, cut, .. } = self;
        match (said.is_connected, said.is_disconnected, cut) {
            (true, ..) if said.is_denied => Verdict::Unknown(format!(
                "{program} says both that it is connected and that it is not"
            )),
            (true, ..) => Verdict::Connected(said.addresses.clone()),
            (false, _, Some(cut)) => Verdict::Unknown(format!("{program}: {cut}")),
            (false, true, None) => Verdict::NotConnected(format!("{program} shows no connection")),
            (false, false, None) if said.is_denied => Verdict::Unknown(format!(
                "{program} shows the control channel down, and a connection as well"
            )),
            (false, false, None) => {
                Verdict::Unknown(format!("{program} prints no line that is known here"))
            }
        }
    }
}

/// Addresses for people.
pub(super) fn shown(addresses: &[String]) -> String {
    const SHOWN: usize = 4;
    let (first, more) = addresses.split_at(addresses.len().min(SHOWN));
    let more = match (first, more) {
        ([], _) => "a peer whose address is not told",
        (_, []) => "",
        _ => ", and more",
    };
    format!("{}{more}", first.join(", "))
}

impl Brief {
    /// See [`Printed`].
    pub(super) fn of(&self, manager: &ManagerUuid, registered: Option<usize>) -> Verdict {
        match self {
            Self::Silent(why) => Verdict::Unknown(why.clone()),
            Self::Printed(printed) => printed.of(manager, registered),
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
        let printed = Printed::new("brief", text.as_bytes(), None);
        Brief::Printed(printed).of(&managers()[asked], Some(registered))
    }

    fn not_connected() -> Verdict {
        Verdict::NotConnected("brief shows no connection".to_owned())
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
        assert_eq!(of(DOWN, 0, 1), not_connected());
        assert_eq!(of("Last disconnect reason : x\n", 0, 1), not_connected());
        for text in
            ["", "Registration: Completed.\n", "garbage \u{0} \u{fffd}\n", "connected to ''\n"]
        {
            assert!(matches!(of(text, 0, 1), Verdict::Unknown(_)), "{text:?}");
        }
        for line in ["not connected to '10.0.0.1'", "disconnected to '10.0.0.1' Attempted"] {
            assert!(!matches!(of(line, 0, 1), Verdict::Connected(_)), "{line}");
        }
    }

    /// As Cisco's document 225502 has it: the warnings stand where they come, with a UUID in them.
    #[test]
    fn a_poll_that_failed_does_not_hide_what_the_channels_say() {
        let [manager, other] = managers();
        for uuid in [&manager, &other] {
            let failed = format!(
                "peer {uuid} did not reply at /ngfw/usr/local/sf/bin/sftunnel_status.pl line 309.\nRetry rpc status poll at /ngfw/usr/local/sf/bin/sftunnel_status.pl line 315.\n**RPC STATUS****10.0.0.1****\nRPC status :Failed\n"
            );
            let up = "**RUN STATUS****10.0.0.1****\nChannelA Connected: Yes, Interface br1\n";
            let down = up.replace("Yes, Interface br1", "No");
            for order in [[up, &failed].concat(), [&failed, up].concat()] {
                assert_eq!(of(&order, 0, 1), connected(&["10.0.0.1"]), "{order}");
            }
            assert_eq!(of(&format!("{down}{failed}"), 0, 1), not_connected());
            assert!(matches!(of(&failed, 0, 1), Verdict::Unknown(_)));
        }
        let events =
            "**RUN STATUS****10.0.0.1****\nChannelA Connected: No\nChannelB Connected: Yes\n";
        let Verdict::Unknown(why) = of(events, 0, 1) else { panic!("events alone") };
        assert!(why.contains("control channel down"), "{why}");
    }

    #[test]
    fn a_block_belongs_to_the_manager_that_it_names() {
        let [a, b] = managers();
        let text = format!("PEER:{a}\n{DOWN}PEER:{b}\n{UP_A}{UP_EVENT}");
        assert_eq!(of(&text, 0, 2), not_connected());
        assert_eq!(of(&text, 1, 2), connected(&["10.0.0.1", "10.0.0.2"]));
        // a peer that is none of ours; a line with both
        let stranger = format!("{}-87c9-11ef-a993-b9831565bc4e", "c".repeat(8));
        let text = format!("PEER:{a}\n{DOWN}PEER:{stranger}\n{UP_A}");
        assert_eq!(of(&text, 0, 2), not_connected());
        assert!(matches!(of(&text, 1, 2), Verdict::Unknown(_)));
        assert!(matches!(of(&format!("x {a}\n{a} {b}\n{UP_A}"), 1, 2), Verdict::Unknown(_)));
        // a stranger's tunnel is not that of the only manager
        assert!(matches!(of(&format!("PEER:{stranger}\n{UP_A}"), 0, 1), Verdict::Unknown(_)));
        assert_eq!(of(&format!("PEER:10.0.0.1\n{UP_A}"), 0, 1), connected(&["10.0.0.1"]));
    }

    /// The long form gives the UUID in another part than the channels.
    #[test]
    fn a_uuid_below_a_heading_names_all_blocks_of_that_heading() {
        let [a, b] = managers();
        let part = |address: &str, channels: &str, uuid: &str| {
            format!(
                "**RUN STATUS****{address}****\nChannelA Connected: {channels}\nChannelB Connected: {channels}\nRegistration: Completed.\n**RPC STATUS****{address}****\n'uuid' => '{uuid}',\n***********************\n"
            )
        };
        let text = part("10.0.0.1", "Yes, Interface br1", a.as_str())
            + &part("10.0.0.2", "No", b.as_str());
        assert_eq!(of(&text, 0, 2), connected(&["10.0.0.1"]));
        assert_eq!(of(&text, 1, 2), not_connected());
        // twice, and not the same
        let text = text + &part("10.0.0.1", "No", a.as_str());
        assert!(matches!(of(&text, 0, 2), Verdict::Unknown(_)));
    }

    /// The managers of the README there, and the verdicts in each file's name.
    #[test]
    fn every_published_form_is_read_as_its_name_says() {
        let managers: Vec<ManagerUuid> =
            [1, 2].map(|n| format!("cdb123c8-4347-11ef-aca1-{n:012}").parse().unwrap()).into();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/sftunnel-status/device");
        let mut files = 0;
        for item in std::fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            let expected = path.file_stem().unwrap().to_str().unwrap().split_once('.').unwrap().1;
            let printed = Printed::new("x", &std::fs::read(&path).unwrap(), None);
            let word = |manager: &ManagerUuid| match printed.of(manager, Some(managers.len())) {
                Verdict::Connected(_) => "up",
                Verdict::NotConnected(_) => "down",
                Verdict::Unknown(_) => "unknown",
            };
            let found: Vec<_> = managers.iter().map(word).collect();
            assert_eq!(found.join("-"), expected, "{}", path.display());
            files += 1;
        }
        assert!(files > 5, "{files}");
    }

    #[test]
    fn without_names_two_managers_are_all_up_all_down_or_unknown() {
        let both = connected(&["10.0.0.1", "10.0.0.3"]);
        assert_eq!(of(&format!("{UP_A}{UP_C}"), 0, 2), both);
        assert_eq!(of(&format!("{DOWN}{DOWN}"), 1, 2), not_connected());
        // one control channel, whoever's it is; the event channel may have another address
        assert!(matches!(of(&format!("{UP_A}{UP_EVENT}{DOWN}"), 0, 2), Verdict::Unknown(_)));
        let up = "**RUN STATUS****10.0.0.1****\nChannelA Connected: Yes, Interface br1\n";
        let other = up.replace("0.1", "0.3");
        assert_eq!(of(&format!("{up}{other}"), 0, 2), both);
        let down = other.replace("Yes, Interface br1", "No");
        let verdict = of(&format!("{up}{down}"), 0, 2);
        assert!(matches!(verdict, Verdict::Unknown(why) if why.contains("which of 2 managers")));
    }

    #[test]
    fn of_what_was_cut_off_only_a_connection_counts() {
        let of = |text: &str, registered| {
            let cut = Some("did not end within 15 s".to_owned());
            Printed::new("brief", text.as_bytes(), cut).of(&managers()[0], registered)
        };
        assert_eq!(of(UP_A, Some(1)), connected(&["10.0.0.1"]));
        for text in ["", DOWN] {
            let Verdict::Unknown(why) = of(text, Some(1)) else { panic!("{text}") };
            assert_eq!(why, "brief: did not end within 15 s");
        }
        // and where nobody could count the managers, a channel is nobody's
        assert!(matches!(of(UP_A, None), Verdict::Unknown(_)));
    }

    #[test]
    fn a_flood_of_addresses_is_cut() {
        let line =
            |number| format!("x (CONTROL) connected to '10.0.{}.{}'\n", number / 256, number % 256);
        let text: String = (0..20_000).map(line).collect();
        let Verdict::Connected(addresses) = of(&text, 0, 1) else { panic!("connected") };
        assert_eq!(addresses.len(), ADDRESSES);
        assert_eq!(shown(&addresses), "10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, and more");
    }
}
