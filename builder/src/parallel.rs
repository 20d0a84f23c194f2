//! The same work on many items, on all cores; results in the order of the items.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use console::exit::Failure;
use console::terminal::Progress;

/// Runs `work` on every item. The number of items in flight is the number of cores, so
/// memory grows with the results only. The thread that calls works along.
///
/// # Errors
/// One of the failures; the items that are not yet begun are then left alone.
pub(crate) fn in_order<T: Sync, R: Send + Sync>(
    items: &[T],
    mut progress: Progress,
    work: impl Fn(&T) -> Result<R, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, done, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    // each in its place at once: nothing is sent, sorted, or held twice
    let results: Vec<OnceLock<R>> = items.iter().map(|_| OnceLock::new()).collect();
    let one = || -> Result<bool, Failure> {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let (Some(item), Some(slot)) = (items.get(at), results.get(at)) else { return Ok(false) };
        let result = work(item).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
        slot.get_or_init(|| result);
        done.fetch_add(1, Ordering::Relaxed);
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
        let ended = |_| Err(Failure::unexpected("a thread of this program ended before its time"));
        others.into_iter().fold(own, |all, other| all.and(other.join().unwrap_or_else(ended)))
    });
    progress.finish();
    finished?;
    Ok(results.into_iter().filter_map(OnceLock::into_inner).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::terminal::Terminal;

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
        assert_eq!(result.unwrap_err().message, "two");
    }
}
