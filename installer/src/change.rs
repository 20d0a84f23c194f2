//! Files replaced as one transaction, undone, and finished after an interruption.

pub(crate) mod backup;
pub(crate) mod error;
pub(crate) mod finish;
pub(crate) mod held_space;
pub(crate) mod journal;
pub(crate) mod obstacles;
pub(crate) mod proof;
pub(crate) mod receipts;
pub(crate) mod records;
pub(crate) mod recover;
pub(crate) mod stage;
pub(crate) mod step;
pub(crate) mod swap;
pub(crate) mod transaction;
pub(crate) mod undo;

use formats::device::{CredentialFile, ManagerUuid};
use serde::{Deserialize, Serialize};

use crate::appliance::host::Host;
use crate::appliance::peers::{Live, LiveSet, PeerDir};
use crate::appliance::service::Patience;
use crate::appliance::signals::Signals;
use crate::appliance::state::LockedState;
use crate::change::error::Error;
use crate::change::step::Listener;

/// One peer directory's change.
#[derive(Debug)]
pub(crate) struct Change {
    pub peer: PeerDir,
    /// As found when the plan was made.
    pub before: LiveSet,
    /// As it shall be.
    pub after: LiveSet,
}

impl Change {
    /// The change back to the files of a backup.
    pub(crate) fn to_backup(
        host: &Host,
        manager: &ManagerUuid,
        files: LiveSet,
    ) -> Result<Self, Error> {
        let peer = PeerDir::open(host, manager)?;
        let before = peer.read(host)?;
        let after = files.in_place_of(&before);
        Ok(Self { peer, before, after })
    }

    /// The files that are replaced, made or removed: as found, and as they shall be.
    pub(crate) fn files(&self) -> impl Iterator<Item = (CredentialFile, &Live, &Live)> {
        self.all().filter(|(_, before, after)| before.identity() != after.identity())
    }

    /// The files that stay as they are.
    pub(crate) fn kept(&self) -> impl Iterator<Item = CredentialFile> {
        let kept = self.all().filter(|(_, before, after)| before.identity() == after.identity());
        kept.map(|(file, _, _)| file)
    }

    fn all(&self) -> impl Iterator<Item = (CredentialFile, &Live, &Live)> {
        let slots = CredentialFile::ALL.into_iter().zip(self.before.0.iter().zip(&self.after.0));
        slots.map(|(file, (before, after))| (file, before, after))
    }
}

/// The purpose of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Goal {
    /// New credentials from bundles.
    Install,
    /// A backup, at the operator's wish.
    Rollback,
    /// A backup, because the transaction before it did not succeed.
    Restore,
}

impl Goal {
    /// The word in the log, in the backup's record and in messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Install => "install",
            Self::Rollback => "rollback",
            Self::Restore => "restore",
        }
    }
}

/// Needed by every step of a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub host: &'a Host,
    pub state: &'a LockedState,
    pub signals: &'a Signals,
    pub patience: Patience,
    /// Told of each step.
    pub listener: &'a dyn Listener,
    /// `--accept-device`: what names another device may be put back.
    pub accept_device: bool,
}
