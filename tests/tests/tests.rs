//! Both programs, started as a person starts them, over the lab: real TLS, real age, real
//! files, real processes. Build first (`cargo build --workspace`); needs root.
//!
//! A group for each promise; a new test goes where its first sentence belongs. Tests run side by
//! side, so each has a [`tests::World`] of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

/// From *certificate has expired* to tunnel up: what an installation does, and says.
mod install {
    /// To tunnel up, back, and up again; every way in.
    mod journey;

    /// An sftunnel that does not come back, and a pmtool that cannot be relied on.
    mod health;

    /// Up, down or unknown, before and after; never up on a word that proves nothing.
    mod tunnels;

    /// The new files in a TLS handshake with the manager, before anything is replaced.
    mod rehearsal;

    /// A text for a console, on a box that has nothing of ours.
    mod paste;

    /// Who says it again after a run that was cut off, came to nothing, or cannot go on.
    mod repeated_commands;

    /// Two managers, the other manager as a device, the second manager's builder, two units.
    mod two_managers;
}

/// All old or all new, and always back: whatever is in the way, at any moment.
mod undo {
    /// Killed, stopped and started twice; a sample of `make interrupt`.
    mod interruption;

    /// Signals at any moment, a terminal that is gone, runs beside each other.
    mod signals;

    /// What the journal of an interrupted run may name, and knows of it.
    mod journal;

    /// The manager pushes files of its own while a run is under way or cut off.
    mod concurrent_push;

    /// A disk that is or becomes full, at every size.
    mod full_disk;

    /// What pasting by hand leaves: named, installed over, restored exactly.
    mod manual;

    /// ACL, label and the like of what is replaced, and what cannot be replaced.
    mod attributes;
}

/// The FTD as it is found: its state, its clock, what others left there.
mod device {
    /// How long its files last, what is to be done, what monitoring systems are told.
    mod status;

    /// The backups and records, damaged ones, and what others left there.
    mod store;

    /// What a copy of another box's disk brings, and files of the wrong box.
    mod another_device;

    /// 1970, behind, too early, too late.
    mod clock;

    /// One file for the colleague on the phone.
    mod support;

    /// Thousands of peer directories; a shell that allows hardly any open files.
    mod limits;
}

/// The FMC: which devices, which are reached, what is proved.
mod manager {
    /// A receipt as text, through the console.
    mod pasted_receipt;

    /// The list of devices in every shape that it is found in.
    mod failed_push;

    /// A list that is gone, kits of what lies at the manager, a box of the wrong kind.
    mod without_list;

    /// Tunnels, who was reached, what monitoring systems are told.
    pub(crate) mod check;
    /// Its page, as a reader of HTML sees it.
    mod check_html;

    /// The list of revoked certificates, judged by `check`.
    mod revocation;

    /// Receipts as a spreadsheet and a browser read them, and what an old CA proves.
    mod receipts_html_csv;

    /// What was read once counts without the stick, and is believed no more for lying on the FMC.
    mod receipts_remembered;
}

/// What is carried: sealed for whom, through which hands, read by which other programs.
mod kit {
    /// Escrow and the recipient map: who may open what, and what the plan says of it.
    mod recipients;

    /// Whole kits, parts, single bundles for the next team; nothing in clear on disk.
    mod handoff;

    /// Handoff, receipts: who may open it, who vouches, proof that it was done.
    mod between_teams;

    /// Kits renamed, packed, changed by a transfer; what `verify` names of it.
    mod couriers;

    /// What a later release writes, met by today's programs.
    mod later_format;

    /// Text from other people's machines, at every place where some is read.
    mod copied;

    /// age, rage, tar, sha256sum, openssl and ssh-keygen on our files, and ours on theirs.
    mod interop;
}

/// Devices that a terminal reaches: log in, become root, install, bring the receipt home.
mod deliver;

/// Whom and what to believe, and who may know.
mod trust {
    /// The rules on who vouches, each against somebody who would like to be believed.
    mod vouching;

    /// As people say, type and choose them.
    mod passphrases;

    /// Keys, passphrases and identities: in which files, for how long in memory, never shown.
    mod secrets;

    /// Whatever OpenSSL refuses is refused, by its own verdict at the time of the test.
    mod verdicts;
}

/// What somebody made or changed on purpose: refused, and nothing changes.
mod hostile {
    /// Bundles and kits.
    mod bundles;

    /// Every byte of header and manifest; what changes meanwhile.
    mod tampering;

    /// What a local user without root can leave in the way.
    mod local_users;

    /// Names in the peer directory exchanged while the installer works.
    mod races;

    /// What coverage-guided fuzzing found worth keeping, through every parser.
    mod fuzz_corpus;
}

/// What people, programs and documents are told.
mod output {
    /// Golden files for what people read; no escape sequences, 80 columns.
    mod golden;

    /// What differs from run to run, by its form.
    mod forms;

    /// Every JSON object into a type that knows all its fields.
    mod json;

    /// Words and sentences that a tired reader reads once.
    mod english;

    /// The output that README, operate.md and guide.md show is what the programs print.
    mod documented;

    /// The recorded session is what an operator sees at a terminal.
    mod session;

    /// Completions in the shells that read them, and manual pages through `man`.
    mod completion;

    /// Flags, fields and reasons stand in the documents, and these, paths and links in them exist.
    mod docs;
}

/// Every reason of docs/json.md, on both sides; nothing changes.
mod refusals;

/// Questions, prompts, and who vouches by answering them.
mod terminal;

/// The static programs: in a bare root, on ARM, from a FAT stick, on an old kernel.
mod shipped;

/// The sources: no room of a crate uses one that comes after it.
mod rooms;
