//! The installer's own directory on the device: its backups and records, what is damaged in
//! them, and what somebody else left there.

use std::fs;
use std::path::{Path, PathBuf};

use lab::Device;
use tests::World;

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
