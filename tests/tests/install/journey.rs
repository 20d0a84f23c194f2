//! From *certificate has expired* to tunnel up, back, and up again; every way in.

use std::fs;
use std::path::Path;

use formats::credentials::Certificate;
use formats::device::CredentialFile;
use formats::receipt::SignedReceipt;
use lab::{LabSpec, ManagerSpec};
use tests::interruption::trace::{CALLS, Trace};
use tests::{Run, World, tool};

fn checks_out(kit: &Path) {
    tool("sha256sum", "coreutils")
        .args(["--check", "--quiet", "SHA256SUMS"])
        .cwd(kit)
        .run()
        .expect(0);
}

#[test]
fn three_devices_from_down_to_up_and_back_and_up_again() {
    let world = World::started(3);
    for device in &world.lab.devices {
        world.down(device, world.fmc());
    }
    let kit = world.kit(&[]);
    // the stick: a copy by ordinary means
    let stick = world.path("stick");
    Run::new("cp").args(["-r", "--no-preserve=mode"]).arg(&kit.path).arg(&stick).run().expect(0);
    checks_out(&stick);
    let identity = world.path("identity.txt").display().to_string();
    world.bundle(&["verify", "--identity", &identity]).arg(&stick).run().expect(0).says("verified");

    for device in &world.lab.devices {
        let before = world.snapshot(device);
        let state = device.root.join("var/sf/sftunnel-airgap");
        let ran = world.on(device, &["verify"]).args(world.trust()).arg(&stick).run().expect(0);
        world.unchanged(device, &before, &ran);
        let ran = world.install(device, &stick).arg("--dry-run").run().expect(0);
        world.unchanged(device, &before, &ran);
        assert!(!state.exists(), "a dry run leaves no state behind");
        assert_eq!(device.restarts().unwrap(), 0);

        world.install(device, &stick).run().expect(0).says("Done: sftunnel runs");
        world.up(device, world.fmc());
        assert_eq!(device.restarts().unwrap(), 1);
        let changed = before.changed_paths(&world.snapshot(device));
        let peer = Path::new("var/sf/peers").join(&world.fmc().uuid);
        let three = lab::layout::CREDENTIALS.map(|name| peer.join(name));
        assert_eq!(changed.len(), 3, "{changed:?}");
        assert!(three.iter().all(|path| changed.contains(path)), "{changed:?}");
        assert_eq!(world.files(device, world.fmc()), world.new_files(device, world.fmc()));

        world.install(device, &stick).run().expect(0).says("Nothing to do");
        assert_eq!(device.restarts().unwrap(), 1, "nothing to do is no reason to restart");
    }

    let (device, fmc) = (world.ftd(1), world.fmc());
    let installed = world.snapshot(device);
    world
        .on(device, &["rollback", "--yes", "--settle", "1"])
        .run()
        .expect(0)
        .says("will stay down");
    world.down(device, fmc);
    world.on(device, &["rollback", "--yes", "--settle", "1"]).run().expect(0);
    world.up(device, fmc);
    assert_eq!(device.restarts().unwrap(), 3);
    assert_eq!(installed.differences(&world.snapshot(device)), Vec::<String>::new());
    world.on(device, &["status"]).run().expect(0).says("valid").says("sftunnel  running, PID");
    world.up(world.ftd(2), fmc);
}

#[test]
fn a_rollback_restores_exactly_what_was_found() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let peer = device.peer_dir(fmc);
    // a manual attempt that went wrong: emptied, another mode, one absent, strays beside
    fs::write(peer.join("cacert.pem"), "").unwrap();
    Run::new("chmod").arg("0600").arg(peer.join("sftunnel-cert.pem")).run().expect(0);
    Run::new("chown").arg("1234:56").arg(peer.join("sftunnel-cert.pem")).run().expect(0);
    fs::remove_file(peer.join("sftunnel-key.pem")).unwrap();
    fs::write(peer.join("sftunnel-key.pem\u{1b}[A"), "stray").unwrap();
    fs::write(peer.join("cacert.pem.backup"), "stray").unwrap();
    let found = world.snapshot(device);

    let status = world.on(device, &["status"]).run().expect(0);
    let status = status.says("Missing   sftunnel-key.pem").says("sftunnel-key.pem\\u{1b}[A");
    status.says("cacert.pem.backup").says("1234:56").never_says("\u{1b}");

    let kit = world.kit(&[]);
    world.install(device, &kit.path).run().expect(0);
    world.up(device, fmc);
    world.on(device, &["rollback", "--yes", "--settle", "1"]).run().expect(0);
    assert_eq!(found.differences(&world.snapshot(device)), Vec::<String>::new());
}

#[test]
fn rollback_goes_to_any_backup() {
    let world = World::new(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let old = world.files(device, fmc);
    world.install(device, &world.kit(&[]).path).run().expect(0);
    let first = world.files(device, fmc);
    world.lab.renew().unwrap();
    world.install(device, &world.kit(&[]).path).run().expect(0);
    assert_ne!(first, world.files(device, fmc));

    let rollback =
        |to: &str| world.on(device, &["rollback", "--yes", "--settle", "1", "--to", to]).run();
    rollback("1").expect(0);
    assert_eq!(old, world.files(device, fmc));
    rollback("2").expect(0);
    assert_eq!(first, world.files(device, fmc));
    rollback("99").expect(3).says("refused (not-found)");

    let list = world.on(device, &["backups", "list", "--json"]).run().expect(0).json();
    assert_eq!(list["backups"].as_array().unwrap().len(), 4, "{list}");
    world.on(device, &["backups", "verify"]).run().expect(0);
    world.on(device, &["backups", "prune", "--keep", "1", "--yes"]).run().expect(0);
    let list = world.on(device, &["backups", "list", "--json"]).run().expect(0).json();
    assert_eq!(list["backups"].as_array().unwrap().len(), 1, "{list}");
    world.on(device, &["log"]).run().expect(0).says("not-found");
}

#[test]
fn a_damaged_backup_is_told_and_not_restored() {
    let world = World::new(1);
    let device = world.ftd(1);
    world.install(device, &world.kit(&[]).path).run().expect(0);
    let before = world.snapshot(device);
    let state = device.root.join("var/sf/sftunnel-airgap/backups");
    let backup = fs::read_dir(&state).unwrap().next().unwrap().unwrap().path();
    fs::write(backup.join(&world.fmc().uuid).join("cacert.pem"), "something else").unwrap();
    world.on(device, &["backups", "verify"]).run().expect(3).says("refused (damaged)");
    let ran = world.on(device, &["rollback", "--yes"]).run().expect(3).says("refused (damaged)");
    world.unchanged(device, &before, &ran);
}

#[test]
fn the_passphrase_opens_vouches_and_makes_no_pin() {
    let world = World::started(2);
    let kit = world.passphrase_kit();
    assert!(kit.path.join("kit.identity.age").is_file());
    checks_out(&kit.path);
    let (first, second) = (world.ftd(1), world.ftd(2));
    let with = ["--yes", "--settle", "1", "--passphrase-file", "passphrase.txt"];
    let install = |device| world.on(device, &["install"]).args(with).arg(&kit.path).run();
    install(first).expect(0).says("confirmed by the kit's passphrase");
    world.up(first, world.fmc());
    world.on(first, &["signers", "list"]).run().expect(0).says("No signer is pinned");

    // from the program in the kit, as README.txt says
    let before = world.snapshot(second);
    let script = |args: &[&str]| {
        Run::new("sh")
            .arg(kit.path.join("install.sh"))
            .args(args)
            .args(with)
            .arg("--root")
            .arg(&second.root)
            .cwd(world.path(""))
            .run()
    };
    let ran = script(&["--sha256", &"0".repeat(64)]).expect(3).says("refused (damaged)");
    world.unchanged(second, &before, &ran);
    let digest = tool("sha256sum", "coreutils")
        .args(fs::read_dir(kit.path.join("bin")).unwrap().map(|file| file.unwrap().path()))
        .run();
    let ran = script(&["--sha256", &digest.stdout[..64]]).expect(0).says("Done: sftunnel runs");
    ran.never_says("for sftunnel-install");
    world.up(second, world.fmc());
    // what the program says next is not to be typed as it stands: it is not installed here
    let named = format!("type sh {}/install.sh for sftunnel-install", kit.path.display());
    script(&["rollback", "--to", "99"]).expect(2).never_says(&named);
    let rollback = Run::new("sh").arg(kit.path.join("install.sh")).args(["rollback", "--yes"]);
    rollback.args(["--to", "99", "--root"]).arg(&second.root).run().expect(3).says(&named);
}

#[test]
fn a_named_signer_is_pinned_and_counts_from_then_on() {
    let world = World::new(1);
    let device = world.ftd(1);
    let identity = world.path("identity.txt").display().to_string();
    let opened = ["--yes", "--settle", "1", "--identity", &identity];
    let kit = world.kit(&[]);
    let unnamed = |kit: &Path| world.on(device, &["install"]).args(opened).arg(kit).run();
    unnamed(&kit.path).expect(3).says("refused (unknown-signer)");

    // by its public key's file, as well as by its fingerprint
    let public = world.signer_file(world.fmc());
    world
        .on(device, &["install"])
        .args(opened)
        .arg("--signer")
        .arg(&public)
        .arg(&kit.path)
        .run()
        .expect(0);
    world.on(device, &["signers", "list"]).run().expect(0).says(&world.signer());
    world.lab.renew().unwrap();
    unnamed(&world.kit(&[]).path).expect(0).says("pinned on this box");

    // another key for the same manager: refused, also with the passphrase, until it is named
    world.lab.renew().unwrap();
    world.bundle_program(&["keygen", "signer", "--out", "other.pem"]).run().expect(0);
    let other = world
        .kit_with(world.fmc(), &["--passphrase-file", "passphrase.txt", "--sign-key", "other.pem"]);
    let with = ["--yes", "--settle", "1", "--passphrase-file", "passphrase.txt"];
    let ran = world.on(device, &["install"]).args(with).arg(&other.path).run();
    ran.expect(3).says("refused (unknown-signer)");
    let ran = world
        .on(device, &["install"])
        .args(with)
        .args(["--signer", "other.pub.pem"])
        .arg(&other.path)
        .run();
    ran.expect(0).says("named with --signer");

    world
        .on(device, &["signers", "remove", &world.signer()])
        .run()
        .expect(0)
        .never_says(&world.signer());
    let manager = &world.fmc().uuid;
    world
        .on(device, &["signers", "add", "--manager", manager])
        .arg(&public)
        .run()
        .expect(0)
        .says(&world.signer());
}

#[test]
fn an_armored_bundle_comes_through_standard_input() {
    let world = World::started(1);
    let device = world.ftd(1);
    let kit = world.kit(&["--armor"]);
    let bundle = kit.bundle(device);
    let text = fs::read_to_string(&bundle).unwrap();
    assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{text}");
    assert!(text.lines().all(|line| line.len() < 80), "lines that a console takes");
    // pasted: carriage returns, blanks before and after
    let pasted = format!("\r\n  \r\n{}\r\n\r\n", text.trim_end().replace('\n', "\r\n"));
    let identity = world.path("identity.txt").display().to_string();
    world.bundle(&["verify", "--identity", &identity, "-"]).stdin(pasted.clone()).run().expect(0);
    world.bundle(&["inspect", "--identity", &identity, "-"]).stdin(pasted.clone()).run().expect(0);
    world.on(device, &["inspect", "-"]).stdin(pasted.clone()).run().expect(0);
    world.on(device, &["inspect"]).arg(&bundle).run().expect(0).says(&bundle.display().to_string());
    world.install(device, Path::new("-")).stdin(pasted).run().expect(0);
    world.up(device, world.fmc());
    checks_out(&kit.path);
}

#[test]
fn two_managers_are_one_transaction_and_one_restart() {
    let world = World::of(LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2"))).start();
    let device = world.ftd(1);
    let [one, two] = &world.lab.managers[..] else { panic!("two managers") };
    let kits = [
        world.kit_on(one, &[]),
        world.kit_on(two, &["--sign-key", &World::signing_key_path(one).display().to_string()]),
    ];
    let certificates = || {
        world.lab.managers.iter().map(|manager| {
            let pem = fs::read(device.peer_dir(manager).join("sftunnel-cert.pem")).unwrap();
            Certificate::from_pem(&pem, CredentialFile::Certificate).unwrap().facts().fingerprint
        })
    };
    let before: Vec<_> = certificates().collect();
    let run = world.install(device, &kits[0].path).arg(&kits[1].path);
    let ran = run.arg("--json").run().expect(0);
    assert_eq!(ran.json()["results"].as_array().unwrap().len(), 2);
    // each manager's receipt is about its own files
    let receipts: Vec<_> = fs::read_dir(device.root.join("var/sf/sftunnel-airgap/receipts"))
        .unwrap()
        .map(|item| SignedReceipt::open(&fs::read(item.unwrap().path()).unwrap()).unwrap())
        .collect();
    assert_eq!(receipts.len(), 2);
    for (at, (manager, after)) in world.lab.managers.iter().zip(certificates()).enumerate() {
        let of = |receipt: &&SignedReceipt| receipt.claim().manager.as_str() == manager.uuid;
        let claim = receipts.iter().find(of).unwrap().claim();
        assert_eq!((claim.certificate_before, claim.certificate_after), (Some(before[at]), after));
    }
    world.up(device, one);
    world.up(device, two);
    assert_eq!(device.restarts().unwrap(), 1);
    // one of the two again, beside the other: nothing to do for either
    world.install(device, &kits[1].path).arg(&kits[0].path).run().expect(0).says("Nothing to do");
    world.on(device, &["rollback", "--yes", "--settle", "1"]).run().expect(0);
    world.down(device, one);
    world.down(device, two);
    assert_eq!(device.restarts().unwrap(), 2);
}

#[test]
fn the_other_manager_of_a_pair_is_a_device_too() {
    let spec =
        LabSpec { ha: true, ..LabSpec::for_tests(1).and_manager(ManagerSpec::valid("fmc2")) };
    let world = World::of(spec).start();
    let kit = world.kit(&[]);
    let partner = world.lab.devices.last().unwrap();
    assert_eq!(partner.uuid, world.lab.managers[1].uuid);
    world.install(partner, &kit.path).run().expect(0);
    assert_eq!(world.files(partner, world.fmc()), world.new_files(partner, world.fmc()));
    world.up(partner, world.fmc());
}

#[test]
fn a_tree_below_ngfw_is_the_same_place() {
    let world = World::of(LabSpec { ngfw: true, ..LabSpec::for_tests(1) }).start();
    let device = world.ftd(1);
    assert!(device.root.join("var/sf").is_symlink());
    let before = world.snapshot(device);
    world.install(device, &world.kit(&[]).path).run().expect(0);
    world.up(device, world.fmc());
    assert!(device.root.join("ngfw/var/sf/sftunnel-airgap/backups").is_dir());
    assert_eq!(before.changed_paths(&world.snapshot(device)).len(), 3);
    world.on(device, &["rollback", "--yes", "--settle", "1"]).run().expect(0);
    world.down(device, world.fmc());
    assert_eq!(before.differences(&world.snapshot(device)), Vec::<String>::new());
}

#[test]
fn names_with_blanks_and_other_characters_work_all_the_way() {
    let names = ["Branch Office 7", "Zürich/Nord:1"];
    let world = World::of(LabSpec { key_pool: Some(12), ..LabSpec::with_names(names) }).start();
    let kit = world.kit(&[]);
    for (device, stem) in world.lab.devices.iter().zip(["Branch-Office-7_", "Z-rich-Nord-1_"]) {
        let file = kit.bundle(device);
        assert!(
            file.file_name().unwrap().to_str().unwrap().starts_with(stem),
            "{}",
            file.display()
        );
        world.install(device, &kit.path).run().expect(0);
        world.up(device, world.fmc());
    }
}

#[test]
fn the_same_inputs_make_the_same_inside() {
    let world = World::new(1);
    let open = |kit: tests::Kit| {
        let sealed = fs::read(kit.bundle(world.ftd(1))).unwrap();
        tests::Forge::open(&sealed, &world.identity(), &world.recipient()).entries
    };
    let at = ["--created-at", "2026-01-02T03:04:05Z"];
    let (one, two) = (open(world.kit(&at)), open(world.kit(&at)));
    assert_eq!(one, two);
}

#[test]
fn a_kit_is_private_and_written_whole_or_not_at_all() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(2);
    let kit = world.kit(&[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&kit.path), 0o700);
    assert_eq!(mode(&kit.bundle(world.ftd(1))), 0o600);
    assert_eq!(mode(&World::signing_key_path(world.fmc())), 0o600);

    // again: refused without --force, and the old kit stays as it was
    let out = kit.path.parent().unwrap();
    let before = lab::snapshot(out).unwrap();
    let build = |flags: &[&str]| {
        world
            .bundle(&["build", "--recipient", &world.recipient(), "--out"])
            .arg(out)
            .args(flags)
            .run()
    };
    build(&[]).expect(3).says("refused (exists)");
    assert_eq!(before.differences(&lab::snapshot(out).unwrap()), Vec::<String>::new());
    build(&["--force", "--device", "BSNS-1120-2"]).expect(0);
    assert_eq!(fs::read_dir(out).unwrap().count(), 1, "nothing is left beside the kit");
    assert_eq!(fs::read_dir(kit.path.join("bundles")).unwrap().count(), 1);
    checks_out(&kit.path);
    assert!(fs::read(kit.path.join("README.txt")).is_ok());
}

/// The old kit then has the temporary name, under which an unfinished one would be removed.
#[test]
fn a_kit_that_was_exchanged_loses_no_receipt_when_it_cannot_be_read() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let out = kit.path.parent().unwrap();
    fs::create_dir(kit.path.join("receipts")).unwrap();
    fs::write(kit.path.join("receipts/receipt_x.json"), "{}").unwrap();
    let traced = |inject: &[&str]| {
        tool("strace", "strace");
        let trace = world.path("trace").display().to_string();
        let calls = format!("trace={CALLS}");
        let strace = ["strace", "-qq", "-y", "-s100000", "-o", &trace, "-e", &calls];
        let build = world.bundle(&["build", "--force", "--recipient", &world.recipient(), "--out"]);
        let ran = build.arg(out).under(&[&strace[..], inject].concat()).run();
        (ran, Trace::parse(&fs::read_to_string(&trace).unwrap()).all)
    };
    let (ran, calls) = traced(&[]);
    ran.expect(0);
    let exchanged =
        calls.iter().position(|call| call.args.iter().any(|arg| arg.contains("EXCHANGE")));
    let opened =
        calls[exchanged.unwrap()..].iter().find(|call| call.name.starts_with("open")).unwrap();
    let inject = format!("inject={}:error=EIO:when={}", opened.name, opened.nth);
    let (ran, calls) = traced(&["-e", &inject]);
    // the new kit stands: that is no failed build
    ran.expect(0).says("the receipts of the old one could not be moved");
    assert!(calls.iter().any(|call| call.injected && call.nth == opened.nth), "it was put in");
    let kits: Vec<_> = fs::read_dir(out).unwrap().map(|item| item.unwrap().path()).collect();
    assert_eq!(kits.len(), 2, "both are there: {kits:?}");
    checks_out(&kit.path);
    assert!(kits.iter().any(|kit| kit.join("receipts/receipt_x.json").exists()), "{kits:?}");
}
