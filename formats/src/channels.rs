//! What Cisco's status programs print of sftunnel's channels: `sftunnel-status-brief` on a
//! device and `sftunnel_status.pl` on a manager. One reader for both.
//!
//! Two kinds of lines are known: those of a channel that is up, `… connected to '10.0.0.1' via
//! '10.0.0.2'`, and those of a peer that is not, `Connection to peer '' Attempted at …` and
//! `Last disconnect reason : …`. `Registration: Completed.` stands there either way and proves
//! nothing (docs/facts.md).
//!
//! How a block names its peer is not documented. Seen in Cisco's published examples are a line
//! `PEER:10.10.17.202` and one of asterisks, `**RPC STATUS****10.10.17.202*******`. Either
//! begins a block; so does a line with a UUID, whose block is then that peer's. What stands
//! under no name is nobody's block. Text that is none of this says nothing.

use std::collections::HashSet;

use time::{Date, Month, PrimitiveDateTime, Time};

use crate::device::DeviceUuid;
use crate::timestamp::Timestamp;

const UP: &str = "connected to '";
/// Of the two channels of each peer this one carries the control traffic.
const CONTROL: &str = "(CONTROL)";
const DISCONNECTED: &str = "Last disconnect reason";
const PEER_OF: &str = "Connection to peer";
const ATTEMPT: &str = "Attempted at";
/// Before times that only a tunnel that is up has.
const HEARTBEAT: &str = "Heartbeat Received Time:";
const STARTED: &str = "Start Time:";
const PEER: &str = "PEER:";
const RULE: &str = "**";

/// Whose block it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// No name stands above it.
    Nobody,
    /// The peer with this UUID, lower case; managers and devices alike.
    Uuid(String),
    /// A name or address in the heading; foreign text.
    Name(String),
    /// A line that names several peers.
    Several,
}

/// Lines about one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Whose.
    pub owner: Owner,
    /// The addresses or names of channels that are up, each once; foreign text.
    pub connected: Vec<String>,
    /// Those of them that a control channel goes to.
    pub control: Vec<String>,
    /// Whether one of the lines of a peer that is not connected stands there.
    pub is_disconnected: bool,
    /// When the connection that stands began, by the clock of the box that printed it.
    pub started_at: Option<Timestamp>,
    /// When a heartbeat last came, by that clock.
    pub heard_at: Option<Timestamp>,
}

impl Block {
    fn of(owner: Owner) -> Self {
        Self {
            owner,
            connected: Vec::new(),
            control: Vec::new(),
            is_disconnected: false,
            started_at: None,
            heard_at: None,
        }
    }

    fn take(&mut self, line: &str, known: &mut HashSet<(bool, String)>) {
        if let Some(peer) = peer(line).map(str::to_owned) {
            if line.contains(CONTROL) && known.insert((true, peer.clone())) {
                self.control.push(peer.clone());
            }
            if known.insert((false, peer.clone())) {
                self.connected.push(peer);
            }
        }
        self.is_disconnected |=
            line.contains(DISCONNECTED) || line.contains(PEER_OF) && line.contains(ATTEMPT);
        // `SFTUNNEL Start Time:` is the daemon's, not a connection's
        let start = line.split_once(PEER_OF).and_then(|(_, rest)| rest.split_once(STARTED));
        self.started_at = self.started_at.max(start.and_then(|(_, time)| ctime(time)));
        let heard = line.split_once(HEARTBEAT);
        self.heard_at = self.heard_at.max(heard.and_then(|(_, time)| ctime(time)));
    }
}

/// Reads all of it; whatever is not known is passed over.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = vec![Block::of(Owner::Nobody)];
    // of the last block; a list of a fleet must not be searched for each of its lines
    let mut known = HashSet::new();
    for line in text.lines() {
        let heading = heading(line);
        if let Some(owner) = heading
            && blocks.last().is_none_or(|last| last.owner != owner)
        {
            blocks.push(Block::of(owner));
            known = HashSet::new();
        }
        if let Some(block) = blocks.last_mut() {
            block.take(line, &mut known);
        }
    }
    blocks
}

/// The owner that a line brings, when it brings one.
fn heading(line: &str) -> Option<Owner> {
    let line = line.trim();
    let words = line.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
    let mut uuids = words.filter_map(|word| word.parse::<DeviceUuid>().ok());
    if let Some(first) = uuids.next() {
        let is_only = uuids.all(|other| other == first);
        return Some(if is_only { Owner::Uuid(first.as_str().to_owned()) } else { Owner::Several });
    }
    let name = match line.strip_prefix(PEER) {
        Some(name) => name.trim(),
        // **RPC STATUS****10.10.17.202*******; a rule without a name ends the block above
        None => line.strip_prefix(RULE)?.trim_end_matches('*').rsplit('*').next()?.trim(),
    };
    Some(if name.is_empty() { Owner::Nobody } else { Owner::Name(name.to_owned()) })
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

/// `Mon Jun 15 09:02:16 2020 UTC`; nothing for another zone, or none.
fn ctime(text: &str) -> Option<Timestamp> {
    let mut words = text.split_ascii_whitespace().skip(1);
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = words.next()?;
    let number = months.iter().zip(1u8..).find(|(name, _)| **name == month)?.1;
    let day = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u8>().ok());
    let mut part = || clock.next().flatten();
    let time = Time::from_hms(part()?, part()?, part()?).ok()?;
    let year = words.next()?.parse().ok()?;
    words.next().filter(|zone| *zone == "UTC")?;
    let date = Date::from_calendar_date(year, Month::try_from(number).ok()?, day).ok()?;
    Timestamp::from_unix(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP_LINE: &str = "Peer channel Channel-A is valid type (CONTROL), using 'eth0', connected to '10.0.0.1' via '10.0.0.9'";
    const UP_EVENT: &str = "Peer channel Channel-B is valid type (EVENT), using 'eth0', connected to '10.0.0.2' via '10.0.0.9'";
    const DOWN: &str = "Connection to peer '' Attempted at Mon Sep 20 04:10:47 2024 UTC";

    fn uuid(letter: &str) -> String {
        format!("{}-87c9-11ef-a993-b9831565bc4e", letter.repeat(8))
    }

    /// Owner, addresses and whether disconnected, of the blocks that say something.
    fn said(text: &str) -> Vec<(Owner, Vec<String>, bool)> {
        let says = |block: &Block| !block.connected.is_empty() || block.is_disconnected;
        let blocks = blocks(text).into_iter().filter(says);
        blocks.map(|block| (block.owner, block.connected, block.is_disconnected)).collect()
    }

    #[test]
    fn a_fleet_in_one_block_is_not_searched_for_each_of_its_lines() {
        let text: String = (0..200_000).map(|n| format!("connected to 'p{n}'\n")).collect();
        let started = std::time::Instant::now();
        let blocks = blocks(&text);
        assert_eq!(blocks[0].connected.len(), 200_000);
        assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
    }

    #[test]
    fn a_channel_that_is_up_names_its_peer() {
        let blocks = blocks(&format!("{UP_LINE}\n{UP_EVENT}\n{UP_LINE}\n"));
        let [block] = &blocks[..] else { panic!("{blocks:?}") };
        assert_eq!(block.connected, ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(block.control, ["10.0.0.1"]);
        for nothing in [
            "",
            "Registration: Completed.",
            "not connected to '10.0.0.1'",
            "disconnected to '10.0.0.1'",
            "connected to '' via '10.0.0.1'",
            "connected to '10.0.0.1",
            "garbage \u{0} \u{fffd}",
        ] {
            assert_eq!(said(nothing), [], "{nothing}");
        }
    }

    #[test]
    fn a_block_is_the_peers_whose_name_stands_above() {
        let (a, b) = (uuid("a"), uuid("B"));
        let text = format!("{UP_EVENT}\nPEER:{a}\n{DOWN}\nx '{b}' y\n{UP_LINE}\nx {a} {b}\n{DOWN}");
        let connected = |address: &str| vec![address.to_owned()];
        assert_eq!(
            said(&text),
            [
                (Owner::Nobody, connected("10.0.0.2"), false),
                (Owner::Uuid(a), Vec::new(), true),
                (Owner::Uuid(b.to_lowercase()), connected("10.0.0.1"), false),
                (Owner::Several, Vec::new(), true),
            ]
        );
    }

    /// In Cisco's example a peer's UUID stands at the end of its part, the next peer's heading
    /// and channels after it.
    #[test]
    fn a_heading_ends_the_block_of_the_uuid_above() {
        let a = uuid("a");
        for heading in ["**RPC STATUS****10.0.0.1*************", "PEER:10.0.0.1"] {
            let text = format!(" 'uuid' => '{a}',\n{heading}\n{UP_LINE}");
            let name = Owner::Name("10.0.0.1".to_owned());
            assert_eq!(said(&text), [(name, vec!["10.0.0.1".to_owned()], false)]);
        }
        let text = format!("{a}\n***********************\n{UP_LINE}");
        assert_eq!(said(&text)[0].0, Owner::Nobody);
    }

    #[test]
    fn start_and_heartbeat_are_read_where_they_are_in_utc() {
        let text = "PEER:x\nIPv4 Connection to peer 'x' Start Time: Wed Jun 10 14:27:12 2020 UTC\nHeartbeat Send Time: Mon Jun 15 10:00:00 2020 UTC\nHeartbeat Received Time: Mon Jun 15 09:02:16 2020 UTC\n";
        let times = |text: &str| {
            let block = blocks(text).pop().unwrap();
            [block.started_at, block.heard_at].map(|time| time.map(|time| time.to_string()))
        };
        let [started, heard] = ["2020-06-10T14:27:12Z", "2020-06-15T09:02:16Z"];
        assert_eq!(times(text), [Some(started.to_owned()), Some(heard.to_owned())]);
        assert_eq!(said(text), [], "a connection that began is not one that was attempted");
        for unknown in [
            "Heartbeat Received Time: Mon Jun 15 09:02:16 2020",
            "Heartbeat Received Time: Mon Jun 15 09:02:16 2020 CEST",
            "Heartbeat Received Time: Mon Jun 31 09:02:16 2020 UTC",
            "Heartbeat Received Time: never",
            "SFTUNNEL Start Time: Mon Jun 15 09:02:16 2020 UTC",
            DOWN,
        ] {
            assert_eq!(times(unknown), [None, None], "{unknown}");
        }
    }
}
