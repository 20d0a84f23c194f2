//! Files below `--root` and files named on the command line, opened safely and written whole.

pub mod box_kind;
pub mod input;
pub mod new_file;
pub mod ownership;
pub mod root;
