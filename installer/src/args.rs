//! The command line. Parsing only: nothing here looks at the box.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use console::unlock::OpenArgs;

/// Installs new sftunnel certificates on this device from a kit or bundle, as one transaction.
#[derive(Debug, Parser)]
#[command(
    name = "sftunnel-install",
    version = console::version::VERSION,
    max_term_width = 80,
    after_help = "Examples:
  sftunnel-install status                       what is installed, and for how long
  sftunnel-install install --dry-run /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-install install /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-install rollback                     put back what was there before

Exit codes: 0 done, 1 failed and nothing changed, 2 usage, 3 refused and nothing changed,
5 installed but sftunnel not confirmed, 6 rolled back, 7 a person is needed."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Print one JSON object on standard output, and prose on standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Take built-in paths and programs below DIR (an image, a test tree)
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
    /// Say only what went wrong
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Also say what is done step by step
    #[arg(long, short, global = true, action = ArgAction::SetTrue)]
    pub verbose: bool,
    /// Use this process manager tool in place of the box's own pmtool
    #[arg(long, global = true, value_name = "FILE")]
    pub pmtool: Option<PathBuf>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what is in each peer directory, sftunnel's state, backups and pinned signers
    #[command(
        after_help = "Examples:\n  sftunnel-install status\n  sftunnel-install status --json"
    )]
    Status,
    /// Show what a kit or bundle holds; judges nothing, works on any machine
    #[command(after_help = "Examples:
  sftunnel-install inspect /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-install inspect --identity site.key FTD-1_c8d5d5c6-87c9-11ef-a993-b9831565bc4e.tar.gz.age")]
    Inspect(InspectArgs),
    /// Check a kit or bundle against this box as an installation would; changes nothing
    #[command(after_help = "Examples:
  sftunnel-install verify /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-install verify --identity site.key --signer SHA256:... bundle.tar.gz.age
  sftunnel-install verify KIT --rehearse=10.0.0.1     would the manager take it?")]
    Verify(VerifyArgs),
    /// Back up, replace the three files, restart sftunnel, prove that it runs or put all back
    #[command(after_help = "Examples:
  sftunnel-install install --dry-run /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-install install /mnt/usb/sftunnel-kit-cdb123c8-1726805447
  sftunnel-install install --yes --passphrase-file pass.txt KIT-OF-FMC-1 KIT-OF-FMC-2
  sftunnel-install install --identity site.key -     (paste an armored bundle, then Ctrl-D)")]
    Install(InstallArgs),
    /// Restore a backup and restart sftunnel; can itself be rolled back
    #[command(after_help = "Examples:
  sftunnel-install rollback                     the state before the last change
  sftunnel-install rollback --to 3 --dry-run
  sftunnel-install rollback --receipt-out /mnt/usb")]
    Rollback(RollbackArgs),
    /// Finish a run that was interrupted: ends in all-old or all-new
    #[command(after_help = "Examples:\n  sftunnel-install recover")]
    Recover(RecoverArgs),
    /// Look after the backups that every change makes
    #[command(
        after_help = "Examples:\n  sftunnel-install backups list\n  sftunnel-install backups prune --keep 5"
    )]
    Backups {
        #[command(subcommand)]
        command: BackupsCommand,
    },
    /// Look after the signers that are pinned on this box
    #[command(after_help = "Examples:\n  sftunnel-install signers list")]
    Signers {
        #[command(subcommand)]
        command: SignersCommand,
    },
    /// Show the log of every run that could change something
    #[command(after_help = "Examples:\n  sftunnel-install log\n  sftunnel-install log --json")]
    Log,
}

/// Where bundles come from.
#[derive(Debug, Clone, Args)]
pub(crate) struct Sources {
    /// Kit folders or bundle files; '-' reads one bundle from standard input
    #[arg(required = true, value_name = "KIT|BUNDLE")]
    pub sources: Vec<PathBuf>,
    #[command(flatten)]
    pub open: OpenArgs,
}

/// `inspect`.
#[derive(Debug, Clone, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub sources: Sources,
}

/// What an installation accepts.
#[derive(Debug, Clone, Args)]
pub(crate) struct Judge {
    #[command(flatten)]
    pub sources: Sources,
    /// Accept this signer and no other: its fingerprint (SHA256:..., or the 64 hex digits in
    /// quotes) or a public key file
    #[arg(long, value_name = "SIGNER")]
    pub signer: Option<String>,
    /// Go on although the clock lies outside the certificates' validity, or behind the bundle
    #[arg(long)]
    pub accept_clock: bool,
    /// Go on although the CA in use is newer
    #[arg(long)]
    pub allow_older: bool,
    /// Try the new files in a TLS handshake with the manager, before anything is replaced. HOST may
    /// end in :PORT (8305), and is found by itself only while the tunnel is up
    #[arg(long, value_name = "HOST", num_args = 0..=1, default_missing_value = "", value_parser = rehearsal_host)]
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
pub(crate) struct Change {
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
    pub change: Change,
    #[command(flatten)]
    pub receipt_out: ReceiptOut,
    #[command(flatten)]
    pub tunnel: Tunnel,
}

/// Whether the tunnel counts.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Tunnel {
    /// After the restart, wait so long for the tunnel and say whether it came up
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub wait_connected: Option<u64>,
    /// Put the old files back (exit 6) when it was not seen up in that time
    #[arg(long, requires = "wait_connected", conflicts_with = "no_rollback")]
    pub require_connected: bool,
}

/// `rollback`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RollbackArgs {
    /// The backup to restore, by its name or number (default: the newest)
    #[arg(long, value_name = "ID")]
    pub to: Option<String>,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub receipt_out: ReceiptOut,
}

/// `recover`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RecoverArgs {
    #[command(flatten)]
    pub wait: Wait,
}

/// `backups …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupsCommand {
    /// List them, oldest first
    #[command(after_help = "Examples:\n  sftunnel-install backups list --json")]
    List,
    /// Compare every byte of them with its checksums
    #[command(
        after_help = "Examples:\n  sftunnel-install backups verify\n  sftunnel-install backups verify 3"
    )]
    Verify {
        /// Only this one, by its name or number
        id: Option<String>,
    },
    /// Remove the oldest
    #[command(after_help = "Examples:\n  sftunnel-install backups prune --keep 5")]
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
    #[command(after_help = "Examples:\n  sftunnel-install signers list --json")]
    List,
    /// Pin a key for a manager, before its first bundle arrives
    #[command(after_help = "Examples:
  sftunnel-install signers add --manager cdb123c8-4347-11ef-aca1-f3aa241412a1 \\
      signing-key.pub.pem
  sftunnel-install signers add --manager cdb123c8-4347-11ef-aca1-f3aa241412a1 \\
      'fe12 0a5b ...'                      the 64 digits that the phone told")]
    Add {
        /// The manager's UUID
        #[arg(long, value_name = "UUID")]
        manager: String,
        /// Its fingerprint (SHA256:..., or the 64 hex digits in quotes), or a public key file
        key: String,
    },
    /// Forget a key
    #[command(after_help = "Examples:\n  sftunnel-install signers remove SHA256:...")]
    Remove {
        /// Only for this manager
        #[arg(long, value_name = "UUID")]
        manager: Option<String>,
        /// Its fingerprint (SHA256:..., or the 64 hex digits in quotes)
        fingerprint: String,
    },
}
