//! The results of `status` for people and for monitoring systems.

use std::fmt::Write as _;

use cli::say::failure::Failure;
use cli::say::monitoring::{self, Level, days_text};
use cli::say::page::{Page, Table, wrap, wrapped};
use cli::say::terminal::{Color, Terminal};
use formats::credentials::CertificateFacts;
use formats::text::printable;
use formats::timestamp::Timestamp;

use super::peer::{PeerState, PeerStatus};
use super::{StatusReport, trouble};
use crate::appliance::error::Error;
use crate::appliance::host::Appliance;
use crate::appliance::tunnel::{self, TunnelState};
use crate::candidate::plan_text;

/// Formats the whole page; as a monitoring plugin with its line first.
pub(super) fn text(
    terminal: &Terminal,
    report: &StatusReport,
    appliance: Result<Appliance, Error>,
    plugin: bool,
) -> String {
    let mut page = Page::default();
    match appliance {
        Ok(appliance) => page.push(&plan_text::appliance(&appliance)),
        Err(error) => {
            page.field("Box", &printable(Failure::from(error).message()).to_string());
        }
    }
    let behind = if report.clock_behind { " (behind)" } else { "" };
    page.field("Clock", &format!("{}{behind}", report.now));
    page.field("sftunnel", &report.sftunnel.to_string());
    if let Some(under_way) = &report.under_way {
        let run = under_way.run.as_ref().map_or_else(|| "a run".to_owned(), ToString::to_string);
        page.field("Under way", &run);
    }
    if report.peers.is_empty() && !report.is_lone_manager {
        page.push("This box has no peer directory: it is registered with no manager.\n");
    }
    page.push(&certificates(terminal, report));
    report.peers.iter().for_each(|peer| add_peer(&mut page, terminal, peer));
    if let Some(connections) = &report.connections {
        let number = connections.len();
        let ports = tunnel::shown_ports(&report.ports);
        page.push("\n");
        page.field("Sockets", &format!("{number} established ({ports}, or held by sftunnel)"));
        for connection in connections {
            page.field("", &format!("{} to {}", connection.local, connection.remote));
        }
    }
    let backups = match report.backups.last() {
        None => "none".to_owned(),
        Some(newest) => format!("{}, the newest is {newest}", report.backups.len()),
    };
    page.push("\n");
    page.field("Backups", &backups);
    if let Some(interrupted) = &report.interrupted_run {
        let line = wrap("Attention: ", 2, &printable(interrupted).to_string());
        let _ = writeln!(page, "{}", terminal.paint(Color::Red, line.trim_end()));
    }
    page.next(&report.steps);
    if plugin {
        monitoring::plugin_text(report.state, &report.summary, &perfdata(report), &page.text())
    } else {
        page.text()
    }
}

/// Draws every certificate with its ten years, the most urgent first.
fn certificates(terminal: &Terminal, report: &StatusReport) -> String {
    let mut rows: Vec<_> = report.peers.iter().flat_map(|peer| rows(peer, report)).collect();
    if rows.is_empty() {
        return String::new();
    }
    rows.sort_by_key(|(level, days, _)| (std::cmp::Reverse(*level), *days));
    let headings = ["state", "days", "until", "ten years", "what", "manager"];
    let mut table = Table::with_headings(&headings);
    for (level, days, [until, bar, what, manager]) in rows {
        let level = terminal.paint(level.color(), level.word());
        table.row([level, days.to_string(), until, bar, what, manager]);
    }
    format!("\n{}", table.text())
}

fn rows(peer: &PeerStatus, report: &StatusReport) -> Vec<(Level, i64, [String; 4])> {
    let row = |what: &str, facts: &CertificateFacts| {
        let days = report.now.days_left(facts.not_after);
        let level = match facts.at(report.now) {
            formats::credentials::Validity::Valid => Level::by_days(days, report.thresholds),
            _ => Level::Critical,
        };
        let bar = monitoring::bar(facts.not_before, facts.not_after, report.now);
        (
            level,
            days,
            [facts.not_after.date(), bar, what.to_owned(), peer.manager.short().to_owned()],
        )
    };
    let of = [("CA", &peer.verdict.ca), ("device's own", &peer.verdict.certificate)];
    of.into_iter().filter_map(|(what, facts)| Some(row(what, facts.as_ref()?))).collect()
}

/// Names the most urgent manager's files and the number of others that want to be looked at.
pub(super) fn summary(report: &StatusReport) -> String {
    if report.is_lone_manager {
        return "a manager (FMC), and no device of another one: see sftunnel-bundle check"
            .to_owned();
    }
    let files = sentence(&report.peers);
    let is_urgent = report.peers.iter().any(|peer| peer.verdict.level != Level::Ok);
    match trouble(report) {
        Some(trouble) if is_urgent => format!("{files}; {trouble}"),
        Some(trouble) => format!("{trouble}; {files}"),
        None => files,
    }
}

fn sentence(peers: &[PeerStatus]) -> String {
    let Some(first) = peers.first() else {
        return "no peer directory: registered with no manager".to_owned();
    };
    let manager = first.manager.short();
    let urgent = peers.iter().filter(|peer| peer.verdict.level != Level::Ok).count();
    let more =
        if urgent > 1 { format!(", and {} more to look at", urgent - 1) } else { String::new() };
    let verdict = &first.verdict;
    let end =
        [&verdict.ca, &verdict.certificate].into_iter().flatten().map(|facts| facts.not_after);
    let end = end.min().map(Timestamp::date).unwrap_or_default();
    match (verdict.state, verdict.days_left, &verdict.fault) {
        (PeerState::Empty, ..) => {
            format!("no files for manager {manager}, so no tunnel is expected")
        }
        (PeerState::Expired, Some(days), _) => {
            format!("files for manager {manager} expired {} ago ({end}){more}", days_text(-days))
        }
        (PeerState::Valid, Some(days), _) => {
            format!("files for manager {manager} expire in {} ({end}){more}", days_text(days))
        }
        (state, _, Some(fault)) => {
            format!("manager {manager}: {}: {}{more}", state.word(), fault.message)
        }
        (state, ..) => format!("manager {manager}: {}{more}", state.word()),
    }
}

fn perfdata(report: &StatusReport) -> String {
    let mut data = String::new();
    if let Some(days) = report.peers.iter().filter_map(|peer| peer.verdict.days_left).min() {
        let _ = write!(data, "{} ", report.thresholds.perfdata("days", days));
    }
    let of = |level| report.peers.iter().filter(|peer| peer.verdict.level == level).count();
    let (managers, warning, critical) =
        (report.peers.len(), of(Level::Warning), of(Level::Critical));
    let _ = write!(data, "managers={managers} warning={warning} critical={critical}");
    let of = |state| {
        let tunnels = report.peers.iter().filter_map(|peer| peer.tunnel.as_ref());
        tunnels.filter(|tunnel| tunnel.state == state).count()
    };
    let (up, down, unknown) =
        (of(TunnelState::Up), of(TunnelState::Down), of(TunnelState::Unknown));
    let _ = write!(data, " tunnels_up={up} tunnels_down={down} tunnels_unknown={unknown}");
    data
}

fn add_peer(page: &mut Page, terminal: &Terminal, peer: &PeerStatus) {
    let PeerStatus { verdict, contents, .. } = peer;
    let state = terminal.paint(verdict.level.color(), verdict.state.word());
    page.push("\n");
    page.field("Manager", peer.manager.as_str());
    let _ = writeln!(page, "State     {state} ({})", verdict.level.word());
    if let Some(fault) = &verdict.fault {
        page.field("", &printable(&fault.message).to_string());
    }
    if let Some(tunnel) = &peer.tunnel {
        let color = match tunnel.state {
            TunnelState::Up => Color::Green,
            TunnelState::Down => Color::Red,
            TunnelState::Unknown => Color::Yellow,
        };
        let line = wrapped("Tunnel    ", &tunnel.to_string());
        let _ = writeln!(page, "{}", terminal.paint(color, line.trim_end()));
        // how often it is written is not known; a fresh one says nothing that is news
        if let Some(minutes) = tunnel.heartbeat_age_seconds.map(|age| age / 60).filter(|m| *m > 0) {
            let _ = writeln!(page, "Heartbeat last written {minutes} min ago");
        }
    }
    for file in &contents.files {
        match &file.found {
            None => page.field("Missing", file.name),
            Some(found) if !found.as_expected => {
                let found = format!(
                    "{} is {} {}:{}, expected 0644 0:0",
                    file.name, found.mode, found.uid, found.gid
                );
                page.field("Mode", &found);
            }
            Some(_) => {}
        }
    }
    for obstacle in &contents.cannot_replace {
        page.field("Obstacle", &printable(obstacle).to_string());
    }
    for stray in &contents.strays {
        let line = format!("'{stray}' (not one of the three files; left alone)");
        page.field("Stray", &line);
    }
    if contents.leftovers > 0 {
        let line = format!("{} staged file(s); `recover` removes them", contents.leftovers);
        page.field("Leftover", &line);
    }
    for signer in &peer.signers {
        page.field("Pinned", &signer.key.fingerprint.to_string());
    }
}
