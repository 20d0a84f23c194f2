//! A single spelling for each name or address of a peer.

use std::net::{IpAddr, SocketAddr};

/// Returns the same text for all spellings of a peer. IPv6 addresses are written long or short, in
/// brackets, with a zone or a port, or hold an IPv4 address; the case of names and UUIDs does not
/// matter.
pub fn peer_key(text: &str) -> String {
    let text = text.trim();
    address(text).map_or_else(|| text.to_lowercase(), |ip| ip.to_canonical().to_string())
}

fn address(text: &str) -> Option<IpAddr> {
    if let Ok(with_port) = text.parse::<SocketAddr>() {
        return Some(with_port.ip());
    }
    let text = text.strip_prefix('[').map_or(text, |inside| inside.split(']').next().unwrap_or(""));
    // fe80::1%eth0
    text.split('%').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_it_is_written() {
        for text in [
            "2001:420:2710:2556:1:0:0:41",
            "2001:0420:2710:2556:0001:0000:0000:0041",
            "[2001:420:2710:2556:1::41]",
            "[2001:420:2710:2556:1::41]:8305",
            "2001:420:2710:2556:1::41%eth0",
            " 2001:420:2710:2556:1::0041 ",
        ] {
            assert_eq!(peer_key(text), "2001:420:2710:2556:1::41", "{text}");
        }
        for text in ["10.0.0.1", "::ffff:10.0.0.1", "[::FFFF:a00:1]", "10.0.0.1:8305"] {
            assert_eq!(peer_key(text), "10.0.0.1", "{text}");
        }
    }

    #[test]
    fn what_is_no_address_stays_but_for_its_case() {
        for text in ["fe80", "10.0.0", "ftd%1", "a:b", "[x]", "10.0.0.1.example.org", ""] {
            assert_eq!(peer_key(text), text);
        }
        assert_eq!(peer_key("Zürich-FTD "), "zürich-ftd");
    }
}
