//! The journal of an interrupted run: it names a backup of ours or none, and knows what that holds.

use std::fs;
use std::path::PathBuf;

use formats::checksum::Sha256;
use lab::Device;
use serde_json::{Value, json};
use tests::World;

use tests::forger::forge_backup;

fn state(device: &Device) -> PathBuf {
    device.root.join("var/sf/sftunnel-airgap")
}

/// A box whose installation was killed after its commit.
fn interrupted() -> World {
    let world = World::new(1);
    let kit = world.kit(&[]).path;
    assert_eq!(
        world.install(world.ftd(1), &kit).injected("fchown", "signal=KILL:when=1").run().code(),
        None
    );
    assert!(state(world.ftd(1)).join("journal").is_file());
    world
}

fn backup(device: &Device) -> PathBuf {
    fs::read_dir(state(device).join("backups")).unwrap().next().unwrap().unwrap().path()
}

/// Changes the journal, and makes its checksum fit again.
fn rewritten(device: &Device, change: impl FnOnce(&mut Value)) {
    let path = state(device).join("journal");
    let text = fs::read_to_string(&path).unwrap();
    let mut journal: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    change(&mut journal);
    let line = journal.to_string();
    fs::write(path, format!("{line}\n{}\n", Sha256::of(line.as_bytes()))).unwrap();
}

/// Exit 7, nothing put back, and what to do.
fn left_alone(world: &World, says: &str) {
    let before = world.snapshot(world.ftd(1));
    let ran = world.on(world.ftd(1), &["recover", "--settle", "0", "--json"]).run().expect(7);
    let said = ran.json();
    assert!(said["message"].as_str().unwrap().contains(says), "{said}");
    assert!(!said["next"].as_str().unwrap().is_empty(), "{said}");
    world.unchanged(world.ftd(1), &before, &ran);
}

/// Only the release that was interrupted knows what is left to do.
#[test]
fn a_journal_of_a_later_release_is_not_called_damaged() {
    let world = interrupted();
    rewritten(world.ftd(1), |journal| journal["format"] = json!("sftunnel-journal/2"));
    left_alone(&world, "is of the later format 'sftunnel-journal/2'");
    rewritten(world.ftd(1), |journal| journal["format"] = json!("sftunnel-journal/1"));
    world.on(world.ftd(1), &["recover", "--settle", "0"]).run().expect(0).says("All old");
}

#[test]
fn a_journal_names_a_backup_of_the_store_or_is_damaged() {
    let world = interrupted();
    let device = world.ftd(1);
    let honest = backup(device);
    let elsewhere = world.path("0009-20261121T041047Z");
    fs::rename(&honest, &elsewhere).unwrap();
    let up = "../".repeat(state(device).join("backups").components().count());
    let name = honest.file_name().unwrap().to_str().unwrap().to_owned();
    for named in [
        format!("{up}{}", elsewhere.display()),
        elsewhere.display().to_string(),
        format!("./{name}"),
        format!("{name}/."),
        "..".to_owned(),
        String::new(),
        name.replacen("0001", "1", 1),
        name.replacen("0001", "00001", 1),
        name.replace('Z', "z"),
    ] {
        rewritten(device, |journal| journal["backup"] = json!(named));
        left_alone(&world, "journal is damaged");
    }
    // the control: its own name, and the backup where it belongs
    fs::rename(&elsewhere, &honest).unwrap();
    rewritten(device, |journal| journal["backup"] = json!(name));
    world.on(device, &["recover", "--settle", "0"]).run().expect(0).says("All old");
}

/// Somebody who can count, or a store that was restored from elsewhere.
#[test]
fn a_backup_that_is_not_the_one_that_the_journal_knows_is_not_put_back() {
    let world = interrupted();
    let (device, fmc) = (world.ftd(1), world.fmc());
    let honest = world.path("honest");
    let copy = |from: &PathBuf, to: &PathBuf| {
        tests::Run::new("cp").arg("-a").arg(from).arg(to).run().expect(0);
    };
    let backup = backup(device);
    copy(&backup, &honest);
    let others: [fn(&mut Value); 4] = [
        |record| record["peers"][0]["files"][2]["found"]["mode"] = json!("0666"),
        |record| record["peers"][0]["files"][2]["found"] = Value::Null,
        |record| record["peers"] = json!([]),
        |record| record["sequence"] = json!(9),
    ];
    for change in others {
        forge_backup(&backup, change);
        left_alone(&world, "is not the one of the interrupted run");
        fs::remove_dir_all(&backup).unwrap();
        copy(&honest, &backup);
    }
    // other files, also for a journal of an earlier version, which knows only the files' digests
    let stranger = b"of somebody else";
    fs::write(backup.join(&fmc.uuid).join("cacert.pem"), stranger).unwrap();
    forge_backup(&backup, |record| {
        let found = &mut record["peers"][0]["files"][0]["found"];
        found["size"] = json!(stranger.len());
        found["sha256"] = json!(Sha256::of(stranger).to_string());
    });
    left_alone(&world, "is not the one of the interrupted run");
    rewritten(device, |journal| {
        let journal = journal.as_object_mut().unwrap();
        journal.remove("backup_sums").unwrap();
        journal.remove("device").unwrap();
    });
    left_alone(&world, "is not the one of the interrupted run");
    // and one of an earlier version over an honest backup is finished
    fs::remove_dir_all(&backup).unwrap();
    copy(&honest, &backup);
    world.on(device, &["recover", "--settle", "0"]).run().expect(0).says("All old");
}
