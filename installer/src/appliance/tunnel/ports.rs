//! The port of sftunnel. `configure network management-port` changes it (docs/facts.md), so 8305
//! is only what stands where nothing else is known. What else a connection of sftunnel's is known
//! by is [`super::sockets`]'.

use std::path::Path;

use formats::cisco::facts::{PORT, SFTUNNEL_CONF};
use formats::limits;

use crate::appliance::host::Host;

/// The operator's port, else those of sftunnel's configuration, else the default. Never empty.
pub(crate) fn ports(host: &Host) -> Vec<u16> {
    if let Some(port) = host.told().port {
        return vec![port];
    }
    let read = |path: &&str| host.root().read(Path::new(path), limits::IMS_CONF).ok();
    let found = SFTUNNEL_CONF.iter().find_map(read).map(|text| in_conf(&text)).unwrap_or_default();
    if found.is_empty() { vec![PORT] } else { found }
}

/// The numbers of all settings whose name ends in `port`. How it is named there is not known; one
/// too many only widens the search.
fn in_conf(text: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(text);
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let is_end = |c: char| c.is_whitespace() || "=;:{}\"'".contains(c);
        let mut words = line.split(is_end).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            let number = words.peek().and_then(|next| next.parse::<u16>().ok());
            if let (true, Some(port @ 1..)) = (word.to_ascii_lowercase().ends_with("port"), number)
                && !found.contains(&port)
            {
                found.push(port);
            }
        }
    }
    found
}

/// Words for people: `port 8305`, `ports 8305, 8306`.
pub(crate) fn shown(ports: &[u16]) -> String {
    let numbers: Vec<_> = ports.iter().map(u16::to_string).collect();
    format!("port{} {}", if ports.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_whose_name_ends_in_port_names_one() {
        for (text, expected) in [
            ("proxyssl {\n  proxy_cipher 1;\n  proxy_tls_version TLSv1.2;\n};\n", &[][..]),
            ("  port 8306;\n", &[8306]),
            ("mgmt_port=8306\r\nMgmtPort: \"8306\";", &[8306]),
            ("a { proxy_port 8307; port 8306; }", &[8307, 8306]),
            ("# port 8306\nport 0; port 99999; port x; report\nport", &[]),
            ("transport tcp 8306;\u{fffd} ports 5", &[]),
        ] {
            assert_eq!(in_conf(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(shown(&[8305]), "port 8305");
        assert_eq!(shown(&[1, 2]), "ports 1, 2");
    }
}
