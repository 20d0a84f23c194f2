//! The results of `check` for people, monitoring systems and JSON.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cli::disk::root::Root;
use cli::kit::words::count;
use cli::say::monitoring::{self, Level, Thresholds, days_text};
use cli::say::page::{Page, Table};
use cli::say::terminal::{Color, Terminal};
use formats::cisco::ims_conf::ImsConf;
use formats::text::printable;
use formats::timestamp::Timestamp;
use serde::Serialize;

use super::advice::{self, Ca, Counts, Situation};
use super::devices::{DeviceState, Reached};
use super::state::{Checked, Role, overall};
use crate::fmc::discover::Listing;
use crate::fmc::error::WrongBox;
use crate::fmc::status_source::{StatusOrigin, TunnelsView};
use crate::fmc::tunnel_status::Tunnel;

/// The number of good rows that are shown without `--verbose`.
const GOOD_SHOWN: usize = 8;

/// The JSON of `check`.
#[derive(Debug, Serialize)]
pub(super) struct CheckBody {
    /// The worst of all: `OK`, `WARNING`, `CRITICAL`, `UNKNOWN`.
    pub state: Level,
    /// The state in a sentence.
    pub summary: String,
    pub checked_at: Timestamp,
    pub thresholds: Thresholds,
    /// `SWVERSION` of the FMC.
    pub version: Option<String>,
    /// `MODEL` of the FMC.
    pub model: Option<String>,
    /// The newest batch's FAILED_PUSH; null when there is none.
    pub failed_push: Option<FailedPushView>,
    /// The number of tunnels that are up and down, and the source that says so.
    pub tunnels: TunnelsView,
    /// One for each registered or listed device, by UUID.
    pub devices: Vec<DeviceState>,
    /// One for each file, the most urgent first.
    pub results: Vec<Checked>,
    /// The page that was written.
    pub html: Option<PathBuf>,
    /// Requests that could not be fulfilled; foreign text.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// The steps to take, in this order.
    pub steps: Vec<String>,
}

/// The newest batch's FAILED_PUSH.
#[derive(Debug, Serialize)]
pub(super) struct FailedPushView {
    pub path: String,
    /// The run of `generate_certs.pl`, by its number.
    pub batch: u64,
    /// The number of devices that it lists.
    pub devices: usize,
    /// The file's modification time.
    #[serde(skip)]
    pub written: Timestamp,
}

/// The material of a [`CheckBody`].
pub(super) struct Findings {
    pub(super) results: Vec<Checked>,
    pub(super) thresholds: Thresholds,
    pub(super) now: Timestamp,
    pub(super) conf: ImsConf,
    pub(super) failed_push: Option<FailedPushView>,
    pub(super) tunnels: TunnelsView,
    pub(super) devices: Vec<DeviceState>,
    pub(super) problems: Vec<String>,
    pub(super) wrong_box: Option<WrongBox>,
}

impl FailedPushView {
    pub(super) fn of(listing: &Listing, root: &Root) -> Self {
        let devices = listing.found.devices.len() + listing.found.unusable.len();
        let modified = root.open_file(Path::new(&listing.path)).and_then(|file| file.metadata());
        let written = modified.ok().and_then(|file| Timestamp::from_unix(file.mtime()).ok());
        let written = written.unwrap_or(Timestamp::EPOCH);
        Self { path: listing.path.clone(), batch: listing.batch, devices, written }
    }
}

impl CheckBody {
    pub(super) fn new(found: Findings) -> Self {
        let Findings { results, thresholds, now, conf, failed_push, .. } = found;
        let Findings { tunnels, devices, problems, wrong_box, .. } = found;
        let ca = results.iter().find(|checked| checked.role == Role::Ca);
        let is_urgent = |checked: &Checked| checked.state >= Level::Warning;
        let is_waiting = |device: &&DeviceState| device.reached.is_waiting();
        let waiting = devices.iter().filter(is_waiting).count();
        let is_listed = |device: &&DeviceState| device.reached == Reached::No;
        let listed = devices.iter().filter(is_listed).count();
        let waiting_up =
            devices.iter().filter(is_waiting).filter(|device| device.tunnel != Tunnel::Down);
        // a saved output tells what was down, not what is, and one that was cut not of all
        let is_now = tunnels.source == Some(StatusOrigin::Program) && tunnels.note.is_none();
        let (down, was_down) = if is_now { (tunnels.down, 0) } else { (0, tunnels.down) };
        // a receipt is a claim, and no proof of a tunnel
        let is_down = |device: &&DeviceState| {
            is_now && device.reached == Reached::Receipt && device.tunnel == Tunnel::Down
        };
        let done_but_down = devices.iter().filter(is_down).count();
        // also where the FMC has no copy of what such a device uses
        let at_least = if waiting + done_but_down > 0 { Level::Warning } else { Level::Ok };
        let situation = Situation {
            ca: how_it_stands(ca, &thresholds, now),
            others_urgent: results.iter().any(is_urgent),
            version: conf.version.as_deref(),
            not_reached: listed,
            undelivered: waiting - listed,
            waiting_up: waiting_up.count(),
            done_but_down,
            tunnels: Counts {
                up: tunnels.up,
                down,
                unknown: tunnels.unknown + tunnels.strangers + was_down,
            },
        };
        let steps = advice::next(&situation);
        let mut body = Self {
            state: overall(&results).max(at_least),
            summary: summary(&results, listed, waiting - listed, done_but_down),
            checked_at: now,
            thresholds,
            version: conf.version,
            model: conf.model,
            failed_push,
            tunnels,
            devices,
            results,
            html: None,
            problems: Vec::new(),
            steps,
        };
        problems.into_iter().for_each(|problem| body.add_problem(problem));
        if let Some(here) = wrong_box {
            // whatever is found here, it is not what was asked about
            body.state = Level::Unknown;
            body.summary = format!("{}; {}", here.message(), body.summary);
            body.steps = vec![here.next().to_owned()];
        }
        body
    }

    /// Adds a request that could not be fulfilled: UNKNOWN, unless worse is known.
    pub(super) fn add_problem(&mut self, problem: String) {
        if self.state == Level::Ok {
            self.summary = format!("{problem}; {}", self.summary);
        }
        self.state = self.state.max(Level::Unknown);
        self.problems.push(problem);
    }

    /// The whole page, with the verdict first; a plugin's has its line there.
    pub(super) fn text(&self, terminal: &Terminal, plugin: bool) -> String {
        let page = self.page(terminal).text();
        if plugin {
            return monitoring::plugin_text(self.state, &self.summary, &self.perfdata(), &page);
        }
        format!("{}\n{page}", self.state.verdict(terminal, &self.summary))
    }

    fn page(&self, terminal: &Terminal) -> Page {
        let mut page = Page::default();
        if let Some(version) = &self.version {
            let model = self.model.as_deref().unwrap_or_default();
            let what = format!("{} {}", printable(model), printable(version));
            let _ = writeln!(page, "{} at {}\n", what.trim(), self.checked_at);
        }
        page.push(&self.table(terminal));
        for checked in &self.results {
            if let Some(message) = &checked.message {
                page.note("  ! ", &format!("{}: {message}", checked.path));
            }
        }
        self.problems.iter().for_each(|problem| page.note("  ! ", problem));
        self.add_tunnels(&mut page, terminal);
        page.next(&self.steps);
        page
    }

    /// Adds the number of tunnels that are up, and the names of those that are not.
    fn add_tunnels(&self, page: &mut Page, terminal: &Terminal) {
        let TunnelsView { up, down, unknown, note, .. } = &self.tunnels;
        page.push("\nTunnels\n");
        let heading = match (self.tunnels.heading(), note) {
            (Some(heading), _) => heading,
            (None, Some(note)) => return page.note("  not known: ", note),
            (None, None) => return page.push("  not looked at\n"),
        };
        let strangers = match self.tunnels.strangers {
            0 => String::new(),
            number => format!("{number} more up and not known whose, "),
        };
        page.note("  ", &format!("{up} up, {down} down, {unknown} unknown, {strangers}{heading}"));
        note.iter().for_each(|note| page.note("  ! ", note));
        let others = self.devices.iter().filter(|device| device.tunnel != Tunnel::Up);
        let (mut table, mut more) = (Table::default().flexible(&[1]), 0);
        for (at, device) in others.enumerate() {
            if at >= GOOD_SHOWN && !terminal.verbose {
                more += 1;
                continue;
            }
            let color = if device.tunnel == Tunnel::Down { Color::Red } else { Color::Yellow };
            let word = terminal.paint(color, device.tunnel.word());
            table.row([word, device.device.shown()]);
        }
        page.push(&table.text());
        if more > 0 {
            let _ = writeln!(page, "  and {more} more that are not up (--verbose shows them)");
        }
    }

    fn table(&self, terminal: &Terminal) -> String {
        let headings = ["state", "days", "until", "ten years", "what", ""];
        let mut table = Table::with_headings(&headings).flexible(&[5]);
        let mut good = 0;
        let mut hidden = 0;
        for checked in &self.results {
            let is_good = checked.state == Level::Ok;
            good += usize::from(is_good);
            if is_good && good > GOOD_SHOWN && !terminal.verbose {
                hidden += 1;
                continue;
            }
            let device = checked.device.as_ref().map_or_else(String::new, |d| d.shown());
            table.row([
                terminal.paint(checked.state.color(), checked.state.word()),
                checked.days_left.map_or_else(|| "?".to_owned(), |days| days.to_string()),
                checked.not_after.map_or_else(|| "?".to_owned(), Timestamp::date),
                self.bar(checked),
                checked.word().to_owned(),
                device,
            ]);
        }
        let mut text = table.text();
        if hidden > 0 {
            let _ = writeln!(text, "  and {hidden} more that are OK (--verbose shows them)");
        }
        text
    }

    fn bar(&self, checked: &Checked) -> String {
        match (checked.not_before, checked.not_after) {
            (Some(start), Some(end)) => monitoring::bar(start, end, self.checked_at),
            _ => String::new(),
        }
    }

    fn perfdata(&self) -> String {
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
                let _ = write!(data, "{} ", self.thresholds.perfdata(label, days));
            }
        }
        if let Some(days) = days(&|role| role == Role::Crl) {
            let _ = write!(data, "crl_days={days} ");
        }
        let of = |state| self.results.iter().filter(|checked| checked.state == state).count();
        let (files, critical) = (self.results.len(), of(Level::Critical));
        let _ = write!(data, "files={files} warning={} critical={critical}", of(Level::Warning));
        if self.tunnels.source.is_some() {
            let TunnelsView { up, down, unknown, .. } = &self.tunnels;
            let _ = write!(data, " tunnels_up={up} tunnels_down={down} tunnels_unknown={unknown}");
        }
        let waiting = self.devices.iter().filter(|device| device.reached.is_waiting());
        let _ = write!(data, " not_reached={}", waiting.count());
        data
    }
}

/// Reduces the InternalCA to the state that the next steps depend on.
fn how_it_stands(ca: Option<&Checked>, thresholds: &Thresholds, now: Timestamp) -> Ca {
    let Some((ca, days)) = ca.and_then(|ca| Some((ca, ca.days_left?))) else { return Ca::Unknown };
    if ca.not_before.is_some_and(|from| now < from) {
        Ca::NotYetValid
    } else if ca.is_expired() {
        Ca::Expired
    } else if days < i64::from(thresholds.warning) {
        Ca::Urgent
    } else {
        Ca::Good
    }
}

/// Names the most urgent file and the number of others; when none is urgent, the devices that
/// are `listed`, `undelivered` or `done_but_down`.
fn summary(results: &[Checked], listed: usize, undelivered: usize, done_but_down: usize) -> String {
    let Some(first) = results.first() else { return "no certificate was found".to_owned() };
    let what = match &first.device {
        Some(device) => format!("{} of {}", first.role.word(), device.shown()),
        None => first.role.word().to_owned(),
    };
    let urgent = results.iter().filter(|checked| checked.state != Level::Ok).count();
    if urgent == 0 {
        let ca = results.iter().find(|checked| checked.role == Role::Ca);
        let days = ca.and_then(|ca| ca.days_left).unwrap_or_default();
        let files = count(results.len(), "file");
        let good = format!("InternalCA valid for {days} more days, {files} good");
        let listed = (listed > 0)
            .then(|| format!("{} of FAILED_PUSH not shown to be done", count(listed, "device")));
        let undelivered = (undelivered > 0)
            .then(|| format!("{} not shown to have arrived", count(undelivered, "new pair")));
        let down = (done_but_down > 0).then(|| {
            format!("{} done by receipt with the tunnel down", count(done_but_down, "device"))
        });
        let parts = [listed, undelivered, down, Some(good)].into_iter().flatten();
        let parts: Vec<_> = parts.collect();
        return parts.join(", ");
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

#[cfg(test)]
mod tests {
    use super::super::state::Subject;
    use super::*;

    #[test]
    fn the_first_line_names_the_most_urgent() {
        let mut expired = Subject::own(Role::Ca, "/x").unreadable(String::new());
        expired.state = Level::Critical;
        (expired.days_left, expired.not_after) = (Some(-1), Some(Timestamp::EPOCH));
        let other = Subject::own(Role::Own, "/y").unreadable("damaged".into());
        assert_eq!(
            summary(&[expired, other], 1, 0, 0),
            "InternalCA expired 1 day ago (1970-01-01T00:00:00Z), and 1 more to look at"
        );
        assert_eq!(summary(&[], 0, 0, 0), "no certificate was found");
    }
}
