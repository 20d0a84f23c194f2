//! The next steps on this box. Pure.

use cli::say::monitoring::{Level, days_text};
use cli::say::version;

use super::StatusReport;
use super::peer::{PeerState, PeerStatus};
use crate::appliance::service::Service;
use crate::appliance::tunnel::{self, TunnelState};
use crate::wording::appliance::{IS_A_MANAGER, IS_NEITHER};

/// Lists the steps in their order: what must not be lost, what must be finished, what is to be
/// done.
pub(super) fn next(report: &StatusReport, unfinished: Option<String>) -> Vec<String> {
    let mut steps = Vec::new();
    if report.is_lone_manager {
        steps.push(IS_A_MANAGER.to_owned());
    }
    if report.is_neither {
        steps.push(IS_NEITHER.to_owned());
    }
    if report.under_way.is_some() {
        steps.push("wait for the run that is under way to end".to_owned());
    }
    if report.clock_behind {
        steps.push(format!(
            "set the clock (NTP, or `date -u -s`): it says {}, and this program was made at {}; the dates above depend on it",
            report.now,
            version::built()
        ));
    }
    let staying: Vec<_> = report.peers.iter().filter(|peer| stays_up_only_for_now(peer)).collect();
    if !staying.is_empty() {
        steps.push(format!(
            "do not reboot this box or restart sftunnel yet: the tunnel to {} is up, but could not come up again with its files (Cisco's scenario 2a)",
            managers(&staying)
        ));
    }
    if report.peers.iter().any(|peer| peer.contents.leftovers > 0)
        && unfinished.is_none()
        && report.under_way.is_none()
    {
        steps.push(
            "sftunnel-install recover removes the staged files of a run that ended early"
                .to_owned(),
        );
    }
    steps.extend(unfinished);
    let obstacles = report.peers.iter().flat_map(|peer| &peer.contents.obstacles);
    steps.extend(obstacles.map(|obstacle| obstacle.hint()));
    steps.extend(report.peers.iter().filter_map(of_files));
    steps.extend(of_service(report));
    let with_copies: Vec<_> = report.peers.iter().filter(|peer| peer.contents.stray_key).collect();
    if !with_copies.is_empty() {
        steps.push(format!(
            "once the tunnel is up, remove the stray copies in the directory of {}: a copy of sftunnel-key.pem is a private key",
            managers(&with_copies)
        ));
    }
    steps
}

/// Returns true for a tunnel that is up on files that could not bring it up again.
fn stays_up_only_for_now(peer: &PeerStatus) -> bool {
    let is_up = peer.tunnel.as_ref().is_some_and(|tunnel| tunnel.state == TunnelState::Up);
    is_up && matches!(peer.verdict.state, PeerState::Expired | PeerState::Broken)
}

fn of_files(peer: &PeerStatus) -> Option<String> {
    let manager = peer.manager.short();
    let wrong_mode = peer
        .contents
        .files
        .iter()
        .filter_map(|file| file.found.as_ref())
        .any(|found| !found.as_expected);
    let verdict = &peer.verdict;
    let step = match (verdict.state, verdict.level) {
        (PeerState::NotYetValid, _) => "check this box's clock, and its NTP servers".to_owned(),
        (PeerState::Expired | PeerState::Broken, _) => {
            "install a kit from there: sh install.sh in it, or sftunnel-install install KIT"
                .to_owned()
        }
        (PeerState::Unreadable, _) => match &verdict.fault {
            Some(fault) if !fault.hint.is_empty() => fault.hint.clone(),
            _ => "look at its directory: it cannot be read as it should be, see above".to_owned(),
        },
        (_, Level::Warning | Level::Critical) => format!(
            "{} left: have its CA renewed in time; sftunnel-bundle check on the manager says how",
            days_text(verdict.days_left.unwrap_or_default())
        ),
        _ if wrong_mode => {
            "the files are good, but not 644 root:root; an installation sets that".to_owned()
        }
        _ => return None,
    };
    Some(format!("manager {manager}: {step}"))
}

/// Advises on sftunnel itself, and on tunnels that are down although the files are good.
fn of_service(report: &StatusReport) -> Option<String> {
    let expected: Vec<_> = report.peers.iter().filter(|peer| peer.tunnel.is_some()).collect();
    if expected.is_empty() {
        return None;
    }
    match report.sftunnel {
        Service::NotRunning { .. } => Some(
            "sftunnel does not run: /ngfw/var/log/messages says why; `pmtool enablebyid sftunnel`, `pmtool restartbyid sftunnel` start it"
                .to_owned(),
        ),
        Service::Unknown { .. } => {
            Some("look at what `pmtool status` prints (--pmtool FILE names another one): it does not say whether sftunnel runs".to_owned())
        }
        Service::Running { .. } => {
            let is_down = |peer: &&&PeerStatus| {
                let tunnel = peer.tunnel.as_ref();
                peer.verdict.state == PeerState::Valid && tunnel.is_some_and(|t| t.state == TunnelState::Down)
            };
            let down: Vec<_> = expected.iter().filter(is_down).copied().collect();
            (!down.is_empty()).then(|| {
                format!(
                    "the files for {} are good, but the tunnel is down: check that the manager is reachable at {} and uses the CA of these files. /ngfw/var/log/messages says what fails",
                    managers(&down),
                    tunnel::shown_ports(&report.ports)
                )
            })
        }
    }
}

fn managers(peers: &[&PeerStatus]) -> String {
    let names: Vec<_> = peers.iter().map(|peer| peer.manager.short()).collect();
    let word = if names.len() == 1 { "manager" } else { "managers" };
    format!("{word} {}", names.join(", "))
}
