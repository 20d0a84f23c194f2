//! The InternalCA's certificate as a trust anchor.

use zeroize::Zeroizing;

use super::pem::Form;
use super::{Certificate, CredentialsError};
use crate::checksum::Sha256;
use crate::device::CredentialFile;

/// A CA's file, checked to be a trust anchor that sftunnel accepts.
#[derive(Debug, Clone)]
pub struct Authority {
    pub(super) pem: Zeroizing<Vec<u8>>,
    pub(super) digest: Sha256,
    pub(super) certificate: Certificate,
}

impl Authority {
    /// Reads `cacert.pem` and checks it.
    ///
    /// # Errors
    /// Fails when it is not exactly one certificate, has a weak digest, or is not self-signed.
    pub fn check(pem: &[u8]) -> Result<Self, CredentialsError> {
        Self::read(pem, Form::Written)
    }

    pub(super) fn read(pem: &[u8], form: Form) -> Result<Self, CredentialsError> {
        let file = CredentialFile::Ca;
        let certificate = Certificate::read(pem, file, form)?;
        if let Some(digest) = certificate.weak_digest() {
            return Err(CredentialsError::WeakDigest { file, digest });
        }
        if !certificate.is_issued_by(&certificate) {
            return Err(CredentialsError::NotSelfSigned);
        }
        Ok(Self { pem: Zeroizing::new(pem.to_vec()), digest: Sha256::of(pem), certificate })
    }

    /// The bytes of the file.
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }
}
