//! The stable words for why something was refused, and the process exit codes.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// Why something was refused. Scripts match on the word, so a word never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The stable word.
            pub fn word(self) -> &'static str {
                match self { $(Reason::$variant => $word,)* }
            }
        }
    };
}

reasons! {
    /// A line of FAILED_PUSH cannot be read.
    BadFailedPush = "bad-failed-push",
    /// One of the three files is absent.
    MissingSource = "missing-source",
    /// A file is there, and the system does not give it.
    CannotRead = "cannot-read",
    /// Somebody else than root could have written what is to be signed, or it is not from where it
    /// has to be.
    UntrustedSource = "untrusted-source",
    /// An installer that is not of this program's own build, and that nobody named.
    UnknownInstaller = "unknown-installer",
    /// One of the three files is not what it should be (not PEM, encrypted, two in one).
    BadCredentials = "bad-credentials",
    /// Key and certificate are not a pair.
    KeyMismatch = "key-mismatch",
    /// The CA did not sign the certificate.
    NotIssuedByCa = "not-issued-by-ca",
    /// Signed with SHA-1 or MD5.
    WeakDigest = "weak-digest",
    /// The CA or the certificate is somebody else's.
    WrongSubject = "wrong-subject",
    /// A newer CA has been made since.
    StaleBatch = "stale-batch",
    /// Past its validity.
    Expired = "expired",
    /// Before its validity.
    NotYetValid = "not-yet-valid",
    /// The box's clock is older than the bundle or the program.
    ClockBehind = "clock-behind",
    /// Wrong identity or passphrase.
    CannotOpen = "cannot-open",
    /// A byte was changed, cut or added.
    Damaged = "damaged",
    /// Beyond the documented limits.
    TooLarge = "too-large",
    /// Not a format that this program knows.
    BadFormat = "bad-format",
    /// Nobody vouches for the signer.
    UnknownSigner = "unknown-signer",
    /// The signature does not fit.
    BadSignature = "bad-signature",
    /// Made for another device.
    WrongDevice = "wrong-device",
    /// Not one of the three files of a peer directory.
    WrongDestination = "wrong-destination",
    /// The box has no peer directory for that manager.
    NotRegistered = "not-registered",
    /// Older than the CA in use.
    OlderThanInstalled = "older-than-installed",
    /// The system would not let a live file be replaced.
    CannotReplace = "cannot-replace",
    /// The restart would drop another manager's tunnel for good.
    WouldDropPeer = "would-drop-peer",
    /// The manager and the new credentials did not take each other in a rehearsal.
    RehearsalFailed = "rehearsal-failed",
    /// Another run holds the lock.
    Busy = "busy",
    /// The system forbids it, to root as well.
    NotPermitted = "not-permitted",
    /// Needs root.
    NotRoot = "not-root",
    /// Not enough space.
    NoSpace = "no-space",
    /// The file system is read-only.
    ReadOnly = "read-only",
    /// The box does not say what a decision hangs on.
    CannotTell = "cannot-tell",
    /// Something named does not exist.
    NotFound = "not-found",
    /// Something would be overwritten.
    Exists = "exists",
    /// Two are named where there can be one.
    Ambiguous = "ambiguous",
    /// The person at the terminal said no, or nobody was there to say yes.
    NotConfirmed = "not-confirmed",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// What every error of this library can say: the stable word for it.
pub trait Reasoned: std::error::Error {
    /// The reason that the programs print and put into their JSON.
    fn reason(&self) -> Reason;

    /// Tells whether a later release reads what this one refuses.
    fn needs_later_release(&self) -> bool {
        false
    }
}
