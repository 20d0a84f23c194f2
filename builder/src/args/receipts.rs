//! `receipts`: which receipts are read, and what is shown of them.

use std::path::PathBuf;

use clap::Args;

use super::StatusArgs;

/// `receipts`.
#[derive(Debug, Args)]
pub struct ReceiptsArgs {
    /// Kit folders, receipt files, or folders of them.
    ///
    /// A kit gives its devices and its receipts; a folder its receipt_*.json.
    #[arg(required = true, value_name = "KIT|RECEIPT|DIR")]
    pub paths: Vec<PathBuf>,
    /// Accept receipts of this CA too.
    ///
    /// May be repeated [default: only the CA in use, /etc/sf/ca_root/cacert.pem; where that is
    /// absent, the first FILE is the one in use].
    #[arg(long, value_name = "FILE")]
    pub ca: Vec<PathBuf>,
    /// Whose kits these are.
    ///
    /// Beside this machine's own: a fingerprint (SHA256:..., or the 64 hex digits in quotes), or a
    /// public key file. May be repeated.
    #[arg(long, value_name = "SIGNER")]
    pub signer: Vec<String>,
    /// Only what is left to do.
    ///
    /// Lists the devices that no receipt shows to be done. The counts are of all.
    #[arg(long)]
    pub outstanding: bool,
    /// Only look.
    ///
    /// Receipts that verify are otherwise kept in /var/sf/sftunnel-airgap/receipts on the FMC, so
    /// that `check` and later runs count them without the stick.
    #[arg(long)]
    pub no_remember: bool,
    /// Print a table for a spreadsheet.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Write a page for the change ticket too.
    ///
    /// An older one is replaced.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Which tunnels are up.
    #[command(flatten)]
    pub status: StatusArgs,
}
