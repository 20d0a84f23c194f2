//! High availability: two managers with a CA each, in one run or one after the other; the second
//! manager's own builder; the other manager as a device; two units with one kit.

use std::fs;

use lab::{Device, Lab, LabSpec, Manager, ManagerSpec};
use tests::{Kit, World};

fn managers(lab: &Lab) -> [&Manager; 2] {
    let [one, two] = &lab.managers[..] else { panic!("two managers") };
    [one, two]
}

/// A kit of any manager, installed as its own signer is named.
fn install(world: &World, device: &Device, manager: &Manager, flags: &[&str]) -> tests::Ran {
    let kit = world.kit_on(manager, &[]);
    install_kit(world, device, manager, &kit, flags)
}

fn install_kit(
    world: &World,
    device: &Device,
    manager: &Manager,
    kit: &Kit,
    flags: &[&str],
) -> tests::Ran {
    let signer = world.signer_file(manager);
    let run = world.on(device, &["install", "--yes", "--settle", "1", "--identity"]);
    let run = run.arg(world.path("identity.txt")).arg("--signer").arg(signer);
    run.args(flags).arg(&kit.path).run()
}

/// A device's pair may lie right in its directory on the manager; with a CA it would be a
/// manager's. And what a restart would drop is asked about on a device that has a CA of its own.
#[test]
fn a_manager_that_is_no_device_is_told_which_program_is_for_it() {
    let spec = LabSpec { device_ca: true, ..LabSpec::for_tests(1) };
    let world = World::of(spec.and_manager(ManagerSpec::valid("fmc2"))).start();
    let [one, two] = managers(&world.lab);
    let device = world.ftd(1);
    let fmc = Device { root: one.root.clone(), ..device.clone() };
    for (name, content) in one.new_credentials(&device.uuid).unwrap() {
        if name != "cacert.pem" {
            fs::write(one.root.join("var/sf/peers").join(&device.uuid).join(name), content)
                .unwrap();
        }
    }
    let ran = world.on(&fmc, &["status", "--json"]).run().expect(0);
    let json = ran.json();
    assert_eq!((&json["is_lone_manager"], &json["peers"]), (&true.into(), &serde_json::json!([])));
    world
        .on(&fmc, &["status"])
        .run()
        .expect(0)
        .says("sftunnel-bundle check")
        .says("a manager (FMC)");
    let kit = world.kit_on(one, &[]);
    for words in [&["install", "--yes"][..], &["verify"], &["install", "--dry-run"]] {
        let run = world.on(&fmc, words).args(world.trust()).arg(&kit.path);
        run.run().expect(3).says("refused (wrong-device)").says("sftunnel-bundle plan");
    }
    world.on(device, &["status"]).run().expect(0).never_says("sftunnel-bundle plan");

    // on the device the CA is no reason to leave another manager out of account
    fs::remove_file(device.peer_dir(two).join("cacert.pem")).unwrap();
    let before = world.snapshot(device);
    let ran =
        install_kit(&world, device, one, &kit, &[]).expect(3).says("refused (would-drop-peer)");
    world.unchanged(device, &before, &ran);
}

#[test]
fn one_after_the_other_each_touches_its_own_directory() {
    // the primary is renewed; the secondary's CA is good still, and is renewed later
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::valid("fmc2"));
    let world = World::of(spec).start();
    let [one, two] = managers(&world.lab);
    let device = world.ftd(1);
    world.up(device, two);
    let others = world.files(device, two);
    install(&world, device, one, &[]).expect(0);
    world.up(device, one);
    world.up(device, two);
    assert_eq!(world.files(device, two), others);
    assert_eq!(device.restarts().unwrap(), 1);

    world.lab.renew_on(two).unwrap();
    let firsts = world.files(device, one);
    install(&world, device, two, &[]).expect(0);
    world.up(device, one);
    world.up(device, two);
    assert_eq!(world.files(device, one), firsts);
    assert_eq!(world.files(device, two), world.new_files(device, two));
    assert_eq!(device.restarts().unwrap(), 2);
    // each has its own pin
    let json = world.on(device, &["signers", "list", "--json"]).run().expect(0).json();
    assert_eq!(json["managers"].as_array().unwrap().len(), 2, "{json}");
    // going back one step is the second manager's step alone
    world.on(device, &["rollback", "--yes", "--settle", "1"]).run().expect(0);
    assert_eq!(world.files(device, one), firsts);
    assert_eq!(world.files(device, two), others);
}

#[test]
fn both_expired_one_after_the_other_needs_to_be_accepted_once() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2"));
    let world = World::of(spec).start();
    let [one, two] = managers(&world.lab);
    let device = world.ftd(1);
    let before = world.snapshot(device);
    let ran = install(&world, device, one, &[]).expect(3).says("refused (would-drop-peer)");
    world.unchanged(device, &before, &ran);
    install(&world, device, one, &["--accept-drop"]).expect(0);
    world.up(device, one);
    world.down(device, two);
    install(&world, device, two, &[]).expect(0);
    world.up(device, one);
    world.up(device, two);
}

#[test]
fn the_second_managers_builder_makes_kits_of_its_own() {
    let spec = LabSpec::for_tests(2).and_manager(ManagerSpec::renewed("fmc2"));
    let world = World::of(spec);
    let [one, two] = managers(&world.lab);
    let kits = [world.kit_on(one, &[]), world.kit_on(two, &[])];
    for (kit, manager) in kits.iter().zip([one, two]) {
        let index = fs::read_to_string(kit.path.join("kit.json")).unwrap();
        let index: serde_json::Value = serde_json::from_str(&index).unwrap();
        assert_eq!(index["manager"]["uuid"], *manager.uuid);
        assert_eq!(index["bundles"].as_array().unwrap().len(), 2, "{index}");
        let folder = kit.path.file_name().unwrap().to_str().unwrap();
        assert!(folder.starts_with(&format!("sftunnel-kit-{}-", &manager.uuid[..8])), "{folder}");
    }
    assert_ne!(
        fs::read(World::signing_key_path(one)).unwrap(),
        fs::read(World::signing_key_path(two)).unwrap(),
        "each manager has a key of its own"
    );
    // the primary's list on the secondary: not this manager's files
    let listed = one.failed_push().unwrap().unwrap();
    let run = world.bundle_on(two, &["plan", "--json", "--recipient", &world.recipient()]);
    // whichever of the two batches is the newer one
    let run = run.arg("--accept-stale").arg("--failed-push").arg(listed);
    let json = run.run().expect(3).json();
    assert_eq!((&json["ready"], &json["reason"]), (&0.into(), &"wrong-subject".into()), "{json}");
}

#[test]
fn the_other_manager_is_a_device_and_goes_on_as_a_manager() {
    let spec =
        LabSpec { ha: true, ..LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2")) };
    let world = World::of(spec).start();
    let [one, two] = managers(&world.lab);
    let partner = world.lab.devices.last().unwrap();
    assert_eq!((&partner.uuid, &partner.root), (&two.uuid, &two.root));
    let kit = world.kit_on(one, &[]);
    // its own builder first, so that both programs keep their state in one directory
    let own = world.kit_on(two, &[]);
    let key = fs::read(World::signing_key_path(two)).unwrap();
    let ca = fs::read(lab::layout::cacert(&two.root)).unwrap();

    // a manager keeps its devices' certificates in their directories, without a CA: no tunnel of
    // its own that the restart could drop
    let of_device = two.root.join("var/sf/peers").join(&world.ftd(1).uuid);
    for name in ["sftunnel-cert.pem", "sftunnel-key.pem"] {
        fs::copy(of_device.join("certs_pushed").join(name), of_device.join(name)).unwrap();
    }

    // with one beside them it is a tunnel as any other
    fs::write(of_device.join("cacert.pem"), "").unwrap();
    let ran = install_kit(&world, partner, one, &kit, &[]).expect(3);
    drop(ran.says("refused (would-drop-peer)"));
    fs::remove_file(of_device.join("cacert.pem")).unwrap();

    world.on(partner, &["status"]).run().expect(0).says(&one.uuid);
    let endpoint = format!("--rehearse={}", one.endpoint);
    install_kit(&world, partner, one, &kit, &["--wait-connected", "30", &endpoint]).expect(0);
    world.up(partner, one);
    assert_eq!(world.files(partner, one), world.new_files(partner, one));
    assert_eq!(fs::read(lab::layout::cacert(&two.root)).unwrap(), ca, "its own CA is its own");

    // its own devices' kit still installs, and its builder goes on with its key
    install_kit(&world, world.ftd(1), two, &own, &["--accept-drop"]).expect(0);
    world.up(world.ftd(1), two);
    world.lab.renew_on(two).unwrap();
    world.kit_on(two, &[]);
    assert_eq!(fs::read(World::signing_key_path(two)).unwrap(), key);
    world.on(partner, &["rollback", "--yes", "--settle", "1"]).run().expect(0);
    world.down(partner, one);
}

#[test]
fn two_units_take_their_own_bundles_from_one_kit() {
    let world =
        World::of(LabSpec { key_pool: Some(12), ..LabSpec::with_names(["ftd", "ftd-standby"]) });
    let world = world.start();
    let (active, standby, fmc) = (world.ftd(1), world.ftd(2), world.fmc());
    assert_ne!(active.uuid, standby.uuid);
    let kit = world.kit(&[]);
    // the standby unit first: the active one is not touched by it
    let before = world.snapshot(active);
    let ran = world.install(standby, &kit.path).run().expect(0);
    world.unchanged(active, &before, &ran);
    world.up(standby, fmc);
    world.install(active, &kit.path).run().expect(0);
    world.up(active, fmc);
    world.up(standby, fmc);
    assert_ne!(world.files(active, fmc), world.files(standby, fmc));
    let ran = world.install(standby, &kit.bundle(active)).run().expect(3);
    ran.says("refused (wrong-device)");
}
