//! The kit: the folder that travels, and `kit.json`, its signed index.

use serde::{Deserialize, Serialize};

use crate::bundle::manifest::{Manager, Manifest, Tool};
use crate::checksum::{Sha256, is_plain_relative};
use crate::device::{
    DeviceName, DeviceUuid, ManagerUuid, bundle_file_name, older_bundle_file_name,
};
use crate::error::{Reason, Reasoned};
use crate::json::{self, JsonError};
use crate::limits;
use crate::signature::{SignatureError, SignerEntry, SigningKey, VerifyingKey};
use crate::text::named;
use crate::timestamp::Timestamp;

/// The `format` of a kit's index.
pub const FORMAT: &str = "sftunnel-kit/1";
/// File name of the index.
pub const INDEX: &str = "kit.json";
/// File name of the raw Ed25519 signature over the exact bytes of the index.
pub const INDEX_SIGNATURE: &str = "kit.json.sig";
/// File name of the identity in a passphrase kit.
pub const IDENTITY: &str = "kit.identity.age";
/// File name of the checksums over every other file.
pub const SUMS: &str = "SHA256SUMS";
/// File with the commands for the person at the device.
pub const README: &str = "README.txt";
/// File name of the script that picks the program for the box.
pub const INSTALL_SCRIPT: &str = "install.sh";
/// Folder in which devices leave receipts; not part of the signed kit.
pub const RECEIPTS: &str = "receipts";
/// Folder of the bundles.
pub const BUNDLES: &str = "bundles";
/// Folder of the installers.
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
    /// Always [`FORMAT`].
    pub format: String,
    /// Manager at the other end of all the tunnels.
    pub manager: Manager,
    /// Unix time of the run of `generate_certs.pl`.
    pub batch: u64,
    /// Origin of the list of devices; absent when a FAILED_PUSH listed them.
    #[serde(default, deserialize_with = "json::present", skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Creation time of the kit.
    pub created_at: Timestamp,
    /// Signer of this index; after a handoff not the signer of the bundles.
    pub signer: SignerEntry,
    /// Signer of the first kit's index, the one that the builder made; absent in that
    /// kit itself. A statement of [`KitIndex::signer`], proved by nobody else.
    #[serde(default, deserialize_with = "json::present", skip_serializing_if = "Option::is_none")]
    pub built_by: Option<SignerEntry>,
    /// All handoffs since, the oldest first; absent when there was none. The last is that of
    /// [`KitIndex::signer`]; the earlier ones are its statement, like `built_by`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handoffs: Vec<Handoff>,
    /// One bundle for each device.
    pub bundles: Vec<BundleEntry>,
    /// Installer programs, at most one for each of [`ARCHITECTURES`].
    pub installers: Vec<InstallerEntry>,
    /// The other files of the kit, among them the script that root runs; none in kits made before
    /// this list existed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<TextEntry>,
}

/// Origin of a kit's devices when no FAILED_PUSH lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The devices that have a folder with a key pair on the manager.
    Peers,
}

/// A handoff: the bundles were opened and sealed for other recipients, their inside unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handoff {
    /// Time of the handoff, by the clock of the team that did it.
    pub at: Timestamp,
    /// Signer of the resulting index.
    pub signer: SignerEntry,
    /// Program that made the resulting kit.
    pub tool: Tool,
}

/// A bundle in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleEntry {
    /// The device that the bundle is for.
    pub device: DeviceEntry,
    /// Path in the kit: `bundles/<name>_<uuid>.tar.gz.age`.
    pub file: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the sealed file.
    pub sha256: Sha256,
}

/// A device in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceEntry {
    /// UUID of the device.
    pub uuid: DeviceUuid,
    /// Name of the device; foreign text.
    pub name: DeviceName,
}

/// An installer in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstallerEntry {
    /// Architecture, one of [`ARCHITECTURES`].
    pub arch: String,
    /// Path in the kit: [`installer_file`] of the architecture.
    pub file: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the program.
    pub sha256: Sha256,
}

/// A further file in the index: one of [`TEXTS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextEntry {
    /// Name of the file.
    pub file: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Sha256,
}

/// The files that [`KitIndex::texts`] may list.
pub const TEXTS: [&str; 3] = [README, INSTALL_SCRIPT, IDENTITY];

/// [`README`] in other languages: the name and all of the text that this release writes.
///
/// [`KitIndex::texts`] does not list them, as readers of before refuse a name there that they do
/// not know. No signature covers them, so they are compared with these, byte for byte.
pub const TRANSLATIONS: [(&str, &str); 2] = [
    ("README.es.txt", include_str!("kit/README.es.txt")),
    ("README.zh-TW.txt", include_str!("kit/README.zh-TW.txt")),
];

/// Returns true if a file of that name and digest is one of [`TRANSLATIONS`].
pub fn is_translation(file: &str, sha256: &Sha256) -> bool {
    TRANSLATIONS.iter().any(|(name, text)| *name == file && Sha256::of(text.as_bytes()) == *sha256)
}

/// Reasons to refuse an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KitError {
    /// Not the JSON of an index, or another format.
    #[error("kit.json {0}")]
    Json(#[from] JsonError),
    /// More bundles than [`limits::KIT_BUNDLES`].
    #[error("kit.json lists more than {} bundles", limits::KIT_BUNDLES)]
    TooMany,
    /// A device or a file is listed twice.
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
    /// The handoffs contradict the signer or each other, or are more than
    /// [`limits::HANDOFFS`].
    #[error("kit.json's handoffs do not lead from its builder to its signer")]
    Handoffs,
    /// The index and a bundle contradict each other.
    #[error("kit.json says {what} {listed}, the bundle says {found}")]
    Differs {
        /// Name of the field.
        what: &'static str,
        /// Value in the index; foreign text.
        listed: String,
        /// Value in the manifest; foreign text.
        found: String,
    },
    /// The signature does not fit.
    #[error("kit.json.sig: {0}")]
    Signature(#[from] SignatureError),
}

impl Reasoned for KitError {
    fn reason(&self) -> Reason {
        match self {
            Self::TooMany => Reason::TooLarge,
            Self::Differs { .. } => Reason::Damaged,
            Self::Signature(_) => Reason::BadSignature,
            _ => Reason::BadFormat,
        }
    }

    fn needs_later_release(&self) -> bool {
        matches!(self, Self::Json(error) if error.is_later())
    }
}

impl DeviceEntry {
    /// Path of the bundle in a kit.
    pub fn bundle_file(&self) -> String {
        format!("{BUNDLES}/{}", bundle_file_name(&self.name, &self.uuid))
    }
}

impl BundleEntry {
    /// Makes the entry for a sealed bundle.
    pub fn new(device: DeviceEntry, size: u64, sha256: Sha256) -> Self {
        let file = device.bundle_file();
        Self { device, file, size, sha256 }
    }
}

impl KitIndex {
    /// Serialises the index as `kit.json` and signs those bytes.
    ///
    /// # Errors
    /// Fails when the key cannot sign.
    pub fn sign(&self, key: &SigningKey) -> Result<(Vec<u8>, [u8; 64]), SignatureError> {
        // about the size of the result: growing by doubling would take three times the memory
        let mut bytes = Vec::with_capacity(2048 + 400 * self.bundles.len());
        serde_json::to_writer_pretty(&mut bytes, self).map_err(|_| SignatureError::Library)?;
        bytes.push(b'\n');
        let signature = key.sign(&bytes)?;
        Ok((bytes, signature))
    }

    /// Reads an index whose signature fits the key that it names, and returns both. Nothing is said
    /// yet about trust in that key.
    ///
    /// # Errors
    /// See [`KitError`]. The signature is checked before the rest is believed.
    pub fn open(bytes: &[u8], signature: &[u8]) -> Result<(Self, VerifyingKey), KitError> {
        #[derive(Deserialize)]
        struct Head {
            signer: SignerEntry,
        }
        json::require_format(bytes, FORMAT)?;
        let head: Head = json::object(bytes)?;
        let signer = head.signer.check()?;
        signer.verify(bytes, signature)?;
        let index: Self = json::object(bytes)?;
        index.check()?;
        Ok((index, signer))
    }

    /// Adds a handoff, whose index `signer` is about to sign.
    pub fn hand_off(&mut self, at: Timestamp, signer: SignerEntry, tool: Tool) {
        self.built_by.get_or_insert(self.signer);
        self.signer = signer;
        self.handoffs.push(Handoff { at, signer, tool });
    }

    /// Finds the bundle of a device.
    pub fn bundle_for(&self, device: &DeviceUuid) -> Option<&BundleEntry> {
        self.bundles.iter().find(|entry| entry.device.uuid == *device)
    }

    /// Checks that everything the index states of a bundle agrees with its manifest.
    ///
    /// # Errors
    /// Returns [`KitError::Differs`]: the kit was put together from parts.
    pub fn check_bundle(&self, entry: &BundleEntry, manifest: &Manifest) -> Result<(), KitError> {
        let (manager, device) = (&self.manager, &entry.device);
        let both = [
            ("device", device.uuid.as_str(), manifest.device.uuid.as_str()),
            ("device name", device.name.as_str(), manifest.device.name.as_str()),
            ("manager", manager.uuid.as_str(), manifest.manager.uuid.as_str()),
            ("host name", manager.hostname.as_str(), manifest.manager.hostname.as_str()),
            ("batch", &self.batch.to_string(), &manifest.batch.to_string()),
            ("time", &self.created_at.to_string(), &manifest.created_at.to_string()),
        ];
        match both.into_iter().find(|(_, listed, found)| listed != found) {
            None => Ok(()),
            Some((what, listed, found)) => {
                let (listed, found) = (named(listed, 60), named(found, 60));
                Err(KitError::Differs { what, listed, found })
            }
        }
    }

    fn check_handoffs(&self) -> Result<(), KitError> {
        let signers = self.handoffs.iter().map(|handoff| handoff.signer).chain(self.built_by);
        for signer in signers {
            signer.check()?;
        }
        let last = self.handoffs.last().map(|handoff| handoff.signer);
        let leads_here = match (self.built_by, last) {
            (None, None) => true,
            (Some(_), Some(last)) => last == self.signer,
            _ => false,
        };
        if leads_here && self.handoffs.len() <= limits::HANDOFFS {
            Ok(())
        } else {
            Err(KitError::Handoffs)
        }
    }

    fn check(&self) -> Result<(), KitError> {
        self.check_handoffs()?;
        if self.bundles.len() > limits::KIT_BUNDLES {
            return Err(KitError::TooMany);
        }
        let mut seen = std::collections::HashSet::new();
        for entry in &self.bundles {
            let device = &entry.device;
            let expected = device.bundle_file();
            let is_older = || {
                let older = older_bundle_file_name(&device.name, &device.uuid);
                entry.file.strip_prefix(BUNDLES).and_then(|rest| rest.strip_prefix('/'))
                    == Some(&*older)
            };
            if !(entry.file == expected || is_older()) || !is_plain_relative(&entry.file) {
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
        for entry in &self.texts {
            if !TEXTS.contains(&entry.file.as_str()) {
                return Err(KitError::FileName { expected: TEXTS.join("' or '") });
            }
            if !seen.insert(&entry.file) {
                return Err(KitError::Twice { what: entry.file.clone() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
