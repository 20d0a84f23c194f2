//! The command line. Parsing only: nothing here looks at the box.

mod examples;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use cli::ask::unlock::OpenArgs;
use cli::say::monitoring::Thresholds;
use cli::say::terminal::TalkArgs;

use self::examples::*;

/// Installs new sftunnel certificates on this device from a kit or bundle, as one transaction.
#[derive(Debug, Parser)]
#[command(
    name = "sftunnel-install",
    version = cli::say::version::VERSION,
    max_term_width = 80,
    after_help = EXAMPLES
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
    /// Take built-in paths and programs below DIR (an image, a test tree)
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Use this process manager tool in place of the box's own pmtool
    #[arg(long, global = true, value_name = "FILE")]
    pub pmtool: Option<PathBuf>,
    /// sftunnel's port, where it is neither 8305 nor in /etc/sf/sftunnel.conf
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// How long the program that shows the tunnels may take
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = STATUS_TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub status_timeout: u64,
}

/// Seconds; `sftunnel_status.pl` asks peers that are down several times.
const STATUS_TIMEOUT: u64 = 15;

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what is in each peer directory, sftunnel's state, backups and pinned signers
    #[command(
        after_help = STATUS_EXAMPLES
    )]
    Status(StatusArgs),
    /// Show what a kit or bundle holds; judges nothing, works on any machine
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Check a kit or bundle against this box as an installation would; changes nothing
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Back up, replace the three files, restart sftunnel, prove that it runs or put all back
    #[command(after_help = INSTALL_EXAMPLES)]
    Install(InstallArgs),
    /// Restore a backup and restart sftunnel; can itself be rolled back
    #[command(after_help = ROLLBACK_EXAMPLES)]
    Rollback(RollbackArgs),
    /// Finish a run that was interrupted: ends in all-old or all-new
    #[command(after_help = RECOVER_EXAMPLES)]
    Recover(RecoverArgs),
    /// Look after the backups that every change makes
    #[command(
        after_help = BACKUPS_EXAMPLES
    )]
    Backups {
        #[command(subcommand)]
        command: BackupsCommand,
    },
    /// Look after the signers that are pinned on this box
    #[command(after_help = SIGNERS_EXAMPLES)]
    Signers {
        #[command(subcommand)]
        command: SignersCommand,
    },
    /// Show the log of every run that could change something
    #[command(after_help = LOG_EXAMPLES)]
    Log,
}

impl Command {
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
    /// Also write the figures for Prometheus' node exporter, in place of an older file
    #[arg(long, value_name = "FILE")]
    pub prometheus: Option<PathBuf>,
    /// Be a monitoring plugin: one line with performance data first, and its exit codes
    #[arg(long)]
    pub plugin: bool,
}

/// Where bundles come from.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sources {
    /// Kit folders or bundle files; '-' reads one bundle from standard input
    #[arg(required_unless_present = "kit", value_name = "KIT|BUNDLE")]
    pub sources: Vec<PathBuf>,
    /// Take this kit when none is named; install.sh gives the one that it lies in
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
    /// Accept this signer and no other: its fingerprint (SHA256:..., or the 64 hex digits in
    /// quotes) or a public key file
    #[arg(long, value_name = "SIGNER", help_heading = ACCEPTED)]
    pub signer: Option<String>,
    /// Go on although the clock lies outside the certificates' validity, or behind the bundle
    #[arg(long, help_heading = ACCEPTED)]
    pub accept_clock: bool,
    /// Go on although what is in use, or was installed before, is newer
    #[arg(long, help_heading = ACCEPTED)]
    pub allow_older: bool,
    /// Try the new files in a TLS handshake with the manager, before anything is replaced. HOST may
    /// end in :PORT (else --port, sftunnel.conf, 8305), and is found by itself only while the tunnel is up
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
    /// Show the plan and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask whether to go on; confirms no signer
    #[arg(long, short)]
    pub yes: bool,
    /// With --yes: go on although another manager's tunnel will not come back
    #[arg(long)]
    pub accept_drop: bool,
    /// Leave the new files in place when sftunnel does not come back (exit 5)
    #[arg(long)]
    pub no_rollback: bool,
    #[command(flatten)]
    pub wait: Wait,
}

/// Seconds; long enough to see a daemon that dies of its configuration.
const SETTLE: u64 = 5;
/// Seconds; pmtool's own stop limit is 300 (docs/facts.md).
const RESTART_TIMEOUT: u64 = 330;

/// How long to wait for sftunnel.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "How long sftunnel may take")]
pub(crate) struct Wait {
    /// How long sftunnel must stay up to count as running
    #[arg(long, value_name = "SECONDS", default_value_t = SETTLE, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub settle: u64,
    /// How long the restart may take; pmtool's own stop limit is 300. Once sftunnel is seen stopped
    /// and the restart command has ended, it has 30 to start in
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
    /// Copy the receipt to this folder (a stick); a kit keeps it in its receipts/
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
    /// After the restart, wait so long for the tunnel and say whether it came up
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub wait_connected: Option<u64>,
    /// Put the old files back (exit 6) when it is down then; where nobody can tell, they stay
    /// (exit 5)
    #[arg(long, requires = "wait_connected", conflicts_with = "no_rollback")]
    pub require_connected: bool,
}

/// `rollback`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RollbackArgs {
    /// The backup to restore, by its name or number (default: the newest)
    #[arg(long, value_name = "ID")]
    pub to: Option<String>,
    /// Put back what names another device: for a box that was given another UUID on purpose
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
    /// Finish a run that names another device: for a box that was given another UUID on purpose
    #[arg(long)]
    pub accept_device: bool,
    #[command(flatten)]
    pub wait: Wait,
}

/// `backups …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupsCommand {
    /// List them, oldest first
    #[command(after_help = BACKUPS_LIST_EXAMPLES)]
    List,
    /// Compare every byte of them with its checksums
    #[command(
        after_help = BACKUPS_VERIFY_EXAMPLES
    )]
    Verify {
        /// Only this one, by its name or number
        id: Option<String>,
    },
    /// Remove the oldest
    #[command(after_help = BACKUPS_PRUNE_EXAMPLES)]
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
    #[command(after_help = SIGNERS_LIST_EXAMPLES)]
    List,
    /// Pin a key for a manager, before its first bundle arrives
    #[command(after_help = SIGNERS_ADD_EXAMPLES)]
    Add {
        /// The manager's UUID
        #[arg(long, value_name = "UUID")]
        manager: String,
        /// Its fingerprint (SHA256:..., or the 64 hex digits in quotes), or a public key file
        key: String,
    },
    /// Forget a key
    #[command(after_help = SIGNERS_REMOVE_EXAMPLES)]
    Remove {
        /// Only for this manager
        #[arg(long, value_name = "UUID")]
        manager: Option<String>,
        /// Its fingerprint (SHA256:..., or the 64 hex digits in quotes)
        fingerprint: String,
    },
}
