//! From team to team: sealed anew, carried on, installed, and proved by what comes back.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::{Kit, PASSPHRASE, World, tool};

/// A second team with an identity and a signing key of its own.
struct Team {
    identity: String,
    recipient: String,
    key: String,
}

impl Team {
    fn new(world: &World, name: &str) -> Self {
        let identity = world.path(format!("{name}.txt")).display().to_string();
        let key = world.path(format!("{name}.pem")).display().to_string();
        let made =
            world.bundle_program(&["keygen", "identity", "--json", "--out", &identity]).run();
        let recipient = made.expect(0).json()["recipient"].as_str().unwrap().to_owned();
        world.bundle_program(&["keygen", "signer", "--out", &key]).run().expect(0);
        Self { identity, recipient, key }
    }
}

fn handed_off(world: &World, kit: &Kit, flags: &[&str]) -> Kit {
    let out = world.out();
    let run =
        world.bundle_program(&["handoff", "--json", "--out"]).arg(&out).arg(&kit.path).args(flags);
    let made = run.run().expect(0).json();
    Kit { path: made["kits"][0]["path"].as_str().unwrap().into() }
}

#[test]
fn a_handoff_changes_who_opens_and_not_what_is_signed() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let first = world.kit(&[]);
    let team = Team::new(&world, "courier");
    let own = world.path("identity.txt").display().to_string();
    let second =
        handed_off(&world, &first, &["-i", &own, "-r", &team.recipient, "--sign-key", &team.key]);
    let inner = |kit: &Kit, identity: &str| {
        let out = world.path(format!("inner-{}", identity.len()));
        let age =
            tool("age", "age").args(["-d", "-i", identity, "-o"]).arg(&out).arg(kit.bundle(device));
        age.run().expect(0);
        fs::read(out).unwrap()
    };
    assert!(inner(&first, &own) == inner(&second, &team.identity), "the signed inside has changed");
    tool("sha256sum", "coreutils")
        .args(["-c", "--quiet", "SHA256SUMS"])
        .cwd(&second.path)
        .run()
        .expect(0);

    // the first team's identity opens it no more; the bundle's own signer is the one that counts
    let install = |identity: &str, signer: &str| {
        let run = world.on(
            device,
            &["install", "--yes", "--settle", "1", "--identity", identity, "--signer", signer],
        );
        run.arg(&second.path).run()
    };
    install(&own, &world.signer()).expect(3).says("cannot-open");
    let courier = format!("{}.pub.pem", team.key.trim_end_matches(".pem"));
    install(&team.identity, &courier).expect(3).says("unknown-signer");
    install(&team.identity, &world.signer()).expect(0);
    world.up(device, fmc);
}

#[test]
fn a_passphrase_is_given_on_only_for_a_signer_that_somebody_vouches_for() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let first = world.kit(&[]);
    let team = Team::new(&world, "site");
    let own = world.path("identity.txt").display().to_string();
    let passphrase = world.path("passphrase.txt").display().to_string();
    let flags = ["-i", &own, "--new-passphrase-file", &passphrase, "--sign-key", &team.key];
    let out = world.out();
    let refused =
        world.bundle_program(&["handoff", "--out"]).arg(&out).arg(&first.path).args(flags).run();
    refused.expect(3).says("unknown-signer");
    assert!(fs::read_dir(&out).unwrap().next().is_none(), "something was made");

    let signer = world.signer();
    let second = handed_off(&world, &first, &[&flags[..], &["--signer", &signer]].concat());
    let install =
        world.on(device, &["install", "--yes", "--settle", "1", "--passphrase-file", &passphrase]);
    install
        .arg(&second.path)
        .run()
        .expect(0)
        .says("confirmed by the kit's passphrase")
        .never_says(PASSPHRASE);
    world.up(device, fmc);
}

#[test]
fn receipts_come_back_and_tell_who_is_done() {
    let world = World::started(2);
    let kit = world.kit(&[]);
    let receipts = || {
        // by these files alone, not by what the manager remembers
        let ran = world.bundle(&["receipts", "--json", "--no-remember"]).arg(&kit.path).run();
        let code = ran.code();
        (code, ran.json())
    };
    let count = |json: &Value, what: &str| json[what].as_u64().unwrap();
    let (code, before) = receipts();
    assert_eq!((code, count(&before, "done"), count(&before, "outstanding")), (Some(0), 0, 2));
    let installed = world.install(world.ftd(1), &kit.path).arg("--json").run().expect(0).json();
    let path = installed["receipts"][0].as_str().unwrap().to_owned();
    let (code, after) = receipts();
    assert_eq!((code, count(&after, "done"), count(&after, "outstanding")), (Some(0), 1, 1));

    // a changed claim is refused, whoever carries it
    let changed = fs::read_to_string(&path).unwrap().replace("installed", "rolled-back");
    fs::write(&path, changed).unwrap();
    let (code, forged) = receipts();
    assert_eq!((code, forged["reason"].as_str()), (Some(3), Some("bad-signature")));
    assert_eq!(count(&forged, "done"), 0);
}

#[test]
fn a_rollback_tells_the_manager_that_the_device_is_not_done() {
    let world = World::started(1);
    let (kit, device) = (world.kit(&[]), world.ftd(1));
    let standing = |more: &[&Path]| {
        let run = world.bundle(&["receipts", "--json", "--no-remember"]);
        let run = run.arg(&kit.path).args(more);
        run.run().expect(0).json()["results"][0]["status"].clone()
    };
    world.install(device, &kit.path).run().expect(0);
    assert_eq!(standing(&[]), "done");

    // to a stick of its own, and to the kit: each once, although one is named twice
    let stick = world.out();
    let files = |folder: &Path| -> Vec<_> {
        fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()).collect()
    };
    let installed = files(&kit.path.join("receipts"));
    let rollback = world.on(device, &["rollback", "--yes", "--settle", "1"]);
    let rollback = rollback.arg("--receipt-out").arg(&stick);
    let rollback = rollback.arg("--receipt-out").arg(stick.join("."));
    let ran = rollback.arg("--receipt-out").arg(&kit.path).run().expect(0);
    ran.never_says("no receipt could be written");
    assert_eq!((files(&stick).len(), files(&kit.path.join("receipts")).len()), (1, 2));
    assert_eq!(standing(&[]), "rolled-back");
    // the stick's alone tells it as well, beside the receipt of the installation
    for path in files(&kit.path.join("receipts")) {
        if !installed.contains(&path) {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(standing(&[]), "done");
    assert_eq!(standing(&[&stick]), "rolled-back");
}

#[test]
fn a_bundle_by_itself_leaves_its_receipt_where_it_is_told_to() {
    let world = World::started(1);
    let bundle = world.write("alone.age", fs::read(world.kit(&[]).bundle(world.ftd(1))).unwrap());
    let out = world.out();
    let installed =
        world.install(world.ftd(1), &bundle).arg("--json").arg("--receipt-out").arg(&out);
    assert_eq!(installed.run().expect(0).json()["receipts"].as_array().unwrap().len(), 1);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

#[test]
fn a_folder_for_receipts_that_is_none_is_refused_before_anything_is_changed() {
    let world = World::started(1);
    let (kit, device) = (world.kit(&[]), world.ftd(1));
    world.install(device, &kit.path).run().expect(0);
    let elsewhere = world.out();
    let link = world.path("link");
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    let file = world.write("file", "");
    let before = world.snapshot(device);
    for (folder, reason) in
        [(&link, "bad-format"), (&file, "bad-format"), (&world.path("absent"), "not-found")]
    {
        let rollback = world.on(device, &["rollback", "--yes", "--settle", "1", "--receipt-out"]);
        let ran = rollback.arg(folder).run().expect(3).says(reason);
        world.unchanged(device, &before, &ran);
        let ran = world.install(device, &kit.path).arg("--receipt-out").arg(folder).run();
        world.unchanged(device, &before, &ran.expect(3).says(reason));
    }
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "written through a link");
}

#[test]
fn a_receipt_that_cannot_be_kept_undoes_nothing_and_is_missed() {
    let world = World::started(1);
    let device = world.ftd(1);
    world.on(device, &["recover"]).run().expect(0);
    fs::write(device.root.join("var/sf/sftunnel-airgap/receipts"), "").unwrap();
    let ran = world.install(device, &world.kit(&[]).path).run().expect(0);
    drop(ran.says("Note: no receipt could be written there"));
    world.up(device, world.fmc());
}

#[test]
fn a_rollbacks_receipt_follows_no_link_on_the_stick() {
    let world = World::started(1);
    let device = world.ftd(1);
    world.install(device, &world.kit(&[]).path).run().expect(0);
    let (stick, elsewhere) = (world.out(), world.out());
    fs::write(stick.join("kit.json"), "{}").unwrap();
    std::os::unix::fs::symlink(&elsewhere, stick.join("receipts")).unwrap();
    let rollback = world.on(device, &["rollback", "--yes", "--settle", "1", "--receipt-out"]);
    rollback.arg(&stick).run().expect(0).says("no receipt could be written there");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "written through a link");
    let own = device.root.join("var/sf/sftunnel-airgap/receipts");
    assert_eq!(fs::read_dir(own).unwrap().count(), 2, "the device keeps its own");
}

#[test]
fn check_says_how_long_and_with_the_exit_codes_of_a_monitoring_plugin() {
    let world = World::new(1);
    let run = |args: &[&str]| world.bundle(&[&["check"], args].concat()).run();
    let lines = run(&["--plugin"]);
    assert!(
        lines.stdout.lines().next().is_some_and(|first| first.contains('|')),
        "no performance data"
    );
    assert_eq!(run(&["--warning", "36500", "--critical", "10"]).code(), Some(1));
    assert_eq!(run(&["--warning", "36500", "--critical", "36000"]).code(), Some(2));
    assert_eq!(run(&["--no-such-flag"]).code(), Some(3));
}

/// The kit is opened before the first change: what stands under its name later is not it.
#[test]
fn a_kit_exchanged_while_sftunnel_restarts_gets_no_receipt() {
    let world = World::started(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    let (aside, elsewhere) = (world.path("aside"), world.path("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("kit.json"), "{}").unwrap();
    device.set_fault(&lab::Fault::Slow(std::time::Duration::from_secs(3))).unwrap();
    let started = world.install(device, &kit).start();
    let journal = device.root.join("var/sf/sftunnel-airgap/journal");
    let is_restarting = || fs::read_to_string(&journal).is_ok_and(|text| text.contains("restart"));
    tests::wait_until(is_restarting);
    fs::rename(&kit, &aside).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &kit).unwrap();
    started.wait().expect(0);
    assert!(!elsewhere.join("receipts").exists(), "written through a link");
    assert_eq!(fs::read_dir(aside.join("receipts")).unwrap().count(), 1);
}

#[test]
fn a_slip_in_receipt_out_stands_in_the_log() {
    let world = World::started(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    let install = world.install(device, &kit).arg("--receipt-out").arg(world.path("absent"));
    install.run().expect(3);
    world.on(device, &["log"]).run().expect(0).says("failed (not-found)").says("--receipt-out");
}

#[test]
fn a_stick_with_a_link_for_receipts_gets_none() {
    let world = World::started(1);
    let kit = world.kit(&[]);
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, kit.path.join("receipts")).unwrap();
    let installed = world.install(world.ftd(1), &kit.path).run().expect(0);
    assert!(fs::read_dir(&elsewhere).unwrap().next().is_none(), "written through a link");
    installed.says("no receipt could be written there");
    world.up(world.ftd(1), world.fmc());
}
