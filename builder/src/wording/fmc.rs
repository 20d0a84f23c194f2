//! Sentences about the manager's lists, the devices' files on it, and devices' names.

use std::fmt;
use std::io;

use cli::disk::input;
use cli::disk::root::is_absent;
use cli::say::failure::Failure;
use formats::cisco::facts::{CA, PEERS};
use formats::credentials::{CredentialsError, SubjectError, ValidityError};
use formats::device::CredentialFile;
use formats::error::{Reason, Reasoned};
use formats::limits::{self, LimitError};

use crate::fmc::by_name::{NameError, Near};
use crate::fmc::error::{Accepted, DeviceError, Doubt, Error, WrongBox};

const RUN_AGAIN: &str = "run generate_certs.pl again and use its FAILED_PUSH";
const OTHER_LIST: &str = "find out who put it there. Then name another list with --failed-push FILE, or run generate_certs.pl again";
const NO_LIST: &str = "run generate_certs.pl, if it was never run here. If the list was deleted, --all-peers takes the devices' pairs from /var/sf/peers. If it lies elsewhere, give --failed-push FILE";
const LINE: &str = "copy the file, correct or remove the line in the copy, and give --failed-push COPY; or run generate_certs.pl again";
const TOO_LARGE: &str = "look at the file: a real one has 1 or 2 KiB";
const PRIVATE_KEY: &str = "take the key out of that file, and find out whose key it is: all who could read the file may have it";
const OTHER_CA: &str =
    "check that this is the CA of the device's manager. If it is, --accept-subject goes on";
const EXPIRED: &str = "run generate_certs.pl to make a new CA, or set the clock. --accept-clock goes on, but sftunnel refuses such a certificate";
const NOT_YET_VALID: &str =
    "set the clock. --accept-clock goes on, but sftunnel refuses the certificate until then";

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Input { path, error } => input::of_limit(&path, &error),
            Error::NamedList { path, error } => input::of_limit(&path, &error)
                .or_hint("generate_certs.pl leaves it in /var/tmp/certs/<unix time>/FAILED_PUSH"),
            Error::List { path, error } => input::of_limit(&path, &error).or_hint(OTHER_LIST),
            Error::NoList { below } => {
                not_found(format!("no FAILED_PUSH below {}", below.display())).hint(NO_LIST)
            }
            Error::Untrusted(doubt) => untrusted(&doubt),
            Error::NoOwnUuid => not_found("/etc/sf/ims.conf: expected APPLIANCE_UUID=<UUID>, found none. Without FAILED_PUSH only that line names the manager")
                .hint("run this as root on the FMC (`expert`, then `sudo su`)"),
            Error::NoPairs => {
                not_found(format!("no device's folder in {PEERS} holds a pair under the CA in use"))
                    .hint("run generate_certs.pl, or have a pair issued for the device")
            }
            Error::NameOfNone(uuid) => {
                Failure::usage(format!("--name {uuid}=...: this device is not part of this run"))
                    .hint("name the device with --peer as well")
            }
            Error::Stale { batch, newest } => stale(batch, newest),
            Error::EmptyLists(files) => not_found(format!("{} lists no device", files.join(", ")))
                .hint("an empty FAILED_PUSH means that every device was reached; see sftunnel_status.pl"),
            Error::TooManyDevices(number) => too_large(format!(
                "{number} devices are more than the {} that one kit may hold",
                limits::KIT_BUNDLES
            ))
            .hint("make several kits, with --device in each"),
            Error::Name(error) => error.into(),
            Error::NoStatusProgram(path) => not_found(format!("there is no {}", path.display())),
            Error::WrongBox { here, error } => {
                Failure::from(*error).preceded_by(here.message()).hint(here.next())
            }
        }
    }
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::from(&error)
    }
}

impl From<&DeviceError> for Failure {
    fn from(error: &DeviceError) -> Self {
        match error {
            DeviceError::OtherManager { found, expected, device } => Failure::refused(
                Reason::WrongDestination,
                format!("its files are for manager {found}, this kit is for {expected}"),
            )
            .hint(format!("a kit has one manager: make another kit with --device {device}")),
            DeviceError::Line(error) => refused(error, LINE),
            DeviceError::NoPair { is_one_listed, places } => no_pair(*is_one_listed, places),
            DeviceError::Source { path, error } => source(path, error),
            DeviceError::Untrusted(doubt) => untrusted(doubt),
            DeviceError::Credentials(error) => refused(error, unusable(error)),
            DeviceError::Subject(error) => refused(
                error,
                match error {
                    SubjectError::Certificate { .. } => RUN_AGAIN,
                    SubjectError::Ca { .. } => OTHER_CA,
                },
            ),
            DeviceError::Validity(error) => refused(
                error,
                match error {
                    ValidityError::Expired { .. } => EXPIRED,
                    ValidityError::NotYetValid { .. } => NOT_YET_VALID,
                },
            ),
        }
    }
}

impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Shared { name, first, second } => {
                Failure::usage(format!("'{name}' is the name of {first} and of {second}"))
                    .hint("name the device by its UUID")
            }
            NameError::ShortUuid { text, of } => {
                Failure::usage(format!("several UUIDs begin with '{text}': {}", of.list()))
                    .hint("type more of the UUID")
            }
            NameError::Unknown { name, near } => {
                let matches = if name.contains(['*', '?']) { "that matches " } else { "" };
                not_found(format!("there is no device {matches}'{name}' here")).hint(near)
            }
        }
    }
}

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_close { "similar names are " } else { "there are " })?;
        f.write_str(&self.list())
    }
}

impl Near {
    fn list(&self) -> String {
        // escaped where it is printed: a name has no line break that could look like one of ours
        let names: Vec<String> = self.names.iter().map(|name| format!("'{name}'")).collect();
        let more = if self.more > 0 { format!(", and {} more", self.more) } else { String::new() };
        names.join(", ") + &more
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(foreign) => foreign.fmt(f),
            Self::NoList { below, newest } => {
                write!(
                    f,
                    "no FAILED_PUSH below {} that root alone could write: {newest}",
                    below.display()
                )
            }
            Self::OtherCa { path } => {
                write!(f, "{path} is not the CA in use, which is {CA}")
            }
            Self::UnknownCa { path, error } => write!(
                f,
                "{path} cannot be compared with the CA in use, {CA}: {}",
                Failure::from(&**error).message()
            ),
            Self::Elsewhere { path, device } => write!(
                f,
                "{path} is not below {PEERS}/{device}, where this device's certificate and key lie"
            ),
            Self::Readable { path, mode } => {
                write!(f, "{} is {mode:o}: others may read it", path.display())
            }
        }
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(doubt) => write!(f, "accepted with --accept-source: {doubt}"),
            Self::Subject(error) => write!(f, "accepted with --accept-subject: {error}"),
            Self::Clock(error) => write!(f, "accepted with --accept-clock: {error}"),
        }
    }
}

impl WrongBox {
    /// The sentence that names the box.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Device => "this is a device (FTD); sftunnel-bundle is for the manager (FMC)",
            Self::Neither => "this is not a manager (FMC) and not a device (FTD)",
        }
    }

    /// Both, in a line.
    pub(crate) fn line(self) -> String {
        format!("{}: {}", self.message(), self.next())
    }

    pub(crate) fn next(self) -> &'static str {
        match self {
            Self::Device => {
                "here run `sftunnel-install status`; run sftunnel-bundle as root on the FMC"
            }
            Self::Neither => {
                "run sftunnel-bundle as root on the FMC (`expert`, then `sudo su`), or name a copy of its tree with --root DIR. On a device run sftunnel-install"
            }
        }
    }
}

fn not_found(message: impl fmt::Display) -> Failure {
    Failure::refused(Reason::NotFound, message)
}

fn too_large(message: impl fmt::Display) -> Failure {
    Failure::refused(Reason::TooLarge, message)
}

fn refused(error: &impl Reasoned, hint: &str) -> Failure {
    Failure::refused(error.reason(), error).hint(hint)
}

fn unusable(error: &CredentialsError) -> &'static str {
    match (error, error.reason()) {
        (CredentialsError::PrivateKey { .. }, _) => PRIVATE_KEY,
        (_, Reason::WeakDigest) => "sftunnel would refuse it too; run generate_certs.pl again",
        (_, Reason::TooLarge) => TOO_LARGE,
        _ => RUN_AGAIN,
    }
}

fn untrusted(doubt: &Doubt) -> Failure {
    Failure::refused(Reason::UntrustedSource, doubt).hint(
        "find out who put it there and why: this program runs as root and signs what it finds. --accept-source goes on",
    )
}

fn stale(batch: u64, newest: u64) -> Failure {
    let message = format!(
        "FAILED_PUSH is of batch {batch}, but there is a newer batch {newest}: the manager has a newer CA and refuses certificates of the older one"
    );
    Failure::refused(Reason::StaleBatch, message).hint(format!(
        "use the FAILED_PUSH of batch {newest}. If it has none, every device was reached. --accept-stale goes on with the older batch"
    ))
}

fn no_pair(is_one_listed: bool, places: &[String]) -> Failure {
    let (certificate, key) = (CredentialFile::Certificate, CredentialFile::Key);
    let message = format!("there is no {certificate} with {key} in {}", places.join(" or "));
    let refused = |message| Failure::refused(Reason::MissingSource, message);
    if is_one_listed {
        refused(format!("FAILED_PUSH does not list both files of the pair, and {message}"))
            .hint(RUN_AGAIN)
    } else {
        refused(message).hint("check that it is a device of this manager, then have a pair issued for it here. generate_certs.pl would make a new CA for all devices")
    }
}

fn source(path: &str, error: &LimitError) -> Failure {
    let error = match error {
        LimitError::TooLarge { .. } => return too_large(format!("{path} {error}")).hint(TOO_LARGE),
        LimitError::Io(error) => error,
    };
    if is_absent(error) {
        return Failure::refused(Reason::MissingSource, format!("{path} does not exist"))
            .hint(RUN_AGAIN);
    }
    let message = format!("{path}: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::io(path, error),
        // not a regular file
        io::ErrorKind::InvalidInput => Failure::refused(Reason::BadFormat, message).hint(RUN_AGAIN),
        _ => Failure::refused(Reason::CannotRead, message)
            .hint("the file is there, but the system cannot read it: look at it, then run the same command again"),
    }
}
