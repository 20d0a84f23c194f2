//! The Ed25519 key that vouches for bundles and kits.
//!
//! Signatures are raw: 64 bytes over the exact bytes of the signed file, so that
//! `openssl pkeyutl -verify -rawin` checks them (RFC 8032, RFC 8410 for the key files).

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine};
use curve25519_dalek::edwards::CompressedEdwardsY;
use openssl::pkey::{Id, PKey, Private, Public};
use openssl::sign::{Signer, Verifier};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::as_text::{read_as_text, written_as_text};
use crate::checksum::Sha256;
use crate::decode;
use crate::error::{Reason, Reasoned};

/// Size of a raw signature in bytes.
pub const SIGNATURE_SIZE: usize = 64;

/// Reasons to refuse a key, a signature or a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not an Ed25519 key in PEM, or base64 of 32 bytes.
    #[error("not an Ed25519 key")]
    NotAKey,
    /// A public key of a form that no honest program makes: a point of small order, for which
    /// signatures can be made without a private key, or one of several encodings of a point.
    #[error("an Ed25519 key that is not sound: of small order, or not in its one encoding")]
    Unsound,
    /// Not `SHA256:` and 43 base64 characters.
    #[error("not a fingerprint of the form SHA256:<43 base64 characters>")]
    NotAFingerprint,
    /// Neither that nor 64 hex digits; this many of them were found.
    #[error("not a fingerprint read aloud: it has 64 hex digits, here are {0}")]
    NotSpoken(usize),
    /// The base64 has passed through something that writes all in one case.
    #[error(
        "a fingerprint in changed case: after SHA256: upper and lower case count; in the 64 hex digits they do not"
    )]
    LostCase,
    /// The signature was not made over these bytes by this key.
    #[error("the signature does not fit the signed bytes")]
    Mismatch,
    /// The cryptographic library failed; no detail, it could name key material.
    #[error("the cryptographic library failed")]
    Library,
}

impl Reasoned for SignatureError {
    fn reason(&self) -> Reason {
        match self {
            Self::NotAKey
            | Self::Unsound
            | Self::NotAFingerprint
            | Self::NotSpoken(_)
            | Self::LostCase => Reason::BadFormat,
            Self::Mismatch | Self::Library => Reason::BadSignature,
        }
    }
}

/// The private key of a signer; it exists on the FMC only.
pub struct SigningKey(PKey<Private>);

impl SigningKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// Returns [`SignatureError::Library`].
    pub fn generate() -> Result<Self, SignatureError> {
        PKey::generate_ed25519().map(Self).map_err(|_| SignatureError::Library)
    }

    /// Reads an unencrypted PKCS#8 PEM file.
    ///
    /// # Errors
    /// Returns [`SignatureError::NotAKey`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, SignatureError> {
        // an encrypted key must not make OpenSSL ask at the terminal
        let key = PKey::private_key_from_pem_callback(pem, |_| Ok(0))
            .map_err(|_| SignatureError::NotAKey)?;
        if key.id() == Id::ED25519 { Ok(Self(key)) } else { Err(SignatureError::NotAKey) }
    }

    /// Encodes the key as PKCS#8 PEM.
    ///
    /// # Errors
    /// Returns [`SignatureError::Library`].
    pub fn to_pem(&self) -> Result<Zeroizing<Vec<u8>>, SignatureError> {
        self.0.private_key_to_pem_pkcs8().map(Zeroizing::new).map_err(|_| SignatureError::Library)
    }

    /// The public key that belongs to this one.
    ///
    /// # Errors
    /// Returns [`SignatureError::Library`].
    pub fn verifying_key(&self) -> Result<VerifyingKey, SignatureError> {
        let raw = self.0.raw_public_key().map_err(|_| SignatureError::Library)?;
        VerifyingKey::from_raw(&raw)
    }

    /// Signs the exact bytes of `message`.
    ///
    /// # Errors
    /// Returns [`SignatureError::Library`].
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_SIZE], SignatureError> {
        let sign = || Signer::new_without_digest(&self.0)?.sign_oneshot_to_vec(message);
        let signature = sign().map_err(|_| SignatureError::Library)?;
        signature.try_into().map_err(|_| SignatureError::Library)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// The public key of a signer: 32 raw bytes, in JSON as standard base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// Makes a key of 32 raw bytes and checks that they are one; OpenSSL would accept any. All
    /// other constructors come through here.
    fn from_raw(raw: &[u8]) -> Result<Self, SignatureError> {
        let raw: [u8; 32] = raw.try_into().map_err(|_| SignatureError::NotAKey)?;
        let encoded = CompressedEdwardsY(raw);
        let point = encoded.decompress().ok_or(SignatureError::NotAKey)?;
        if point.is_small_order() || point.compress() != encoded {
            return Err(SignatureError::Unsound);
        }
        Ok(Self(raw))
    }

    /// Reads a PEM `PUBLIC KEY`, or base64 of the 32 raw bytes, as a person copied it.
    ///
    /// # Errors
    /// Returns [`SignatureError::NotAKey`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, SignatureError> {
        let text = decode::text(bytes).map_err(|_| SignatureError::NotAKey)?;
        let lines: Vec<_> = text.lines().map(|line| decode::bare(line).to_string()).collect();
        let text = lines.join("\n");
        if let Ok(key) = PKey::public_key_from_pem(text.as_bytes()) {
            let raw = key.raw_public_key().map_err(|_| SignatureError::NotAKey)?;
            return match key.id() {
                Id::ED25519 => Self::from_raw(&raw),
                _ => Err(SignatureError::NotAKey),
            };
        }
        text.trim().parse()
    }

    /// Encodes the key as a PEM `PUBLIC KEY`, for openssl's command line.
    ///
    /// # Errors
    /// Returns [`SignatureError::Library`].
    pub fn to_pem(&self) -> Result<Vec<u8>, SignatureError> {
        self.key()?.public_key_to_pem().map_err(|_| SignatureError::Library)
    }

    /// The fingerprint of the key, for people to compare.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::of(&self.0))
    }

    /// Checks that the private half signed exactly `message`.
    ///
    /// # Errors
    /// Returns [`SignatureError::Mismatch`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let key = self.key()?;
        let verify = || Verifier::new_without_digest(&key)?.verify_oneshot(signature, message);
        match verify() {
            Ok(true) => Ok(()),
            _ => Err(SignatureError::Mismatch),
        }
    }

    fn key(&self) -> Result<PKey<Public>, SignatureError> {
        PKey::public_key_from_raw_bytes(&self.0, Id::ED25519).map_err(|_| SignatureError::Library)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifyingKey {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        Self::from_raw(&BASE64_STANDARD.decode(text).map_err(|_| SignatureError::NotAKey)?)
    }
}

/// `SHA256:` and the unpadded base64 of the SHA-256 over the 32 raw bytes of a public key,
/// to be compared by people or named with `--signer`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Prefix of every fingerprint.
    pub const PREFIX: &str = "SHA256:";

    /// The digest as 16 groups of four hex digits, to be read aloud: no capitals, no signs.
    pub fn spoken(&self) -> String {
        let groups = self.0.as_bytes().as_chunks::<2>().0;
        groups.iter().map(|[a, b]| format!("{a:02x}{b:02x}")).collect::<Vec<_>>().join(" ")
    }

    /// [`Fingerprint::spoken`] in two lines of 39 columns, for a screen of 80.
    pub fn spoken_lines(&self) -> [String; 2] {
        let spoken = self.spoken();
        let (one, two) = spoken.split_at_checked(40).unwrap_or((&spoken, ""));
        [one.trim_end().to_owned(), two.to_owned()]
    }

    /// Returns true if a person means a fingerprint by `text`, not a file: it begins like one, or
    /// is hex digits in groups, at least half of all.
    pub fn is_meant_by(text: &str) -> bool {
        let text = decode::bare(text);
        let mut hex = text.chars().filter(|c| !c.is_whitespace() && *c != ':');
        without_prefix(&text).is_some()
            || hex_digits(&text).is_some()
            || (hex.clone().count() >= 32 && hex.all(|c| c.is_ascii_hexdigit()))
    }

    /// Reads a fingerprint that a person typed or pasted: `SHA256:...`, or the 64 hex digits of
    /// [`Fingerprint::spoken`] in upper or lower case. Blanks, line ends, colons and hyphens may
    /// stand between digits, and quote marks around all.
    ///
    /// # Errors
    /// Returns [`SignatureError::NotAFingerprint`], or [`SignatureError::NotSpoken`] when there are
    /// too few or too many digits.
    pub fn from_person(text: &str) -> Result<Self, SignatureError> {
        let text = decode::bare(text);
        let rest = without_prefix(&text);
        if let Some(hex) = hex_digits(rest.unwrap_or(&text)) {
            return hex.parse().map(Self).map_err(|_| SignatureError::NotSpoken(hex.len()));
        }
        match rest {
            Some(rest) => {
                let base64: String = rest.split_whitespace().collect();
                // 43 random characters are never all of one case
                let has = |kind: fn(&u8) -> bool| base64.as_bytes().iter().any(kind);
                if !has(u8::is_ascii_uppercase) || !has(u8::is_ascii_lowercase) {
                    return Err(SignatureError::LostCase);
                }
                format!("{}{}", Self::PREFIX, base64.trim_end_matches('=')).parse()
            }
            None if Self::is_meant_by(&text) => {
                let digits = text.chars().filter(char::is_ascii_hexdigit).count();
                Err(SignatureError::NotSpoken(digits))
            }
            None => Err(SignatureError::NotAFingerprint),
        }
    }
}

/// Strips `SHA256:` in either case.
fn without_prefix(text: &str) -> Option<&str> {
    let (start, rest) = text.split_at_checked(Fingerprint::PREFIX.len())?;
    start.eq_ignore_ascii_case(Fingerprint::PREFIX).then_some(rest)
}

/// Returns the 64 hex digits if there is nothing else but what people put between them.
fn hex_digits(text: &str) -> Option<String> {
    let between = |c: char| c.is_whitespace() || matches!(c, ':' | '-' | '.');
    let hex: String = text.chars().filter(|c| !between(*c)).collect();
    let is_whole = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_whole.then(|| hex.to_ascii_lowercase())
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, BASE64_STANDARD_NO_PAD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let digest = text.strip_prefix(Self::PREFIX).and_then(|rest| {
            let raw: [u8; 32] = BASE64_STANDARD_NO_PAD.decode(rest).ok()?.try_into().ok()?;
            Some(Sha256::from_bytes(raw))
        });
        digest.map(Self).ok_or(SignatureError::NotAFingerprint)
    }
}

written_as_text!(VerifyingKey, Fingerprint);
read_as_text!(VerifyingKey, Fingerprint);

/// The `signer` object of a manifest and of a kit index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignerEntry {
    /// Public key of the signer.
    pub public_key: VerifyingKey,
    /// Fingerprint of the key; [`SignerEntry::check`] compares the two.
    pub fingerprint: Fingerprint,
}

impl SignerEntry {
    /// Makes the entry for a key.
    pub fn of(public_key: VerifyingKey) -> Self {
        Self { public_key, fingerprint: public_key.fingerprint() }
    }

    /// Checks that the fingerprint is that of the key, and returns the key.
    ///
    /// # Errors
    /// Returns [`SignatureError::Mismatch`].
    pub fn check(&self) -> Result<VerifyingKey, SignatureError> {
        if self.public_key.fingerprint() == self.fingerprint {
            Ok(self.public_key)
        } else {
            Err(SignatureError::Mismatch)
        }
    }
}

#[cfg(test)]
mod tests;
