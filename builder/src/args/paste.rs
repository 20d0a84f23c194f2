//! The command line of `paste`.

use std::path::PathBuf;

use clap::Args;
use cli::ask::unlock::OpenArgs;

use super::SourceArgs;

/// `paste`.
#[derive(Debug, Args)]
pub struct PasteArgs {
    /// The device.
    ///
    /// May be left out where there is only one.
    #[arg(value_name = "NAME|UUID")]
    pub target: Option<String>,
    /// Which devices there are.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Or a kit.
    #[command(flatten)]
    pub kit: PasteKitArgs,
    /// The passphrase of the text.
    #[command(flatten)]
    pub passphrase: PastePassphraseArgs,
}

/// A kit in place of a list.
#[derive(Debug, Args)]
#[command(next_help_heading = "In place of a list")]
pub struct PasteKitArgs {
    /// Take the device's files from this kit.
    #[arg(long, value_name = "KIT", conflicts_with_all = ["failed_push", "peer", "all_peers"])]
    pub kit: Option<PathBuf>,
    /// What opens it.
    #[command(flatten)]
    pub open: OpenArgs,
    /// Only this signer counts.
    ///
    /// Its fingerprint (SHA256:..., or the 64 hex digits in quotes) or public key file. May be
    /// repeated.
    #[arg(long, value_name = "SIGNER", requires = "kit")]
    pub signer: Vec<String>,
}

/// Where the passphrase of a text comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Passphrase of the text (none given: one is made and shown)")]
pub struct PastePassphraseArgs {
    /// Take a generated one from a file.
    ///
    /// Its first line. So several texts can have one passphrase.
    #[arg(long, value_name = "FILE", group = "text_passphrase")]
    pub text_passphrase_file: Option<PathBuf>,
    /// Take it from an open file descriptor.
    #[arg(long, value_name = "N", group = "text_passphrase")]
    pub text_passphrase_fd: Option<u32>,
    /// Write the one made to a descriptor.
    ///
    /// To an open file descriptor, in place of the terminal.
    #[arg(long, value_name = "N", conflicts_with = "text_passphrase")]
    pub passphrase_out_fd: Option<u32>,
    /// Do not wait for Enter.
    ///
    /// The passphrase is shown, and the program ends without waiting until it was written down.
    #[arg(long, short)]
    pub yes: bool,
}
