//! Keeps key material out of core dumps and swap.

use std::sync::OnceLock;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Limit on core dumps with which this process began.
static CORE: OnceLock<Rlimit> = OnceLock::new();

/// Turns core dumps of this process off: it is not dumpable (`PR_SET_DUMPABLE`, which also keeps
/// other processes of the same user from attaching) and its core size is 0. The hard limit stays,
/// as no child could raise it again. No child inherits the caller's open files, which a daemon
/// would keep open for as long as it runs.
///
/// A kernel that refuses is no reason to stop, so there is no error.
pub fn protect_process() {
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let found = *CORE.get_or_init(|| getrlimit(Resource::Core));
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..found });
    // beyond the standard three: that of a passphrase, or of a file on the stick
    close_fds::set_fds_cloexec(3, &[]);
}

/// Starts a program under the limits that this one was started with, as a daemon keeps its limits
/// for as long as it runs. This process itself stays not dumpable meanwhile.
pub(crate) fn with_limits_as_found<T>(begin: impl FnOnce() -> T) -> T {
    let Some(found) = CORE.get() else { return begin() };
    let _ = setrlimit(Resource::Core, *found);
    let begun = begin();
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..*found });
    begun
}

/// Runs an action that needs `/proc/self`, which belongs to root while a process is not dumpable.
/// To be used before secrets are read.
pub(crate) fn while_dumpable<T>(action: impl FnOnce() -> T) -> T {
    let before = rustix::process::dumpable_behavior();
    let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
    let result = action();
    if let Ok(before) = before {
        let _ = set_dumpable_behavior(before);
    }
    result
}

/// Keeps touched memory out of swap, if this process may lock any amount.
///
/// Under a limit (`RLIMIT_MEMLOCK`, for anybody but root) nothing is locked: since later mappings
/// would be locked as well, mmap(2) would fail beyond the limit, and scrypt alone takes 256 MiB.
pub fn lock_memory() {
    if may_lock_any_amount() {
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
}

/// Returns true if no limit is set, or none counts for this process (`CAP_IPC_LOCK`), which can
/// then lock memory even with a limit of 0.
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
