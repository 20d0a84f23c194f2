//! Runs cut off at every call that changes a file, and boxes switched off with every possible state
//! of their disk. `make test` runs a sample, `make interrupt` all.
//!
//! | module | holds |
//! |---|---|
//! | [`tree`] | a folder in memory |
//! | [`stand`] | boxes to interrupt |
//! | [`trace`] | the calls of a run, as `strace` saw them |
//! | [`fault`] | the faults at one of them |
//! | [`verdict`] | the conditions that must hold afterwards |
//! | [`matrix`] | every call with every fault |
//! | [`again`] | `recover` cut off at each of its own calls, and its recovery, and so on |
//! | [`queue`] | the work of a search, shared by its boxes |
//! | [`disk`] | the states that a power cut may leave, by kind of file system |
//! | [`power`] | every such state, recovered |

pub mod again;
pub mod disk;
pub mod fault;
pub mod matrix;
pub mod power;
pub mod queue;
pub mod stand;
pub mod trace;
pub mod tree;
pub mod verdict;

/// Reports the progress of a search on standard error, twenty times; a short one stays silent.
#[allow(clippy::print_stderr)]
fn say_progress(at: usize, all: usize) {
    if all >= 60 && at > 0 && at.is_multiple_of(all / 20) {
        eprintln!("{at} of {all}");
    }
}
