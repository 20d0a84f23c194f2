//! Peer directories: where the three files live, one directory for each manager.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

use cli::disk::root::{names_in, open_dir_at, open_file_at};
use formats::checksum::Sha256;
use formats::cisco::facts::{PEERS, PEERS_NAME};
use formats::credentials::{
    Certificate, CertificateFacts, CheckedCredentials, Credentials, CredentialsError,
};
use formats::device::{CredentialFile, DeviceUuid, ManagerUuid};
use formats::error::{Reason, Reasoned};
use formats::limits::{self, LimitError};
use formats::timestamp::Timestamp;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, fstat, statat};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::appliance::attributes::{Attributes, Extended};
use crate::appliance::error::{Error, Missing, Unsafe};
use crate::appliance::host::Host;
use crate::appliance::sf_dir::{self, wrong_directory, wrong_file};

/// Upper bound on a live file; manual attempts may have left anything.
const LIVE: u64 = 1024 * 1024;

/// The beginning of the names of staged files. They do not end in `.pem`, so that nothing
/// that looks for PEM files takes one up.
const STAGED: &str = ".sftunnel-airgap-";

/// A peer directory, opened and found safe to work in.
#[derive(Debug)]
pub(crate) struct PeerDir {
    pub manager: ManagerUuid,
    pub dir: OwnedFd,
}

/// One of the three files, as found.
#[derive(Debug, Clone)]
pub(crate) enum Live {
    /// Not there.
    Absent,
    /// A regular file.
    File(LiveFile),
}

/// A regular file, as found.
#[derive(Debug, Clone)]
pub(crate) struct LiveFile {
    pub bytes: Zeroizing<Vec<u8>>,
    pub sha256: Sha256,
    /// Mode, owner and extended attributes.
    pub attributes: Attributes,
}

impl Live {
    /// The state: digest, mode, owner, extended attributes; `None` for absence.
    pub(crate) fn identity(&self) -> Option<(Sha256, &Attributes)> {
        match self {
            Self::Absent => None,
            Self::File(file) => Some((file.sha256, &file.attributes)),
        }
    }

    /// The digest, where there is a file.
    pub(crate) fn sha256(&self) -> Option<Sha256> {
        self.identity().map(|(sha256, _)| sha256)
    }
}

/// The three files of a peer directory, as found.
#[derive(Debug, Clone)]
pub(crate) struct LiveSet(pub [Live; 3]);

impl LiveSet {
    /// The file with its name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (CredentialFile, &Live)> {
        CredentialFile::ALL.into_iter().zip(&self.0)
    }

    /// True when none of the three is there: a directory that holds no tunnel.
    pub(crate) fn is_absent(&self) -> bool {
        self.0.iter().all(|live| matches!(live, Live::Absent))
    }

    /// The state of each.
    pub(crate) fn identities(&self) -> [Option<(Sha256, &Attributes)>; 3] {
        self.0.each_ref().map(Live::identity)
    }

    /// Extended attributes that are not known, of a backup that an earlier version made, are those
    /// of the files that it takes the place of.
    #[must_use]
    pub(crate) fn in_place_of(mut self, live: &Self) -> Self {
        for (own, live) in self.0.iter_mut().zip(&live.0) {
            if let (Live::File(own), Live::File(live)) = (own, live)
                && own.attributes.extended.is_none()
            {
                own.attributes.extended.clone_from(&live.attributes.extended);
            }
        }
        self
    }

    /// The digest of the CA's file, where there is one.
    pub(crate) fn sha256_of_ca(&self) -> Option<Sha256> {
        let [ca, ..] = &self.0;
        ca.sha256()
    }

    /// The facts of the CA, where it can be read at all.
    pub(crate) fn ca_facts(&self) -> Option<CertificateFacts> {
        let [Live::File(ca), ..] = &self.0 else { return None };
        let ca = Certificate::as_found(&ca.bytes, CredentialFile::Ca).ok()?;
        Some(ca.facts().clone())
    }

    /// notBefore of the certificate, where the three are one set of this device. What a mix-up or a
    /// manual attempt left says nothing about age.
    pub(crate) fn certificate_of(&self, device: &DeviceUuid) -> Option<Timestamp> {
        let set = self.check().ok()?;
        set.check_certificate_subject(device).ok()?;
        Some(set.certificate().facts().not_before)
    }

    /// The devices that the certificate names, where it can be read at all.
    pub(crate) fn named_devices(&self) -> Vec<DeviceUuid> {
        let [_, Live::File(certificate), _] = &self.0 else { return Vec::new() };
        let read = Certificate::from_pem(&certificate.bytes, CredentialFile::Certificate);
        read.map(|certificate| certificate.named_devices()).unwrap_or_default()
    }

    /// Checks that the three are one usable set.
    pub(crate) fn check(&self) -> Result<CheckedCredentials, BrokenSet> {
        let mut missing =
            self.iter().filter(|(_, live)| matches!(live, Live::Absent)).map(|(file, _)| file);
        if let Some(file) = missing.next() {
            return Err(BrokenSet::Missing(file));
        }
        let bytes = |live: &Live| match live {
            Live::File(file) => file.bytes.clone(),
            Live::Absent => Zeroizing::default(),
        };
        let [ca, certificate, key] = self.0.each_ref().map(bytes);
        Ok(Credentials::new(ca, certificate, key).check_as_found()?)
    }

    /// The set, where a tunnel can come up on it at this time; otherwise why it stays down.
    pub(crate) fn usable_at(&self, now: Timestamp) -> Result<CheckedCredentials, String> {
        let set = self.check().map_err(|broken| broken.to_string())?;
        set.check_validity(now).map_err(|error| error.to_string())?;
        Ok(set)
    }
}

/// The reason three files on the box are not a usable set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BrokenSet {
    /// One is absent.
    #[error("{0} is missing")]
    Missing(CredentialFile),
    /// They do not fit.
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
}

impl Reasoned for BrokenSet {
    fn reason(&self) -> Reason {
        match self {
            Self::Missing(_) => Reason::MissingSource,
            Self::Credentials(error) => error.reason(),
        }
    }
}

/// A manager that this box has a directory for, and the directory if it can be used.
pub(crate) type ListedPeer = (ManagerUuid, Result<PeerDir, Error>);

impl PeerDir {
    /// Opens the directory of a manager.
    ///
    /// `not-registered` when there is none; `wrong-destination` when it is a link, or when somebody
    /// other than root could change what lies there.
    pub(crate) fn open(host: &Host, manager: &ManagerUuid) -> Result<Self, Error> {
        let peers = open_peers(host)?.ok_or_else(|| Missing::Peers { path: shown_peers(host) })?;
        let names = names_in(&peers).map_err(|error| Error::io(shown(host, manager), error))?;
        let mut own = names.iter().filter(|name| uuid_of(name).as_ref() == Some(manager));
        let Some(name) = own.next() else {
            return Err(Missing::Peer { path: shown(host, manager) }.into());
        };
        Self::open_at(host, &peers, name, own.next().is_none(), manager.clone())
    }

    /// Opens one by its name. `is_only`: no other name is the same UUID.
    fn open_at(
        host: &Host,
        peers: &OwnedFd,
        name: &OsStr,
        is_only: bool,
        manager: ManagerUuid,
    ) -> Result<Self, Error> {
        let path = shown(host, &manager);
        if !is_only {
            return Err(Unsafe::TwoPeers { path }.into());
        }
        let dir = open_dir_at(peers, name).map_err(|error| wrong_directory(path.clone(), error))?;
        require_private(&dir, path)?;
        Ok(Self { manager, dir })
    }

    /// Every manager's directory that this box has, readable or not, by UUID. One is opened when
    /// it is asked for: there may be more of them than a process may have files open.
    pub(crate) fn all(host: &Host) -> Result<impl Iterator<Item = ListedPeer>, Error> {
        let peers = open_peers(host)?;
        let names = peers.as_ref().map(names_in).transpose();
        let names = names.map_err(|error| Error::io(shown_peers(host), error))?;
        let mut managers: BTreeMap<ManagerUuid, (OsString, bool)> = BTreeMap::new();
        for name in names.unwrap_or_default() {
            if let Some(manager) = uuid_of(&name) {
                let twin = managers.entry(manager);
                twin.and_modify(|(_, is_only)| *is_only = false).or_insert((name, true));
            }
        }
        Ok(managers.into_iter().filter_map(move |(manager, (name, is_only))| {
            let opened = Self::open_at(host, peers.as_ref()?, &name, is_only, manager.clone());
            Some((manager, opened))
        }))
    }

    /// True when there is any of the three files, of whatever kind; reads none.
    pub(crate) fn has_files(&self) -> bool {
        CredentialFile::ALL.into_iter().any(|file| self.has(file))
    }

    /// True when anything has that file's name.
    pub(crate) fn has(&self, file: CredentialFile) -> bool {
        let found = statat(&self.dir, file.name(), AtFlags::SYMLINK_NOFOLLOW);
        !matches!(found, Err(Errno::NOENT))
    }

    /// Reads the three files as they are now.
    ///
    /// `wrong-destination` when one of them is something else than a regular file.
    pub(crate) fn read(&self, host: &Host) -> Result<LiveSet, Error> {
        let [ca, certificate, key] = CredentialFile::ALL.map(|file| self.read_one(host, file));
        Ok(LiveSet([ca?, certificate?, key?]))
    }

    fn read_one(&self, host: &Host, file: CredentialFile) -> Result<Live, Error> {
        let path = format!("{}/{file}", shown(host, &self.manager));
        let opened = match open_file_at(&self.dir, OsStr::new(file.name())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Live::Absent),
            Err(error) => return Err(wrong_file(path, error)),
            Ok(opened) => opened,
        };
        let stat = fstat(&opened).map_err(|error| Error::io(&path, error))?;
        let extended = Extended::of(&opened).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Error::TooManyAttributes { path: path.clone(), error },
            _ => Error::io(&path, error),
        })?;
        let attributes = Attributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            extended: Some(extended),
        };
        let bytes = limits::read_secret(opened, LIVE).map_err(|error| match error {
            LimitError::TooLarge { .. } => Error::TooLarge { path, error },
            LimitError::Io(error) => Error::Io { path, error },
        })?;
        let sha256 = Sha256::of(&bytes);
        // what is kept is what was read, without the room that was kept for more
        let bytes = Zeroizing::new(bytes.to_vec());
        Ok(Live::File(LiveFile { bytes, sha256, attributes }))
    }

    /// Names beside the three files that look like them: what a manual attempt left.
    pub(crate) fn strays(&self) -> io::Result<Vec<OsString>> {
        let stems = ["cacert", "sftunnel-cert", "sftunnel-key"];
        let mut names = names_in(&self.dir)?;
        names.retain(|name| {
            let exact = CredentialFile::ALL.iter().any(|file| name == file.name());
            !exact && !is_staged(name) && stems.iter().any(|stem| looks_like(name, stem))
        });
        Ok(names)
    }

    /// Files that an interrupted run of this program left.
    pub(crate) fn leftovers(&self) -> io::Result<Vec<OsString>> {
        let mut names = names_in(&self.dir)?;
        names.retain(|name| {
            let is_regular = || {
                statat(&self.dir, &**name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| {
                    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                })
            };
            is_staged(name) && is_regular()
        });
        Ok(names)
    }
}

/// True when a name begins like `stem` for somebody who reads it: without regard to case, to a dot
/// before it, and to what does not show.
pub(crate) fn looks_like(name: &OsStr, stem: &str) -> bool {
    let shown = String::from_utf8_lossy(name.as_bytes()).to_lowercase();
    let shown: String = shown.chars().filter(char::is_ascii_graphic).collect();
    shown.trim_start_matches('.').starts_with(stem)
}

/// The dot name under which the successor of `file` is staged.
pub(crate) fn staged_name(sequence: u64, file: CredentialFile) -> String {
    format!("{STAGED}{sequence}-{}.new", file.name().trim_end_matches(".pem"))
}

fn is_staged(name: &OsStr) -> bool {
    name.as_bytes().starts_with(STAGED.as_bytes())
}

fn shown_peers(host: &Host) -> String {
    host.root().outside(PEERS).display().to_string()
}

/// The path for messages.
pub(crate) fn shown(host: &Host, manager: &ManagerUuid) -> String {
    host.root().outside(format!("{PEERS}/{manager}")).display().to_string()
}

fn uuid_of(name: &OsStr) -> Option<ManagerUuid> {
    name.to_str()?.parse().ok()
}

/// `None` on a box that was never registered with a manager.
fn open_peers(host: &Host) -> Result<Option<OwnedFd>, Error> {
    let path = shown_peers(host);
    let Some(sf) = sf_dir::open(host)? else { return Ok(None) };
    let peers = match open_dir_at(&sf, OsStr::new(PEERS_NAME)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| wrong_directory(path.clone(), error))?,
    };
    require_private(&peers, path)?;
    Ok(Some(peers))
}

/// Somebody who can rename things in the directory could put a link in the way.
fn require_private(dir: &OwnedFd, path: String) -> Result<(), Error> {
    let stat = fstat(dir).map_err(|error| Error::io(&path, error))?;
    let own = stat.st_uid == rustix::process::geteuid().as_raw() || stat.st_uid == 0;
    if own && stat.st_mode & 0o022 == 0 {
        return Ok(());
    }
    Err(Unsafe::Peers { path, mode: stat.st_mode & 0o7777, uid: stat.st_uid }.into())
}
