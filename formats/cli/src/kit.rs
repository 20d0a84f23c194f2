//! A kit on a disk, and what was handed over in place of one.

pub mod checks;
pub mod folder;
pub mod not_a_kit;
pub mod words;
