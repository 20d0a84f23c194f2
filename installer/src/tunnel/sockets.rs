//! The kernel's own socket table: established TCP connections with sftunnel's port at either
//! end. The form of `/proc/net/tcp` and `tcp6` is that of proc_net_tcp.rst in Linux'
//! documentation: addresses in hexadecimal words in the byte order of the machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use formats::limits::LimitError;
use serde::Serialize;

use crate::host::Host;

/// Of sftunnel (docs/facts.md).
pub(crate) const PORT: u16 = 8305;
/// As much of a table as is read: some 25,000 connections.
const TABLE: u64 = 4 * 1024 * 1024;
const ESTABLISHED: &str = "01";

/// An established connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Connection {
    /// This end, `address:port`.
    pub local: String,
    /// The other end.
    pub remote: String,
}

/// Those of this box's network namespace; `None` when the tables cannot be read in full.
pub(super) fn read(host: &Host) -> Option<Vec<Connection>> {
    let mut found = table(&host.root().read(Path::new("/proc/net/tcp"), TABLE).ok()?)?;
    match host.root().read(Path::new("/proc/net/tcp6"), TABLE) {
        Ok(text) => found.extend(table(&text)?),
        // a kernel without IPv6
        Err(LimitError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return None,
    }
    Some(found)
}

/// Of one table; `None` unless every line of it can be read.
pub(super) fn table(text: &[u8]) -> Option<Vec<Connection>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines();
    // the headings, so that an empty file is not taken for an empty table
    lines.next().filter(|line| line.contains("local_address"))?;
    let mut found = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
        let (local, remote) = (end(local)?, end(remote)?);
        if state == ESTABLISHED && (local.port() == PORT || remote.port() == PORT) {
            found.push(Connection { local: local.to_string(), remote: remote.to_string() });
        }
    }
    Some(found)
}

fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            let bytes: [u8; 16] = bytes.try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn reads_the_table_of_the_running_kernel() {
        let listener = TcpListener::bind("127.83.5.1:8305").unwrap();
        let stream = TcpStream::connect("127.83.5.1:8305").unwrap();
        let (_accepted, _) = listener.accept().unwrap();
        let found = table(&std::fs::read("/proc/net/tcp").unwrap()).unwrap();
        let here = stream.local_addr().unwrap().to_string();
        let ours = Connection { local: here.clone(), remote: "127.83.5.1:8305".to_owned() };
        assert!(found.contains(&ours), "{ours:?} in {found:?}");
        // the listening socket itself is no connection
        assert!(found.iter().all(|connection| connection.remote != "0.0.0.0:0"));
        drop((stream, listener));
    }

    #[test]
    fn a_table_that_cannot_be_read_in_full_is_none() {
        let head = "  sl  local_address rem_address   st tx_queue\n";
        assert_eq!(table(head.as_bytes()), Some(Vec::new()));
        for text in [
            "",
            "x\n",
            &format!("{head}   0: 0100007F:2071\n"),
            &format!("{head} 0: 01:2071 01:1 01\n"),
        ] {
            assert_eq!(table(text.as_bytes()), None, "{text:?}");
        }
        #[cfg(target_endian = "little")]
        assert_eq!(
            table(format!("{head}   0: 0000000000000000FFFF00000100007F:2071 0000000000000000FFFF00000200007F:C001 01 00\n").as_bytes()),
            Some(vec![Connection { local: "127.0.0.1:8305".to_owned(), remote: "127.0.0.2:49153".to_owned() }])
        );
    }
}
