//! The kernel's own socket tables: established TCP connections that are sftunnel's. One is, when
//! it has one of its ports at either end, or when its process holds it, or when it came in at a
//! port on which its process listens. The form of `/proc/net/tcp` and `tcp6` is that of
//! proc_net_tcp.rst in Linux' documentation: addresses in hexadecimal words in the byte order of
//! the machine.
//!
//! Its process may hold none, for another one may do that work. So a connection that is not known
//! to be sftunnel's is none that is known not to be.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use cli::disk::root::names_in;
use formats::limits::LimitError;
use rustix::fs::readlinkat;
use serde::Serialize;

use crate::appliance::host::Host;

/// Upper bound on a table: some 25,000 connections.
const TABLE: u64 = 4 * 1024 * 1024;
const ESTABLISHED: &str = "01";
const LISTENING: &str = "0A";

/// An established connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Connection {
    /// This end, `address:port`.
    pub local: String,
    /// The other end.
    pub remote: String,
}

/// The connections in the tables.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sockets {
    /// Those that are sftunnel's.
    pub tunnels: Vec<Connection>,
    /// There are others with another box, which may be sftunnel's or not.
    pub has_others: bool,
}

impl Sockets {
    /// True when this box is connected with none: then there is no tunnel, whatever its port.
    pub(super) fn is_empty(&self) -> bool {
        self.tunnels.is_empty() && !self.has_others
    }
}

/// Those of sftunnel's network namespace, or else of our own; `None` when the tables cannot be
/// read in full.
pub(super) fn read(host: &Host, pid: Option<u32>, ports: &[u16]) -> Option<Sockets> {
    let own = pid.map(|pid| PathBuf::from(format!("/proc/{pid}/net")));
    let rows = own.as_deref().and_then(|folder| tables(host, folder));
    let rows = rows.or_else(|| tables(host, Path::new("/proc/net")))?;
    let held = pid.and_then(|pid| held_by(host, pid)).unwrap_or_default();
    Some(told_apart(&rows, &held, ports))
}

fn tables(host: &Host, folder: &Path) -> Option<Vec<Row>> {
    let mut rows = table(&host.root().read(&folder.join("tcp"), TABLE).ok()?)?;
    match host.root().read(&folder.join("tcp6"), TABLE) {
        Ok(text) => rows.extend(table(&text)?),
        // a kernel without IPv6
        Err(LimitError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => return None,
    }
    Some(rows)
}

/// The inodes of the sockets that a process holds: its descriptors lead to `socket:[12345]`.
fn held_by(host: &Host, pid: u32) -> Option<HashSet<u64>> {
    let folder = host.root().open_dir(Path::new(&format!("/proc/{pid}/fd"))).ok()?;
    let inode = |name| {
        let target = readlinkat(&folder, name, Vec::new()).ok()?.into_string().ok()?;
        target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    Some(names_in(&folder).ok()?.iter().filter_map(|name| inode(name.as_os_str())).collect())
}

/// Pure.
fn told_apart(rows: &[Row], held: &HashSet<u64>, ports: &[u16]) -> Sockets {
    let is_held = |row: &Row| row.inode.is_some_and(|inode| held.contains(&inode));
    let listens = |row: &&Row| row.is_listening && is_held(row) && !row.local.ip().is_loopback();
    let open: HashSet<u16> = rows.iter().filter(listens).map(|row| row.local.port()).collect();
    let mut sockets = Sockets::default();
    for row in rows.iter().filter(|row| row.is_established) {
        let (local, remote) = (row.local, row.remote);
        // one of the box with itself is no tunnel, whoever holds it
        let is_outward = local.ip() != remote.ip();
        let has_port = ports.contains(&local.port()) || ports.contains(&remote.port());
        if has_port || is_outward && (is_held(row) || open.contains(&local.port())) {
            sockets
                .tunnels
                .push(Connection { local: local.to_string(), remote: remote.to_string() });
        } else {
            sockets.has_others |= is_outward;
        }
    }
    sockets
}

/// A line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    local: SocketAddr,
    remote: SocketAddr,
    is_established: bool,
    is_listening: bool,
    inode: Option<u64>,
}

/// Reads one table; `None` unless every line of it can be read.
pub(super) fn table(text: &[u8]) -> Option<Vec<Row>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines();
    // the headings, so that an empty file is not taken for an empty table
    lines.next().filter(|line| line.contains("local_address"))?;
    let row = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
        Some(Row {
            local: end(local)?,
            remote: end(remote)?,
            is_established: state == ESTABLISHED,
            is_listening: state == LISTENING,
            // after queues, timer, retransmissions, user and time-outs
            inode: words.nth(5).and_then(|word| word.parse().ok()),
        })
    };
    lines.filter(|line| !line.trim().is_empty()).map(row).collect()
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

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    #[test]
    fn reads_the_table_of_the_running_kernel() {
        let listener = TcpListener::bind("127.83.5.1:8305").unwrap();
        let stream = TcpStream::connect("127.83.5.1:8305").unwrap();
        let (_accepted, _) = listener.accept().unwrap();
        let rows = table(&std::fs::read("/proc/net/tcp").unwrap()).unwrap();
        let here = stream.local_addr().unwrap().to_string();
        let ours = Connection { local: here.clone(), remote: "127.83.5.1:8305".to_owned() };
        let found = told_apart(&rows, &HashSet::new(), &[8305]).tunnels;
        assert!(found.contains(&ours), "{ours:?} in {found:?}");
        // the listening socket itself is no connection
        assert!(found.iter().all(|connection| connection.remote != "0.0.0.0:0"));
        // the inode is that of the descriptor, which is how a process's own are found
        let host = Host::open(Path::new("/"), crate::appliance::host::Told::default()).unwrap();
        let held = held_by(&host, std::process::id()).unwrap();
        assert!(told_apart(&rows, &held, &[1]).tunnels.contains(&ours), "{ours:?} is held");
        drop((stream, listener));
    }

    #[test]
    fn a_table_that_cannot_be_read_in_full_is_none() {
        assert_eq!(table(HEAD.as_bytes()), Some(Vec::new()));
        for text in [
            "",
            "x\n",
            &format!("{HEAD}   0: 0100007F:2071\n"),
            &format!("{HEAD} 0: 01:2071 01:1 01\n"),
        ] {
            assert_eq!(table(text.as_bytes()), None, "{text:?}");
        }
        #[cfg(target_endian = "little")]
        {
            let rows = table(format!("{HEAD}   0: 0000000000000000FFFF00000100007F:2071 0000000000000000FFFF00000200007F:C001 01 00\n").as_bytes());
            let local: SocketAddr = "127.0.0.1:8305".parse().unwrap();
            assert_eq!(rows.unwrap()[0].local, local);
        }
    }

    /// This end, the other end, state, inode.
    fn rows(lines: &[(&str, &str, &str, u64)]) -> Vec<Row> {
        let row = |(local, remote, state, inode): &(&str, &str, &str, u64)| Row {
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            is_established: *state == ESTABLISHED,
            is_listening: *state == LISTENING,
            inode: Some(*inode),
        };
        lines.iter().map(row).collect()
    }

    #[test]
    fn a_connection_is_sftunnels_by_its_port_its_process_or_where_it_listens() {
        let own = HashSet::from([7, 8]);
        let out = ("10.0.0.9:49000", "10.0.0.1:8306", ESTABLISHED);
        let inward = ("10.0.0.9:8306", "10.0.0.1:49000", ESTABLISHED);
        let listen = ("0.0.0.0:8306", "0.0.0.0:0", LISTENING, 8);
        let at_home = ("127.0.0.1:8306", "0.0.0.0:0", LISTENING, 8);
        let itself = ("10.0.0.9:49000", "10.0.0.9:3306", ESTABLISHED);
        let with = |(local, remote, state): (&'static str, &'static str, &'static str), inode| {
            (local, remote, state, inode)
        };
        for (lines, ports, tunnels, has_others) in [
            (vec![with(out, 1)], [8306], 1, false),
            (vec![with(out, 1)], [8305], 0, true),
            (vec![with(out, 7)], [8305], 1, false),
            (vec![with(inward, 1)], [8306], 1, false),
            (vec![with(inward, 1), listen], [8305], 1, false),
            (vec![with(inward, 1), at_home], [8305], 0, true),
            (vec![with(itself, 7), with(itself, 1)], [8305], 0, false),
            (vec![listen], [8306], 0, false),
            (vec![("10.0.0.9:8305", "10.0.0.1:1", "06", 7)], [8305], 0, false),
            (vec![], [8305], 0, false),
        ] {
            let sockets = told_apart(&rows(&lines), &own, &ports);
            assert_eq!(
                (sockets.tunnels.len(), sockets.has_others),
                (tunnels, has_others),
                "{lines:?}"
            );
        }
    }
}
