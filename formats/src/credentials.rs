//! The three files, checked to be one set that sftunnel can use.
//!
//! The InternalCA is an X.509 version 1 certificate without extensions (docs/facts.md), so a
//! path validator that wants basicConstraints would refuse every real one. What is checked
//! here is what sftunnel's OpenSSL checks: names, signatures, digests, dates, and that the
//! key belongs to the certificate; and then OpenSSL itself is asked (`verdict`).
//!
//! A set that is to be packed or installed has the strict form of `pem`. One that is found on a
//! device was pasted there by somebody, and is judged as OpenSSL reads it.

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
