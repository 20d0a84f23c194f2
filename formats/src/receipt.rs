//! A receipt: the record that a device hands back after an installation or rollback.
//!
//! It is a claim by a holder of the sftunnel key that is live after the action, signed with that
//! key (RSASSA-PSS, SHA-256, MGF1 with SHA-256, 32 bytes of salt; RFC 8017) over
//! `sftunnel-receipt/1`, a line feed, and the exact text of the claim. The manager that made the
//! key holds it too: a tunnel that the manager shows as up is proof, a receipt is a record.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine};
use serde::{Deserialize, Serialize};

use crate::armor::{Body, RECEIPT, without_terminal};
use crate::checksum::Sha256;
use crate::credentials::{Certificate, CheckedCredentials, CredentialsError};
use crate::decode;
use crate::device::{CredentialFile, DeviceUuid, ManagerUuid};
use crate::error::{Reason, Reasoned};
use crate::json::{self, JsonError};
use crate::signature::Fingerprint;
use crate::timestamp::Timestamp;

/// The `format` of a receipt, and the domain of its signature.
pub const FORMAT: &str = "sftunnel-receipt/1";

/// The action that the device reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The bundle's files are live, sftunnel runs on them.
    Installed,
    /// A backup is live at the operator's wish, sftunnel runs on it.
    RolledBack,
    /// The installation did not succeed; the files of before are live again.
    Restored,
}

/// The statement that a device signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Device that makes the statement.
    pub device: DeviceUuid,
    /// The manager at the other end of the tunnel.
    pub manager: ManagerUuid,
    /// The action that the device reports.
    pub outcome: Outcome,
    /// Identifier of the bundle, if one was to be installed.
    pub bundle_id: Option<Sha256>,
    /// Signer of that bundle.
    pub signer: Option<Fingerprint>,
    /// SHA-256 of the certificate (DER) that was live before, where it could be read.
    pub certificate_before: Option<Sha256>,
    /// SHA-256 of the certificate (DER) that is live now, whose key signs the claim.
    pub certificate_after: Sha256,
    /// SHA-256 of the CA's certificate (DER) that is live now.
    pub ca_after: Sha256,
    /// Start of the action, by the device's clock.
    pub started_at: Timestamp,
    /// End of the action, by the device's clock.
    pub ended_at: Timestamp,
    /// Identifier of the device's backup of the files found before.
    pub backup: String,
    /// Name and version of the program.
    pub program: String,
}

/// A receipt as it lies on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    /// The JSON text of the claim: a text, so that the signed bytes survive every JSON tool.
    claim: String,
    /// Signature over the claim, in base64.
    signature: String,
    /// Certificate of the signing key, in PEM.
    certificate: String,
}

/// A receipt whose signature fits the certificate in it. [`SignedReceipt::check_issuer`] checks
/// that the certificate is the device's.
#[derive(Debug)]
pub struct SignedReceipt {
    claim: Claim,
    certificate: Certificate,
}

/// Reasons to refuse a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Not the JSON of a receipt or of its claim, or another format.
    #[error("the receipt {0}")]
    Json(#[from] JsonError),
    /// The text of a receipt that is not whole.
    #[error("the receipt's text is cut or damaged")]
    Text,
    /// The certificate in it cannot be read.
    #[error("the receipt's certificate: {0}")]
    Certificate(#[from] CredentialsError),
    /// The signature does not fit the claim and the certificate.
    #[error("the receipt's signature does not fit its claim")]
    Signature,
    /// The certificate was not signed by the CA.
    #[error("the receipt's certificate was not signed by this CA")]
    NotIssuedByCa,
    /// The certificate is not the one that the claim is about.
    #[error("the receipt's certificate is not the one that its claim names")]
    OtherCertificate,
    /// The certificate names another device than the claim.
    #[error("the receipt's certificate names another device than its claim")]
    OtherDevice,
    /// The key is not an RSA key, or could not sign.
    #[error("the live key cannot sign a receipt")]
    CannotSign,
}

impl Reasoned for ReceiptError {
    fn reason(&self) -> Reason {
        match self {
            Self::Json(_) | Self::CannotSign => Reason::BadFormat,
            Self::Text => Reason::Damaged,
            Self::Certificate(error) => error.reason(),
            Self::Signature | Self::OtherCertificate => Reason::BadSignature,
            Self::NotIssuedByCa => Reason::NotIssuedByCa,
            Self::OtherDevice => Reason::WrongDevice,
        }
    }

    fn needs_later_release(&self) -> bool {
        matches!(self, Self::Json(error) if error.is_later())
    }
}

fn signed_bytes(claim: &str) -> Vec<u8> {
    format!("{FORMAT}\n{claim}").into_bytes()
}

impl Claim {
    /// Signs the claim with the key that is live after the action, and returns the bytes of the
    /// receipt.
    ///
    /// # Errors
    /// Returns [`ReceiptError::CannotSign`], or [`ReceiptError::OtherCertificate`] when the claim
    /// is about another certificate than that of `live`.
    pub fn sign(&self, live: &CheckedCredentials) -> Result<Vec<u8>, ReceiptError> {
        if live.certificate().facts().fingerprint != self.certificate_after {
            return Err(ReceiptError::OtherCertificate);
        }
        let claim = serde_json::to_string(self).map_err(|_| ReceiptError::CannotSign)?;
        let signature = live.sign_pss(&signed_bytes(&claim)).ok_or(ReceiptError::CannotSign)?;
        // not the file's bytes: anything else that was pasted there is no part of a receipt
        let certificate = live.certificate().to_pem().map_err(|_| ReceiptError::CannotSign)?;
        let certificate = String::from_utf8(certificate).map_err(|_| ReceiptError::CannotSign)?;
        let file = File {
            format: FORMAT.to_owned(),
            claim,
            signature: BASE64_STANDARD.encode(signature),
            certificate,
        };
        let mut bytes = serde_json::to_vec_pretty(&file).map_err(|_| ReceiptError::CannotSign)?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

impl SignedReceipt {
    /// Reads a receipt of at most [`crate::limits::RECEIPT`] bytes and checks its signature.
    ///
    /// # Errors
    /// See [`ReceiptError`]. The signature is checked before the claim is believed.
    pub fn open(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let file: File = json::read(bytes, FORMAT)?;
        let certificate =
            Certificate::as_found(file.certificate.as_bytes(), CredentialFile::Certificate)?;
        let signature =
            BASE64_STANDARD.decode(&file.signature).map_err(|_| ReceiptError::Signature)?;
        if !certificate.verify_pss(&signed_bytes(&file.claim), &signature) {
            return Err(ReceiptError::Signature);
        }
        let claim: Claim = json::object(file.claim.as_bytes())?;
        if certificate.facts().fingerprint != claim.certificate_after {
            return Err(ReceiptError::OtherCertificate);
        }
        Ok(Self { claim, certificate })
    }

    /// Like [`SignedReceipt::open`], for a receipt that was pasted, mailed or saved anew: in
    /// another encoding, with text around it, its lines broken or quoted, with typographic quote
    /// marks. The result is accepted only if the device's signature fits.
    ///
    /// # Errors
    /// Returns the error of [`SignedReceipt::open`] for the bytes as they are.
    pub fn from_person(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let recovered = || {
            let text = decode::text(bytes).ok()?;
            let text = text.get(text.find('{')?..=text.rfind('}')?)?;
            // a terminal breaks lines anywhere, a mail program in place of a blank
            let joined = |between| Self::open(in_one_line(text, between).as_bytes()).ok();
            joined("").or_else(|| joined(" "))
        };
        Self::open(bytes).or_else(|error| recovered().ok_or(error))
    }

    /// The statement that a device signs.
    pub fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The certificate whose key signed the claim.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Checks that the certificate is from this CA and names the device of the claim.
    ///
    /// # Errors
    /// Returns [`ReceiptError::NotIssuedByCa`] or [`ReceiptError::OtherDevice`].
    pub fn check_issuer(&self, ca: &Certificate) -> Result<(), ReceiptError> {
        if !self.certificate.is_issued_by(ca) {
            return Err(ReceiptError::NotIssuedByCa);
        }
        let named = self.certificate.named_devices();
        if !named.is_empty() && !named.contains(&self.claim.device) {
            return Err(ReceiptError::OtherDevice);
        }
        Ok(())
    }
}

/// The text of a receipt's bytes, to be copied from a console: base64 between two marks.
pub fn text(bytes: &[u8]) -> String {
    RECEIPT.text(bytes)
}

/// The receipts in bytes that a person copied: those between the marks, as many as there are, or
/// else the whole.
pub fn found_in(bytes: &[u8]) -> Vec<Result<Cow<'_, [u8]>, ReceiptError>> {
    let text = without_terminal(&decode::lossy(bytes));
    match RECEIPT.blocks(&text) {
        Err(_) => vec![Err(ReceiptError::Text)],
        Ok(blocks) if blocks.is_empty() => vec![Ok(Cow::Borrowed(bytes))],
        Ok(blocks) => {
            let bytes = |block: &Body<'_>| block.bytes().map(Cow::Owned);
            blocks.iter().map(|block| bytes(block).ok_or(ReceiptError::Text)).collect()
        }
    }
}

fn in_one_line(text: &str, between: &str) -> String {
    let plain = |c: char| match c {
        '\u{201c}'..='\u{201f}' => '"',
        c if c.is_whitespace() => ' ',
        c => c,
    };
    let line = |line: &str| -> String {
        let line = match line.trim_start().strip_prefix('>') {
            Some(quoted) => quoted.trim_start_matches([' ', '>']),
            None => line,
        };
        line.chars().filter(|c| c.is_whitespace() || !decode::is_unseen(*c)).map(plain).collect()
    };
    text.lines().map(line).collect::<Vec<_>>().join(between)
}

/// Makes the file name of a receipt: unique, and readable beside others on a stick.
pub fn file_name(claim: &Claim) -> String {
    format!(
        "receipt_{}_{}_{}_{}.json",
        claim.device,
        claim.manager.short(),
        claim.backup.split('-').next().unwrap_or_default(),
        claim.ended_at.compact()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Credentials;
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use openssl::x509::{X509Builder, X509NameBuilder};
    use zeroize::Zeroizing;

    const DEVICE: &str = "c8d5d5c6-87c9-11ef-a993-b9831565bc4e";
    const OTHER: &str = "d8d5d5c6-87c9-11ef-a993-b9831565bc4e";

    /// A self-signed certificate that is its own CA: enough for signatures.
    fn live(device: &str) -> CheckedCredentials {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("title", device).unwrap();
        let name = name.build();
        let mut builder = X509Builder::new().unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(2_000_000_000).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let pem = Zeroizing::new(builder.build().to_pem().unwrap());
        let key = Zeroizing::new(key.private_key_to_pem_pkcs8().unwrap());
        Credentials::new(pem.clone(), pem, key).check().unwrap()
    }

    fn claim(live: &CheckedCredentials, device: &str) -> Claim {
        let time = Timestamp::from_unix(1_726_805_447).unwrap();
        Claim {
            device: device.parse().unwrap(),
            manager: OTHER.parse().unwrap(),
            outcome: Outcome::Installed,
            bundle_id: None,
            signer: None,
            certificate_before: None,
            certificate_after: live.certificate().facts().fingerprint,
            ca_after: live.ca().facts().fingerprint,
            started_at: time,
            ended_at: time,
            backup: "0001-20240920T041047Z".into(),
            program: "test".into(),
        }
    }

    #[test]
    fn a_receipt_reads_as_it_was_signed() {
        let live = live(DEVICE);
        let claim = claim(&live, DEVICE);
        let receipt = SignedReceipt::open(&claim.sign(&live).unwrap()).unwrap();
        assert_eq!(receipt.claim(), &claim);
        receipt.check_issuer(live.ca()).unwrap();
        assert_eq!(
            file_name(&claim),
            format!("receipt_{DEVICE}_d8d5d5c6_0001_20240920T041047Z.json")
        );
    }

    #[test]
    fn what_was_pasted_beside_the_certificate_is_not_in_a_receipt() {
        let own = live(DEVICE);
        let [ca, certificate, key] =
            CredentialFile::ALL.map(|file| own.files().file(file).to_vec());
        let pasted = [b"a note\n", &certificate[..], &key].concat();
        let [ca, pasted, key] = [ca, pasted, key].map(Zeroizing::new);
        let found = Credentials::new(ca, pasted, key).check_as_found().unwrap();
        let bytes = claim(&found, DEVICE).sign(&found).unwrap();
        let receipt: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(receipt["certificate"].as_str().unwrap().as_bytes(), certificate);
        SignedReceipt::open(&bytes).unwrap();
    }

    #[test]
    fn a_receipt_that_people_handed_on_is_the_one_that_the_device_wrote() {
        let live = live(DEVICE);
        let bytes = claim(&live, DEVICE).sign(&live).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let broken = |width: usize, end: &str| -> String {
            let chunks = text.trim_end().as_bytes().chunks(width);
            chunks.map(|part| String::from_utf8_lossy(part).into_owned() + end).collect()
        };
        for copy in [
            utf16(&text),
            utf16(&format!("\u{feff}{}", text.replace('\n', "\r\n"))),
            format!("\u{feff}{text}").into_bytes(),
            text.replace('"', "\u{201d}").replace("  ", "\u{a0} ").into_bytes(),
            format!("root@ftd:~# cat receipt\n{text}root@ftd:~# \n").into_bytes(),
            format!("> {}", text.replace('\n', "\r\n> ")).into_bytes(),
            text.replace("BEGIN CERT", "BEGIN\nCERT").into_bytes(),
            broken(80, "\n").into_bytes(),
        ] {
            assert!(SignedReceipt::open(&copy).is_err());
            let found = SignedReceipt::from_person(&copy);
            let found = found.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&copy)));
            assert_eq!(found.claim(), &claim(&live, DEVICE));
        }
        // what the device did not sign
        let changed = format!("x{}", text.replace("installed", "restored"));
        for other in [changed.as_bytes(), b"}{", b""] {
            assert_eq!(
                SignedReceipt::from_person(other).unwrap_err(),
                SignedReceipt::open(other).unwrap_err()
            );
        }
    }

    #[test]
    fn receipts_are_found_in_the_log_of_a_console() {
        let live = live(DEVICE);
        let bytes = claim(&live, DEVICE).sign(&live).unwrap();
        let armored = text(&bytes);
        assert!(armored.lines().all(|line| line.len() <= 76), "{armored}");
        let log = |armored: &str| {
            format!("root@ftd:~# x\r\n\u{1b}[1m{armored}\nDone.\n{armored}root@ftd:~# ")
        };
        let broken = armored.replace('\n', "\r\n> ");
        for (copied, number) in [(&armored, 1), (&log(&armored), 2), (&log(&broken), 2)] {
            let found = found_in(copied.as_bytes());
            assert_eq!(found.len(), number);
            for one in found {
                assert_eq!(*one.unwrap(), *bytes);
            }
        }
        // by itself, as the file is
        assert_eq!(found_in(&bytes), [Ok(Cow::Borrowed(&bytes[..]))]);
        let (cut, _) = armored.rsplit_once("END").unwrap();
        let foreign = armored.replacen('\n', "\n?", 2);
        for damaged in [cut, &foreign] {
            assert_eq!(found_in(damaged.as_bytes()), [Err(ReceiptError::Text)]);
        }
    }

    #[test]
    fn a_changed_claim_is_refused() {
        let live = live(DEVICE);
        let text = String::from_utf8(claim(&live, DEVICE).sign(&live).unwrap()).unwrap();
        let changed = text.replace("installed", "rolled-back");
        assert_eq!(SignedReceipt::open(changed.as_bytes()).unwrap_err(), ReceiptError::Signature);
        assert_eq!(SignedReceipt::open(b"{}").unwrap_err().reason(), Reason::BadFormat);
    }

    #[test]
    fn a_certificate_of_another_ca_or_device_proves_nothing() {
        let (live, other) = (live(DEVICE), live(DEVICE));
        let receipt = SignedReceipt::open(&claim(&live, DEVICE).sign(&live).unwrap()).unwrap();
        assert_eq!(receipt.check_issuer(other.ca()), Err(ReceiptError::NotIssuedByCa));
        let receipt = SignedReceipt::open(&claim(&live, OTHER).sign(&live).unwrap()).unwrap();
        assert_eq!(receipt.check_issuer(live.ca()), Err(ReceiptError::OtherDevice));
        assert_eq!(claim(&other, DEVICE).sign(&live).unwrap_err(), ReceiptError::OtherCertificate);
    }

    #[test]
    fn a_certificate_that_names_no_device_may_be_any_ones() {
        let live = live("sftunnel");
        let receipt = SignedReceipt::open(&claim(&live, DEVICE).sign(&live).unwrap()).unwrap();
        receipt.check_issuer(live.ca()).unwrap();
    }

    #[test]
    fn a_signature_does_not_go_with_another_certificate_or_format() {
        let (live, other) = (live(DEVICE), live(DEVICE));
        let signed = |live| -> serde_json::Value {
            serde_json::from_slice(&claim(live, DEVICE).sign(live).unwrap()).unwrap()
        };
        let open = |value: &serde_json::Value| SignedReceipt::open(value.to_string().as_bytes());
        let mut receipt = signed(&live);
        open(&receipt).unwrap();
        receipt["certificate"] = signed(&other)["certificate"].clone();
        assert_eq!(open(&receipt).unwrap_err(), ReceiptError::Signature);

        // the claim that the key signed is about the other certificate
        let text = serde_json::to_string(&claim(&other, DEVICE)).unwrap();
        let mut receipt = signed(&live);
        receipt["signature"] =
            BASE64_STANDARD.encode(live.sign_pss(&signed_bytes(&text)).unwrap()).into();
        receipt["claim"] = text.into();
        assert_eq!(open(&receipt).unwrap_err(), ReceiptError::OtherCertificate);

        let mut receipt = signed(&live);
        receipt["format"] = "sftunnel-receipt".into();
        let other = ReceiptError::Json(JsonError::Format { expected: FORMAT });
        assert_eq!(open(&receipt).unwrap_err(), other);
        receipt["format"] = "sftunnel-receipt/2".into();
        assert!(open(&receipt).unwrap_err().needs_later_release());
        let file = signed(&live);
        let fields = ["format", "claim", "signature", "certificate"];
        let list = serde_json::json!(fields.map(|field| file[field].clone()));
        assert!(matches!(open(&list).unwrap_err(), ReceiptError::Json(_)));
        let mut receipt = signed(&live);
        receipt["signature"] = "?".into();
        assert_eq!(open(&receipt).unwrap_err(), ReceiptError::Signature);
    }

    #[test]
    fn what_a_receipt_lacks_is_said_in_a_word() {
        let syntax = JsonError::Syntax { line: 1, column: 1 };
        let reasons = [
            (syntax.into(), Reason::BadFormat),
            (ReceiptError::CannotSign, Reason::BadFormat),
            (ReceiptError::Text, Reason::Damaged),
            (ReceiptError::Signature, Reason::BadSignature),
            (ReceiptError::OtherCertificate, Reason::BadSignature),
            (ReceiptError::NotIssuedByCa, Reason::NotIssuedByCa),
            (ReceiptError::OtherDevice, Reason::WrongDevice),
        ];
        for (error, reason) in reasons {
            assert_eq!(error.reason(), reason, "{error}");
        }
    }
}
