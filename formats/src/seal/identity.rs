//! Identities: of age, SSH private keys, either under a passphrase, and new ones.

use std::fmt;
use std::sync::Arc;

use age::secrecy::ExposeSecret;
use age::{scrypt, ssh, x25519};
use zeroize::Zeroizing;

use super::{
    ARMOR_BEGIN, BINARY_BEGIN, Encoding, OpenError, Passphrase, Recipient, SealError, decrypt,
    decryptor, encrypt, hybrid, recovered, stanzas,
};
use crate::decode::{self, NotText};
use crate::error::{Reason, Reasoned};
use crate::limits;
use crate::signature::Fingerprint;

const PEM_BEGIN: &str = "-----BEGIN ";
pub(super) const SIGNER_LINE: &str = "# signer: ";

/// Private keys that open sealed files.
#[derive(Clone)]
pub struct Identities(Vec<Boxed>);

type Boxed = Arc<dyn age::Identity + Send + Sync>;

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({} of them)", self.0.len())
    }
}

impl Identities {
    /// Decrypts a sealed file of at most `limit` bytes of content.
    ///
    /// # Errors
    /// See [`OpenError`]. No content is returned unless all of it verifies.
    pub fn open(&self, sealed: &[u8], limit: u64) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        decrypt(sealed, self.0.iter().map(|identity| &**identity as &dyn age::Identity), limit)
    }

    /// Adds the identities of `others`.
    pub fn extend(&mut self, others: Identities) {
        self.0.extend(others.0);
    }
}

/// A file of identities that was read.
#[derive(Debug)]
pub enum IdentityFile {
    /// The identities are in clear.
    Plain(Identities),
    /// A passphrase protects the identities.
    Protected(ProtectedIdentity),
}

/// An identity file that a passphrase protects: an age file such as `kit.identity.age`, or
/// an encrypted SSH key.
pub struct ProtectedIdentity(Protected);

enum Protected {
    Age(Vec<u8>),
    Ssh(ssh::EncryptedKey),
}

impl fmt::Debug for ProtectedIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProtectedIdentity(..)")
    }
}

/// Reasons to refuse a file of identities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A line that is no identity; its text is not shown.
    #[error("line {line} is not an identity (AGE-SECRET-KEY-1...)")]
    Line {
        /// Line number, counted from 1.
        line: usize,
    },
    /// The public half of a key, which opens nothing.
    #[error("line {line} is a recipient, the public half; an identity is AGE-SECRET-KEY-1...")]
    Public {
        /// Line number, counted from 1.
        line: usize,
    },
    /// The file cannot be read as text.
    #[error("{0}")]
    NotText(#[from] NotText),
    /// The file has no line but comments.
    #[error("holds no identity")]
    Empty,
    /// An SSH private key of a kind that cannot decrypt, or in a form that age does not read.
    #[error("is an SSH key of a kind or form that cannot be used")]
    Ssh,
    /// An age file that is not protected by exactly one passphrase.
    #[error("is not an age file that is protected by one passphrase only")]
    NotPassphrase,
    /// An age file that cannot be read.
    #[error("is an age file that cannot be read: {0}")]
    Open(#[from] OpenError),
}

impl Reasoned for IdentityError {
    fn reason(&self) -> Reason {
        match self {
            Self::Open(error) => error.reason(),
            _ => Reason::BadFormat,
        }
    }
}

/// Content of a [`ProtectedIdentity`].
#[derive(Debug)]
pub struct OpenedIdentity {
    /// Identities that open bundles.
    pub identities: Identities,
    /// The signer that the holder of the passphrase vouches for (`# signer: SHA256:…`).
    pub signer: Option<Fingerprint>,
}

impl IdentityFile {
    /// Reads an age identity file, an SSH private key, or either under a passphrase.
    ///
    /// # Errors
    /// See [`IdentityError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, IdentityError> {
        let trimmed = bytes.trim_ascii_start();
        if trimmed.starts_with(ARMOR_BEGIN) || trimmed.starts_with(BINARY_BEGIN) {
            if !decryptor(bytes)?.is_scrypt() {
                return Err(IdentityError::NotPassphrase);
            }
            return Ok(Self::Protected(ProtectedIdentity(Protected::Age(bytes.to_vec()))));
        }
        if trimmed.starts_with(PEM_BEGIN.as_bytes()) {
            return match ssh::Identity::from_buffer(trimmed, None) {
                Ok(ssh::Identity::Encrypted(key)) => {
                    Ok(Self::Protected(ProtectedIdentity(Protected::Ssh(key))))
                }
                Ok(key @ ssh::Identity::Unencrypted(_)) => {
                    Ok(Self::Plain(Identities(vec![Arc::new(key)])))
                }
                _ => Err(IdentityError::Ssh),
            };
        }
        parse_native(bytes).map(Self::Plain)
    }

    /// Like [`IdentityFile::parse`], for a file that a person wrote or copied: in any encoding,
    /// with quote marks or blanks around its lines, with a key in lower case or broken into several
    /// lines.
    ///
    /// # Errors
    /// Like [`IdentityFile::parse`]; also [`IdentityError::NotText`].
    pub fn from_person(bytes: &[u8]) -> Result<Self, IdentityError> {
        let sealed = recovered(bytes)?;
        let trimmed = sealed.trim_ascii_start();
        if trimmed.starts_with(ARMOR_BEGIN) || trimmed.starts_with(BINARY_BEGIN) {
            return Self::parse(&sealed);
        }
        let text = decode::text(bytes)?;
        if let Some((_, key)) = text.split_once(PEM_BEGIN) {
            let mut pem = Zeroizing::new(String::with_capacity(bytes.len() * 3));
            pem.push_str(PEM_BEGIN);
            for line in key.lines() {
                pem.push_str(&decode::bare(line));
                pem.push('\n');
            }
            return Self::parse(pem.as_bytes());
        }
        // word processors replace hyphens by other dashes
        let plain = |c: char| if matches!(c, '\u{2010}'..='\u{2014}') { '-' } else { c };
        let mut in_capitals = Zeroizing::new(String::with_capacity(text.len()));
        in_capitals.extend(text.chars().map(plain).map(|c| c.to_ascii_uppercase()));
        if let Some(identities) = among_others(&in_capitals) {
            return Ok(Self::Plain(Identities(identities)));
        }
        // in capitals, as Bech32's checksum catches every other slip
        let native = |entry: &str| native(&Zeroizing::new(entry.to_ascii_uppercase()));
        let mut identities = Vec::new();
        for (line, entry) in decode::entries(&text, |entry| native(entry).is_some()) {
            identities.push(native(&entry).ok_or_else(|| {
                let is_public = entry.parse::<Recipient>().is_ok();
                if is_public {
                    IdentityError::Public { line }
                } else {
                    IdentityError::Line { line }
                }
            })?);
        }
        of_all(identities).map(Self::Plain)
    }
}

fn native(text: &str) -> Option<Boxed> {
    if let Ok(identity) = text.parse::<x25519::Identity>() {
        return Some(Arc::new(identity));
    }
    Some(Arc::new(text.parse::<hybrid::Identity>().ok()?))
}

/// Finds the identities in a text that holds other things as well, such as a prompt and a command.
/// All of those that the text mentions have to be readable; one too many opens nothing that it
/// should not.
fn among_others(text: &str) -> Option<Vec<Boxed>> {
    const BEGIN: &str = "AGE-SECRET-KEY-";
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let all: Vec<_> =
        words.filter(|word| word.starts_with(BEGIN)).map(native).collect::<Option<_>>()?;
    (!all.is_empty() && all.len() == text.matches(BEGIN).count()).then_some(all)
}

fn of_all(identities: Vec<Boxed>) -> Result<Identities, IdentityError> {
    if identities.is_empty() { Err(IdentityError::Empty) } else { Ok(Identities(identities)) }
}

/// Checks that `bytes` are what `kit.identity.age` has to be: an age file that exactly one
/// passphrase opens. A kit with any other file would ask for no passphrase, or for a secret that
/// its makers have not handed out.
///
/// # Errors
/// Returns [`IdentityError::NotPassphrase`], or [`OpenError::Damaged`] for what seems to have been
/// such a file.
pub fn require_one_passphrase(bytes: &[u8]) -> Result<(), IdentityError> {
    match decryptor(bytes) {
        Ok(sealed) if sealed.is_scrypt() => Ok(()),
        Err(OpenError::Damaged) if stanzas(bytes) <= 1 => Err(OpenError::Damaged.into()),
        _ => Err(IdentityError::NotPassphrase),
    }
}

fn parse_native(bytes: &[u8]) -> Result<Identities, IdentityError> {
    let mut identities = Vec::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let identity = std::str::from_utf8(line).ok().and_then(native);
        identities.push(identity.ok_or(IdentityError::Line { line: at + 1 })?);
    }
    of_all(identities)
}

/// An identity that opens nothing and notes the work factor of a scrypt stanza.
struct Look(std::cell::Cell<Option<u8>>);

impl age::Identity for Look {
    fn unwrap_stanza(
        &self,
        stanza: &age_core::format::Stanza,
    ) -> Option<Result<age_core::format::FileKey, age::DecryptError>> {
        if let ("scrypt", [_, factor]) = (stanza.tag.as_str(), stanza.args.as_slice()) {
            self.0.set(factor.parse().ok());
        }
        None
    }
}

impl ProtectedIdentity {
    /// Memory in bytes that one try takes: 2^(work factor) times 1 KiB (RFC 7914: 128 r N, with
    /// age's r = 8). `None` without scrypt, or when [`ProtectedIdentity::open`] refuses the factor.
    pub fn memory(&self) -> Option<u64> {
        let Protected::Age(sealed) = &self.0 else { return None };
        let look = Look(std::cell::Cell::new(None));
        // it never opens anything, so the error says nothing
        let _ = decrypt(sealed, std::iter::once(&look as &dyn age::Identity), limits::KEY_FILE);
        let factor = look.0.get().filter(|factor| *factor <= limits::WORK_FACTOR_READ)?;
        Some(1024 << factor)
    }

    /// Opens it with a passphrase. Each of the [`Passphrase::spellings`], usually one, costs an
    /// scrypt of at most [`limits::WORK_FACTOR_READ`].
    ///
    /// # Errors
    /// See [`IdentityError`]; a wrong passphrase is [`OpenError::Passphrase`].
    pub fn open(&self, passphrase: &Passphrase) -> Result<OpenedIdentity, IdentityError> {
        let mut result = Err(OpenError::Passphrase.into());
        for spelling in passphrase.spellings() {
            result = self.open_spelled(&spelling);
            if result.as_ref().err() != Some(&IdentityError::Open(OpenError::Passphrase)) {
                break;
            }
        }
        result
    }

    fn open_spelled(&self, passphrase: &Passphrase) -> Result<OpenedIdentity, IdentityError> {
        match &self.0 {
            Protected::Ssh(key) => {
                let key = key.decrypt(passphrase.0.clone()).map_err(|_| OpenError::Passphrase)?;
                let identities = Identities(vec![Arc::new(ssh::Identity::from(key))]);
                Ok(OpenedIdentity { identities, signer: None })
            }
            Protected::Age(sealed) => {
                let text = decrypt_protected(sealed, passphrase)?;
                Ok(OpenedIdentity { identities: parse_native(&text)?, signer: signer_line(&text) })
            }
        }
    }
}

/// Decrypts any content that a passphrase protects.
pub(super) fn decrypt_protected(
    sealed: &[u8],
    passphrase: &Passphrase,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let mut identity = scrypt::Identity::new(passphrase.0.clone());
    identity.set_max_work_factor(limits::WORK_FACTOR_READ);
    let identities = std::iter::once(&identity as &dyn age::Identity);
    decrypt(sealed, identities, limits::KEY_FILE).map_err(|error| match error {
        // the only stanza did not open
        OpenError::NoMatch => OpenError::Passphrase,
        other => other,
    })
}

/// Returns the signer if there is exactly one signer line; two contradict each other.
pub(super) fn signer_line(text: &[u8]) -> Option<Fingerprint> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(SIGNER_LINE));
    let first = lines.next()?.parse().ok();
    if lines.next().is_some() { None } else { first }
}

/// A newly generated identity.
pub struct NewIdentity(New);

enum New {
    X25519(x25519::Identity),
    Hybrid(Box<hybrid::Identity>),
}

impl NewIdentity {
    /// Generates an X25519 identity from the system's random source.
    pub fn generate() -> Self {
        Self(New::X25519(x25519::Identity::generate()))
    }

    /// Generates a post-quantum identity, for age 1.3 and later.
    pub fn generate_post_quantum() -> Self {
        Self(New::Hybrid(Box::new(hybrid::Identity::generate())))
    }

    /// The recipient that belongs to this identity.
    pub fn recipient(&self) -> Recipient {
        match &self.0 {
            New::X25519(identity) => Recipient::X25519(identity.to_public()),
            New::Hybrid(identity) => Recipient::Hybrid(Box::new(identity.recipient())),
        }
    }

    fn secret(&self) -> Zeroizing<String> {
        match &self.0 {
            New::X25519(identity) => {
                Zeroizing::new(identity.to_string().expose_secret().to_owned())
            }
            New::Hybrid(identity) => identity.text(),
        }
    }

    /// Text of an identity file in the form of `age-keygen`.
    pub fn file(&self, comments: &[String]) -> Zeroizing<String> {
        let comments: String = comments.iter().map(|line| format!("# {line}\n")).collect();
        let (public, secret) = (self.recipient(), self.secret());
        Zeroizing::new(format!("{comments}# public key: {public}\n{}\n", *secret))
    }

    /// Makes `kit.identity.age`: this identity and the signer line, under a passphrase, with the
    /// work factor [`limits::WORK_FACTOR_WRITTEN`].
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn protect(
        &self,
        passphrase: &Passphrase,
        signer: Fingerprint,
    ) -> Result<Vec<u8>, SealError> {
        let mut recipient = scrypt::Recipient::new(passphrase.0.clone());
        // `new` picks a factor by timing this machine; ours is fixed, as the device may be slower
        recipient.set_work_factor(limits::WORK_FACTOR_WRITTEN);
        let (public, secret) = (self.recipient(), self.secret());
        let text =
            Zeroizing::new(format!("{SIGNER_LINE}{signer}\n# public key: {public}\n{}\n", *secret));
        encrypt(
            text.as_bytes(),
            std::iter::once(&recipient as &dyn age::Recipient),
            Encoding::Armored,
        )
    }
}

impl fmt::Debug for NewIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewIdentity(..)")
    }
}
