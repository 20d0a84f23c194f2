//! Both programs, started as a person starts them, over the lab: real TLS, real age, real
//! files, real processes. Build first (`cargo build --workspace`); needs root.
//!
//! - `journey`: from *certificate has expired* to tunnel up, back, and up again; every way in
//! - `health`: an sftunnel that does not come back, and a pmtool that cannot be relied on
//! - `tunnels`: up, down or unknown, before and after; never up on a word that proves nothing
//! - `twice`: who says it again after a run that was cut off, came to nothing, or cannot go on
//! - `rehearsal`: the new files in a TLS handshake with the manager, before anything is replaced
//! - `pairs`: two managers, the other manager as a device, the second manager's builder, two units
//! - `refusals`: every reason of docs/json.md, on both sides; nothing changes
//! - `hostile`: bundles and kits that somebody made or changed on purpose
//! - `couriers`: kits renamed, packed, changed by a transfer; what `verify` names of it
//! - `tampering`: every byte of header and manifest; what changes meanwhile; local users
//! - `races`: names in the peer directory exchanged while the installer works
//! - `meanwhile`: the manager pushes files of its own while a run is under way or cut off
//! - `clock`: 1970, behind, too early, too late
//! - `check`: the manager's view: tunnels, who was reached, what monitoring systems are told
//! - `without_list`: a list that is gone, kits of what lies at the manager, a box of the wrong kind
//! - `revocation`: the list of revoked certificates, judged by `check`
//! - `status`: the same at the device
//! - `store`: the backups and records on the device, damaged ones, and what others left there
//! - `another_device`: what a copy of another box's disk brings, and files of the wrong box
//! - `attributes`: ACL, label and the like of what is replaced, and what cannot be replaced
//! - `journal`: what the journal of an interrupted run may name, and knows of it
//! - `room`: a disk that is or becomes full, at every size
//! - `limits`: thousands of peer directories; a shell that allows hardly any open files
//! - `signals`: signals at any moment, a terminal that is gone, runs beside each other
//! - `manual`: what pasting by hand leaves: named, installed over, restored exactly
//! - `copied`: text from other people's machines, at every place where some is read
//! - `passphrases`: as people say, type and choose them
//! - `failed_push`: the list of devices in every shape that it is found in
//! - `output`: golden files for what people read; no escape sequences, 80 columns
//! - `json`: every JSON object into a type that knows all its fields
//! - `terminal`: questions, prompts, and who vouches by answering them
//! - `interop`: age, rage, tar, sha256sum, openssl and ssh-keygen on our files, and ours on theirs
//! - `interruption`: killed, stopped and started twice; a sample of `make interrupt`
//! - `between_teams`: handoff, receipts: who may open it, who vouches, proof that it was done
//! - `handoff`: whole kits, parts, single bundles for the next team; nothing in clear on disk
//! - `ticket`: receipts as a spreadsheet and a browser read them, and what an old CA proves
//! - `recipients`: escrow and the recipient map: who may open what, and what the plan says of it
//! - `vouching`: the rules on who vouches, each against somebody who would like to be believed
//! - `secrets`: keys, passphrases and identities: in which files, for how long in memory, never shown
//! - `verdicts`: whatever OpenSSL refuses is refused, by its own verdict at the time of the test
//! - `shipped`: the static programs: in a bare root, on ARM, from a FAT stick, on an old kernel
//! - `fuzz_corpus`: what coverage-guided fuzzing found worth keeping, through every parser
//! - `documented`: the output that README and guide show is what the programs print
//! - `docs`: flags and reasons stand in the documents, and those in the documents exist
//!
//! A new test goes where its first sentence belongs. Tests run side by side, so each has a
//! [`tests::World`] of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

mod another_device;
mod attributes;
mod between_teams;
mod check;
mod clock;
mod copied;
mod couriers;
mod docs;
mod documented;
mod failed_push;
mod fuzz_corpus;
mod handoff;
mod health;
mod hostile;
mod interop;
mod interruption;
mod journal;
mod journey;
mod json;
mod limits;
mod manual;
mod meanwhile;
mod output;
mod pairs;
mod passphrases;
mod races;
mod recipients;
mod refusals;
mod rehearsal;
mod revocation;
mod room;
mod secrets;
mod shipped;
mod signals;
mod status;
mod store;
mod tampering;
mod terminal;
mod ticket;
mod tunnels;
mod twice;
mod verdicts;
mod vouching;
mod without_list;
