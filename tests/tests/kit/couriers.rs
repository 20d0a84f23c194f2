//! Kits as couriers hand them over: renamed, packed, changed by a transfer or an editor, with
//! something beside; and what `verify` names of it.

use std::fs;
use std::path::Path;

use lab::LabSpec;
use serde_json::Value;
use tests::forger::reindexed;
use tests::{Forger, Run, World, program, tool};

/// Makes `SHA256SUMS` fit whatever lies there, as anybody can.
fn sum_up(kit: &Path) {
    let sums = "find . -type f ! -name SHA256SUMS ! -path './receipts/*' | sed 's,^./,,' | sort | \
                xargs -d '\\n' sha256sum > ../sums; mv ../sums SHA256SUMS";
    Run::new("sh").args(["-ec", sums]).cwd(kit).run().expect(0);
}

/// `verify` in both programs.
fn verify(case: &Forger, kit: &Path) -> [Run; 2] {
    let device = case.world.on(case.world.ftd(1), &["verify"]).args(case.world.trust());
    let builder = case.world.bundle(&["verify", "--identity", "identity.txt"]);
    [device, builder].map(|run| run.arg(kit))
}

/// Both refuse with that reason and say these words, line breaks aside.
#[track_caller]
fn refused_with(case: &Forger, kit: &Path, reason: &str, words: &[&str]) {
    for run in verify(case, kit) {
        let ran = run.run().expect(3).says(&format!("refused ({reason})"));
        let said = ran.output().split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(said.contains(word), "'{word}' in: {said}");
        }
        assert!(!said.contains("\\u{a}"), "each in a line of its own: {said}");
    }
}

#[test]
fn the_script_that_root_runs_is_in_the_signed_index() {
    let case = Forger::new();
    for text in ["install.sh", "README.txt"] {
        let kit = case.copy();
        let path = kit.join(text);
        let changed = format!("{}\n: more", fs::read_to_string(&path).unwrap());
        fs::write(&path, changed).unwrap();
        sum_up(&kit);
        refused_with(&case, &kit, "damaged", &[&format!("{text} is not the file that kit.json")]);
    }
    // the passphrase's file as well, and one where there was none
    let world = &case.world;
    let kit = world.passphrase_kit();
    let device = world.ftd(1);
    let own = ["--passphrase-file", "passphrase.txt"];
    world.on(device, &["verify"]).args(own).arg(&kit.path).run().expect(0);
    let other = world.passphrase_kit();
    fs::copy(other.path.join("kit.identity.age"), kit.path.join("kit.identity.age")).unwrap();
    sum_up(&kit.path);
    world.on(device, &["verify"]).args(own).arg(&kit.path).run().expect(3).says("damaged");
    let mine = case.copy();
    fs::copy(other.path.join("kit.identity.age"), mine.join("kit.identity.age")).unwrap();
    sum_up(&mine);
    for run in verify(&case, &mine) {
        run.run().expect(0).says("kit.identity.age");
    }
}

/// What no signature covers is compared with what this release writes.
#[test]
fn a_translation_that_is_not_ours_is_named() {
    let case = Forger::new();
    for run in verify(&case, &case.copy()) {
        run.run().expect(0).never_says("README");
    }
    let kit = case.copy();
    let path = kit.join("README.es.txt");
    let changed = fs::read_to_string(&path).unwrap().replace("install.sh", "other.sh");
    fs::write(&path, changed).unwrap();
    refused_with(&case, &kit, "damaged", &["README.es.txt is not"]);
    sum_up(&kit);
    for run in verify(&case, &kit) {
        let ran = run.run().expect(0).never_says("README.zh-TW.txt");
        let said = ran.output().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("not signed: README.es.txt: do what README.txt says"), "{said}");
    }
    // of before there were any
    for (name, _) in formats::kit::TRANSLATIONS {
        fs::remove_file(kit.join(name)).unwrap();
    }
    sum_up(&kit);
    for run in verify(&case, &kit) {
        run.run().expect(0).never_says("README");
    }
}

#[test]
fn verify_names_every_file_that_is_altered_missing_or_not_of_the_kit() {
    let case = Forger::new();
    let kit = case.copy();
    fs::write(kit.join("install.sh"), "echo\n").unwrap();
    fs::write(kit.join("README.txt"), "x").unwrap();
    fs::remove_file(kit.join("bin/sftunnel-install-x86_64")).unwrap();
    fs::write(kit.join("run-me.sh"), "echo\n").unwrap();
    let missing = "bin/sftunnel-install-x86_64: No such file";
    let named = ["install.sh is not", "README.txt is not", missing, "not of this kit: run-me.sh"];
    refused_with(&case, &kit, "damaged", &named);
    sum_up(&kit);
    refused_with(&case, &kit, "damaged", &named[..3]);
    let cut = case.copy();
    fs::write(cut.join("SHA256SUMS"), "").unwrap();
    refused_with(&case, &cut, "damaged", &["SHA256SUMS does not list install.sh"]);
}

#[test]
fn what_lies_beside_a_kit_is_named_and_refuses_nothing() {
    let case = Forger::new();
    let kit = case.copy();
    for folder in ["receipts", "System Volume Information", ".Trashes"] {
        fs::create_dir(kit.join(folder)).unwrap();
        fs::write(kit.join(folder).join("receipt_x.json"), "x").unwrap();
    }
    for file in ["._kit.json", "bundles/._x", "bin/.DS_Store", "Thumbs.db"] {
        fs::write(kit.join(file), "x").unwrap();
    }
    for run in verify(&case, &kit) {
        let ran = run.arg("--json").run().expect(0).json();
        let told = &ran["kits"][0];
        assert_eq!(
            (&told["not_listed"], &told["texts_signed"]),
            (&Value::Array(vec![]), &true.into())
        );
        assert_eq!(told["left_by_systems"].as_array().unwrap().len(), 6, "{told}");
    }
    fs::write(kit.join("bin/run\u{1b}.sh"), "x").unwrap();
    fs::create_dir(kit.join("tools")).unwrap();
    for run in verify(&case, &kit) {
        let ran = run.run().expect(0).says("do not run it").says("bin/run\\u{1b}.sh");
        ran.says("tools/").never_says("receipts");
    }
    // a folder that no list speaks of is no place to hide in either
    fs::write(kit.join("receipts/install.sh"), "x").unwrap();
    for run in verify(&case, &kit) {
        run.run().expect(0).says("receipts/install.sh").never_says("receipt_x");
    }
    fs::remove_dir_all(kit.join("receipts")).unwrap();
    std::os::unix::fs::symlink("/etc", kit.join("receipts")).unwrap();
    for run in verify(&case, &kit) {
        run.run().expect(0).says("receipts");
    }
    // in nobody's way either
    case.world.install(case.world.ftd(1), &kit).run().expect(0);
}

#[test]
fn a_kit_of_before_is_read_and_its_scripts_are_said_not_to_be_covered() {
    let case = Forger::new();
    let kit = case.copy();
    reindexed(&kit, &case.world.signing_key(), |index| index.texts.clear());
    for run in verify(&case, &kit) {
        run.run().expect(0).says("install.sh and README.txt are not in the signed index");
    }
    let out = case.world.out();
    let handed = case.world.bundle(&["handoff", "-i", "identity.txt", "--json", "--recipient"]);
    let handed = handed.arg(case.world.recipient()).arg("--out").arg(&out).arg(&kit).run();
    let handed = handed.expect(0).json()["kits"][0]["path"].as_str().unwrap().to_owned();
    let index: Value =
        serde_json::from_slice(&fs::read(Path::new(&handed).join("kit.json")).unwrap()).unwrap();
    assert_eq!(index["texts"].as_array().unwrap().len(), 2);
    for run in verify(&case, Path::new(&handed)) {
        run.run().expect(0).never_says("not in the signed index");
    }
}

#[test]
fn file_names_fit_an_image_and_are_neither_options_nor_hidden() {
    let names = ["FIREWALL-BRANCH-OFFICE-HAMBURG-01", "-rf", ".hidden"];
    let world = World::of(LabSpec { key_pool: Some(12), ..LabSpec::with_names(names) });
    let kit = world.kit(&[]);
    let stems = ["FIREWALL-BRANCH-_", "_rf_", "_hidden_"];
    for (device, stem) in world.lab.devices.iter().zip(stems) {
        let path = kit.bundle(device);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(stem) && name.len() <= 64, "{name}");
    }
    // of before: up to 100 characters, as they came; cut by an image on the way, and passed on
    let older = |stem: &str, uuid: &str| format!("bundles/{stem}_{uuid}.tar.gz.age");
    reindexed(&kit.path, &world.signing_key(), |index| {
        for (entry, name) in index.bundles.iter_mut().zip(names) {
            let file = older(name, entry.device.uuid.as_str());
            fs::rename(kit.path.join(&entry.file), kit.path.join(&file)).unwrap();
            entry.file = file;
        }
    });
    let verify = |kit: &Path| {
        for device in &world.lab.devices {
            world.on(device, &["verify"]).args(world.trust()).arg(kit).run().expect(0);
        }
    };
    verify(&kit.path);
    for (number, device) in world.lab.devices.iter().enumerate() {
        let path = kit.bundle(device);
        let short = ["FIREWALL-BRANCH-OFFICE-HAMBURG-01_cut", "_RF_C0~1.AGE", "7"][number];
        fs::rename(&path, path.with_file_name(short)).unwrap();
    }
    verify(&kit.path);
    world.bundle(&["verify", "-i", "identity.txt"]).arg(&kit.path).run().expect(0);
    let out = world.out();
    let handed = world.bundle(&["handoff", "-i", "identity.txt", "--recipient"]);
    let handed = handed.arg(world.recipient()).args(["--json", "--out"]).arg(&out).arg(&kit.path);
    let handed = handed.run().expect(0).json();
    verify(Path::new(handed["kits"][0]["path"].as_str().unwrap()));
    // of the right size, and another: not taken
    let cut = kit.path.join("bundles/7");
    let mut bytes = fs::read(&cut).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&cut, bytes).unwrap();
    let third = world.on(world.ftd(3), &["install", "--yes"]).args(world.trust());
    third.arg(&kit.path).run().expect(3).says("refused (not-found)").says("no file in bundles/");
}

#[test]
fn what_is_not_quite_a_kit_is_explained() {
    let case = Forger::new();
    let world = &case.world;
    let kit = case.copy();
    let above = kit.parent().unwrap();
    let tar = |flags: &str, name: &str| {
        let to = world.path(name);
        tool("tar", "tar").arg(flags).arg(&to).arg("-C").arg(above).arg("kit").run().expect(0);
        to
    };
    let written = |name: &str, bytes: &[u8]| world.write(name, bytes);
    let mut iso = vec![0; 0x9000];
    iso[0x8001..0x8006].copy_from_slice(b"CD001");
    let short = world.path("short");
    fs::create_dir_all(short.join("BUNDLES")).unwrap();
    fs::write(short.join("KIT.JSO"), "x").unwrap();
    let bare = world.path("bare");
    fs::create_dir(&bare).unwrap();
    fs::write(bare.join("KIT.JSO;1"), "x").unwrap();
    let [renamed, lost] = ["renamed", "lost"].map(|name| {
        let to = world.path(name);
        Run::new("cp").arg("-r").arg(&kit).arg(&to).run().expect(0);
        to
    });
    fs::rename(renamed.join("kit.json"), renamed.join("kit.json.txt")).unwrap();
    fs::remove_file(lost.join("kit.json")).unwrap();
    let stick = world.path("USB STICK");
    fs::create_dir_all(stick.join("unpacked")).unwrap();
    fs::rename(case.copy(), stick.join("unpacked/kit")).unwrap();
    for (path, words) in [
        (stick, "USB STICK/unpacked/kit'"),
        (short.join("BUNDLES"), "capitals or cut short (KIT.JSO)"),
        (bare, "capitals or cut short (KIT.JSO;1)"),
        (renamed, "its kit.json is named kit.json.txt here"),
        (lost, "its kit.json is missing"),
        (above.to_path_buf(), "there is a kit in it: name"),
        (kit.join("bundles"), "it lies in a kit: name"),
        (kit.join("kit.json"), "it is a file of a kit: name"),
        (kit.join("install.sh"), "it is a file of a kit: name"),
        (short, "capitals or cut short (KIT.JSO)"),
        (tar("-cf", "kit.tar"), "a tar archive"),
        (tar("-czf", "kit.tgz"), "a compressed archive"),
        (written("kit.zip", b"PK\x03\x04 and so on"), "a zip file"),
        (written("kit.iso", &iso), "an ISO image"),
    ] {
        let device = world.on(world.ftd(1), &["verify"]).args(world.trust()).arg(&path);
        let builder = world.bundle(&["verify", "-i", "identity.txt"]).arg(&path);
        for run in [device, builder] {
            let ran = run.run().expect(3);
            let said = ran.output().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(words), "{}: '{words}' in: {said}", path.display());
        }
    }
}

#[test]
fn what_a_transfer_in_text_mode_or_an_editor_did_is_named() {
    let case = Forger::new();
    let bundle = case.kit.bundle(case.world.ftd(1)).file_name().unwrap().to_owned();
    let windows = |bytes: &[u8]| -> Vec<u8> {
        let parts: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        parts.join(&b"\r\n"[..])
    };
    let marked = |bytes: &[u8]| [b"\xef\xbb\xbf", bytes].concat();
    let byte_by_byte = "byte by byte";
    for (name, words) in
        [("kit.json", "line ends"), ("SHA256SUMS", "line ends"), ("install.sh", "line ends")]
    {
        let kit = case.copy();
        fs::write(kit.join(name), windows(&fs::read(kit.join(name)).unwrap())).unwrap();
        refused_with(&case, &kit, "damaged", &[name, words, byte_by_byte]);
    }
    for name in ["kit.json", "SHA256SUMS"] {
        let kit = case.copy();
        fs::write(kit.join(name), marked(&fs::read(kit.join(name)).unwrap())).unwrap();
        refused_with(&case, &kit, "damaged", &[name, "byte order mark", byte_by_byte]);
    }
    let kit = case.copy();
    let path = kit.join("bundles").join(bundle);
    fs::write(&path, windows(&fs::read(&path).unwrap())).unwrap();
    refused_with(&case, &kit, "damaged", &["line ends", byte_by_byte]);
    let run = case.world.on(case.world.ftd(1), &["install", "--yes"]).args(case.world.trust());
    run.arg(&kit).run().expect(3).says("refused (damaged)").says("line ends");
}

/// Somebody stands before the box with such a kit, and has nothing to run.
#[test]
fn a_kit_without_an_installer_is_made_only_when_it_is_asked_for() {
    let world = World::new(1);
    let alone = world.path("alone");
    fs::create_dir(&alone).unwrap();
    fs::copy(program("sftunnel-bundle"), alone.join("sftunnel-bundle")).unwrap();
    let out = world.out();
    let run = |command: &str, flags: &[&str]| {
        let run = Run::new(alone.join("sftunnel-bundle")).args([command, "--root"]);
        let run = run.arg(&world.fmc().root).args(flags).arg("--recipient");
        run.arg(world.recipient()).arg("--out").arg(&out).run()
    };
    run("build", &[]).expect(3).says("refused (not-found)").says("--no-installer");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    run("plan", &[]).expect(0).says("build refuses").says("runs on      none");
    run("build", &["--no-installer"]).expect(0);
    let kit = fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();
    let readme = |kit: &Path| fs::read_to_string(kit.join("README.txt")).unwrap();
    assert!(readme(&kit).contains("runs on: none"), "{}", readme(&kit));
    assert!(!kit.join("bin").exists());
    let other = world.kit(&[]);
    assert!(readme(&other.path).contains("runs on: x86_64"), "{}", readme(&other.path));
    assert!(
        world
            .bundle(&["plan", "--no-installer"])
            .arg("--out")
            .arg(&out)
            .run()
            .output()
            .contains("none")
    );
}
