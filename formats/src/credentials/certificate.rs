//! A certificate: its facts, its issuer, and the signatures that its key made.

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::x509::{X509, X509NameRef};
use serde::{Deserialize, Serialize};

use super::pem::{self, Form, check_size, count_blocks};
use super::{CredentialsError, PemError, pss};
use crate::checksum::Sha256;
use crate::device::{CredentialFile, DeviceUuid};
use crate::timestamp::Timestamp;

/// Word for the expected content in errors.
pub(super) const CERTIFICATE: &str = "certificate";

/// The fields of a certificate that plans and manifests show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFacts {
    /// `NAME=value, …` in the order of the certificate; foreign text.
    pub subject: String,
    /// The issuer, in the same form.
    pub issuer: String,
    /// Serial number in upper-case hex.
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
    /// The time is before `not_before`.
    NotYet,
    /// The time is from `not_before` to `not_after`, both included.
    Valid,
    /// The time is after `not_after`.
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

/// A certificate that was read from PEM.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) x509: X509,
    facts: CertificateFacts,
}

impl Certificate {
    /// Reads a PEM file that holds exactly one certificate in the form that OpenSSL writes; only
    /// text may stand before it, as `openssl ca` writes it. `file` is for the error only.
    ///
    /// # Errors
    /// Returns [`CredentialsError::Empty`], [`CredentialsError::NotPem`],
    /// [`CredentialsError::TooLarge`] or [`CredentialsError::PrivateKey`].
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
        // OpenSSL has read all of the content
        if found.x509.to_der().is_ok_and(|read| read == *der) {
            Ok(found)
        } else {
            Err(not_pem(PemError::Content))
        }
    }

    /// Reads the certificate of a file that somebody may have pasted together; anything else in it
    /// is ignored, as OpenSSL does. Meant for live files, and for files that prove nothing but
    /// their own content.
    ///
    /// # Errors
    /// Returns [`CredentialsError::Empty`], [`CredentialsError::NotPem`] or
    /// [`CredentialsError::TooLarge`].
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

    pub(super) fn read(
        pem: &[u8],
        file: CredentialFile,
        form: Form,
    ) -> Result<Self, CredentialsError> {
        match form {
            Form::Written => Self::from_pem(pem, file),
            Form::Found => Self::as_found(pem, file),
        }
    }

    /// Encodes the certificate alone as PEM, without anything else that its file holds.
    ///
    /// # Errors
    /// Fails when OpenSSL does, which takes a lack of memory.
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

    /// Name of the digest in its signature, if it is one that sftunnel refuses.
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

    /// The UUIDs in CN and title of the subject, which name its device. The other places of a UUID
    /// differ between releases (docs/facts.md).
    pub fn named_devices(&self) -> Vec<DeviceUuid> {
        let subject = self.x509.subject_name();
        let names = [texts(subject, Nid::COMMONNAME), texts(subject, Nid::TITLE)].concat();
        names.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Returns true if this certificate's RSA key signed `message` (RSASSA-PSS as receipts use it).
    pub fn verify_pss(&self, message: &[u8], signature: &[u8]) -> bool {
        self.public_key().is_some_and(|key| pss::verify(&key, message, signature).unwrap_or(false))
    }

    pub(super) fn public_key(&self) -> Option<PKey<Public>> {
        self.x509.public_key().ok()
    }
}

pub(super) fn facts(x509: &X509) -> Option<CertificateFacts> {
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

pub(super) fn timestamp(time: &Asn1TimeRef) -> Option<Timestamp> {
    let epoch = Asn1Time::from_unix(0).ok()?;
    let since = epoch.diff(time).ok()?;
    Timestamp::from_unix(i64::from(since.days) * 86_400 + i64::from(since.secs)).ok()
}

pub(super) fn name_text(name: &X509NameRef) -> String {
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
