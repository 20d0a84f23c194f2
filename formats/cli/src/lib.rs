//! The outer edge that both programs share: how they talk with the operator and with the box.
//!
//! | room | holds |
//! |---|---|
//! | [`say`] | exit codes, [`say::exit::Failure`] with its reason and its hint, reports, tables, monitoring |
//! | [`process`] | programs with a time limit, signals, limits, memory for one scrypt |
//! | [`disk`] | paths below `--root`, files named on the command line, files that are whole or absent |
//! | [`ask`] | passphrases and identities, and the rule on who vouches for a signer |
//! | [`kit`] | a kit on a disk, and what was handed over in place of one |
//!
//! Each room uses those above it, and none below.

pub mod ask;
pub mod disk;
pub mod kit;
pub mod process;
pub mod say;
