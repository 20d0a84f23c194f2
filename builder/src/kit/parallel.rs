//! The same work on many items, on all cores; results in the order of the items.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use cli::say::exit::Failure;
use cli::say::terminal::Progress;

/// Runs `work` on every item. The number of items in flight is the number of cores, so
/// memory grows with the results only. The thread that calls works along.
///
/// # Errors
/// One of the failures; the items that are not yet begun are then left alone.
pub(crate) fn in_order<T: Sync, R: Send + Sync>(
    items: &[T],
    progress: Progress,
    work: impl Fn(&T) -> Result<R, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    in_runs(items, 1, progress, |run| run.iter().map(&work).collect())
}

/// The same for work that is done on up to `longest` neighbours at once; it gives a result for
/// each.
///
/// # Errors
/// As [`in_order`].
pub(crate) fn in_runs<T: Sync, R: Send + Sync>(
    items: &[T],
    longest: usize,
    mut progress: Progress,
    work: impl Fn(&[T]) -> Result<Vec<R>, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // a few for each core, so that all are busy to the end
    let length = (items.len() / (4 * cores)).clamp(1, longest);
    let (next, done, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    // each in its place at once: nothing is sent, sorted, or held twice
    let results: Vec<OnceLock<R>> = items.iter().map(|_| OnceLock::new()).collect();
    let one = || -> Result<bool, Failure> {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let (Some(run), Some(slots)) =
            (items.chunks(length).nth(at), results.chunks(length).nth(at))
        else {
            return Ok(false);
        };
        let made = work(run).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
        for (slot, result) in slots.iter().zip(made) {
            slot.get_or_init(|| result);
        }
        done.fetch_add(run.len(), Ordering::Relaxed);
        Ok(!stop.load(Ordering::Relaxed))
    };
    let finished = std::thread::scope(|scope| {
        let others: Vec<_> = (1..cores.min(items.len()))
            .map(|_| {
                scope.spawn(|| -> Result<(), Failure> {
                    while one()? {}
                    Ok(())
                })
            })
            .collect();
        let mut own = || -> Result<(), Failure> {
            while one()? {
                progress.at(done.load(Ordering::Relaxed));
            }
            Ok(())
        };
        let own = own();
        others.into_iter().fold(own, |all, other| all.and(joined(other)))
    });
    progress.finish();
    finished?;
    Ok(results.into_iter().filter_map(OnceLock::into_inner).collect())
}

/// What a thread came to.
///
/// # Errors
/// Its own, or when it panicked.
pub(crate) fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, Failure>>) -> Result<T, Failure> {
    let ended = |_| Err(Failure::unexpected("a thread of this program ended before its time"));
    thread.join().unwrap_or_else(ended)
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
    fn runs_cover_everything_and_leave_no_core_idle() {
        for items in [0, 1, 7, 63, 64, 65, 1000] {
            let items: Vec<usize> = (0..items).collect();
            let longest_seen = AtomicUsize::new(0);
            let results = in_runs(&items, 16, progress(), |run| {
                longest_seen.fetch_max(run.len(), Ordering::Relaxed);
                Ok(run.to_vec())
            });
            assert_eq!(results.unwrap(), items);
            let longest = longest_seen.into_inner();
            assert!(longest <= 16 && longest <= (items.len() / 4).max(1), "{longest}");
        }
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
