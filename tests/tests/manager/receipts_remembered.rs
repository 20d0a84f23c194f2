//! Receipts that were read once count on the FMC without the stick, and are believed no more there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;
use tests::{Ran, World};

fn store(world: &World) -> PathBuf {
    world.fmc().root.join("var/sf/sftunnel-airgap/receipts")
}

fn kept(world: &World) -> Vec<PathBuf> {
    fs::read_dir(store(world)).unwrap().map(|item| item.unwrap().path()).collect()
}

fn receipts(world: &World, args: &[&str]) -> Ran {
    world.bundle(&["receipts", "--json", "--no-status-program"]).args(args).run()
}

fn check(world: &World) -> Ran {
    world.bundle(&["check", "--json", "--no-status-program"]).run()
}

fn reached(json: &Value, world: &World, number: usize) -> Value {
    let uuid = world.ftd(number).uuid.as_str();
    let devices = json["devices"].as_array().unwrap();
    devices.iter().find(|device| device["device"]["uuid"] == uuid).unwrap()["reached"].clone()
}

#[test]
fn check_needs_no_stick_once_its_receipts_were_read() {
    let world = World::started(2);
    let kit = world.kit(&[]).path;
    let kit_arg = kit.to_str().unwrap();
    world.install(world.ftd(1), &kit).run().expect(0);

    let only_look = receipts(&world, &[kit_arg, "--no-remember", "--outstanding"]).expect(0).json();
    assert!(!store(&world).exists());
    let left = only_look["results"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{only_look}");
    assert_eq!(left[0]["device"]["uuid"], world.ftd(2).uuid.as_str());
    assert_eq!((&only_look["done"], &only_look["outstanding"]), (&1.into(), &1.into()));
    assert_eq!(reached(&check(&world).json(), &world, 1), "no");

    receipts(&world, &[kit_arg]).expect(0);
    let files = kept(&world);
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((files.len(), mode(&files[0]), mode(&store(&world))), (1, 0o600, 0o700));
    receipts(&world, &[kit_arg]).expect(0);
    assert_eq!(kept(&world), files, "the same again is no second one");

    fs::remove_dir_all(kit.join("receipts")).unwrap();
    let json = check(&world).json();
    assert_eq!([reached(&json, &world, 1), reached(&json, &world, 2)], ["receipt", "no"]);
    assert_eq!(receipts(&world, &[kit_arg]).expect(0).json()["done"], 1);

    // a renewal makes what was done undone, whatever is remembered
    world.lab.renew().unwrap();
    assert_eq!(reached(&check(&world).json(), &world, 1), "no");
    let kit = world.kit(&[]).path;
    let after = receipts(&world, &[kit.to_str().unwrap()]).expect(0).json();
    assert_eq!((&after["done"], &after["outstanding"]), (&0.into(), &2.into()), "{after}");
}

#[test]
fn a_remembered_receipt_that_is_damaged_is_told_and_does_not_count() {
    let world = World::started(1);
    let kit = world.kit(&[]).path;
    world.install(world.ftd(1), &kit).run().expect(0);
    receipts(&world, &[kit.to_str().unwrap()]).expect(0);
    let code = check(&world).code();
    let file = &kept(&world)[0];
    let whole = fs::read_to_string(file).unwrap();
    fs::write(file, whole.replace("installed", "restored")).unwrap();
    let ran = check(&world);
    assert_eq!(reached(&ran.json(), &world, 1), "no");
    assert!(ran.stderr.contains("damaged"), "{}", ran.stderr);
    assert!(ran.json()["problems"].is_null(), "it does not fail the check");
    assert_ne!(ran.code(), code, "the device is not shown to be done any more");
    // read again from the stick it is whole again
    let json = receipts(&world, &[kit.to_str().unwrap()]).expect(0).json();
    assert!(json["warnings"][0].as_str().unwrap().contains("damaged"), "{json}");
    assert_eq!(fs::read_to_string(file).unwrap(), whole);
    assert_eq!(reached(&check(&world).json(), &world, 1), "receipt");
}

#[test]
fn a_store_that_cannot_be_written_is_said_once_and_stops_nothing() {
    let world = World::started(1);
    let kit = world.kit(&[]).path;
    world.install(world.ftd(1), &kit).run().expect(0);
    fs::write(store(&world), "in the way").unwrap();
    let json = receipts(&world, &[kit.to_str().unwrap()]).expect(0).json();
    let warnings = json["warnings"].as_array().unwrap();
    assert_eq!((warnings.len(), &json["done"]), (1, &1.into()), "{json}");
    assert!(warnings[0].as_str().unwrap().contains("not remembered"), "{json}");
}
