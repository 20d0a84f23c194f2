//! A change of the box: how it is carried out ([`flow`]), and how it ended, in JSON ([`ChangeResult`])
//! and for people ([`text`]).

pub(crate) mod flow;
pub(crate) mod text;

use cli::say::exit::Exit;
use formats::device::ManagerUuid;
use serde::Serialize;

use crate::appliance::peers::LiveSet;
use crate::appliance::service::Service;
use crate::appliance::tunnel::{Tunnel, Waited};
use crate::candidate::error::DroppedPeer;
use crate::change::Context;
use crate::change::backup::{self, BackupId};
use crate::change::receipts::{Places, Receipts};
use crate::change::transaction::{Ended, FilesFrom};

/// One word for the end of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// A dry run.
    Planned,
    NothingToDo,
    Installed,
    RolledBack,
    /// Success was not proved, and the files of before are back.
    Restored,
    /// The files are in place; that they work is not proved.
    Unconfirmed,
}

impl Outcome {
    /// The word in JSON and in the log.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::NothingToDo => "nothing-to-do",
            Self::Installed => "installed",
            Self::RolledBack => "rolled-back",
            Self::Restored => "restored",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// The end of a change, in JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ChangeResult {
    /// `planned`, `nothing-to-do`, `installed`, `rolled-back`, `restored`, `unconfirmed`.
    pub outcome: Outcome,
    /// The backup that was made of what was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupId>,
    /// The reason it did not end well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// sftunnel before.
    pub sftunnel_before: Service,
    /// sftunnel's process after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sftunnel_pid: Option<u32>,
    /// From the first rename to the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renames_microseconds: Option<u64>,
    /// After a restore or a rollback: the tunnels that stay down on the old files, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stays_down: Vec<DroppedPeer>,
    /// The tunnels as last seen, when they were waited for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tunnels: Vec<Tunnel>,
    /// Time that they were waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnels_waited_seconds: Option<u64>,
    /// Other managers whose tunnels do not come back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedPeer>,
    /// Paths of the copies of receipts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receipts: Vec<String>,
    /// The receipts as text, with `--receipt-out -`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub receipt_texts: Vec<String>,
    /// An interrupted run: found (reported by `--dry-run`, `verify`) or finished first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted_run: Option<String>,
}

impl ChangeResult {
    pub(crate) fn new(outcome: Outcome, sftunnel_before: Service) -> Self {
        Self {
            outcome,
            backup: None,
            why: None,
            sftunnel_before,
            sftunnel_pid: None,
            renames_microseconds: None,
            stays_down: Vec::new(),
            tunnels: Vec::new(),
            tunnels_waited_seconds: None,
            dropped: Vec::new(),
            receipts: Vec::new(),
            receipt_texts: Vec::new(),
            interrupted_run: None,
        }
    }

    /// Records the end of a transaction.
    fn record(&mut self, ending: Ending) {
        self.outcome = ending.outcome();
        self.why = ending.why();
        self.stays_down = ending.stays_down;
        self.receipts = ending.receipts.copied;
        self.receipt_texts = ending.receipts.texts;
        let (backup, waited) = match ending.ended {
            Ended::Done { pid, backup, renames, waited, .. } => {
                self.sftunnel_pid = Some(pid);
                self.renames_microseconds = u64::try_from(renames.as_micros()).ok();
                (backup, waited)
            }
            Ended::Unconfirmed { backup, .. } => (backup, None),
            Ended::RolledBack { why, pid, backup, .. } => {
                self.sftunnel_pid = Some(pid);
                (backup, why.into_waited())
            }
        };
        self.backup = Some(backup);
        if let Some(waited) = waited {
            self.record_tunnels(waited);
        }
    }

    /// Records the tunnels as last seen.
    fn record_tunnels(&mut self, waited: Waited) {
        self.tunnels_waited_seconds = Some(waited.seconds);
        self.tunnels = waited.tunnels;
    }
}

/// The end of a transaction, and everything that followed from it.
struct Ending {
    ended: Ended,
    source: FilesFrom,
    /// After a way back, or a rollback.
    stays_down: Vec<DroppedPeer>,
    receipts: Carried,
}

/// The receipts of a transaction, as far as they could be carried to where they are to go.
#[derive(Default)]
struct Carried {
    /// Paths of the copies.
    copied: Vec<String>,
    /// The receipts as text.
    texts: Vec<String>,
    /// Reason why one is missing, and the paths on this box.
    missing: Option<(String, Vec<String>)>,
}

impl Ending {
    /// Copies the receipts, and looks at what the files that were put back are good for.
    /// `expected_down`: the tunnels that cannot come up on the files that were to be live.
    fn reach(
        context: Context<'_>,
        ended: Ended,
        source: FilesFrom,
        places: Places,
        expected_down: Vec<DroppedPeer>,
    ) -> Self {
        let (stays_down, receipts) = match &ended {
            Ended::Done { receipts, .. } => {
                (expected_down, Carried::copy(context, receipts, places))
            }
            Ended::Unconfirmed { .. } => (Vec::new(), Carried::default()),
            Ended::RolledBack { backup, receipts, .. } => {
                (stays_down(context, backup), Carried::copy(context, receipts, places))
            }
        };
        Self { ended, source, stays_down, receipts }
    }

    fn exit(&self) -> Exit {
        match self.outcome() {
            Outcome::Unconfirmed => Exit::Unconfirmed,
            Outcome::Restored => Exit::RolledBack,
            _ => Exit::Done,
        }
    }

    fn outcome(&self) -> Outcome {
        match (&self.ended, self.source) {
            (Ended::Unconfirmed { .. }, _) => Outcome::Unconfirmed,
            (Ended::RolledBack { .. }, _) => Outcome::Restored,
            (Ended::Done { .. }, _) if self.doubt().is_some() => Outcome::Unconfirmed,
            (Ended::Done { .. }, FilesFrom::Bundles) => Outcome::Installed,
            (Ended::Done { .. }, FilesFrom::Backup) => Outcome::RolledBack,
        }
    }

    fn why(&self) -> Option<String> {
        match &self.ended {
            Ended::Done { .. } => self.doubt(),
            Ended::Unconfirmed { why, .. } | Ended::RolledBack { why, .. } => Some(why.to_string()),
        }
    }

    /// A tunnel that is required and was not seen up, where sftunnel runs on the new files.
    fn doubt(&self) -> Option<String> {
        match &self.ended {
            Ended::Done { waited: Some(waited), .. } if !waited.all_up() => Some(waited.not_up()),
            _ => None,
        }
    }
}

impl Carried {
    fn copy(context: Context<'_>, receipts: &Receipts, places: Places) -> Self {
        let texts = places.texts(receipts);
        let (copied, problem) = places.copy(receipts);
        let problem = receipts.problem.clone().or(problem);
        let missing = problem.map(|why| (why, receipts.paths(context.state).collect()));
        Self { copied, texts, missing }
    }
}

/// The managers whose tunnels cannot come up on the files of a backup.
pub(crate) fn stays_down(context: Context<'_>, id: &BackupId) -> Vec<DroppedPeer> {
    let Ok(backup) = backup::open(context.state, id) else { return Vec::new() };
    let now = context.host.now();
    let down = |(manager, files): (ManagerUuid, LiveSet)| {
        files.usable_at(now).err().map(|why| DroppedPeer { manager, why })
    };
    backup.peers.into_iter().filter_map(down).collect()
}
