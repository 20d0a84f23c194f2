//! The same work on many items, on all cores; results in the order of the items.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use console::exit::Failure;
use console::terminal::Progress;

/// Runs `work` on every item. The number of items in flight is the number of cores, so
/// memory grows with the results only.
///
/// # Errors
/// The first failure; the items that are not yet begun are then left alone.
pub(crate) fn in_order<T: Sync, R: Send>(
    items: &[T],
    mut progress: Progress,
    work: impl Fn(&T) -> Result<R, Failure> + Sync,
) -> Result<Vec<R>, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let mut failure = None;
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..cores.min(items.len()) {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                while !stop.load(Ordering::Relaxed) {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    if sender.send((at, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (done, (at, result)) in receiver.into_iter().enumerate() {
            progress.at(done + 1);
            match (result, results.get_mut(at)) {
                (Ok(result), Some(slot)) => *slot = Some(result),
                (Err(error), _) => {
                    stop.store(true, Ordering::Relaxed);
                    failure.get_or_insert(error);
                }
                (Ok(_), None) => {}
            }
        }
    });
    progress.finish();
    match failure {
        Some(failure) => Err(failure),
        None => Ok(results.into_iter().flatten().collect()),
    }
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
