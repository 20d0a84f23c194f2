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
//! | [`cisco`] | what the boxes write: `FAILED_PUSH`, `ims.conf`, the status programs |
//! | [`device`] | UUIDs, names, peer paths |
//! | [`credentials`] | the three files, checked to be one usable set, and a TLS handshake with them |
//! | [`signature`] | the Ed25519 key that vouches for a bundle |
//! | [`seal`] | age around it |
//! | [`bundle`] | manifest, archive, signature and age in one: seal, open, verify |
//! | [`trust`] | who vouches for a bundle's signer: the only way to its credentials |
//! | [`kit`] | the index of the folder that travels |
//! | [`receipt`] | what a device hands back |
//! | [`decode`], [`csv`] | text and tables that people wrote or copied, on whatever machine |
//! | [`json`] | the one reader of our own JSON |
//! | [`checksum`], [`limits`], [`timestamp`], [`text`], [`error`] | what the others stand on |

mod as_text;
pub mod bundle;
pub mod checksum;
pub mod cisco;
pub mod credentials;
pub mod csv;
pub mod decode;
pub mod device;
pub mod error;
pub mod json;
pub mod kit;
pub mod limits;
pub mod receipt;
pub mod seal;
pub mod signature;
pub mod text;
pub mod timestamp;
pub mod trust;
