//! Every reason of docs/json.md, on both sides; nothing changes. Bundles and kits that were
//! made on purpose are in `hostile`.

mod belief;
mod device;
mod manager;
mod run;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use formats::error::Reason;
use formats::timestamp::Timestamp;
use lab::authority::{Authority, DAY, Digest, Pair, Request, Validity};
use lab::{Device, Issue, Key, LabSpec, ManagerSpec};
use tests::{Ran, Run, World, tool};

/// Runs it with `--json` and fails unless it is refused for this reason: the word stands in
/// the message and in the JSON. What it leaves unchanged is for the caller to see.
#[track_caller]
pub(crate) fn refused(run: Run, reason: &str) -> Ran {
    refused_with(run, 3, reason)
}

#[track_caller]
fn refused_with(run: Run, code: i32, reason: &str) -> Ran {
    assert!(Reason::ALL.iter().any(|known| known.word() == reason), "no such reason: {reason}");
    let ran = run.arg("--json").run().expect(code);
    let json = ran.json();
    if json["reason"] != reason || json["exit_code"] != code {
        ran.fail(&format!("expected the reason '{reason}'"));
    }
    let results = json.get("results").and_then(|results| results.as_array());
    if results.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["reason"] != reason)) {
        ran.fail(&format!("expected '{reason}' in results[]"));
    }
    // an object with a message is an error, and the error stands on stderr as well
    if json.get("message").is_some() && !ran.stderr.contains(&format!("refused ({reason}): ")) {
        ran.fail(&format!("expected 'refused ({reason}): ' on stderr"));
    }
    ran
}

/// The installation is refused, and the device stays as it was.
#[track_caller]
pub(crate) fn install_refused(world: &World, device: &Device, source: &Path, reason: &str) -> Ran {
    let before = world.snapshot(device);
    let restarts = device.restarts().unwrap();
    let ran = refused(world.install(device, source), reason);
    world.unchanged(device, &before, &ran);
    assert_eq!(device.restarts().unwrap(), restarts);
    let none = fs::read_dir(device.root.join("var/sf/sftunnel-airgap/backups"));
    let left = none.map(|found| found.flatten().count()).unwrap_or(0);
    assert!(left <= restarts, "a refused run leaves no backup behind");
    // verify and the dry run say the same, and do not even make the state directory
    refused(world.on(device, &["verify"]).args(world.trust()).arg(source), reason);
    refused(world.install(device, source).arg("--dry-run"), reason);
    ran
}

/// A build whose one device is refused: reason in the text and the JSON, no kit.
#[track_caller]
fn build_refused(world: &World, reason: &str) {
    build_refused_with(world, &[], reason);
}

#[track_caller]
fn build_refused_with(world: &World, flags: &[&str], reason: &str) {
    let before = lab::snapshot(&world.fmc().root).unwrap().settled();
    for command in ["plan", "build"] {
        let recipient = world.recipient();
        let out = world.out();
        let run = || {
            world.bundle(&[command, "--recipient", &recipient]).args(flags).arg("--out").arg(&out)
        };
        let ran = refused(run(), reason);
        run().run().expect(3).says(&format!("refused ({reason})")).says("next:");
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "no kit, and nothing half-made");
        let after = lab::snapshot(&world.fmc().root).unwrap().settled();
        let differences = before.differences(&after);
        if !differences.is_empty() {
            ran.fail(&format!("the manager was changed: {differences:?}"));
        }
    }
}

/// With the flag the same build goes on, and says what was accepted.
#[track_caller]
fn builds_with(world: &World, flag: &str) -> PathBuf {
    let kit = world.kit(&[flag]);
    assert!(kit.bundle(world.ftd(1)).is_file());
    kit.path
}

fn pushed(world: &World, name: &str) -> PathBuf {
    world.fmc().certs_pushed(&world.ftd(1).uuid).join(name)
}

fn put_pair(world: &World, pair: &Pair) {
    fs::write(pushed(world, "sftunnel-cert.pem"), &pair.certificate_pem).unwrap();
    fs::write(pushed(world, "sftunnel-key.pem"), &pair.key_pem).unwrap();
}

pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

/// A lab whose new batch is made like this.
fn renewed_with(issue: Issue) -> World {
    let manager = ManagerSpec { new: issue, ..ManagerSpec::renewed("fmc") };
    World::of(LabSpec { managers: vec![manager], ..LabSpec::for_tests(1) })
}

fn valid(from: i64, until: i64) -> Issue {
    Issue { validity: Some(Validity { from, until }), ..Issue::default() }
}

#[test]
fn every_reason_has_a_test() {
    let sources = concat!(
        include_str!("refusals/manager.rs"),
        include_str!("refusals/belief.rs"),
        include_str!("refusals/device.rs"),
        include_str!("refusals/run.rs"),
        include_str!("hostile/bundles.rs"),
        include_str!("manager/failed_push.rs"),
        include_str!("install/rehearsal.rs"),
        include_str!("undo/attributes.rs")
    );
    let missing: Vec<_> =
        Reason::ALL.iter().filter(|reason| !sources.contains(&format!("\"{reason}\""))).collect();
    assert_eq!(missing, Vec::<&Reason>::new());
}
