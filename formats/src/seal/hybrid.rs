//! The post-quantum recipient of age 1.3: `age1pq1…`, stanza `mlkem768x25519`
//! (<https://c2sp.org/age>). The Rust crate does not have it yet, but accepts recipients and
//! identities that are implemented elsewhere, like this one.

mod kem;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::str::FromStr;

use age::secrecy::ExposeSecret;
use age::{DecryptError, EncryptError};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{bech32_decode, bech32_encode};
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bech32::Hrp;
use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

use self::kem::{ENCAPSULATED, PrivateKey, PublicKey, Sealer, Seed};

/// Prefix of a recipient.
pub(super) const RECIPIENT_BEGIN: &str = "age1pq1";
const RECIPIENT: Hrp = Hrp::parse_unchecked("age1pq");
const IDENTITY: Hrp = Hrp::parse_unchecked("age-secret-key-pq-");
const TAG: &str = "mlkem768x25519";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// Label that keeps other recipients out of the same file: whoever breaks those has the file.
const LABEL: &str = "postquantum";
/// Size of the ChaCha20-Poly1305 tag.
const TAG_BYTES: usize = 16;

/// The text is neither a recipient nor an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The public half of a post-quantum key pair.
#[derive(Clone, PartialEq)]
pub struct Recipient(PublicKey);

/// The secret half of a post-quantum key pair, as the seed that it is derived from.
pub(super) struct Identity {
    seed: Seed,
    key: PrivateKey,
}

/// Decodes a Bech32 text, which may be secret.
fn decoded(text: &str, kind: Hrp) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    bech32_decode(
        text,
        |_| Malformed,
        |found| if found == kind { Ok(()) } else { Err(Malformed) },
        |_, bytes| Ok(Zeroizing::new(bytes.collect())),
    )
}

impl FromStr for Recipient {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        PublicKey::from_bytes(&decoded(text, RECIPIENT)?).map(Self).ok_or(Malformed)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32_encode(RECIPIENT, &self.0.to_bytes()))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl age::Recipient for Recipient {
    fn wrap_file_key(
        &self,
        file_key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        let failed = || EncryptError::Io(io::Error::other("the key could not be encapsulated"));
        let mut random = Zeroizing::new([0; 64]);
        OsRng.try_fill_bytes(&mut *random).map_err(|_| failed())?;
        let wrap = || {
            let (shared, enc) = self.0.encapsulate(&random)?;
            let body = Sealer::new(&shared, INFO)?.seal(file_key.expose_secret())?;
            let args = vec![BASE64_STANDARD_NO_PAD.encode(enc)];
            Some(Stanza { tag: TAG.to_owned(), args, body })
        };
        let stanza = wrap().ok_or_else(failed)?;
        Ok((vec![stanza], HashSet::from([LABEL.to_owned()])))
    }
}

impl Identity {
    /// Generates an identity from the system's random source.
    pub(super) fn generate() -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut *seed);
        Self::of(seed)
    }

    fn of(seed: Seed) -> Self {
        let key = PrivateKey::from_seed(&seed);
        Self { seed, key }
    }

    pub(super) fn recipient(&self) -> Recipient {
        Recipient(self.key.public())
    }

    /// The identity as `AGE-SECRET-KEY-PQ-1…`.
    pub(super) fn text(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(bech32_encode(IDENTITY, &*self.seed));
        Zeroizing::new(text.to_uppercase())
    }
}

impl FromStr for Identity {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bytes = decoded(text, IDENTITY)?;
        let seed = bytes.as_slice().try_into().map_err(|_| Malformed)?;
        Ok(Self::of(Zeroizing::new(seed)))
    }
}

impl age::Identity for Identity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != TAG {
            return None;
        }
        let [enc] = stanza.args.as_slice() else { return Some(Err(DecryptError::InvalidHeader)) };
        let enc = BASE64_STANDARD_NO_PAD.decode(enc).ok();
        let enc: Option<[u8; ENCAPSULATED]> = enc.and_then(|enc| enc.try_into().ok());
        // the length is checked before decryption, so that no ciphertext opens with two keys
        let fits = stanza.body.len() == FILE_KEY_BYTES + TAG_BYTES;
        let Some(enc) = enc.filter(|_| fits) else {
            return Some(Err(DecryptError::InvalidHeader));
        };
        let Some(shared) = self.key.decapsulate(&enc) else {
            return Some(Err(DecryptError::InvalidHeader));
        };
        // meant for somebody else, or changed: the two look alike
        let opened = Sealer::new(&shared, INFO)?.open(&stanza.body)?;
        let file_key: [u8; FILE_KEY_BYTES] = opened.as_slice().try_into().ok()?;
        let file_key = Zeroizing::new(file_key);
        Some(Ok(FileKey::init_with_mut(|key| key.copy_from_slice(&*file_key))))
    }
}
