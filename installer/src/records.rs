//! What this program remembers between runs: completed installations and pinned signers.

use std::collections::BTreeMap;

use console::exit::Failure;
use formats::checksum::Sha256;
use formats::device::ManagerUuid;
use formats::signature::{Fingerprint, VerifyingKey};
use formats::timestamp::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::journal::Remember;
use crate::state::{LockedState, State};

const INSTALLED: &str = "installed";
const INSTALLED_FORMAT: &str = "sftunnel-installed/1";
const SIGNERS: &str = "signers";
const SIGNERS_FORMAT: &str = "sftunnel-signers/1";

/// The last completed change, for each manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Installed {
    #[serde(deserialize_with = "installed_format")]
    format: String,
    managers: BTreeMap<ManagerUuid, InstalledSet>,
}

/// A set of files that sftunnel was restarted with and proved to run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InstalledSet {
    /// The bundle it is from, unless from a backup.
    pub bundle_id: Option<Sha256>,
    /// The three files' digests.
    pub files: [Option<Sha256>; 3],
    /// When, by the box's clock.
    pub completed_at: Timestamp,
    /// The latest notBefore of any CA that this program installed for this manager.
    pub newest_ca: Option<Timestamp>,
}

impl Installed {
    /// Reads the record; empty when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(state: Option<&State>) -> Result<Self, Failure> {
        let empty = || Self { format: INSTALLED_FORMAT.to_owned(), managers: BTreeMap::new() };
        Ok(read(state, INSTALLED)?.unwrap_or_else(empty))
    }

    /// What is known of a manager.
    pub(crate) fn of(&self, manager: &ManagerUuid) -> Option<&InstalledSet> {
        self.managers.get(manager)
    }

    /// Notes a completed change.
    ///
    /// # Errors
    /// `no-space`, `read-only`, or what the system says.
    pub(crate) fn complete(
        mut self,
        state: &LockedState,
        done: &[Remember],
        now: Timestamp,
    ) -> Result<(), Failure> {
        for remember in done {
            let before = self.managers.get(&remember.manager).and_then(|set| set.newest_ca);
            // a backup that is put back does not raise the mark, and does not lower it
            let installed = remember.bundle_id.and(remember.ca_not_before);
            let set = InstalledSet {
                bundle_id: remember.bundle_id,
                files: remember.files,
                completed_at: now,
                newest_ca: before.max(installed),
            };
            self.managers.insert(remember.manager.clone(), set);
        }
        write(state, INSTALLED, &self)
    }

    /// Forgets that a manager's files were completed, before they are changed.
    ///
    /// # Errors
    /// As [`Installed::complete`].
    pub(crate) fn reopen(
        mut self,
        state: &LockedState,
        managers: &[ManagerUuid],
    ) -> Result<(), Failure> {
        let mut changed = false;
        for manager in managers {
            if let Some(set) = self.managers.get_mut(manager) {
                changed |= set.files.iter().any(Option::is_some);
                set.files = [None; 3];
            }
        }
        if changed { write(state, INSTALLED, &self) } else { Ok(()) }
    }
}

/// The signers that count, for each manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signers {
    #[serde(deserialize_with = "signers_format")]
    format: String,
    /// By manager.
    pub managers: BTreeMap<ManagerUuid, Vec<PinnedSigner>>,
}

/// A pinned signer.
///
/// The key itself may be unknown as yet: pinned by a fingerprint that the phone told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinnedSigner {
    /// Which key.
    pub key: PinnedKey,
    /// When it was pinned, by the box's clock.
    pub pinned_at: Timestamp,
}

/// A key, or what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PinnedKey {
    /// The key itself; `null` until the first bundle that it has signed is installed.
    pub public_key: Option<VerifyingKey>,
    /// What counts.
    pub fingerprint: Fingerprint,
}

impl PinnedKey {
    /// Of a key.
    pub(crate) fn of(key: VerifyingKey) -> Self {
        Self { public_key: Some(key), fingerprint: key.fingerprint() }
    }

    /// Of a key that only its fingerprint is known of.
    pub(crate) fn told(fingerprint: Fingerprint) -> Self {
        Self { public_key: None, fingerprint }
    }

    fn is_sound(&self) -> bool {
        self.public_key.is_none_or(|key| key.fingerprint() == self.fingerprint)
    }
}

impl Signers {
    /// Reads the record; empty when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(state: Option<&State>) -> Result<Self, Failure> {
        let empty = || Self { format: SIGNERS_FORMAT.to_owned(), managers: BTreeMap::new() };
        let signers: Self = read(state, SIGNERS)?.unwrap_or_else(empty);
        let all_check = signers.managers.values().flatten().all(|signer| signer.key.is_sound());
        if all_check { Ok(signers) } else { Err(unreadable(state, SIGNERS)) }
    }

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

    /// Writes the record.
    ///
    /// # Errors
    /// `no-space`, `read-only`, or what the system says.
    pub(crate) fn write(&self, state: &LockedState) -> Result<(), Failure> {
        write(state, SIGNERS, self)
    }
}

fn installed_format<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    only(INSTALLED_FORMAT, from)
}

fn signers_format<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    only(SIGNERS_FORMAT, from)
}

/// What a later program wrote in another format is not ours to understand.
fn only<'de, D: Deserializer<'de>>(expected: &str, from: D) -> Result<String, D::Error> {
    let found = String::deserialize(from)?;
    if found == expected { Ok(found) } else { Err(de::Error::custom("another format")) }
}

fn read<T: for<'de> Deserialize<'de>>(
    state: Option<&State>,
    name: &str,
) -> Result<Option<T>, Failure> {
    let Some(bytes) = state.map(|state| state.read(name)).transpose()?.flatten() else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| unreadable(state, name))
}

fn unreadable(state: Option<&State>, name: &str) -> Failure {
    let folder = state.map_or("", State::shown);
    Failure::unexpected(format!("{folder}/{name} is damaged"))
        .hint("move it away; what it remembered (completed installations, or pinned signers) is then forgotten")
}

fn write(state: &LockedState, name: &str, record: &impl Serialize) -> Result<(), Failure> {
    let mut json = serde_json::to_vec_pretty(record)
        .map_err(|error| Failure::unexpected(format!("{name}: {error}")))?;
    json.push(b'\n');
    state.write(name, &json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_format_is_none() {
        let empty = |format: &str| format!(r#"{{"format":"{format}","managers":{{}}}}"#);
        let kinds = |format: &str| {
            let text = empty(format);
            [
                serde_json::from_str::<Installed>(&text).is_ok(),
                serde_json::from_str::<Signers>(&text).is_ok(),
            ]
        };
        assert_eq!(kinds(INSTALLED_FORMAT), [true, false]);
        assert_eq!(kinds(SIGNERS_FORMAT), [false, true]);
        assert_eq!(kinds("sftunnel-signers/2"), [false, false]);
    }
}
