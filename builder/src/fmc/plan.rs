//! Which devices a kit is for, and which are refused before a file of theirs is read. Pure.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use cli::say::failure::Failure;
use formats::bundle::manifest::{Device, Manager};
use formats::cisco::facts::BATCHES;
use formats::cisco::failed_push::{ListedDevice, Problem, Sources};
use formats::device::{
    CredentialFile, DeviceName, DeviceUuid, Label, ManagerUuid, bundle_file_name,
};
use formats::limits;
use formats::text::{is_printable, shell_quote};
use serde::Serialize;

use crate::device_result::{DeviceRef, DeviceResult, Refusal};
use crate::fmc::by_name::find_devices;
use crate::fmc::discover::{BatchFrom, Listing, Surroundings};
use crate::fmc::error::{DeviceError, Error};

/// The devices and the manager of a kit that is going to be made.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The kit's manager; known whenever a device is left.
    pub manager: Option<Manager>,
    /// The newest run of `generate_certs.pl` among the listings.
    pub batch: u64,
    /// Origin of the devices.
    pub source: DeviceOrigin,
    /// The listings, the newest first; none without a list.
    pub failed_push: Vec<String>,
    /// Devices that get a bundle, if their files are good.
    pub devices: Vec<PlannedDevice>,
    /// Devices and lines that do not.
    pub refused: Vec<PlannedRefusal>,
    /// Every device that a listing names, also those not picked; emptied when the recipients
    /// are known, which is what it is for.
    pub known: Vec<(DeviceUuid, DeviceName)>,
    /// Things to know about all of it.
    pub warnings: Vec<String>,
    /// Every device that a listing names in a line that cannot be used.
    unusable: HashSet<DeviceUuid>,
}

/// Origin of the devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DeviceOrigin {
    /// A FAILED_PUSH lists them.
    FailedPush,
    /// They have a folder at the manager: `--peer`, `--all-peers`.
    Peers,
}

/// A device that gets a bundle.
#[derive(Debug)]
pub(crate) struct PlannedDevice {
    pub device: Device,
    /// Paths of the listed files on the manager.
    pub sources: Sources,
    pub notes: Vec<String>,
    manager: ManagerUuid,
}

/// A device, or a line, that is refused.
#[derive(Debug)]
pub(crate) struct PlannedRefusal {
    /// The device, where the line names one.
    pub device: Option<DeviceRef>,
    pub refusal: Refusal,
    pub notes: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Choice<'a> {
    /// `--device`.
    pub devices: &'a [String],
    /// `--accept-stale`.
    pub accept_stale: bool,
}

/// Makes the plan. Refuses a stale batch, a device that no listing names, listings that name none,
/// and more than [`limits::KIT_BUNDLES`] devices.
pub(crate) fn plan(
    mut listings: Vec<Listing>,
    surroundings: &Surroundings,
    choice: &Choice<'_>,
) -> Result<Plan, Error> {
    listings.sort_by_key(|listing| Reverse(listing.batch));
    let batch = listings.first().map_or(0, |listing| listing.batch);
    let is_list = |listing: &&Listing| listing.batch_from != BatchFrom::Peers;
    let mut plan = Plan {
        manager: None,
        batch,
        source: if listings.iter().all(|l| is_list(&l)) {
            DeviceOrigin::FailedPush
        } else {
            DeviceOrigin::Peers
        },
        failed_push: listings.iter().filter(is_list).map(|listing| listing.path.clone()).collect(),
        devices: Vec::new(),
        refused: Vec::new(),
        known: Vec::new(),
        warnings: Vec::new(),
        unusable: HashSet::new(),
    };
    plan.warnings.extend(listings.iter().filter_map(|listing| listing.doubt.clone()));
    plan.warnings.extend(foreign_batches(batch, surroundings));
    plan.warnings.extend(listings.iter().filter_map(guessed_batch));
    plan.check_batch(surroundings.newest_batch, choice.accept_stale)?;
    for listing in listings {
        plan.merge(listing);
    }
    plan.pick(choice.devices)?;
    if plan.devices.len() > limits::KIT_BUNDLES {
        return Err(Error::TooManyDevices(plan.devices.len()));
    }
    plan.choose_manager(surroundings);
    Ok(plan)
}

/// Warns of a batch that is only a file's time.
fn guessed_batch(listing: &Listing) -> Option<String> {
    let Listing { path, batch, .. } = listing;
    (listing.batch_from == BatchFrom::Modified).then(|| {
        format!(
            "{path} is not in a batch folder, and no list in {BATCHES} says the same: batch {batch} is only the time when the file was written, so the manager may have a newer CA. Name the list in its own folder"
        )
    })
}

/// Warns of newer batches that somebody else may have made up: neither used, nor a sign of a newer
/// CA.
fn foreign_batches(batch: u64, surroundings: &Surroundings) -> impl Iterator<Item = String> {
    const TOLD: usize = 4;
    let newer = surroundings.foreign_batches.iter().filter(move |(number, _)| *number > batch);
    newer.take(TOLD).map(|(number, foreign)| {
        format!(
            "batch {number} is newer, but not trusted: {foreign}. Find out who made it; if it was generate_certs.pl, --accept-source uses it"
        )
    })
}

/// Warns of problems that stand in no result.
fn uncounted(listing: &Listing) -> Option<String> {
    let (path, more) = (&listing.path, listing.found.more_problems);
    let told = listing.found.problems.len();
    (more > 0).then(|| {
        format!(
            "{more} more lines of {path} cannot be used; the first {told} are shown. Is it a FAILED_PUSH at all?"
        )
    })
}

impl Plan {
    /// The results of what was refused without a look at its files.
    pub(crate) fn refusals<F>(&self) -> impl Iterator<Item = DeviceResult<F>> {
        self.refused.iter().map(PlannedRefusal::result)
    }

    fn check_batch(&mut self, newest: Option<u64>, accept_stale: bool) -> Result<(), Error> {
        let Some(newest) = newest.filter(|newest| *newest > self.batch) else { return Ok(()) };
        let stale = Error::Stale { batch: self.batch, newest };
        if !accept_stale {
            return Err(stale);
        }
        self.warnings.push(Failure::from(stale).into_message());
        Ok(())
    }

    /// Adds a listing that is older than the ones already there: what they say counts.
    fn merge(&mut self, listing: Listing) {
        let newer: HashMap<DeviceUuid, usize> =
            self.devices.iter().enumerate().map(|(at, d)| (d.device.uuid.clone(), at)).collect();
        let refused = std::mem::take(&mut self.unusable);
        self.warnings.extend(uncounted(&listing));
        // room at once: what grows by doubling holds a fleet three times
        self.devices.reserve(listing.found.devices.len());
        self.known.reserve(listing.found.devices.len());
        for listed in listing.found.devices {
            if let Some(device) = newer.get(&listed.uuid).and_then(|at| self.devices.get_mut(*at)) {
                let older = listing.batch;
                device.notes.push(format!("also listed by batch {older}; the newer entry counts"));
            } else if !refused.contains(&listed.uuid) {
                self.known.push((listed.uuid.clone(), listed.name.clone()));
                self.devices.push(PlannedDevice::new(listed, listing.batch, self.batch));
            }
        }
        let mut this_listing = HashMap::<DeviceUuid, usize>::new();
        for problem in listing.found.problems {
            let Some(uuid) = problem.device.clone() else {
                self.refused.push(PlannedRefusal::new(problem, &listing.path));
                continue;
            };
            if newer.contains_key(&uuid) || refused.contains(&uuid) {
                continue;
            }
            let earlier = this_listing.get(&uuid).and_then(|at| self.refused.get_mut(*at));
            if let Some(earlier) = earlier {
                earlier.notes.push(format!("line {} as well: {}", problem.line, problem.error));
                continue;
            }
            if let Some(name) = &problem.name {
                self.known.push((uuid.clone(), name.clone()));
            }
            this_listing.insert(uuid, self.refused.len());
            self.refused.push(PlannedRefusal::new(problem, &listing.path));
        }
        self.unusable = refused;
        self.unusable.extend(listing.found.unusable);
    }

    /// Leaves only the devices that were asked for.
    fn pick(&mut self, wanted: &[String]) -> Result<(), Error> {
        if self.devices.is_empty() && self.refused.is_empty() {
            return Err(Error::EmptyLists(self.failed_push.clone()));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let names = self.all_names();
        let picked = find_devices(&names, wanted)?;
        self.devices.retain(|device| picked.contains(&device.device.uuid));
        let before = self.refused.len();
        self.refused.retain(|refused| {
            refused.device.as_ref().is_some_and(|device| picked.contains(&device.uuid))
        });
        if self.refused.len() < before {
            let left_out = before - self.refused.len();
            self.warnings.push(format!(
                "{left_out} unusable entries of FAILED_PUSH are about other devices, or name none; `sftunnel-bundle plan` without --device shows them"
            ));
        }
        Ok(())
    }

    fn all_names(&self) -> Vec<(DeviceUuid, Option<DeviceName>)> {
        let devices =
            self.devices.iter().map(|d| (d.device.uuid.clone(), Some(d.device.name.clone())));
        let refused = self.refused.iter().filter_map(|refused| refused.device.as_ref());
        devices.chain(refused.map(|device| (device.uuid.clone(), device.name.clone()))).collect()
    }

    /// One manager for the kit; devices of another are refused.
    fn choose_manager(&mut self, surroundings: &Surroundings) {
        let Some(uuid) = most_named(&self.devices, surroundings.own.as_ref()) else { return };
        let others = self.devices.extract_if(.., |device| device.manager != uuid);
        self.refused.extend(others.map(|device| device.of_other_manager(&uuid)));
        if let Some(own) = surroundings.own.as_ref().filter(|own| **own != uuid) {
            self.warnings.push(format!(
                "this machine is {own}, but FAILED_PUSH is for manager {uuid}. This is right only if the list was made there (the other FMC of a pair)"
            ));
        }
        self.manager = Some(Manager { uuid, hostname: surroundings.hostname.clone() });
    }
}

/// The machine's own UUID when a device names it, else the one that most devices name, the
/// first of these.
fn most_named(devices: &[PlannedDevice], own: Option<&ManagerUuid>) -> Option<ManagerUuid> {
    if let Some(own) = own.filter(|own| devices.iter().any(|device| device.manager == **own)) {
        return Some(own.clone());
    }
    let mut counts = HashMap::<&ManagerUuid, (usize, Reverse<usize>)>::new();
    for (at, device) in devices.iter().enumerate() {
        counts.entry(&device.manager).or_insert((0, Reverse(at))).0 += 1;
    }
    counts.into_iter().max_by_key(|(_, rank)| *rank).map(|(uuid, _)| uuid.clone())
}

impl PlannedDevice {
    fn new(listed: ListedDevice, batch: u64, newest: u64) -> Self {
        let ListedDevice { uuid, name, address, manager, sources } = listed;
        let mut notes = Vec::new();
        let absent: Vec<&str> = CredentialFile::ALL
            .into_iter()
            .filter(|file| sources.get(*file).is_none())
            .map(CredentialFile::name)
            .collect();
        // without a list, none is listed, and that is told for all
        if !absent.is_empty() && !sources.is_empty() {
            notes.push(format!(
                "FAILED_PUSH does not list {}; the bundle holds all three files all the same",
                absent.join(" and ")
            ));
        }
        if batch != newest {
            notes.push(format!("listed by the older batch {batch} only"));
        }
        Self {
            device: Device { uuid, name, address: Label::cleaned(&address) },
            sources,
            notes,
            manager,
        }
    }

    /// The bundle's path in the kit.
    pub(crate) fn bundle_file(&self) -> String {
        let name = bundle_file_name(&self.device.name, &self.device.uuid);
        format!("{}/{name}", formats::kit::BUNDLES)
    }

    /// Makes the result of a good device, with the notes there are by now.
    pub(crate) fn good<F>(
        &self,
        status: &'static str,
        facts: F,
        more: Vec<String>,
    ) -> DeviceResult<F> {
        let mut notes = self.notes.clone();
        notes.extend(more);
        DeviceResult::good(DeviceRef::of(&self.device), status, facts, notes)
    }

    /// Makes the result of one whose files are refused.
    pub(crate) fn refused<F>(&self, failure: impl Into<Failure>) -> DeviceResult<F> {
        DeviceResult::refused(
            Some(DeviceRef::of(&self.device)),
            Refusal::of(failure),
            self.notes.clone(),
        )
    }

    fn of_other_manager(self, expected: &ManagerUuid) -> PlannedRefusal {
        // a name that does not survive a screen and a shell as it is has its UUID for that
        let (name, uuid) = (self.device.name.as_str(), self.device.uuid.as_str());
        let is_typed = is_printable(name) && !name.contains('\'') && !name.starts_with('-');
        let device = shell_quote(if is_typed { name } else { uuid });
        let (found, expected) = (self.manager, expected.clone());
        let refusal = Refusal::of(DeviceError::OtherManager { found, expected, device });
        let device = Some(DeviceRef::of(&self.device));
        PlannedRefusal { device, refusal, notes: self.notes }
    }
}

impl PlannedRefusal {
    fn result<F>(&self) -> DeviceResult<F> {
        DeviceResult::refused(self.device.clone(), self.refusal.clone(), self.notes.clone())
    }

    fn new(problem: Problem, file: &str) -> Self {
        let mut refusal = Refusal::of(DeviceError::Line(problem.error));
        refusal.line = Some(problem.line);
        refusal.failed_push = Some(file.to_owned());
        let device = problem.device.map(|uuid| DeviceRef { uuid, name: problem.name });
        Self { device, refusal, notes: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
