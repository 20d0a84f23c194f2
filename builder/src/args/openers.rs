//! Who may open a kit: recipients and a passphrase, of `build` and of `handoff`.

use std::path::PathBuf;

use clap::Args;

/// Who may open.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may open (none given: a passphrase)")]
pub struct RecipientArgs {
    /// age1..., 'ssh-ed25519 ...' or 'ssh-rsa ...', for all bundles; may be repeated
    #[arg(long, short = 'r', value_name = "R")]
    pub recipient: Vec<String>,
    /// File of recipients, one a line, for all bundles; may be repeated
    #[arg(long, value_name = "FILE")]
    pub recipients_file: Vec<PathBuf>,
    /// CSV of device,recipient (device by name, UUID, or a pattern with * and ?), for each
    /// its own
    #[arg(long, value_name = "FILE")]
    pub recipient_map: Option<PathBuf>,
}

/// Where a passphrase comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Passphrase kit (may be combined with recipients)")]
pub struct PassphraseArgs {
    /// Read the passphrase from a file (its first line); '-' is standard input
    #[arg(long, value_name = "FILE", group = "passphrase_source")]
    pub passphrase_file: Option<PathBuf>,
    /// Read the passphrase from an open file descriptor
    #[arg(long, value_name = "N", group = "passphrase_source")]
    pub passphrase_fd: Option<u32>,
    /// Make a strong passphrase and show it once, at the terminal
    #[arg(long, group = "passphrase_source")]
    pub generate_passphrase: bool,
    /// Write the generated passphrase to an open file descriptor instead
    #[arg(long, value_name = "N", requires = "generate_passphrase")]
    pub passphrase_out_fd: Option<u32>,
    /// Take a passphrase that a serial console may not be able to type: beyond ASCII
    #[arg(long)]
    pub accept_unusual: bool,
    /// Do not wait until a generated passphrase was written down
    #[arg(long, short)]
    pub yes: bool,
}

/// Where the passphrase of the new kit comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "New passphrase (may be combined with recipients)")]
pub struct NewPassphraseArgs {
    /// Read the new passphrase from a file (its first line)
    #[arg(long, value_name = "FILE", group = "new_passphrase_source")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Read the new passphrase from an open file descriptor
    #[arg(long, value_name = "N", group = "new_passphrase_source")]
    pub new_passphrase_fd: Option<u32>,
    /// Make a strong passphrase and show it once, at the terminal
    #[arg(long, group = "new_passphrase_source")]
    pub generate_passphrase: bool,
    /// Write the generated passphrase to an open file descriptor instead
    #[arg(long, value_name = "N", requires = "generate_passphrase")]
    pub passphrase_out_fd: Option<u32>,
    /// Take a passphrase that a serial console may not be able to type: beyond ASCII
    #[arg(long)]
    pub accept_unusual: bool,
    /// Do not wait until a generated passphrase was written down
    #[arg(long, short)]
    pub yes: bool,
}
