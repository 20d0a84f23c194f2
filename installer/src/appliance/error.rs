//! The ways in which the box is not as it must be, as facts; [`wording`](crate::wording) has the
//! words.

use std::io;
use std::path::PathBuf;

use cli::say::failure::Failure;
use formats::limits::LimitError;

use crate::appliance::under_way::UnderWay;

/// The box, or this program's state on it, is not as a step needs it.
#[derive(Debug)]
pub(crate) enum Error {
    // a step that both programs make
    Shared(Failure),
    Io { path: String, error: io::Error },
    Program { path: PathBuf, error: LimitError },
    TooLarge { path: String, error: LimitError },
    TooManyAttributes { path: String, error: io::Error },
    RecordTooLarge { path: String, error: LimitError },
    Missing(Missing),
    Unsafe(Unsafe),
    NotRoot { command: String },
    Signals(io::Error),
    // by a signal, before anything was changed
    Interrupted,
    // another run holds the lock
    Busy(Option<UnderWay>),
    // `pmtool` does not say what runs
    ServiceUnknown { detail: String },
}

/// Something that a box has where this program can do its work.
#[derive(Debug)]
pub(crate) enum Missing {
    ImsConf { path: PathBuf, error: LimitError },
    Uuid { ims_conf: PathBuf },
    Pmtool { looked_at: Vec<PathBuf> },
    // no program that can prove a tunnel
    StatusProgram { names: String },
    Sf { path: PathBuf },
    State { path: String },
    // the box was never registered with any manager
    Peers { path: String },
    Peer { path: String },
}

/// A file or directory that is another than it must be, or that others could exchange.
#[derive(Debug)]
pub(crate) enum Unsafe {
    NotADirectory { path: String },
    NotAFile { path: String },
    // one UUID in upper and in lower case
    TwoPeers { path: String },
    Way { path: PathBuf, mode: u32, uid: u32, gid: u32 },
    Peers { path: String, mode: u32, uid: u32 },
    State { path: String, mode: u32, uid: u32 },
}

impl Error {
    pub(crate) fn io(path: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Io { path: path.into(), error: error.into() }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Shared(failure)
    }
}

impl From<Missing> for Error {
    fn from(error: Missing) -> Self {
        Self::Missing(error)
    }
}

impl From<Unsafe> for Error {
    fn from(error: Unsafe) -> Self {
        Self::Unsafe(error)
    }
}
