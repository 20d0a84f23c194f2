//! Signals are noted, and acted on only where nothing is half done.
//!
//! Before the first live change a signal ends the run with nothing changed. From the commit
//! to the last rename it is held back. While waiting for sftunnel it ends the waiting, with
//! the journal in place for `recover`. SIGHUP is noted like the others only until the
//! commit: a terminal that goes away must not stop an installation half-way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use console::exit::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// The signals that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Signals {
    stop: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
}

impl Signals {
    /// Starts noting them in place of dying of them.
    pub(crate) fn hold() -> Result<Self, Failure> {
        let signals = Self { stop: Arc::default(), hangup: Arc::default() };
        let register = |signal, flag: &Arc<AtomicBool>| {
            signal_hook::flag::register(signal, Arc::clone(flag))
                .map_err(|error| Failure::unexpected(format!("cannot hold signals back: {error}")))
        };
        for signal in [SIGINT, SIGTERM, SIGQUIT] {
            register(signal, &signals.stop)?;
        }
        register(SIGHUP, &signals.hangup)?;
        Ok(signals)
    }

    /// Whether the operator wants this to end.
    pub(crate) fn pending(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Ends the run where nothing has changed yet.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.pending() || self.hangup.load(Ordering::SeqCst) {
            return Err(Failure::unexpected("interrupted by a signal; nothing was changed"));
        }
        Ok(())
    }
}
