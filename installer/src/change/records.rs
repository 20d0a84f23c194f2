//! What this program remembers between runs: completed installations and pinned signers.
//!
//! A record is JSON, and its last line is the SHA-256 of what stands before it. One that names another
//! device came here with a copy of that device's disk, and counts for nothing on this one.

use std::collections::BTreeMap;

use formats::checksum::Sha256;
use formats::device::{DeviceUuid, ManagerUuid};
use formats::json::{self, JsonError};
use formats::signature::{Fingerprint, VerifyingKey};
use formats::timestamp::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::appliance::state::{LockedState, State};
use crate::change::error::{Error, RecordError, Unreadable};
use crate::change::journal::{Pair, Remember};

/// A file in the state directory that remembers something of each manager between runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record<T> {
    format: String,
    /// The box that it was written on; `None` in one of an earlier version.
    #[serde(
        default,
        deserialize_with = "formats::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    device: Option<DeviceUuid>,
    pub managers: BTreeMap<ManagerUuid, T>,
}

/// The last completed change, for each manager.
pub(crate) type Installed = Record<InstalledSet>;

/// The signers that count, for each manager.
pub(crate) type Signers = Record<Vec<PinnedSigner>>;

/// The part of a record that is one manager's.
pub(crate) trait Remembered: Serialize + DeserializeOwned {
    /// The record's name in the state directory.
    const NAME: &str;
    /// The record's format; a later program may write another.
    const FORMAT: &str;

    /// True when what it says fits together.
    fn is_sound(&self) -> bool {
        true
    }
}

impl Remembered for InstalledSet {
    const NAME: &str = "installed";
    const FORMAT: &str = "sftunnel-installed/1";
}

impl Remembered for Vec<PinnedSigner> {
    const NAME: &str = "signers";
    const FORMAT: &str = "sftunnel-signers/1";

    fn is_sound(&self) -> bool {
        self.iter().all(|signer| signer.key.is_sound())
    }
}

impl<T: Remembered> Record<T> {
    /// Reads the record; empty when there is none.
    pub(crate) fn read(state: Option<&State>) -> Result<Self, Error> {
        let empty = Self { format: T::FORMAT.to_owned(), device: None, managers: BTreeMap::new() };
        let Some(bytes) = state.map(|state| state.read(T::NAME)).transpose()?.flatten() else {
            return Ok(empty);
        };
        let record: Self = parse(&bytes).map_err(|why| {
            let path = format!("{}/{}", state.map_or("", State::shown), T::NAME);
            RecordError::Unreadable { path, why }
        })?;
        let is_ours =
            state.is_none_or(|state| state.is_of_another(record.device.as_ref()).is_none());
        Ok(if is_ours { record } else { empty })
    }

    pub(crate) fn write(mut self, state: &LockedState) -> Result<(), Error> {
        self.device = state.device().cloned();
        let mut text = serde_json::to_string_pretty(&self)
            .map_err(|error| RecordError::Unwritable { name: T::NAME, error })?;
        text.push('\n');
        text.push_str(&format!("{}\n", Sha256::of(text.as_bytes())));
        Ok(state.write(T::NAME, text.as_bytes())?)
    }
}

/// A set of files that sftunnel was restarted with and proved to run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstalledSet {
    /// The bundle it is from, unless from a backup.
    pub bundle_id: Option<Sha256>,
    /// The three files' digests.
    pub files: [Option<Sha256>; 3],
    /// By the box's clock.
    pub completed_at: Timestamp,
    /// The latest notBefore of any CA that this program installed for this manager.
    pub newest_ca: Option<Timestamp>,
    /// The newest pair under that CA that this program installed for this manager.
    #[serde(
        default,
        deserialize_with = "formats::json::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub newest_pair: Option<Pair>,
}

impl Installed {
    /// The last completed change of a manager.
    pub(crate) fn of(&self, manager: &ManagerUuid) -> Option<&InstalledSet> {
        self.managers.get(manager)
    }

    /// Notes a completed change.
    pub(crate) fn complete(
        mut self,
        state: &LockedState,
        done: &[Remember],
        now: Timestamp,
    ) -> Result<(), Error> {
        for remember in done {
            let before = self.managers.get(&remember.manager);
            let before = before.map(|set| (set.newest_ca, set.newest_pair)).unwrap_or_default();
            // a backup that is put back does not raise the mark, and does not lower it
            let installed = remember.bundle_id.and(remember.ca_not_before);
            let (newest_ca, newest_pair) = before.max((installed, remember.pair));
            let set = InstalledSet {
                bundle_id: remember.bundle_id,
                files: remember.files,
                completed_at: now,
                newest_ca,
                newest_pair,
            };
            self.managers.insert(remember.manager.clone(), set);
        }
        self.write(state)
    }

    /// Forgets that a manager's files were completed, before they are changed.
    pub(crate) fn reopen(
        mut self,
        state: &LockedState,
        managers: &[ManagerUuid],
    ) -> Result<(), Error> {
        let mut changed = false;
        for manager in managers {
            if let Some(set) = self.managers.get_mut(manager) {
                changed |= set.files.iter().any(Option::is_some);
                set.files = [None; 3];
            }
        }
        if changed { self.write(state) } else { Ok(()) }
    }
}

/// A pinned signer.
///
/// The key itself may be unknown as yet: pinned by a fingerprint that the phone told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinnedSigner {
    pub key: PinnedKey,
    /// By the box's clock.
    pub pinned_at: Timestamp,
}

/// A key, or what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinnedKey {
    /// The key itself; `null` until the first bundle that it has signed is installed.
    pub public_key: Option<VerifyingKey>,
    /// Decides, where the key itself is not known.
    pub fingerprint: Fingerprint,
}

impl PinnedKey {
    pub(crate) fn of(key: VerifyingKey) -> Self {
        Self { public_key: Some(key), fingerprint: key.fingerprint() }
    }

    /// A key of which only the fingerprint is known.
    pub(crate) fn told(fingerprint: Fingerprint) -> Self {
        Self { public_key: None, fingerprint }
    }

    fn is_sound(&self) -> bool {
        self.public_key.is_none_or(|key| key.fingerprint() == self.fingerprint)
    }
}

impl Signers {
    /// The fingerprints that are pinned for a manager.
    pub(crate) fn of(&self, manager: &ManagerUuid) -> Vec<Fingerprint> {
        self.managers
            .get(manager)
            .into_iter()
            .flatten()
            .map(|signer| signer.key.fingerprint)
            .collect()
    }

    /// Pins a key; true when that changes the record.
    pub(crate) fn pin(&mut self, manager: &ManagerUuid, key: PinnedKey, now: Timestamp) -> bool {
        let pinned = self.managers.entry(manager.clone()).or_default();
        let same = |signer: &&mut PinnedSigner| signer.key.fingerprint == key.fingerprint;
        let Some(known) = pinned.iter_mut().find(same) else {
            pinned.push(PinnedSigner { key, pinned_at: now });
            return true;
        };
        let learns = known.key.public_key.is_none() && key.public_key.is_some();
        if learns {
            known.key = key;
        }
        learns
    }
}

/// Reads the bytes of a record.
///
/// The format is judged first: what a later program wrote is not ours to understand.
pub(crate) fn parse<T: Remembered>(bytes: &[u8]) -> Result<Record<T>, Unreadable> {
    let (text, digest) = split(bytes);
    let record: Record<T> = json::read(text, T::FORMAT).map_err(|error| match error {
        JsonError::Later { .. } => Unreadable::Later(error),
        JsonError::Format { .. } | JsonError::Syntax { .. } => Unreadable::Damaged,
    })?;
    let is_whole = match digest {
        Some(digest) => digest == Sha256::of(text),
        // an earlier version wrote neither checksum nor device
        None => record.device.is_none(),
    };
    let is_sound = is_whole && record.managers.values().all(T::is_sound);
    if is_sound { Ok(record) } else { Err(Unreadable::Damaged) }
}

/// A record without its last line, and the checksum that stands there.
fn split(bytes: &[u8]) -> (&[u8], Option<Sha256>) {
    let length = 2 * size_of::<[u8; 32]>() + 1;
    let parts = bytes.len().checked_sub(length).and_then(|at| bytes.split_at_checked(at));
    let digest = |line: &[u8]| std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?.parse().ok();
    match parts.and_then(|(text, line)| Some((text, digest(line)?))) {
        Some((text, digest)) => (text, Some(digest)),
        None => (bytes, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = <Vec<PinnedSigner>>::FORMAT;

    #[test]
    fn a_later_record_is_no_damage_and_another_one_is() {
        let why = |format: &str| {
            let text = format!(r#"{{"format":"{format}","managers":{{}}}}"#);
            let text = text.as_bytes();
            [parse::<InstalledSet>(text).err(), parse::<Vec<PinnedSigner>>(text).err()]
        };
        let damaged = || Some(Unreadable::Damaged);
        assert_eq!(why("sftunnel-installed/1"), [None, damaged()]);
        assert_eq!(why("sftunnel-signers/1"), [damaged(), None]);
        let [of_installed, of_signers] = why("sftunnel-signers/2");
        assert_eq!(of_installed, damaged());
        assert!(matches!(of_signers, Some(Unreadable::Later(_))), "{of_signers:?}");
    }

    #[test]
    fn a_manager_that_stands_there_twice_is_damage() {
        let manager = r#""cdb123c8-4347-11ef-aca1-f3aa241412a1":[]"#;
        let text =
            |managers: &str| format!(r#"{{"format":"{}","managers":{{{managers}}}}}"#, FORMAT);
        assert!(parse::<Vec<PinnedSigner>>(text(manager).as_bytes()).is_ok());
        let twice = text(&format!("{manager},{manager}"));
        assert_eq!(parse::<Vec<PinnedSigner>>(twice.as_bytes()).unwrap_err(), Unreadable::Damaged);
    }

    #[test]
    fn a_key_under_anothers_fingerprint_is_damage() {
        let key = formats::signature::SigningKey::generate().unwrap().verifying_key().unwrap();
        let other = formats::signature::SigningKey::generate().unwrap().verifying_key().unwrap();
        let text = |fingerprint: Fingerprint| {
            let manager = "cdb123c8-4347-11ef-aca1-f3aa241412a1";
            let pinned = format!(
                r#"{{"key":{{"public_key":"{key}","fingerprint":"{fingerprint}"}},"pinned_at":"2026-11-21T23:14:00Z"}}"#
            );
            format!(r#"{{"format":"{}","managers":{{"{manager}":[{pinned}]}}}}"#, FORMAT)
        };
        assert!(parse::<Vec<PinnedSigner>>(text(key.fingerprint()).as_bytes()).is_ok());
        let found = parse::<Vec<PinnedSigner>>(text(other.fingerprint()).as_bytes());
        assert_eq!(found.unwrap_err(), Unreadable::Damaged);
    }
}
