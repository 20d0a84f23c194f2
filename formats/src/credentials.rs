//! The three credential files, checked to be one set that sftunnel can use.
//!
//! The InternalCA is an X.509 version 1 certificate without extensions (docs/facts.md), so a path
//! validator that requires basicConstraints would refuse every real one. The checks here are those
//! of sftunnel's OpenSSL: names, signatures, digests, dates, and that the key belongs to the
//! certificate; then OpenSSL itself is asked (`verdict`).
//!
//! A set that is to be packed or installed has to have the strict form of `pem`. A set that is
//! found on a device may have been pasted there, and is judged as OpenSSL reads it.

mod authority;
mod certificate;
mod crl;
mod error;
mod handshake;
mod pem;
mod private_key;
mod pss;
mod set;
mod verdict;

pub use self::authority::Authority;
pub use self::certificate::{Certificate, CertificateFacts, Validity};
pub use self::crl::{RevocationList, RevocationListError};
pub use self::error::{CredentialsError, SubjectError, ValidityError};
pub use self::handshake::{Asked, Handshake, HandshakeError, Unfinished};
pub use self::pem::PemError;
pub use self::set::{CheckedCredentials, Credentials};
pub use self::verdict::{Refusal, Side};

#[cfg(test)]
pub(crate) mod tests;
