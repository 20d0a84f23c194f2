//! `manifest.json`: the signed description of a bundle.
//!
//! The bytes are what is signed, so a manifest is written once and afterwards only read;
//! nothing re-serialises one that came from elsewhere.

use serde::{Deserialize, Serialize};

use crate::checksum::Sha256;
use crate::credentials::{CertificateFacts, CheckedCredentials};
use crate::device::{CredentialFile, DeviceName, DeviceUuid, Label, ManagerUuid, PeerPath};
use crate::error::{Reason, Reasoned};
use crate::json::{self, JsonError};
use crate::limits;
use crate::signature::SignerEntry;
use crate::timestamp::Timestamp;

/// The `format` of a bundle's manifest.
pub const FORMAT: &str = "sftunnel-bundle/1";

/// A manifest, in the order of its JSON. See `FORMAT.md` for each field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: String,
    /// Identifier of the content: see [`bundle_id`].
    pub bundle_id: Sha256,
    /// Time of making, by the manager's clock.
    pub created_at: Timestamp,
    /// Unix time of the run of `generate_certs.pl` that made the credentials.
    pub batch: u64,
    /// Manager at the other end of the tunnel.
    pub manager: Manager,
    /// Device that the files belong on.
    pub device: Device,
    /// Facts read from the two certificates.
    pub credentials: CredentialFacts,
    /// The three files, in the order of the archive.
    pub files: Vec<FileEntry>,
    /// Key that signed the manifest.
    pub signer: SignerEntry,
    /// Program that made the bundle.
    pub tool: Tool,
}

/// A manager as a bundle names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manager {
    /// UUID of the manager.
    pub uuid: ManagerUuid,
    /// Host name of the manager.
    pub hostname: Label,
}

/// A device as a bundle names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// UUID of the device, which the installer compares with the box's own.
    pub uuid: DeviceUuid,
    /// Name of the device, for people; foreign text.
    pub name: DeviceName,
    /// Address of the device.
    pub address: Label,
}

/// Facts read from the two certificates of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialFacts {
    /// Facts of `cacert.pem`.
    pub ca: CertificateFacts,
    /// Facts of `sftunnel-cert.pem`.
    pub certificate: CertificateFacts,
}

impl CredentialFacts {
    /// Reads the facts from the certificates themselves.
    pub fn of(credentials: &CheckedCredentials) -> Self {
        Self {
            ca: credentials.ca().facts().clone(),
            certificate: credentials.certificate().facts().clone(),
        }
    }
}

/// One of the three files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name of the file, one of three.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Digest of the content.
    pub sha256: Sha256,
    /// Path on the manager, for people.
    pub source: String,
    /// Destination on the device, a [`PeerPath`].
    pub destination: String,
}

/// The program that made a bundle or kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Name of the program.
    pub name: String,
    /// Version of the program.
    pub version: String,
}

/// Reasons to refuse a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON of a manifest, or another format.
    #[error("the manifest {0}")]
    Json(#[from] JsonError),
    /// `files` is not the three files in their order.
    #[error("the manifest does not list exactly cacert.pem, sftunnel-cert.pem, sftunnel-key.pem")]
    Files,
    /// `bundle_id` does not follow from the rest.
    #[error("the manifest's bundle_id does not follow from its content")]
    BundleId,
    /// A destination that is not this manager's peer directory.
    #[error("{file} would go to '{found}', expected {expected}")]
    Destination {
        /// File whose destination differs.
        file: CredentialFile,
        /// Destination found; foreign text.
        found: String,
        /// Destination required.
        expected: String,
    },
}

impl Reasoned for ManifestError {
    fn reason(&self) -> Reason {
        match self {
            Self::Destination { .. } => Reason::WrongDestination,
            _ => Reason::BadFormat,
        }
    }

    fn needs_later_release(&self) -> bool {
        matches!(self, Self::Json(error) if error.is_later())
    }
}

/// Hex SHA-256 over the lines `sftunnel-bundle/1`, device UUID, manager UUID and the three
/// files' hex SHA-256, each ended by a line feed: same content, same id.
pub fn bundle_id(device: &DeviceUuid, manager: &ManagerUuid, files: &[Sha256; 3]) -> Sha256 {
    let [ca, certificate, key] = files;
    Sha256::of(format!("{FORMAT}\n{device}\n{manager}\n{ca}\n{certificate}\n{key}\n").as_bytes())
}

impl Manifest {
    /// Serialises the manifest as `manifest.json`, indented for people to read.
    ///
    /// # Errors
    /// Fails when it would be larger than [`limits::MANIFEST`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, limits::LimitError> {
        let too_large = limits::LimitError::TooLarge { limit: limits::MANIFEST };
        let Ok(mut bytes) = serde_json::to_vec_pretty(self) else { return Err(too_large) };
        bytes.push(b'\n');
        if bytes.len() as u64 > limits::MANIFEST { Err(too_large) } else { Ok(bytes) }
    }

    /// Reads the bytes of a manifest and checks what can be checked in it alone.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = json::read(bytes, FORMAT)?;
        let digests = manifest.digests()?;
        if manifest.bundle_id != bundle_id(&manifest.device.uuid, &manifest.manager.uuid, &digests)
        {
            return Err(ManifestError::BundleId);
        }
        for (entry, file) in manifest.files.iter().zip(CredentialFile::ALL) {
            let expected = PeerPath { manager: manifest.manager.uuid.clone(), file };
            if entry.destination.parse().as_ref() != Ok(&expected) {
                let (found, expected) = (entry.destination.clone(), expected.to_string());
                return Err(ManifestError::Destination { file, found, expected });
            }
        }
        Ok(manifest)
    }

    /// Digests of the three files, in order.
    ///
    /// # Errors
    /// Returns [`ManifestError::Files`] when there are not exactly the three.
    pub fn digests(&self) -> Result<[Sha256; 3], ManifestError> {
        let [ca, certificate, key] = self.files.as_slice() else {
            return Err(ManifestError::Files);
        };
        let named = [ca, certificate, key].into_iter().zip(CredentialFile::ALL);
        if named.into_iter().any(|(entry, file)| entry.name != file.name()) {
            return Err(ManifestError::Files);
        }
        Ok([ca.sha256, certificate.sha256, key.sha256])
    }
}
