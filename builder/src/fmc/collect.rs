//! A device's three files: found, read, and checked to be one usable set of that device.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cli::disk::root::{Root, is_absent};
use formats::bundle::manifest;
use formats::checksum::Sha256;
use formats::cisco::facts::{CA, PEERS, PUSHED};
use formats::credentials::{Authority, CheckedCredentials, Credentials};
use formats::device::{CredentialFile, DeviceUuid, ManagerUuid};
use formats::limits;
use formats::timestamp::Timestamp;
use rustix::fs::{AtFlags, statat};
use zeroize::Zeroizing;

use crate::fmc::belief::{Belief, Believed, Disbelief};
use crate::fmc::error::{Accepted, DeviceError, Doubt};
use crate::fmc::plan::PlannedDevice;

/// Checks beside those of the set itself, and which of them are waived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub now: Timestamp,
    /// `--accept-subject`.
    pub accept_subject: bool,
    /// `--accept-clock`.
    pub accept_clock: bool,
    /// `--accept-source`.
    pub accept_source: bool,
}

/// Collects the devices of one run.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    belief: Belief<'a>,
    manager: &'a ManagerUuid,
    rules: &'a Rules,
    /// The CAs of the run by their paths, each read and checked once: every bundle of a kit holds
    /// the same bytes, whatever becomes of the file meanwhile.
    authorities: Mutex<HashMap<String, KnownCa>>,
}

/// A CA, and the doubts that were accepted for its sake.
type KnownCa = (Arc<Authority>, Vec<String>);

fn load(belief: Belief<'_>, path: &str) -> Result<KnownCa, DeviceError> {
    let SourceFile { pem, doubt, .. } = read(belief, path)?;
    let authority = Authority::check(&pem).map_err(DeviceError::Credentials)?;
    Ok((Arc::new(authority), doubt.into_iter().collect()))
}

#[derive(Debug)]
pub(crate) struct Collected {
    pub credentials: CheckedCredentials,
    /// The id of the bundle that will hold them.
    pub bundle_id: Sha256,
    /// Path of each, in the order of [`CredentialFile::ALL`].
    pub sources: [String; 3],
    /// Things that were accepted although a check failed.
    pub notes: Vec<String>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(root: &'a Root, manager: &'a ManagerUuid, rules: &'a Rules) -> Self {
        let belief = Belief { root, accept: rules.accept_source };
        Self { belief, manager, rules, authorities: Mutex::default() }
    }

    /// Reads and checks a device's files. The first check that fails refuses this device alone.
    pub(crate) fn collect(&self, planned: &PlannedDevice) -> Result<Collected, DeviceError> {
        let sources = locate(self.belief.root, planned)?;
        let [ca, certificate, key] = &sources;
        let device = &planned.device.uuid;
        let (ca, mut notes) = self.authority(ca)?;
        let certificate = self.file_of_pair(device, certificate, &mut notes)?;
        let key = self.file_of_pair(device, key, &mut notes)?;
        let copy = Zeroizing::new(ca.pem().to_vec());
        let credentials = Credentials::new(copy, certificate, key)
            .check_under(&ca)
            .map_err(DeviceError::Credentials)?;
        credentials.check_certificate_subject(device).map_err(DeviceError::Subject)?;
        notes.extend(self.check_destination(&credentials)?);
        notes.extend(self.check_validity(&credentials)?);
        let bundle_id = manifest::bundle_id(device, self.manager, &credentials.digests());
        Ok(Collected { credentials, bundle_id, sources, notes })
    }

    /// The CA at `path`, which has to be the one in use.
    fn authority(&self, path: &str) -> Result<KnownCa, DeviceError> {
        let mut known = self.authorities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(path) {
            return Ok(found.clone());
        }
        let mut found = load(self.belief, path)?;
        if path != CA {
            let in_use = match known.get(CA) {
                Some((in_use, _)) => Ok(Arc::clone(in_use)),
                None => load(self.belief, CA).map(|in_use| {
                    known.insert(CA.to_owned(), in_use.clone());
                    in_use.0
                }),
            };
            let other = path.to_owned();
            let doubt = match in_use {
                Ok(in_use) if in_use.pem() == found.0.pem() => None,
                Ok(_) => Some(Doubt::OtherCa { path: other }),
                Err(error) => Some(Doubt::UnknownCa { path: other, error: Box::new(error) }),
            };
            found.1.extend(doubt.map(|doubt| self.accept(doubt)).transpose()?);
        }
        known.insert(path.to_owned(), found.clone());
        Ok(found)
    }

    /// Certificate or key, which lies below the device's own folder.
    fn file_of_pair(
        &self,
        device: &DeviceUuid,
        path: &str,
        notes: &mut Vec<String>,
    ) -> Result<Zeroizing<Vec<u8>>, DeviceError> {
        let source = read(self.belief, path)?;
        // of the folder that both lie in it is told once
        notes.extend(source.doubt.filter(|doubt| !notes.contains(doubt)));
        if !is_below_peer(self.belief.root, device, &source.path) {
            let (path, device) = (path.to_owned(), device.clone());
            notes.push(self.accept(Doubt::Elsewhere { path, device })?);
        }
        Ok(source.pem)
    }

    fn accept(&self, doubt: Doubt) -> Result<String, DeviceError> {
        self.belief.accept(doubt).map_err(DeviceError::Untrusted)
    }

    /// Checks that the CA is the manager's; returns what was accepted otherwise.
    fn check_destination(
        &self,
        credentials: &CheckedCredentials,
    ) -> Result<Option<String>, DeviceError> {
        match credentials.check_ca_subject(self.manager) {
            Ok(()) => Ok(None),
            Err(error) if self.rules.accept_subject => {
                Ok(Some(Accepted::Subject(error).to_string()))
            }
            Err(error) => Err(DeviceError::Subject(error)),
        }
    }

    /// Checks that both certificates are valid now; returns what was accepted otherwise.
    fn check_validity(
        &self,
        credentials: &CheckedCredentials,
    ) -> Result<Option<String>, DeviceError> {
        match credentials.check_validity(self.rules.now) {
            Ok(()) => Ok(None),
            Err(error) if self.rules.accept_clock => Ok(Some(Accepted::Clock(error).to_string())),
            Err(error) => Err(DeviceError::Validity(error)),
        }
    }
}

/// Locates the three files: where FAILED_PUSH says; what it does not list, at its usual place, the
/// pair preferably from one directory.
fn locate(root: &Root, planned: &PlannedDevice) -> Result<[String; 3], DeviceError> {
    let listed = |file| planned.sources.get(file).map(str::to_owned);
    let ca = listed(CredentialFile::Ca).unwrap_or_else(|| CA.to_owned());
    let (certificate, key) =
        match (listed(CredentialFile::Certificate), listed(CredentialFile::Key)) {
            (Some(certificate), Some(key)) => (certificate, key),
            (certificate, key) => locate_pair(root, &planned.device.uuid, certificate, key)?,
        };
    Ok([ca, certificate, key])
}

fn locate_pair(
    root: &Root,
    device: &DeviceUuid,
    certificate: Option<String>,
    key: Option<String>,
) -> Result<(String, String), DeviceError> {
    let beside = certificate.as_deref().or(key.as_deref()).and_then(|path| path.rsplit_once('/'));
    let usual = [format!("{PEERS}/{device}/{PUSHED}"), format!("{PEERS}/{device}")];
    let places: Vec<String> =
        beside.map(|(directory, _)| directory.to_owned()).into_iter().chain(usual).collect();
    for place in &places {
        let path = |listed: &Option<String>, file: CredentialFile| {
            listed.clone().unwrap_or_else(|| format!("{place}/{file}"))
        };
        let pair =
            (path(&certificate, CredentialFile::Certificate), path(&key, CredentialFile::Key));
        if is_there(root, &pair.0)? && is_there(root, &pair.1)? {
            return Ok(pair);
        }
    }
    Err(DeviceError::NoPair { is_one_listed: certificate.is_some() || key.is_some(), places })
}

/// Returns true if there is something, a link included.
fn is_there(root: &Root, path: &str) -> Result<bool, DeviceError> {
    let look = || -> io::Result<()> {
        let found = root.locate_following(Path::new(path))?;
        statat(&found.dir, &*found.name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    };
    match look() {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(DeviceError::Source { path: path.to_owned(), error: error.into() }),
    }
}

/// Returns true if a place without links is in the folder of this device, or further below.
fn is_below_peer(root: &Root, device: &DeviceUuid, place: &Path) -> bool {
    let is_below = |peers: &Path| {
        let mut parts = place.strip_prefix(peers).into_iter().flat_map(Path::components);
        let folder = parts.next().and_then(|part| part.as_os_str().to_str());
        folder.and_then(|folder| folder.parse().ok()).as_ref() == Some(device)
            && parts.next().is_some()
    };
    // only where it is a link it has to be looked up
    let peers = Path::new(PEERS);
    is_below(peers) || root.locate_following(peers).is_ok_and(|real| is_below(&real.path))
}

/// One of the files, read.
struct SourceFile {
    pem: Zeroizing<Vec<u8>>,
    /// Its real path, links resolved.
    path: PathBuf,
    /// Doubt that was accepted.
    doubt: Option<String>,
}

fn read(belief: Belief<'_>, path: &str) -> Result<SourceFile, DeviceError> {
    let failed = |error| DeviceError::Source { path: path.to_owned(), error };
    let Believed { file, path: place, doubt } =
        belief.open(Path::new(path)).map_err(|error| match error {
            Disbelief::Io(error) => failed(error.into()),
            Disbelief::Foreign(foreign) => DeviceError::Untrusted(Doubt::Foreign(foreign)),
        })?;
    let pem = limits::read_secret(file, limits::PEM).map_err(failed)?;
    Ok(SourceFile { pem, path: place, doubt })
}
