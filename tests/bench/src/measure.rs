//! One command, several runs: wall time, processor time, peak memory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wait4::Wait4;

use crate::Result;

/// Resources that a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Time from start to end.
    pub wall: Duration,
    /// User and system time of the process and its children.
    pub cpu: Duration,
    /// Peak resident memory in KiB of the largest process.
    pub peak_kib: u64,
}

impl Figures {
    /// Runs a command to its end.
    pub(crate) fn of(mut command: Command) -> Result<Self> {
        let started = Instant::now();
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut said)?;
        }
        let used = child.wait4()?;
        if !used.status.success() {
            return Err(format!("{command:?} ended with {}: {said}", used.status).into());
        }
        Ok(Self {
            wall: started.elapsed(),
            cpu: used.rusage.utime + used.rusage.stime,
            peak_kib: used.rusage.maxrss / 1024,
        })
    }

    /// Median of each figure.
    pub(crate) fn medians(all: &[Self]) -> Self {
        Self {
            wall: median(all.iter().map(|figures| figures.wall)),
            cpu: median(all.iter().map(|figures| figures.cpu)),
            peak_kib: median(all.iter().map(|figures| figures.peak_kib)),
        }
    }
}

/// Median of the values; the default if there are none.
pub(crate) fn median<T: Ord + Copy + Default>(values: impl IntoIterator<Item = T>) -> T {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
