//! The command line: what can be said, and nothing of what it does.

mod deliver;
mod examples;
mod keygen;
pub mod manual;
mod openers;
mod paste;
mod receipts;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use cli::ask::unlock::OpenArgs;
use cli::help::completion::CompletionArgs;
use cli::help::manual::ManArgs;
use cli::say::monitoring::Thresholds;
use cli::say::terminal::TalkArgs;
use cli::support::SupportArgs;
use formats::device::{DeviceName, DeviceUuid, NameError, UuidError};
use formats::timestamp::Timestamp;

pub use self::deliver::DeliverArgs;
use self::examples::*;
pub use self::keygen::{IdentityArgs, KeyKind, KeygenArgs, SignerArgs};
pub use self::openers::{NewPassphraseArgs, PassphraseArgs, RecipientArgs};
pub use self::paste::{PasteArgs, PasteKitArgs, PastePassphraseArgs};
pub use self::receipts::ReceiptsArgs;

/// Makes kits of sealed sftunnel certificates for devices that the manager cannot reach.
///
/// Reads FAILED_PUSH on the FMC, checks the new files of each device, and writes a kit: a folder
/// with one sealed bundle for each device, and the installer. Carry it to the devices on a stick or
/// through a console.
#[derive(Debug, Parser)]
#[command(name = "sftunnel-bundle", version = cli::say::version::VERSION, after_long_help = EXAMPLES)]
#[command(max_term_width = 80)]
pub struct Cli {
    /// On every command.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// Which one.
    #[command(subcommand)]
    pub command: Command,
}

/// The flags that every command has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Flags of every command")]
pub struct GlobalArgs {
    /// How to talk.
    #[command(flatten)]
    pub talk: TalkArgs,
    /// Work on the tree below DIR.
    ///
    /// Built-in paths, and paths read from FAILED_PUSH, are taken below DIR: an image, a test tree.
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how long the certificates last, and what to do next.
    ///
    /// Looks at the FMC's CA, the devices, the batch that generate_certs.pl made, and the tunnels.
    /// Changes nothing.
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Show what a kit would hold; writes nothing.
    ///
    /// Shows the devices, what is refused and why, and who could open the kit.
    #[command(after_long_help = PLAN_EXAMPLES)]
    Plan(Box<BuildArgs>),
    /// Make a kit.
    ///
    /// An existing kit stays as it is, unless --force is given.
    #[command(after_long_help = BUILD_EXAMPLES)]
    Build(Box<BuildArgs>),
    /// Print a text to be pasted at a device.
    ///
    /// It installs that device's certificates where it is pasted.
    /// For a box with a console and nothing of ours: it needs a shell and its own openssl. The
    /// text is sealed under a passphrase that is made, or taken from another text.
    #[command(after_long_help = PASTE_EXAMPLES)]
    Paste(Box<PasteArgs>),
    /// Show what a kit or bundle holds.
    ///
    /// Shows, and leaves the judgement to `verify`.
    #[command(after_long_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Check a kit or bundle, and who signed it.
    ///
    /// Checks the checksums, the index and its signature; with something that opens them, every
    /// bundle as well.
    #[command(after_long_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Seal a kit or bundle anew for the next team.
    ///
    /// The signed content stays the same, byte for byte.
    #[command(after_long_help = HANDOFF_EXAMPLES)]
    Handoff(Box<HandoffArgs>),
    /// Show which devices are done, by their receipts.
    #[command(after_long_help = RECEIPTS_EXAMPLES)]
    Receipts(ReceiptsArgs),
    /// Install a kit's bundles on devices that a terminal reaches.
    ///
    /// Logs in to each device with ssh (or another program that gives a terminal), becomes root,
    /// brings installer and bundle over, installs, and brings the receipt home.
    #[command(after_long_help = DELIVER_EXAMPLES)]
    Deliver(Box<DeliverArgs>),
    /// Make a key.
    #[command(after_long_help = KEYGEN_EXAMPLES)]
    Keygen(KeygenArgs),
    /// Write one file for the colleague on the phone.
    ///
    /// Versions, clock, `check`, tunnels, FAILED_PUSH, logs, lists of files and free space, and no
    /// key and no passphrase. Works without root for what can be read. Changes nothing.
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
    /// The word for it, also in the JSON's `schema`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Plan(_) => "plan",
            Self::Build(args) if args.kit.dry_run => "plan",
            Self::Build(_) => "build",
            Self::Paste(_) => "paste",
            Self::Inspect(_) => "inspect",
            Self::Verify(_) => "verify",
            Self::Handoff(_) => "handoff",
            Self::Receipts(_) => "receipts",
            Self::Deliver(_) => "deliver",
            Self::Keygen(_) => "keygen",
            Self::Support(_) => "support",
            Self::Man(_) => "man",
            Self::Completion(_) => "completion",
        }
    }
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// When it is urgent.
    #[command(flatten)]
    pub thresholds: Thresholds,
    /// Write the figures for Prometheus too.
    ///
    /// A text file for the node exporter; an older one is replaced.
    #[arg(long, value_name = "FILE")]
    pub prometheus: Option<PathBuf>,
    /// Write a page too: the fleet at a glance.
    ///
    /// An older one is replaced.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Be a monitoring plugin.
    ///
    /// The first line holds the state and performance data. The exit codes are the same without it.
    #[arg(long)]
    pub plugin: bool,
    /// Receipts, or kits and folders with them.
    ///
    /// Devices that they show to be done count as reached. May be repeated.
    #[arg(long, value_name = "KIT|RECEIPT|DIR")]
    pub receipts: Vec<PathBuf>,
    /// Which tunnels are up.
    #[command(flatten)]
    pub status: StatusArgs,
}

/// Where it is seen which tunnels are up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which tunnels are up")]
pub struct StatusArgs {
    /// Read saved output of sftunnel_status.pl.
    ///
    /// The program is then not run.
    #[arg(long, value_name = "FILE", group = "status_source")]
    pub status_file: Option<PathBuf>,
    /// Run this in place of sftunnel_status.pl.
    ///
    /// [default: /usr/local/sf/bin/sftunnel_status.pl, where there is one]
    #[arg(long, value_name = "FILE", group = "status_source")]
    pub status_program: Option<PathBuf>,
    /// Do not look which tunnels are up.
    #[arg(long, group = "status_source")]
    pub no_status_program: bool,
    /// Time limit for it.
    ///
    /// The program is ended after this time.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub status_timeout: u64,
}

/// `build`, and `plan`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Which devices.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Who may open all of them, or some.
    #[command(flatten)]
    pub recipients: RecipientArgs,
    /// Or a passphrase.
    #[command(flatten)]
    pub passphrase: PassphraseArgs,
    /// What comes of it.
    #[command(flatten)]
    pub kit: KitArgs,
}

/// Where the devices come from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which devices")]
pub struct SourceArgs {
    /// FAILED_PUSH to read [default: the newest].
    ///
    /// The newest /var/tmp/certs/*/FAILED_PUSH. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub failed_push: Vec<PathBuf>,
    /// Without a list: this device's own pair.
    ///
    /// In place of a list: the pair that lies in this device's folder on the manager
    /// (certs_pushed/, else the folder itself). May be repeated.
    #[arg(long, value_name = "UUID", group = "without_list", conflicts_with = "failed_push")]
    pub peer: Vec<DeviceUuid>,
    /// Without a list: every device's own pair.
    ///
    /// For every device that has a pair there under the CA in use.
    #[arg(long, group = "without_list", conflicts_with_all = ["failed_push", "peer"])]
    pub all_peers: bool,
    /// Name a device of --peer or --all-peers.
    ///
    /// May be repeated.
    #[arg(long, value_name = "UUID=NAME", requires = "without_list")]
    pub name: Vec<PeerName>,
    /// Only this device.
    ///
    /// Its name, its UUID, the first 4 or more characters of that, a pattern ('BSNS-*'), or @FILE
    /// with one on each line. May be repeated.
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// Go on although there is a newer batch.
    ///
    /// A newer batch folder means a newer CA.
    #[arg(long)]
    pub accept_stale: bool,
    /// Go on although the CA names another UUID.
    ///
    /// The CA's name is not the manager's UUID.
    #[arg(long)]
    pub accept_subject: bool,
    /// Go on although the clock does not fit.
    ///
    /// By the clock a certificate is expired or not yet valid, or the clock itself is behind.
    #[arg(long)]
    pub accept_clock: bool,
    /// Go on although a source is not trusted.
    ///
    /// Others than root could have written the list, a file or a folder on the way; or the files
    /// are not the CA in use and of the device's own folder. The plan shows it.
    #[arg(long)]
    pub accept_source: bool,
}

/// `UUID=NAME`.
#[derive(Debug, Clone)]
pub struct PeerName {
    /// The device.
    pub uuid: DeviceUuid,
    /// What it is called.
    pub name: DeviceName,
}

impl FromStr for PeerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (uuid, name) = text.split_once('=').ok_or("expected UUID=NAME")?;
        let uuid = uuid.parse().map_err(|error: UuidError| error.to_string())?;
        let name = name.parse().map_err(|error: NameError| error.to_string())?;
        Ok(Self { uuid, name })
    }
}

/// How the kit is made.
#[derive(Debug, Args)]
#[command(next_help_heading = "The kit")]
pub struct KitArgs {
    /// Existing folder to put the kit in.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Replace a kit of the same name.
    #[arg(long)]
    pub force: bool,
    /// Sign with this key, not with the FMC's own.
    ///
    /// An Ed25519 key (PKCS#8 PEM) [default: one made on first use in /var/sf/sftunnel-airgap].
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// Put this installer into the kit.
    ///
    /// In place of the one of its kind beside this program. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub installer: Vec<PathBuf>,
    /// Put no installer into the kit.
    ///
    /// For boxes that have one.
    #[arg(long, conflicts_with = "installer")]
    pub no_installer: bool,
    /// Write bundles as text, for a console.
    ///
    /// Such a bundle can be pasted.
    #[arg(long)]
    pub armor: bool,
    /// Time that the kit is dated [default: now].
    #[arg(long, value_name = "RFC3339")]
    pub created_at: Option<Timestamp>,
    /// Show the plan and stop, as `plan` does.
    #[arg(long)]
    pub dry_run: bool,
}

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Kit folders or bundle files; '-' is standard input.
    #[arg(required = true, value_name = "KIT|BUNDLE")]
    pub paths: Vec<PathBuf>,
    /// What opens the bundles; nothing is asked for.
    #[command(flatten)]
    pub open: OpenArgs,
    /// Only this device's bundle.
    ///
    /// Its name, its UUID, the first 4 or more characters of that, a pattern ('BSNS-*'), or @FILE
    /// with one on each line. May be repeated.
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Kit folders or bundle files; '-' is standard input.
    #[arg(required = true, value_name = "KIT|BUNDLE")]
    pub paths: Vec<PathBuf>,
    /// What opens the bundles.
    #[command(flatten)]
    pub open: OpenArgs,
    /// Ask for a passphrase or identity.
    ///
    /// At the terminal: type the passphrase, or paste an identity.
    #[arg(long)]
    pub ask: bool,
    /// Only this device's bundle.
    ///
    /// Its name, its UUID, the first 4 or more characters of that, a pattern ('BSNS-*'), or @FILE
    /// with one on each line. May be repeated.
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// Only this signer counts.
    ///
    /// Its fingerprint (SHA256:..., or the 64 hex digits in quotes), or a public key file. May be
    /// repeated: a kit that was handed off has two.
    #[arg(long, value_name = "SIGNER")]
    pub signer: Vec<String>,
    /// Do not compare with the clock.
    #[arg(long)]
    pub accept_clock: bool,
}

/// `handoff`.
#[derive(Debug, Args)]
pub struct HandoffArgs {
    /// Kit folders or bundle files; '-' is standard input.
    #[arg(required = true, value_name = "KIT|BUNDLE")]
    pub paths: Vec<PathBuf>,
    /// What opens the bundles now.
    #[command(flatten, next_help_heading = "What opens them now (none given: asked for)")]
    pub open: OpenArgs,
    /// Which bundles, and whose.
    #[command(flatten)]
    pub pick: PickArgs,
    /// Who may open all of them, or some.
    #[command(flatten)]
    pub recipients: RecipientArgs,
    /// Or a new passphrase.
    #[command(flatten)]
    pub passphrase: NewPassphraseArgs,
    /// What comes of it.
    #[command(flatten)]
    pub result: HandedArgs,
}

/// Which bundles a handoff takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Which bundles")]
pub struct PickArgs {
    /// Only this device's bundle.
    ///
    /// Its name, its UUID, the first 4 or more characters of that, a pattern ('BSNS-*'), or @FILE
    /// with one on each line. May be repeated.
    #[arg(long, value_name = "DEVICE")]
    pub device: Vec<String>,
    /// Only bundles of this signer.
    ///
    /// Its fingerprint (SHA256:..., or the 64 hex digits in quotes), or a public key file. May be
    /// repeated.
    #[arg(long, value_name = "SIGNER")]
    pub signer: Vec<String>,
}

/// What a handoff makes.
#[derive(Debug, Args)]
#[command(next_help_heading = "The new kit")]
pub struct HandedArgs {
    /// Existing folder to put the result in.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// One kit for each recipient of the map.
    ///
    /// Each in a folder of its own, with the devices that the map gives it.
    #[arg(long, requires = "recipient_map")]
    pub split: bool,
    /// Replace a kit or bundle of the same name.
    #[arg(long)]
    pub force: bool,
    /// Sign kit.json with this key.
    ///
    /// An Ed25519 key (PKCS#8 PEM) [default: one made on first use in /var/sf/sftunnel-airgap].
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// Write bundles as text, for a console.
    ///
    /// Such a bundle can be pasted.
    #[arg(long)]
    pub armor: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn one_passphrase_source_at_a_time() {
        let parse = |args: &str| Cli::try_parse_from(args.split(' '));
        assert!(parse("x build --passphrase-file f --generate-passphrase").is_err());
        assert!(parse("x build --passphrase-out-fd 3").is_err());
        assert!(parse("x build --passphrase-fd 3 --recipient age1x").is_ok());
    }

    #[test]
    fn global_flags_stand_before_or_after_the_command() {
        for args in ["x --json plan --root /r", "x --root /r plan --json"] {
            let cli = Cli::try_parse_from(args.split(' ')).unwrap();
            assert!(cli.global.talk.json && cli.global.root.as_os_str() == "/r");
        }
    }
}
