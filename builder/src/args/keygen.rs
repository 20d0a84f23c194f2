//! The command line of `keygen`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::examples::KEYGEN_EXAMPLES;

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
    /// Make an age identity: opens what its recipient seals.
    #[command(after_long_help = KEYGEN_EXAMPLES)]
    Identity(IdentityArgs),
    /// Make a signing key (Ed25519) for bundles and kits.
    #[command(after_long_help = KEYGEN_EXAMPLES)]
    Signer(SignerArgs),
}

/// `keygen identity`.
#[derive(Debug, Args)]
pub struct IdentityArgs {
    /// Make one that a quantum computer does not break.
    ///
    /// Its recipient is age1pq1.... It needs age 1.3 or later, or this program.
    #[arg(long)]
    pub post_quantum: bool,
    /// File to write; never overwritten.
    #[arg(long, short = 'o', value_name = "FILE", default_value = "identity.txt")]
    pub out: PathBuf,
}

/// `keygen signer`.
#[derive(Debug, Args)]
pub struct SignerArgs {
    /// File to write; never overwritten.
    ///
    /// The public half goes beside it (x.pem, x.pub.pem).
    #[arg(long, short = 'o', value_name = "FILE", default_value = "signing-key.pem")]
    pub out: PathBuf,
}
