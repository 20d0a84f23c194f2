//! A rehearsal: a real TLS handshake with the manager, made with the new credentials in memory
//! before anything is replaced. The handshake itself is `formats::credentials`'s; here are the
//! address, the connection and its time limits.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cli::say::failure::Failure;
use formats::credentials::{Asked, CertificateFacts, Handshake, HandshakeError, Unfinished};
use formats::device::ManagerUuid;
use formats::text::printable;
use rustix::io::Errno;
use serde::Serialize;

use crate::appliance::host::Host;
use crate::appliance::service;
use crate::appliance::tunnel;
use crate::candidate::Accepted;
use crate::candidate::error::{Error, NotRehearsed, Unclear};

/// Limit for resolving a name.
pub(crate) const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
/// Limit for connecting to one address.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Maximum number of addresses to try.
const ADDRESSES: usize = 4;
/// Limit for the whole handshake.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);
/// Limit for the manager's reaction afterwards: asking for the certificate, or refusing it.
pub(crate) const AFTER_LIMIT: Duration = Duration::from_secs(2);

/// Result of a rehearsal with one manager.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Rehearsal {
    pub manager: ManagerUuid,
    /// Host as named, or as found; foreign text.
    pub host: String,
    pub status: Status,
    /// Stage of the failure: `address`, `no-route`, `connection-refused`, `timeout`, `not-tls`,
    /// `protocol`, `their-certificate`, `clock`, `our-certificate`, `closed`, `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<&'static str>,
    /// Description of what happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `TLSv1.2`, `TLSv1.3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Cipher suite, by OpenSSL's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// The manager's certificate, where it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateFacts>,
    /// Each time that the manager asked for the new certificate, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asked>,
    /// The new certificate was sent, with the proof of its key.
    pub given: bool,
}

/// Verdict of a rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// The new certificate was given, and the manager stayed.
    Passed,
    /// The manager uses the new CA; what it thinks of the new certificate was not seen.
    Inconclusive,
    /// One does not take the other, or there was no handshake.
    Failed,
}

impl Rehearsal {
    fn new(manager: ManagerUuid, host: &str) -> Self {
        Self {
            manager,
            host: host.to_owned(),
            status: Status::Failed,
            failed_at: None,
            message: None,
            protocol: None,
            cipher: None,
            certificate: None,
            asked: Vec::new(),
            given: false,
        }
    }

    fn seen(self, handshake: Handshake) -> Self {
        let unclear = unclear(&handshake);
        Self {
            status: if unclear.is_some() { Status::Inconclusive } else { Status::Passed },
            message: unclear.map(|unclear| unclear.to_string()),
            protocol: Some(handshake.protocol),
            cipher: Some(handshake.cipher),
            certificate: Some(handshake.peer),
            asked: handshake.asked,
            given: handshake.given,
            ..self
        }
    }

    fn failed(self, problem: Problem) -> Self {
        Self {
            failed_at: Some(failed_at(&problem.error)),
            message: Some(problem.error.to_string()),
            certificate: certificate(problem.error),
            asked: problem.asked,
            given: problem.given,
            ..self
        }
    }
}

/// Reason why a completed handshake does not show that the manager accepts the new certificate.
fn unclear(handshake: &Handshake) -> Option<Unclear> {
    match (handshake.asked.is_empty(), handshake.given, handshake.ended) {
        (false, true, false) => None,
        (false, true, true) => Some(Unclear::EndedWithIt),
        (true, _, true) => Some(Unclear::EndedUnasked),
        (true, ..) => Some(Unclear::NotAsked),
        (false, false, _) => Some(Unclear::OtherKind),
    }
}

/// A failure, and how far the handshake came.
struct Problem {
    error: NotRehearsed,
    /// Requests for our certificate so far.
    asked: Vec<Asked>,
    given: bool,
}

impl From<NotRehearsed> for Problem {
    fn from(error: NotRehearsed) -> Self {
        Self { error, asked: Vec::new(), given: false }
    }
}

/// Rehearses with the manager of each bundle. `hosts` is one for each, in their order; empty
/// text stands for one that this box is connected to.
///
/// # Errors
/// Usage, when a host is not known; `rehearsal-failed` for the first that fails, with all of
/// them in the JSON.
pub(crate) fn run(
    host: &Host,
    accepted: &[Accepted],
    hosts: &[String],
) -> Result<Vec<Rehearsal>, Failure> {
    let hosts = hosts_of(host, accepted, hosts)?;
    let mut first: Option<Failure> = None;
    let mut rehearsals = Vec::new();
    for (one, named) in accepted.iter().zip(&hosts) {
        let manager = one.change.peer.manager.clone();
        let rehearsal = Rehearsal::new(manager, named);
        rehearsals.push(match rehearse(host, one, named) {
            Ok(handshake) => rehearsal.seen(handshake),
            Err(problem) => {
                first.get_or_insert_with(|| {
                    Failure::from(&problem.error).preceded_by(format!("rehearsal with {named}"))
                });
                rehearsal.failed(problem)
            }
        });
    }
    match first {
        Some(failure) => Err(failure.body(&serde_json::json!({ "rehearsals": rehearsals }))),
        None => Ok(rehearsals),
    }
}

/// Renders the results for people.
pub(crate) fn text(rehearsals: &[Rehearsal]) -> String {
    rehearsals.iter().map(one_text).collect()
}

fn one_text(one: &Rehearsal) -> String {
    let mut seen: Vec<&str> =
        [one.protocol.as_deref(), one.cipher.as_deref()].into_iter().flatten().collect();
    seen.extend(one.asked.last().map(|asked| match asked {
        Asked::InHandshake => "asked for in the handshake",
        Asked::ByRenegotiation => "asked for by renegotiation",
        Asked::AfterHandshake => "asked for after the handshake",
    }));
    let (host, seen) = (printable(&one.host), seen.join(", "));
    let seen = printable(&seen);
    match &one.message {
        None => format!(
            "Rehearsal {host} takes the new certificate, and its own is\n          from the new CA ({seen})\n"
        ),
        Some(doubt) => format!(
            "Rehearsal inconclusive: {host} uses the new CA, but\n          {doubt}\n          ({seen})\n"
        ),
    }
}

fn hosts_of(host: &Host, accepted: &[Accepted], hosts: &[String]) -> Result<Vec<String>, Error> {
    if hosts.iter().all(String::is_empty) {
        return accepted.iter().map(|one| connected_host(host, one)).collect();
    }
    if hosts.len() != accepted.len() || hosts.iter().any(String::is_empty) {
        let named = hosts.iter().filter(|host| !host.is_empty()).count();
        return Err(Error::RehearsalHosts { named, managers: accepted.len() });
    }
    Ok(hosts.to_vec())
}

/// The files of the peer directory that might name the manager's address are of unknown form.
/// A tunnel that is still up names it.
fn connected_host(host: &Host, accepted: &Accepted) -> Result<String, Error> {
    let manager = accepted.change.peer.manager.clone();
    let look =
        tunnel::look(host, std::slice::from_ref(&manager), &service::status(host), Duration::MAX);
    let found = look.tunnels.into_iter().next().and_then(|tunnel| {
        // several addresses: any may be another interface of it
        tunnel.connected_to.into_iter().next()
    });
    found.ok_or(Error::NoManagerAddress { manager })
}

fn rehearse(host: &Host, accepted: &Accepted, named: &str) -> Result<Handshake, Problem> {
    let port = tunnel::ports(host).into_iter().next();
    let stream = connect(&addresses(named, port)?)?;
    let limited = Limited { stream, until: Instant::now() + HANDSHAKE_LIMIT };
    let credentials = accepted.bundle.credentials();
    let after = |limited: &mut Limited| limited.until = Instant::now() + AFTER_LIMIT;
    credentials.handshake(limited, host.now(), after).map_err(|unfinished| {
        let Unfinished { error, asked, given } = unfinished;
        Problem { error: NotRehearsed::Handshake(error), asked, given }
    })
}

/// `HOST`, `HOST:PORT`, `[ADDRESS]:PORT`, or a bare IPv6 address; `port` where none is named.
fn split(named: &str, port: Option<u16>) -> Option<(String, u16)> {
    let bare = named.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(named);
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Some((address.to_string(), port?));
    }
    let (name, port) = match named.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok().filter(|port| *port != 0)?),
        None => (named, port?),
    };
    let name = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    let is_name = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        !name.is_empty() && name.len() <= 253 && name.chars().all(fits)
    };
    (is_name(name) || name.parse::<IpAddr>().is_ok()).then(|| (name.to_owned(), port))
}

fn addresses(named: &str, port: Option<u16>) -> Result<Vec<SocketAddr>, NotRehearsed> {
    let (name, port) = split(named, port).ok_or(NotRehearsed::NoHost)?;
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    // the system's resolver has no time limit of its own that could be set
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let found = (name.as_str(), port).to_socket_addrs();
        // nobody listens any more when it took too long
        let _ = sender.send(found.map(|found| found.take(ADDRESSES).collect::<Vec<_>>()));
    });
    match receiver.recv_timeout(RESOLVE_LIMIT) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(NotRehearsed::NotResolved(error)),
        Err(_) => Err(NotRehearsed::NotResolvedInTime),
    }
}

fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, NotRehearsed> {
    let mut last = NotRehearsed::NoAddress;
    for &address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = NotRehearsed::NotConnected { address, error },
        }
    }
    Err(last)
}

/// The word for the stage in the JSON.
fn failed_at(error: &NotRehearsed) -> &'static str {
    match error {
        NotRehearsed::NoHost
        | NotRehearsed::NotResolved(_)
        | NotRehearsed::NotResolvedInTime
        | NotRehearsed::NoAddress => "address",
        NotRehearsed::NotConnected { error, .. } if is_no_route(error) => "no-route",
        NotRehearsed::NotConnected { error, .. } => match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection-refused",
            io::ErrorKind::TimedOut => "timeout",
            _ => "other",
        },
        NotRehearsed::Handshake(error) => match error {
            HandshakeError::TheirCertificate { .. } => "their-certificate",
            HandshakeError::Clock { .. } => "clock",
            HandshakeError::OurCertificate { .. } => "our-certificate",
            HandshakeError::Protocol { .. } | HandshakeError::Other { .. } => "protocol",
            HandshakeError::NotTls(_) => "not-tls",
            HandshakeError::Closed(_) => "closed",
            HandshakeError::Io(error) if error.kind() == io::ErrorKind::TimedOut => "timeout",
            HandshakeError::Io(_) | HandshakeError::Own(_) => "other",
        },
    }
}

/// Returns true if the network has no way there.
pub(crate) fn is_no_route(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::HOSTDOWN))
}

/// The manager's certificate, where it is what was refused.
fn certificate(error: NotRehearsed) -> Option<CertificateFacts> {
    match error {
        NotRehearsed::Handshake(
            HandshakeError::TheirCertificate { peer, .. } | HandshakeError::Clock { peer, .. },
        ) => peer.map(|facts| *facts),
        _ => None,
    }
}

/// A connection that ends at a point in time, however slowly the other side drips. A read or write
/// that its time limit ended is [`io::ErrorKind::WouldBlock`] on Linux.
#[derive(Debug)]
struct Limited {
    stream: TcpStream,
    until: Instant,
}

impl Limited {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(left) }
    }
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Limited {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port() {
        let named =
            |text: &str| split(text, Some(8305)).map(|(name, port)| format!("{name} {port}"));
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1 8305"),
            ("10.0.0.1:8306", "10.0.0.1 8306"),
            ("fmc.example", "fmc.example 8305"),
            ("fmc:1", "fmc 1"),
            ("fe80::1", "fe80::1 8305"),
            ("[::1]", "::1 8305"),
            ("[::1]:9", "::1 9"),
        ] {
            assert_eq!(named(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", ":1", "fmc:", "fmc:0", "fmc:99999", "a b", "/mnt/kit", "a:b:1", "x\u{1b}"]
        {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
