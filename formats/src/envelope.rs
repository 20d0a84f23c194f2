//! age around the archive: who may open it. The only file that knows the age crate.
//!
//! age v1 (<https://age-encryption.org/v1>), binary or ASCII-armored. It proves nothing
//! about who sealed it; that is what [`crate::signature`] is for.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::str::FromStr;

use age::secrecy::{ExposeSecret, SecretString};
use age::{Decryptor, Encryptor, armor, scrypt, ssh, x25519};
use zeroize::Zeroizing;

use crate::error::{Reason, Reasoned};
use crate::limits;
use crate::signature::Fingerprint;

const ARMOR_BEGIN: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const BINARY_BEGIN: &[u8] = b"age-encryption.org/v1\n";
const SIGNER_LINE: &str = "# signer: ";

/// Binary, or text that can be pasted into a console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As age writes it by default.
    Binary,
    /// As `age --armor` writes it.
    Armored,
}

/// Somebody who may open: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`.
#[derive(Debug, Clone)]
pub enum Recipient {
    /// A native age recipient.
    X25519(x25519::Recipient),
    /// An SSH public key.
    Ssh(ssh::Recipient),
}

/// Not a recipient that this program knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// A private key stands where a public one belongs. The text is not shown.
    #[error("this is a secret key; a recipient is the public half (age1...)")]
    Secret,
    /// Neither form.
    #[error("expected age1..., ssh-ed25519 ... or ssh-rsa ...")]
    Unknown,
    /// An RSA key below 2048 or above 4096 bits.
    #[error("ssh-rsa keys have 2048 to 4096 bits")]
    RsaSize,
    /// A known kind of SSH key that cannot encrypt, such as ecdsa or a hardware key.
    #[error("this kind of SSH key cannot be used for encryption; ssh-ed25519 and ssh-rsa can")]
    SshKind,
}

impl Reasoned for RecipientError {
    fn reason(&self) -> Reason {
        Reason::BadFormat
    }
}

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, RecipientError> {
        let text = text.trim();
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") || text.contains("PRIVATE KEY")
        {
            return Err(RecipientError::Secret);
        }
        if text.starts_with("age1") {
            return text.parse().map(Self::X25519).map_err(|_| RecipientError::Unknown);
        }
        text.parse().map(Self::Ssh).map_err(|error| match error {
            ssh::ParseRecipientKeyError::RsaModulusTooLarge
            | ssh::ParseRecipientKeyError::RsaModulusTooSmall => RecipientError::RsaSize,
            ssh::ParseRecipientKeyError::Unsupported(_) | ssh::ParseRecipientKeyError::Ignore => {
                RecipientError::SshKind
            }
            _ => RecipientError::Unknown,
        })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X25519(recipient) => fmt::Display::fmt(recipient, f),
            Self::Ssh(recipient) => fmt::Display::fmt(recipient, f),
        }
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for Recipient {}

/// A line of a recipients file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct RecipientsFileError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub error: RecipientError,
}

impl Reasoned for RecipientsFileError {
    fn reason(&self) -> Reason {
        self.error.reason()
    }
}

/// Reads a recipients file: one a line, `#` comments.
///
/// # Errors
/// The first line that is no recipient.
pub fn parse_recipients_file(bytes: &[u8]) -> Result<Vec<Recipient>, RecipientsFileError> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim).enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(at, line)| line.parse().map_err(|error| RecipientsFileError { line: at + 1, error }))
        .collect()
}

/// Sealing failed: no recipients, or the cryptographic library did.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Nobody could open it.
    #[error("no recipients")]
    NoRecipients,
    /// The library failed.
    #[error("age could not encrypt")]
    Library,
}

impl Reasoned for SealError {
    fn reason(&self) -> Reason {
        Reason::BadFormat
    }
}

/// Seals `plaintext` so that each of `recipients` can open it.
///
/// # Errors
/// See [`SealError`].
pub fn seal(
    plaintext: &[u8],
    recipients: &[Recipient],
    encoding: Encoding,
) -> Result<Vec<u8>, SealError> {
    if recipients.is_empty() {
        return Err(SealError::NoRecipients);
    }
    let recipients = recipients.iter().map(|recipient| match recipient {
        Recipient::X25519(recipient) => recipient as &dyn age::Recipient,
        Recipient::Ssh(recipient) => recipient as &dyn age::Recipient,
    });
    encrypt(plaintext, recipients, encoding)
}

fn encrypt<'a>(
    plaintext: &[u8],
    recipients: impl Iterator<Item = &'a dyn age::Recipient>,
    encoding: Encoding,
) -> Result<Vec<u8>, SealError> {
    let encryptor = Encryptor::with_recipients(recipients).map_err(|_| SealError::Library)?;
    let format = match encoding {
        Encoding::Binary => armor::Format::Binary,
        Encoding::Armored => armor::Format::AsciiArmor,
    };
    let write = || -> io::Result<Vec<u8>> {
        let armored =
            armor::ArmoredWriter::wrap_output(Vec::with_capacity(plaintext.len() + 1024), format)?;
        let mut writer = encryptor.wrap_output(armored)?;
        writer.write_all(plaintext)?;
        writer.finish()?.finish()
    };
    write().map_err(|_| SealError::Library)
}

/// Opening failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Not an age file, or a version other than v1.
    #[error("not an age v1 file")]
    NotAge,
    /// None of the identities fits any of the recipients. A changed recipient line looks the same.
    #[error("none of the given identities can open it")]
    NoMatch,
    /// The passphrase is wrong.
    #[error("the passphrase does not open it")]
    Passphrase,
    /// scrypt would take more than [`limits::WORK_FACTOR_READ`].
    #[error("its scrypt work factor is higher than {}", limits::WORK_FACTOR_READ)]
    WorkFactor,
    /// Header or payload were changed, cut or added to.
    #[error("its age encryption does not verify: a byte was changed, cut or added")]
    Damaged,
    /// The content is beyond its limit.
    #[error("its content is larger than {limit} bytes")]
    TooLarge {
        /// The most that is accepted.
        limit: u64,
    },
}

impl Reasoned for OpenError {
    fn reason(&self) -> Reason {
        match self {
            Self::NotAge => Reason::BadFormat,
            Self::NoMatch | Self::Passphrase => Reason::CannotOpen,
            Self::WorkFactor | Self::TooLarge { .. } => Reason::TooLarge,
            Self::Damaged => Reason::Damaged,
        }
    }
}

/// Private halves: what opens.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({} of them)", self.0.len())
    }
}

impl Identities {
    /// Decrypts a sealed file of at most `limit` bytes of content.
    ///
    /// # Errors
    /// See [`OpenError`]. No content is returned unless all of it verified.
    pub fn open(&self, sealed: &[u8], limit: u64) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        decrypt(sealed, self.0.iter().map(|identity| &**identity as &dyn age::Identity), limit)
    }

    /// These and the others.
    pub fn extend(&mut self, others: Identities) {
        self.0.extend(others.0);
    }
}

/// In which form a sealed file is, as far as its header shows: nothing is decrypted.
///
/// # Errors
/// [`OpenError::NotAge`], [`OpenError::Damaged`].
pub fn encoding_of(sealed: &[u8]) -> Result<Encoding, OpenError> {
    decryptor(sealed)?;
    let armored = sealed.trim_ascii_start().starts_with(ARMOR_BEGIN);
    Ok(if armored { Encoding::Armored } else { Encoding::Binary })
}

fn decryptor(sealed: &[u8]) -> Result<Decryptor<impl BufRead + '_>, OpenError> {
    let trimmed = sealed.trim_ascii_start();
    let sealed = if trimmed.starts_with(ARMOR_BEGIN) { trimmed } else { sealed };
    if !sealed.starts_with(ARMOR_BEGIN) && !sealed.starts_with(BINARY_BEGIN) {
        return Err(OpenError::NotAge);
    }
    // age takes more work factors and stanzas than it can hold sensibly; a header is bounded
    // by the size of the file, which the caller has bounded
    Decryptor::new_buffered(armor::ArmoredReader::new(sealed)).map_err(|error| match error {
        age::DecryptError::UnknownFormat => OpenError::NotAge,
        _ => OpenError::Damaged,
    })
}

fn decrypt<'a>(
    sealed: &[u8],
    identities: impl Iterator<Item = &'a dyn age::Identity>,
    limit: u64,
) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let plaintext = decryptor(sealed)?.decrypt(identities).map_err(|error| match error {
        age::DecryptError::NoMatchingKeys
        | age::DecryptError::KeyDecryptionFailed
        | age::DecryptError::DecryptionFailed => OpenError::NoMatch,
        age::DecryptError::ExcessiveWork { .. } => OpenError::WorkFactor,
        _ => OpenError::Damaged,
    })?;
    limits::read_secret(plaintext, limit).map_err(|error| match error {
        limits::LimitError::TooLarge { limit } => OpenError::TooLarge { limit },
        limits::LimitError::Io(_) => OpenError::Damaged,
    })
}

/// A passphrase; never shown, wiped when dropped.
#[derive(Clone)]
pub struct Passphrase(SecretString);

impl Passphrase {
    /// Takes it over.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// How many characters it has.
    pub fn chars(&self) -> usize {
        self.0.expose_secret().chars().count()
    }

    /// For the one place that shows a generated passphrase, once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// A file that holds identities, once looked at.
#[derive(Debug)]
pub enum IdentityFile {
    /// Usable as it is.
    Plain(Identities),
    /// Protected by a passphrase.
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

/// Not a file of identities.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A line that is no identity; its text is not shown.
    #[error("line {line} is not an identity (AGE-SECRET-KEY-1...)")]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// Nothing but comments.
    #[error("holds no identity")]
    Empty,
    /// An SSH private key of a kind that cannot decrypt, or in a form that age does not read.
    #[error("is an SSH key of a kind or form that cannot be used")]
    Ssh,
    /// An age file that is not protected by exactly one passphrase.
    #[error("is an age file, but not one that is protected by a passphrase")]
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

/// What [`ProtectedIdentity::open`] gives.
#[derive(Debug)]
pub struct OpenedIdentity {
    /// What opens bundles.
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
        if trimmed.starts_with(b"-----BEGIN ") {
            return match ssh::Identity::from_buffer(trimmed, None) {
                Ok(ssh::Identity::Encrypted(key)) => {
                    Ok(Self::Protected(ProtectedIdentity(Protected::Ssh(key))))
                }
                Ok(key @ ssh::Identity::Unencrypted(_)) => {
                    Ok(Self::Plain(Identities(vec![Box::new(key)])))
                }
                _ => Err(IdentityError::Ssh),
            };
        }
        parse_native(bytes).map(Self::Plain)
    }
}

fn parse_native(bytes: &[u8]) -> Result<Identities, IdentityError> {
    let mut identities: Vec<Box<dyn age::Identity + Send + Sync>> = Vec::new();
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let identity =
            std::str::from_utf8(line).ok().and_then(|text| text.parse::<x25519::Identity>().ok());
        identities.push(Box::new(identity.ok_or(IdentityError::Line { line: at + 1 })?));
    }
    if identities.is_empty() { Err(IdentityError::Empty) } else { Ok(Identities(identities)) }
}

impl ProtectedIdentity {
    /// Opens it with a passphrase. Costs one scrypt of at most [`limits::WORK_FACTOR_READ`].
    ///
    /// # Errors
    /// See [`IdentityError`]; a wrong passphrase is [`OpenError::Passphrase`].
    pub fn open(&self, passphrase: &Passphrase) -> Result<OpenedIdentity, IdentityError> {
        match &self.0 {
            Protected::Ssh(key) => {
                let key = key.decrypt(passphrase.0.clone()).map_err(|_| OpenError::Passphrase)?;
                let identities = Identities(vec![Box::new(ssh::Identity::from(key))]);
                Ok(OpenedIdentity { identities, signer: None })
            }
            Protected::Age(sealed) => {
                let mut identity = scrypt::Identity::new(passphrase.0.clone());
                identity.set_max_work_factor(limits::WORK_FACTOR_READ);
                let identities = std::iter::once(&identity as &dyn age::Identity);
                let text =
                    decrypt(sealed, identities, limits::KEY_FILE).map_err(|error| match error {
                        // the one stanza there is did not open
                        OpenError::NoMatch => OpenError::Passphrase,
                        other => other,
                    })?;
                Ok(OpenedIdentity { identities: parse_native(&text)?, signer: signer_line(&text) })
            }
        }
    }
}

/// Exactly one signer line counts; two contradict each other.
fn signer_line(text: &[u8]) -> Option<Fingerprint> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(SIGNER_LINE));
    let first = lines.next()?.parse().ok();
    if lines.next().is_some() { None } else { first }
}

/// A fresh X25519 identity.
pub struct NewIdentity(x25519::Identity);

impl NewIdentity {
    /// From the system's random source.
    pub fn generate() -> Self {
        Self(x25519::Identity::generate())
    }

    /// The public half.
    pub fn recipient(&self) -> Recipient {
        Recipient::X25519(self.0.to_public())
    }

    /// The text of an identity file, as `age-keygen` writes it.
    pub fn file(&self, comments: &[String]) -> Zeroizing<String> {
        let secret = self.0.to_string();
        let comments: String = comments.iter().map(|line| format!("# {line}\n")).collect();
        let public = self.0.to_public();
        Zeroizing::new(format!("{comments}# public key: {public}\n{}\n", secret.expose_secret()))
    }

    /// The text of `kit.identity.age`: this identity and the signer line, under a
    /// passphrase, with the work factor [`limits::WORK_FACTOR_WRITTEN`].
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn protect(
        &self,
        passphrase: &Passphrase,
        signer: Fingerprint,
    ) -> Result<Vec<u8>, SealError> {
        let mut recipient = scrypt::Recipient::new(passphrase.0.clone());
        // `new` picks a factor by timing this machine; ours is fixed, and not every box is fast
        recipient.set_work_factor(limits::WORK_FACTOR_WRITTEN);
        let secret = self.0.to_string();
        let public = self.0.to_public();
        let text = Zeroizing::new(format!(
            "{SIGNER_LINE}{signer}\n# public key: {public}\n{}\n",
            secret.expose_secret()
        ));
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

#[cfg(test)]
mod tests;
