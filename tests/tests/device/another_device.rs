//! What a copy of another box's disk brings here, and the files of another box: nothing of it is put
//! back, believed or called valid.

use std::fs;
use std::path::PathBuf;

use lab::Device;
use serde_json::Value;
use tests::forger::forge_backup;
use tests::{Ran, Run, World, refused};

fn state(device: &Device) -> PathBuf {
    device.root.join("var/sf/sftunnel-airgap")
}

fn rollback(world: &World, number: usize) -> Run {
    world.on(world.ftd(number), &["rollback", "--yes", "--settle", "0"])
}

/// The second box has the first one's state directory, with a backup of its new files.
fn copied() -> World {
    let world = World::new(2);
    let kit = world.kit(&[]).path;
    for number in [1, 2] {
        world.install(world.ftd(number), &kit).run().expect(0);
    }
    rollback(&world, 1).run().expect(0);
    fs::remove_dir_all(state(world.ftd(2))).unwrap();
    Run::new("cp").arg("-a").arg(state(world.ftd(1))).arg(state(world.ftd(2))).run().expect(0);
    world
}

fn wrong_device(world: &World, run: Run) -> Ran {
    let before = world.snapshot(world.ftd(2));
    let ran = refused(run, "wrong-device").says(&world.ftd(1).uuid).says("--accept-device");
    world.unchanged(world.ftd(2), &before, &ran);
    ran
}

#[test]
fn a_backup_of_another_device_is_not_put_back() {
    let world = copied();
    wrong_device(&world, rollback(&world, 2));
    wrong_device(&world, world.on(world.ftd(2), &["rollback", "--dry-run"]));
    wrong_device(&world, rollback(&world, 2).args(["--to", "1"]));
    // a box that was given another UUID on purpose
    rollback(&world, 2).arg("--accept-device").run().expect(0);
    assert_eq!(world.files(world.ftd(2), world.fmc()), world.new_files(world.ftd(1), world.fmc()));
}

/// Earlier versions did not say whose a backup is; the certificate in it does.
#[test]
fn a_backup_that_does_not_say_whose_it_is_is_judged_by_its_certificate() {
    let world = copied();
    for backup in fs::read_dir(state(world.ftd(2)).join("backups")).unwrap().flatten() {
        forge_backup(&backup.path(), |record| {
            drop(record.as_object_mut().unwrap().remove("device"))
        });
    }
    wrong_device(&world, rollback(&world, 2));
    // on its own box it is a backup like any other
    for backup in fs::read_dir(state(world.ftd(1)).join("backups")).unwrap().flatten() {
        forge_backup(&backup.path(), |record| {
            drop(record.as_object_mut().unwrap().remove("device"))
        });
    }
    rollback(&world, 1).run().expect(0);
    assert_eq!(world.files(world.ftd(1), world.fmc()), world.new_files(world.ftd(1), world.fmc()));
}

/// Whom another box believes, and what it installed, says nothing here.
#[test]
fn the_records_of_another_device_count_for_nothing() {
    let world = copied();
    let pinned = |number| {
        let json = world.on(world.ftd(number), &["signers", "list", "--json"]).run().expect(0);
        json.json()["managers"].as_array().unwrap().len()
    };
    assert_eq!([pinned(1), pinned(2)], [1, 0]);
    let kit = world.kit(&[]).path;
    let install = |number| {
        let run = world.on(world.ftd(number), &["install", "--yes", "--settle", "0"]);
        run.args(["--identity", "identity.txt"]).arg(&kit)
    };
    refused(install(2), "unknown-signer");
    install(1).run().expect(0);
    world.install(world.ftd(2), &kit).run().expect(0);
    assert_eq!(pinned(2), 1);
    install(2).run().expect(0).says("Nothing to do");
}

#[test]
fn an_interrupted_run_of_another_device_is_not_finished() {
    let world = World::new(2);
    let kit = world.kit(&[]).path;
    assert_eq!(
        world.install(world.ftd(1), &kit).injected("fchown", "signal=KILL:when=1").run().code(),
        None
    );
    Run::new("cp").arg("-a").arg(state(world.ftd(1))).arg(state(world.ftd(2))).run().expect(0);
    let before = world.snapshot(world.ftd(2));
    for command in [&["recover"][..], &["rollback", "--yes"]] {
        let ran = world.on(world.ftd(2), command).arg("--json").run().expect(7);
        assert_eq!(ran.json()["reason"], "wrong-device");
        let ran = ran.says(&world.ftd(1).uuid).says("recover --accept-device");
        world.unchanged(world.ftd(2), &before, &ran);
    }
    world.on(world.ftd(1), &["recover", "--settle", "0"]).run().expect(0).says("All old");
}

/// The manual procedure with the folder of the wrong box: the files fit each other.
#[test]
fn status_does_not_call_the_files_of_another_device_valid() {
    let world = World::new(2);
    let (one, two) = (world.ftd(1), world.ftd(2));
    let peer = two.peer_dir(world.fmc());
    for (name, content) in world.fmc().new_credentials(&one.uuid).unwrap() {
        fs::write(peer.join(name), content).unwrap();
    }
    let status = |device| {
        let json: Value = world.on(device, &["status", "--json"]).run().expect(0).json();
        let peer = &json["peers"][0];
        let word = |field: &str| peer[field].as_str().unwrap_or_default().to_owned();
        [word("state"), word("level"), word("reason"), json["state"].as_str().unwrap().to_owned()]
    };
    assert_eq!(status(two), ["broken", "CRITICAL", "wrong-subject", "CRITICAL"]);
    let text = world.on(two, &["status"]).run().expect(0);
    drop(text.says("wrong-subject").says(&one.uuid).says(&two.uuid));
    world.on(two, &["status", "--plugin"]).run().expect(2);
    // its age says nothing either: this box's own kit goes over it
    world.install(two, &world.kit(&[]).path).run().expect(0);
    assert_eq!(status(two)[..2], ["valid", "OK"]);
    // what was there before is not this box's
    refused(rollback(&world, 2), "wrong-device");
}
