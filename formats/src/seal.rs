//! The age layer around the archive, which decides who can open it. Only this module uses the age
//! crate.
//!
//! The format is age v1 (<https://age-encryption.org/v1>), binary or ASCII-armored. It proves
//! nothing about who sealed a file; [`crate::signature`] does.

use std::io::{self, BufRead, Read, Write};

use age::{Decryptor, Encryptor, armor};
use zeroize::Zeroizing;

use crate::error::{Reason, Reasoned};
use crate::limits;

mod hybrid;
mod identity;
mod passphrase;
mod pasted;
mod recipient;

pub use self::identity::{
    Identities, IdentityError, IdentityFile, NewIdentity, OpenedIdentity, ProtectedIdentity,
    require_one_passphrase,
};
pub use self::passphrase::{Passphrase, WORDS};
pub use self::pasted::recovered;
pub use self::recipient::{Recipient, RecipientError, RecipientsFileError, parse_recipients_file};

const ARMOR_BEGIN: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const BINARY_BEGIN: &[u8; 22] = b"age-encryption.org/v1\n";

/// Form of a sealed file: binary, or text that can be pasted into a console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// The default of `age`.
    Binary,
    /// The form that `age --armor` writes.
    Armored,
}

/// Reasons why a file cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is no recipient, so nobody could open it.
    #[error("no recipients")]
    NoRecipients,
    /// Post-quantum recipients stand beside others: whoever breaks those has the file.
    #[error(
        "age1pq1... recipients cannot be mixed with others, which a quantum computer can break"
    )]
    Mixed,
    /// The age library failed.
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
    if is_mixed(recipients) {
        return Err(SealError::Mixed);
    }
    let recipients = recipients.iter().map(|recipient| match recipient {
        Recipient::X25519(recipient) => recipient as &dyn age::Recipient,
        Recipient::Hybrid(recipient) => &**recipient as &dyn age::Recipient,
        Recipient::Ssh(recipient) => recipient as &dyn age::Recipient,
    });
    encrypt(plaintext, recipients, encoding)
}

/// Returns true if some recipients are post-quantum and others are not. age allows no such file.
pub fn is_mixed(recipients: &[Recipient]) -> bool {
    let first = recipients.first().map(Recipient::is_post_quantum);
    recipients.iter().any(|recipient| Some(recipient.is_post_quantum()) != first)
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

/// Reasons why a sealed file does not open.
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
    /// A binary file whose line ends were changed on the way.
    #[error("its line ends were changed, as a transfer in text mode does")]
    TextMode,
    /// Armor without its last line.
    #[error("it ends before the line END AGE ENCRYPTED FILE")]
    CutArmor,
    /// A text with several armored files in it.
    #[error("it holds more than one armored file")]
    TwoArmored,
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
            Self::NotAge | Self::TwoArmored => Reason::BadFormat,
            Self::NoMatch | Self::Passphrase => Reason::CannotOpen,
            Self::WorkFactor | Self::TooLarge { .. } => Reason::TooLarge,
            Self::Damaged | Self::TextMode | Self::CutArmor => Reason::Damaged,
        }
    }
}

/// Reads the form of a sealed file from its header; nothing is decrypted.
///
/// # Errors
/// Returns [`OpenError::NotAge`] or [`OpenError::Damaged`].
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
    // age accepts more work factors and stanzas than are sensible; the size of the file bounds the
    // header, and the caller has bounded that
    Decryptor::new_buffered(armor::ArmoredReader::new(sealed)).map_err(|error| match error {
        age::DecryptError::UnknownFormat if !claims_v1(sealed) => OpenError::NotAge,
        _ => OpenError::Damaged,
    })
}

/// Returns true if the first line is that of age v1: the file is then damaged, not of another
/// format.
fn claims_v1(sealed: &[u8]) -> bool {
    let mut line = [0; BINARY_BEGIN.len()];
    armor::ArmoredReader::new(sealed).read_exact(&mut line).is_ok() && line == *BINARY_BEGIN
}

/// Counts the stanzas of a header, even of one that age does not accept.
fn stanzas(sealed: &[u8]) -> usize {
    let header = armor::ArmoredReader::new(sealed.trim_ascii_start());
    let lines = io::BufReader::new(header).split(b'\n').map_while(Result::ok);
    lines
        .take_while(|line| !line.starts_with(b"---"))
        .filter(|line| line.starts_with(b"-> "))
        .count()
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

#[cfg(test)]
mod tests;
