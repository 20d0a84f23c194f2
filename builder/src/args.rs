//! The command line: what can be said, and nothing of what it does.

mod examples;
mod openers;

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use cli::ask::unlock::OpenArgs;
use cli::say::monitoring::Thresholds;
use cli::say::terminal::TalkArgs;
use formats::device::{DeviceName, DeviceUuid, NameError, UuidError};
use formats::timestamp::Timestamp;

use self::examples::{
    BUILD_EXAMPLES, CHECK_EXAMPLES, EXAMPLES, HANDOFF_EXAMPLES, INSPECT_EXAMPLES, KEYGEN_EXAMPLES,
    PLAN_EXAMPLES, RECEIPTS_EXAMPLES, VERIFY_EXAMPLES,
};
pub use self::openers::{NewPassphraseArgs, PassphraseArgs, RecipientArgs};

/// Makes kits of sealed sftunnel certificates for devices that the manager cannot reach
#[derive(Debug, Parser)]
#[command(name = "sftunnel-bundle", version = cli::say::version::VERSION, after_help = EXAMPLES)]
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
    /// Take built-in paths, and paths read from FAILED_PUSH, below DIR
    #[arg(long, global = true, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show how long the certificates on the FMC last, and what to do next
    #[command(after_help = CHECK_EXAMPLES)]
    Check(CheckArgs),
    /// Show what a kit would hold and who could open it; writes nothing
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(Box<BuildArgs>),
    /// Make a kit
    #[command(after_help = BUILD_EXAMPLES)]
    Build(Box<BuildArgs>),
    /// Show what a kit or bundle says of itself
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Check a kit or bundle, and who vouches for it
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Seal a kit or bundle anew for the next team
    #[command(after_help = HANDOFF_EXAMPLES)]
    Handoff(Box<HandoffArgs>),
    /// Show which devices have handed back a receipt
    #[command(after_help = RECEIPTS_EXAMPLES)]
    Receipts(ReceiptsArgs),
    /// Make a key
    Keygen(KeygenArgs),
}

impl Command {
    /// The word for it, also in the JSON's `schema`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Check(_) => "check",
            Self::Plan(_) => "plan",
            Self::Build(args) if args.kit.dry_run => "plan",
            Self::Build(_) => "build",
            Self::Inspect(_) => "inspect",
            Self::Verify(_) => "verify",
            Self::Handoff(_) => "handoff",
            Self::Receipts(_) => "receipts",
            Self::Keygen(_) => "keygen",
        }
    }
}

/// `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// When it is urgent.
    #[command(flatten)]
    pub thresholds: Thresholds,
    /// Also write the figures for Prometheus' node exporter, in place of an older file
    #[arg(long, value_name = "FILE")]
    pub prometheus: Option<PathBuf>,
    /// Receipts, folders of them, or kits with them: devices that they show to be done count
    /// as reached; may be repeated
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
    /// Saved output of sftunnel_status.pl, instead of running it
    #[arg(long, value_name = "FILE", group = "status_source")]
    pub status_file: Option<PathBuf>,
    /// Run this program [default: /usr/local/sf/bin/sftunnel_status.pl, where there is one]
    #[arg(long, value_name = "FILE", group = "status_source")]
    pub status_program: Option<PathBuf>,
    /// Run none
    #[arg(long, group = "status_source")]
    pub no_status_program: bool,
    /// How long it may take; it is ended then
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
    /// FAILED_PUSH to read; may be repeated [default: the newest
    /// /var/tmp/certs/*/FAILED_PUSH]
    #[arg(long, value_name = "FILE")]
    pub failed_push: Vec<PathBuf>,
    /// In place of a list: the pair that lies in this device's folder at the manager
    /// (certs_pushed/, else the folder itself); may be repeated
    #[arg(long, value_name = "UUID", group = "without_list", conflicts_with = "failed_push")]
    pub peer: Vec<DeviceUuid>,
    /// The same for every device that has a pair there under the CA in use
    #[arg(long, group = "without_list", conflicts_with_all = ["failed_push", "peer"])]
    pub all_peers: bool,
    /// With --peer or --all-peers: what the device is called; may be repeated
    #[arg(long, value_name = "UUID=NAME", requires = "without_list")]
    pub name: Vec<PeerName>,
    /// Only this device; may be repeated
    #[arg(long, value_name = "NAME|UUID")]
    pub device: Vec<String>,
    /// Go on although a newer batch folder means a newer CA
    #[arg(long)]
    pub accept_stale: bool,
    /// Go on although the CA's name is not the manager's UUID
    #[arg(long)]
    pub accept_subject: bool,
    /// Go on although the clock says expired, not yet valid, or is itself behind
    #[arg(long)]
    pub accept_clock: bool,
    /// Go on although others than root could have written the list, a file or a folder on the
    /// way, or the files are not the CA in use and of the device's own folder
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
    /// Existing directory in which the kit's folder is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Replace a kit of the same name
    #[arg(long)]
    pub force: bool,
    /// Sign with this Ed25519 key (PKCS#8 PEM) [default: one made on first use in
    /// /var/sf/sftunnel-airgap]
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// Also put this installer into the kit, in place of the one of its kind beside this
    /// program; may be repeated
    #[arg(long, value_name = "FILE")]
    pub installer: Vec<PathBuf>,
    /// Make the kit without an installer, for boxes that have one
    #[arg(long, conflicts_with = "installer")]
    pub no_installer: bool,
    /// Write bundles as text that can be pasted into a console
    #[arg(long)]
    pub armor: bool,
    /// Time that the kit says it was made at [default: now]
    #[arg(long, value_name = "RFC3339")]
    pub created_at: Option<Timestamp>,
    /// Do what `plan` does
    #[arg(long)]
    pub dry_run: bool,
}

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Kit folders or bundle files; '-' is a bundle on standard input
    #[arg(required = true, value_name = "KIT|BUNDLE")]
    pub paths: Vec<PathBuf>,
    /// What opens the bundles; nothing is asked for.
    #[command(flatten)]
    pub open: OpenArgs,
    /// Only this device's bundle of a kit; may be repeated
    #[arg(long, value_name = "NAME|UUID")]
    pub device: Vec<String>,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Kit folders or bundle files; '-' is a bundle on standard input
    #[arg(required = true, value_name = "KIT|BUNDLE")]
    pub paths: Vec<PathBuf>,
    /// What opens the bundles.
    #[command(flatten)]
    pub open: OpenArgs,
    /// Ask at the terminal for the passphrase, or for an identity to paste
    #[arg(long)]
    pub ask: bool,
    /// Only this device's bundle of a kit; may be repeated
    #[arg(long, value_name = "NAME|UUID")]
    pub device: Vec<String>,
    /// Only this signer counts: its fingerprint (SHA256:..., or the 64 hex digits in quotes)
    /// or public key file; may be repeated, as a kit that was handed off has two
    #[arg(long, value_name = "SIGNER")]
    pub signer: Vec<String>,
    /// Do not compare validities with the clock
    #[arg(long)]
    pub accept_clock: bool,
}

/// `handoff`.
#[derive(Debug, Args)]
pub struct HandoffArgs {
    /// Kit folders or bundle files; '-' is a bundle on standard input
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
    /// Only this device's; may be repeated
    #[arg(long, value_name = "NAME|UUID")]
    pub device: Vec<String>,
    /// Only bundles of this signer: its fingerprint (SHA256:..., or the 64 hex digits in
    /// quotes) or public key file; may be repeated
    #[arg(long, value_name = "SIGNER")]
    pub signer: Vec<String>,
}

/// What a handoff makes.
#[derive(Debug, Args)]
#[command(next_help_heading = "The new kit")]
pub struct HandedArgs {
    /// Existing directory in which the new kit's folder, or the new bundle file, is made
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// One kit for each recipient of the map, in a folder of its own, with the devices that
    /// the map gives it
    #[arg(long, requires = "recipient_map")]
    pub split: bool,
    /// Replace a kit or bundle of the same name
    #[arg(long)]
    pub force: bool,
    /// Sign kit.json with this Ed25519 key (PKCS#8 PEM) [default: one made on first use in
    /// /var/sf/sftunnel-airgap]
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// Write bundles as text that can be pasted into a console
    #[arg(long)]
    pub armor: bool,
}

/// `receipts`.
#[derive(Debug, Args)]
pub struct ReceiptsArgs {
    /// Kit folders (their devices and their receipts), receipt files, and folders of
    /// receipt_*.json
    #[arg(required = true, value_name = "KIT|RECEIPT|DIR")]
    pub paths: Vec<PathBuf>,
    /// Another CA that receipts may be from; may be repeated [default: only the one in use,
    /// /etc/sf/ca_root/cacert.pem; where that is absent, the first FILE is the one in use]
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<PathBuf>,
    /// Whose kits these are, beside this machine's own: fingerprint (SHA256:..., or the 64
    /// hex digits in quotes) or public key file; may be repeated
    #[arg(long, value_name = "SIGNER")]
    pub signer: Vec<String>,
    /// Print a line for each device for a spreadsheet
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Also write a page for the change ticket, in place of an older one
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Which tunnels are up.
    #[command(flatten)]
    pub status: StatusArgs,
}

/// `keygen`.
#[derive(Debug, Args)]
pub struct KeygenArgs {
    /// Which kind.
    #[command(subcommand)]
    pub kind: KeyKind,
}

/// The kinds of keys.
#[derive(Debug, Subcommand)]
pub enum KeyKind {
    /// An age identity: its recipient seals, it opens
    #[command(after_help = KEYGEN_EXAMPLES)]
    Identity(IdentityArgs),
    /// A signing key (Ed25519) that vouches for bundles and kits
    #[command(after_help = KEYGEN_EXAMPLES)]
    Signer(SignerArgs),
}

/// `keygen identity`.
#[derive(Debug, Args)]
pub struct IdentityArgs {
    /// One that a quantum computer does not break (age1pq1...); needs age 1.3 or later, or this program
    #[arg(long)]
    pub post_quantum: bool,
    /// Where to write it; never overwritten
    #[arg(long, short = 'o', value_name = "FILE", default_value = "identity.txt")]
    pub out: PathBuf,
}

/// `keygen signer`.
#[derive(Debug, Args)]
pub struct SignerArgs {
    /// Where to write it, the public half beside it (x.pem, x.pub.pem); never overwritten
    #[arg(long, short = 'o', value_name = "FILE", default_value = "signing-key.pem")]
    pub out: PathBuf,
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
