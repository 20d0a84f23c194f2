//! `signers`: the signers that this box believes, by manager.

use std::path::Path;

use cli::disk::input;
use cli::say::exit::Exit;
use cli::say::failure::Failure;
use cli::say::report::Report;
use formats::device::ManagerUuid;
use formats::error::Reason;
use formats::limits;
use formats::signature::{Fingerprint, VerifyingKey};
use serde::Serialize;

use super::interrupted::finish_interrupted;
use super::{Session, with_lock};
use crate::appliance::run_log::LogLine;
use crate::appliance::state::State;
use crate::args::{SignersCommand, Wait};
use crate::change::records::{PinnedKey, PinnedSigner, Signers};

/// The JSON of `signers`.
#[derive(Debug, Serialize)]
struct SignersReport {
    managers: Vec<ManagerSigners>,
}

/// One manager's entry in the JSON.
#[derive(Debug, Serialize)]
struct ManagerSigners {
    manager: ManagerUuid,
    signers: Vec<PinnedSigner>,
}

pub(crate) fn run(session: &Session, command: &SignersCommand) -> Result<Report, Failure> {
    match command {
        SignersCommand::List => Ok(report(&Signers::read(State::open(&session.host)?.as_ref())?)),
        SignersCommand::Add { manager, key } => {
            let manager = parse_manager(manager)?;
            let key = parse_key(key)?;
            change(session, "signers add", |session, signers| {
                signers.pin(&manager, key, session.host.now());
                Ok(())
            })
        }
        SignersCommand::Remove { manager, fingerprint } => {
            let manager = manager.as_deref().map(parse_manager).transpose()?;
            let fingerprint = Fingerprint::from_person(fingerprint)
                .map_err(|error| Failure::usage(format!("{fingerprint}: {error}")))?;
            change(session, "signers remove", |_, signers| {
                forget(signers, manager.as_ref(), fingerprint)
            })
        }
    }
}

fn parse_manager(text: &str) -> Result<ManagerUuid, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("--manager {text}: {error}")))
}

/// Reads a fingerprint as it was told over the phone, or the file of a public key.
fn parse_key(argument: &str) -> Result<PinnedKey, Failure> {
    let usage = |error| Failure::usage(format!("{argument}: {error}"));
    if Fingerprint::is_meant_by(argument) {
        return Fingerprint::from_person(argument).map(PinnedKey::told).map_err(usage);
    }
    let bytes = input::read(Path::new(argument), limits::KEY_FILE)?;
    VerifyingKey::from_file(&bytes).map(PinnedKey::of).map_err(usage)
}

fn forget(
    signers: &mut Signers,
    manager: Option<&ManagerUuid>,
    fingerprint: Fingerprint,
) -> Result<(), Failure> {
    let mut found = false;
    for (of, pinned) in &mut signers.managers {
        if manager.is_none_or(|manager| manager == of) {
            let before = pinned.len();
            pinned.retain(|signer| signer.key.fingerprint != fingerprint);
            found |= pinned.len() != before;
        }
    }
    signers.managers.retain(|_, pinned| !pinned.is_empty());
    if found {
        return Ok(());
    }
    Err(Failure::refused(Reason::NotFound, format!("no such signer is pinned: {fingerprint}"))
        .hint("`sftunnel-install signers list` shows them"))
}

fn change(
    session: &Session,
    command: &str,
    change: impl FnOnce(&Session, &mut Signers) -> Result<(), Failure>,
) -> Result<Report, Failure> {
    let wait = Wait::default();
    with_lock(session, command, wait, |context, narrator| {
        finish_interrupted(session, context, narrator)?;
        let mut signers = Signers::read(Some(context.state))?;
        change(session, &mut signers)?;
        let told = report(&signers);
        signers.write(context.state)?;
        let line = LogLine::new(context.host.now(), command, "changed", Exit::Done.code());
        Ok((told.changed(true), line))
    })
}

fn report(signers: &Signers) -> Report {
    let mut text = String::new();
    for (manager, pinned) in &signers.managers {
        text.push_str(&format!("Manager {manager}\n"));
        for signer in pinned {
            let fingerprint = signer.key.fingerprint;
            let [one, two] = fingerprint.spoken_lines();
            text.push_str(&format!(
                "  {fingerprint}\n  {one}\n  {two}\n    pinned {}\n",
                signer.pinned_at
            ));
        }
    }
    if text.is_empty() {
        text.push_str("No signer is pinned on this box.\n");
    }
    let one = |(manager, signers): (&ManagerUuid, &Vec<PinnedSigner>)| ManagerSigners {
        manager: manager.clone(),
        signers: signers.clone(),
    };
    Report::done(&SignersReport { managers: signers.managers.iter().map(one).collect() }, text)
}
