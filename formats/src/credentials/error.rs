//! Errors of the three files: of the set, of its subject, and of its validity.

use std::fmt;

use super::pem::PemError;
use super::verdict::Refusal;
use crate::device::{CredentialFile, DeviceUuid, ManagerUuid};
use crate::error::{Reason, Reasoned};
use crate::limits;
use crate::timestamp::Timestamp;

/// Reasons why a set of three files is unusable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A file is larger than [`limits::PEM`].
    #[error("{file} is larger than {} bytes", limits::PEM)]
    TooLarge {
        /// The file at fault.
        file: CredentialFile,
    },
    /// A file is empty, as a manual attempt may leave it.
    #[error("{file} is empty")]
    Empty {
        /// The file at fault.
        file: CredentialFile,
    },
    /// A file is not exactly one PEM block of the right kind, or cannot be read as one.
    #[error("{file} does not hold exactly one {expected} in PEM form{}", Departure(problem))]
    NotPem {
        /// The file at fault.
        file: CredentialFile,
        /// `certificate` or `unencrypted private key`.
        expected: &'static str,
        /// The departure from the form that OpenSSL writes, where that form is required.
        problem: Option<PemError>,
    },
    /// A certificate's file, which everybody may read where it is used, holds a private key.
    #[error("{file} holds a private key beside the certificate")]
    PrivateKey {
        /// The file at fault.
        file: CredentialFile,
    },
    /// OpenSSL itself refuses the two certificates.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The certificate in the CA's file is not self-signed, so it cannot be a trust anchor.
    #[error("cacert.pem is not self-signed")]
    NotSelfSigned,
    /// A certificate is signed with a digest that sftunnel refuses (`err 68:CA signature digest
    /// algorithm too weak`).
    #[error("{file} is signed with {digest}")]
    WeakDigest {
        /// The file at fault.
        file: CredentialFile,
        /// Name of the digest: `SHA1` or `MD5`.
        digest: &'static str,
    },
    /// The certificate's issuer is not the CA's subject, or the signature is not the CA's.
    #[error("sftunnel-cert.pem was not signed by cacert.pem")]
    NotIssuedByCa,
    /// The key is not the one that the certificate is for.
    #[error("sftunnel-key.pem is not the key of sftunnel-cert.pem")]
    KeyMismatch,
}

impl Reasoned for CredentialsError {
    fn reason(&self) -> Reason {
        match self {
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Empty { .. }
            | Self::NotPem { .. }
            | Self::PrivateKey { .. }
            | Self::NotSelfSigned => Reason::BadCredentials,
            Self::Refused(refusal) => refusal.reason(),
            Self::WeakDigest { .. } => Reason::WeakDigest,
            Self::NotIssuedByCa => Reason::NotIssuedByCa,
            Self::KeyMismatch => Reason::KeyMismatch,
        }
    }
}

struct Departure<'a>(&'a Option<PemError>);

impl fmt::Display for Departure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(problem) => write!(f, ": {problem}"),
            None => Ok(()),
        }
    }
}

/// The set belongs to another manager or device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The CA's CN is not the manager's UUID. An operator may accept that.
    #[error("the CA's CN is {}, expected the manager's UUID {expected}", Found(found))]
    Ca {
        /// UUID of the manager.
        expected: ManagerUuid,
        /// The CA's CNs; foreign text.
        found: Vec<String>,
    },
    /// The certificate names another device. Nobody may accept that.
    #[error("the certificate names {}, expected the device's UUID {expected}", Found(found))]
    Certificate {
        /// UUID of the device.
        expected: DeviceUuid,
        /// The UUIDs in CN and title.
        found: Vec<String>,
    },
}

impl Reasoned for SubjectError {
    fn reason(&self) -> Reason {
        Reason::WrongSubject
    }
}

struct Found<'a>(&'a [String]);

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("absent"),
            names => write!(f, "'{}'", names.join("', '")),
        }
    }
}

/// A certificate is used outside its validity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValidityError {
    /// The time is after `not_after`.
    #[error("{file} expired at {not_after}; the clock says {now}")]
    Expired {
        /// The certificate at fault.
        file: CredentialFile,
        /// The end of its validity.
        not_after: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
    /// The time is before `not_before`.
    #[error("{file} becomes valid at {not_before}; the clock says {now}")]
    NotYetValid {
        /// The certificate at fault.
        file: CredentialFile,
        /// The start of its validity.
        not_before: Timestamp,
        /// The time of the check.
        now: Timestamp,
    },
}

impl Reasoned for ValidityError {
    fn reason(&self) -> Reason {
        match self {
            Self::Expired { .. } => Reason::Expired,
            Self::NotYetValid { .. } => Reason::NotYetValid,
        }
    }
}
