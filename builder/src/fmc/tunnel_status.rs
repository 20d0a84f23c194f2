//! What the output of `sftunnel_status.pl` says of each device's tunnel.
//!
//! The lines are read by [`formats::cisco::channels`]. A tunnel is up only by a line that says so
//! in the device's own block, or with an address or name in it that is this device's alone; down
//! only by a line in its own block. Whatever contradicts itself, and everything else, is unknown.

use std::collections::{HashMap, HashSet};

use formats::cisco::channels::{self, Block, Owner, peer_key};
use formats::device::DeviceUuid;
use formats::timestamp::Timestamp;
use serde::Serialize;

/// Labels by which the output may name a device: UUID, else address, else name. A label that
/// several devices share tells nothing.
#[derive(Debug, Default)]
pub(crate) struct Names<'a> {
    addresses: HashMap<String, HashSet<&'a DeviceUuid>>,
    names: HashMap<String, HashSet<&'a DeviceUuid>>,
}

impl<'a> Names<'a> {
    /// Adds a device, with the address and the name that are known.
    pub(crate) fn add(&mut self, uuid: &'a DeviceUuid, address: Option<&str>, name: Option<&str>) {
        // a UUID is never an address, and a device that is called as another's UUID is nobody
        self.addresses.entry(uuid.as_str().to_owned()).or_default().insert(uuid);
        if let Some(address) = address.filter(|text| is_address(text)) {
            self.addresses.entry(peer_key(address)).or_default().insert(uuid);
        }
        if let Some(name) = name {
            self.names.entry(peer_key(name)).or_default().insert(uuid);
        }
    }

    /// The only device of that name.
    fn only(&self, name: &str) -> Option<&'a DeviceUuid> {
        let key = peer_key(name);
        let mut devices = self.addresses.get(&key).or_else(|| self.names.get(&key))?.iter();
        devices.next().filter(|_| devices.next().is_none()).copied()
    }
}

/// A tunnel, as the manager sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tunnel {
    /// `connected to` was seen.
    Up,
    /// Seen not to be up.
    Down,
    /// Unknown: missing, contradictory or unreadable.
    #[default]
    Unknown,
}

impl Tunnel {
    /// Word in text and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// Returns true if an address of FAILED_PUSH tells devices apart: a device registered by NAT ID
/// has none, or a placeholder (docs/facts.md).
fn is_address(text: &str) -> bool {
    !text.is_empty() && !text.eq_ignore_ascii_case("DONTRESOLVE")
}

/// State seen of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// State of its tunnel.
    pub tunnel: Tunnel,
    /// Start of the standing connection, if the device's own block shows it.
    pub started_at: Option<Timestamp>,
    /// The same, no later than it was: also from a time without a zone.
    pub started_after: Option<Timestamp>,
    /// The newest time at which it was alive, where its own block says so.
    pub alive_at: Option<Timestamp>,
}

/// All that the output says.
#[derive(Debug, Default)]
pub(crate) struct Tunnels<'a> {
    /// Every device of which something is known.
    pub of: HashMap<&'a DeviceUuid, Seen>,
    /// Number of blocks with a tunnel that is up and belongs to none of these devices.
    pub unmatched: usize,
}

/// Parses the output of `sftunnel_status.pl`.
pub(crate) fn read<'a>(text: &str, names: &Names<'a>) -> Tunnels<'a> {
    let Tunnels { of: mut seen, mut unmatched } = Tunnels::default();
    let mut denied = HashSet::new();
    for block in channels::blocks(text) {
        let owner = match &block.owner {
            Owner::Uuid(name) | Owner::Name(name) => names.only(name),
            Owner::Nobody | Owner::Ambiguous => None,
        };
        let devices = connected(&block, owner, names);
        unmatched += usize::from(devices.is_empty() && block.is_connected);
        if let Some(owner) = owner {
            let tunnel = &mut seen.entry(owner).or_default().tunnel;
            if *tunnel == Tunnel::Unknown && block.is_disconnected {
                *tunnel = Tunnel::Down;
            }
            if block.is_denied {
                denied.insert(owner);
            }
        }
        for device in devices {
            let found = seen.entry(device).or_default();
            found.tunnel = Tunnel::Up;
            // the times of a block that is nobody's may be another device's
            if owner == Some(device) {
                found.started_at = found.started_at.max(block.started_at);
                found.started_after = found.started_after.max(block.started_after);
                let alive = block.started_at.max(block.heard_at);
                found.alive_at = found.alive_at.max(alive);
            }
        }
    }
    for device in denied {
        let found = seen.entry(device).or_default();
        if found.tunnel == Tunnel::Up {
            found.tunnel = Tunnel::Unknown;
        }
    }
    Tunnels { of: seen, unmatched }
}

/// Finds the devices whose channels are up in a block.
fn connected<'a>(
    block: &Block,
    owner: Option<&'a DeviceUuid>,
    names: &Names<'a>,
) -> HashSet<&'a DeviceUuid> {
    let named = block.connected.iter().filter_map(|peer| names.only(peer));
    let named: HashSet<_> = named.collect();
    match (&block.owner, owner) {
        _ if !block.is_connected => HashSet::new(),
        (Owner::Ambiguous, _) => HashSet::new(),
        (_, Some(owner)) if named.iter().all(|device| *device == owner) => HashSet::from([owner]),
        // a block of one device with another one's address; or of somebody who is none of ours
        (_, Some(_)) | (Owner::Uuid(_), None) => HashSet::new(),
        (Owner::Nobody | Owner::Name(_), None) => named,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: &str = "Peer channel Channel-A is valid type (CONTROL), using 'eth0', connected to '10.0.0.1' via '10.0.0.10'";
    const DOWN: &str = "Last disconnect reason : Both channels went down";

    fn uuids() -> [DeviceUuid; 3] {
        ["a", "b", "c"]
            .map(|c| format!("{}-87c9-11ef-a993-b9831565bc4e", c.repeat(8)).parse().unwrap())
    }

    /// The tunnels of devices with the addresses 10.0.0.1, 10.0.0.10 and none.
    fn tunnels(text: &str) -> [Tunnel; 3] {
        let all = uuids();
        let [a, b, c] = &all;
        let mut names = Names::default();
        names.add(a, Some("10.0.0.1"), Some("same"));
        names.add(b, Some("10.0.0.10"), Some("same"));
        names.add(c, None, Some("same"));
        let seen = read(text, &names).of;
        [a, b, c].map(|uuid| seen.get(uuid).copied().unwrap_or_default().tunnel)
    }

    use Tunnel::{Down, Unknown, Up};

    #[test]
    fn only_a_connected_line_with_one_devices_name_counts() {
        let [_, _, c] = uuids();
        assert_eq!(tunnels(UP), [Up, Unknown, Unknown]);
        let upper = format!("x connected to '{}'", c.as_str().to_uppercase());
        assert_eq!(tunnels(&upper), [Unknown, Unknown, Up]);
        for nothing in [
            "Registration: Completed.",
            "not connected to '10.0.0.1'",
            "connected to '10.0.0.2'",
            "connected to 'same'",
            "Connection to peer '10.0.0.1' Attempted at Sat",
            DOWN,
        ] {
            assert_eq!(tunnels(nothing), [Unknown; 3], "{nothing}");
        }
    }

    /// The devices of the README there, and the verdict in each file's name.
    #[test]
    fn every_published_form_is_read_as_its_name_says() {
        let uuids: [DeviceUuid; 3] =
            [1, 2, 3].map(|n| format!("c8d5d5c6-87c9-11ef-a993-{n:012}").parse().unwrap());
        let mut names = Names::default();
        let addresses = ["10.48.0.1", "10.48.0.2", "2001:420:2710:2556:1::41"];
        for ((uuid, address), number) in uuids.iter().zip(addresses).zip(1..) {
            names.add(uuid, Some(address), Some(&format!("BSNS-1120-{number}")));
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/sftunnel-status/manager");
        let mut files = 0;
        for item in std::fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            let expected = path.file_stem().unwrap().to_str().unwrap().split_once('.').unwrap().1;
            let text = formats::decode::lossy(&std::fs::read(&path).unwrap());
            let seen = read(&text, &names).of;
            let found = uuids
                .each_ref()
                .map(|uuid| seen.get(uuid).copied().unwrap_or_default().tunnel.word());
            assert_eq!(found.join("-"), expected, "{}", path.display());
            files += 1;
        }
        assert!(files > 20, "{files}");
    }

    #[test]
    fn a_name_that_is_anothers_address_is_the_address() {
        let [a, b, _] = uuids();
        let mut names = Names::default();
        names.add(&a, Some("10.0.0.1"), Some("x"));
        names.add(&b, None, Some("10.0.0.1"));
        let seen = read(UP, &names).of;
        assert_eq!(seen.keys().copied().collect::<Vec<_>>(), [&a]);
        names.add(&b, Some("10.0.0.1"), Some("x"));
        assert!(read(&UP.replace("10.0.0.1'", "x'"), &names).of.is_empty());
        assert!(read(UP, &names).of.is_empty());
    }

    #[test]
    fn a_block_belongs_to_the_device_that_stands_above_it() {
        let [a, _, c] = uuids();
        let unknown_address = UP.replace("10.0.0.1'", "192.0.2.1'");
        let text = format!("PEER:{c}\n{unknown_address}\nPEER:{a}\n{DOWN}\n");
        assert_eq!(tunnels(&text), [Down, Unknown, Up]);
        let text = format!("**RPC STATUS****10.0.0.10****\n{unknown_address}\n");
        assert_eq!(tunnels(&text), [Unknown, Up, Unknown]);
        let text = format!("PEER:{c}\nRegistration: Completed.\n");
        assert_eq!(tunnels(&text), [Unknown; 3], "registration proves nothing");
    }

    #[test]
    fn what_contradicts_itself_is_nobodys() {
        let [_, b, c] = uuids();
        let stranger = c.as_str().replace('c', "d");
        for text in [
            format!("PEER:{b}\n{UP}"),
            format!("**RPC STATUS****10.0.0.10****\n{UP}"),
            format!("PEER:{stranger}\n{UP}"),
            format!("{b} {c}\n{UP}\n{DOWN}"),
        ] {
            assert_eq!(tunnels(&text), [Unknown; 3], "{text}");
        }
    }

    #[test]
    fn one_channel_that_is_up_makes_the_tunnel_up() {
        let [a, ..] = uuids();
        for text in [format!("PEER:{a}\n{DOWN}\n{UP}"), format!("{UP}\nPEER:{a}\n{DOWN}")] {
            assert_eq!(tunnels(&text), [Up, Unknown, Unknown], "{text}");
        }
    }

    #[test]
    fn times_count_only_in_the_devices_own_block() {
        let [a, ..] = uuids();
        let mut names = Names::default();
        names.add(&a, Some("10.0.0.1"), None);
        let heard = "Heartbeat Received Time: Mon Jun 15 09:02:16 2020 UTC";
        let alive = |text: String| read(&text, &names).of[&a].alive_at;
        assert_eq!(alive(format!("{UP}\n{heard}")), None);
        assert!(alive(format!("PEER:10.0.0.1\n{UP}\n{heard}")).is_some());
    }
}
