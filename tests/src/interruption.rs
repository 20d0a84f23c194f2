//! A run cut off at every call that changes a file, and a box switched off with every state of
//! its disk that may be left. Used by a sample of it in `make test`, and by `make interrupt`.
//!
//! | module | holds |
//! |---|---|
//! | [`tree`] | a folder in memory |
//! | [`stand`] | boxes to interrupt |
//! | [`trace`] | which calls a run makes, as `strace` saw them |
//! | [`fault`] | what goes wrong at one of them |
//! | [`verdict`] | what must hold afterwards |
//! | [`matrix`] | every call with every fault |
//! | [`again`] | `recover` cut off at each of its own calls, and its recovery, and so on |
//! | [`queue`] | the work of a search, shared by its boxes |
//! | [`disk`] | what a power cut may leave of the calls, by kind of file system |
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

/// Says on standard error how far a search is, twenty times; a short one says nothing.
#[allow(clippy::print_stderr)]
fn say_progress(at: usize, all: usize) {
    if all >= 60 && at > 0 && at.is_multiple_of(all / 20) {
        eprintln!("{at} of {all}");
    }
}
