//! The sentences of the rooms' errors: message, next step, exit code and reason word.

mod fmc;
mod keys;
mod kit;
mod paste;
