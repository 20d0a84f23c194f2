//! The foreign calls, declared like in OpenSSL's manual: `SSL_set_msg_callback(3)`,
//! `SSL_set_post_handshake_auth(3)`, `SSL_verify_client_post_handshake(3)`, `SSL_renegotiate(3)`.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslRef, SslStream, SslVerifyMode, SslVersion};
use openssl_sys::SSL;

use crate::{Message, Side};

/// `SSL3_RT_HANDSHAKE`; OpenSSL reports records and alerts as well.
const HANDSHAKE: c_int = 22;

type Watcher = Box<dyn Fn(Message) + Send + Sync>;
type OnMessage =
    unsafe extern "C" fn(c_int, c_int, c_int, *const c_void, usize, *mut SSL, *mut c_void);

unsafe extern "C" {
    fn SSL_set_msg_callback(ssl: *mut SSL, callback: Option<OnMessage>);
    fn SSL_set_post_handshake_auth(ssl: *mut SSL, offered: c_int);
    fn SSL_verify_client_post_handshake(ssl: *mut SSL) -> c_int;
    fn SSL_renegotiate(ssl: *mut SSL) -> c_int;
}

/// Index of a connection's watcher, which OpenSSL drops together with the connection.
fn slot() -> Result<Index<Ssl, Watcher>, ErrorStack> {
    static SLOT: OnceLock<Index<Ssl, Watcher>> = OnceLock::new();
    match SLOT.get() {
        Some(slot) => Ok(*slot),
        None => {
            let new = Ssl::new_ex_index()?;
            Ok(*SLOT.get_or_init(|| new))
        }
    }
}

pub(crate) fn watch(ssl: &mut SslRef, watcher: Watcher) -> Result<(), ErrorStack> {
    ssl.set_ex_data(slot()?, watcher);
    // SAFETY: the pointer is that of a live connection; the callback has the type that the manual
    // gives, holds nothing of its own and finds the watcher in the connection that it is given.
    unsafe { SSL_set_msg_callback(ssl.as_ptr(), Some(on_message)) };
    Ok(())
}

unsafe extern "C" fn on_message(
    is_ours: c_int,
    _version: c_int,
    content: c_int,
    bytes: *const c_void,
    length: usize,
    ssl: *mut SSL,
    _argument: *mut c_void,
) {
    if content != HANDSHAKE || length == 0 || bytes.is_null() || ssl.is_null() {
        return;
    }
    // SAFETY: OpenSSL gives `length` readable bytes, at least one, for the time of the call.
    let kind = unsafe { *bytes.cast::<u8>() };
    // SAFETY: OpenSSL gives the connection that the message belongs to, alive during the call; it
    // is only read from.
    let ssl = unsafe { SslRef::from_ptr(ssl) };
    let watcher = slot().ok().and_then(|slot| ssl.ex_data(slot));
    if let Some(watcher) = watcher {
        watcher(Message { by: if is_ours == 0 { Side::Them } else { Side::Us }, kind });
    }
}

pub(crate) fn offer_after_handshake(ssl: &mut SslRef) {
    // SAFETY: a flag of a live connection.
    unsafe { SSL_set_post_handshake_auth(ssl.as_ptr(), 1) };
}

pub(crate) fn require_certificate<S>(stream: &mut SslStream<S>) -> Result<(), ErrorStack> {
    let ssl = stream.ssl().as_ptr();
    let is_tls13 = stream.ssl().version2() == Some(SslVersion::TLS1_3);
    let mode = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
    // SAFETY: a live connection that is borrowed for this call alone. The first call sets a flag;
    // the others refuse a connection that is not in the right state.
    let done = unsafe {
        openssl_sys::SSL_set_verify(ssl, mode.bits(), None);
        if is_tls13 { SSL_verify_client_post_handshake(ssl) } else { SSL_renegotiate(ssl) }
    };
    if done == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}
