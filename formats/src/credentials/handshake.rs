//! A TLS handshake with a set of credentials, made in the manner of sftunnel: own certificate and
//! CA are sent, the other side's is checked against the same CA, no host name is checked
//! (docs/facts.md).
//!
//! The caller provides the stream, with its time limits, and the time. Nothing is sent but the
//! handshake and the closing alert. One handshake alone proves little: the other side may ask for
//! the certificate later (by renegotiation, or in TLS 1.3 after the handshake), or never, and a
//! refusal may come once the client is done. So the stream is read for a while longer, and the
//! result tells what was seen: the certificate asked for or not, given or not, the other side still
//! there or gone.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use openssl::error::ErrorStack;
use openssl::ssl::{
    self, ErrorCode, Ssl, SslContextBuilder, SslMethod, SslSessionCacheMode, SslStream,
    SslVerifyMode, SslVersion,
};
use openssl::x509::{X509StoreContextRef, X509VerifyResult};
use serde::Serialize;
use tls_auth::{Message, Side, kind};

use super::certificate::facts;
use super::pem::Form;
use super::{CertificateFacts, CheckedCredentials, private_key};
use crate::device::CredentialFile;
use crate::timestamp::Timestamp;

/// OpenSSL's level of 80 bits: the lowest at which SHA-1 is refused, as by sftunnel
/// (docs/facts.md).
pub(super) const SECURITY_LEVEL: u32 = 1;
/// OpenSSL counts alerts from here in its reason codes.
const ALERTS: i32 = 1000;
/// Number of further requests for the certificate after which reading ends.
const ROUNDS: usize = 4;
/// Bytes of the other side's own protocol that show it has gone on, whatever they say.
const ENOUGH: usize = 64 * 1024;

/// A completed handshake, and what was seen of our certificate in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// TLS version: `TLSv1.2` or `TLSv1.3`.
    pub protocol: String,
    /// Name of the cipher in OpenSSL.
    pub cipher: String,
    /// Certificate of the other side.
    pub peer: CertificateFacts,
    /// Each time that the other side asked for our certificate; empty when it never did.
    pub asked: Vec<Asked>,
    /// True if our certificate was sent, with the proof of its key.
    pub given: bool,
    /// True if the other side then ended the connection without an alert that says why.
    pub ended: bool,
}

/// Moment at which the other side asked for our certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Asked {
    /// During the first handshake.
    InHandshake,
    /// During a renegotiation (TLS 1.2).
    ByRenegotiation,
    /// After the handshake (TLS 1.3).
    AfterHandshake,
}

/// A failed handshake, and what was seen of our certificate until then.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unfinished {
    /// Cause of the failure.
    pub error: HandshakeError,
    /// See [`Handshake`].
    pub asked: Vec<Asked>,
    /// See [`Handshake`].
    pub given: bool,
}

/// Reasons why the two sides did not accept each other.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// OpenSSL refuses our own set.
    #[error("these credentials cannot be used for TLS: {0}")]
    Own(ErrorStack),
    /// The other side's certificate is not from this CA.
    #[error("the other side's certificate is not from the new CA ({reason}){}", Shown(peer))]
    TheirCertificate {
        /// Verdict of OpenSSL.
        reason: &'static str,
        /// The certificate, where it could be read.
        peer: Option<Box<CertificateFacts>>,
    },
    /// A certificate of the other side is outside its validity by our clock.
    #[error("{reason} by the clock of this box, which says {now}{}", Shown(peer))]
    Clock {
        /// Verdict of OpenSSL.
        reason: &'static str,
        /// The time of the check.
        now: Timestamp,
        /// The certificate, where it could be read.
        peer: Option<Box<CertificateFacts>>,
    },
    /// The other side refuses our certificate.
    #[error("the other side refuses the new certificate ({alert})")]
    OurCertificate {
        /// Name of its alert.
        alert: String,
    },
    /// The two sides have no TLS version or cipher in common.
    #[error("no TLS version or cipher in common ({reason})")]
    Protocol {
        /// Text of OpenSSL or of the other side's alert.
        reason: String,
    },
    /// TLS failed for another reason, ours or the other side's.
    #[error("TLS failed ({reason})")]
    Other {
        /// Text of OpenSSL or of the other side's alert.
        reason: String,
    },
    /// The peer does not speak TLS.
    #[error("what answers does not speak TLS ({0})")]
    NotTls(String),
    /// The other side ended the connection.
    #[error("the other side closed the connection {0}")]
    Closed(&'static str),
    /// The stream failed; [`io::ErrorKind::TimedOut`] means that nothing came in time.
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

/// Observations made on a connection so far.
#[derive(Debug, Default)]
struct Seen {
    /// The verdict on the other side's certificate, when it is a bad one.
    error: Option<X509VerifyResult>,
    peer: Option<CertificateFacts>,
    /// Handshakes that our side has finished.
    finished: usize,
    /// Requests for our certificate, in the first handshake and later.
    asked: (usize, usize),
    /// Proofs of our key that were sent.
    proofs: usize,
    /// Negotiated version, once the first handshake is done.
    version: Option<SslVersion>,
}

/// [`Seen`], as OpenSSL's callbacks share it.
#[derive(Debug, Clone, Default)]
struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    fn with<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn proofs(&self) -> usize {
        self.with(|seen| seen.proofs)
    }
}

impl CheckedCredentials {
    /// Makes a handshake as a client, at the time `now`, observes what follows, and ends the
    /// session.
    ///
    /// The stream has to end a read that takes too long with [`io::ErrorKind::WouldBlock`]. `after`
    /// sets how long to wait for the other side: it is called once the client's side is done, again
    /// each time that the certificate was given later, and before the closing alert.
    ///
    /// # Errors
    /// Returns a [`HandshakeError`], as precise as the protocol allows, with what was seen before.
    pub fn handshake<S: Read + Write + fmt::Debug>(
        &self,
        stream: S,
        now: Timestamp,
        after: impl FnMut(&mut S),
    ) -> Result<Handshake, Unfinished> {
        let watch = Watch::default();
        self.watched_handshake(stream, now, &watch, after).map_err(|error| {
            let asked = watch.with(|seen| seen.asked());
            Unfinished { error, asked, given: watch.proofs() > 0 }
        })
    }

    fn watched_handshake<S: Read + Write + fmt::Debug>(
        &self,
        stream: S,
        now: Timestamp,
        watch: &Watch,
        mut after: impl FnMut(&mut S),
    ) -> Result<Handshake, HandshakeError> {
        let ssl = self.prepare(now, watch).map_err(HandshakeError::Own)?;
        let mut stream = ssl.connect(stream).map_err(|error| match error {
            ssl::HandshakeError::SetupFailure(stack) => HandshakeError::Own(stack),
            ssl::HandshakeError::WouldBlock(_) => HandshakeError::Io(timed_out()),
            ssl::HandshakeError::Failure(middle) => failed(middle.into_error(), watch, now),
        })?;
        watch.with(|seen| seen.version = stream.ssl().version2());
        let of_peer = stream.ssl().peer_certificate().and_then(|peer| facts(&peer));
        let peer = of_peer.ok_or(HandshakeError::Closed("without a certificate"))?;
        let ended = look_after(&mut stream, watch, now, &mut after)?;
        let handshake = Handshake {
            protocol: stream.ssl().version_str().to_owned(),
            cipher: stream.ssl().current_cipher().map_or("", |cipher| cipher.name()).to_owned(),
            peer,
            asked: watch.with(|seen| seen.asked()),
            given: watch.proofs() > 0,
            ended,
        };
        // an orderly end takes time; the other side may be gone already
        after(stream.get_mut());
        let _ = stream.shutdown();
        Ok(handshake)
    }

    fn prepare(&self, now: Timestamp, watch: &Watch) -> Result<Ssl, ErrorStack> {
        let key = private_key::read(self.files().file(CredentialFile::Key), Form::Found)
            .map_err(|_| ErrorStack::get())?;
        let mut context = SslContextBuilder::new(SslMethod::tls_client())?;
        context.set_security_level(SECURITY_LEVEL);
        context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
        context.set_session_cache_mode(SslSessionCacheMode::OFF);
        context.set_certificate(&self.certificate().x509)?;
        context.set_private_key(&key)?;
        context.check_private_key()?;
        context.add_extra_chain_cert(self.ca().x509.clone())?;
        context.cert_store_mut().add_cert(self.ca().x509.clone())?;
        let verdicts = watch.clone();
        context.set_verify_callback(SslVerifyMode::PEER, move |is_good, store| {
            verdicts.with(|seen| seen.note(is_good, store));
            is_good
        });
        let mut ssl = Ssl::new(&context.build())?;
        ssl.param_mut().set_time(now.unix());
        tls_auth::offer_after_handshake(&mut ssl);
        let messages = watch.clone();
        tls_auth::watch(&mut ssl, move |message| messages.with(|seen| seen.hear(message)))?;
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

    fn hear(&mut self, message: Message) {
        match (message.by, message.kind) {
            (Side::Them, kind::CERTIFICATE_REQUEST) if self.finished == 0 => self.asked.0 += 1,
            (Side::Them, kind::CERTIFICATE_REQUEST) => self.asked.1 += 1,
            (Side::Us, kind::CERTIFICATE_VERIFY) => self.proofs += 1,
            (Side::Us, kind::FINISHED) => self.finished += 1,
            _ => {}
        }
    }

    fn asked(&self) -> Vec<Asked> {
        let later = match self.version {
            Some(SslVersion::TLS1_3) => Asked::AfterHandshake,
            _ => Asked::ByRenegotiation,
        };
        let (first, again) = self.asked;
        [vec![Asked::InHandshake; first], vec![later; again]].concat()
    }

    /// The verdict on the other side's certificate, when it is a bad one.
    fn verdict(&self, now: Timestamp) -> Option<HandshakeError> {
        let error = self.error?;
        let (reason, peer) = (error.error_string(), self.peer.clone().map(Box::new));
        // X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
        Some(match error.as_raw() {
            9 | 10 => HandshakeError::Clock { reason, now, peer },
            _ => HandshakeError::TheirCertificate { reason, peer },
        })
    }
}

/// Reads on until nothing more happens to our certificate. Returns true if the other side has ended
/// the connection meanwhile.
fn look_after<S: Read + Write>(
    stream: &mut SslStream<S>,
    watch: &Watch,
    now: Timestamp,
    after: &mut impl FnMut(&mut S),
) -> Result<bool, HandshakeError> {
    for _ in 0..ROUNDS {
        let proofs = watch.proofs();
        after(stream.get_mut());
        if let Err(error) = read_until_quiet(stream) {
            return match failed(error, watch, now) {
                // between two handshakes an end says nothing of the certificate
                HandshakeError::Closed(_) if stream.ssl().is_init_finished() => Ok(true),
                error => Err(error),
            };
        }
        if watch.proofs() == proofs {
            break;
        }
    }
    Ok(false)
}

/// Takes part in the handshakes that the other side begins, and ignores other data.
fn read_until_quiet<S: Read + Write>(stream: &mut SslStream<S>) -> Result<(), ssl::Error> {
    let mut total = 0;
    while total < ENOUGH {
        match stream.ssl_read(&mut [0; 1024]) {
            Ok(length) => total += length,
            Err(error) if matches!(error.code(), ErrorCode::WANT_READ | ErrorCode::WANT_WRITE) => {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Classifies the end of a handshake, or of the reading after it.
fn failed(error: ssl::Error, watch: &Watch, now: Timestamp) -> HandshakeError {
    let (verdict, was_given) = watch.with(|seen| (seen.verdict(now), seen.proofs > 0));
    if let Some(verdict) = verdict {
        return verdict;
    }
    if let Some(first) = error.ssl_error().and_then(|stack| stack.errors().first()) {
        let reason = first.reason().unwrap_or("no reason given").to_owned();
        return match first.reason_code() - ALERTS {
            // handshake_failure, the certificate alerts of RFC 8446, section 6.2, and
            // decrypt_error: about a certificate only once it was given
            40..=46 | 48 | 49 | 51 | 116 if was_given => {
                HandshakeError::OurCertificate { alert: reason }
            }
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
            // handshake_failure, protocol_version, insufficient_security
            40 | 70 | 71 => HandshakeError::Protocol { reason },
            _ if ["protocol", "cipher", "version"].iter().any(|word| reason.contains(word)) => {
                HandshakeError::Protocol { reason }
            }
            _ => HandshakeError::Other { reason },
        };
    }
    match error.into_io_error() {
        Ok(error) if is_gone(&error) => closed(was_given),
        Ok(error) => HandshakeError::Io(error),
        Err(_) => closed(was_given),
    }
}

fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

fn closed(was_given: bool) -> HandshakeError {
    HandshakeError::Closed(if was_given {
        "after it was given the new certificate, without saying why"
    } else {
        "in the middle of the handshake, without saying why"
    })
}

fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}
