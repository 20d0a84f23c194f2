//! Bytes to checked types, and back.
//!
//! This library is everything on which `sftunnel-bundle` and `sftunnel-install` have to agree: the
//! syntax of `FAILED_PUSH`, the content of a bundle and of a kit, and the rules by which each is
//! refused. It opens no path, reads no clock and starts no process; the programs pass it bytes and
//! the time. `FORMAT.md` beside this crate is the specification.
//!
//! In the order in which data travels from the manager to the device:
//!
//! | module | holds |
//! |---|---|
//! | [`cisco`] | facts and files of the boxes: `FAILED_PUSH`, `ims.conf`, the status programs |
//! | [`device`] | UUIDs, names, peer paths |
//! | [`credentials`] | the three files, checked to be one usable set, and a TLS handshake with them |
//! | [`signature`] | the Ed25519 key that vouches for a bundle |
//! | [`seal`] | the age layer around a bundle |
//! | [`bundle`] | manifest, archive, signature and age together: seal, open, verify |
//! | [`trust`] | the rules by which a signer is trusted: the only way to a bundle's credentials |
//! | [`kit`] | the index of the folder that travels |
//! | [`paste`] | the text that a box opens with a shell and `openssl` |
//! | [`receipt`] | the signed record that a device hands back |
//! | [`decode`], [`csv`], [`armor`] | text, tables and blocks that people wrote or copied |
//! | [`json`] | the reader of our own JSON |
//! | [`checksum`], [`limits`], [`timestamp`], [`text`], [`error`] | the ground under the others |

pub mod armor;
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
pub mod paste;
pub mod receipt;
pub mod seal;
pub mod signature;
pub mod text;
pub mod timestamp;
pub mod trust;
