//! Signals: at rest, with nothing half done, they end or stop the program like any other. Code that
//! has something to put right first holds them back.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::process::Pid;
use signal_hook::consts::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGSYS, SIGTERM,
    SIGTRAP, SIGTSTP, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use signal_hook::{flag, low_level};

use crate::say::failure::Failure;

/// Signals that end a program and may come from outside: timers and limits of a wrapper, an
/// operator, a failing power supply. Those of the program's own faults (SIGSEGV, SIGBUS, SIGILL,
/// SIGFPE) cannot be held back.
const ENDING: [i32; 14] = [
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGUSR1, SIGUSR2,
    SIGIO, SIGTRAP, SIGSYS, SIGABRT,
];
/// SIGSTKFLT and SIGPWR, which have no names here, and the realtime signals, of which the C library
/// keeps a few for itself.
const WITHOUT_A_NAME: [std::ops::RangeInclusive<i32>; 3] = [16..=16, 30..=30, 34..=64];

/// All signals that end a program and can be held back.
pub fn ending() -> impl Iterator<Item = i32> {
    ENDING.into_iter().chain(WITHOUT_A_NAME.into_iter().flatten())
}

/// Makes a write beyond `RLIMIT_FSIZE` an error like any other (EFBIG), in place of a SIGXFSZ that
/// ends the program without a word.
pub fn make_file_size_limit_an_error() {
    let _ = flag::register(SIGXFSZ, Arc::default());
}

#[derive(Debug)]
struct Shared {
    at_rest: Arc<AtomicBool>,
    /// The number of a signal that ends the program; 0 when none came.
    ending: Arc<AtomicUsize>,
    /// The number of a signal that stops the program; 0 when none came.
    stopping: Arc<AtomicUsize>,
    /// True if the program was stopped by anybody and continued: the terminal may have other modes
    /// now.
    continued: Arc<AtomicBool>,
    /// Signals ignored at the start, one bit for each.
    ignored: u64,
}

/// The flag of the process that is true while signals ([`ending`], SIGTSTP) have their default
/// effect, as they do at first. Signals that were ignored when the program began (`nohup`) stay so.
///
/// # Errors
/// Fails when the system does not allow handlers.
pub fn at_rest() -> Result<Arc<AtomicBool>, Failure> {
    Ok(Arc::clone(&shared()?.at_rest))
}

/// Returns true if this signal was ignored when the program began.
///
/// # Errors
/// Like [`at_rest`].
pub fn is_ignored(signal: i32) -> Result<bool, Failure> {
    Ok(shared()?.ignored & bit(signal) != 0)
}

/// Gives every signal its default effect in children, even if this program's caller ignores it:
/// children inherit ignored signals but not handlers. A daemon that begins with SIGHUP or SIGTERM
/// ignored cannot be reloaded or stopped; with SIGCHLD ignored (`$SIG{CHLD} = 'IGNORE'` in Perl)
/// nobody can wait for a child.
///
/// SIGTTIN and SIGTTOU are left out: a handler for these makes a program at a terminal wait for
/// ever. SIGPIPE is left to std.
pub fn give_children_usual_signals() -> std::io::Result<()> {
    static ARE_GIVEN: AtomicBool = AtomicBool::new(false);
    if ARE_GIVEN.load(Ordering::SeqCst) {
        return Ok(());
    }
    if is_bit_set(SIGCHLD) {
        flag::register(SIGCHLD, Arc::default())?;
    }
    for signal in ending().chain([SIGTSTP, SIGXFSZ]).filter(|signal| is_bit_set(*signal)) {
        // a signal that the C library keeps for itself cannot have a handler
        let _ = flag::register(signal, Arc::default());
    }
    ARE_GIVEN.store(true, Ordering::SeqCst);
    Ok(())
}

fn is_bit_set(signal: i32) -> bool {
    ignored_at_first() & bit(signal) != 0
}

fn shared() -> Result<&'static Shared, Failure> {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    let shared = SHARED
        .get_or_init(|| Shared::take_over().map_err(|error: std::io::Error| error.to_string()));
    let failed = |error| Failure::unexpected(format!("cannot take signals over: {error}"));
    shared.as_ref().map_err(failed)
}

impl Shared {
    fn take_over() -> std::io::Result<Self> {
        let shared = Self {
            at_rest: Arc::new(AtomicBool::new(true)),
            ending: Arc::default(),
            stopping: Arc::default(),
            continued: Arc::default(),
            ignored: ignored_at_first(),
        };
        for signal in ending().filter(|signal| shared.ignored & bit(*signal) == 0) {
            match shared.note(signal, &shared.ending) {
                Err(error) if ENDING.contains(&signal) => return Err(error),
                // a signal that the C library keeps for itself
                _ => {}
            }
        }
        // in a session's first group nobody could say `fg`, so the kernel drops the signal of
        // Ctrl-Z unless there is a handler. If the group is unknown, it stays so
        if shared.ignored & bit(SIGTSTP) == 0 && may_be_stopped() {
            shared.note(SIGTSTP, &shared.stopping)?;
        }
        // as in the kernel: SIGCONT cancels stops that came before
        flag::register_usize(SIGCONT, Arc::clone(&shared.stopping), 0)?;
        flag::register(SIGCONT, Arc::clone(&shared.continued))?;
        Ok(shared)
    }

    fn note(&self, signal: i32, into: &Arc<AtomicUsize>) -> std::io::Result<()> {
        // in this order: a program that the second stops forgets the first's once continued
        flag::register_usize(signal, Arc::clone(into), usize::try_from(signal).unwrap_or(0))?;
        match low_level::signal_name(signal) {
            Some(_) => flag::register_conditional_default(signal, Arc::clone(&self.at_rest))?,
            // the library cannot emulate its default
            None => flag::register_conditional_shutdown(
                signal,
                as_status(signal),
                Arc::clone(&self.at_rest),
            )?,
        };
        Ok(())
    }
}

/// Exit status by which a shell shows an end by a signal.
fn as_status(signal: i32) -> i32 {
    128 + signal
}

/// Signals that this process ignored when it began, in the kernel's form: one bit for each.
fn ignored_at_first() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED.get_or_init(ignored)
}

fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Returns this process's group and session. `None` stands for one that began in another process
/// namespace (as in a container in which a program was started from outside), where the kernel says
/// 0 and rustix's `getpgrp` and `getsid` must not be called; and for both without `/proc`.
pub(crate) fn own_group_and_session() -> [Option<Pid>; 2] {
    let stat = fs::read("/proc/self/stat").unwrap_or_default();
    group_and_session(&String::from_utf8_lossy(&stat))
}

/// Parses the fifth and sixth field of proc_pid_stat(5), counted from the end of the name, which
/// may contain anything.
fn group_and_session(stat: &str) -> [Option<Pid>; 2] {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut fields = fields.split_whitespace().skip(2);
    [(); 2].map(|()| fields.next()?.parse().ok().and_then(Pid::from_raw))
}

/// Returns true if somebody could continue this process once the terminal has stopped it.
pub fn may_be_stopped() -> bool {
    let [group, session] = own_group_and_session();
    group.is_some() && group != session
}

fn bit(signal: i32) -> u64 {
    u32::try_from(signal - 1).ok().and_then(|shift| 1_u64.checked_shl(shift)).unwrap_or(0)
}

/// Holds signals back while it lives; one that came takes effect when it is dropped.
#[derive(Debug)]
pub(crate) struct HeldBack {
    shared: &'static Shared,
    was_at_rest: bool,
}

impl HeldBack {
    /// Begins to hold signals back.
    pub(crate) fn begin() -> Result<Self, Failure> {
        let shared = shared()?;
        if shared.at_rest.load(Ordering::SeqCst) {
            // a signal that stopped the program at rest has had its effect. This comes before the
            // flag, so that one in between has its effect as well and none is lost
            shared.continued.store(false, Ordering::SeqCst);
            shared.stopping.store(0, Ordering::SeqCst);
            shared.ending.store(0, Ordering::SeqCst);
        }
        let was_at_rest = shared.at_rest.swap(false, Ordering::SeqCst);
        Ok(Self { shared, was_at_rest })
    }

    /// Returns true if a signal is pending, or others have stopped the program.
    pub(crate) fn is_any(&self) -> bool {
        let came = |cell: &AtomicUsize| cell.load(Ordering::SeqCst) != 0;
        let was_continued = self.shared.continued.load(Ordering::SeqCst);
        self.was_at_rest
            && (came(&self.shared.ending) || came(&self.shared.stopping) || was_continued)
    }

    /// Lets pending signals take effect: the program ends here, or stops until it is continued.
    /// Until `resumed` returns, all signals have their effect.
    pub(crate) fn obey(&self, resumed: impl FnOnce()) {
        let came = |cell: &AtomicUsize| {
            let number = cell.swap(0, Ordering::SeqCst);
            i32::try_from(number).ok().filter(|signal| *signal > 0 && self.was_at_rest)
        };
        if let Some(signal) = came(&self.shared.ending) {
            let _ = low_level::emulate_default_handler(signal);
            low_level::exit(as_status(signal));
        }
        let stop = came(&self.shared.stopping);
        if stop.is_some() || self.shared.continued.load(Ordering::SeqCst) {
            let before = self.shared.at_rest.swap(true, Ordering::SeqCst);
            if let Some(signal) = stop {
                let _ = low_level::emulate_default_handler(signal);
            }
            resumed();
            self.shared.continued.store(false, Ordering::SeqCst);
            self.shared.at_rest.store(before, Ordering::SeqCst);
        }
    }

    /// Stops holding signals back, before this is dropped.
    pub(crate) fn release(&self) {
        self.shared.at_rest.store(self.was_at_rest, Ordering::SeqCst);
        self.obey(|| {});
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_another_namespace_is_none() {
        let of =
            |stat| group_and_session(stat).map(|pid| pid.map(|pid| pid.as_raw_nonzero().get()));
        assert_eq!(of("7 (a) b) c) S 1 5 4 34816 5 4194304"), [Some(5), Some(4)]);
        assert_eq!(of("7 (sh) S 0 0 0 34816 0 4194304"), [None, None]);
        assert_eq!(of("7 (sh) S 1 7 0 34816 0 4194304"), [Some(7), None]);
        assert_eq!(of(""), [None, None]);
    }

    #[test]
    fn the_bits_are_those_of_the_kernel() {
        assert_eq!(bit(SIGHUP), 1);
        assert_eq!(bit(SIGINT), 2);
        assert_eq!(bit(SIGTERM), 0x4000);
        // the test runner ignores SIGPIPE, as every program in Rust does
        assert_ne!(ignored() & bit(13), 0);
        assert_eq!(ignored() & bit(SIGTERM), 0);
    }
}
