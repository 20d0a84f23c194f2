//! The three files as one set: raw bytes, then checked.

use std::fmt;

use zeroize::Zeroizing;

use super::pem::Form;
use super::{
    Authority, Certificate, CertificateFacts, CredentialsError, SubjectError, Validity,
    ValidityError, private_key, pss, verdict,
};
use crate::checksum::Sha256;
use crate::device::{CredentialFile, DeviceUuid, ManagerUuid};
use crate::timestamp::Timestamp;

/// The bytes of the three files, unchecked. The key is wiped when dropped.
#[derive(Clone)]
pub struct Credentials {
    ca: Zeroizing<Vec<u8>>,
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// Makes a set of the contents of the three files.
    pub fn new(
        ca: Zeroizing<Vec<u8>>,
        certificate: Zeroizing<Vec<u8>>,
        key: Zeroizing<Vec<u8>>,
    ) -> Self {
        Self { ca, certificate, key }
    }

    /// The bytes of one file.
    pub fn file(&self, file: CredentialFile) -> &[u8] {
        match file {
            CredentialFile::Ca => &self.ca,
            CredentialFile::Certificate => &self.certificate,
            CredentialFile::Key => &self.key,
        }
    }

    /// SHA-256 of each file, in the order of [`CredentialFile::ALL`].
    pub fn digests(&self) -> [Sha256; 3] {
        CredentialFile::ALL.map(|file| Sha256::of(self.file(file)))
    }

    /// Checks that the three files are one set. Subject and validity are not checked.
    ///
    /// # Errors
    /// Returns the first fault: of the CA, then of the other two.
    pub fn check(self) -> Result<CheckedCredentials, CredentialsError> {
        self.check_in(Form::Written)
    }

    /// Like [`Credentials::check`], for live files in whatever form they were left.
    ///
    /// # Errors
    /// Like [`Credentials::check`], but for the form.
    pub fn check_as_found(self) -> Result<CheckedCredentials, CredentialsError> {
        self.check_in(Form::Found)
    }

    fn check_in(self, form: Form) -> Result<CheckedCredentials, CredentialsError> {
        let ca = Authority::read(&self.ca, form)?;
        self.check_pair(&ca, form)
    }

    /// Like [`Credentials::check`], with a CA checked once for the whole fleet.
    ///
    /// # Errors
    /// Like [`Credentials::check`]; a CA's file with other bytes counts as a CA that did not issue
    /// the certificate.
    pub fn check_under(self, ca: &Authority) -> Result<CheckedCredentials, CredentialsError> {
        self.check_pair(ca, Form::Written)
    }

    fn check_pair(
        self,
        ca: &Authority,
        form: Form,
    ) -> Result<CheckedCredentials, CredentialsError> {
        let certificate = Certificate::read(&self.certificate, CredentialFile::Certificate, form)?;
        let key = private_key::read(&self.key, form)?;
        if let Some(digest) = certificate.weak_digest() {
            return Err(CredentialsError::WeakDigest { file: CredentialFile::Certificate, digest });
        }
        if self.ca != ca.pem || !certificate.is_issued_by(&ca.certificate) {
            return Err(CredentialsError::NotIssuedByCa);
        }
        verdict::verify(&ca.certificate, &certificate)?;
        if !private_key::belongs_to(&key, &certificate) {
            return Err(CredentialsError::KeyMismatch);
        }
        let digests = [ca.digest, Sha256::of(&self.certificate), Sha256::of(&self.key)];
        Ok(CheckedCredentials { files: self, digests, ca: ca.certificate.clone(), certificate })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Three files that were checked to be one usable set.
#[derive(Debug, Clone)]
pub struct CheckedCredentials {
    files: Credentials,
    digests: [Sha256; 3],
    ca: Certificate,
    certificate: Certificate,
}

impl CheckedCredentials {
    /// The bytes of the files.
    pub fn files(&self) -> &Credentials {
        &self.files
    }

    /// SHA-256 of each file, in the order of [`CredentialFile::ALL`].
    pub fn digests(&self) -> [Sha256; 3] {
        self.digests
    }

    /// The certificate of the CA.
    pub fn ca(&self) -> &Certificate {
        &self.ca
    }

    /// The certificate of the device.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Signs `message` with the private key (RSASSA-PSS as receipts use it); `None` if it is not an
    /// RSA key.
    pub fn sign_pss(&self, message: &[u8]) -> Option<Vec<u8>> {
        let key = private_key::read(self.files.file(CredentialFile::Key), Form::Found).ok()?;
        pss::sign(&key, message).ok()
    }

    /// Checks that the CA is the manager's: its CN is the manager's UUID.
    ///
    /// # Errors
    /// Returns [`SubjectError::Ca`], which an operator may accept.
    pub fn check_ca_subject(&self, manager: &ManagerUuid) -> Result<(), SubjectError> {
        let found = self.ca.common_names();
        if found.iter().any(|name| name.parse().as_ref() == Ok(manager)) {
            return Ok(());
        }
        Err(SubjectError::Ca { expected: manager.clone(), found })
    }

    /// Checks that the certificate may be the device's: CN or title name the device, or no device
    /// at all (docs/facts.md knows of two forms, there may be more).
    ///
    /// # Errors
    /// Returns [`SubjectError::Certificate`] when it names only others, which nobody may accept.
    pub fn check_certificate_subject(&self, device: &DeviceUuid) -> Result<(), SubjectError> {
        let found = self.certificate.named_devices();
        if found.is_empty() || found.contains(device) {
            return Ok(());
        }
        let found = found.iter().map(ToString::to_string).collect();
        Err(SubjectError::Certificate { expected: device.clone(), found })
    }

    /// Checks that both certificates are valid at `now`; sftunnel refuses them otherwise.
    ///
    /// # Errors
    /// Returns the first certificate that is not valid, with both times.
    pub fn check_validity(&self, now: Timestamp) -> Result<(), ValidityError> {
        let both =
            [(CredentialFile::Ca, &self.ca), (CredentialFile::Certificate, &self.certificate)];
        for (file, certificate) in both {
            let &CertificateFacts { not_before, not_after, .. } = certificate.facts();
            match certificate.facts().at(now) {
                Validity::Valid => {}
                Validity::Expired => return Err(ValidityError::Expired { file, not_after, now }),
                Validity::NotYet => {
                    return Err(ValidityError::NotYetValid { file, not_before, now });
                }
            }
        }
        Ok(())
    }
}
