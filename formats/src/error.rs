//! The stable words that name the reason of a refusal.

use std::fmt;

use serde::{Serialize, Serializer};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $word:literal,)*) => {
        /// Reason of a refusal. Scripts match on its word, so a word never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Reason] = &[$(Reason::$variant,)*];

            /// The stable word for the reason.
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
    /// A file exists but the system does not let it be read.
    CannotRead = "cannot-read",
    /// Somebody other than root could have written what is to be signed, or it comes from elsewhere
    /// than it has to.
    UntrustedSource = "untrusted-source",
    /// An installer is not of this program's own build, and nobody named its digest.
    UnknownInstaller = "unknown-installer",
    /// One of the three files is not what it should be (not PEM, encrypted, two in one).
    BadCredentials = "bad-credentials",
    /// Key and certificate are not a pair.
    KeyMismatch = "key-mismatch",
    /// The CA did not sign the certificate.
    NotIssuedByCa = "not-issued-by-ca",
    /// A certificate is signed with SHA-1 or MD5.
    WeakDigest = "weak-digest",
    /// The CA or the certificate is somebody else's.
    WrongSubject = "wrong-subject",
    /// A newer CA has been made since.
    StaleBatch = "stale-batch",
    /// A certificate is past its validity.
    Expired = "expired",
    /// A certificate is not valid yet.
    NotYetValid = "not-yet-valid",
    /// The box's clock is older than the bundle or the program.
    ClockBehind = "clock-behind",
    /// The identity or passphrase is wrong.
    CannotOpen = "cannot-open",
    /// The command that was to give the passphrase failed.
    NoPassphrase = "no-passphrase",
    /// A byte was changed, cut or added.
    Damaged = "damaged",
    /// An input exceeds its documented limit.
    TooLarge = "too-large",
    /// The format is not one that this program knows.
    BadFormat = "bad-format",
    /// Nobody vouches for the signer.
    UnknownSigner = "unknown-signer",
    /// The signature does not fit.
    BadSignature = "bad-signature",
    /// The bundle was made for another device.
    WrongDevice = "wrong-device",
    /// The destination is not one of the three files of a peer directory.
    WrongDestination = "wrong-destination",
    /// The box has no peer directory for that manager.
    NotRegistered = "not-registered",
    /// The new CA is older than the one in use.
    OlderThanInstalled = "older-than-installed",
    /// The system would not let a live file be replaced.
    CannotReplace = "cannot-replace",
    /// The restart would drop another manager's tunnel for good.
    WouldDropPeer = "would-drop-peer",
    /// The manager and the new credentials did not accept each other in a rehearsal.
    RehearsalFailed = "rehearsal-failed",
    /// Another run holds the lock.
    Busy = "busy",
    /// The system forbids it even to root.
    NotPermitted = "not-permitted",
    /// The command has to be run as root.
    NotRoot = "not-root",
    /// There is not enough free space.
    NoSpace = "no-space",
    /// The file system is read-only.
    ReadOnly = "read-only",
    /// The box does not tell what a decision depends on.
    CannotTell = "cannot-tell",
    /// Something named does not exist.
    NotFound = "not-found",
    /// Something would be overwritten.
    Exists = "exists",
    /// Several fit where there can be only one.
    Ambiguous = "ambiguous",
    /// No connection to the device.
    Unreachable = "unreachable",
    /// The device's SSH host key is not known, or is another than the known one.
    HostKey = "host-key",
    /// Name or password of an account are not accepted, or a new password is demanded.
    LoginRefused = "login-refused",
    /// Something stands on the device's terminal that is not known.
    UnknownPrompt = "unknown-prompt",
    /// The connection to a device ended, or took too long.
    LineLost = "line-lost",
    /// A command on the device failed.
    RemoteFailed = "remote-failed",
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

/// An error that has a stable word.
pub trait Reasoned: std::error::Error {
    /// Reason that the programs print and put into their JSON.
    fn reason(&self) -> Reason;

    /// Returns true if a later release reads what this one refuses.
    fn needs_later_release(&self) -> bool {
        false
    }
}
