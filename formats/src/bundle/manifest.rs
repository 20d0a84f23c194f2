//! `manifest.json`: what a bundle says of itself.
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
    /// [`FORMAT`].
    pub format: String,
    /// The same for the same content: see [`bundle_id`].
    pub bundle_id: Sha256,
    /// When the bundle was made, by the manager's clock.
    pub created_at: Timestamp,
    /// The run of `generate_certs.pl` (its unix time) that the credentials are from.
    pub batch: u64,
    /// For the tunnel to this manager.
    pub manager: Manager,
    /// On this device.
    pub device: Device,
    /// What the certificates say.
    pub credentials: CredentialFacts,
    /// The three files, in the order of the archive.
    pub files: Vec<FileEntry>,
    /// Who vouches for all this.
    pub signer: SignerEntry,
    /// The program that made it.
    pub tool: Tool,
}

/// The manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manager {
    /// Its UUID.
    pub uuid: ManagerUuid,
    /// Its host name.
    pub hostname: Label,
}

/// The device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its UUID, which the installer compares with the box's own.
    pub uuid: DeviceUuid,
    /// Its name, for people; foreign text.
    pub name: DeviceName,
    /// Its address.
    pub address: Label,
}

/// The two certificates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialFacts {
    /// `cacert.pem`.
    pub ca: CertificateFacts,
    /// `sftunnel-cert.pem`.
    pub certificate: CertificateFacts,
}

impl CredentialFacts {
    /// What the certificates themselves say.
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
    /// One of the three names.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Of the content.
    pub sha256: Sha256,
    /// Where it lay on the manager, for people.
    pub source: String,
    /// Where it belongs on the device: [`PeerPath`].
    pub destination: String,
}

/// The program that made a bundle or kit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A manifest that is refused.
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
        /// Which file.
        file: CredentialFile,
        /// What stands there; foreign text.
        found: String,
        /// What should.
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
    /// The bytes of `manifest.json`: indented, so that a person can read them.
    ///
    /// # Errors
    /// When it would be larger than [`limits::MANIFEST`].
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

    /// The three files' digests, in order.
    ///
    /// # Errors
    /// [`ManifestError::Files`] when there are not exactly the three.
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
