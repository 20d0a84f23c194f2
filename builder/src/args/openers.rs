//! Who may open a kit: recipients and a passphrase, of `build` and of `handoff`.

use std::path::PathBuf;

use clap::Args;

/// Who may open.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may open (none given: a passphrase)")]
pub struct RecipientArgs {
    /// Seal all bundles to this recipient.
    ///
    /// age1..., 'ssh-ed25519 ...' or 'ssh-rsa ...'. May be repeated.
    #[arg(long, short = 'r', value_name = "R")]
    pub recipient: Vec<String>,
    /// Seal all bundles to those in this file.
    ///
    /// One recipient a line. May be repeated.
    #[arg(long, value_name = "FILE")]
    pub recipients_file: Vec<PathBuf>,
    /// Give each device its own recipients.
    ///
    /// CSV of device,recipient: the device by name, UUID, or a pattern with * and ?.
    #[arg(long, value_name = "FILE")]
    pub recipient_map: Option<PathBuf>,
}

/// Where a passphrase comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Passphrase kit (may be combined with recipients)")]
pub struct PassphraseArgs {
    /// Read it from a file; '-' is standard input.
    ///
    /// The passphrase is the first line.
    #[arg(long, value_name = "FILE", group = "passphrase_source")]
    pub passphrase_file: Option<PathBuf>,
    /// Read it from an open file descriptor.
    #[arg(long, value_name = "N", group = "passphrase_source")]
    pub passphrase_fd: Option<u32>,
    /// Take it from a command.
    ///
    /// Such as a password safe's. It runs with /bin/sh -c, and the first line that it prints is the passphrase.
    #[arg(long, value_name = "CMD", group = "passphrase_source")]
    pub passphrase_command: Option<String>,
    /// Make a strong one and show it once.
    ///
    /// At the terminal.
    #[arg(long, group = "passphrase_source")]
    pub generate_passphrase: bool,
    /// Write the generated one to a descriptor.
    ///
    /// To an open file descriptor, in place of the terminal.
    #[arg(long, value_name = "N", requires = "generate_passphrase")]
    pub passphrase_out_fd: Option<u32>,
    /// Take one with characters beyond ASCII.
    ///
    /// A serial console may not be able to type it.
    #[arg(long)]
    pub accept_unusual: bool,
    /// Do not wait for Enter.
    ///
    /// A generated passphrase is shown, and the program ends without waiting until it was written down.
    #[arg(long, short)]
    pub yes: bool,
}

/// Where the passphrase of the new kit comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "New passphrase (may be combined with recipients)")]
pub struct NewPassphraseArgs {
    /// Read it from a file.
    ///
    /// The new passphrase is the first line.
    #[arg(long, value_name = "FILE", group = "new_passphrase_source")]
    pub new_passphrase_file: Option<PathBuf>,
    /// Read it from an open file descriptor.
    #[arg(long, value_name = "N", group = "new_passphrase_source")]
    pub new_passphrase_fd: Option<u32>,
    /// Take it from a command.
    ///
    /// Such as a password safe's. It runs with /bin/sh -c, and the first line that it prints is the passphrase.
    #[arg(long, value_name = "CMD", group = "new_passphrase_source")]
    pub new_passphrase_command: Option<String>,
    /// Make a strong one and show it once.
    ///
    /// At the terminal.
    #[arg(long, group = "new_passphrase_source")]
    pub generate_passphrase: bool,
    /// Write the generated one to a descriptor.
    ///
    /// To an open file descriptor, in place of the terminal.
    #[arg(long, value_name = "N", requires = "generate_passphrase")]
    pub passphrase_out_fd: Option<u32>,
    /// Take one with characters beyond ASCII.
    ///
    /// A serial console may not be able to type it.
    #[arg(long)]
    pub accept_unusual: bool,
    /// Do not wait for Enter.
    ///
    /// A generated passphrase is shown, and the program ends without waiting until it was written down.
    #[arg(long, short)]
    pub yes: bool,
}
