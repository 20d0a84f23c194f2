//! The installer's own directory on the device: its backups and records, what is damaged in
//! them, and what somebody else left there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use lab::Device;
use serde_json::{Value, json};
use tests::forger::forge_backup;
use tests::{Run, World, refused};

fn state(device: &Device) -> PathBuf {
    device.root.join("var/sf/sftunnel-airgap")
}

fn backups(device: &Device) -> PathBuf {
    state(device).join("backups")
}

/// What `backups list` names.
fn listed(world: &World, device: &Device) -> Vec<String> {
    let list = world.on(device, &["backups", "list", "--json"]).run().expect(0).json();
    let ids = list["backups"].as_array().unwrap().iter();
    ids.map(|backup| backup["id"].as_str().unwrap().to_owned()).collect()
}

fn installed(world: &World) -> &Device {
    let device = world.ftd(1);
    world.install(device, &world.kit(&[]).path).run().expect(0);
    device
}

#[test]
fn a_name_that_is_not_a_backups_is_none_and_takes_no_number() {
    let world = World::new(1);
    let device = installed(&world);
    let names = [
        "777-20261121T041047Z",
        "07x7-20261121T041047Z",
        "0777-20261121T041047",
        "0777-2026-11-21T04:10",
        "0777",
        "copy of 0777-20261121T041047Z",
    ];
    for name in names {
        fs::create_dir(backups(device).join(name)).unwrap();
    }
    let first = listed(&world, device);
    assert_eq!(first.len(), 1, "{first:?}");
    world.lab.renew().unwrap();
    installed(&world);
    let both = listed(&world, device);
    assert!(both.len() == 2 && both[1].starts_with("0002-"), "{both:?}");
    world.on(device, &["backups", "verify"]).run().expect(0);
    world.on(device, &["backups", "prune", "--keep", "1", "--yes"]).run().expect(0);
    assert_eq!(listed(&world, device), both[1..]);
    for name in names {
        assert!(backups(device).join(name).is_dir(), "{name}");
    }
}

/// The largest that is taken for a live file at all: a picture in the wrong place.
#[test]
fn a_large_file_is_backed_up_and_restored_like_any_other() {
    let world = World::new(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let picture = vec![0xd8; 1024 * 1024];
    fs::write(device.peer_dir(fmc).join("cacert.pem"), &picture).unwrap();
    let before = world.snapshot(device);
    installed(&world);
    world.on(device, &["backups", "verify"]).run().expect(0);
    world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    assert_eq!(before.differences(&world.snapshot(device)), Vec::<String>::new());
}

/// A record that a crash left unfinished is removed; other names are somebody's.
#[test]
fn files_of_others_in_the_state_directory_stay() {
    let world = World::new(1);
    let device = installed(&world);
    let left = |name: &str| fs::write(state(device).join(name), "left").unwrap();
    let is_there = |name: &str| Path::exists(&state(device).join(name));
    [".installed.json.new", ".hidden", "notes.new"].into_iter().for_each(left);
    world.lab.renew().unwrap();
    installed(&world);
    assert!(!is_there(".installed.json.new"), "what a crash leaves");
    assert!(is_there(".hidden") && is_there("notes.new"));
}

type Damage = fn(&Path, &str);

/// What is wrong with a backup, and what is said of it. Nothing of such a one is put back.
const DAMAGES: [(&str, Damage); 15] = [
    ("sftunnel-cert.pem is missing", |backup, peer| {
        fs::remove_file(backup.join(peer).join("sftunnel-cert.pem")).unwrap();
    }),
    ("SHA256SUMS is missing", |backup, _| fs::remove_file(backup.join("SHA256SUMS")).unwrap()),
    ("backup.json is a link", |backup, peer| {
        let record = backup.join("backup.json");
        fs::rename(&record, backup.join(peer).join("backup.json")).unwrap();
        symlink(backup.join(peer).join("backup.json"), record).unwrap();
    }),
    ("cacert.pem is not a regular file", |backup, peer| {
        let path = backup.join(peer).join("cacert.pem");
        fs::remove_file(&path).unwrap();
        Run::new("mkfifo").arg(path).run().expect(0);
    }),
    ("-0000-000000000000 is missing", |backup, _| {
        let other = "00000000-0000-0000-0000-000000000000";
        forge_backup(backup, |record| record["peers"][0]["manager"] = json!(other));
    }),
    ("is not a directory", |backup, peer| {
        fs::remove_dir_all(backup.join(peer)).unwrap();
        fs::write(backup.join(peer), "").unwrap();
    }),
    ("backup.json is not the file that SHA256SUMS lists", |backup, _| {
        let path = backup.join("backup.json");
        let record = fs::read_to_string(&path).unwrap();
        fs::write(path, record.replace("\"0644\"", "\"4755\"")).unwrap();
    }),
    ("cacert.pem is not the file that SHA256SUMS lists", |backup, peer| {
        let path = backup.join("SHA256SUMS");
        let sums = fs::read_to_string(&path).unwrap();
        let without = sums.lines().filter(|line| !line.ends_with(&format!("{peer}/cacert.pem")));
        fs::write(path, without.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    }),
    ("sftunnel-key.pem is larger than the limit of 2097152 bytes", |backup, peer| {
        let file = fs::File::options().write(true).open(backup.join(peer).join("sftunnel-key.pem"));
        file.unwrap().set_len(2 * 1024 * 1024 + 1).unwrap();
    }),
    ("cacert.pem is not the file that backup.json lists", |backup, peer| {
        fs::write(backup.join(peer).join("cacert.pem"), "something else").unwrap();
        forge_backup(backup, |_| {});
    }),
    (
        "was made by a later release: backup.json is of the later format 'sftunnel-backup/2', expected 'sftunnel-backup/1'",
        |backup, _| {
            forge_backup(backup, |record| record["format"] = json!("sftunnel-backup/2"));
        },
    ),
    ("backup.json is not valid: line 1, column ", |backup, _| {
        forge_backup(backup, |record| record["more"] = json!(1));
    }),
    ("backup.json does not list three files", |backup, _| {
        forge_backup(backup, |record| {
            record["peers"][0]["files"].as_array_mut().unwrap().pop();
        });
    }),
    ("backup.json does not list the three files in order", |backup, _| {
        forge_backup(backup, |record| {
            record["peers"][0]["files"].as_array_mut().unwrap().swap(0, 1)
        });
    }),
    ("backup.json gives cacert.pem no mode", |backup, _| {
        forge_backup(backup, |record| {
            record["peers"][0]["files"][0]["found"]["mode"] = json!("rw-r--r--");
        });
    }),
];

#[test]
fn a_backup_that_is_not_what_its_checksums_and_record_say_is_damaged() {
    let world = World::new(1);
    let device = installed(&world);
    let backup = backups(device).join(&listed(&world, device)[0]);
    let honest = world.path("honest");
    Run::new("cp").arg("-a").arg(&backup).arg(&honest).run().expect(0);
    for (says, damage) in DAMAGES {
        damage(&backup, &world.fmc().uuid);
        let before = world.snapshot(device);
        world.on(device, &["backups", "verify"]).run().expect(3).says("refused (damaged)");
        let ran = world.on(device, &["rollback", "--yes", "--json"]).run().expect(3);
        let said = ran.json();
        assert_eq!(said["reason"], "damaged", "{said}");
        assert!(said["message"].as_str().unwrap().contains(says), "{says}: {said}");
        world.unchanged(device, &before, &ran);
        fs::remove_dir_all(&backup).unwrap();
        Run::new("cp").arg("-a").arg(&honest).arg(&backup).run().expect(0);
    }
    // what was changed and summed up is what is live: the setting itself damages nothing
    forge_backup(&backup, |_| {});
    world.on(device, &["backups", "verify"]).run().expect(0);
}

#[test]
fn a_backup_that_does_not_exist_is_not_found_whatever_else_there_is() {
    let world = World::new(1);
    let device = world.ftd(1);
    let verify = || refused(world.on(device, &["backups", "verify", "0007"]), "not-found");
    drop(verify().says("there is no backup '0007'"));
    world.on(device, &["backups", "verify"]).run().expect(0);
    installed(&world);
    drop(verify().says("there is no backup '0007'"));
    world.on(device, &["backups", "verify", "1"]).run().expect(0);
}

/// Monitoring asks every minute; an installation must not be refused for that.
#[test]
fn who_only_looks_keeps_nobody_from_changing_something() {
    let world = World::new(1);
    let device = installed(&world);
    let journal = state(device).join("journal");
    fs::write(&journal, "").unwrap();
    // holds the lock for half a second
    let looking = world.on(device, &["status"]).injected("flock", "delay_exit=500000").start();
    fs::remove_file(&journal).unwrap();
    for _ in 0..4 {
        world
            .on(device, &["signers", "add", "--manager", &world.fmc().uuid, &world.signer()])
            .run()
            .expect(0);
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    looking.wait().expect(0);
}

/// No backups is one thing, and not to see them another.
#[test]
fn a_store_that_cannot_be_opened_is_not_an_empty_one() {
    let world = World::new(1);
    let device = installed(&world);
    let elsewhere = world.path("elsewhere");
    fs::rename(backups(device), &elsewhere).unwrap();
    for there in [false, true] {
        if there {
            symlink(&elsewhere, backups(device)).unwrap();
        } else {
            fs::write(backups(device), "").unwrap();
        }
        let before = world.snapshot(device);
        let place = format!("{} is a link or not a directory", backups(device).display());
        for command in
            [&["backups", "list"][..], &["backups", "verify"], &["rollback", "--yes"], &["recover"]]
        {
            let ran = refused(world.on(device, command), "wrong-destination");
            world.unchanged(device, &before, &ran.says(&place).says("find out who put it there"));
        }
        fs::remove_file(backups(device)).unwrap();
    }
}

/// Whom to believe, and what is unfinished, is not read from where somebody else points to.
#[test]
fn a_record_that_is_a_link_is_not_followed() {
    let world = World::new(1);
    let device = installed(&world);
    let kit = world.kit(&[]).path;
    for name in ["signers", "installed", "journal"] {
        let (record, aside) = (state(device).join(name), world.path(name));
        if name == "journal" {
            fs::write(&aside, "").unwrap();
        } else {
            fs::rename(&record, &aside).unwrap();
        }
        symlink(&aside, &record).unwrap();
        let before = world.snapshot(device);
        let ran = refused(world.install(device, &kit), "wrong-destination");
        let place = format!("{} is a link or not a regular file", record.display());
        world.unchanged(device, &before, &ran.says(&place).says("find out who put it there"));
        fs::remove_file(&record).unwrap();
        if name != "journal" {
            fs::rename(&aside, &record).unwrap();
        }
    }
    world.install(device, &kit).run().expect(0).says("Nothing to do");
}

/// Years of it: nothing is forgotten, and nothing else is kept from working.
#[test]
fn a_long_log_is_read_and_appended_to() {
    let world = World::new(1);
    let device = installed(&world);
    let log = state(device).join("log");
    let line = fs::read_to_string(&log).unwrap();
    let lines = 2 * 1024 * 1024 / line.len();
    fs::write(&log, line.repeat(lines)).unwrap();
    let read = || {
        let json = world.on(device, &["log", "--json"]).run().expect(0).json();
        json["lines"].as_array().unwrap().len()
    };
    assert_eq!(read(), lines);
    world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    assert_eq!(read(), lines + 1);
    assert!(!fs::read_to_string(&log).unwrap().contains("\n\n"), "a line is a line");
    let shown = || world.on(device, &["log"]).run().expect(0);
    drop(shown().never_says("cannot be read"));
    fs::write(&log, format!("{line}{{\n")).unwrap();
    drop(shown().says("1 line(s) cannot be read"));
}

/// It says what was done, and stops nothing: not even where somebody put a link in its place.
#[test]
fn a_log_that_is_a_link_is_not_followed() {
    let world = World::new(1);
    let device = installed(&world);
    let (log, victim) = (state(device).join("log"), world.write("victim", "precious\n"));
    fs::remove_file(&log).unwrap();
    symlink(&victim, &log).unwrap();
    let ran = world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    drop(ran.says("the log could not be written"));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious\n");
}

fn without_last_line(text: &str) -> &str {
    &text[..text.trim_end().rfind('\n').unwrap() + 1]
}

/// With the last line that belongs to it.
fn summed(text: &str) -> String {
    format!("{text}{}\n", formats::checksum::Sha256::of(text.as_bytes()))
}

/// `head -n -1 signers | sha256sum` says the last line.
#[test]
fn a_record_with_another_byte_is_damaged_and_one_of_an_earlier_version_is_read() {
    let world = World::new(1);
    let device = installed(&world);
    for name in ["signers", "installed"] {
        let path = state(device).join(name);
        let text = fs::read_to_string(&path).unwrap();
        let json = without_last_line(&text);
        assert_eq!(text, summed(json), "{name}");
        let earlier = json.replace(&format!("  \"device\": \"{}\",\n", device.uuid), "");
        assert_ne!(earlier, json, "{name} names the box");
        let status = || world.on(device, &["status", "--json"]).run();
        // another time of the same form; the checksum of other bytes; none
        let changed = text.replace("\"20", "\"19");
        for damaged in [&changed, &format!("{json}{}\n", "0".repeat(64)), json] {
            fs::write(&path, damaged).unwrap();
            status().expect(1).says(&format!("{name} is damaged")).says("move it away");
        }
        fs::write(&path, &earlier).unwrap();
        let peer = status().expect(0).json()["peers"][0].clone();
        assert!(peer["completed"] == true && peer["signers"][0].is_object(), "{name}: {peer}");
        fs::write(&path, &text).unwrap();
    }
}

/// Whoever reads the record has to find one key under one fingerprint.
#[test]
fn a_pinned_key_under_the_fingerprint_of_another_is_a_damaged_record() {
    let world = World::new(1);
    let device = installed(&world);
    let path = state(device).join("signers");
    let text = fs::read_to_string(&path).unwrap();
    let mut record: Value = serde_json::from_str(without_last_line(&text)).unwrap();
    let manager = world.fmc().uuid.clone();
    let signer = &mut record["managers"][&manager][0]["key"];
    assert_eq!(signer["fingerprint"], world.signer(), "{signer}");
    signer["fingerprint"] = format!("SHA256:{}", "A".repeat(43)).into();
    fs::write(&path, summed(&format!("{record}\n"))).unwrap();
    let before = world.snapshot(device);
    world.on(device, &["signers", "list"]).run().expect(1).says("is damaged");
    let ran = world.install(device, &world.kit(&[]).path).run().expect(1);
    world.unchanged(device, &before, &ran.says("is damaged").says("move it away"));
}

/// Pinned by what the phone told; the first bundle that it signed brings the key itself.
#[test]
fn a_signer_is_forgotten_for_the_manager_that_is_named_or_for_all() {
    const OTHER: &str = "f89e12b8-ac43-11ef-9f85-d397d1518ed9";
    let world = World::new(1);
    world.kit(&[]);
    let (device, manager, signer) = (world.ftd(1), world.fmc().uuid.clone(), world.signer());
    let signers = |words: &[&str]| world.on(device, &[&["signers"], words].concat()).run();
    let managers = || {
        let json = signers(&["list", "--json"]).expect(0).json();
        let all = json["managers"].as_array().unwrap().iter();
        all.map(|one| one["manager"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for whose in [&manager, OTHER] {
        signers(&["add", "--manager", whose, &signer]).expect(0);
    }
    assert_eq!(managers().len(), 2);
    signers(&["remove", "--manager", &manager, &signer]).expect(0);
    assert_eq!(managers(), [OTHER]);
    signers(&["remove", "--manager", &manager, &signer]).expect(3).says("no such signer is pinned");
    assert_eq!(managers(), [OTHER]);
    signers(&["add", "--manager", &manager, &signer]).expect(0);
    signers(&["remove", &signer]).expect(0);
    assert_eq!(managers(), Vec::<String>::new());
}

#[test]
fn a_signer_that_was_told_is_known_by_its_key_once_it_has_signed() {
    let world = World::new(1);
    let device = world.ftd(1);
    // the first kit makes the key
    let kit = world.kit(&[]);
    let (manager, signer) = (world.fmc().uuid.clone(), world.signer());
    world.on(device, &["signers", "add", "--manager", &manager, &signer]).run().expect(0);
    let pinned = || {
        let json = world.on(device, &["signers", "list", "--json"]).run().expect(0).json();
        let signers = json["managers"][0]["signers"].as_array().unwrap().clone();
        assert_eq!(signers.len(), 1, "{json}");
        assert_eq!(signers[0]["key"]["fingerprint"], signer, "{json}");
        signers[0].clone()
    };
    let told = pinned();
    assert_eq!(told["key"]["public_key"], Value::Null);
    let install = ["install", "--yes", "--settle", "0", "--identity", "identity.txt"];
    world.on(device, &install).arg(&kit.path).run().expect(0);
    let learned = pinned();
    assert!(learned["key"]["public_key"].is_string(), "{learned}");
    assert_eq!(learned["pinned_at"], told["pinned_at"]);
}

/// Neither forgotten nor understood by guess: a later program may have pinned a signer there.
#[test]
fn what_a_later_program_remembers_is_left_alone() {
    let world = World::started(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    world.install(device, &kit).run().expect(0);
    let state = device.root.join("var/sf/sftunnel-airgap");
    for name in ["signers", "installed"] {
        let path = state.join(name);
        let text = fs::read_to_string(&path).unwrap();
        let format = format!("sftunnel-{name}/");
        let later = text.replace(&format!("{format}1"), &format!("{format}2"));
        assert_ne!(later, text);
        fs::write(&path, &later).unwrap();
        let before = world.snapshot(device);
        let ran = world.install(device, &kit).run().expect(1);
        let ran = ran.says(&format!("is of the later format '{format}2'"));
        let ran = ran.says("release wrote it").says("of that release");
        world.unchanged(device, &before, &ran);
        assert_eq!(fs::read_to_string(&path).unwrap(), later);
        fs::write(&path, text).unwrap();
    }
    world.install(device, &kit).run().expect(0).says("Nothing to do");
}
