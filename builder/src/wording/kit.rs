//! Sentences about a kit that is made, and the installers for it.

use std::fmt;
use std::io;
use std::path::Path;

use cli::disk::input;
use cli::say::failure::Failure;
use formats::error::{Reason, Reasoned};
use formats::kit;
use formats::limits::{self, LimitError};
use formats::signature::Fingerprint;

use crate::kit::error::{Error, LeftOut, NotTaken, Occupant};

const A_PROGRAM: &str = "a 64-bit ELF program for x86_64 or aarch64";
const OTHER_PLACE: &str = "choose another place with --out DIR";
const NO_INSTALLER: &str = "put sftunnel-install-x86_64 and sftunnel-install-aarch64 there, name one with --installer FILE, or give --no-installer for devices that have one";

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Out { path, error } => Failure::io(format!("--out {}", path.display()), &error)
                .or_hint(match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                        "make the directory first, or mount the stick"
                    }
                    _ => OTHER_PLACE,
                }),
            Error::Exists { path, occupant } => {
                Failure::refused(Reason::Exists, format!("{} already exists", path.display()))
                    .hint(occupant.next())
            }
            Error::Write { path, error } => {
                Failure::io(path.display(), &error).or_hint(OTHER_PLACE)
            }
            Error::FileTooLarge { file, limit } => {
                too_large(format!("{file} would be larger than {limit} bytes"))
            }
            Error::ThreadEnded => {
                Failure::unexpected("a thread of this program ended too early")
            }
            Error::IdentityNotLocked => {
                Failure::unexpected("the kit's identity could not be locked")
            }
            Error::Seal(error) => Failure::refused(error.reason(), &error),
            Error::BundleTooLarge => {
                too_large(format!("the bundle would be larger than {} bytes", limits::BUNDLE))
                    .hint("give fewer recipients")
            }
            Error::Index(error) => Failure::of(kit::INDEX, &error),
            Error::Installer { path, error } => input::of_limit(&path, &LimitError::Io(error)),
            Error::NoProgram(path) => {
                Failure::usage(format!("--installer {}: expected {A_PROGRAM}", path.display()))
            }
            Error::TwoPrograms { arch } => Failure::usage(format!("two --installer for {arch}"))
                .hint("name one for each architecture"),
            Error::InstallerChanged(path) => Failure::refused(
                Reason::UnknownInstaller,
                format!("{} was changed while it was read", path.display()),
            )
            .hint("find out who writes there, or name it with --installer"),
            Error::NoInstaller(left_out) => no_installer(&left_out),
            Error::LoneBundle(path) => {
                Failure::usage(format!("{} is a bundle by itself", path.display()))
                    .hint("a passphrase opens kits only: give --recipient R, or hand off its kit and pick it with --device")
            }
            Error::OneName(name) => Failure::usage(format!("two kits would both become {name}"))
                .hint("hand them off one by one, each with its own --out DIR"),
            Error::IntoItself(path) => Failure::refused(
                Reason::Exists,
                format!("{} would replace itself", path.display()),
            )
            .hint("choose another --out DIR: the next team can open only the new kit"),
            Error::SeveralSigners { kit, signers } => several_signers(&kit, &signers),
        }
    }
}

fn too_large(message: String) -> Failure {
    Failure::refused(Reason::TooLarge, message)
}

fn several_signers(kit: &Path, signers: &[Fingerprint]) -> Failure {
    let list: String = signers.iter().map(|signer| format!("\n{signer}")).collect();
    let message = format!(
        "{} (its bundles): signed with {} keys, but a passphrase can confirm only one{list}",
        kit.display(),
        signers.len()
    );
    Failure::refused(Reason::UnknownSigner, message)
        .hint("give --signer to take the bundles of one signer only; or seal for recipients")
}

fn no_installer(left_out: &[LeftOut]) -> Failure {
    let mut message = "there is no installer beside this program for the kit".to_owned();
    for one in left_out {
        message.push_str(&format!("\n{}", one.warning()));
    }
    let reason = left_out.first().map_or(Reason::NotFound, |one| one.reason);
    Failure::refused(reason, message).hint(NO_INSTALLER)
}

impl Occupant {
    fn next(self) -> &'static str {
        match self {
            Self::Replaceable => {
                "--force replaces it; --out DIR puts the kit elsewhere; `sftunnel-bundle inspect` shows what it is"
            }
            Self::NoKit => {
                "it is not a kit, so --force does not replace it; choose another --out DIR"
            }
            Self::JustMade => "another run has just made it; --force replaces it",
            Self::Bundle => "--force replaces it; or choose another --out DIR",
        }
    }
}

impl LeftOut {
    /// The line for people.
    pub(crate) fn warning(&self) -> String {
        let Self { source, reason, message } = self;
        let source = source.display();
        format!("{source} is left out ({reason}): {message}. To use it, name it with --installer")
    }
}

impl NotTaken {
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Unreadable(_) => Reason::CannotRead,
            Self::NoProgram | Self::OtherBuild(_) | Self::Foreign(_) => Reason::UnknownInstaller,
        }
    }
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::NoProgram => write!(f, "expected {A_PROGRAM}"),
            Self::OtherBuild(sha256) => {
                write!(f, "its SHA-256 is {sha256}: it is of another build than this program")
            }
            Self::Foreign(foreign) => foreign.fmt(f),
        }
    }
}
