//! Kits and bundles on a disk, checked against their index, inspected, or explained if they are
//! neither.

pub mod folder;
mod index_check;
pub mod inspect;
pub mod locate;
pub mod not_a_kit;
pub mod source;
pub mod validity;
pub mod words;
