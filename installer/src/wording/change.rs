//! The words for a change that failed.

use std::io::ErrorKind;

use cli::say::exit::Exit;
use cli::say::failure::Failure;
use formats::device::DeviceUuid;
use formats::error::Reason;
use rustix::io::Errno;

use crate::change::Goal;
use crate::change::backup::STORE as BACKUPS;
use crate::change::error::InTheWay;
use crate::change::error::Obstacle;
use crate::change::error::Protection;
use crate::change::error::Unreadable;
use crate::change::error::{
    BackupError, Error, NotBack, NotDone, Noticed, RecordError, ReplaceError,
};

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Appliance(error) => error.into(),
            Error::Io { path, error } => Self::io(path, &error),
            Error::Record(error) => error.into(),
            Error::Backup(error) => error.into(),
            Error::Replace(error) => error.into(),
            Error::NotDone(error) => error.into(),
            Error::NotBack(error) => (*error).into(),
        }
    }
}

impl From<RecordError> for Failure {
    fn from(error: RecordError) -> Self {
        let forgotten =
            "what it remembered (completed installations, or pinned signers) is then forgotten";
        match error {
            RecordError::Unwritable { name, error } => Self::unexpected(format!("{name}: {error}")),
            RecordError::DamagedJournal { path } => Self::unexpected(format!(
                "{path} is damaged, so this program cannot finish the interrupted run"
            ))
            .exit(Exit::NeedsPerson)
            .hint(give_up(&path)),
            RecordError::LaterJournal { path, error } => Self::unexpected(format!(
                "{path} {error}: a later release was interrupted"
            ))
            .exit(Exit::NeedsPerson)
            .hint(format!(
                "run `recover` of the sftunnel-install that was interrupted; without it: {}",
                give_up(&path)
            )),
            RecordError::Unreadable { path, why: Unreadable::Damaged } => {
                Self::unexpected(format!("{path} is damaged"))
                    .hint(format!("move it away; {forgotten}"))
            }
            RecordError::Unreadable { path, why: Unreadable::Later(error) } => {
                Self::unexpected(format!("{path} {error}: a later release wrote it")).hint(format!(
                    "use the sftunnel-install of that release; or move the file away: {forgotten}"
                ))
            }
            RecordError::ReceiptOut { path, errno: Errno::NOTDIR | Errno::LOOP } => {
                let message = format!("--receipt-out: {} is not a folder", path.display());
                Self::refused(Reason::BadFormat, message)
                    .hint("name the folder itself; a link is not followed")
            }
            RecordError::ReceiptOut { path, errno } => {
                Self::io(format!("--receipt-out: {}", path.display()), &errno.into())
            }
        }
    }
}

fn give_up(journal: &str) -> String {
    format!(
        "look at the live files with `sftunnel-install status` and at the backups with `sftunnel-install backups verify`;\n\
         then move {journal} away and run `sftunnel-install rollback --to ID`"
    )
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::NotFound { named, state } => {
                let message = format!("there is no backup '{named}' in {state}/{BACKUPS}");
                Self::refused(Reason::NotFound, message)
                    .hint("`sftunnel-install backups list` shows them")
            }
            BackupError::NoNumberLeft { newest, state } => {
                Self::unexpected(format!("{state}/{BACKUPS}: no number comes after {newest}"))
                    .hint("that is no backup of this program; move it away")
            }
            BackupError::NotMade { path, error } => Self::io(path, &error)
                .or_hint("nothing was changed; `sftunnel-install backups prune` makes room"),
            BackupError::Damaged { id, error } => {
                Self::refused(Reason::Damaged, format!("backup {id} is damaged: {error}"))
                    .hint("`sftunnel-install backups verify` checks the others")
            }
            BackupError::Later { id, error } => {
                let message = format!("backup {id} was made by a later release: {error}");
                Self::refused(Reason::Damaged, message)
                    .hint("use the sftunnel-install that made it")
            }
            BackupError::OtherDevice { id, device, own } => {
                let own = own_name(own.as_ref());
                let message = format!(
                    "backup {id} holds files of device {device}, this box is {own}: nothing was put back"
                );
                Self::refused(Reason::WrongDevice, message).hint("`sftunnel-install backups list` shows the others; when this box was given another UUID on purpose, go on with --accept-device")
            }
            BackupError::HalfRemoved { id, error } => Self::from(*error)
                .preceded_by(format!(
                    "backup {id} was removed from the list, but not all of it was deleted"
                ))
                .exit(Exit::NeedsPerson)
                .also_hint("mend that, then run `sftunnel-install recover`: it deletes the rest"),
        }
    }
}

fn own_name(own: Option<&DeviceUuid>) -> &str {
    own.map_or("another", DeviceUuid::as_str)
}

impl From<ReplaceError> for Failure {
    fn from(error: ReplaceError) -> Self {
        match error {
            ReplaceError::Obstacles(found) => {
                let lines =
                    |of: fn(&Obstacle) -> String| found.iter().map(of).collect::<Vec<_>>().join("\n");
                Self::refused(Reason::CannotReplace, lines(Obstacle::message))
                    .hint(lines(Obstacle::hint))
            }
            ReplaceError::ChangedSincePlan { folder } => {
                let message = format!("{folder} was changed after the plan was made");
                Self::refused(Reason::Busy, message).hint("look with `sftunnel-install status`: the manager may have pushed new files itself")
            }
            ReplaceError::NotStaged(error) => Self::from(*error).or_hint("nothing was changed; make room or make it writable, then run the same command again"),
            ReplaceError::NotGiven { path, error } => {
                let message = format!("{path}: {error}");
                match error.error.kind() {
                    ErrorKind::StorageFull
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::ReadOnlyFilesystem => {
                        Self::io(path, &error.error).map_message(|_| message)
                    }
                    _ => Self::refused(Reason::CannotReplace, message).hint(format!(
                        "`getfattr -d -m - {path}` shows it; find out what forbids it (`dmesg`), or whether it is needed"
                    )),
                }
            }
            ReplaceError::NoRoomHeld { state, error } => {
                Self::io(format!("{state}: room to put the old files back"), &error)
                    .or_hint("nothing was changed; make room, for example below /ngfw/var/common")
            }
            ReplaceError::Swap { path, error } => match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ResourceBusy => {
                    Self::refused(Reason::CannotReplace, format!("replacing {path}: {error}")).hint("`lsattr` shows whether it was made immutable meanwhile, `findmnt -T` whether something was mounted over it")
                }
                _ => Self::io(format!("replacing {path}"), &error),
            }
            .exit(Exit::Failed),
        }
    }
}

impl Obstacle {
    /// Names the file or directory, and the reason.
    pub(crate) fn message(&self) -> String {
        let Self { path, in_the_way, names } = self;
        let reason = match in_the_way {
            InTheWay::Mount => {
                return format!("something is mounted over {path}, so it cannot be replaced");
            }
            InTheWay::Protected(Protection::Immutable) => "is immutable",
            InTheWay::Protected(Protection::AppendOnly) => "is append-only",
            InTheWay::ReadOnly => "lies on a read-only mount",
        };
        match names {
            None => format!("{path} {reason}, so it cannot be replaced"),
            Some(names) => {
                let names = names.iter().map(|file| file.name()).collect::<Vec<_>>().join(", ");
                format!("{path} {reason}, so nothing in it can be replaced: {names}")
            }
        }
    }

    /// Names the command that shows it, and the way out.
    pub(crate) fn hint(&self) -> String {
        let Self { path, in_the_way, names } = self;
        let d = if names.is_some() { "-d " } else { "" };
        let flag = match in_the_way {
            InTheWay::Mount => {
                return format!(
                    "`findmnt -T {path}` shows it; find out who needs it before `umount {path}`"
                );
            }
            InTheWay::ReadOnly => {
                return format!(
                    "`findmnt -T {path}` shows it; find out why (`dmesg`) before making it writable"
                );
            }
            InTheWay::Protected(Protection::Immutable) => 'i',
            InTheWay::Protected(Protection::AppendOnly) => 'a',
        };
        format!(
            "`lsattr {d}{path}` shows it; find out who wants it so before `chattr -{flag} {path}`"
        )
    }
}

impl From<NotDone> for Failure {
    fn from(error: NotDone) -> Self {
        let failure = match error {
            NotDone::Interrupted(goal) => interrupted(goal),
            NotDone::ServiceUnreadable(error) => Self::from(error)
                .map_message(|message| format!("the new files are in place, but {message}"))
                .without_reason()
                .hint("look at what `pmtool status` prints; when it lists sftunnel, run `sftunnel-install recover` again"),
            NotDone::LiveUnreadable { journal, error } => Self::from(*error).also_hint(format!(
                "then run `sftunnel-install recover`; or, to give the interrupted run up, remove {journal}"
            )),
            NotDone::ChangedBySomebody { path, journal, backup, noticed } => {
                Self::unexpected(format!("{path} was changed by another program {}", noticed.when())).hint(format!(
                    "look with `sftunnel-install status`: the manager may have pushed new files itself\n\
                     to keep what is there: `pmtool restartbyid sftunnel`, then remove {journal}\n\
                     to put the files of before back: remove {journal}, then run `sftunnel-install rollback --to {backup}`"
                ))
            }
            NotDone::NotRecorded { goal, error } => {
                let which = if goal == Goal::Restore { "old files are back" } else { "files are" };
                Self::from(*error)
                    .preceded_by(format!(
                        "the {which} in place and sftunnel runs on them, but that could not be recorded"
                    ))
                    .also_hint("mend that, then run `sftunnel-install recover`")
            }
            NotDone::NotKept { why, error } => Self::from(*error)
                .preceded_by(format!(
                    "the new files are in place, but {why}; and it could not be recorded that they stay"
                ))
                .or_hint("mend that, then run `sftunnel-install recover`: it waits for sftunnel, or puts the old files back"),
            NotDone::PutBack { error, pid } => {
                let back = format!("the old files are back, and sftunnel was restarted on them (PID {pid})");
                let failure = Self::from(*error).map_message(|message| format!("{message}; {back}"));
                return failure.exit(Exit::RolledBack);
            }
            NotDone::NotSwept { is_all_new, error } => Self::from(*error)
                .preceded_by(format!(
                    "the interrupted run was finished: all {}; but what it left could not be removed",
                    if is_all_new { "new" } else { "old" }
                ))
                .also_hint("mend that, then run `sftunnel-install recover` again"),
        };
        failure.exit(Exit::NeedsPerson)
    }
}

fn interrupted(goal: Goal) -> Failure {
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
    Failure::unexpected(message).hint(next)
}

impl Noticed {
    fn when(self) -> &'static str {
        match self {
            Self::PuttingBack => {
                "since: it is not the old file and not the new one, so nothing was put back"
            }
            Self::Recording => {
                "during the wait for sftunnel; sftunnel runs, but it is not known on which files"
            }
        }
    }
}

impl From<NotBack> for Failure {
    fn from(error: NotBack) -> Self {
        match error {
            NotBack::Failed(error) => Self::from(*error)
                .or_hint("mend that, then run `sftunnel-install recover`")
                .exit(Exit::NeedsPerson),
            NotBack::AfterUnproved { why, error } => {
                Self::from(*error).map_message(|message| format!("{why}\n{message}"))
            }
            NotBack::BackupUnusable { journal, error } => Self::from(*error).hint(format!(
                "the interrupted run cannot be undone without it: look at what is live with `sftunnel-install status`\n\
                 to give that run up, remove {journal}; then install a kit, or `sftunnel-install rollback --to` another backup"
            )),
            NotBack::NotTheBackup(id) => Self::refused(Reason::Damaged, format!(
                "backup {id} is not the one of the interrupted run: its checksums differ from those in the journal, so nothing was put back"
            )),
            NotBack::OtherDevice { journal, device, own, backup } => {
                let own = own_name(own.as_ref());
                let message =
                    format!("{journal} is of device {device}, this box is {own}: nothing was put back");
                Self::refused(Reason::WrongDevice, message).exit(Exit::NeedsPerson).hint(format!(
                    "when this box was given another UUID on purpose: `sftunnel-install recover --accept-device`\n\
                     when its files came from another box: move {journal} away, look with `sftunnel-install status`; what that run found is backup {backup}"
                ))
            }
            NotBack::RestartUnknown { pid, detail } => Self::unexpected(format!(
                "the old files are back in place and sftunnel runs with PID {pid}, but it is not known whether it was restarted on them: its state before the restart could not be read ({detail})"
            ))
            .hint("run `sftunnel-install recover`: it restarts sftunnel once more"),
            NotBack::Down { why, still_open: None } => {
                Self::unexpected(format!("the old files are back in place, but {why}"))
                    .hint("restart sftunnel by hand (`pmtool enablebyid sftunnel`, `pmtool restartbyid sftunnel`) and look at /ngfw/var/log/messages")
            }
            NotBack::Down { why, still_open: Some(open) } => Self::unexpected(format!(
                "the old files are back in place, but {why}; and the journal could not be closed: {}",
                Self::from(*open).message()
            )),
        }
    }
}
