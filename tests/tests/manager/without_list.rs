//! Without FAILED_PUSH: pairs that lie at the manager and have not arrived, and kits of them; and
//! either program on a box of the wrong kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tests::{Ran, Run, World};

use crate::manager::check::{check, prints};

fn batches(world: &World) -> PathBuf {
    lab::layout::batches(&world.fmc().root)
}

fn reached(ran: &Ran, uuid: &str) -> String {
    let json = ran.json();
    let devices = json["devices"].as_array().unwrap();
    let its = devices.iter().find(|device| device["device"]["uuid"] == uuid);
    its.unwrap()["reached"].as_str().unwrap().to_owned()
}

#[test]
fn a_pair_that_lies_undelivered_is_never_ok_list_or_no_list() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let list = fmc.failed_push().unwrap().unwrap();
    // a list that says nothing of the device, whose tunnel is down
    fs::write(&list, "").unwrap();
    assert_eq!(reached(&check(&world, &["--json"]).expect(1), &device.uuid), "no");
    // by Cisco's list it was reached, and nothing seen speaks against it
    prints(&world, &format!("PEER:{}\nconnected to '192.0.2.9'\n", device.uuid));
    assert_eq!(reached(&check(&world, &["--json"]).expect(0), &device.uuid), "pushed");
    // a pair that was issued after the list was written
    let file = fs::File::options().append(true).open(&list).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(86_400)).unwrap();
    assert_eq!(reached(&check(&world, &["--json"]).expect(1), &device.uuid), "no");
    // no list, whether its folder is there or not
    for gone in [list.clone(), batches(&world)] {
        if gone.is_dir() { fs::remove_dir_all(gone) } else { fs::remove_file(gone) }.unwrap();
        let ran = check(&world, &[]).expect(1).says("1 new pair not shown to have arrived");
        ran.says("--all-peers, or --peer UUID");
        check(&world, &["--plugin"]).expect(1).says("not_reached=1");
    }
    // a receipt shows it
    let kit = world.kit(&["--peer", &device.uuid]).path;
    world.install(device, &kit).run().expect(0);
    let ran = check(&world, &["--json", "--receipts", kit.to_str().unwrap()]).expect(0);
    assert_eq!(reached(&ran, &device.uuid), "receipt");
    // nothing lies there: nothing is undelivered
    fs::remove_dir_all(fmc.certs_pushed(&device.uuid)).unwrap();
    assert_eq!(reached(&check(&world, &["--json"]).expect(0), &device.uuid), "unknown");
}

fn plan(world: &World, args: &[&str]) -> Ran {
    let recipient = world.recipient();
    world.bundle(&[&["plan", "--json", "--recipient", &recipient], args].concat()).run()
}

fn result<'a>(json: &'a Value, uuid: &str) -> &'a Value {
    let mut results = json["results"].as_array().unwrap().iter();
    results.find(|result| result["device"]["uuid"] == uuid).unwrap_or_else(|| panic!("{json}"))
}

/// The single device whose certificate alone is broken: no list, a pair for it, tunnel up.
#[test]
fn one_devices_pair_is_brought_to_it_without_a_list() {
    let world = World::started(2);
    let (one, two, fmc) = (world.ftd(1), world.ftd(2), world.fmc());
    fs::remove_dir_all(batches(&world)).unwrap();
    world.down(one, fmc);
    let named = format!("{}=Branch 7", one.uuid);
    let kit = world.kit(&["--peer", &one.uuid.to_uppercase(), "--name", &named]).path;
    let index: Value = serde_json::from_slice(&fs::read(kit.join("kit.json")).unwrap()).unwrap();
    assert_eq!((&index["source"], &index["format"]), (&"peers".into(), &"sftunnel-kit/1".into()));
    let bundles = index["bundles"].as_array().unwrap();
    assert_eq!((bundles.len(), &bundles[0]["device"]["name"]), (1, &"Branch 7".into()));
    world.bundle(&["verify", "--identity", "identity.txt"]).arg(&kit).run().expect(0);
    world.install(one, &kit).run().expect(0);
    world.up(one, fmc);
    assert_eq!(world.files(one, fmc), world.new_files(one, fmc));
    world.down(two, fmc);
}

/// The pair was issued by hand and lies beside, not in certs_pushed; the old one is SHA-1.
#[test]
fn a_pair_that_was_issued_by_hand_is_found_in_the_devices_folder() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let (pushed, folder) = (fmc.certs_pushed(&device.uuid), lab::layout::peers(&fmc.root));
    let folder = folder.join(&device.uuid);
    for name in ["sftunnel-cert.pem", "sftunnel-key.pem"] {
        fs::rename(pushed.join(name), folder.join(name)).unwrap();
    }
    fs::remove_dir_all(batches(&world)).unwrap();
    let sources = |ran: Ran| result(&ran.json(), &device.uuid)["sources"][1].clone();
    let expected = format!("/var/sf/peers/{}/sftunnel-cert.pem", device.uuid);
    assert_eq!(sources(plan(&world, &["--peer", &device.uuid]).expect(0)), expected.as_str());
    // half a pair is none; without another its device is refused, and not passed over
    fs::copy(folder.join("sftunnel-key.pem"), pushed.join("sftunnel-key.pem")).unwrap();
    assert_eq!(sources(plan(&world, &["--all-peers"]).expect(0)), expected.as_str());
    for name in ["sftunnel-cert.pem", "sftunnel-key.pem"] {
        fs::rename(folder.join(name), pushed.join(format!("{name}.aside"))).unwrap();
    }
    let half = plan(&world, &["--all-peers"]).expect(3).json();
    assert_eq!(result(&half, &device.uuid)["reason"], "missing-source", "{half}");
    for name in ["sftunnel-cert.pem", "sftunnel-key.pem"] {
        fs::rename(pushed.join(format!("{name}.aside")), folder.join(name)).unwrap();
    }
    // nor is the manager content while the tunnel is down, unless a receipt says why it is
    assert_eq!(reached(&check(&world, &["--json"]).expect(1), &device.uuid), "no");
    prints(&world, "");
    assert_eq!(reached(&check(&world, &["--json"]).expect(0), &device.uuid), "unknown");
    // an older pair in certs_pushed is not the one that is meant
    for name in ["sftunnel-cert.pem", "sftunnel-key.pem"] {
        fs::copy(device.peer_dir(fmc).join(name), pushed.join(name)).unwrap();
    }
    assert_eq!(sources(plan(&world, &["--all-peers"]).expect(0)), expected.as_str());
}

#[test]
fn all_peers_are_those_that_have_a_pair_under_the_ca_in_use() {
    let world = World::new(3);
    let fmc = world.fmc();
    let peers = lab::layout::peers(&fmc.root);
    // what else lies there, and a device whose folder has only what it had before
    for name in ["peers_unregistered", "not-a-uuid", "99999999-87c9-11ef-a993-b9831565bc4e"] {
        fs::create_dir(peers.join(name)).unwrap();
    }
    fs::write(peers.join("88888888-87c9-11ef-a993-b9831565bc4e"), "").unwrap();
    let three = world.ftd(3);
    fs::remove_dir_all(fmc.certs_pushed(&three.uuid)).unwrap();
    for name in ["sftunnel-cert.pem", "sftunnel-key.pem"] {
        fs::copy(three.peer_dir(fmc).join(name), peers.join(&three.uuid).join(name)).unwrap();
    }
    let ran = plan(&world, &["--all-peers"]).expect(0);
    let json = ran.json();
    assert_eq!((&json["source"], &json["ready"]), (&"peers".into(), &2.into()), "{json}");
    assert_eq!(json["failed_push"].as_array().unwrap().len(), 0);
    // the names are those of the list that is there
    assert_eq!(result(&json, &world.ftd(1).uuid)["device"]["name"], "BSNS-1120-1");
    let warning = json["warnings"].to_string();
    assert!(
        warning.contains("left out: 2 devices") && warning.contains(&three.uuid[..8]),
        "{json}"
    );
    // asked for by name they are refused, each with its word
    let asked = plan(&world, &["--peer", &three.uuid, "--peer", &world.ftd(1).uuid]).expect(4);
    assert_eq!(result(&asked.json(), &three.uuid)["reason"], "not-issued-by-ca");
    let none = plan(&world, &["--peer", "99999999-87c9-11ef-a993-b9831565bc4e"]).expect(3);
    assert_eq!(none.json()["reason"], "missing-source");
    // a pair of certs_pushed that an older CA signed is looked at, not passed over
    let pushed = fmc.certs_pushed(&world.ftd(2).uuid);
    for name in ["sftunnel-cert.pem", "sftunnel-key.pem"] {
        fs::copy(world.ftd(2).peer_dir(fmc).join(name), pushed.join(name)).unwrap();
    }
    let json = plan(&world, &["--all-peers"]).expect(4).json();
    assert_eq!(result(&json, &world.ftd(2).uuid)["reason"], "not-issued-by-ca");
    plan(&world, &["--all-peers", "--device", "BSNS-1120-1"]).expect(0);
}

#[test]
fn a_source_is_named_once_and_a_name_belongs_to_a_peer() {
    let world = World::new(1);
    let uuid = world.ftd(1).uuid.clone();
    plan(&world, &["--peer", "not-a-uuid"]).expect(2);
    plan(&world, &["--peer", &uuid, "--all-peers"]).expect(2);
    plan(&world, &["--all-peers", "--failed-push", "x"]).expect(2);
    plan(&world, &["--name", &format!("{uuid}=x")]).expect(2);
    for name in ["x", "x=y", &format!("{uuid}="), &format!("{}=x", uuid.replace('-', "0"))] {
        plan(&world, &["--peer", &uuid, "--name", name]).expect(2);
    }
    let other = uuid.replace(['0', '1'], "2");
    plan(&world, &["--peer", &uuid, "--name", &format!("{other}=x")]).expect(2).says("--name");
    // nobody's
    let root = tempfile::tempdir().unwrap();
    let run = world.bundle_program(&["plan", "--all-peers", "--recipient", &world.recipient()]);
    run.arg("--root").arg(root.path()).run().expect(3).says("APPLIANCE_UUID");
}

/// The same pairs with and without the list, and again: the kit's batch stands still, so that a
/// device takes neither for older.
#[test]
fn the_batch_of_peers_is_when_ca_and_pairs_were_made() {
    let world = World::new(2);
    let batch = |args: &[&str]| plan(&world, args).expect(0).json()["batch"].as_u64().unwrap();
    let listed = batch(&[]);
    assert_eq!(batch(&["--all-peers"]), listed);
    fs::remove_dir_all(batches(&world)).unwrap();
    assert_eq!(batch(&["--all-peers"]), listed);
    assert_eq!(batch(&["--peer", &world.ftd(1).uuid]), listed);
}

#[test]
fn on_a_box_of_the_wrong_kind_the_right_program_is_named() {
    let world = World::new(1);
    let laptop = tempfile::tempdir().unwrap();
    let on = |root: &Path, args: &[&str]| {
        world.bundle_program(&[]).arg("--root").arg(root).args(args).run()
    };
    let device = &world.ftd(1).root;
    let plan = ["plan", "--recipient", &world.recipient()];
    // with a CA's folder as well
    for with_ca in [false, true] {
        if with_ca {
            fs::create_dir_all(device.join("etc/sf/ca_root")).unwrap();
            fs::copy(lab::layout::cacert(&world.fmc().root), lab::layout::cacert(device)).unwrap();
        }
        let ran = on(device, &["check"]).expect(3).says("UNKNOWN: this is a device (FTD)");
        ran.says("sftunnel-install status");
        on(device, &plan).expect(3).says("this is a device (FTD)").says("sftunnel-install status");
        // nor does it take the model's name for that
        let conf = device.join("etc/sf/ims.conf");
        let text = fs::read_to_string(&conf).unwrap();
        fs::remove_file(&conf).unwrap();
        on(device, &plan).expect(3).says("this is a device (FTD)");
        fs::write(&conf, text).unwrap();
    }
    for args in [&["check"][..], &plan] {
        on(laptop.path(), args).expect(3).says("this is not a manager");
    }
    let status = Run::new(tests::program("sftunnel-install"))
        .args(["status", "--root"])
        .arg(laptop.path())
        .run();
    status.expect(0).says("this is not a device (FTD)").says("run sftunnel-bundle");
    check(&world, &[]).never_says("this is");
    world.bundle(&plan).run().expect(0).never_says("this is");
    // the value of a flag is no command
    world.bundle_program(&["--root", "check", "build", "--nonsense"]).run().expect(2);
    world.bundle_program(&["--root", "build", "check", "--nonsense"]).run().expect(3);
}
