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
use lab::{Issue, Key, LabSpec, ManagerSpec};
use tests::{Run, World, install_refused, now, refused, tool};

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
        include_str!("install/health.rs"),
        include_str!("install/rehearsal.rs"),
        include_str!("undo/attributes.rs"),
        include_str!("trust/passphrases.rs"),
        include_str!("deliver.rs")
    );
    let missing: Vec<_> =
        Reason::ALL.iter().filter(|reason| !sources.contains(&format!("\"{reason}\""))).collect();
    assert_eq!(missing, Vec::<&Reason>::new());
}
