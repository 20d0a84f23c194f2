//! The three files, checked to be one set that sftunnel can use.
//!
//! The InternalCA is an X.509 version 1 certificate without extensions (docs/facts.md), so a
//! path validator that wants basicConstraints would refuse every real one. What is checked
//! here is what sftunnel's OpenSSL checks: names, signatures, digests, dates, and that the
//! key belongs to the certificate; and then OpenSSL itself is asked (`verdict`).
//!
//! A set that is to be packed or installed has the strict form of `pem`. One that is found on a
//! device was pasted there by somebody, and is judged as OpenSSL reads it.

mod crl;
mod error;
mod handshake;
mod pem;
mod private_key;
mod pss;
mod verdict;

use std::fmt;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::x509::{X509, X509NameRef};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::checksum::Sha256;
use crate::device::{CredentialFile, DeviceUuid, ManagerUuid};

use crate::limits;
use crate::timestamp::Timestamp;

pub use self::crl::{RevocationList, RevocationListError};
pub use self::error::{CredentialsError, SubjectError, ValidityError};
pub use self::handshake::{Asked, Handshake, HandshakeError, Unfinished};
pub use self::pem::PemError;
pub use self::verdict::{Refusal, Side};

/// The fields of a certificate that plans and manifests show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFacts {
    /// `NAME=value, …` in the order of the certificate; foreign text.
    pub subject: String,
    /// The same for the issuer.
    pub issuer: String,
    /// Hex, upper case.
    pub serial: String,
    /// First second of validity.
    pub not_before: Timestamp,
    /// Last second of validity.
    pub not_after: Timestamp,
    /// SHA-256 over the DER form.
    pub fingerprint: Sha256,
}

/// Position of a point in time relative to a certificate's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Before `not_before`.
    NotYet,
    /// From `not_before` to `not_after`, both included.
    Valid,
    /// After `not_after`.
    Expired,
}

impl CertificateFacts {
    /// Places `now` relative to this validity, both ends included.
    pub fn at(&self, now: Timestamp) -> Validity {
        if now < self.not_before {
            Validity::NotYet
        } else if now > self.not_after {
            Validity::Expired
        } else {
            Validity::Valid
        }
    }
}

/// A parsed certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    x509: X509,
    facts: CertificateFacts,
}

impl Certificate {
    /// Reads a PEM file that holds exactly one certificate in the form that OpenSSL writes, with
    /// text before it at most, as `openssl ca` writes it. `file` is only for the error.
    ///
    /// # Errors
    /// [`CredentialsError::Empty`], [`CredentialsError::NotPem`], [`CredentialsError::TooLarge`],
    /// [`CredentialsError::PrivateKey`].
    pub fn from_pem(pem: &[u8], file: CredentialFile) -> Result<Self, CredentialsError> {
        check_size(pem, file)?;
        if pem::shows_private_key(pem) {
            return Err(CredentialsError::PrivateKey { file });
        }
        let not_pem = |problem| CredentialsError::NotPem {
            file,
            expected: CERTIFICATE,
            problem: Some(problem),
        };
        let der = pem::sole_block(pem, &["CERTIFICATE"]).map_err(not_pem)?;
        let found = Self::as_found(pem, file)?;
        // what OpenSSL has read is all that there is
        if found.x509.to_der().is_ok_and(|read| read == *der) {
            Ok(found)
        } else {
            Err(not_pem(PemError::Content))
        }
    }

    /// Reads the one certificate of a file that somebody may have pasted together; whatever else
    /// is in it is passed over, as OpenSSL does. For what is live, and for what proves nothing
    /// but its own content.
    ///
    /// # Errors
    /// [`CredentialsError::Empty`], [`CredentialsError::NotPem`], [`CredentialsError::TooLarge`].
    pub fn as_found(pem: &[u8], file: CredentialFile) -> Result<Self, CredentialsError> {
        let not_pem = || CredentialsError::NotPem { file, expected: CERTIFICATE, problem: None };
        check_size(pem, file)?;
        if count_blocks(pem, "CERTIFICATE") != 1 {
            return Err(not_pem());
        }
        let x509 = X509::from_pem(pem).map_err(|_| not_pem())?;
        let facts = facts(&x509).ok_or_else(not_pem)?;
        Ok(Self { x509, facts })
    }

    fn read(pem: &[u8], file: CredentialFile, form: Form) -> Result<Self, CredentialsError> {
        match form {
            Form::Written => Self::from_pem(pem, file),
            Form::Found => Self::as_found(pem, file),
        }
    }

    /// The certificate alone in PEM, whatever the file that it was read from holds beside it.
    ///
    /// # Errors
    /// When OpenSSL fails, which needs a lack of memory.
    pub fn to_pem(&self) -> Result<Vec<u8>, openssl::error::ErrorStack> {
        self.x509.to_pem()
    }

    /// The fields that are shown to people.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// Returns true if `issuer` signed this certificate: names match and the signature verifies.
    pub fn is_issued_by(&self, issuer: &Certificate) -> bool {
        let names = self.x509.issuer_name().try_cmp(issuer.x509.subject_name());
        let signature = issuer.x509.public_key().and_then(|key| self.x509.verify(&key));
        matches!(names, Ok(std::cmp::Ordering::Equal)) && signature.unwrap_or(false)
    }

    /// The name of the digest in its signature, when it is one that sftunnel refuses.
    pub fn weak_digest(&self) -> Option<&'static str> {
        let algorithm = self.x509.signature_algorithm().object().nid().signature_algorithms()?;
        match algorithm.digest {
            Nid::SHA1 => Some("SHA1"),
            Nid::MD5 => Some("MD5"),
            Nid::MD2 => Some("MD2"),
            Nid::MD4 => Some("MD4"),
            _ => None,
        }
    }

    /// The texts of every CN of the subject.
    pub fn common_names(&self) -> Vec<String> {
        texts(self.x509.subject_name(), Nid::COMMONNAME)
    }

    /// The UUIDs that stand in CN or title of the subject: which device it is for. The
    /// other places where a UUID may stand differ between releases (docs/facts.md).
    pub fn named_devices(&self) -> Vec<DeviceUuid> {
        let subject = self.x509.subject_name();
        let names = [texts(subject, Nid::COMMONNAME), texts(subject, Nid::TITLE)].concat();
        names.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Returns true if this certificate's RSA key signed `message` (RSASSA-PSS as receipts use it).
    pub fn verify_pss(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public_key().is_some_and(|key| pss::verify(&key, message, signature).unwrap_or(false))
    }

    fn public_key(&self) -> Option<PKey<Public>> {
        self.x509.public_key().ok()
    }
}

const CERTIFICATE: &str = "certificate";

/// Strictness about the form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The form that OpenSSL writes: required of everything packed and installed.
    Written,
    /// Any form that OpenSSL reads: accepted of files found live.
    Found,
}

/// Three files, as bytes, not yet looked at. The key is wiped when dropped.
#[derive(Clone)]
pub struct Credentials {
    ca: Zeroizing<Vec<u8>>,
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// Takes the contents of the three files.
    pub fn new(
        ca: Zeroizing<Vec<u8>>,
        certificate: Zeroizing<Vec<u8>>,
        key: Zeroizing<Vec<u8>>,
    ) -> Self {
        Self { ca, certificate, key }
    }

    /// The bytes of one of them.
    pub fn file(&self, file: CredentialFile) -> &[u8] {
        match file {
            CredentialFile::Ca => &self.ca,
            CredentialFile::Certificate => &self.certificate,
            CredentialFile::Key => &self.key,
        }
    }

    /// The SHA-256 of each, in the order of [`CredentialFile::ALL`].
    pub fn digests(&self) -> [Sha256; 3] {
        CredentialFile::ALL.map(|file| Sha256::of(self.file(file)))
    }

    /// Checks that the three are one set. Says nothing about whose it is or about time.
    ///
    /// # Errors
    /// The first thing that is wrong: with the CA, then with the other two.
    pub fn check(self) -> Result<CheckedCredentials, CredentialsError> {
        self.check_in(Form::Written)
    }

    /// Like [`Credentials::check`], for live files in whatever form they were left.
    ///
    /// # Errors
    /// As [`Credentials::check`], but for the form.
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
    /// As [`Credentials::check`]; a CA file with other bytes is one that did not issue.
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

/// A CA's file, checked to be a trust anchor that sftunnel takes.
#[derive(Debug, Clone)]
pub struct Authority {
    pem: Zeroizing<Vec<u8>>,
    digest: Sha256,
    certificate: Certificate,
}

impl Authority {
    /// Reads `cacert.pem`.
    ///
    /// # Errors
    /// Not one certificate, a weak digest, not self-signed.
    pub fn check(pem: &[u8]) -> Result<Self, CredentialsError> {
        Self::read(pem, Form::Written)
    }

    fn read(pem: &[u8], form: Form) -> Result<Self, CredentialsError> {
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

    /// The file's bytes.
    pub fn pem(&self) -> &[u8] {
        &self.pem
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Three files that are one usable set.
#[derive(Debug, Clone)]
pub struct CheckedCredentials {
    files: Credentials,
    digests: [Sha256; 3],
    ca: Certificate,
    certificate: Certificate,
}

impl CheckedCredentials {
    /// The bytes.
    pub fn files(&self) -> &Credentials {
        &self.files
    }

    /// The SHA-256 of each, in the order of [`CredentialFile::ALL`].
    pub fn digests(&self) -> [Sha256; 3] {
        self.digests
    }

    /// The CA.
    pub fn ca(&self) -> &Certificate {
        &self.ca
    }

    /// The device's certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Signs `message` with the private key (RSASSA-PSS as receipts use it); `None` when it is
    /// not an RSA key.
    pub fn sign_pss(&self, message: &[u8]) -> Option<Vec<u8>> {
        let key = private_key::read(self.files.file(CredentialFile::Key), Form::Found).ok()?;
        pss::sign(&key, message).ok()
    }

    /// Checks that the CA is the manager's: its CN is the manager's UUID.
    ///
    /// # Errors
    /// [`SubjectError::Ca`], which the operator may accept.
    pub fn check_ca_subject(&self, manager: &ManagerUuid) -> Result<(), SubjectError> {
        let found = self.ca.common_names();
        if found.iter().any(|name| name.parse().as_ref() == Ok(manager)) {
            return Ok(());
        }
        Err(SubjectError::Ca { expected: manager.clone(), found })
    }

    /// Checks that the certificate may be the device's: it names it in CN or title, or names
    /// no device at all there (docs/facts.md knows of two forms, there may be more).
    ///
    /// # Errors
    /// [`SubjectError::Certificate`] when it names only others. Final.
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
    /// The first that is not, with both times.
    pub fn check_validity(&self, now: Timestamp) -> Result<(), ValidityError> {
        let both =
            [(CredentialFile::Ca, &self.ca), (CredentialFile::Certificate, &self.certificate)];
        for (file, certificate) in both {
            let CertificateFacts { not_before, not_after, .. } = certificate.facts;
            match certificate.facts.at(now) {
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

fn check_size(pem: &[u8], file: CredentialFile) -> Result<(), CredentialsError> {
    if pem.len() as u64 > limits::PEM {
        return Err(CredentialsError::TooLarge { file });
    }
    if pem.trim_ascii().is_empty() {
        return Err(CredentialsError::Empty { file });
    }
    Ok(())
}

fn count_blocks(pem: &[u8], label: &str) -> usize {
    pem.split(|byte| *byte == b'\n')
        .filter_map(|line| line.trim_ascii().strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----"))
        .filter(|found| found.ends_with(label.as_bytes()))
        .count()
}

fn facts(x509: &X509) -> Option<CertificateFacts> {
    let der = x509.digest(MessageDigest::sha256()).ok()?;
    let serial = x509.serial_number().to_bn().ok()?.to_hex_str().ok()?.to_string();
    Some(CertificateFacts {
        subject: name_text(x509.subject_name()),
        issuer: name_text(x509.issuer_name()),
        serial,
        not_before: timestamp(x509.not_before())?,
        not_after: timestamp(x509.not_after())?,
        fingerprint: Sha256::from_bytes(der.as_ref().try_into().ok()?),
    })
}

fn timestamp(time: &Asn1TimeRef) -> Option<Timestamp> {
    let epoch = Asn1Time::from_unix(0).ok()?;
    let since = epoch.diff(time).ok()?;
    Timestamp::from_unix(i64::from(since.days) * 86_400 + i64::from(since.secs)).ok()
}

fn name_text(name: &X509NameRef) -> String {
    let entry = |entry: &openssl::x509::X509NameEntryRef| {
        let key = entry.object().nid().short_name().unwrap_or("?");
        format!("{key}={}", text(entry.data()))
    };
    name.entries().map(entry).collect::<Vec<_>>().join(", ")
}

fn texts(name: &X509NameRef, nid: Nid) -> Vec<String> {
    name.entries_by_nid(nid).map(|entry| text(entry.data())).collect()
}

fn text(data: &openssl::asn1::Asn1StringRef) -> String {
    data.to_string().unwrap_or_else(|_| String::from_utf8_lossy(data.as_slice()).into_owned())
}

#[cfg(test)]
pub(crate) mod tests;
