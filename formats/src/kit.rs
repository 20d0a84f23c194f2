//! The kit: the folder that travels, and `kit.json`, its signed index.

use serde::{Deserialize, Serialize};

use crate::checksum::{Sha256, is_plain_relative};
use crate::device::{DeviceName, DeviceUuid, ManagerUuid, bundle_file_name};
use crate::error::{Reason, Reasoned};
use crate::limits;
use crate::manifest::Manager;
use crate::signature::{SignatureError, SignerEntry, SigningKey, VerifyingKey};
use crate::timestamp::Timestamp;

/// The `format` of a kit's index.
pub const FORMAT: &str = "sftunnel-kit/1";
/// The index.
pub const INDEX: &str = "kit.json";
/// The raw Ed25519 signature over the exact bytes of the index.
pub const INDEX_SIGNATURE: &str = "kit.json.sig";
/// The identity of a passphrase kit.
pub const IDENTITY: &str = "kit.identity.age";
/// Checksums over every other file.
pub const SUMS: &str = "SHA256SUMS";
/// What the person at the device types.
pub const README: &str = "README.txt";
/// Picks the program for the box.
pub const INSTALL_SCRIPT: &str = "install.sh";
/// Where the bundles lie.
pub const BUNDLES: &str = "bundles";
/// Where the installers lie.
pub const BIN: &str = "bin";

/// The architectures that a kit can hold an installer for, as `uname -m` names them.
pub const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// The name of a kit's folder: `sftunnel-kit-<manager UUID, first 8>-<batch>`.
pub fn folder_name(manager: &ManagerUuid, batch: u64) -> String {
    format!("sftunnel-kit-{}-{batch}", manager.short())
}

/// The name of an installer inside a kit.
pub fn installer_file(arch: &str) -> String {
    format!("{BIN}/sftunnel-install-{arch}")
}

/// `kit.json`, in the order of its JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KitIndex {
    /// [`FORMAT`].
    pub format: String,
    /// All bundles are for tunnels to this manager.
    pub manager: Manager,
    /// The run of `generate_certs.pl`.
    pub batch: u64,
    /// When the kit was made.
    pub created_at: Timestamp,
    /// Who signed this index; after a handoff not who signed the bundles.
    pub signer: SignerEntry,
    /// One for each device, no device twice.
    pub bundles: Vec<BundleEntry>,
    /// At most one for each of [`ARCHITECTURES`].
    pub installers: Vec<InstallerEntry>,
}

/// A bundle in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleEntry {
    /// For whom.
    pub device: DeviceEntry,
    /// `bundles/<name>_<uuid>.tar.gz.age`.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// Of the sealed file.
    pub sha256: Sha256,
}

/// A device in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceEntry {
    /// Its UUID.
    pub uuid: DeviceUuid,
    /// Its name; foreign text.
    pub name: DeviceName,
}

/// An installer in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallerEntry {
    /// One of [`ARCHITECTURES`].
    pub arch: String,
    /// [`installer_file`] of it.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// Of the program.
    pub sha256: Sha256,
}

/// An index that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KitError {
    /// Not the JSON of an index: syntax, an unknown, repeated or missing field.
    #[error("kit.json is not valid: line {line}, column {column}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// Another format, or a later one.
    #[error("kit.json's format is not '{FORMAT}'")]
    Format,
    /// More bundles than [`limits::KIT_BUNDLES`].
    #[error("kit.json lists more than {} bundles", limits::KIT_BUNDLES)]
    TooMany,
    /// A device or a file stands there twice.
    #[error("kit.json lists {what} twice")]
    Twice {
        /// The file, or the device's UUID.
        what: String,
    },
    /// A file name that is not the one that belongs to the entry.
    #[error("kit.json lists a file under another name than '{expected}'")]
    FileName {
        /// The name that belongs there.
        expected: String,
    },
    /// The signature does not fit.
    #[error("kit.json.sig: {0}")]
    Signature(#[from] SignatureError),
}

impl Reasoned for KitError {
    fn reason(&self) -> Reason {
        match self {
            Self::TooMany => Reason::TooLarge,
            Self::Signature(_) => Reason::BadSignature,
            _ => Reason::BadFormat,
        }
    }
}

impl BundleEntry {
    /// The entry for a sealed bundle.
    pub fn new(device: DeviceEntry, size: u64, sha256: Sha256) -> Self {
        let file = format!("{BUNDLES}/{}", bundle_file_name(&device.name, &device.uuid));
        Self { device, file, size, sha256 }
    }
}

impl KitIndex {
    /// The bytes of `kit.json` and of its signature.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(&self, key: &SigningKey) -> Result<(Vec<u8>, [u8; 64]), SignatureError> {
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|_| SignatureError::Library)?;
        bytes.push(b'\n');
        let signature = key.sign(&bytes)?;
        Ok((bytes, signature))
    }

    /// Reads an index whose signature fits the key that it names; also returns that key.
    /// Whether the key is trusted is a question still open.
    ///
    /// # Errors
    /// See [`KitError`]. The signature is checked before the rest is believed.
    pub fn open(bytes: &[u8], signature: &[u8]) -> Result<(Self, VerifyingKey), KitError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            signer: SignerEntry,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| syntax(&error))?;
        if head.format != FORMAT {
            return Err(KitError::Format);
        }
        let signer = head.signer.check()?;
        signer.verify(bytes, signature)?;
        let index: Self = serde_json::from_slice(bytes).map_err(|error| syntax(&error))?;
        index.check()?;
        Ok((index, signer))
    }

    /// The bundle for a device.
    pub fn bundle_for(&self, device: &DeviceUuid) -> Option<&BundleEntry> {
        self.bundles.iter().find(|entry| entry.device.uuid == *device)
    }

    fn check(&self) -> Result<(), KitError> {
        if self.bundles.len() > limits::KIT_BUNDLES {
            return Err(KitError::TooMany);
        }
        let mut seen = std::collections::HashSet::new();
        for entry in &self.bundles {
            let device = entry.device.clone();
            let expected = BundleEntry::new(device, entry.size, entry.sha256).file;
            if entry.file != expected || !is_plain_relative(&entry.file) {
                return Err(KitError::FileName { expected });
            }
            if !seen.insert(entry.device.uuid.as_str()) {
                return Err(KitError::Twice { what: entry.device.uuid.to_string() });
            }
        }
        for entry in &self.installers {
            let expected = installer_file(&entry.arch);
            if entry.file != expected || !ARCHITECTURES.contains(&entry.arch.as_str()) {
                return Err(KitError::FileName { expected });
            }
            if !seen.insert(&entry.arch) {
                return Err(KitError::Twice { what: expected });
            }
        }
        Ok(())
    }
}

// serde's own text may quote the input, which is foreign
fn syntax(error: &serde_json::Error) -> KitError {
    KitError::Syntax { line: error.line(), column: error.column() }
}
