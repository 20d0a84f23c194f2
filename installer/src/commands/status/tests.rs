//! Tests of the overall level and of the order of the steps.

use formats::device::ManagerUuid;

use super::peer::{Contents, Judgement, level_of};
use super::*;
use crate::appliance::tunnel::Tunnel;

fn peer(state: PeerState, level: Level, tunnel: Option<TunnelState>) -> PeerStatus {
    let manager: ManagerUuid = "cdb123c8-4347-11ef-aca1-f3aa241412a1".parse().unwrap();
    let tunnel = tunnel.map(|state| Tunnel {
        manager: manager.clone(),
        state,
        why: String::new(),
        connected_to: Vec::new(),
        heartbeat_age_seconds: None,
    });
    PeerStatus {
        manager,
        path: String::new(),
        verdict: Judgement { level, ..Judgement::new(state, None) },
        contents: Contents { completed: true, ..Contents::default() },
        signers: Vec::new(),
        tunnel,
    }
}

/// A box on which all is well but for these.
fn report(peers: Vec<PeerStatus>) -> StatusReport {
    StatusReport {
        state: Level::Unknown,
        summary: String::new(),
        thresholds: Thresholds { warning: 90, critical: 30 },
        device_uuid: None,
        is_lone_manager: false,
        is_neither: false,
        now: Timestamp::EPOCH,
        clock_behind: false,
        sftunnel: Service::Running { pid: 4711 },
        peers,
        ports: vec![8305],
        connections: None,
        backups: Vec::new(),
        under_way: None,
        interrupted_run: None,
        steps: Vec::new(),
    }
}

fn not_running() -> Service {
    Service::NotRunning { detail: "Down".to_owned() }
}

#[test]
fn the_level_follows_the_days_and_what_is_broken_is_critical() {
    let thresholds = Thresholds { warning: 90, critical: 30 };
    let level = |state, days| level_of(state, days, thresholds);
    use Level::{Critical, Ok, Unknown, Warning};
    let levels = [90, 89, 30, 29].map(|days| level(PeerState::Valid, Some(days)));
    assert_eq!(levels, [Ok, Warning, Warning, Critical]);
    let states = [
        PeerState::Expired,
        PeerState::NotYetValid,
        PeerState::Broken,
        PeerState::Empty,
        PeerState::Unreadable,
    ];
    assert_eq!(states.map(|state| level(state, None)), [Critical, Critical, Critical, Ok, Unknown]);
}

#[test]
fn the_most_urgent_directory_counts_and_an_empty_one_does_not() {
    use Level::{Critical, Ok, Unknown, Warning};
    let empty = || peer(PeerState::Empty, Ok, None);
    let valid = |level| peer(PeerState::Valid, level, Some(TunnelState::Up));
    for (peers, expected) in [
        (vec![], Unknown),
        (vec![empty()], Unknown),
        (vec![valid(Ok), empty()], Ok),
        (vec![valid(Ok), valid(Warning)], Warning),
        (vec![valid(Warning), peer(PeerState::Expired, Critical, Some(TunnelState::Up))], Critical),
    ] {
        assert_eq!(overall(&report(peers)), expected);
    }
}

/// Trouble beside good files is a warning, and makes nothing less urgent.
#[test]
fn trouble_beside_good_files_is_a_warning() {
    type Trouble = fn(&mut StatusReport);
    let troubles: [(Trouble, &str); 4] = [
        (|it| it.peers[0].tunnel.as_mut().unwrap().state = TunnelState::Down, "a tunnel is down"),
        (|it| it.sftunnel = not_running(), "sftunnel does not run"),
        (|it| it.clock_behind = true, "the clock is behind"),
        (|it| it.interrupted_run = Some("…".to_owned()), "an interrupted run is not finished"),
    ];
    for level in [Level::Ok, Level::Critical] {
        let mut all = report(vec![peer(PeerState::Valid, level, Some(TunnelState::Up))]);
        assert_eq!((trouble(&all), overall(&all)), (None, level));
        // each comes before those above it
        for (happens, said) in troubles {
            happens(&mut all);
            assert_eq!((trouble(&all), overall(&all)), (Some(said), level.max(Level::Warning)));
        }
    }
}

#[test]
fn what_is_not_known_or_not_expected_is_no_trouble() {
    let mut unknown = report(vec![peer(PeerState::Valid, Level::Ok, Some(TunnelState::Unknown))]);
    unknown.sftunnel = Service::Unknown { detail: "no pmtool".to_owned() };
    assert_eq!(trouble(&unknown), None);
    // nobody's tunnel: sftunnel need not run
    let mut alone = report(vec![peer(PeerState::Empty, Level::Ok, None)]);
    alone.sftunnel = not_running();
    assert_eq!((trouble(&alone), advice::next(&alone, None)), (None, vec![]));
}

/// First what must not be lost, then what must be finished, then the rest; private keys that lie
/// about can wait until the tunnel is up.
#[test]
fn the_steps_stand_in_the_order_in_which_they_are_to_be_taken() {
    let mut expired = peer(PeerState::Expired, Level::Critical, Some(TunnelState::Up));
    expired.contents.stray_key = true;
    let mut all = report(vec![expired]);
    all.clock_behind = true;
    let unfinished = Some("finish the run".to_owned());
    let steps = advice::next(&all, unfinished);
    let begins = [
        "set the clock",
        "do not reboot this box or restart sftunnel yet: the tunnel to manager cdb123c8 is up",
        "finish the run",
        "manager cdb123c8: install a kit from there",
        "once the tunnel is up, remove the stray copies",
    ];
    assert_eq!(steps.len(), begins.len(), "{steps:#?}");
    for (step, begin) in steps.iter().zip(begins) {
        assert!(step.starts_with(begin), "{step}");
    }
}
