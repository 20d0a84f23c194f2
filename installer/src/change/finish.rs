//! The ends of a transaction: recorded as a success, or left to `recover` or to a person.

use formats::device::{CredentialFile, ManagerUuid};

use crate::appliance::host::Host;
use crate::appliance::peers::{self, PeerDir};
use crate::change::Context;
use crate::change::error::{Error, NotDone, Noticed};
use crate::change::held_space;
use crate::change::journal::Journal;
use crate::change::receipts::{self, Receipts};
use crate::change::records::{Installed, PinnedKey, Signers};

/// Finds a live file that is not the one that this transaction put there.
pub(crate) fn replaced_since(
    host: &Host,
    journal: &Journal,
) -> Result<Option<(ManagerUuid, CredentialFile)>, Error> {
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
    noticed: Noticed,
) -> Error {
    NotDone::ChangedBySomebody {
        path: format!("{}/{file}", peers::shown(context.host, manager)),
        journal: Journal::path(context.state),
        backup: journal.backup.clone(),
        noticed,
    }
    .into()
}

/// The live files of an interrupted run cannot be read: their directory is gone, or something
/// else lies there. Exit 7, the journal stays; with both ways on.
pub(crate) fn cannot_tell(context: Context<'_>, error: impl Into<Error>) -> Error {
    let error = Box::new(error.into());
    NotDone::LiveUnreadable { journal: Journal::path(context.state), error }.into()
}

/// Records a success, and closes the journal last.
///
/// Exit 7 when the live files are not those of this transaction any more, or when they are and
/// sftunnel runs on them, but that could not be recorded.
pub(crate) fn complete(context: Context<'_>, journal: Journal) -> Result<Receipts, Error> {
    let Context { host, state, .. } = context;
    let unreadable = |error| cannot_tell(context, error);
    if let Some((manager, file)) = replaced_since(host, &journal).map_err(unreadable)? {
        return Err(changed_by_somebody(context, &journal, &manager, file, Noticed::Recording));
    }
    let now = host.now();
    held_space::release(state);
    let receipts = receipts::write(context, &journal);
    let record = || -> Result<(), Error> {
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
    let goal = journal.goal;
    let recorded = record().and_then(|()| journal.close(state));
    let not_recorded = |error| NotDone::NotRecorded { goal, error: Box::new(error) }.into();
    recorded.map(|()| receipts).map_err(not_recorded)
}
