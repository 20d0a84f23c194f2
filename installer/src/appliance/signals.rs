//! Signals are noted, and acted on only where nothing is half done.
//!
//! At rest (while reading, checking, asking) a signal ends the program as it would any other.
//! From the beginning of a transaction it is noted: before the commit it ends the run with
//! nothing changed; from the commit to the last rename it is held back; while waiting for
//! sftunnel it ends the waiting, with the journal in place for `recover`. A SIGHUP after the
//! commit is passed over: a terminal that goes away must not stop an installation half-way. So
//! is Ctrl-Z (SIGTSTP, SIGTTIN, SIGTTOU) from the beginning on: a run that is stopped between two
//! renames would leave a mixed set for as long as nobody says `fg`, and keep the lock.
//!
//! These are all signals that end or stop a program and can be held back: also those of a wrapper's
//! timer (SIGALRM), of a limit (SIGXCPU), of a failing power supply.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cli::process::signals::{at_rest, ending, is_ignored, may_be_stopped};
use signal_hook::consts::{SIGHUP, SIGTSTP, SIGTTIN, SIGTTOU};
use signal_hook::{flag, low_level};

use crate::appliance::error::Error;

/// The signals that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    at_rest: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
    /// The terminal may stop the program.
    stoppable: Arc<AtomicBool>,
    /// The number of the last one, until it is answered.
    unanswered: Arc<AtomicUsize>,
}

impl Signals {
    /// Takes the signals over, at rest.
    pub(crate) fn take() -> Result<Self, Error> {
        let signals = Self {
            at_rest: at_rest()?,
            stop: Arc::default(),
            hangup: Arc::default(),
            stoppable: Arc::new(AtomicBool::new(true)),
            unanswered: Arc::default(),
        };
        for signal in ending() {
            let noted = if signal == SIGHUP { &signals.hangup } else { &signals.stop };
            if !is_ignored(signal)? {
                // one that the C library keeps for itself is none that anybody sends
                let _ = flag::register(signal, Arc::clone(noted));
                if signal != SIGHUP {
                    let _ = signals.answer_to(signal);
                }
            }
        }
        if !is_ignored(SIGTSTP)? {
            signals.answer_to(SIGTSTP).map_err(Error::Signals)?;
        }
        for signal in [SIGTTIN, SIGTTOU] {
            if may_be_stopped() && !is_ignored(signal)? {
                flag::register_conditional_default(signal, Arc::clone(&signals.stoppable))
                    .map_err(Error::Signals)?;
            }
        }
        Ok(signals)
    }

    fn answer_to(&self, signal: i32) -> std::io::Result<()> {
        let number = usize::try_from(signal).unwrap_or(0);
        flag::register_usize(signal, Arc::clone(&self.unanswered), number).map(drop)
    }

    /// From here on signals are noted.
    pub(crate) fn begin(&self) {
        self.unanswered.store(0, Ordering::SeqCst);
        self.at_rest.store(false, Ordering::SeqCst);
        self.stoppable.store(false, Ordering::SeqCst);
    }

    /// From here on a signal ends the program. One that came before does so by the next
    /// [`Signals::check`].
    pub(crate) fn rest(&self) {
        self.at_rest.store(true, Ordering::SeqCst);
        self.over();
    }

    /// The transaction is over: the result is told, and a terminal that has another program in the
    /// foreground may make this one wait with it.
    pub(crate) fn over(&self) {
        self.stoppable.store(true, Ordering::SeqCst);
    }

    /// The name of a signal that came since the last call; of the last one, where several did.
    pub(crate) fn unanswered(&self) -> Option<&'static str> {
        let number = self.unanswered.swap(0, Ordering::SeqCst);
        let signal = i32::try_from(number).ok().filter(|signal| *signal > 0)?;
        Some(low_level::signal_name(signal).unwrap_or("a signal"))
    }

    /// True when the operator wants this to end.
    pub(crate) fn pending(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Ends the run where nothing has changed yet.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.pending() || self.hangup.load(Ordering::SeqCst) {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}
