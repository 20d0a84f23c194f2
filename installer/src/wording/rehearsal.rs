//! The words for a rehearsal that failed, or that shows little.

use std::fmt;
use std::io::ErrorKind;

use cli::say::failure::Failure;
use formats::credentials::HandshakeError;
use formats::error::Reason;

use crate::candidate::error::{NotRehearsed, Unclear};
use crate::candidate::rehearsal::{
    AFTER_LIMIT, CONNECT_LIMIT, HANDSHAKE_LIMIT, RESOLVE_LIMIT, is_no_route,
};

const MANAGERS_LOG: &str = "look at the manager's /var/log/messages for the reason";
const THIS_NETWORK: &str = "look at the network of this box";

impl From<&NotRehearsed> for Failure {
    fn from(error: &NotRehearsed) -> Self {
        Self::refused(Reason::RehearsalFailed, error).hint(next(error))
    }
}

impl fmt::Display for NotRehearsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost => f.write_str("expected HOST or HOST:PORT"),
            Self::NotResolved(error) => write!(f, "its address was not found: {error}"),
            Self::NotResolvedInTime => {
                write!(f, "its address was not found within {} s", RESOLVE_LIMIT.as_secs())
            }
            Self::NoAddress => f.write_str("that name has no address"),
            Self::NotConnected { address, error } if is_no_route(error) => {
                write!(f, "no route to {address}: {error}")
            }
            Self::NotConnected { address, error } => match error.kind() {
                ErrorKind::ConnectionRefused => {
                    write!(f, "{address} refuses the connection: nothing listens there")
                }
                ErrorKind::TimedOut => {
                    write!(f, "{address} did not answer within {} s", CONNECT_LIMIT.as_secs())
                }
                _ => write!(f, "{address}: {error}"),
            },
            Self::Handshake(HandshakeError::Io(error)) if error.kind() == ErrorKind::TimedOut => {
                write!(f, "connected, but no answer within {} s", HANDSHAKE_LIMIT.as_secs())
            }
            Self::Handshake(error) => error.fmt(f),
        }
    }
}

fn next(error: &NotRehearsed) -> &'static str {
    match error {
        NotRehearsed::NoHost
        | NotRehearsed::NotResolved(_)
        | NotRehearsed::NotResolvedInTime
        | NotRehearsed::NoAddress => "give the manager's IP address: --rehearse=ADDRESS",
        NotRehearsed::NotConnected { error, .. } if is_no_route(error) => {
            "this box cannot reach the manager now: leave --rehearse out"
        }
        NotRehearsed::NotConnected { error, .. } => match error.kind() {
            ErrorKind::ConnectionRefused => {
                "is that the manager's address, and does sftunnel run there?"
            }
            ErrorKind::TimedOut => {
                "is that the manager's address? A firewall on the way may drop its port"
            }
            _ => THIS_NETWORK,
        },
        NotRehearsed::Handshake(error) => after_handshake(error),
    }
}

fn after_handshake(error: &HandshakeError) -> &'static str {
    match error {
        HandshakeError::TheirCertificate { .. } => {
            "the manager does not use the CA of this bundle. It may still run on its old files (restart sftunnel there), it may have a newer CA, or it is another manager"
        }
        HandshakeError::Clock { .. } => {
            "compare the clocks of this box and of the manager; with the right time on both, the manager uses expired files"
        }
        HandshakeError::OurCertificate { .. } => {
            "look at the manager's /var/log/messages for the reason: it may not have loaded its new CA, or its clock may be wrong"
        }
        HandshakeError::Protocol { .. } => {
            "compare proxy_tls_version and proxy_cipher in the manager's /etc/sf/sftunnel.conf"
        }
        HandshakeError::Other { .. } | HandshakeError::Closed(_) => MANAGERS_LOG,
        HandshakeError::NotTls(_) => "is that the manager's address and port?",
        HandshakeError::Io(error) if error.kind() == ErrorKind::TimedOut => {
            "does sftunnel answer at that address and port?"
        }
        HandshakeError::Io(_) | HandshakeError::Own(_) => THIS_NETWORK,
    }
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndedWithIt => f.write_str(
                "it was given the new certificate and ended the connection without saying why",
            ),
            Self::EndedUnasked => {
                f.write_str("it ended the connection without asking for the new certificate")
            }
            Self::NotAsked => {
                let wait = AFTER_LIMIT.as_secs();
                write!(f, "it did not ask for the new certificate within {wait} s")
            }
            Self::OtherKind => f.write_str("it asked for another kind of certificate"),
        }
    }
}
