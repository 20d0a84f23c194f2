//! The outer edge that both programs share, towards the operator and the box.
//!
//! | room | holds |
//! |---|---|
//! | [`say`] | exit codes, [`say::failure::Failure`] with its reason and its hint, reports, tables, monitoring |
//! | [`process`] | programs with a time limit, signals, limits, memory for one scrypt |
//! | [`disk`] | paths below `--root`, files named on the command line, files written whole or not at all |
//! | [`ask`] | passphrases and identities, and the check of a signer |
//! | [`kit`] | kits and bundles on a disk, and explanations for what is neither |
//! | [`support`] | one file without secrets for the colleague on the phone |
//! | [`help`] | manual pages and completions |
//!
//! Each room uses those above it, and none below.

pub mod ask;
pub mod disk;
pub mod help;
pub mod kit;
pub mod process;
pub mod say;
pub mod support;
