//! Keeps key material out of core dumps and swap.

use std::sync::OnceLock;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// The limit on cores that this process began with.
static CORE: OnceLock<Rlimit> = OnceLock::new();

/// Turns core dumps of this process off: it is not dumpable (`PR_SET_DUMPABLE`, which also
/// keeps other processes of the same user from attaching) and its core size is 0. The hard limit
/// stays: no child could raise it again. What the caller has open is handed on to no child: a daemon
/// would keep it for as long as it runs.
///
/// A kernel that refuses either changes nothing for the operator, so there is no error.
pub fn protect_process() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let found = *CORE.get_or_init(|| getrlimit(Resource::Core));
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..found });
    // beyond the three standard ones: a passphrase's, or that of a file on the stick
    close_fds::set_fds_cloexec(3, &[]);
}

/// Begins a program under the limits that this one was begun under: a daemon that it starts keeps
/// them for as long as it runs. This process itself stays not dumpable meanwhile.
pub(crate) fn with_limits_as_found<T>(begin: impl FnOnce() -> T) -> T {
    let Some(found) = CORE.get() else { return begin() };
    let _ = setrlimit(Resource::Core, *found);
    let begun = begin();
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..*found });
    begun
}

/// Does something that needs `/proc/self`, which belongs to root while a process is not
/// dumpable. To be used before secrets are read.
pub(crate) fn while_dumpable<T>(action: impl FnOnce() -> T) -> T {
    let before = rustix::process::dumpable_behavior();
    let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
    let result = action();
    if let Ok(before) = before {
        let _ = set_dumpable_behavior(before);
    }
    result
}

/// Keeps memory out of swap, as far as it is touched, where any amount of it may be locked.
///
/// Where there is a limit (`RLIMIT_MEMLOCK`, for anybody but root) nothing is locked: with later
/// mappings locked as well, mmap(2) fails beyond it, and scrypt alone takes 256 MiB.
pub fn lock_memory() {
    if may_lock_any_amount() {
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
}

/// No limit is set, or it does not count for this process (`CAP_IPC_LOCK`): then locking works
/// with a limit of 0, too.
fn may_lock_any_amount() -> bool {
    let limit = getrlimit(Resource::Memlock);
    if limit.current.is_none() {
        return true;
    }
    let _ = setrlimit(Resource::Memlock, Rlimit { current: Some(0), ..limit });
    let may = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT).is_ok();
    let _ = setrlimit(Resource::Memlock, limit);
    may
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_core_is_written() {
        protect_process();
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
        let behavior = rustix::process::dumpable_behavior().unwrap();
        assert!(matches!(behavior, DumpableBehavior::NotDumpable));
    }
}
