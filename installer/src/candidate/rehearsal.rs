//! A rehearsal: a real TLS handshake with the manager, made with the new credentials in memory
//! before anything is replaced. The handshake itself is `formats::credentials`'s; here are the
//! address, the connection and its time limits, and what each failure means to a person.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use cli::say::failure::Failure;
use formats::credentials::{Asked, CertificateFacts, Handshake, HandshakeError, Unfinished};
use formats::device::ManagerUuid;
use formats::error::Reason;
use formats::text::printable;
use rustix::io::Errno;
use serde::Serialize;

use crate::appliance::host::Host;
use crate::appliance::service;
use crate::appliance::tunnel;
use crate::candidate::Accepted;

/// Limit for resolving a name.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);
/// Limit for connecting to one address.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Maximum number of addresses to try.
const ADDRESSES: usize = 4;
/// Limit for the whole handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);
/// Limit for the manager's reaction afterwards: asking for the certificate, or refusing it.
const AFTER_LIMIT: Duration = Duration::from_secs(2);

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
        let doubt = doubt(&handshake);
        Self {
            status: if doubt.is_some() { Status::Inconclusive } else { Status::Passed },
            message: doubt,
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
            failed_at: Some(problem.failed_at),
            message: Some(problem.message),
            certificate: problem.certificate.map(|facts| *facts),
            asked: problem.asked,
            given: problem.given,
            ..self
        }
    }
}

/// Reason why a completed handshake does not show that the manager accepts the new certificate.
fn doubt(handshake: &Handshake) -> Option<String> {
    let wait = AFTER_LIMIT.as_secs();
    match (handshake.asked.is_empty(), handshake.given, handshake.ended) {
        (false, true, false) => None,
        (false, true, true) => Some(
            "it was given the new certificate and ended the connection without saying why"
                .to_owned(),
        ),
        (true, _, true) => {
            Some("it ended the connection without asking for the new certificate".to_owned())
        }
        (true, ..) => Some(format!("it did not ask for the new certificate within {wait} s")),
        (false, false, _) => {
            Some("it asked for a certificate of a kind that the new one is not".to_owned())
        }
    }
}

/// A failure in one word, in a sentence, and what to do.
struct Problem {
    failed_at: &'static str,
    message: String,
    hint: &'static str,
    certificate: Option<Box<CertificateFacts>>,
    /// Requests for our certificate so far.
    asked: Vec<Asked>,
    given: bool,
}

impl Problem {
    fn new(failed_at: &'static str, message: impl Into<String>, hint: &'static str) -> Self {
        Self {
            failed_at,
            message: message.into(),
            hint,
            certificate: None,
            asked: Vec::new(),
            given: false,
        }
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
                let message = format!("rehearsal with {named}: {}", problem.message);
                first.get_or_insert_with(|| {
                    Failure::refused(Reason::RehearsalFailed, &message).hint(problem.hint)
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

fn hosts_of(host: &Host, accepted: &[Accepted], hosts: &[String]) -> Result<Vec<String>, Failure> {
    if hosts.iter().all(String::is_empty) {
        return accepted.iter().map(|one| connected_host(host, one)).collect();
    }
    if hosts.len() != accepted.len() || hosts.iter().any(String::is_empty) {
        let message = format!(
            "--rehearse names {} hosts for {} managers",
            hosts.iter().filter(|host| !host.is_empty()).count(),
            accepted.len()
        );
        return Err(Failure::usage(message).hint(
            "give --rehearse=HOST once for each kit or bundle, in their order, or for none",
        ));
    }
    Ok(hosts.to_vec())
}

/// The files of the peer directory that might name the manager's address are of unknown form.
/// A tunnel that is still up names it.
fn connected_host(host: &Host, accepted: &Accepted) -> Result<String, Failure> {
    let manager = accepted.change.peer.manager.clone();
    let look =
        tunnel::look(host, std::slice::from_ref(&manager), &service::status(host), Duration::MAX);
    let found = look.tunnels.into_iter().next().and_then(|tunnel| {
        // several addresses: any may be another interface of it
        tunnel.connected_to.into_iter().next()
    });
    found.ok_or_else(|| {
        let message = format!(
            "the address of manager {manager} is not known: its tunnel is not seen up on this box"
        );
        Failure::usage(message).hint("name it: --rehearse=HOST, or --rehearse=HOST:PORT")
    })
}

fn rehearse(host: &Host, accepted: &Accepted, named: &str) -> Result<Handshake, Problem> {
    let port = tunnel::ports(host).into_iter().next();
    let stream = connect(&addresses(named, port)?)?;
    let limited = Limited { stream, until: Instant::now() + HANDSHAKE_LIMIT };
    let credentials = accepted.bundle.credentials();
    let after = |limited: &mut Limited| limited.until = Instant::now() + AFTER_LIMIT;
    credentials.handshake(limited, host.now(), after).map_err(|unfinished| {
        let Unfinished { error, asked, given } = unfinished;
        Problem { asked, given, ..problem(error) }
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

fn addresses(named: &str, port: Option<u16>) -> Result<Vec<SocketAddr>, Problem> {
    let (name, port) = split(named, port)
        .ok_or_else(|| no_address("it is no name or address with an optional port".to_owned()))?;
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
        Ok(Err(error)) => Err(no_address(format!("its address was not found: {error}"))),
        Err(_) => Err(no_address(format!(
            "its address was not found within {} s",
            RESOLVE_LIMIT.as_secs()
        ))),
    }
}

fn no_address(why: String) -> Problem {
    Problem::new("address", why, "give the manager's IP address: --rehearse=ADDRESS")
}

fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, Problem> {
    let mut problem = None;
    for address in addresses {
        match TcpStream::connect_timeout(address, CONNECT_LIMIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => problem = Some(not_connected(*address, &error)),
        }
    }
    Err(problem.unwrap_or_else(|| no_address("that name has no address".to_owned())))
}

fn not_connected(address: SocketAddr, error: &io::Error) -> Problem {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    match (error.kind(), code) {
        (io::ErrorKind::ConnectionRefused, _) => Problem::new(
            "connection-refused",
            format!("{address} refuses the connection: nothing listens there"),
            "is that the manager's address, and does sftunnel run there?",
        ),
        (_, Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::NETDOWN | Errno::HOSTDOWN)) => {
            Problem::new(
                "no-route",
                format!("no route to {address}: {error}"),
                "this box cannot reach the manager now; --rehearse is of no use here",
            )
        }
        (io::ErrorKind::TimedOut, _) => Problem::new(
            "timeout",
            format!("{address} did not answer within {} s", CONNECT_LIMIT.as_secs()),
            "is that the manager's address? A firewall on the way may drop its port",
        ),
        _ => {
            Problem::new("other", format!("{address}: {error}"), "look at the network of this box")
        }
    }
}

fn problem(error: HandshakeError) -> Problem {
    let message = error.to_string();
    match error {
        HandshakeError::TheirCertificate { peer, .. } => Problem {
            certificate: peer,
            ..Problem::new(
                "their-certificate",
                message,
                "the manager does not use the CA that made this bundle: it may run on its old files still (restart sftunnel there), have made another CA since, or be another manager",
            )
        },
        HandshakeError::Clock { peer, .. } => Problem {
            certificate: peer,
            ..Problem::new(
                "clock",
                message,
                "compare the clocks of this box and of the manager; with the right time on both, the manager uses expired files",
            )
        },
        HandshakeError::OurCertificate { .. } => Problem::new(
            "our-certificate",
            message,
            "look at the manager's /var/log/messages for the reason: it may not have loaded its new CA, or its clock may be wrong",
        ),
        HandshakeError::Protocol { .. } => Problem::new(
            "protocol",
            message,
            "compare proxy_tls_version and proxy_cipher in the manager's /etc/sf/sftunnel.conf",
        ),
        HandshakeError::Other { .. } => Problem::new(
            "protocol",
            message,
            "look at the manager's /var/log/messages for the reason",
        ),
        HandshakeError::NotTls(_) => {
            Problem::new("not-tls", message, "is that the manager's address and port?")
        }
        HandshakeError::Closed(_) => Problem::new(
            "closed",
            message,
            "look at the manager's /var/log/messages for the reason",
        ),
        HandshakeError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Problem::new(
            "timeout",
            format!("connected, but no answer within {} s", HANDSHAKE_LIMIT.as_secs()),
            "does sftunnel answer at that address and port?",
        ),
        HandshakeError::Io(_) | HandshakeError::Own(_) => {
            Problem::new("other", message, "look at the network of this box")
        }
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
