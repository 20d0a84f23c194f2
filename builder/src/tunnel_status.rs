//! Saved output of `sftunnel_status.pl`: which tunnels it shows to be up.
//!
//! Its form is not documented (docs/facts.md). What is known is the line of a tunnel that is up,
//! `… connected to '10.0.0.1' via '10.0.0.2'`, and that `Registration: Completed.` proves
//! nothing. Only such a line counts, and only when the name in it is one device's; whatever
//! else stands there says nothing. So a tunnel is up, or it is unknown.

use std::collections::{HashMap, HashSet};

use formats::device::DeviceUuid;

const UP: &str = "connected to '";

/// Every name, address or UUID that a device may stand under.
pub(crate) type Names<'a> = HashMap<&'a str, HashSet<&'a DeviceUuid>>;

/// The devices whose tunnel is up. A name that several devices have tells nothing.
pub(crate) fn up<'a>(text: &str, names: &Names<'a>) -> HashSet<&'a DeviceUuid> {
    let peers = text.lines().filter_map(peer);
    let only = |peer: &str| {
        let devices = names.get(peer).or_else(|| names.get(peer.to_ascii_lowercase().as_str()))?;
        let mut devices = devices.iter();
        match (devices.next(), devices.next()) {
            (Some(device), None) => Some(*device),
            _ => None,
        }
    };
    peers.filter_map(only).collect()
}

/// The peer that a line says the manager is connected to.
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

    #[test]
    fn only_a_connected_line_with_one_devices_name_counts() {
        let [a, b, c]: [DeviceUuid; 3] = ["a", "b", "c"]
            .map(|c| format!("{}-87c9-11ef-a993-b9831565bc4e", c.repeat(8)).parse().unwrap());
        let names: Names<'_> = [
            ("10.0.0.1", vec![&a]),
            ("10.0.0.10", vec![&b]),
            ("same", vec![&a, &b]),
            (c.as_str(), vec![&c]),
        ]
        .into_iter()
        .map(|(name, devices)| (name, devices.into_iter().collect()))
        .collect();
        let up = |text: &str| super::up(text, &names);
        let line = "Peer channel Channel-A is valid type (CONTROL), using 'eth0', connected to '10.0.0.1' via '10.0.0.10'";
        assert_eq!(up(line), HashSet::from([&a]));
        assert_eq!(
            up(&format!("x connected to '{}'", c.as_str().to_uppercase())),
            HashSet::from([&c])
        );
        for nothing in [
            "Registration: Completed.",
            "not connected to '10.0.0.1'",
            "disconnected to '10.0.0.1'",
            "connected to '' via '10.0.0.1'",
            "connected to '10.0.0.2'",
            "connected to 'same'",
            "connected to '10.0.0.1",
            "Connection to peer '10.0.0.1' Attempted at Sat",
        ] {
            assert!(up(nothing).is_empty(), "{nothing}");
        }
    }
}
