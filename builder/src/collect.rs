//! A device's three files: found, read, and checked to be one usable set of that device.

use std::path::Path;
use std::sync::{Arc, Mutex};

use console::exit::Failure;
use console::root::Root;
use formats::certificate::{Authority, CheckedCredentials, Credentials, CredentialsError};
use formats::device::{CredentialFile, DeviceUuid, ManagerUuid};
use formats::error::{Reason, Reasoned};
use formats::limits::{self, LimitError};
use formats::timestamp::Timestamp;
use rustix::fs::{AtFlags, statat};
use zeroize::Zeroizing;

use crate::plan::PlannedDevice;

/// Where the new CA lies (docs/facts.md).
const CA: &str = "/etc/sf/ca_root/cacert.pem";

/// What is checked beside the set itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The clock.
    pub now: Timestamp,
    /// `--accept-subject`.
    pub accept_subject: bool,
    /// `--accept-clock`.
    pub accept_clock: bool,
}

/// The CAs of a run, each read and checked once: every bundle of a kit holds the same bytes,
/// whatever becomes of the file meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Authorities(Mutex<Vec<(String, Arc<Authority>)>>);

impl Authorities {
    fn get(&self, root: &Root, path: &str) -> Result<Arc<Authority>, Failure> {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, authority)) = known.iter().find(|(of, _)| of == path) {
            return Ok(Arc::clone(authority));
        }
        let authority = Arc::new(Authority::check(&read(root, path)?).map_err(refused)?);
        known.push((path.to_owned(), Arc::clone(&authority)));
        Ok(authority)
    }
}

fn refused(error: CredentialsError) -> Failure {
    Failure::refused(error.reason(), &error).hint(hint(error.reason()))
}

/// A device's credentials.
#[derive(Debug)]
pub(crate) struct Collected {
    /// The three files.
    pub credentials: CheckedCredentials,
    /// Where each lay, in the order of [`CredentialFile::ALL`].
    pub sources: [String; 3],
    /// What was accepted although a check failed, and where unlisted files were found.
    pub notes: Vec<String>,
}

/// Reads and checks.
///
/// # Errors
/// The first check that fails, with its reason of docs/json.md. Concerns this device alone.
pub(crate) fn collect(
    root: &Root,
    planned: &PlannedDevice,
    manager: &ManagerUuid,
    rules: &Rules,
    authorities: &Authorities,
) -> Result<Collected, Failure> {
    let sources = locate(root, planned)?;
    let [ca, certificate, key] = &sources;
    let ca = authorities.get(root, ca)?;
    let copy = Zeroizing::new(ca.pem().to_vec());
    let credentials = Credentials::new(copy, read(root, certificate)?, read(root, key)?)
        .check_under(&ca)
        .map_err(refused)?;
    let mut notes = Vec::new();
    let device = &planned.device.uuid;
    credentials
        .check_certificate_subject(device)
        .map_err(|error| Failure::refused(error.reason(), &error).hint(RUN_AGAIN))?;
    if let Err(error) = credentials.check_ca_subject(manager) {
        if !rules.accept_subject {
            return Err(Failure::refused(error.reason(), &error).hint(
                "check that this is the CA of the manager that the device belongs to; --accept-subject goes on",
            ));
        }
        notes.push(format!("accepted with --accept-subject: {error}"));
    }
    if let Err(error) = credentials.check_validity(rules.now) {
        if !rules.accept_clock {
            return Err(Failure::refused(error.reason(), &error).hint(hint(error.reason())));
        }
        notes.push(format!("accepted with --accept-clock: {error}"));
    }
    Ok(Collected { credentials, sources, notes })
}

const RUN_AGAIN: &str = "run generate_certs.pl again and use its FAILED_PUSH";

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
    let usual = [format!("/var/sf/peers/{device}/certs_pushed"), format!("/var/sf/peers/{device}")];
    let places: Vec<String> =
        beside.map(|(directory, _)| directory.to_owned()).into_iter().chain(usual).collect();
    for place in &places {
        let path = |listed: &Option<String>, file: CredentialFile| {
            listed.clone().unwrap_or_else(|| format!("{place}/{file}"))
        };
        let pair =
            (path(&certificate, CredentialFile::Certificate), path(&key, CredentialFile::Key));
        if is_there(root, &pair.0) && is_there(root, &pair.1) {
            return Ok(pair);
        }
    }
    let message = format!(
        "FAILED_PUSH does not list both files of the pair, and there is no {} with {} in {}",
        CredentialFile::Certificate,
        CredentialFile::Key,
        places.join(" or ")
    );
    Err(Failure::refused(Reason::MissingSource, message).hint(RUN_AGAIN))
}

fn is_there(root: &Root, path: &str) -> bool {
    root.locate_following(Path::new(path))
        .is_ok_and(|found| statat(&found.dir, &*found.name, AtFlags::SYMLINK_NOFOLLOW).is_ok())
}

fn read(root: &Root, path: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let read = || limits::read_secret(root.open_file(Path::new(path))?, limits::PEM);
    read().map_err(|error| match error {
        LimitError::TooLarge { .. } => {
            Failure::refused(Reason::TooLarge, format!("{path} {error}"))
                .hint(hint(Reason::TooLarge))
        }
        LimitError::Io(error) => match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                Failure::refused(Reason::MissingSource, format!("{path} does not exist"))
                    .hint(RUN_AGAIN)
            }
            std::io::ErrorKind::PermissionDenied => {
                Failure::refused(Reason::NotRoot, format!("{path}: {error}"))
                    .hint("run this as root on the FMC (`expert`, then `sudo su`)")
            }
            _ => {
                Failure::refused(Reason::MissingSource, format!("{path}: {error}")).hint(RUN_AGAIN)
            }
        },
    })
}
