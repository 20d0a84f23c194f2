//! What can be wrong with three files, with whose they are, and with their time.

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
    /// Larger than [`limits::PEM`].
    #[error("{file} is larger than {} bytes", limits::PEM)]
    TooLarge {
        /// The file at fault.
        file: CredentialFile,
    },
    /// An empty file, as a manual attempt leaves it.
    #[error("{file} is empty")]
    Empty {
        /// The file at fault.
        file: CredentialFile,
    },
    /// Not exactly one PEM block of the right kind, or not readable as one.
    #[error("{file} does not hold exactly one {expected} in PEM form{}", Problem(problem))]
    NotPem {
        /// The file at fault.
        file: CredentialFile,
        /// `certificate` or `unencrypted private key`.
        expected: &'static str,
        /// The departure from the form that OpenSSL writes, where that form is required.
        problem: Option<PemError>,
    },
    /// A private key in the file of a certificate, which everybody may read where it is used.
    #[error("{file} holds a private key beside the certificate")]
    PrivateKey {
        /// The file at fault.
        file: CredentialFile,
    },
    /// OpenSSL itself does not take the two certificates.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The CA file's certificate is not a self-signed one, so it is no trust anchor.
    #[error("cacert.pem is not self-signed")]
    NotSelfSigned,
    /// Signed with a digest that sftunnel refuses (`err 68:CA signature digest algorithm too
    /// weak`).
    #[error("{file} is signed with {digest}")]
    WeakDigest {
        /// The file at fault.
        file: CredentialFile,
        /// `SHA1`, `MD5`.
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

struct Problem<'a>(&'a Option<PemError>);

impl fmt::Display for Problem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(problem) => write!(f, ": {problem}"),
            None => Ok(()),
        }
    }
}

/// The set is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The CA's CN is not the manager's UUID. The operator may accept that.
    #[error("the CA's CN is {}, expected the manager's UUID {expected}", Found(found))]
    Ca {
        /// The manager.
        expected: ManagerUuid,
        /// The CA's CNs; foreign text.
        found: Vec<String>,
    },
    /// The certificate names another device. Final.
    #[error("the certificate names {}, expected the device's UUID {expected}", Found(found))]
    Certificate {
        /// The device.
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
        /// The time that was asked about.
        now: Timestamp,
    },
    /// The time is before `not_before`.
    #[error("{file} becomes valid at {not_before}; the clock says {now}")]
    NotYetValid {
        /// The certificate at fault.
        file: CredentialFile,
        /// The start of its validity.
        not_before: Timestamp,
        /// The time that was asked about.
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
