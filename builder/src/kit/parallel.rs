//! The same work on many items, on all cores; results in the order of the items.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

use cli::say::failure::Failure;
use cli::say::terminal::Progress;

use crate::kit::error::Error;

/// Runs `work` on every item. The number of items in flight is the number of cores, so
/// memory grows with the results only. The thread that calls works along.
///
/// One of the failures ends it; the items that are not yet begun are then left alone.
pub(crate) fn in_order<T: Sync, R: Send>(
    items: &[T],
    progress: Progress,
    work: impl Fn(&T) -> Result<R, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    in_order_by(cores, items, progress, work)
}

/// Like [`in_order`], with this number of threads, for work that mostly waits.
pub(crate) fn in_order_by<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    mut progress: Progress,
    work: impl Fn(&T) -> Result<R, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    let next = AtomicUsize::new(0);
    // each result in its place at once, so that none is held twice
    let results = Mutex::new(items.iter().map(|_| None).collect::<Vec<Option<R>>>());
    let one = || -> Result<Option<usize>, Failure> {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(item) = items.get(at) else { return Ok(None) };
        let result = work(item).inspect_err(|_| next.store(items.len(), Ordering::Relaxed))?;
        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = results.get_mut(at) {
            *place = Some(result);
        }
        Ok(Some(at))
    };
    let finished = std::thread::scope(|scope| {
        let work_along = || -> Result<(), Failure> {
            while one()?.is_some() {}
            Ok(())
        };
        let others: Vec<_> =
            (1..threads.min(items.len())).map(|_| scope.spawn(work_along)).collect();
        let mut own = || -> Result<(), Failure> {
            while let Some(at) = one()? {
                progress.at(at);
            }
            Ok(())
        };
        let own = own();
        others.into_iter().fold(own, |all, other| all.and(joined(other)))
    });
    progress.finish();
    finished?;
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(results.into_iter().flatten().collect())
}

/// Waits for a thread's result, which may be that it panicked.
pub(crate) fn joined<T, E: From<Error>>(
    thread: ScopedJoinHandle<'_, Result<T, E>>,
) -> Result<T, E> {
    thread.join().unwrap_or_else(|_| Err(Error::ThreadEnded.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cli::say::terminal::Terminal;

    fn progress() -> Progress {
        Terminal::new(true, true, false).progress("testing", 0)
    }

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<u64> = (0..500).collect();
        let results = in_order(&items, progress(), |item| {
            if item % 7 == 0 {
                std::thread::yield_now();
            }
            Ok(item * 2)
        });
        assert_eq!(results.unwrap(), items.iter().map(|item| item * 2).collect::<Vec<_>>());
    }

    #[test]
    fn a_failure_ends_it() {
        let items = [1, 2, 3];
        let result = in_order(&items, progress(), |item| match item {
            2 => Err(Failure::unexpected("two")),
            other => Ok(*other),
        });
        assert_eq!(result.unwrap_err().message(), "two");
    }
}
