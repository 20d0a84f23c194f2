//! A TLS handshake with a set of credentials, as sftunnel makes one: own certificate and CA are
//! sent, the other side's is checked against the same CA, no host name is checked (docs/facts.md).
//!
//! The caller gives the stream, with its time limits, and the time. Nothing is sent but the
//! handshake and the closing alert. In TLS 1.3 a client is done before the server has looked
//! at its certificate; a refusal arrives afterwards and is read for.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use openssl::error::ErrorStack;
use openssl::ssl::{
    self, ErrorCode, Ssl, SslContextBuilder, SslMethod, SslSessionCacheMode, SslStream,
    SslVerifyMode, SslVersion,
};
use openssl::x509::{X509StoreContextRef, X509VerifyResult};

use super::{CertificateFacts, CheckedCredentials, facts, private_key};
use crate::device::CredentialFile;
use crate::timestamp::Timestamp;

/// 80 bits: the lowest level at which SHA-1 is refused, as by sftunnel (docs/facts.md).
const SECURITY_LEVEL: u32 = 1;
/// OpenSSL counts alerts from here in its reason codes.
const ALERTS: i32 = 1000;

/// Both sides took each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// `TLSv1.2`, `TLSv1.3`.
    pub protocol: String,
    /// OpenSSL's name of the cipher.
    pub cipher: String,
    /// The other side's certificate.
    pub peer: CertificateFacts,
}

/// Why the two did not take each other.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// OpenSSL does not take our own set.
    #[error("these credentials cannot be used for TLS: {0}")]
    Own(ErrorStack),
    /// The other side's certificate is not from this CA.
    #[error("the other side's certificate is not from the new CA ({reason}){}", Shown(peer))]
    TheirCertificate {
        /// OpenSSL's verdict.
        reason: &'static str,
        /// The certificate, where it could be read.
        peer: Option<Box<CertificateFacts>>,
    },
    /// A certificate of the other side is outside its validity by our clock.
    #[error("{reason} by the clock of this box, which says {now}{}", Shown(peer))]
    Clock {
        /// OpenSSL's verdict.
        reason: &'static str,
        /// The time that was given.
        now: Timestamp,
        /// The certificate, where it could be read.
        peer: Option<Box<CertificateFacts>>,
    },
    /// The other side refuses our certificate.
    #[error("the other side refuses the new certificate ({alert})")]
    OurCertificate {
        /// The name of its alert.
        alert: String,
    },
    /// No TLS version or cipher in common.
    #[error("no TLS version or cipher in common ({reason})")]
    Protocol {
        /// What OpenSSL or the other side's alert says.
        reason: String,
    },
    /// What answers does not speak TLS.
    #[error("what answers does not speak TLS ({0})")]
    NotTls(String),
    /// The other side ended the connection.
    #[error("the other side closed the connection {0}")]
    Closed(&'static str),
    /// The stream failed; with [`io::ErrorKind::TimedOut`] nothing came in time.
    #[error("{0}")]
    Io(io::Error),
}

struct Shown<'a>(&'a Option<Box<CertificateFacts>>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(peer) = self.0 else { return Ok(()) };
        let CertificateFacts { subject, not_before, not_after, .. } = &**peer;
        write!(f, ": {subject}, valid from {not_before} to {not_after}")
    }
}

/// What the verification saw.
#[derive(Debug, Default)]
struct Seen {
    error: Option<X509VerifyResult>,
    peer: Option<CertificateFacts>,
}

impl CheckedCredentials {
    /// Makes a handshake as a client, at the time `now`, and ends the session.
    ///
    /// The stream has to end a read that takes too long with [`io::ErrorKind::WouldBlock`];
    /// `after` is called once the client's side is done and may shorten that time for the
    /// answer that TLS 1.3 leaves open.
    ///
    /// # Errors
    /// [`HandshakeError`], as precisely as the protocol tells.
    pub fn handshake<S: Read + Write + fmt::Debug>(
        &self,
        stream: S,
        now: Timestamp,
        after: impl FnOnce(&mut S),
    ) -> Result<Handshake, HandshakeError> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let ssl = self.prepare(now, &seen).map_err(HandshakeError::Own)?;
        let take = || std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
        let mut stream = ssl.connect(stream).map_err(|error| match error {
            ssl::HandshakeError::SetupFailure(stack) => HandshakeError::Own(stack),
            ssl::HandshakeError::WouldBlock(_) => HandshakeError::Io(timed_out()),
            ssl::HandshakeError::Failure(middle) => failed(middle.into_error(), take(), now),
        })?;
        let of_peer = stream.ssl().peer_certificate().and_then(|peer| facts(&peer));
        let handshake = Handshake {
            protocol: stream.ssl().version_str().to_owned(),
            cipher: stream.ssl().current_cipher().map_or("", |cipher| cipher.name()).to_owned(),
            peer: of_peer.ok_or(HandshakeError::Closed("without a certificate"))?,
        };
        if stream.ssl().version2() == Some(SslVersion::TLS1_3) {
            after(stream.get_mut());
            require_no_refusal(&mut stream, take(), now)?;
        }
        // the other side may be gone already
        let _ = stream.shutdown();
        Ok(handshake)
    }

    fn prepare(&self, now: Timestamp, seen: &Arc<Mutex<Seen>>) -> Result<Ssl, ErrorStack> {
        let key = private_key::read(self.files.file(CredentialFile::Key))
            .map_err(|_| ErrorStack::get())?;
        let mut context = SslContextBuilder::new(SslMethod::tls_client())?;
        context.set_security_level(SECURITY_LEVEL);
        context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_certificate(&self.certificate.x509)?;
        context.set_private_key(&key)?;
        context.check_private_key()?;
        context.add_extra_chain_cert(self.ca.x509.clone())?;
        context.cert_store_mut().add_cert(self.ca.x509.clone())?;
        let seen = Arc::clone(seen);
        context.set_verify_callback(SslVerifyMode::PEER, move |is_good, store| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).note(is_good, store);
            is_good
        });
        let mut ssl = Ssl::new(&context.build())?;
        ssl.param_mut().set_time(now.unix());
        Ok(ssl)
    }
}

impl Seen {
    fn note(&mut self, is_good: bool, store: &X509StoreContextRef) {
        let leaf = store.chain().and_then(|chain| chain.get(0)).or(store.current_cert());
        self.peer = leaf.and_then(|leaf| facts(&leaf.to_owned()));
        if !is_good {
            self.error.get_or_insert(store.error());
        }
    }

    /// The verdict on the other side's certificate, when it is a bad one.
    fn verdict(self, now: Timestamp) -> Option<HandshakeError> {
        let error = self.error?;
        let (reason, peer) = (error.error_string(), self.peer.map(Box::new));
        // X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
        Some(match error.as_raw() {
            9 | 10 => HandshakeError::Clock { reason, now, peer },
            _ => HandshakeError::TheirCertificate { reason, peer },
        })
    }
}

/// Why a handshake, or the reading after it, ended.
fn failed(error: ssl::Error, seen: Seen, now: Timestamp) -> HandshakeError {
    let has_their_certificate = seen.peer.is_some();
    if let Some(verdict) = seen.verdict(now) {
        return verdict;
    }
    if let Some(first) = error.ssl_error().and_then(|stack| stack.errors().first()) {
        let reason = first.reason().unwrap_or("no reason given").to_owned();
        return match first.reason_code() - ALERTS {
            // handshake_failure: before the certificates it is about ciphers
            40 if has_their_certificate => HandshakeError::OurCertificate { alert: reason },
            // the certificate alerts of RFC 8446, section 6.2, and decrypt_error
            41..=46 | 48 | 49 | 51 | 116 => HandshakeError::OurCertificate { alert: reason },
            _ if [
                "wrong version number",
                "packet length too long",
                "http request",
                "bad record type",
            ]
            .iter()
            .any(|sign| reason.contains(sign)) =>
            {
                HandshakeError::NotTls(reason)
            }
            _ => HandshakeError::Protocol { reason },
        };
    }
    match error.into_io_error() {
        Ok(error) if is_gone(&error) => closed(has_their_certificate),
        Ok(error) => HandshakeError::Io(error),
        Err(_) => closed(has_their_certificate),
    }
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn closed(has_their_certificate: bool) -> HandshakeError {
    HandshakeError::Closed(if has_their_certificate {
        "after it was given the new certificate, without saying why"
    } else {
        "in the middle of the handshake, without saying why"
    })
}

/// Reads until something comes or the time is over; what comes is not looked at.
fn require_no_refusal<S: Read + Write>(
    stream: &mut SslStream<S>,
    seen: Seen,
    now: Timestamp,
) -> Result<(), HandshakeError> {
    match stream.ssl_read(&mut [0; 64]) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => {
            Ok(())
        }
        Err(error) => Err(failed(error, seen, now)),
    }
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}
