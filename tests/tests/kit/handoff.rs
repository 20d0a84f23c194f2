//! Sealed anew for the next team: whole kits, parts of them, kits of two managers, single
//! bundles; and nothing of it in clear on any disk.

use std::fs;
use std::path::{Path, PathBuf};

use formats::checksum::Sha256;
use formats::kit::{BundleEntry, KitIndex};
use lab::{Device, LabSpec, ManagerSpec};
use serde_json::Value;
use tests::{Kit, Run, World, tool};

/// An identity of somebody who may open bundles.
struct Reader {
    file: String,
    recipient: String,
}

impl Reader {
    fn new(world: &World, name: &str) -> Self {
        let file = world.path(format!("{name}.txt")).display().to_string();
        let made = world.bundle_program(&["keygen", "identity", "--json", "--out", &file]).run();
        let recipient = made.expect(0).json()["recipient"].as_str().unwrap().to_owned();
        Self { file, recipient }
    }
}

/// The handing team's key; gives its fingerprint.
fn courier(world: &World) -> String {
    let made = world.bundle_program(&["keygen", "signer", "--json", "--out", "courier.pem"]).run();
    made.expect(0).json()["fingerprint"].as_str().unwrap().to_owned()
}

/// `handoff`, opened with the first team's identity and signed by the courier.
fn handoff(world: &World, out: &Path, flags: &[&str]) -> Run {
    let run = world.bundle_program(&["handoff", "-i", "identity.txt", "--out"]).arg(out);
    run.args(["--sign-key", "courier.pem"]).args(flags)
}

/// What age, of another hand, finds in a bundle.
fn inside(world: &World, bundle: &Path, identity: &str) -> Vec<u8> {
    let out = world.out().join("inside");
    tool("age", "age")
        .args(["--decrypt", "--identity"])
        .arg(identity)
        .arg("-o")
        .arg(&out)
        .arg(bundle)
        .cwd(world.path(""))
        .run()
        .expect(0);
    fs::read(out).unwrap()
}

fn kits(json: &Value) -> Vec<Kit> {
    let paths = json["kits"].as_array().unwrap().iter();
    paths.map(|kit| Kit { path: kit["path"].as_str().unwrap().into() }).collect()
}

fn holds(kit: &Kit, device: &Device) -> bool {
    let mut names = fs::read_dir(kit.path.join("bundles")).unwrap().flatten();
    names.any(|item| item.file_name().to_string_lossy().contains(&device.uuid))
}

fn install(world: &World, device: &Device, source: &Path, identity: &str) -> Run {
    let flags = ["install", "--yes", "--settle", "1", "--signer", &world.signer()];
    world.on(device, &flags).args(["--identity", identity]).arg(source)
}

#[test]
fn a_split_makes_a_kit_for_each_site_that_opens_its_own_devices_only() {
    let world = World::started(3);
    let courier = courier(&world);
    let (north, south, escrow) =
        (Reader::new(&world, "north"), Reader::new(&world, "south"), Reader::new(&world, "escrow"));
    // the third is looked after by both
    let map = format!(
        "device,recipient\nBSNS-1120-1,{0}\n{2},{1}\n*-3,{0}\n*-3,{1}\n",
        north.recipient,
        south.recipient,
        world.ftd(2).uuid
    );
    world.write("sites.csv", map);
    let (first, out) = (world.kit(&[]), world.out());
    let flags = ["--json", "--split", "--recipient-map", "sites.csv", "-r", &escrow.recipient];
    let made = handoff(&world, &out, &flags).arg(&first.path).run().expect(0).json();
    let parts = kits(&made);
    assert_eq!(parts.len(), 2, "{made}");
    let [of_north, of_south] = [1, 2].map(|number| {
        parts.iter().find(|kit| holds(kit, world.ftd(number))).expect("a part for the device")
    });
    assert_ne!(of_north.path.parent(), of_south.path.parent(), "a folder for each site");

    let opens = |kit: &Kit, number: usize, reader: &Reader| {
        let run = world.on(world.ftd(number), &["verify", "--signer", &world.signer()]);
        let ran = run.args(["--identity", &reader.file]).arg(kit.bundle(world.ftd(number))).run();
        match ran.code() {
            Some(0) => true,
            _ => {
                ran.expect(3).says("cannot-open");
                false
            }
        }
    };
    for (kit, own, other, devices) in
        [(of_north, &north, &south, [1, 3]), (of_south, &south, &north, [2, 3])]
    {
        let absent = 3 - devices[0];
        assert!(!holds(kit, world.ftd(absent)), "another site's device");
        for number in devices {
            assert!(opens(kit, number, own) && opens(kit, number, &escrow), "device {number}");
            assert!(!opens(kit, number, other), "device {number}");
        }
        // the index says who built the bundles and who handed them on, and is whole
        let index: Value =
            serde_json::from_slice(&fs::read(kit.path.join("kit.json")).unwrap()).unwrap();
        assert_eq!(index["built_by"]["fingerprint"], world.signer());
        assert_eq!(index["handoffs"][0]["signer"]["fingerprint"], courier);
        assert_eq!(index["signer"]["fingerprint"], courier);
        let verify = world.bundle_program(&["verify", "-i", &escrow.file, "--signer", &courier]);
        verify.args(["--signer", &world.signer()]).arg(&kit.path).run().expect(0);
        let sums = tool("sha256sum", "coreutils").args(["-c", "--quiet", "SHA256SUMS"]);
        sums.cwd(&kit.path).run().expect(0);
        let device = world.ftd(devices[0]);
        install(&world, device, &kit.path, &own.file).run().expect(0);
        world.up(device, world.fmc());
    }
}

#[test]
fn a_split_leaves_no_device_without_a_site() {
    let world = World::new(2);
    courier(&world);
    let north = Reader::new(&world, "north");
    world.write("sites.csv", format!("BSNS-1120-1,{}\n", north.recipient));
    let (first, out) = (world.kit(&[]), world.out());
    let split = ["--split", "--recipient-map", "sites.csv"];
    let refused = handoff(&world, &out, &split).arg(&first.path).run();
    refused.expect(2).says("BSNS-1120-2");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "something was made");
    handoff(&world, &out, &split)
        .args(["--device", "BSNS-1120-1"])
        .arg(&first.path)
        .run()
        .expect(0);
}

#[test]
fn only_the_devices_that_are_picked_are_handed_on() {
    let world = World::new(3);
    courier(&world);
    let site = Reader::new(&world, "site");
    let (first, out) = (world.kit(&[]), world.out());
    let picked = ["--json", "-r", &site.recipient, "--device", "BSNS-1120-1", "--device"];
    let run = handoff(&world, &out, &picked).arg(world.ftd(3).uuid.to_uppercase());
    let made = run.arg(&first.path).run().expect(0).json();
    let kit = &kits(&made)[0];
    let held = [1, 2, 3].map(|number| holds(kit, world.ftd(number)));
    assert_eq!(held, [true, false, true]);
    assert_eq!(made["results"].as_array().unwrap().len(), 2, "{made}");
    let nobody = handoff(&world, &world.out(), &["-r", &site.recipient, "--device", "nobody"]);
    nobody.arg(&first.path).run().expect(3).says("not-found");
}

#[test]
fn kits_of_two_managers_are_handed_on_together_and_installed_as_one() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2"));
    let world = World::of(spec).start();
    let (device, managers) = (world.ftd(1), &world.lab.managers);
    courier(&world);
    let site = Reader::new(&world, "site");
    let first: Vec<Kit> = managers.iter().map(|manager| world.kit_on(manager, &[])).collect();
    let out = world.out();
    let run = handoff(&world, &out, &["--json", "-r", &site.recipient]);
    let made = run.args(first.iter().map(|kit| &kit.path)).run().expect(0).json();
    let made = kits(&made);
    assert_eq!(made.len(), 2);
    for manager in managers {
        let run = world.on(device, &["signers", "add", "--manager", &manager.uuid]);
        run.arg(world.signer_file(manager)).run().expect(0);
    }
    let run = world.on(device, &["install", "--yes", "--settle", "1", "--identity", &site.file]);
    run.args(made.iter().map(|kit| &kit.path)).run().expect(0);
    assert_eq!(device.restarts().unwrap(), 1, "one restart for both");
    managers.iter().for_each(|manager| world.up(device, manager));

    // two that would become one folder are not mixed up
    let again = handoff(&world, &world.out(), &["-r", &site.recipient]);
    let again = again.arg(&first[0].path).arg(&first[0].path).run();
    again.expect(2).says("two kits would both become");
}

#[test]
fn a_bundle_by_itself_is_handed_on_into_a_new_file() {
    let world = World::started(1);
    let device = world.ftd(1);
    let site = Reader::new(&world, "site");
    let old = world.kit(&[]).bundle(device);
    let alone = world.write("from-a-mail.age", fs::read(&old).unwrap());
    let out = world.out();
    // no kit, no index: nothing to sign
    let run = world.bundle_program(&["handoff", "-i", "identity.txt", "--json", "--out"]);
    let made = run.arg(&out).args(["-r", &site.recipient]).arg(&alone).run().expect(0).json();
    let new = PathBuf::from(made["results"][0]["path"].as_str().unwrap());
    assert_eq!(new.file_name(), old.file_name(), "the name that follows from the device");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    assert!(fs::read(&new).unwrap() != fs::read(&old).unwrap());
    let before = inside(&world, &alone, "identity.txt");
    assert!(before == inside(&world, &new, &site.file), "the signed inside has changed");
    install(&world, device, &new, "identity.txt").run().expect(3).says("cannot-open");
    install(&world, device, &new, &site.file).run().expect(0);
    world.up(device, world.fmc());
    // never over a file that is there
    let again = world.bundle_program(&["handoff", "-i", "identity.txt", "--out"]).arg(&out);
    again.args(["-r", &site.recipient]).arg(&alone).run().expect(3).says("refused (exists)");
    // a passphrase would need a kit to lie in
    let flags = ["--new-passphrase-file", "passphrase.txt"];
    let run = handoff(&world, &world.out(), &flags).arg(&alone).run();
    run.expect(2).says("a passphrase opens kits only");
}

#[test]
fn a_bundle_whose_certificate_is_another_devices_is_not_handed_on() {
    let world = World::new(2);
    courier(&world);
    let site = Reader::new(&world, "site");
    let forged = tests::forger::with_the_certificate_of_another_device(&world);
    let alone = world.write("forged.tar.gz.age", &forged);
    let out = world.out();
    let run = handoff(&world, &out, &["-r", &site.recipient, "--signer", &world.signer()]);
    run.arg(&alone).run().expect(3).says("refused (wrong-subject)");
    // and in a kit that lists it
    let kit = world.kit(&tests::forger::FORGED_AT);
    fs::write(kit.bundle(world.ftd(1)), &forged).unwrap();
    tests::forger::reindexed(&kit.path, &world.signing_key(), |index| {
        let is_its = |entry: &&mut BundleEntry| entry.device.uuid.as_str() == world.ftd(1).uuid;
        let entry = index.bundles.iter_mut().find(is_its).unwrap();
        (entry.size, entry.sha256) = (forged.len() as u64, Sha256::of(&forged));
    });
    let run = handoff(&world, &out, &["--json", "-r", &site.recipient]);
    let json = run.arg(&kit.path).run().expect(4).json();
    assert_eq!(json["reason"], "wrong-subject");
    assert!(!holds(&kits(&json)[0], world.ftd(1)) && holds(&kits(&json)[0], world.ftd(2)));
}

/// All that a run gives to the kernel to be written, to whatever file or pipe.
fn written_by(world: &World, run: Run) -> Vec<u8> {
    let log = world.path("strace.log");
    let calls = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg";
    let strace = ["strace", "-f", "-qq", "-xx", "-s", "1000000", "-e", calls, "-o"];
    let log_word = log.display().to_string();
    run.under(&[&strace[..], &[&log_word]].concat()).run().expect(0);
    let mut written = Vec::new();
    for line in fs::read_to_string(&log).unwrap().lines() {
        for text in line.split('"').skip(1).step_by(2) {
            let bytes = text.split("\\x").skip(1).map(|hex| u8::from_str_radix(hex, 16).unwrap());
            written.extend(bytes);
            written.push(b'\n');
        }
    }
    fs::remove_file(log).unwrap();
    written
}

#[test]
fn verify_and_handoff_open_each_bundle_of_a_kit_once() {
    let world = World::new(2);
    let kit = world.kit(&[]);
    let opened = |run: Run| {
        let log = world.path("strace.log").display().to_string();
        let strace = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", &log];
        run.arg(&kit.path).under(&strace).run().expect(0);
        let calls = fs::read_to_string(&log).unwrap();
        let mut read: Vec<_> = calls
            .lines()
            .filter(|call| call.contains("O_RDONLY"))
            .filter_map(|call| call.split('"').nth(1))
            .filter(|name| name.ends_with(".tar.gz.age"))
            .map(str::to_owned)
            .collect();
        read.sort();
        read
    };
    let index: KitIndex =
        serde_json::from_slice(&fs::read(kit.path.join("kit.json")).unwrap()).unwrap();
    let mut listed: Vec<_> = index
        .bundles
        .iter()
        .map(|entry| entry.file.strip_prefix("bundles/").unwrap().to_owned())
        .collect();
    listed.sort();
    let open = ["--identity", "identity.txt"];
    assert_eq!(opened(world.bundle(&["verify"]).args(open)), listed);
    assert_eq!(opened(world.bundle(&["verify"])), listed);
    assert_eq!(opened(world.on(world.ftd(1), &["verify"]).args(world.trust())), listed);
    for device in [&[][..], &["--device", listed[0].split('_').next().unwrap()]] {
        let out = world.out();
        let run = world.bundle(&["handoff", "--recipient"]).arg(world.recipient()).args(open);
        assert_eq!(opened(run.args(device).arg("--out").arg(out)), listed);
    }
}

#[test]
fn a_handoff_writes_nothing_in_clear_not_even_for_a_moment() {
    let world = World::new(2);
    courier(&world);
    let site = Reader::new(&world, "site");
    // a builder of its own, without installers beside it: what is looked at stays small
    let program = world.path("sftunnel-bundle");
    fs::copy(tests::program("sftunnel-bundle"), &program).unwrap();
    let out = world.out();
    let run = Run::new(&program).arg("--root").arg(&world.fmc().root).arg("build");
    let made = run
        .args(["--json", "--no-installer", "-r", &world.recipient(), "--out"])
        .arg(&out)
        .run()
        .expect(0);
    let kit = Kit { path: made.json()["kit"].as_str().unwrap().into() };
    let alone = world.write("alone.tar.gz.age", fs::read(kit.bundle(world.ftd(2))).unwrap());

    let mut secrets = Vec::new();
    for number in [1, 2] {
        let [_, key, _] = world.new_files(world.ftd(number), world.fmc());
        let key = String::from_utf8(key.unwrap()).unwrap();
        let lines = key.lines().filter(|line| line.len() > 40 && !line.starts_with('-'));
        secrets.extend(lines.map(|line| line.as_bytes()[..40].to_vec()));
        // what age yields, as it is: a part of it is as good as a part of the key
        let inside = inside(&world, &kit.bundle(world.ftd(number)), "identity.txt");
        secrets.extend(inside.chunks_exact(40).skip(1).map(<[u8]>::to_vec));
    }
    let holds_secret = |bytes: &[u8]| {
        let mut places = bytes.windows(40);
        let secrets: std::collections::HashSet<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
        places.any(|place| secrets.contains(place))
    };
    let plain = inside(&world, &alone, "identity.txt");
    assert!(holds_secret(&plain), "what is looked for can be found");

    let (source, temporary, out) = (lab::snapshot(&kit.path).unwrap(), world.out(), world.out());
    let run = handoff(&world, &out, &["-r", &site.recipient]).arg(&kit.path).arg(&alone);
    let written = written_by(&world, run.env("TMPDIR", &temporary));
    let index = fs::read(kit.path.join("kit.json")).unwrap();
    let uuid = world.ftd(1).uuid.as_bytes();
    let shows = |bytes: &[u8]| bytes.windows(uuid.len()).any(|place| place == uuid);
    assert!(shows(&index) && shows(&written), "what is written can be seen");
    assert!(!holds_secret(&written), "a key, or the inside of a bundle, was written in clear");

    // and afterwards: the kit is as it was, and nothing lies about
    assert!(lab::snapshot(&kit.path).unwrap() == source, "the kit that was handed off has changed");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "left in TMPDIR");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 2, "the kit, the bundle, and nothing else");
    for (path, entry) in lab::snapshot(&out).unwrap().0 {
        if let lab::Content::File(_) = entry.content {
            assert!(!holds_secret(&fs::read(out.join(&path)).unwrap()), "{}", path.display());
        }
    }
}
