//! Devices without a list: FAILED_PUSH is gone, or one device needs a pair for a reason of its
//! own. What lies at the manager is made into the list that it would be.
//!
//! A pair is looked for in `certs_pushed/`, then in the device's folder above it; one that the CA
//! in use signed comes before one that it did not. The CA is the one in use, the destination
//! follows from the manager's own UUID.
//!
//! The batch is the newest of: the beginning of the CA's validity, those of the pairs' that it
//! signed, and the newest folder of a run. So it is the same whenever it is asked, a pair that is
//! issued later has a later one, and none lies before the run that the CA is from.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::path::Path;

use cli::disk::root::{Root, names_in};
use formats::cisco::facts::{CA, PEERS, PUSHED};
use formats::cisco::failed_push::{FailedPush, ListedDevice, Sources};
use formats::credentials::Certificate;
use formats::device::{CredentialFile, DeviceName, DeviceUuid};
use formats::limits;
use formats::timestamp::Timestamp;
use rustix::fs::{AtFlags, FileType, statat};

use crate::args::{PeerName, SourceArgs};
use crate::device_result::DeviceRef;
use crate::fmc::discover::{self, BatchFrom, Listing, Newest, Surroundings};
use crate::fmc::error::Error;

/// Number of devices that a warning names.
const NAMED: usize = 6;

/// Devices that are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskedPeers<'a> {
    /// `--peer`; empty with `--all-peers`.
    pub peers: &'a [DeviceUuid],
    /// `--name`.
    pub names: &'a [PeerName],
}

impl SourceArgs {
    /// Devices that are asked for in place of a list.
    pub(crate) fn peers(&self) -> Option<AskedPeers<'_>> {
        let is_asked = self.all_peers || !self.peer.is_empty();
        is_asked.then_some(AskedPeers { peers: &self.peer, names: &self.name })
    }
}

/// Makes the list that FAILED_PUSH would be, and what to know about it. Refuses when the manager's
/// own UUID is not known, when no device has a pair, and a name of a device that was not asked for.
pub(crate) fn listing(
    root: &Root,
    surroundings: &Surroundings,
    asked: AskedPeers<'_>,
) -> Result<(Listing, Vec<String>), Error> {
    let manager = surroundings.own.clone().ok_or(Error::NoOwnUuid)?;
    let pem = root.read(Path::new(CA), limits::PEM).ok();
    // one that cannot be read is each device's refusal
    let ca = pem.and_then(|pem| Certificate::from_pem(&pem, CredentialFile::Ca).ok());
    let is_all = asked.peers.is_empty();
    let uuids = if is_all { every_peer(root)? } else { once(asked.peers) };
    let known = known(root, asked.names, &uuids)?;
    let mut found = FailedPush::default();
    let (mut left_out, mut warnings) = (Vec::new(), Vec::new());
    let mut newest = ca.as_ref().map(|ca| ca.facts().not_before);
    for uuid in uuids {
        let (name, address) = known.get(&uuid).cloned().unwrap_or_default();
        let pair = Pair::find(root, &uuid, ca.as_ref());
        // what a device had before may lie in its folder, too
        let is_its = pair.as_ref().is_some_and(|pair| pair.is_of_ca || pair.was_pushed);
        // half a pair was meant for it all the same: it is refused, and not passed over
        if is_all && !is_its && !has_half(root, &uuid) {
            left_out.push(DeviceRef { uuid, name });
            continue;
        }
        newest = newest.max(pair.as_ref().filter(|pair| pair.is_of_ca).map(|pair| pair.from));
        let sources = pair.map(|pair| pair.sources()).unwrap_or_default();
        // a name has at least one character, and so has a UUID
        let Some(name) = name.or_else(|| uuid.as_str().parse().ok()) else { continue };
        found.devices.push(ListedDevice { uuid, name, address, manager: manager.clone(), sources });
    }
    if found.devices.is_empty() {
        return Err(Error::NoPairs);
    }
    warnings.extend(left_out_text(&left_out));
    let batch = newest.and_then(|time| u64::try_from(time.unix()).ok()).unwrap_or(0);
    let batch = batch.max(surroundings.newest_batch.unwrap_or(0));
    let path = PEERS.to_owned();
    Ok((Listing { path, batch, batch_from: BatchFrom::Peers, doubt: None, found }, warnings))
}

fn once(uuids: &[DeviceUuid]) -> Vec<DeviceUuid> {
    let mut seen = HashSet::new();
    uuids.iter().filter(|uuid| seen.insert(*uuid)).cloned().collect()
}

/// Lists every device that has a folder; what else lies there is not one.
fn every_peer(root: &Root) -> Result<Vec<DeviceUuid>, Error> {
    let list = || -> io::Result<Vec<DeviceUuid>> {
        let dir = root.open_dir(Path::new(PEERS))?;
        let is_dir = |name: &&OsString| {
            statat(&dir, name.as_os_str(), AtFlags::empty())
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
        };
        let names = names_in(&dir)?;
        Ok(names.iter().filter(is_dir).filter_map(|name| name.to_str()?.parse().ok()).collect())
    };
    let uuids =
        list().map_err(|error| Error::Input { path: root.outside(PEERS), error: error.into() })?;
    Ok(once(&uuids))
}

/// Returns true if a file of a pair lies where generate_certs.pl leaves pairs.
fn has_half(root: &Root, uuid: &DeviceUuid) -> bool {
    [CredentialFile::Certificate, CredentialFile::Key]
        .into_iter()
        .any(|file| root.open_file(Path::new(&format!("{PEERS}/{uuid}/{PUSHED}/{file}"))).is_ok())
}

type KnownAs = HashMap<DeviceUuid, (Option<DeviceName>, String)>;

/// Collects names and addresses: of the newest list that is there, and as they are given.
fn known(root: &Root, names: &[PeerName], asked: &[DeviceUuid]) -> Result<KnownAs, Error> {
    let listed = match discover::newest(root) {
        Newest::List(listing) | Newest::Older(listing) => listing.found.devices,
        Newest::None | Newest::Unreadable(_) => Vec::new(),
    };
    let listed =
        listed.into_iter().map(|device| (device.uuid, (Some(device.name), device.address)));
    let mut known: KnownAs = listed.collect();
    let asked: HashSet<_> = asked.iter().collect();
    for PeerName { uuid, name } in names {
        if !asked.contains(uuid) {
            return Err(Error::NameOfNone(uuid.clone()));
        }
        known.entry(uuid.clone()).or_default().0 = Some(name.clone());
    }
    Ok(known)
}

fn left_out_text(left_out: &[DeviceRef]) -> Option<String> {
    let number = left_out.len();
    let named: Vec<_> = left_out.iter().take(NAMED).map(DeviceRef::shown).collect();
    let more = if number > NAMED { format!(" and {} more", number - NAMED) } else { String::new() };
    (number > 0).then(|| {
        format!(
            "left out: {number} device{} without a pair under the CA in use: {}{more}",
            if number == 1 { "" } else { "s" },
            named.join(", ")
        )
    })
}

/// A certificate that has its key beside it.
struct Pair {
    folder: String,
    from: Timestamp,
    /// True if the CA in use signed it.
    is_of_ca: bool,
    /// True if it lies where generate_certs.pl leaves pairs.
    was_pushed: bool,
}

impl Pair {
    fn find(root: &Root, uuid: &DeviceUuid, ca: Option<&Certificate>) -> Option<Self> {
        let folder = format!("{PEERS}/{uuid}");
        let pushed = Self::read(root, format!("{folder}/{PUSHED}"), true, ca);
        if pushed.as_ref().is_some_and(|pair| pair.is_of_ca) {
            return pushed;
        }
        let beside = Self::read(root, folder, false, ca);
        if beside.as_ref().is_some_and(|pair| pair.is_of_ca) { beside } else { pushed.or(beside) }
    }

    /// One that cannot be read is there all the same: it is refused with its reason later.
    fn read(
        root: &Root,
        folder: String,
        was_pushed: bool,
        ca: Option<&Certificate>,
    ) -> Option<Self> {
        root.open_file(Path::new(&format!("{folder}/{}", CredentialFile::Key))).ok()?;
        let pem = root
            .read(Path::new(&format!("{folder}/{}", CredentialFile::Certificate)), limits::PEM)
            .ok()?;
        let certificate = Certificate::from_pem(&pem, CredentialFile::Certificate).ok();
        Some(Self {
            folder,
            from: certificate.as_ref().map_or(Timestamp::EPOCH, |c| c.facts().not_before),
            is_of_ca: certificate.zip(ca).is_some_and(|(of, ca)| of.is_issued_by(ca)),
            was_pushed,
        })
    }

    fn sources(&self) -> Sources {
        let path = |file| format!("{}/{file}", self.folder);
        Sources::new([CA.to_owned(), path(CredentialFile::Certificate), path(CredentialFile::Key)])
    }
}
