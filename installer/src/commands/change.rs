//! How a change of the box ended, in JSON and for a person.

use cli::say::exit::Exit;
use cli::say::page::wrap;
use formats::device::ManagerUuid;
use formats::text::printable;
use serde::Serialize;

use crate::appliance::peers::LiveSet;
use crate::appliance::service::Service;
use crate::appliance::tunnel::{Tunnel, Waited};
use crate::candidate::checks::DroppedPeer;
use crate::change::Context;
use crate::change::backup::{self, BackupId};
use crate::change::proof::Unproved;
use crate::change::receipts::{Places, Receipts};
use crate::change::transaction::{Ended, Source};

/// The end of a change, in JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ChangeResult {
    /// `planned`, `nothing-to-do`, `installed`, `rolled-back`, `restored`, `unconfirmed`.
    pub outcome: &'static str,
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
    /// After a restore: the tunnels that stay down on the old files, and why.
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
    /// An interrupted run: found (reported by `--dry-run`, `verify`) or finished first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted_run: Option<String>,
}

impl ChangeResult {
    pub(crate) fn new(outcome: &'static str, sftunnel_before: Service) -> Self {
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
            interrupted_run: None,
        }
    }

    /// Fills in how a transaction ended; gives exit code and a sentence.
    pub(crate) fn ended(
        &mut self,
        context: Context<'_>,
        ended: Ended,
        source: Source,
        places: Places,
    ) -> (Exit, String) {
        match ended {
            Ended::Done { pid, backup, renames, receipts, waited } => {
                self.outcome = match source {
                    Source::Bundles => "installed",
                    Source::Backup => "rolled-back",
                };
                let tunnels = waited.map(|waited| self.tunnels_text(waited)).unwrap_or_default();
                self.sftunnel_pid = Some(pid);
                self.renames_microseconds = u64::try_from(renames.as_micros()).ok();
                let text = format!(
                    "Done: sftunnel runs on these files with PID {pid}.\nWhat was there before is backup {backup}.\n{tunnels}{}",
                    self.receipts_text(context, &receipts, places)
                );
                self.backup = Some(backup);
                (Exit::Done, text)
            }
            Ended::Unconfirmed { why, backup } => {
                self.outcome = "unconfirmed";
                let happened = match source {
                    Source::Bundles => "Installed",
                    Source::Backup => "Rolled back",
                };
                let happened = format!("{happened}, but sftunnel is not confirmed running: {why}");
                let next = format!(
                    "look at /ngfw/var/log/messages; `sftunnel-install rollback --to {backup}` puts the files of before back"
                );
                let text = wrap("", 2, &happened) + &wrap("  next: ", 8, &next);
                (self.why, self.backup) = (Some(why.to_string()), Some(backup));
                (Exit::Unconfirmed, text)
            }
            Ended::RolledBack { why, pid, backup, receipts } => {
                self.outcome = "restored";
                self.sftunnel_pid = Some(pid);
                self.stays_down = stays_down(context, &backup);
                let mut text = wrap("Rolled back: ", 2, &why.to_string());
                text.push_str(&format!(
                    "The files of before are back, sftunnel runs on them with PID {pid}.\n"
                ));
                text.push_str(&stays_down_text(&self.stays_down));
                let next = match &why {
                    Unproved::NotConnected(_) => {
                        "look at /ngfw/var/log/messages for why the tunnel did not come up"
                    }
                    _ => "look at /ngfw/var/log/messages for why sftunnel did not stay up",
                };
                text.push_str(&wrap("  next: ", 8, next));
                text.push_str(&self.receipts_text(context, &receipts, places));
                (self.why, self.backup) = (Some(why.to_string()), Some(backup));
                if let Unproved::NotConnected(waited) = why {
                    self.tunnels_text(waited);
                }
                (Exit::RolledBack, text)
            }
        }
    }

    /// Keeps what was seen of the tunnels, and says it.
    pub(crate) fn tunnels_text(&mut self, waited: Waited) -> String {
        let tunnels = waited.tunnels.iter();
        let text = tunnels
            .map(|tunnel| {
                let line = format!("to manager {}: {tunnel}", tunnel.manager);
                wrap("Tunnel    ", 10, &line)
            })
            .collect::<String>();
        let text = format!("{text}          (waited {} s)\n", waited.seconds);
        self.tunnels_waited_seconds = Some(waited.seconds);
        self.tunnels = waited.tunnels;
        text
    }

    /// Copies the receipts and says where they are.
    fn receipts_text(
        &mut self,
        context: Context<'_>,
        receipts: &Receipts,
        places: Places,
    ) -> String {
        let (written, problem) = places.copy(receipts);
        let mut text: String = written
            .iter()
            .map(|path| wrap("Receipt   ", 10, &printable(path).to_string()))
            .collect();
        if let Some(problem) = receipts.problem.as_ref().or(problem.as_ref()) {
            text.push_str(&wrap(
                "Note: ",
                2,
                &format!("no receipt could be written there: {}", printable(problem)),
            ));
            text.push_str(&left_here(&receipts.paths(context.state).collect::<Vec<_>>()));
        }
        self.receipts = written;
        text
    }
}

/// Receipts that nothing carries to the manager yet.
pub(crate) fn left_here(paths: &[String]) -> String {
    let lines = paths.iter().map(|path| {
        let line = format!("{}, on this box: copy it to the stick by hand", printable(path));
        wrap("Receipt   ", 10, &line)
    });
    lines.collect()
}

/// The managers whose tunnels cannot come up on the files of a backup, and why.
pub(crate) fn stays_down(context: Context<'_>, id: &BackupId) -> Vec<DroppedPeer> {
    let Ok(backup) = backup::open(context.state, id) else { return Vec::new() };
    let now = context.host.now();
    let down = |(manager, files): (ManagerUuid, LiveSet)| {
        files.usable_at(now).err().map(|why| DroppedPeer { manager, why })
    };
    backup.peers.into_iter().filter_map(down).collect()
}

pub(crate) fn stays_down_text(peers: &[DroppedPeer]) -> String {
    let line = |peer: &DroppedPeer| {
        let why = printable(&peer.why);
        wrap("", 2, &format!("The tunnel to manager {} stays down: {why}", peer.manager))
    };
    peers.iter().map(line).collect()
}
