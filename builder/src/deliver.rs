//! Devices reached by a terminal: what a person would do there, done for all of them.
//!
//! | part | holds |
//! |---|---|
//! | `inventory`, `way` | who is reached how |
//! | `line`, `screen`, `transcript` | a program at a terminal: what it shows, and the record of it |
//! | `prompt`, `dialogue` | the way to root's shell, a type for each place on it |
//! | `shell`, `upload` | commands over there, and files |
//! | `visit` | one device, from the first connection to the receipt |

mod dialogue;
pub(crate) mod error;
pub(crate) mod inventory;
mod line;
pub(crate) mod prompt;
mod screen;
mod shell;
mod transcript;
mod upload;
pub(crate) mod visit;
pub(crate) mod way;
