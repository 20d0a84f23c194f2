//! Looks at the FMC: which `FAILED_PUSH`, which batches, which manager.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cli::disk::input;
use cli::disk::ownership::Foreign;
use cli::disk::root::{Passed, Root, names_in};
use formats::cisco::facts::{BATCHES, FAILED_PUSH, IMS_CONF};
use formats::cisco::failed_push::FailedPush;
use formats::cisco::ims_conf::ImsConf;
use formats::device::{Label, ManagerUuid};
use formats::limits::{self, LimitError};
use formats::text::printable_bytes;

use crate::fmc::belief::{Belief, Disbelief};
use crate::fmc::error::Doubt;
use crate::fmc::error::{Error, is_not_found};

/// A `FAILED_PUSH` and the batch that it is from.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Its path, sanitised.
    pub path: String,
    /// The unix time of its run.
    pub batch: u64,
    /// Origin of that number.
    pub batch_from: BatchFrom,
    /// Doubt that `--accept-source` accepted for its sake.
    pub doubt: Option<String>,
    pub found: FailedPush,
}

/// Origin of a listing's batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchFrom {
    /// The name of the folder that it lies in.
    Folder,
    /// A copy: the newest folder whose list says the same.
    SameList,
    /// A copy that is like none: the file's modification time, which a copy makes young.
    Modified,
    /// There is no list: [`crate::fmc::peers`].
    Peers,
}

/// Facts that the FMC gives of itself.
#[derive(Debug, Default)]
pub(crate) struct Surroundings {
    /// `APPLIANCE_UUID` of `/etc/sf/ims.conf`.
    pub own: Option<ManagerUuid>,
    /// `/etc/hostname`; empty when there is none.
    pub hostname: Label,
    /// The newest batch folder that is believed, with or without a `FAILED_PUSH`.
    pub newest_batch: Option<u64>,
    /// Batch folders that others than root could have made, the newest first.
    pub foreign_batches: Vec<(u64, Foreign)>,
}

/// Knowledge of the devices that the newest run did not reach.
#[derive(Debug)]
pub(crate) enum Newest {
    /// Its list.
    List(Listing),
    /// An older run's list, for the names alone: the newest left none, or none yet.
    Older(Listing),
    /// There is no list.
    None,
    /// There may be one.
    Unreadable(Error),
}

/// Finds the list of the newest run; unlike [`listings`] it tells what is absent from what cannot be
/// read.
pub(crate) fn newest(root: &Root) -> Newest {
    let belief = Belief { root, accept: false };
    let batches = match Batches::look(belief) {
        Ok(batches) => batches,
        Err(error) => return Newest::Unreadable(error),
    };
    match newest_listing(belief, &batches) {
        Err(error) => Newest::Unreadable(error),
        Ok(Some(listing)) if batches.newest() == Some(listing.batch) => Newest::List(listing),
        Ok(Some(listing)) => Newest::Older(listing),
        Ok(None) if batches.foreign.is_empty() => Newest::None,
        Ok(None) => Newest::Unreadable(no_list(root, &batches)),
    }
}

/// Reads the named files, or the newest there is.
pub(crate) fn listings(
    belief: Belief<'_>,
    batches: &Batches,
    named: &[PathBuf],
) -> Result<Vec<Listing>, Error> {
    if !named.is_empty() {
        return named.iter().map(|path| named_listing(belief, batches, path)).collect();
    }
    if let Some(listing) = newest_listing(belief, batches)? {
        return Ok(vec![listing]);
    }
    Err(no_list(belief.root, batches))
}

fn no_list(root: &Root, batches: &Batches) -> Error {
    let below = root.outside(BATCHES);
    match batches.foreign.first() {
        Some((_, newest)) => Error::Untrusted(Doubt::NoList { below, newest: newest.clone() }),
        None => Error::NoList { below },
    }
}

/// Reads the list of the newest batch that has one.
fn newest_listing(belief: Belief<'_>, batches: &Batches) -> Result<Option<Listing>, Error> {
    for batch in &batches.numbers {
        let path = path_in(*batch);
        match read_in(belief, &path) {
            Ok((found, doubt)) => {
                let (batch, batch_from) = (*batch, BatchFrom::Folder);
                return Ok(Some(Listing { path, batch, batch_from, doubt, found }));
            }
            Err(Error::List { error, .. }) if is_not_found(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn path_in(batch: u64) -> String {
    format!("{BATCHES}/{batch}/{FAILED_PUSH}")
}

fn read_in(belief: Belief<'_>, path: &str) -> Result<(FailedPush, Option<String>), Error> {
    let failed = |error| Error::List { path: belief.root.outside(path), error };
    let believed = belief.open(Path::new(path)).map_err(|error| match error {
        Disbelief::Io(error) => failed(error.into()),
        Disbelief::Foreign(foreign) => Error::Untrusted(Doubt::Foreign(foreign)),
    })?;
    Ok((read(believed.file).map_err(failed)?, believed.doubt))
}

fn named_listing(belief: Belief<'_>, batches: &Batches, path: &Path) -> Result<Listing, Error> {
    let failed = |error| Error::Input { path: path.to_owned(), error };
    let file = input::opened(path)
        .map_err(|error| Error::NamedList { path: path.to_owned(), error: error.into() })?;
    let modified = file.metadata().map_err(|error| failed(error.into()))?.mtime();
    let found = read(file).map_err(failed)?;
    let (batch, batch_from) = match batch_of(path) {
        Some(batch) => (batch, BatchFrom::Folder),
        None => match batch_of_copy(belief, batches, &found) {
            Some(batch) => (batch, BatchFrom::SameList),
            None => (u64::try_from(modified).unwrap_or(0), BatchFrom::Modified),
        },
    };
    let path = printable_bytes(path.as_os_str().as_bytes());
    Ok(Listing { path, batch, batch_from, doubt: None, found })
}

/// Finds the newest batch whose list says the same as one that lies elsewhere.
fn batch_of_copy(belief: Belief<'_>, batches: &Batches, found: &FailedPush) -> Option<u64> {
    let is_same =
        |batch: &&u64| read_in(belief, &path_in(**batch)).is_ok_and(|(of, _)| of == *found);
    batches.numbers.iter().find(is_same).copied()
}

fn read(file: File) -> Result<FailedPush, LimitError> {
    FailedPush::read(BufReader::new(file), limits::FAILED_PUSH)
}

/// The name of the folder that the file lies in, when it is a number.
fn batch_of(path: &Path) -> Option<u64> {
    batch_number(std::path::absolute(path).ok()?.parent()?.file_name()?)
}

fn batch_number(name: &OsStr) -> Option<u64> {
    let digits = name.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// The batch folders, each list the newest first.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    /// Those that are believed.
    numbers: Vec<u64>,
    /// Those that others than root could have made, with the sign of it.
    foreign: Vec<(u64, Foreign)>,
}

impl Batches {
    /// Looks for them; where there is no folder for them there is none.
    pub(crate) fn look(belief: Belief<'_>) -> Result<Self, Error> {
        let path = belief.root.outside(BATCHES);
        let failed = |error: io::Error| Error::List { path: path.clone(), error: error.into() };
        let dir = match belief.root.open_dir(Path::new(BATCHES)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            opened => opened.map_err(failed)?,
        };
        let mut found = Self::default();
        for name in names_in(&dir).map_err(failed)? {
            let Some(number) = batch_number(&name) else { continue };
            let path = Path::new(BATCHES).join(&name);
            // a link leads somewhere inside the root, which the kernel does not know of
            let passed = belief.root.look_on_the_way(&path);
            if !passed.is_ok_and(|passed| passed.last().is_some_and(Passed::is_dir)) {
                continue;
            }
            match belief.look(&path) {
                Ok(_) => found.numbers.push(number),
                Err(Disbelief::Foreign(foreign)) => found.foreign.push((number, foreign)),
                // removed meanwhile, or not to be told
                Err(Disbelief::Io(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(Disbelief::Io(error)) => return Err(failed(error)),
            }
        }
        found.numbers.sort_unstable_by_key(|number| Reverse(*number));
        found.foreign.sort_by_key(|(number, _)| Reverse(*number));
        Ok(found)
    }

    fn newest(&self) -> Option<u64> {
        self.numbers.first().copied()
    }
}

/// Looks at the FMC; what is absent stays unknown.
pub(crate) fn surroundings(root: &Root, batches: Batches) -> Surroundings {
    let own = root
        .read(Path::new(IMS_CONF), limits::IMS_CONF)
        .ok()
        .and_then(|bytes| ImsConf::parse(&bytes).appliance_uuid?.parse().ok());
    let hostname = root
        .read(Path::new("/etc/hostname"), limits::IMS_CONF)
        .map(|bytes| Label::cleaned(&String::from_utf8_lossy(&bytes)))
        .unwrap_or_default();
    let newest_batch = batches.newest();
    let foreign_batches = batches.foreign;
    Surroundings { own, hostname, newest_batch, foreign_batches }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_batch_is_the_folder_when_that_is_a_number() {
        assert_eq!(batch_of(Path::new("/var/tmp/certs/1726805447/FAILED_PUSH")), Some(1726805447));
        assert_eq!(batch_of(Path::new("/home/admin/FAILED_PUSH")), None);
        assert_eq!(batch_number(OsStr::new("+5")), None);
        assert_eq!(batch_number(OsStr::new("99999999999999999999999")), None);
    }
}
