//! Signals at rest, where nothing is half done: they end or stop the program as they would any
//! other. Whoever has something to put right first holds them back.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use signal_hook::{flag, low_level};

use crate::exit::Failure;

#[derive(Debug)]
struct Shared {
    at_rest: Arc<AtomicBool>,
    arrived: Arc<AtomicUsize>,
}

/// Whether signals (SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP) have their default effect; one
/// flag for the process, which is true until somebody changes it.
///
/// # Errors
/// When the system does not let them be taken over.
pub fn at_rest() -> Result<Arc<AtomicBool>, Failure> {
    Ok(Arc::clone(&shared()?.at_rest))
}

fn shared() -> Result<&'static Shared, Failure> {
    static SHARED: OnceLock<Result<Shared, String>> = OnceLock::new();
    let take_over = || {
        let at_rest = Arc::new(AtomicBool::new(true));
        let arrived = Arc::new(AtomicUsize::new(0));
        for (signal, number) in [SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP]
            .map(|signal| (signal, usize::try_from(signal).unwrap_or_default()))
        {
            flag::register_conditional_default(signal, Arc::clone(&at_rest))?;
            flag::register_usize(signal, Arc::clone(&arrived), number)?;
        }
        Ok(Shared { at_rest, arrived })
    };
    let shared =
        SHARED.get_or_init(|| take_over().map_err(|error: std::io::Error| error.to_string()));
    let failed = |error| Failure::unexpected(format!("cannot take signals over: {error}"));
    shared.as_ref().map_err(failed)
}

/// Signals are noted while this lives. One that came has its effect when it ends.
#[derive(Debug)]
pub(crate) struct HeldBack {
    shared: &'static Shared,
    was_at_rest: bool,
}

impl HeldBack {
    /// From now on.
    pub(crate) fn begin() -> Result<Self, Failure> {
        let shared = shared()?;
        if shared.at_rest.load(Ordering::SeqCst) {
            // one that came at rest, and stopped the program, had its effect. Before the flag: one
            // that comes in between has it as well, and none is lost
            shared.arrived.store(0, Ordering::SeqCst);
        }
        let was_at_rest = shared.at_rest.swap(false, Ordering::SeqCst);
        Ok(Self { shared, was_at_rest })
    }

    /// Whether one came that is not obeyed yet.
    pub(crate) fn is_any(&self) -> bool {
        self.was_at_rest && self.shared.arrived.load(Ordering::SeqCst) != 0
    }

    /// Lets the one that came have its effect: the program ends here, or stops until it is
    /// continued.
    pub(crate) fn obey(&self) {
        let number = self.shared.arrived.swap(0, Ordering::SeqCst);
        if let (true, Ok(signal @ 1..)) = (self.was_at_rest, i32::try_from(number)) {
            let _ = low_level::emulate_default_handler(signal);
        }
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        self.shared.at_rest.store(self.was_at_rest, Ordering::SeqCst);
        self.obey();
    }
}
