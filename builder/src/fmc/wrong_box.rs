//! A box that is no manager: said in one sentence, with the program that is right there. Nothing is
//! refused for it, as the signs may deceive; where something is missing, this is the likely cause.

use cli::disk::box_kind::BoxKind;
use cli::disk::root::Root;
use cli::say::exit::Failure;
use formats::error::Reason;

/// Description of a box that is not a manager, and what to do there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WrongBox {
    pub message: &'static str,
    /// Next step.
    pub next: &'static str,
}

impl WrongBox {
    /// Looks at the box; `None` on a manager, or where the kind cannot be told.
    pub(crate) fn look(root: &Root) -> Option<Self> {
        match BoxKind::of(root) {
            BoxKind::Manager | BoxKind::Unknown => None,
            BoxKind::Device => Some(Self {
                message: "this is a device (FTD), and sftunnel-bundle is the manager's program",
                next: "here it is sftunnel-install (`sftunnel-install status`); run sftunnel-bundle as root on the FMC",
            }),
            BoxKind::Neither => Some(Self {
                message: "this is neither a manager (FMC) nor a device (FTD)",
                next: "run sftunnel-bundle as root on the FMC (`expert`, then `sudo su`), or name a copy of its tree with --root DIR; sftunnel-install is for the devices",
            }),
        }
    }

    /// Both, in a line.
    pub(crate) fn line(self) -> String {
        format!("{}: {}", self.message, self.next)
    }

    /// A failure to find something, with this as its cause.
    pub(crate) fn explain(root: &Root, failure: Failure) -> Failure {
        match Self::look(root).filter(|_| failure.reason() == Some(Reason::NotFound)) {
            Some(Self { message, next }) => {
                Failure::refused(Reason::NotFound, format!("{message}: {}", failure.message()))
                    .hint(next)
            }
            None => failure,
        }
    }
}
