//! Files below `--root` and files named on the command line: opened safely, written completely or
//! not at all.

pub mod box_kind;
pub mod durable;
pub mod input;
pub mod ownership;
pub mod root;
pub mod trusted;
