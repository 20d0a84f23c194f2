//! A device's three files: found, read, and checked to be one usable set of that device.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cli::disk::root::{Root, is_absent};
use cli::say::exit::Failure;
use formats::bundle::manifest;
use formats::checksum::Sha256;
use formats::cisco::facts::{CA, PEERS, PUSHED};
use formats::credentials::{Authority, CheckedCredentials, Credentials, CredentialsError};
use formats::device::{CredentialFile, DeviceUuid, ManagerUuid};
use formats::error::{Reason, Reasoned};
use formats::limits::{self, LimitError};
use formats::timestamp::Timestamp;
use rustix::fs::{AtFlags, statat};
use zeroize::Zeroizing;

use crate::fmc::belief::{Belief, Believed, Disbelief, untrusted};
use crate::fmc::plan::PlannedDevice;

/// What is checked beside the set itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The clock.
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
    authorities: Mutex<HashMap<String, Known>>,
}

/// A CA, and what was accepted for its sake.
type Known = (Arc<Authority>, Vec<String>);

fn load(belief: Belief<'_>, path: &str) -> Result<Known, Failure> {
    let Source { pem, doubt, .. } = read(belief, path)?;
    Ok((Arc::new(Authority::check(&pem).map_err(refused)?), doubt.into_iter().collect()))
}

fn refused(error: CredentialsError) -> Failure {
    let next = match error {
        CredentialsError::PrivateKey { .. } => {
            "take the key out of that file; whoever could read it may have the key, so find out whose it is"
        }
        _ => hint(error.reason()),
    };
    Failure::refused(error.reason(), &error).hint(next)
}

/// A device's credentials.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The three files.
    pub credentials: CheckedCredentials,
    /// The id of the bundle that will hold them.
    pub bundle_id: Sha256,
    /// Where each lay, in the order of [`CredentialFile::ALL`].
    pub sources: [String; 3],
    /// What was accepted although a check failed, and where unlisted files were found.
    pub notes: Vec<String>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(root: &'a Root, manager: &'a ManagerUuid, rules: &'a Rules) -> Self {
        let belief = Belief { root, accept: rules.accept_source };
        Self { belief, manager, rules, authorities: Mutex::default() }
    }

    /// Reads and checks a device's files. The first check that fails refuses this device alone.
    pub(crate) fn collect(&self, planned: &PlannedDevice) -> Result<Collected, Failure> {
        let sources = locate(self.belief.root, planned)?;
        let [ca, certificate, key] = &sources;
        let device = &planned.device.uuid;
        let (ca, mut notes) = self.authority(ca)?;
        let certificate = self.file_of_pair(device, certificate, &mut notes)?;
        let key = self.file_of_pair(device, key, &mut notes)?;
        let copy = Zeroizing::new(ca.pem().to_vec());
        let credentials =
            Credentials::new(copy, certificate, key).check_under(&ca).map_err(refused)?;
        credentials
            .check_certificate_subject(device)
            .map_err(|error| Failure::refused(error.reason(), &error).hint(RUN_AGAIN))?;
        notes.extend(self.check_destination(&credentials)?);
        notes.extend(self.check_validity(&credentials)?);
        let bundle_id = manifest::bundle_id(device, self.manager, &credentials.digests());
        Ok(Collected { credentials, bundle_id, sources, notes })
    }

    /// The CA at `path`, which has to be the one in use.
    fn authority(&self, path: &str) -> Result<Known, Failure> {
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
            let message = match in_use {
                Ok(in_use) if in_use.pem() == found.0.pem() => None,
                Ok(_) => Some(format!("{path} is not the CA in use, which is {CA}")),
                Err(failure) => Some(format!(
                    "nothing shows that {path} is the CA in use, {CA}: {}",
                    failure.message()
                )),
            };
            found.1.extend(message.map(|message| self.belief.doubt(message)).transpose()?);
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
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let source = read(self.belief, path)?;
        // of the folder that both lie in it is told once
        notes.extend(source.doubt.filter(|doubt| !notes.contains(doubt)));
        if !is_below_peer(self.belief.root, device, &source.path) {
            let message = format!(
                "{path} is not below {PEERS}/{device}, where this device's certificate and key lie"
            );
            notes.push(self.belief.doubt(message)?);
        }
        Ok(source.pem)
    }

    /// The CA is the manager's; what was accepted otherwise.
    fn check_destination(
        &self,
        credentials: &CheckedCredentials,
    ) -> Result<Option<String>, Failure> {
        match credentials.check_ca_subject(self.manager) {
            Ok(()) => Ok(None),
            Err(error) if self.rules.accept_subject => {
                Ok(Some(format!("accepted with --accept-subject: {error}")))
            }
            Err(error) => Err(Failure::refused(error.reason(), &error).hint(
                "check that this is the CA of the manager that the device belongs to; --accept-subject goes on",
            )),
        }
    }

    /// Both certificates are valid now; what was accepted otherwise.
    fn check_validity(&self, credentials: &CheckedCredentials) -> Result<Option<String>, Failure> {
        match credentials.check_validity(self.rules.now) {
            Ok(()) => Ok(None),
            Err(error) if self.rules.accept_clock => {
                Ok(Some(format!("accepted with --accept-clock: {error}")))
            }
            Err(error) => Err(Failure::refused(error.reason(), &error).hint(hint(error.reason()))),
        }
    }
}

const RUN_AGAIN: &str = "run generate_certs.pl again and use its FAILED_PUSH";

/// For a device that no list names.
const ISSUE: &str = "is it a device of this manager? Have a pair issued for it here; generate_certs.pl would make a new CA for all of them";

fn hint(reason: Reason) -> &'static str {
    match reason {
        Reason::Expired => {
            "run generate_certs.pl to make a new CA, or set the clock; --accept-clock goes on, but sftunnel would refuse it"
        }
        Reason::NotYetValid => {
            "set the clock; --accept-clock goes on, but sftunnel refuses it until then"
        }
        Reason::WeakDigest => "sftunnel would refuse it too; run generate_certs.pl again",
        Reason::TooLarge => "look at the file; a real one has one or two KiB",
        _ => RUN_AGAIN,
    }
}

/// Where the three files lie: where FAILED_PUSH says; what it does not list, at its usual
/// place, the pair preferably from one directory.
fn locate(root: &Root, planned: &PlannedDevice) -> Result<[String; 3], Failure> {
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
) -> Result<(String, String), Failure> {
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
    let unlisted = match (&certificate, &key) {
        (None, None) => "",
        _ => "FAILED_PUSH does not list both files of the pair, and ",
    };
    let message = format!(
        "{unlisted}there is no {} with {} in {}",
        CredentialFile::Certificate,
        CredentialFile::Key,
        places.join(" or ")
    );
    let hint = if unlisted.is_empty() { ISSUE } else { RUN_AGAIN };
    Err(Failure::refused(Reason::MissingSource, message).hint(hint))
}

/// Whether there is something, a link included.
///
/// # Errors
/// When that cannot be told.
fn is_there(root: &Root, path: &str) -> Result<bool, Failure> {
    let look = || -> io::Result<()> {
        let found = root.locate_following(Path::new(path))?;
        statat(&found.dir, &*found.name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(())
    };
    match look() {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(cannot_read(path, &error)),
    }
}

/// Whether a place without links is in the folder of this device, or further below.
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
struct Source {
    pem: Zeroizing<Vec<u8>>,
    /// Where it really lies.
    path: PathBuf,
    /// What was accepted.
    doubt: Option<String>,
}

fn read(belief: Belief<'_>, path: &str) -> Result<Source, Failure> {
    let Believed { file, path: place, doubt } =
        belief.open(Path::new(path)).map_err(|error| match error {
            Disbelief::Io(error) => cannot_read(path, &error),
            Disbelief::Foreign(foreign) => untrusted(foreign),
        })?;
    let pem = limits::read_secret(file, limits::PEM).map_err(|error| match error {
        LimitError::TooLarge { .. } => {
            Failure::refused(Reason::TooLarge, format!("{path} {error}"))
                .hint(hint(Reason::TooLarge))
        }
        LimitError::Io(error) => cannot_read(path, &error),
    })?;
    Ok(Source { pem, path: place, doubt })
}

fn cannot_read(path: &str, error: &io::Error) -> Failure {
    let refused = |reason, message: String| Failure::refused(reason, message);
    if is_absent(error) {
        return refused(Reason::MissingSource, format!("{path} does not exist")).hint(RUN_AGAIN);
    }
    let message = format!("{path}: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::io(path, error),
        // not a regular file
        io::ErrorKind::InvalidInput => refused(Reason::BadFormat, message).hint(RUN_AGAIN),
        _ => refused(Reason::CannotRead, message)
            .hint("this is the system's own word on a file that is there; look at it, then again"),
    }
}
