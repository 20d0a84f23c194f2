//! Recipients: `age1…`, `age1pq1…`, `ssh-ed25519 …`, `ssh-rsa …`.

use std::fmt;
use std::str::FromStr;

use age::{ssh, x25519};

use super::hybrid;
use crate::decode;
use crate::error::{Reason, Reasoned};

/// A public key to which a file is sealed: `age1…`, `age1pq1…`, `ssh-ed25519 …` or `ssh-rsa …`.
#[derive(Debug, Clone)]
pub enum Recipient {
    /// A native age recipient.
    X25519(x25519::Recipient),
    /// A native age recipient that a quantum computer does not break.
    Hybrid(Box<hybrid::Recipient>),
    /// An SSH public key.
    Ssh(ssh::Recipient),
}

impl Recipient {
    /// Returns true if a file sealed to it stays closed to quantum computers.
    pub fn is_post_quantum(&self) -> bool {
        matches!(self, Self::Hybrid(_))
    }
}

/// Reasons to refuse a recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// A private key stands where a public one belongs. The text is not shown.
    #[error("this is a secret key; a recipient is the public half (age1...)")]
    Secret,
    /// The text has none of the four forms.
    #[error("expected age1..., age1pq1..., ssh-ed25519 ... or ssh-rsa ...")]
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
        // copied from a mail or a table: what surrounds it does not count
        let text = &*decode::bare(text);
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") || text.contains("PRIVATE KEY")
        {
            return Err(RecipientError::Secret);
        }
        // either case is valid (BIP 173), and a spelling aid may have mixed them
        let lower = text.to_ascii_lowercase();
        if lower.starts_with(hybrid::RECIPIENT_BEGIN) {
            return lower
                .parse()
                .map(|hybrid| Self::Hybrid(Box::new(hybrid)))
                .map_err(|_| RecipientError::Unknown);
        }
        if lower.starts_with("age1") {
            return lower.parse().map(Self::X25519).map_err(|_| RecipientError::Unknown);
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
            Self::Hybrid(recipient) => fmt::Display::fmt(recipient, f),
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
    /// Line number, counted from 1.
    pub line: usize,
    /// Reason why the line is refused.
    pub error: RecipientError,
}

impl Reasoned for RecipientsFileError {
    fn reason(&self) -> Reason {
        self.error.reason()
    }
}

/// Reads a recipients file: one recipient a line, `#` begins a comment line.
///
/// # Errors
/// Returns the first line that is not a recipient.
pub fn parse_recipients_file(text: &str) -> Result<Vec<Recipient>, RecipientsFileError> {
    decode::entries(text, |entry| entry.parse::<Recipient>().is_ok())
        .into_iter()
        .map(|(line, entry)| entry.parse().map_err(|error| RecipientsFileError { line, error }))
        .collect()
}
