//! The sentences of the rooms' errors: message, next step, exit code and reason word.

mod deliver;
mod fmc;
mod keys;
mod kit;
mod paste;
