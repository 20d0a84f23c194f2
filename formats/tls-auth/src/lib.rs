//! Observation and control of TLS client authentication: which side asks for the client's
//! certificate, when, and whether it is given.
//!
//! A server may ask in the handshake, in a second one (TLS 1.2, renegotiation) or at any time after
//! it (TLS 1.3, RFC 8446, section 4.6.2), and sftunnel has been seen to do each of them
//! (docs/facts.md). OpenSSL has calls for all of it; the `openssl` crate wraps none of them. This
//! crate does, and is the only one of the workspace with `unsafe` in it, all of it in `ffi`.

mod ffi;

use openssl::error::ErrorStack;
use openssl::ssl::{SslRef, SslStream};

/// One handshake message, as it is sent or received, in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Sender of the message.
    pub by: Side,
    /// Type of the message, as numbered by IANA ("TLS HandshakeType"); see [`kind`].
    pub kind: u8,
}

/// One end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This process.
    Us,
    /// The other end.
    Them,
}

/// The types of [`Message`] that matter here.
pub mod kind {
    /// The server asks for the client's certificate.
    pub const CERTIFICATE_REQUEST: u8 = 13;
    /// Proof of the private key: sent only with a certificate, never with an empty list of them.
    pub const CERTIFICATE_VERIFY: u8 = 15;
    /// The last message of each side.
    pub const FINISHED: u8 = 20;
}

/// Tells `see` each handshake message of this connection, from the first to the last. It must not
/// call back into the connection.
///
/// # Errors
/// Fails when OpenSSL has no memory for it.
pub fn watch(
    ssl: &mut SslRef,
    see: impl Fn(Message) + Send + Sync + 'static,
) -> Result<(), ErrorStack> {
    ffi::watch(ssl, Box::new(see))
}

/// Offers TLS 1.3 post-handshake authentication, as a client. A server that wants it and
/// is not offered it ends the connection.
pub fn offer_after_handshake(ssl: &mut SslRef) {
    ffi::offer_after_handshake(ssl);
}

/// Requires the client's certificate from now on, as a server, and requests it again by
/// renegotiation (TLS 1.2) or after the handshake (TLS 1.3). The next handshake or write sends the
/// request, later reads process the answer.
///
/// # Errors
/// Fails when the connection cannot: there was no handshake yet, or the client does not offer it.
pub fn require_certificate<S>(stream: &mut SslStream<S>) -> Result<(), ErrorStack> {
    ffi::require_certificate(stream)
}
