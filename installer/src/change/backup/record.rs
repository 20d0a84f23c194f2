//! `backup.json`, and the name of a backup.

use std::io;

use formats::checksum::Sha256;
use formats::device::{CredentialFile, DeviceUuid, ManagerUuid};
use formats::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use crate::appliance::attributes::{Attributes, Extended};
use crate::appliance::peers::{Live, LiveFile, LiveSet};

/// Its name in a backup.
pub(super) const NAME: &str = "backup.json";
const FORMAT: &str = "sftunnel-backup/1";

/// `backup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupRecord {
    format: String,
    /// The box; absent where `ims.conf` does not say, and in a backup of an earlier version.
    #[serde(
        default,
        deserialize_with = "formats::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub device: Option<DeviceUuid>,
    /// Counts up from 1.
    pub sequence: u64,
    /// By the box's clock.
    pub created_at: Timestamp,
    /// `install` or `rollback`: what was about to happen.
    pub before: String,
    /// Version of the program that made it.
    pub program: String,
    /// Each peer directory that was about to be changed.
    pub peers: Vec<PeerRecord>,
}

/// One peer directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerRecord {
    /// Whose.
    pub manager: ManagerUuid,
    /// The three files.
    pub files: Vec<FileRecord>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRecord {
    /// One of the three names.
    pub name: String,
    /// `null` when there was no such file.
    pub found: Option<FoundRecord>,
}

/// A file that was found: size and digest, and its [`Attributes`] by name. They are not one field, and
/// serde flattens none where unknown fields are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FoundRecord {
    pub size: u64,
    pub sha256: Sha256,
    /// Octal.
    pub mode: String,
    pub uid: u32,
    pub gid: u32,
    /// Base64 by name; absent in a backup of a version that did not keep them.
    #[serde(
        default,
        deserialize_with = "formats::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub extended: Option<Extended>,
}

impl BackupRecord {
    pub(super) fn new(
        device: Option<&DeviceUuid>,
        sequence: u64,
        created_at: Timestamp,
        before: &str,
        peers: &[(ManagerUuid, &LiveSet)],
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            device: device.cloned(),
            sequence,
            created_at,
            before: before.to_owned(),
            program: cli::say::version::VERSION.to_owned(),
            peers: peers.iter().map(|(manager, found)| PeerRecord::of(manager, found)).collect(),
        }
    }

    /// Reads the bytes of `backup.json`; `Unsupported` for one of a later release.
    pub(crate) fn parse(json: &[u8]) -> io::Result<Self> {
        formats::json::read(json, FORMAT).map_err(|error| {
            let message = format!("{NAME} {error}");
            match error.is_later() {
                true => io::Error::new(io::ErrorKind::Unsupported, message),
                false => invalid(message),
            }
        })
    }
}

impl PeerRecord {
    fn of(manager: &ManagerUuid, set: &LiveSet) -> Self {
        let file = |(file, live): (CredentialFile, &Live)| FileRecord {
            name: file.name().to_owned(),
            found: match live {
                Live::Absent => None,
                Live::File(live) => Some(FoundRecord::of(live)),
            },
        };
        Self { manager: manager.clone(), files: set.iter().map(file).collect() }
    }

    /// The three files in their order, each with what was found of it.
    pub(super) fn found(&self) -> io::Result<[(CredentialFile, Option<&FoundRecord>); 3]> {
        let [ca, certificate, key] = self.files.as_slice() else {
            return Err(invalid(format!("{NAME} does not list three files")));
        };
        let files = [ca, certificate, key];
        if files.iter().zip(CredentialFile::ALL).any(|(entry, file)| entry.name != file.name()) {
            return Err(invalid(format!("{NAME} does not list the three files in order")));
        }
        let [ca, certificate, key] = files.map(|entry| entry.found.as_ref());
        let [of_ca, of_certificate, of_key] = CredentialFile::ALL;
        Ok([(of_ca, ca), (of_certificate, certificate), (of_key, key)])
    }
}

impl FoundRecord {
    fn of(live: &LiveFile) -> Self {
        let Attributes { mode, uid, gid, extended } = &live.attributes;
        Self {
            size: live.bytes.len() as u64,
            sha256: live.sha256,
            mode: format!("{mode:04o}"),
            uid: *uid,
            gid: *gid,
            extended: extended.clone(),
        }
    }

    /// Mode, owner and extended attributes.
    pub(super) fn attributes(&self, file: CredentialFile) -> io::Result<Attributes> {
        let mode = u32::from_str_radix(&self.mode, 8)
            .map_err(|_| invalid(format!("{NAME} gives {file} no mode")))?;
        let extended = self.extended.clone();
        Ok(Attributes { mode: mode & 0o7777, uid: self.uid, gid: self.gid, extended })
    }
}

/// The name of a backup: `0007-20261121T041047Z`. No other text is one, so it is a name in the
/// store and never a way out of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct BackupId {
    sequence: u64,
    name: String,
}

impl BackupId {
    pub(super) fn new(sequence: u64, at: Timestamp) -> Self {
        Self { sequence, name: format!("{sequence:04}-{}", at.compact()) }
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }

    /// The number that it begins with.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }
}

impl TryFrom<String> for BackupId {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let sequence = name.split_once('-').and_then(|(number, time)| {
            let sequence = number.parse().ok()?;
            let is_time = |(at, byte): (usize, u8)| match at {
                8 => byte == b'T',
                15 => byte == b'Z',
                _ => byte.is_ascii_digit(),
            };
            let is_plain = number == format!("{sequence:04}") && time.len() == 16;
            (is_plain && time.bytes().enumerate().all(is_time)).then_some(sequence)
        });
        match sequence {
            Some(sequence) => Ok(Self { sequence, name }),
            None => Err("not the name of a backup".to_owned()),
        }
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.name
    }
}

impl std::fmt::Display for BackupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.name)
    }
}

pub(super) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
