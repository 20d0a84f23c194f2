//! How urgent a certificate is; the same at the manager and at the device.

use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::exit::Exit;

/// WARNING below this many days, unless told otherwise.
pub const WARNING: u32 = 90;
/// CRITICAL below this many.
pub const CRITICAL: u32 = 30;

/// As monitoring plugins have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// It cannot be judged.
    Unknown,
    /// Plan it.
    Warning,
    /// Do it now.
    Critical,
}

impl Level {
    /// The plugin's exit code. The numbers of [`Exit`] mean other things everywhere else.
    pub fn exit(self) -> Exit {
        match self {
            Self::Ok => Exit::Done,
            Self::Warning => Exit::Failed,
            Self::Critical => Exit::Usage,
            Self::Unknown => Exit::Refused,
        }
    }

    /// As it is shown and as JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Unknown => "UNKNOWN",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }

    /// How urgent it is with so many days left; the thresholds are days, too.
    pub fn by_days(days: i64, warning: u32, critical: u32) -> Self {
        if days < i64::from(critical) {
            Self::Critical
        } else if days < i64::from(warning) {
            Self::Warning
        } else {
            Self::Ok
        }
    }
}

/// The columns of a [`bar`]: a year each.
pub const BAR: usize = 10;

/// What is over of a validity as `#`, what is left as `.`, a year each; ten years fill the
/// bar, a shorter life a part of it. Rounding hides neither the first nor the last day.
pub fn bar(start: Timestamp, end: Timestamp, now: Timestamp) -> String {
    const YEAR: i64 = 365 * 86_400;
    let years = |from: Timestamp, to: Timestamp| {
        usize::try_from((to.unix() - from.unix()) / YEAR).unwrap_or(0)
    };
    let whole = years(start, end).clamp(1, BAR);
    let over = if now > end { whole } else { years(start, now).min(whole - 1) };
    format!("{}{}", "#".repeat(over), ".".repeat(whole - over))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_ten_years() {
        const YEAR: i64 = 365 * 86_400;
        let at = |years: i64, seconds| Timestamp::from_unix(years * YEAR + seconds).unwrap();
        let bar = |now| bar(at(0, 0), at(10, 0), now);
        assert_eq!(bar(at(0, 0)), "..........");
        assert_eq!(bar(at(5, 0)), "#####.....");
        assert_eq!(bar(at(10, 0)), "#########.", "the last second is left");
        assert_eq!(bar(at(10, 1)), "##########");
        assert_eq!(bar(at(-1, 0)), "..........");
        let (start, end) = (at(0, 0), at(0, 86_400));
        assert_eq!([super::bar(start, end, start), super::bar(start, end, at(1, 0))], [".", "#"]);
    }
}
