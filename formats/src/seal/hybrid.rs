//! The post-quantum recipient of age 1.3: `age1pq1…`, stanza `mlkem768x25519`
//! (<https://c2sp.org/age>). The Rust crate does not have it yet; it takes recipients and
//! identities of other makes, and this is one.

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

/// How a recipient begins.
pub(super) const RECIPIENT_BEGIN: &str = "age1pq1";
const RECIPIENT: Hrp = Hrp::parse_unchecked("age1pq");
const IDENTITY: Hrp = Hrp::parse_unchecked("age-secret-key-pq-");
const TAG: &str = "mlkem768x25519";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// Recipients without it are not to stand beside this one: whoever breaks them has the file.
const LABEL: &str = "postquantum";
/// ChaCha20-Poly1305's tag.
const TAG_BYTES: usize = 16;

/// Neither recipient nor identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The public half.
#[derive(Clone, PartialEq)]
pub struct Recipient(PublicKey);

/// The secret half, as the seed that it is derived from.
pub(super) struct Identity {
    seed: Seed,
    key: PrivateKey,
}

/// The bytes of a Bech32 text. They may be secret.
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
    /// From the system's random source.
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

    /// `AGE-SECRET-KEY-PQ-1…`.
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
        // its length is checked before it is decrypted: one that two keys open must not exist
        let fits = stanza.body.len() == FILE_KEY_BYTES + TAG_BYTES;
        let Some(enc) = enc.filter(|_| fits) else {
            return Some(Err(DecryptError::InvalidHeader));
        };
        let Some(shared) = self.key.decapsulate(&enc) else {
            return Some(Err(DecryptError::InvalidHeader));
        };
        // for somebody else, or changed: which of the two cannot be told
        let opened = Sealer::new(&shared, INFO)?.open(&stanza.body)?;
        let file_key: [u8; FILE_KEY_BYTES] = opened.as_slice().try_into().ok()?;
        let file_key = Zeroizing::new(file_key);
        Some(Ok(FileKey::init_with_mut(|key| key.copy_from_slice(&*file_key))))
    }
}
