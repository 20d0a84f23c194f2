//! What `check` found, for people, monitoring systems and JSON.

use std::fmt::Write as _;

use console::terminal::{Color, Table, Terminal};
use formats::ims_conf::ImsConf;
use formats::text::printable;
use formats::timestamp::Timestamp;
use serde::Serialize;

use super::advice::{self, Situation};
use super::state::{Checked, Role, State, Thresholds, overall};
use crate::Context;
use crate::commands::{count, shortened};
use crate::outcome::wrapped;

/// Rows that are shown although nothing is wrong with them, unless `--verbose`.
const GOOD_SHOWN: usize = 8;
/// Each is half a year of ten.
const BAR: i64 = 20;

/// The JSON of `check`.
#[derive(Debug, Serialize)]
pub(super) struct CheckBody {
    /// The worst of all: `OK`, `WARNING`, `CRITICAL`, `UNKNOWN`.
    pub state: State,
    /// The same in a sentence.
    pub summary: String,
    /// This machine's clock.
    pub checked_at: Timestamp,
    /// Days.
    pub thresholds: Thresholds,
    /// `SWVERSION`.
    pub version: Option<String>,
    /// `MODEL`.
    pub model: Option<String>,
    /// The newest batch's FAILED_PUSH; null when there is none.
    pub failed_push: Option<FailedPushView>,
    /// One for each file, the most urgent first.
    pub results: Vec<Checked>,
    /// What to do, in this order.
    pub steps: Vec<String>,
}

/// The newest batch's FAILED_PUSH.
#[derive(Debug, Serialize)]
pub(super) struct FailedPushView {
    /// Where it lies.
    pub path: String,
    /// Its run.
    pub batch: u64,
    /// How many devices it lists.
    pub devices: usize,
}

impl CheckBody {
    pub(super) fn new(
        results: Vec<Checked>,
        thresholds: Thresholds,
        context: &Context,
        conf: ImsConf,
        failed_push: Option<FailedPushView>,
    ) -> Self {
        let ca = results.iter().find(|checked| checked.role == Role::Ca);
        let is_urgent = |checked: &Checked| checked.state >= State::Warning;
        let situation = Situation {
            ca_known: ca.is_some_and(|ca| ca.not_after.is_some()),
            ca_expired: ca.is_some_and(Checked::is_expired),
            ca_urgent: ca.is_some_and(is_urgent),
            others_urgent: results.iter().any(is_urgent),
            version: conf.version.as_deref(),
            not_reached: failed_push.as_ref().map(|listed| listed.devices),
        };
        let steps = advice::next(&situation);
        Self {
            state: overall(&results),
            summary: summary(&results),
            checked_at: context.now,
            thresholds,
            version: conf.version,
            model: conf.model,
            failed_push,
            results,
            steps,
        }
    }

    pub(super) fn text(&self, terminal: &Terminal) -> String {
        let summary = printable(&self.summary).to_string().replace('|', "/");
        let mut text =
            format!("SFTUNNEL {} - {summary} | {}\n", self.state.word(), self.perfdata());
        if let Some(version) = &self.version {
            let model = self.model.as_deref().unwrap_or_default();
            let what = format!("{} {}", printable(model), printable(version));
            let _ = writeln!(text, "\n{} at {}", what.trim(), self.checked_at);
        }
        text.push('\n');
        text.push_str(&self.table(terminal));
        for checked in &self.results {
            if let Some(message) = &checked.message {
                let line = format!("{}: {message}", checked.path);
                text.push_str(&wrapped("  ! ", &printable(&line).to_string()));
            }
        }
        if !self.steps.is_empty() {
            text.push_str("\nNext\n");
        }
        for (at, step) in self.steps.iter().enumerate() {
            text.push_str(&wrapped(&format!("  {}. ", at + 1), &printable(step).to_string()));
        }
        text
    }

    fn table(&self, terminal: &Terminal) -> String {
        let mut table = Table::with_headings(&["state", "days", "until", "ten years", "what", ""]);
        let mut good = 0;
        let mut hidden = 0;
        for checked in &self.results {
            let is_good = checked.state == State::Ok;
            good += usize::from(is_good);
            if is_good && good > GOOD_SHOWN && !terminal.verbose {
                hidden += 1;
                continue;
            }
            let color = match checked.state {
                State::Ok => Color::Green,
                State::Warning | State::Unknown => Color::Yellow,
                State::Critical => Color::Red,
            };
            let device = checked.device.as_ref().map_or_else(String::new, |d| d.shown());
            let old = if checked.superseded { " (replaced)" } else { "" };
            table.row([
                terminal.paint(color, checked.state.word()),
                checked.days_left.map_or_else(|| "?".to_owned(), |days| days.to_string()),
                checked.not_after.map_or_else(|| "?".to_owned(), Timestamp::date),
                self.bar(checked),
                format!("{}{old}", checked.role.word()),
                shortened(&device, 24),
            ]);
        }
        let mut text = table.text();
        if hidden > 0 {
            let _ = writeln!(text, "  and {hidden} more that are OK (--verbose shows them)");
        }
        text
    }

    /// What is over of ten years as `#`, what is left as `.`; a blank for shorter lives.
    fn bar(&self, checked: &Checked) -> String {
        let (Some(start), Some(end)) = (checked.not_before, checked.not_after) else {
            return String::new();
        };
        bar(start, end, self.checked_at)
    }

    /// `label=value;warning;critical` (monitoring-plugins.org, guidelines); `90:` alerts
    /// below 90.
    fn perfdata(&self) -> String {
        let (warning, critical) = (self.thresholds.warning, self.thresholds.critical);
        let days = |role: &dyn Fn(Role) -> bool| {
            let counted = self.results.iter().filter(|c| role(c.role) && !c.superseded);
            counted.filter_map(|checked| checked.days_left).min()
        };
        let mut data = String::new();
        let labels: [(&str, &dyn Fn(Role) -> bool); 3] = [
            ("ca_days", &|role| role == Role::Ca),
            ("own_days", &|role| role == Role::Own),
            ("peers_days", &|role| matches!(role, Role::Pushed | Role::Peer | Role::PeerCa)),
        ];
        for (label, role) in labels {
            if let Some(days) = days(role) {
                let _ = write!(data, "{label}={days};{warning}:;{critical}: ");
            }
        }
        if let Some(days) = days(&|role| role == Role::Crl) {
            let _ = write!(data, "crl_days={days} ");
        }
        let of = |state| self.results.iter().filter(|checked| checked.state == state).count();
        let (files, critical) = (self.results.len(), of(State::Critical));
        let _ = write!(data, "files={files} warning={} critical={critical}", of(State::Warning));
        data
    }
}

fn bar(start: Timestamp, end: Timestamp, now: Timestamp) -> String {
    const HALF_YEAR: i64 = 365 * 86_400 / 2;
    // a life of ten years fills the bar; rounding hides neither the first nor the last day
    let whole = ((end.unix() - start.unix()) / HALF_YEAR).clamp(1, BAR);
    let over = (now.unix() - start.unix()).max(0) / HALF_YEAR;
    let over = if now > end { whole } else { over.clamp(0, whole - 1) };
    let part = |sign: &str, number: i64| sign.repeat(usize::try_from(number).unwrap_or(0));
    format!("{}{}", part("#", over), part(".", whole - over))
}

/// The most urgent one, and how many more.
fn summary(results: &[Checked]) -> String {
    let Some(first) = results.first() else { return "no certificate was found".to_owned() };
    let what = match &first.device {
        Some(device) => format!("{} of {}", first.role.word(), device.shown()),
        None => first.role.word().to_owned(),
    };
    let urgent = results.iter().filter(|checked| checked.state != State::Ok).count();
    if urgent == 0 {
        let ca = results.iter().find(|checked| checked.role == Role::Ca);
        let days = ca.and_then(|ca| ca.days_left).unwrap_or_default();
        let files = count(results.len(), "file");
        return format!("InternalCA valid for {days} more days, {files} good");
    }
    let more =
        if urgent > 1 { format!(", and {} more to look at", urgent - 1) } else { String::new() };
    match (first.days_left, first.not_after, &first.message) {
        (Some(days), Some(end), _) if days < 0 => {
            format!("{what} expired {} ago ({end}){more}", days_text(-days))
        }
        (_, _, Some(message)) => format!("{what}: {message}{more}"),
        (Some(days), Some(end), None) => {
            format!("{what} expires in {} ({end}){more}", days_text(days))
        }
        _ => format!("{what} cannot be judged{more}"),
    }
}

fn days_text(days: i64) -> String {
    format!("{days} day{}", if days == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_shows_ten_years_in_half_ones() {
        const YEAR: i64 = 365 * 86_400;
        let at = |years: i64, seconds| Timestamp::from_unix(years * YEAR + seconds).unwrap();
        let bar = |now| bar(at(0, 0), at(10, 0), now);
        assert_eq!(bar(at(0, 0)), ".".repeat(20));
        assert_eq!(bar(at(5, 0)), format!("{}{}", "#".repeat(10), ".".repeat(10)));
        assert_eq!(bar(at(10, 0)), format!("{}.", "#".repeat(19)), "the last second is left");
        assert_eq!(bar(at(10, 1)), "#".repeat(20));
        assert_eq!(bar(at(-1, 0)), ".".repeat(20));
    }

    #[test]
    fn the_first_line_names_the_most_urgent() {
        let mut expired = Checked::unreadable(Role::Ca, None, "/x", String::new());
        expired.state = State::Critical;
        (expired.days_left, expired.not_after) = (Some(-1), Some(Timestamp::EPOCH));
        let other = Checked::unreadable(Role::Own, None, "/y", "damaged".into());
        assert_eq!(
            summary(&[expired, other]),
            "InternalCA expired 1 day ago (1970-01-01T00:00:00Z), and 1 more to look at"
        );
        assert_eq!(summary(&[]), "no certificate was found");
    }
}
