//! `support`: one file without secrets for the colleague on the phone. Takes no lock, so that it
//! works while another run is under way, and runs nothing that changes the box.

use cli::disk::root::Root;
use cli::process::command::Print;
use cli::say::failure::Failure;
use cli::say::monitoring::Thresholds;
use cli::say::report::Report;
use cli::say::terminal::Terminal;
use cli::support::{SupportArgs, SupportFile, Voice, listing, logs, machine};
use formats::cisco::facts::{MESSAGES, NGFW, PEERS, SF, SFTUNNEL};

use super::{Session, status};
use crate::PROGRAM;
use crate::appliance::host::Host;
use crate::appliance::service::STATUS_LIMIT;
use crate::appliance::state::{self, State};
use crate::args::StatusArgs;

/// Lines of this program's log.
const OWN_LINES: usize = 100;
/// Lines of the system's logs.
const LINES: usize = 300;

pub(crate) fn run(session: &Session, args: &SupportArgs) -> Result<Report, Failure> {
    let Session { host, terminal } = session;
    let root = host.root();
    let mut file = SupportFile::new(PROGRAM, host.now());
    machine::add(&mut file, root, host.now(), &["/", SF, NGFW, "/var/log", "/var/tmp"]);
    file.part("box", Voice::Foreign, identity(host));
    add_status(&mut file, host, terminal);
    let own = |name: &str, most| {
        logs::last_lines(root, &format!("{SF}/{}/{name}", state::NAME), "", most, Voice::Ours)
    };
    file.part("lock", Voice::Ours, lock(host));
    file.part("journal", Voice::Ours, own("journal", LINES));
    file.part("log", Voice::Ours, own("log", OWN_LINES));
    file.part("pmtool", Voice::Foreign, pmtool(host));
    for path in messages(root) {
        let lines = logs::last_lines(root, path, SFTUNNEL, LINES, Voice::Foreign);
        file.part(path, Voice::Foreign, lines);
    }
    file.part("peer directories", Voice::Ours, listing::folder(root, PEERS, 2));
    let own = format!("{SF}/{}", state::NAME);
    file.part("state, backups, receipts", Voice::Ours, listing::folder(root, &own, 4));
    let uuid = host.appliance().ok().map(|appliance| appliance.uuid.to_string());
    file.write(args, uuid.as_deref(), terminal)
}

/// Each is there once, also where both names lead to it.
fn messages(root: &Root) -> Vec<&'static str> {
    let [first, second] = MESSAGES;
    let place = |path: &str| root.resolved(path.as_ref()).ok();
    match (place(first), place(second)) {
        (Some(one), Some(other)) if one == other => vec![first],
        _ => MESSAGES.to_vec(),
    }
}

fn identity(host: &Host) -> Result<String, String> {
    let appliance = host.appliance().map_err(|error| Failure::from(error).in_a_line())?;
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    Ok(format!(
        "UUID    {}\nmodel   {}\nversion {}\nkind    {:?}",
        appliance.uuid,
        or_unknown(appliance.model),
        or_unknown(appliance.version),
        host.kind()
    ))
}

fn add_status(file: &mut SupportFile, host: &Host, terminal: &Terminal) {
    let thresholds = Thresholds { warning: 90, critical: 30 };
    let args = StatusArgs { thresholds, prometheus: None, plugin: false };
    let plain = Terminal { json: false, color: false, ..*terminal };
    let status = status::of(host, &plain, &args).map_err(|failure| failure.in_a_line());
    let json = status.as_ref().map(|report| report.json().to_owned()).map_err(Clone::clone);
    file.part("status", Voice::Ours, status.map(|report| report.text));
    file.part("status --json", Voice::Ours, json);
}

fn lock(host: &Host) -> Result<String, String> {
    let state = State::open(host).map_err(|error| Failure::from(error).in_a_line())?;
    Ok(match state {
        None => "this program has never changed anything here",
        Some(state) if state.is_locked() => "held: a run that may change something is under way",
        Some(_) => "free: no run is under way",
    }
    .to_owned())
}

/// What `pmtool status` says of sftunnel.
fn pmtool(host: &Host) -> Result<String, String> {
    let finished = host.run_pmtool(&["status"], Print::Kept, STATUS_LIMIT);
    let output = finished.map_err(|error| format!("pmtool status: {error}"))?.output;
    let text = String::from_utf8_lossy(&output);
    let lines = text.lines().map(str::trim);
    let mut block = lines.skip_while(|line| !begins(line, SFTUNNEL));
    let first = block.next().ok_or("pmtool status does not list sftunnel")?;
    let rest = block.take_while(|line| !begins(line, ""));
    Ok(std::iter::once(first).chain(rest).collect::<Vec<_>>().join("\n"))
}

/// `sftunnel (system) - Running 12858`: the first line of a process.
fn begins(line: &str, name: &str) -> bool {
    let parts = line.split_once(" (").zip(line.split_once(") - "));
    parts.is_some_and(|((id, _), _)| id == name || (name.is_empty() && !id.contains(' ')))
}
