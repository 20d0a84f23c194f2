//! The fleet at a glance: the verdict first, then how long certificates last, which tunnels are
//! up, and the devices, what is left to do first.

use std::fmt::Write as _;
use std::path::Path;

use cli::disk::durable;
use cli::kit::words::count;
use cli::say::failure::Failure;
use cli::say::monitoring::{Level, days_text};
use formats::timestamp::Timestamp;

use super::devices::{DeviceState, Reached};
use super::state::{Checked, Role};
use super::view::CheckBody;
use crate::commands::html::{self, escaped, section, state, term};
use crate::fmc::tunnel_status::Tunnel;

/// Files to look at that are listed: a large fleet has three for each device.
const FILES_SHOWN: usize = 100;

/// Order of the bars: a renewal is about the first two.
const BARS: [&str; 9] = [
    "InternalCA",
    "old CA",
    "FMC's own",
    "new pair",
    "peer",
    "old pair",
    "peer's CA",
    "CRL",
    "FAILED_PUSH",
];

/// Writes the page in place of an older one, which still stands where that fails.
pub(super) fn write(path: &Path, body: &CheckBody) -> Result<(), Failure> {
    durable::replace_at(path, page(body).as_bytes(), 0o644)
}

fn page(body: &CheckBody) -> String {
    let fmc = [&body.model, &body.version].map(|text| text.as_deref().unwrap_or_default());
    let fmc = fmc.join(" ");
    let title = format!("{}: {} {}", body.state.word(), fmc.trim(), body.checked_at);
    let mut inside = format!(
        "<header>\n<h1>sftunnel at a glance: {}</h1>\n<p>Checked {} by the clock of the FMC.</p>\n</header>\n<main>\n",
        escaped(if fmc.trim().is_empty() { "FMC" } else { fmc.trim() }),
        body.checked_at
    );
    inside += &section("verdict", "Verdict", &verdict(body));
    let bars = validities(body);
    if !bars.is_empty() {
        inside += &section("validity", "How long the certificates last", &bars);
    }
    inside += &section("tunnels", "Tunnels", &tunnels(body));
    inside += &section("devices", "Devices", &devices(body));
    let files = files(body);
    if !files.is_empty() {
        inside += &section("files", "Files to look at", &files);
    }
    inside += &section("against", "Checked against", &against(body));
    inside += "</main>\n<footer>\n<p>Done: the device has the new pair, as far as FAILED_PUSH, a receipt or a tunnel shows. A receipt is a claim. The tunnel seen up at the FMC is the proof.</p>\n</footer>\n";
    html::page(&title, &inside)
}

fn class(level: Level) -> &'static str {
    match level {
        Level::Ok => "done",
        Level::Unknown => "ask",
        Level::Warning => "open",
        Level::Critical => "bad",
    }
}

fn verdict(body: &CheckBody) -> String {
    let mut text = format!(
        "<p class=\"summary {}\">{} {}</p>\n",
        class(body.state),
        state(body.state.word()),
        escaped(&body.summary)
    );
    for problem in &body.problems {
        let _ = writeln!(text, "<p class=\"warning\">{}</p>", escaped(problem));
    }
    if !body.steps.is_empty() {
        let steps: String =
            body.steps.iter().map(|step| format!("<li>{}</li>\n", escaped(step))).collect();
        let _ = write!(text, "<p>Next:</p>\n<ol>\n{steps}</ol>\n");
    }
    text
}

/// Certificates of one use in one state: the one that ends first stands for all.
struct Bar<'a> {
    what: &'static str,
    first: &'a Checked,
    from: Timestamp,
    until: Timestamp,
    number: usize,
}

/// Bars as many as uses and states, however large the fleet is.
fn bars(body: &CheckBody) -> Vec<Bar<'_>> {
    let ca = body.results.iter().find(|checked| checked.role == Role::Ca);
    let new_from = ca.and_then(|ca| ca.not_before);
    let mut bars: Vec<Bar<'_>> = Vec::new();
    for first in &body.results {
        let (Some(from), Some(until)) = (first.not_before, first.not_after) else { continue };
        let is_old = first.role == Role::PeerCa && new_from.is_some_and(|new| from < new);
        let what = if is_old { "old CA" } else { first.word() };
        match bars.iter_mut().find(|bar| bar.what == what && bar.first.state == first.state) {
            Some(bar) if until < bar.until => {
                *bar = Bar { what, first, from, until, number: bar.number + 1 };
            }
            Some(bar) => bar.number += 1,
            None => bars.push(Bar { what, first, from, until, number: 1 }),
        }
    }
    bars.sort_by_key(|bar| BARS.iter().position(|what| *what == bar.what));
    bars
}

fn validities(body: &CheckBody) -> String {
    let (bars, now) = (bars(body), body.checked_at);
    let start = bars.iter().map(|bar| bar.from).min().map_or(now, |from| from.min(now));
    let end = bars.iter().map(|bar| bar.until).max().map_or(now, |until| until.max(now));
    if bars.is_empty() {
        return String::new();
    }
    let mut table = format!(
        "<table>\n<caption>From {} to {}. The line is today, {}. Of several, the one that ends first</caption>\n<thead><tr><th scope=\"col\">what</th><th scope=\"col\">validity</th><th scope=\"col\">state</th><th scope=\"col\">until</th></tr></thead>\n<tbody>\n",
        start.date(),
        end.date(),
        now.date()
    );
    for bar in &bars {
        let whose = match &bar.first.device {
            Some(_) if bar.number > 1 => format!(" of {}", count(bar.number, "device")),
            Some(device) => format!(" of {}", device.shown()),
            None => String::new(),
        };
        let days = bar.first.days_left.unwrap_or_default();
        let left = match days < 0 {
            true => format!("expired {} ago", days_text(-days)),
            false => format!("{} left", days_text(days)),
        };
        let _ = writeln!(
            table,
            "<tr class=\"{}\"><th scope=\"row\">{}</th><td class=\"axis\">{}</td><td>{}</td><td>{}, {left}</td></tr>",
            class(bar.first.state),
            escaped(&format!("{}{whose}", bar.what)),
            html::validity((bar.from, bar.until), now, (start, end)),
            // expired, and nothing to worry about
            state(if bar.first.superseded { "replaced" } else { bar.first.state.word() }),
            bar.until.date(),
        );
    }
    table + "</tbody>\n</table>\n"
}

fn tunnels(body: &CheckBody) -> String {
    let tunnels = &body.tunnels;
    let mut text = String::new();
    match (tunnels.heading(), &tunnels.note) {
        (Some(_), _) => {
            let parts = [
                ("done", "up", tunnels.up),
                ("ask", "unknown", tunnels.unknown),
                ("bad", "down", tunnels.down),
            ];
            text += &tally("tunnels up", &parts);
            if tunnels.strangers > 0 {
                let _ = writeln!(text, "<p>{} more up, not known whose.</p>", tunnels.strangers);
            }
        }
        (None, Some(_)) => {}
        (None, None) => text += "<p>Not looked at.</p>\n",
    }
    if let Some(note) = tunnels.note_text() {
        let _ = writeln!(text, "<p class=\"warning\">{}</p>", escaped(&note));
    }
    text
}

/// A bar of all, and the number of each that there is.
fn tally(label: &str, parts: &[(&str, &str, usize)]) -> String {
    let lengths: Vec<_> = parts.iter().map(|(class, _, number)| (*class, *number)).collect();
    if lengths.iter().all(|(_, number)| *number == 0) {
        return "<p>No device is known.</p>\n".to_owned();
    }
    let mut text = html::bar(label, &lengths) + "<ul class=\"tally\">\n";
    for (class, word, number) in parts.iter().filter(|(_, _, number)| *number > 0) {
        let _ = writeln!(text, "<li class=\"{class}\">{number} {}</li>", state(word));
    }
    text + "</ul>\n"
}

/// What is left to do comes first, then what is not known.
const ORDER: [&str; 3] = ["open", "ask", "done"];

fn standing(reached: Reached) -> (&'static str, &'static str) {
    match reached {
        Reached::No => ("open", "outstanding: in FAILED_PUSH"),
        Reached::Undelivered => ("open", "outstanding: new pair here"),
        Reached::Unknown => ("ask", "unknown"),
        Reached::Pushed => ("done", "done: pushed"),
        Reached::Receipt => ("done", "done: receipt"),
        Reached::Tunnel => ("done", "done: new tunnel"),
    }
}

fn devices(body: &CheckBody) -> String {
    let of = |class| body.devices.iter().filter(move |one| standing(one.reached).0 == class);
    let number = |class| of(class).count();
    let parts = [
        ("done", "done", number("done")),
        ("ask", "unknown", number("ask")),
        ("open", "outstanding", number("open")),
    ];
    let text = tally("devices done", &parts);
    if body.devices.is_empty() {
        return text;
    }
    let mut table = "<table>\n<caption>What is left to do first</caption>\n<thead><tr><th scope=\"col\">device</th><th scope=\"col\">UUID</th><th scope=\"col\">state</th><th scope=\"col\">connected since</th><th scope=\"col\">tunnel</th></tr></thead>\n<tbody>\n".to_owned();
    for class in ORDER {
        of(class).for_each(|device| row(&mut table, device));
    }
    text + &table + "</tbody>\n</table>\n"
}

fn row(table: &mut String, device: &DeviceState) {
    let (class, word) = standing(device.reached);
    let tunnel = match device.tunnel {
        Tunnel::Up => "done",
        Tunnel::Down => "bad",
        Tunnel::Unknown => "ask",
    };
    let since = device.connected_since.map_or_else(String::new, |time| time.to_string());
    let _ = writeln!(
        table,
        "<tr><th scope=\"row\">{}</th><td><code>{}</code></td><td class=\"{class}\">{}</td><td>{since}</td><td class=\"{tunnel}\">{}</td></tr>",
        escaped(device.device.name.as_ref().map_or("", |name| name.as_str())),
        device.device.uuid,
        state(word),
        state(device.tunnel.word()),
    );
}

/// Empty when all are good.
fn files(body: &CheckBody) -> String {
    let urgent = || body.results.iter().filter(|checked| checked.state != Level::Ok);
    let mut list = String::new();
    for checked in urgent().take(FILES_SHOWN) {
        let until = match (&checked.message, checked.not_after) {
            (Some(message), _) => format!(": {message}"),
            (None, Some(end)) => format!(": until {end}"),
            (None, None) => String::new(),
        };
        let _ = writeln!(
            list,
            "<li class=\"{}\">{} <code>{}</code>{}</li>",
            class(checked.state),
            state(checked.state.word()),
            escaped(&checked.path),
            escaped(&until)
        );
    }
    if list.is_empty() {
        return list;
    }
    let more = match urgent().count().saturating_sub(FILES_SHOWN) {
        0 => String::new(),
        more => format!("<p>And {more} more: <code>sftunnel-bundle check --verbose</code></p>\n"),
    };
    format!("<ul class=\"files\">\n{list}</ul>\n{more}")
}

fn against(body: &CheckBody) -> String {
    let mut list = String::new();
    let thresholds = body.thresholds;
    let days = format!(
        "WARNING below {} days, CRITICAL below {}",
        thresholds.warning, thresholds.critical
    );
    term(&mut list, "thresholds", &days);
    match &body.failed_push {
        Some(found) => {
            let listed = count(found.devices, "device");
            term(&mut list, "FAILED_PUSH", &format!("{}: {listed}", found.path));
        }
        None => term(&mut list, "FAILED_PUSH", "none of the newest run"),
    }
    if let Some(heading) = body.tunnels.heading() {
        term(&mut list, "tunnels", &heading);
    }
    format!("<dl>\n{list}</dl>\n")
}

#[cfg(test)]
mod tests {
    use cli::say::monitoring::Thresholds;
    use formats::cisco::ims_conf::ImsConf;

    use super::super::state::Subject;
    use super::super::view::Findings;
    use super::*;
    use crate::device_result::DeviceRef;
    use crate::fmc::status_source::TunnelsView;

    fn at(year: i64) -> Timestamp {
        Timestamp::from_unix((year - 1970) * 365 * 86_400).unwrap()
    }

    fn valid(role: Role, device: Option<&DeviceRef>, from: i64) -> Checked {
        let about = Subject { role, device: device.cloned(), path: "x".to_owned() };
        let (not_before, not_after) = (Some(at(from)), Some(at(from + 10)));
        let days_left = Some(at(2026).days_left(at(from + 10)));
        let found = about.unreadable(String::new());
        Checked { state: Level::Ok, message: None, not_before, not_after, days_left, ..found }
    }

    fn fleet(number: usize) -> CheckBody {
        let mut results = vec![valid(Role::Ca, None, 2026)];
        let mut devices = Vec::new();
        for number in 0..number {
            let device = DeviceRef {
                uuid: format!("c8d5d5c6-87c9-11ef-a993-b983156{number:05}").parse().unwrap(),
                name: Some(format!("BSNS-{number:05}").parse().unwrap()),
            };
            results.push(valid(Role::PeerCa, Some(&device), 2016));
            let mut old = valid(Role::Peer, Some(&device), 2016);
            old.state = Level::Critical;
            results.push(old);
            let is_left = number % 2500 == 7;
            let reached = if is_left { Reached::No } else { Reached::Pushed };
            let tunnel = if is_left { Tunnel::Down } else { Tunnel::Up };
            devices.push(DeviceState { device, tunnel, connected_since: None, reached });
        }
        CheckBody::new(Findings {
            results,
            thresholds: Thresholds { warning: 90, critical: 30 },
            now: at(2026),
            conf: ImsConf::default(),
            failed_push: None,
            tunnels: TunnelsView::default(),
            devices,
            problems: vec!["<b>".to_owned()],
            wrong_box: None,
        })
    }

    /// The bars, files and size do not grow with what is alike.
    #[test]
    fn ten_thousand_devices_are_seen_at_a_glance() {
        let body = fleet(10_000);
        let page = page(&body);
        assert!(page.len() < 4 * 1024 * 1024, "{} bytes", page.len());
        assert_eq!(page.matches("class=\"years\"").count(), 3, "InternalCA, old CA, peer");
        assert_eq!(page.matches("<li class=\"bad\">").count(), FILES_SHOWN);
        assert!(page.contains("And 9900 more"), "the others are counted");
        assert!(page.contains("old CA of 10000 devices") && page.contains("&lt;b&gt;"));
        let rows: Vec<_> = page.lines().filter(|line| line.contains("<td><code>")).collect();
        assert_eq!(rows.len(), 10_000);
        assert!(rows.iter().take(4).all(|row| row.contains("\"open\"")), "{:?}", rows.first());
        assert!(rows.iter().skip(4).all(|row| row.contains("done: pushed")));
    }
}
