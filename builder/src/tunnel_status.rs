//! What the output of `sftunnel_status.pl` says of each device's tunnel.
//!
//! Its form is not documented (docs/facts.md); the lines are read by [`formats::channels`]. A
//! tunnel is up only by a line `connected to` in the device's own block, or with an address
//! or name in it that is this device's alone; down only by a line of a disconnect in its own
//! block. Whatever contradicts itself, and everything else, is unknown.

use std::collections::{HashMap, HashSet};

use formats::channels::{self, Block, Owner};
use formats::device::DeviceUuid;
use formats::timestamp::Timestamp;
use serde::Serialize;

/// Every name, address or UUID that a device may stand under.
pub(crate) type Names<'a> = HashMap<&'a str, HashSet<&'a DeviceUuid>>;

/// A tunnel, as the manager sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Tunnel {
    /// `connected to` was seen.
    Up,
    /// Seen not to be up.
    Down,
    /// Nobody could say.
    #[default]
    Unknown,
}

impl Tunnel {
    /// As it is shown and as JSON has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Unknown => "unknown",
        }
    }
}

/// An address of FAILED_PUSH that tells devices apart: a device that was registered by NAT ID
/// has none, or a placeholder (docs/facts.md).
pub(crate) fn is_address(text: &str) -> bool {
    !text.is_empty() && !text.eq_ignore_ascii_case("DONTRESOLVE")
}

/// What was seen of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Whether it is up.
    pub tunnel: Tunnel,
    /// When the connection that stands began, where the device's own block says so.
    pub started_at: Option<Timestamp>,
    /// The newest time at which it was alive, where its own block says so.
    pub alive_at: Option<Timestamp>,
}

/// All that the output says.
#[derive(Debug, Default)]
pub(crate) struct Tunnels<'a> {
    /// Every device of which something is known.
    pub of: HashMap<&'a DeviceUuid, Seen>,
    /// How many blocks show a tunnel that is up, and not whose of these it is.
    pub strangers: usize,
}

/// Reads it.
pub(crate) fn read<'a>(text: &str, names: &Names<'a>) -> Tunnels<'a> {
    let Tunnels { of: mut seen, mut strangers } = Tunnels::default();
    for block in channels::blocks(text) {
        let owner = match &block.owner {
            Owner::Uuid(name) | Owner::Name(name) => only(names, name),
            Owner::Nobody | Owner::Several => None,
        };
        let devices = connected(&block, owner, names);
        strangers += usize::from(devices.is_empty() && !block.connected.is_empty());
        if let Some(owner) = owner
            && devices.is_empty()
            && block.connected.is_empty()
            && block.is_disconnected
        {
            let tunnel = &mut seen.entry(owner).or_default().tunnel;
            if *tunnel == Tunnel::Unknown {
                *tunnel = Tunnel::Down;
            }
        }
        for device in devices {
            let found = seen.entry(device).or_default();
            found.tunnel = Tunnel::Up;
            // the times of a block that is nobody's may be another device's
            if owner == Some(device) {
                found.started_at = found.started_at.max(block.started_at);
                let alive = block.started_at.max(block.heard_at);
                found.alive_at = found.alive_at.max(alive);
            }
        }
    }
    Tunnels { of: seen, strangers }
}

/// Whose channels are up in a block.
fn connected<'a>(
    block: &Block,
    owner: Option<&'a DeviceUuid>,
    names: &Names<'a>,
) -> HashSet<&'a DeviceUuid> {
    let named = block.connected.iter().filter_map(|peer| only(names, peer));
    let named: HashSet<_> = named.collect();
    match (&block.owner, owner) {
        _ if block.connected.is_empty() => HashSet::new(),
        (Owner::Several, _) => HashSet::new(),
        (_, Some(owner)) if named.iter().all(|device| *device == owner) => HashSet::from([owner]),
        // a block of one device with another one's address; or of somebody who is none of ours
        (_, Some(_)) | (Owner::Uuid(_), None) => HashSet::new(),
        (Owner::Nobody | Owner::Name(_), None) => named,
    }
}

/// The device of that name; a name that several have tells nothing.
fn only<'a>(names: &Names<'a>, name: &str) -> Option<&'a DeviceUuid> {
    let devices = names.get(name).or_else(|| names.get(name.to_ascii_lowercase().as_str()))?;
    let mut devices = devices.iter();
    devices.next().filter(|_| devices.next().is_none()).copied()
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
        let mut names: Names<'_> =
            all.iter().map(|uuid| (uuid.as_str(), HashSet::from([uuid]))).collect();
        names.insert("10.0.0.1", HashSet::from([a]));
        names.insert("10.0.0.10", HashSet::from([b]));
        names.insert("same", HashSet::from([a, b, c]));
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
        let names =
            Names::from([("10.0.0.1", HashSet::from([&a])), (a.as_str(), HashSet::from([&a]))]);
        let heard = "Heartbeat Received Time: Mon Jun 15 09:02:16 2020 UTC";
        let alive = |text: String| read(&text, &names).of[&a].alive_at;
        assert_eq!(alive(format!("{UP}\n{heard}")), None);
        assert!(alive(format!("PEER:10.0.0.1\n{UP}\n{heard}")).is_some());
    }
}
