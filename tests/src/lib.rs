//! Shared parts of the tests of both programs. The tests themselves are in `tests/tests.rs`.
//!
//! Everything is real: the programs are started as a person would start them, on the trees of
//! a lab with TLS tunnels between them. Nothing is built from here.
//!
//! | module | holds |
//! |---|---|
//! | [`world`] | a lab in a folder of its own, an identity, kits, both programs |
//! | [`case`] | one device, a kit for it, and their earlier state |
//! | [`ran`] | one run of a program, and assertions about it |
//! | [`pty`] | a run at a terminal |
//! | [`forge`] | bundles that the builder would not make |
//! | [`forger`] | an attacker who has an honest kit and makes others of it |
//! | [`mod@refused`] | runs that have to be refused |
//! | [`monitoring`] | readers in the manner of monitoring systems |
//! | [`way_in`] | a terminal on a device, by ssh |
//! | [`interruption`] | runs cut off at every call, and boxes switched off at any moment |

// a driver that panics with the reason is what a test needs
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

pub mod case;
pub mod forge;
pub mod forger;
pub mod interruption;
pub mod monitoring;
pub mod pty;
pub mod ran;
pub mod refused;
pub mod way_in;
pub mod world;

pub use case::Case;
pub use forge::Forge;
pub use forger::Forger;
pub use pty::Pty;
pub use ran::{Ran, Run, listed_commands, note, now, program, rage, running, tool, wait_until};
pub use refused::{install_refused, refused};
pub use way_in::WayIn;
pub use world::{Kit, PASSPHRASE, World};
