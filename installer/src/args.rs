//! The command line. Parsing only: nothing here looks at the box.

mod examples;
pub(crate) mod manual;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use cli::ask::unlock::OpenArgs;
use cli::help::completion::CompletionArgs;
use cli::help::manual::ManArgs;
use cli::say::monitoring::Thresholds;
use cli::say::terminal::TalkArgs;
use cli::support::SupportArgs;

use self::examples::*;

/// Installs new sftunnel certificates on this device, as one transaction.
///
/// Opens this box's own bundle in a kit, checks it, shows a plan, asks, backs up, replaces the
/// three files, restarts sftunnel, and proves that it came back. If it does not come back, the old
/// files are put back.
#[derive(Debug, Parser)]
#[command(
    name = "sftunnel-install",
    version = cli::say::version::VERSION,
    max_term_width = 80,
    after_long_help = EXAMPLES
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// The flags that every command has.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flags of every command")]
pub(crate) struct GlobalArgs {
    #[command(flatten)]
    pub talk: TalkArgs,
    /// Work on the tree below DIR.
    ///
    /// Built-in paths and the box's programs are taken below DIR: an image, a test tree.
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Use this pmtool, not the box's own.
    #[arg(long, global = true, value_name = "FILE")]
    pub pmtool: Option<PathBuf>,
    /// sftunnel's port, if it is not 8305.
    ///
    /// Needed only where /etc/sf/sftunnel.conf does not name it.
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Time limit for the tunnel status.
    ///
    /// The box's own status program is ended after this time.
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = STATUS_TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub status_timeout: u64,
}

/// Seconds; `sftunnel_status.pl` asks peers that are down several times.
const STATUS_TIMEOUT: u64 = 15;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the certificates, sftunnel, tunnels, and what to do next.
    ///
    /// Shows each manager's peer directory, how long its files last, the state of sftunnel, which
    /// tunnels are up, backups, pinned signers, an interrupted run, and the next steps. Changes
    /// nothing.
    #[command(
        after_long_help = STATUS_EXAMPLES
    )]
    Status(StatusArgs),
    /// Show what a kit or bundle holds; works on any machine.
    ///
    /// Shows, and leaves the judgement to `verify`.
    #[command(after_long_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Check a kit or bundle against this box; changes nothing.
    ///
    /// Makes every check that `install` makes before it changes something.
    #[command(after_long_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Install the new certificates and restart sftunnel.
    ///
    /// Backs up, replaces the three files as one step, restarts sftunnel, proves that it runs, or
    /// puts all back.
    #[command(after_long_help = INSTALL_EXAMPLES)]
    Install(InstallArgs),
    /// Restore a backup and restart sftunnel.
    ///
    /// Makes a backup itself first, so it can be rolled back too.
    #[command(after_long_help = ROLLBACK_EXAMPLES)]
    Rollback(RollbackArgs),
    /// Finish a run that was interrupted.
    ///
    /// The three files are then all old or all new, and the message says which. Other commands that
    /// change the box do this first by themselves.
    #[command(after_long_help = RECOVER_EXAMPLES)]
    Recover(RecoverArgs),
    /// List, verify or remove backups.
    #[command(
        after_long_help = BACKUPS_EXAMPLES
    )]
    Backups {
        #[command(subcommand)]
        command: BackupsCommand,
    },
    /// List, pin or forget signers.
    #[command(after_long_help = SIGNERS_EXAMPLES)]
    Signers {
        #[command(subcommand)]
        command: SignersCommand,
    },
    /// Show the runs on this box, and how they ended.
    #[command(after_long_help = LOG_EXAMPLES)]
    Log,
    /// Write one file for the colleague on the phone.
    ///
    /// Versions, clock, status, logs, lists of files and free space, and no key and no passphrase.
    /// Works without root for what can be read, and while another run is under way. Changes nothing.
    #[command(after_long_help = SUPPORT_EXAMPLES)]
    Support(SupportArgs),
    /// Print the manual page of a command.
    ///
    /// At a terminal as text, in a pipe as the source for `man -l -`.
    #[command(after_long_help = MAN_EXAMPLES)]
    Man(ManArgs),
    /// Print the completion for bash, zsh or fish.
    ///
    /// The shell reads it, and then completes commands and flags with the Tab key.
    #[command(after_long_help = COMPLETION_EXAMPLES)]
    Completion(CompletionArgs),
}

impl Command {
    /// True when each step is to be a line of JSON.
    pub(crate) fn has_json_lines(&self) -> bool {
        match self {
            Self::Install(args) => args.change.events.json_lines,
            Self::Rollback(args) => args.change.events.json_lines,
            Self::Recover(args) => args.events.json_lines,
            _ => false,
        }
    }

    /// Takes the kit of `--kit` where no source is named.
    pub(crate) fn with_default_kit(mut self) -> Self {
        let sources = match &mut self {
            Self::Inspect(args) => &mut args.sources,
            Self::Verify(args) => &mut args.judge.sources,
            Self::Install(args) => &mut args.judge.sources,
            _ => return self,
        };
        if sources.sources.is_empty() {
            sources.sources.extend(sources.kit.take());
        }
        self
    }
}

/// `status`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    /// When it is urgent.
    #[command(flatten)]
    pub thresholds: Thresholds,
    /// Write the figures for Prometheus too.
    ///
    /// A text file for the node exporter; an older one is replaced.
    #[arg(long, value_name = "FILE")]
    pub prometheus: Option<PathBuf>,
    /// Be a monitoring plugin.
    ///
    /// The first line holds the state and performance data. Exit codes: 0 OK, 1 WARNING, 2
    /// CRITICAL, 3 UNKNOWN.
    #[arg(long)]
    pub plugin: bool,
}

/// Where bundles come from.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sources {
    /// Kit folders or bundle files; '-' is standard input.
    #[arg(required_unless_present = "kit", value_name = "KIT|BUNDLE")]
    pub sources: Vec<PathBuf>,
    /// Take this kit when none is named.
    ///
    /// install.sh gives the kit that it lies in.
    #[arg(long, value_name = "DIR")]
    pub kit: Option<PathBuf>,
    #[command(flatten, next_help_heading = "What opens the bundles")]
    pub open: OpenArgs,
}

/// `inspect`.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub sources: Sources,
}

const ACCEPTED: &str = "What is accepted";

/// What an installation accepts.
#[derive(Debug, Clone, Args)]
pub(crate) struct Judge {
    #[command(flatten)]
    pub sources: Sources,
    /// Accept this signer and no other.
    ///
    /// Its fingerprint (SHA256:..., or the 64 hex digits in quotes), or a public key file.
    #[arg(long, value_name = "SIGNER", help_heading = ACCEPTED)]
    pub signer: Option<String>,
    /// Go on although the clock does not fit.
    ///
    /// The clock lies outside the certificates' validity, or is behind the bundle.
    #[arg(long, help_heading = ACCEPTED)]
    pub accept_clock: bool,
    /// Go on although newer files are in use.
    ///
    /// Or although newer ones were installed before.
    #[arg(long, help_heading = ACCEPTED)]
    pub allow_older: bool,
    /// Try the new files with the manager first.
    ///
    /// Makes a TLS handshake with the manager before anything is replaced. HOST may end in :PORT
    /// (else --port, sftunnel.conf, 8305). Without HOST the address is found only while the tunnel
    /// is up.
    #[arg(long, value_name = "HOST", num_args = 0..=1, default_missing_value = "", value_parser = rehearsal_host, help_heading = ACCEPTED)]
    pub rehearse: Vec<String>,
}

/// A kit that stands behind `--rehearse` is not its host.
fn rehearsal_host(text: &str) -> Result<String, String> {
    if text.contains('/') {
        return Err("this is a path: put --rehearse behind it, or write --rehearse=HOST".to_owned());
    }
    Ok(text.to_owned())
}

/// `verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub judge: Judge,
}

/// How a change is carried out.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "How it is done")]
pub(crate) struct ChangeArgs {
    /// Show the plan and stop.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask whether to go on.
    ///
    /// Does not confirm a signer: use --signer for that.
    #[arg(long, short)]
    pub yes: bool,
    /// With --yes: let another manager's tunnel drop.
    ///
    /// The restart drops the tunnels of every manager. One whose files have expired does not come
    /// back.
    #[arg(long)]
    pub accept_drop: bool,
    /// Do not look for the tunnel afterwards.
    ///
    /// Without this flag the tunnel is looked for after the change, for up to 30 seconds. What is
    /// seen does not change the exit code. --wait-connected goes before this flag.
    #[arg(long)]
    pub no_wait: bool,
    /// Keep the new files if sftunnel stays down.
    ///
    /// Exit code 5 then. Without this flag the old files are put back.
    #[arg(long)]
    pub no_rollback: bool,
    #[command(flatten)]
    pub events: Events,
    #[command(flatten)]
    pub wait: Wait,
}

/// Output for a program that follows a change.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Events {
    /// Print one line of JSON for each step.
    ///
    /// As it happens, on standard output; the last line is the object of --json. Prose goes to
    /// standard error.
    #[arg(long, conflicts_with = "json")]
    pub json_lines: bool,
}

/// Seconds; long enough to see a daemon that dies of its configuration.
const SETTLE: u64 = 5;
/// Seconds; pmtool's own stop limit is 300 (docs/facts.md).
const RESTART_TIMEOUT: u64 = 330;

/// How long to wait for sftunnel.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "How long sftunnel may take")]
pub(crate) struct Wait {
    /// How long sftunnel must stay up.
    ///
    /// After this time it counts as running.
    #[arg(long, value_name = "SECONDS", default_value_t = SETTLE, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub settle: u64,
    /// How long the restart may take.
    ///
    /// pmtool's own stop limit is 300. Once sftunnel is seen stopped and the restart command has
    /// ended, it has 30 seconds to start in.
    #[arg(long, value_name = "SECONDS", default_value_t = RESTART_TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub restart_timeout: u64,
}

impl Default for Wait {
    fn default() -> Self {
        Self { settle: SETTLE, restart_timeout: RESTART_TIMEOUT }
    }
}

/// Where receipts are copied to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Receipts")]
pub(crate) struct ReceiptOut {
    /// Copy the receipt to this folder too.
    ///
    /// Such as a stick; '-' prints it as text, to be copied from a console. A kit keeps it in its
    /// receipts/ in any case.
    #[arg(long = "receipt-out", value_name = "DIR")]
    pub folders: Vec<PathBuf>,
}

/// `install`.
#[derive(Debug, Clone, Args)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    pub judge: Judge,
    #[command(flatten)]
    pub change: ChangeArgs,
    #[command(flatten)]
    pub receipt_out: ReceiptOut,
    #[command(flatten)]
    pub tunnel: TunnelArgs,
}

/// Whether the tunnel counts.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "The tunnel")]
pub(crate) struct TunnelArgs {
    /// Wait so long for the tunnel.
    ///
    /// After the change, in place of 30 seconds; then says whether the tunnel came up.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub wait_connected: Option<u64>,
    /// Put the old files back if it stays down.
    ///
    /// Exit code 6. Where the state of the tunnel cannot be told, the new files stay (exit code 5).
    #[arg(long, requires = "wait_connected", conflicts_with = "no_rollback")]
    pub require_connected: bool,
}

/// `rollback`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RollbackArgs {
    /// The backup to restore [default: the newest].
    ///
    /// By its name or number, as `backups list` shows them.
    #[arg(long, value_name = "ID")]
    pub to: Option<String>,
    /// Put back files of another device.
    ///
    /// Only for a box that was given another UUID on purpose.
    #[arg(long)]
    pub accept_device: bool,
    #[command(flatten)]
    pub change: ChangeArgs,
    #[command(flatten)]
    pub receipt_out: ReceiptOut,
}

/// `recover`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RecoverArgs {
    /// Finish a run of another device.
    ///
    /// Only for a box that was given another UUID on purpose.
    #[arg(long)]
    pub accept_device: bool,
    #[command(flatten)]
    pub events: Events,
    #[command(flatten)]
    pub wait: Wait,
}

/// `backups …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupsCommand {
    /// List them, oldest first
    #[command(after_long_help = BACKUPS_LIST_EXAMPLES)]
    List,
    /// Compare every byte of them with its checksums
    #[command(
        after_long_help = BACKUPS_VERIFY_EXAMPLES
    )]
    Verify {
        /// Only this one, by its name or number
        id: Option<String>,
    },
    /// Remove the oldest
    #[command(after_long_help = BACKUPS_PRUNE_EXAMPLES)]
    Prune {
        /// How many of the newest stay
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
        keep: u16,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// `signers …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SignersCommand {
    /// List them by manager
    #[command(after_long_help = SIGNERS_LIST_EXAMPLES)]
    List,
    /// Pin a key for a manager, before its first bundle arrives
    #[command(after_long_help = SIGNERS_ADD_EXAMPLES)]
    Add {
        /// The manager's UUID
        #[arg(long, value_name = "UUID")]
        manager: String,
        /// Its fingerprint, or a public key file.
        ///
        /// The fingerprint is SHA256:..., or the 64 hex digits in quotes.
        key: String,
    },
    /// Forget a key
    #[command(after_long_help = SIGNERS_REMOVE_EXAMPLES)]
    Remove {
        /// Only for this manager
        #[arg(long, value_name = "UUID")]
        manager: Option<String>,
        /// Its fingerprint.
        ///
        /// SHA256:..., or the 64 hex digits in quotes.
        fingerprint: String,
    },
}
