//! The one seam to the box: root directory, clock, identity, programs.
//!
//! Everything else in this crate reaches the box through here or through directory handles
//! that were opened here.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use console::exit::Failure;
use console::root::Root;
use formats::device::DeviceUuid;
use formats::error::Reason;
use formats::ims_conf::ImsConf;
use formats::limits;
use formats::timestamp::Timestamp;

pub(crate) use console::command;
use console::command::{CommandError, Finished, Print};

/// Where `pmtool` lies (docs/facts.md), in the order of looking.
const PMTOOL: [&str; 2] = ["/ngfw/usr/local/sf/bin/pmtool", "/usr/local/sf/bin/pmtool"];
/// Its folders, where Cisco's other programs are looked for.
const PROGRAMS: [&str; 2] = ["/ngfw/usr/local/sf/bin", "/usr/local/sf/bin"];
const IMS_CONF: &str = "/etc/sf/ims.conf";
/// What to do where something is missing that every FTD has.
pub(crate) const IS_AN_FTD: &str = "is this an FTD? --root names another root directory";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The box, or a tree that stands for one.
#[derive(Debug)]
pub(crate) struct Host {
    root: Root,
    pmtool: Option<PathBuf>,
}

/// What the box says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Appliance {
    /// Its UUID.
    pub uuid: DeviceUuid,
    /// Software version, such as `7.4.2`; foreign text.
    pub version: Option<String>,
    /// Model; foreign text.
    pub model: Option<String>,
}

impl Host {
    /// The box below `root`; `pmtool` where the operator names another one.
    pub(crate) fn open(root: &Path, pmtool: Option<PathBuf>) -> Result<Self, Failure> {
        let root = Root::open(root).map_err(|error| Failure::io(root.display(), &error))?;
        Ok(Self { root, pmtool })
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }

    /// The clock, which may be wrong.
    pub(crate) fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.ok().and_then(|since| i64::try_from(since.as_secs()).ok());
        // a clock before 1970 or beyond the year 9999 is as good as one at 1970: wrong
        let now = seconds.and_then(|seconds| Timestamp::from_unix(seconds).ok());
        now.unwrap_or(Timestamp::EPOCH)
    }

    /// Whether this process may do what an installation does.
    pub(crate) fn require_root(&self, command: &str) -> Result<(), Failure> {
        if rustix::process::geteuid().is_root() {
            return Ok(());
        }
        let message = format!("'{command}' needs root");
        Err(Failure::refused(Reason::NotRoot, message)
            .hint("in `expert` mode run `sudo su`, then the same command again"))
    }

    /// A value that changes with each boot of the kernel; `None` where it cannot be read.
    pub(crate) fn boot_id(&self) -> Option<String> {
        let text = std::fs::read_to_string(BOOT_ID).ok()?;
        Some(text.trim().to_owned())
    }

    /// Whether the box is a manager itself, the other FMC of a pair: it has a CA of its own
    /// (docs/facts.md).
    pub(crate) fn is_manager(&self) -> bool {
        self.root.open_file(Path::new("/etc/sf/ca_root/cacert.pem")).is_ok()
    }

    /// Reads `ims.conf`.
    pub(crate) fn appliance(&self) -> Result<Appliance, Failure> {
        let shown = self.root.outside(IMS_CONF);
        let bytes = self
            .root
            .read(Path::new(IMS_CONF), limits::IMS_CONF)
            .map_err(|error| console::input::of_limit(&shown, &error))
            .map_err(|failure| failure.hint(IS_AN_FTD))?;
        let conf = ImsConf::parse(&bytes);
        let uuid =
            conf.appliance_uuid.as_deref().and_then(|text| text.parse().ok()).ok_or_else(|| {
                let message =
                    format!("{}: expected APPLIANCE_UUID=<UUID>, found none", shown.display());
                Failure::refused(Reason::NotFound, message)
                    .hint("`show version` on the device prints its UUID")
            })?;
        Ok(Appliance { uuid, version: conf.version, model: conf.model })
    }

    /// Where `pmtool` is.
    pub(crate) fn pmtool(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.pmtool {
            return Ok(path.clone());
        }
        let is_file = |path: &&&str| self.root.open_file(Path::new(path)).is_ok();
        let found = PMTOOL.iter().find(is_file).and_then(|path| self.executable(path));
        found.ok_or_else(|| {
            let places =
                PMTOOL.map(|path| self.root.outside(path).display().to_string()).join(" and ");
            let message = format!("no pmtool at {places}: sftunnel could not be restarted");
            Failure::refused(Reason::NotFound, message).hint("name it with --pmtool FILE")
        })
    }

    /// Where another of Cisco's programs is: beside `pmtool`.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let mut paths = PROGRAMS.iter().map(|folder| format!("{folder}/{name}"));
        let found = paths.find(|path| self.root.open_file(Path::new(path)).is_ok());
        found.and_then(|path| self.executable(&path))
    }

    /// What to execute for a program of the box. Below another root the kernel would follow an
    /// absolute link out of it; on the box itself the program sees the name that it is known by.
    fn executable(&self, path: &str) -> Option<PathBuf> {
        match self.root.outside("/") == Path::new("/") {
            true => Some(PathBuf::from(path)),
            false => self.root.resolved(Path::new(path)).ok(),
        }
    }

    /// Runs `pmtool` with a time limit.
    pub(crate) fn run_pmtool(
        &self,
        arguments: &[&str],
        print: Print,
        limit: Duration,
    ) -> Result<Finished, CommandError> {
        let program = self.pmtool().map_err(|failure| CommandError::Start(failure.message))?;
        command::run(&program, arguments, print, limit)
    }
}
