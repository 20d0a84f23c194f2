//! The outer edge that both programs share: how they talk with the operator and with the box.
//!
//! | module | holds |
//! |---|---|
//! | [`box_kind`] | manager or device |
//! | [`command`] | a program with a time limit, and whether it may be run |
//! | [`exit`] | exit codes, [`exit::Failure`] with its reason and its hint |
//! | [`report`] | one result, as JSON or as text |
//! | [`terminal`] | questions, colour, tables |
//! | [`root`] | paths below `--root`, links resolved inside it |
//! | [`input`] | files named on the command line |
//! | [`ownership`] | whether root alone could have put something where it lies |
//! | [`unlock`] | identities and passphrases |
//! | [`vouch`] | who vouches for a signer |
//! | [`kit_folder`] | a kit on a disk |
//! | [`not_a_kit`] | what was handed over in place of one, in words |
//! | [`hidden_input`] | passphrases typed at the terminal |
//! | [`signals`] | signals where nothing is half done |
//! | [`new_file`] | a file that is there whole or not at all |
//! | [`level`], [`prometheus`] | what monitoring systems are told |
//! | [`hardening`] | no core dumps |
//! | [`memory`] | whether there is memory for one scrypt |
//! | [`version`] | what this build is |

pub mod box_kind;
pub mod command;
pub mod exit;
pub mod hardening;
pub mod hidden_input;
pub mod input;
pub mod kit_folder;
pub mod level;
pub mod memory;
pub mod new_file;
pub mod not_a_kit;
pub mod ownership;
pub mod prometheus;
pub mod report;
pub mod root;
pub mod signals;
pub mod terminal;
pub mod unlock;
pub mod version;
pub mod vouch;
