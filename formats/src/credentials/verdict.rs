//! OpenSSL's own verdict on a chain, which is also sftunnel's on the other side's certificate.
//!
//! Our own rules know the FMC's forms and name a fault in words. Many other faults make a
//! certificate useless (a short key, an unknown critical extension, one for servers only), and each
//! release of OpenSSL knows them best.

use std::fmt;

use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509PurposeId, X509StoreContext, X509VerifyResult};

use super::handshake::SECURITY_LEVEL;
use super::{Certificate, CredentialsError};
use crate::device::CredentialFile;
use crate::error::{Reason, Reasoned};

/// Side of a connection. Either may begin a tunnel (docs/facts.md), so one certificate has to do
/// for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The side that opens the connection.
    Client,
    /// The side that accepts the connection.
    Server,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// A refusal by OpenSSL, with the number and text that sftunnel writes into its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("OpenSSL refuses {file} for a TLS {side}: err {number}:{text}")]
pub struct Refusal {
    /// The certificate at fault.
    pub file: CredentialFile,
    /// The purpose that was checked.
    pub side: Side,
    /// Number of the error in OpenSSL (`X509_V_ERR_…`).
    pub number: i32,
    /// Text of the error in OpenSSL.
    pub text: &'static str,
}

impl Reasoned for Refusal {
    fn reason(&self) -> Reason {
        // X509_V_ERR_… of x509_vfy.h
        match self.number {
            // CA_MD_TOO_WEAK
            68 => Reason::WeakDigest,
            // no issuer, its signature does not fit, or its names and key identifiers do not
            2 | 7 | 18..=21 | 29..=31 => Reason::NotIssuedByCa,
            _ => Reason::BadCredentials,
        }
    }
}

/// Asks OpenSSL for its verdict, with the CA as the only anchor, for both sides of a connection.
///
/// The time given is one at which both certificates are valid, so that only the form of their dates
/// is judged; the dates are compared with the clock elsewhere. If there is no such time, dates are
/// not checked here at all.
pub(super) fn verify(ca: &Certificate, certificate: &Certificate) -> Result<(), CredentialsError> {
    for side in [Side::Client, Side::Server] {
        let verdict = ask(ca, certificate, side);
        // the refusal is in OpenSSL's queue as well, where a later call would find it
        drop(ErrorStack::get());
        let damaged = |_| CredentialsError::NotPem {
            file: CredentialFile::Certificate,
            expected: super::certificate::CERTIFICATE,
            problem: None,
        };
        if let Some((verdict, depth)) = verdict.map_err(damaged)? {
            let file = if depth == 0 { CredentialFile::Certificate } else { CredentialFile::Ca };
            let (number, text) = (verdict.as_raw(), verdict.error_string());
            return Err(Refusal { file, side, number, text }.into());
        }
    }
    Ok(())
}

fn ask(
    ca: &Certificate,
    certificate: &Certificate,
    side: Side,
) -> Result<Option<(X509VerifyResult, u32)>, ErrorStack> {
    let mut how = X509VerifyParam::new()?;
    how.set_purpose(match side {
        Side::Client => X509PurposeId::SSL_CLIENT,
        Side::Server => X509PurposeId::SSL_SERVER,
    })?;
    how.set_auth_level(i32::try_from(SECURITY_LEVEL).unwrap_or(i32::MAX));
    let from = ca.facts().not_before.max(certificate.facts().not_before);
    if from <= ca.facts().not_after.min(certificate.facts().not_after) {
        how.set_time(from.unix());
    } else {
        how.set_flags(X509VerifyFlags::NO_CHECK_TIME)?;
    }
    let mut store = X509StoreBuilder::new()?;
    store.add_cert(ca.x509.clone())?;
    store.set_param(&how)?;
    let none = Stack::new()?;
    X509StoreContext::new()?.init(&store.build(), &certificate.x509, &none, |context| {
        let is_good = context.verify_cert()?;
        Ok((!is_good).then(|| (context.error(), context.error_depth())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_has_the_word_of_the_rule_that_it_is_nearest_to() {
        let word = |number| {
            let (file, side) = (CredentialFile::Certificate, Side::Client);
            Refusal { file, side, number, text: "" }.reason()
        };
        assert_eq!([20, 7, 30].map(word), [Reason::NotIssuedByCa; 3]);
        assert_eq!(word(68), Reason::WeakDigest);
        assert_eq!([26, 34, 66, 67, 79].map(word), [Reason::BadCredentials; 5]);
    }
}
