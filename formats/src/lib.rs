//! Bytes to checked types, and back.
//!
//! This library holds what `sftunnel-bundle` and `sftunnel-install` agree on: how
//! `FAILED_PUSH` reads, what a bundle and a kit are made of, and which of them are refused.
//! It opens no path, reads no clock and starts no process; the programs hand it bytes and
//! the time. `FORMAT.md` beside this crate is the specification.
//!
//! In the order of the data's way from the manager to the device:
//!
//! | module | holds |
//! |---|---|
//! | [`failed_push`] | the list of devices that the manager could not reach |
//! | [`device`] | UUIDs, names, peer paths |
//! | [`certificate`] | the three files, checked to be one usable set, and a TLS handshake with them |
//! | [`manifest`] | what a bundle says of itself |
//! | [`signature`] | the Ed25519 key that vouches for it |
//! | [`archive`] | the six entries of the tar |
//! | [`envelope`] | age around it |
//! | [`bundle`] | all of these in one: seal, open, verify |
//! | [`kit`] | the index of the folder that travels |
//! | [`receipt`] | what a device hands back |
//! | [`channels`] | what Cisco's programs print of the tunnels |
//! | [`decode`], [`csv`] | text and tables that people wrote or copied, on whatever machine |
//! | [`json`] | the one reader of our own JSON |
//! | [`checksum`], [`limits`], [`timestamp`], [`text`], [`error`] | what the others stand on |

pub mod archive;
pub mod bundle;
pub mod certificate;
pub mod channels;
pub mod checksum;
pub mod csv;
pub mod decode;
pub mod device;
pub mod envelope;
pub mod error;
pub mod failed_push;
pub mod ims_conf;
pub mod json;
pub mod kit;
pub mod limits;
pub mod manifest;
pub mod receipt;
pub mod signature;
pub mod text;
pub mod timestamp;
