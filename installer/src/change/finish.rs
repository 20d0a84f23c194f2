//! The ends of a transaction: recorded as a success, or left to `recover` or to a person.

use cli::say::exit::{Exit, Failure};
use formats::device::{CredentialFile, ManagerUuid};

use crate::appliance::host::Host;
use crate::appliance::peers::{self, PeerDir};
use crate::change::Context;
use crate::change::held_space;
use crate::change::journal::{Goal, Journal};
use crate::change::receipts::{self, Receipts};
use crate::change::records::{Installed, PinnedKey, Signers};

/// A signal came while sftunnel was waited for. Exit 7, the journal stays.
pub(crate) fn interrupted(goal: Goal) -> Failure {
    let (message, next) = match goal {
        Goal::Install | Goal::Rollback => (
            "interrupted while waiting for sftunnel: the new files are in place, but not confirmed",
            "run `sftunnel-install recover`: it waits for sftunnel, or puts the old files back",
        ),
        Goal::Restore => (
            "the old files are back in place, but a signal ended the waiting for sftunnel",
            "run `sftunnel-install recover`: it restarts sftunnel on them",
        ),
    };
    Failure::unexpected(message).exit(Exit::NeedsPerson).hint(next)
}

/// Finds a live file that is not the one that this transaction put there.
pub(crate) fn replaced_since(
    host: &Host,
    journal: &Journal,
) -> Result<Option<(ManagerUuid, CredentialFile)>, Failure> {
    for remember in &journal.remember {
        let live = PeerDir::open(host, &remember.manager)?.read(host)?;
        let mut files = live.iter().zip(remember.files);
        if let Some(((file, _), _)) = files.find(|((_, live), put)| live.sha256() != *put) {
            return Ok(Some((remember.manager.clone(), file)));
        }
    }
    Ok(None)
}

/// A live file that somebody else put there, and the ways on. Exit 7, the journal stays.
pub(crate) fn changed_by_somebody(
    context: Context<'_>,
    journal: &Journal,
    manager: &ManagerUuid,
    file: CredentialFile,
    why: &str,
) -> Failure {
    let path = peers::shown(context.host, manager);
    let open = format!("{}/journal", context.state.shown());
    Failure::unexpected(format!("{path}/{file} {why}")).exit(Exit::NeedsPerson).hint(format!(
        "look with `sftunnel-install status`: the manager may have pushed new files itself\n\
         to keep what is there: `pmtool restartbyid sftunnel`, then remove {open}\n\
         to put the files of before back: remove {open}, then run `sftunnel-install rollback --to {}`",
        journal.backup
    ))
}

/// The live files of an interrupted run cannot be read: their directory is gone, or something
/// else lies there. Exit 7, the journal stays; with both ways on.
pub(crate) fn cannot_tell(context: Context<'_>, failure: Failure) -> Failure {
    failure.exit(Exit::NeedsPerson).also_hint(format!(
        "then run `sftunnel-install recover`; or, to give the interrupted run up, remove {}/journal",
        context.state.shown()
    ))
}

/// Records a success, and closes the journal last.
///
/// Exit 7 when the live files are not those of this transaction any more, or when they are and
/// sftunnel runs on them, but that could not be recorded.
pub(crate) fn complete(context: Context<'_>, journal: Journal) -> Result<Receipts, Failure> {
    let Context { host, state, .. } = context;
    let unreadable = |failure| cannot_tell(context, failure);
    if let Some((manager, file)) = replaced_since(host, &journal).map_err(unreadable)? {
        let why = "was changed by somebody else while sftunnel was waited for; sftunnel runs, but on which files is not known";
        return Err(changed_by_somebody(context, &journal, &manager, file, why));
    }
    let now = host.now();
    held_space::release(state);
    let receipts = receipts::write(context, &journal);
    let record = || -> Result<(), Failure> {
        Installed::read(Some(state))?.complete(state, &journal.remember, now)?;
        let keys = journal.remember.iter().filter(|remember| remember.pin);
        let keys: Vec<_> = keys.filter_map(|one| Some((&one.manager, one.signer?))).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut signers = Signers::read(Some(state))?;
        let mut pinned = false;
        for (manager, key) in keys {
            pinned |= signers.pin(manager, PinnedKey::of(key), now);
        }
        if pinned { signers.write(state) } else { Ok(()) }
    };
    let which = match journal.goal {
        Goal::Restore => "the old files are back in place",
        Goal::Install | Goal::Rollback => "the files are in place",
    };
    record().and_then(|()| journal.close(state)).map(|()| receipts).map_err(|failure| {
        failure
            .preceded_by(format!(
                "{which} and sftunnel runs on them, but that could not be recorded"
            ))
            .exit(Exit::NeedsPerson)
            .also_hint("when that is mended, run `sftunnel-install recover`")
    })
}
