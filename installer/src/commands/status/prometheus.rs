//! `status` as a text file for Prometheus's node exporter. Metrics that `sftunnel-bundle check`
//! has too bear the same names.

use cli::say::prometheus::{STATES, Textfile, label, number};
use formats::credentials::CertificateFacts;

use super::StatusReport;
use super::peer::PeerStatus;
use crate::appliance::service::Service;
use crate::appliance::tunnel::TunnelState;

type TimeOf = fn(&CertificateFacts) -> i64;

/// Formats the whole file.
pub(super) fn text(report: &StatusReport) -> String {
    let mut file = Textfile::default();
    let times: [(&str, &str, TimeOf); 2] = [
        ("not_after", "Last second of validity, unix time.", |facts| facts.not_after.unix()),
        ("not_before", "First second of validity, unix time.", |facts| facts.not_before.unix()),
    ];
    for (name, help, time) in times {
        let of = report.peers.iter().flat_map(certificates);
        let samples = of.map(|(labels, facts)| (labels, time(facts)));
        file.gauge(&format!("sftunnel_certificate_{name}_seconds"), help, samples);
    }
    let peers = || report.peers.iter().map(|peer| (manager(peer), peer));
    let states = peers().map(|(labels, peer)| (labels, number(peer.verdict.level)));
    file.gauge("sftunnel_peer_state", &format!("{STATES}."), states);
    let up = peers().filter_map(|(labels, peer)| {
        // NaN sets off no alert on 0
        let value = match peer.tunnel.as_ref()?.state {
            TunnelState::Up => "1",
            TunnelState::Down => "0",
            TunnelState::Unknown => "NaN",
        };
        Some((labels, value))
    });
    file.gauge("sftunnel_tunnel_up", "1 the tunnel is up, 0 it is down, NaN not known.", up);
    let running = match report.sftunnel {
        Service::Running { .. } => "1",
        Service::NotRunning { .. } => "0",
        Service::Unknown { .. } => "NaN",
    };
    let single = |value: &str| [(String::new(), value.to_owned())];
    file.gauge(
        "sftunnel_running",
        "1 pmtool says so, 0 it does not, NaN not known.",
        single(running),
    );
    let interrupted = u8::from(report.interrupted_run.is_some()).to_string();
    file.gauge("sftunnel_interrupted_run", "1 `recover` is to be run.", single(&interrupted));
    let worst = number(report.state).to_string();
    file.gauge("sftunnel_status_state", &format!("The worst of all: {STATES}."), single(&worst));
    let when = report.now.unix().to_string();
    file.gauge("sftunnel_status_time_seconds", "When this was written, unix time.", single(&when));
    file.text().to_owned()
}

fn certificates(peer: &PeerStatus) -> impl Iterator<Item = (String, &CertificateFacts)> {
    [("ca", &peer.verdict.ca), ("certificate", &peer.verdict.certificate)].into_iter().filter_map(
        |(role, facts)| {
            Some((format!("{},{}", label("role", role), manager(peer)), facts.as_ref()?))
        },
    )
}

fn manager(peer: &PeerStatus) -> String {
    label("manager_uuid", &peer.manager.to_string())
}
