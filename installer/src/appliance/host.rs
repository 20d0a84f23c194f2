//! The one seam to the box: root directory, clock, identity, programs.
//!
//! Everything else in this crate reaches the box through here or through directory handles
//! that were opened here.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cli::disk::box_kind::BoxKind;
use cli::disk::root::Root;
use cli::say::failure::Failure;
use formats::cisco::facts::{IMS_CONF, PMTOOL, PROGRAMS};
use formats::cisco::ims_conf::ImsConf;
use formats::device::DeviceUuid;
use formats::limits::{self, LimitError};
use formats::timestamp::Timestamp;

pub(crate) use cli::process::command;
use cli::process::command::{CommandError, Completed, Print};

use crate::appliance::error::{Error, Missing};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The box, or a tree that stands for one.
#[derive(Debug)]
pub(crate) struct Host {
    root: Root,
    told: Told,
}

/// The box as the operator describes it at the command line.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    /// `--pmtool`.
    pub pmtool: Option<PathBuf>,
    /// `--port`.
    pub port: Option<u16>,
    /// `--status-timeout`.
    pub status_limit: Duration,
}

/// The box as its `ims.conf` describes it.
#[derive(Debug, Clone)]
pub(crate) struct Appliance {
    pub uuid: DeviceUuid,
    /// Software version, such as `7.4.2`; foreign text.
    pub version: Option<String>,
    /// Model; foreign text.
    pub model: Option<String>,
}

/// The clock, which may be wrong.
pub(crate) fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.ok().and_then(|since| i64::try_from(since.as_secs()).ok());
    // a clock before 1970 or beyond the year 9999 is as good as one at 1970: wrong
    let now = seconds.and_then(|seconds| Timestamp::from_unix(seconds).ok());
    now.unwrap_or(Timestamp::EPOCH)
}

impl Host {
    /// The box below `root`.
    pub(crate) fn open(root: &Path, told: Told) -> Result<Self, Error> {
        let root =
            Root::open(root).map_err(|error| Error::io(root.display().to_string(), error))?;
        Ok(Self { root, told })
    }

    pub(crate) fn told(&self) -> &Told {
        &self.told
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// The clock, which may be wrong.
    pub(crate) fn now(&self) -> Timestamp {
        clock()
    }

    /// Refuses a command that only root may run.
    pub(crate) fn require_root(&self, command: &str) -> Result<(), Error> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        Err(Error::NotRoot { command: command.to_owned() })
    }

    /// A value that changes with each boot of the kernel; `None` where there is none.
    ///
    /// One that is there and cannot be read is an error: a process of another boot could be taken
    /// for one of this.
    pub(crate) fn boot_id(&self) -> Result<Option<String>, Error> {
        match std::fs::read_to_string(BOOT_ID) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(BOOT_ID, error)),
        }
    }

    /// Looks for the marks of a manager and of a device.
    pub(crate) fn kind(&self) -> BoxKind {
        BoxKind::of(&self.root)
    }

    /// Reads `ims.conf`.
    pub(crate) fn appliance(&self) -> Result<Appliance, Error> {
        let path = self.root.outside(IMS_CONF);
        let bytes = match self.root.read(Path::new(IMS_CONF), limits::IMS_CONF) {
            Ok(bytes) => bytes,
            Err(error) => return Err(Missing::ImsConf { path, error }.into()),
        };
        let conf = ImsConf::parse(&bytes);
        let uuid = conf.appliance_uuid.as_deref().and_then(|text| text.parse().ok());
        let uuid = uuid.ok_or(Missing::Uuid { ims_conf: path })?;
        Ok(Appliance { uuid, version: conf.version, model: conf.model })
    }

    /// Finds `pmtool`.
    ///
    /// `not-found` where there is none; what the system says of one that cannot be opened.
    pub(crate) fn pmtool(&self) -> Result<PathBuf, Error> {
        if let Some(path) = &self.told.pmtool {
            return Ok(path.clone());
        }
        self.program(PMTOOL)?.ok_or_else(|| {
            let place = |folder| self.root.outside(format!("{folder}/{PMTOOL}"));
            Missing::Pmtool { looked_at: PROGRAMS.map(place).to_vec() }.into()
        })
    }

    /// Finds one of Cisco's programs; `None` where it is nowhere.
    ///
    /// Something that cannot be opened in its place, with no other one, is an error: that is not
    /// absence.
    pub(crate) fn program(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let mut failed = None;
        for folder in PROGRAMS {
            let path = format!("{folder}/{name}");
            let opened = self.root.open_file(Path::new(&path));
            match opened.and_then(|_| self.executable(&path)) {
                Ok(program) => return Ok(Some(program)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let (path, error) = (self.root.outside(&path), LimitError::Io(error));
                    failed = Some(Error::Program { path, error });
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Gives the path to execute for a program of the box. Below another root the kernel would
    /// follow an absolute link out of it; on the box itself the program sees the name that it is
    /// known by.
    fn executable(&self, path: &str) -> io::Result<PathBuf> {
        match self.root.outside("/") == Path::new("/") {
            true => Ok(PathBuf::from(path)),
            false => self.root.resolved(Path::new(path)),
        }
    }

    /// Runs `pmtool` with a time limit.
    pub(crate) fn run_pmtool(
        &self,
        arguments: &[&str],
        print: Print,
        limit: Duration,
    ) -> Result<Completed, CommandError> {
        let program = self
            .pmtool()
            .map_err(|error| CommandError::Start(Failure::from(error).into_message()))?;
        command::run(&program, arguments, print, limit)
    }
}
