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
use cli::say::exit::Failure;
use formats::cisco::facts::{BATCHES, FAILED_PUSH, IMS_CONF};
use formats::cisco::failed_push::FailedPush;
use formats::cisco::ims_conf::ImsConf;
use formats::device::{Label, ManagerUuid};
use formats::error::Reason;
use formats::limits::{self, LimitError};
use formats::text::printable_bytes;

use crate::fmc::belief::{Belief, Disbelief, untrusted};

/// A `FAILED_PUSH` and the batch that it is from.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Where it lies, sanitised.
    pub path: String,
    /// The unix time of its run.
    pub batch: u64,
    /// Where that number is from.
    pub batch_from: BatchFrom,
    /// What `--accept-source` accepted for its sake.
    pub doubt: Option<String>,
    /// What it says.
    pub found: FailedPush,
}

/// Where a listing's batch is from.
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

/// What the FMC says of itself.
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

/// What is known of the devices that the newest run did not reach.
#[derive(Debug)]
pub(crate) enum Newest {
    /// Its list.
    List(Listing),
    /// An older run's list, for the names alone: the newest left none, or none yet.
    Older(Listing),
    /// There is no list.
    None,
    /// There may be one.
    Unreadable(Failure),
}

/// The list of the newest run; unlike [`listings`] it tells what is absent from what cannot be
/// read.
pub(crate) fn newest(root: &Root) -> Newest {
    let belief = Belief { root, accept: false };
    let batches = match Batches::look(belief) {
        Ok(batches) => batches,
        Err(failure) => return Newest::Unreadable(failure),
    };
    match newest_listing(belief, &batches) {
        Err(failure) => Newest::Unreadable(failure),
        Ok(Some(listing)) if batches.newest() == Some(listing.batch) => Newest::List(listing),
        Ok(Some(listing)) => Newest::Older(listing),
        Ok(None) if batches.foreign.is_empty() => Newest::None,
        Ok(None) => Newest::Unreadable(no_list(root, &batches)),
    }
}

/// Reads the named files, or the newest there is.
///
/// # Errors
/// `not-found` when there is none; `untrusted-source`; or a file cannot be read.
pub(crate) fn listings(
    belief: Belief<'_>,
    batches: &Batches,
    named: &[PathBuf],
) -> Result<Vec<Listing>, Failure> {
    if !named.is_empty() {
        return named.iter().map(|path| named_listing(belief, batches, path)).collect();
    }
    if let Some(listing) = newest_listing(belief, batches)? {
        return Ok(vec![listing]);
    }
    Err(no_list(belief.root, batches))
}

fn no_list(root: &Root, batches: &Batches) -> Failure {
    let looked = root.outside(BATCHES);
    if let Some((_, first)) = batches.foreign.first() {
        return untrusted(format!("no FAILED_PUSH of root's below {}: {first}", looked.display()));
    }
    Failure::refused(Reason::NotFound, format!("no FAILED_PUSH below {}", looked.display()))
        .hint(
        "is it gone, and do the devices' pairs still lie in /var/sf/peers? --all-peers takes them without it; --failed-push FILE names one elsewhere. Where generate_certs.pl has never been run: run it",
    )
}

/// The list of the newest batch that has one.
fn newest_listing(belief: Belief<'_>, batches: &Batches) -> Result<Option<Listing>, Failure> {
    for batch in &batches.numbers {
        let path = path_in(*batch);
        match read_in(belief, &path) {
            Ok((found, doubt)) => {
                let (batch, batch_from) = (*batch, BatchFrom::Folder);
                return Ok(Some(Listing { path, batch, batch_from, doubt, found }));
            }
            Err(Unread::Limit(LimitError::Io(error)))
                if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.of(belief.root, &path)),
        }
    }
    Ok(None)
}

const NAME_ONE: &str = "generate_certs.pl leaves it in /var/tmp/certs/<unix time>/FAILED_PUSH";
const OTHERWISE: &str = "find out who put it there; name another with --failed-push FILE, or run generate_certs.pl again";
/// For what only root may look at.
pub(crate) const AS_ROOT: &str = "run this as root on the FMC (`expert`, then `sudo su`)";

fn path_in(batch: u64) -> String {
    format!("{BATCHES}/{batch}/{FAILED_PUSH}")
}

/// Why a list is not read.
enum Unread {
    Limit(LimitError),
    Foreign(Foreign),
}

impl Unread {
    fn of(self, root: &Root, path: &str) -> Failure {
        let error = match self {
            Self::Foreign(foreign) => return untrusted(foreign),
            Self::Limit(error) => error,
        };
        input::of_limit(&root.outside(path), &error).or_hint(OTHERWISE)
    }
}

fn read_in(belief: Belief<'_>, path: &str) -> Result<(FailedPush, Option<String>), Unread> {
    let believed = belief.open(Path::new(path)).map_err(|error| match error {
        Disbelief::Io(error) => Unread::Limit(LimitError::Io(error)),
        Disbelief::Foreign(foreign) => Unread::Foreign(foreign),
    })?;
    Ok((read(believed.file).map_err(Unread::Limit)?, believed.doubt))
}

fn named_listing(belief: Belief<'_>, batches: &Batches, path: &Path) -> Result<Listing, Failure> {
    let file = input::open_regular(path).map_err(|failure| failure.or_hint(NAME_ONE))?;
    let modified = file.metadata().map_err(|error| Failure::io(path.display(), &error))?.mtime();
    let found = read(file).map_err(|error| input::of_limit(path, &error))?;
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

/// The newest batch whose list says the same as one that lies elsewhere.
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
    /// Those that others than root could have made, and why that is so.
    foreign: Vec<(u64, Foreign)>,
}

impl Batches {
    /// Looks for them; where there is no folder for them there is none.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn look(belief: Belief<'_>) -> Result<Self, Failure> {
        let shown = belief.root.outside(BATCHES);
        let failed = |error: io::Error| Failure::io(shown.display(), &error).or_hint(OTHERWISE);
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
