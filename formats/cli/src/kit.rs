//! A kit on a disk, and what was handed over in place of one.

pub mod checks;
pub mod folder;
mod index_check;
pub mod inspect;
pub mod locate;
pub mod not_a_kit;
pub mod source;
pub mod words;
