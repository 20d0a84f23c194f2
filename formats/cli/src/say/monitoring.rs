//! Urgency of a certificate, judged alike on manager and device. Words, codes and performance data
//! are those of monitoring plugins (monitoring-plugins.org, guidelines).

use clap::Args;
use formats::text::printable;
use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::say::exit::Exit;
use crate::say::failure::Failure;
use crate::say::page::{plain_errors, wrap};
use crate::say::terminal::{Color, Terminal};

/// Days left, below which it is urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args, Serialize)]
pub struct Thresholds {
    /// WARNING below this many days.
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    pub warning: u32,
    /// CRITICAL below this many days.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub critical: u32,
}

impl Thresholds {
    /// Checks that WARNING comes before CRITICAL.
    ///
    /// # Errors
    /// Returns a usage error when it does not.
    pub fn checked(self) -> Result<Self, Failure> {
        let Self { warning, critical } = self;
        if critical <= warning {
            return Ok(self);
        }
        let message = format!("--critical {critical} is more than --warning {warning}");
        Err(Failure::usage(message).hint("days count down: WARNING comes first"))
    }

    /// Performance data `label=days;warning;critical`; `90:` alerts below 90.
    pub fn perfdata(self, label: &str, days: i64) -> String {
        format!("{label}={days};{}:;{}:", self.warning, self.critical)
    }
}

/// State of a monitoring plugin, in the order of urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Nothing to do.
    Ok,
    /// The state is not known.
    Unknown,
    /// To be planned.
    Warning,
    /// To be done now.
    Critical,
}

impl Level {
    /// Exit code of the plugin. Everywhere else the numbers of [`Exit`] have other meanings.
    pub fn exit(self) -> Exit {
        match self {
            Self::Ok => Exit::Done,
            Self::Warning => Exit::Failed,
            Self::Critical => Exit::Usage,
            Self::Unknown => Exit::Refused,
        }
    }

    /// Word that is shown and used in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Unknown => "UNKNOWN",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
        }
    }

    /// Judges the number of days left.
    pub fn by_days(days: i64, thresholds: Thresholds) -> Self {
        if days < i64::from(thresholds.critical) {
            Self::Critical
        } else if days < i64::from(thresholds.warning) {
            Self::Warning
        } else {
            Self::Ok
        }
    }

    /// Colour of the word at a terminal.
    pub fn color(self) -> Color {
        match self {
            Self::Ok => Color::Green,
            Self::Warning | Self::Unknown => Color::Yellow,
            Self::Critical => Color::Red,
        }
    }

    /// The state in a sentence, which begins with its word; `summary` is foreign text.
    pub fn verdict(self, terminal: &Terminal, summary: &str) -> String {
        let word = self.word();
        let sentence = wrap(&format!("{word}: "), 2, &printable(summary).to_string());
        sentence.replacen(word, &terminal.paint(self.color(), word), 1)
    }

    /// Line that a monitoring system shows, with its performance data behind the bar.
    pub fn plugin_line(self, summary: &str, perfdata: &str) -> String {
        format!("SFTUNNEL {} - {} | {perfdata}\n", self.word(), without_bar(summary))
    }
}

/// Whole output of a plugin: its line, and a text in which nothing begins performance data.
pub fn plugin_text(level: Level, summary: &str, perfdata: &str, text: &str) -> String {
    format!("{}\n{}", level.plugin_line(summary, perfdata), text.replace('|', "/"))
}

/// Turns a failure into the state UNKNOWN of a plugin.
pub fn unknown(failure: Failure) -> Failure {
    failure.without_reason().exit(Level::Unknown.exit())
}

/// First line of a plugin that has failed.
pub fn unknown_line(failure: &Failure) -> String {
    format!("SFTUNNEL UNKNOWN - {}\n", without_bar(failure.message()))
}

fn without_bar(text: &str) -> String {
    printable(&plain_errors(text)).to_string().replace('|', "/")
}

/// A number of days in words.
pub fn days_text(days: i64) -> String {
    format!("{days} day{}", if days == 1 { "" } else { "s" })
}

/// Columns of a [`bar`], a year each.
pub const BAR: usize = 10;

/// Draws a validity: past years as `#`, years left as `.`. Ten years fill the bar, a shorter
/// validity a part of it. Rounding hides neither the first nor the last day.
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
    fn days_count_down_through_the_thresholds() {
        let thresholds = Thresholds { warning: 90, critical: 30 };
        let levels = [90, 89, 30, 29, -1].map(|days| Level::by_days(days, thresholds));
        use Level::{Critical, Ok, Warning};
        assert_eq!(levels, [Ok, Warning, Warning, Critical, Critical]);
        assert_eq!(levels.map(|level| level.exit().code()), [0, 1, 1, 2, 2]);
        assert_eq!(Level::Unknown.exit().code(), 3);
        assert!(Thresholds { warning: 30, critical: 30 }.checked().is_ok());
        assert!(Thresholds { warning: 29, critical: 30 }.checked().is_err());
    }

    #[test]
    fn foreign_text_begins_no_performance_data() {
        let line = Level::Ok.plugin_line("a|b\n", "days=1");
        assert_eq!(line, "SFTUNNEL OK - a/b\\u{a} | days=1\n");
        assert_eq!(unknown_line(&Failure::usage("a|b")), "SFTUNNEL UNKNOWN - a/b\n");
    }

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
