//! A box with thousands of peer directories, and a shell that allows hardly any open files: slow
//! is not what it becomes, and what cannot be opened is not what is not there.

use std::fs;
use std::time::Duration;

use tests::{Run, World, refused};

/// Version 1 UUIDs that nobody has.
fn uuid(number: usize) -> String {
    format!("{number:08x}-87c9-11ef-a993-b9831565bc4e")
}

#[test]
fn three_thousand_peer_directories_are_looked_at_in_a_moment() {
    let world = World::started(1);
    let device = world.ftd(1);
    let peers = device.root.join("var/sf/peers");
    for number in 0..3000 {
        fs::create_dir(peers.join(uuid(number))).unwrap();
    }
    let quick = |words: &[&str]| {
        let ran = world.on(device, words).under(&["sh", "-c", "ulimit -n 256; exec \"$@\"", "-"]);
        let ran = ran.run().expect(0);
        // a second in the released program; here also for a machine that does something else
        assert!(ran.took < Duration::from_secs(5), "{words:?}: {:?}", ran.took);
        ran
    };
    let json = quick(&["status", "--json"]).json();
    assert_eq!(json["peers"].as_array().unwrap().len(), 3001);
    let unreadable = |peer: &&serde_json::Value| peer["state"] == "unreadable";
    assert_eq!(json["peers"].as_array().unwrap().iter().filter(unreadable).count(), 0, "{json}");
    drop(quick(&["recover"]));
}

/// One is not hidden behind another that sorts between them.
#[test]
fn a_directory_in_two_cases_of_letters_is_listed_once() {
    let world = World::new(1);
    let peers = world.ftd(1).root.join("var/sf/peers");
    let twin = "abcdef00-87c9-11ef-a993-b9831565bc4e";
    let between = "ABCDEF01-87c9-11ef-a993-b9831565bc4e";
    for name in [twin, &twin.to_uppercase(), between] {
        fs::create_dir(peers.join(name)).unwrap();
    }
    let json = world.on(world.ftd(1), &["status", "--json"]).run().expect(0).json();
    let is_twin = |peer: &&serde_json::Value| peer["manager"] == twin;
    let twins: Vec<_> = json["peers"].as_array().unwrap().iter().filter(is_twin).collect();
    assert_eq!(twins.len(), 1, "{json}");
    assert_eq!(twins[0]["reason"], "wrong-destination", "{json}");
}

#[test]
fn too_few_open_files_are_no_missing_pmtool() {
    let world = World::started(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]));
    let before = world.snapshot(device);
    for files in 6..24 {
        let limit = format!("ulimit -n {files}; exec \"$@\"");
        let run: Run = world.install(device, &kit.path).arg("--dry-run");
        let ran = run.under(&["sh", "-c", &limit, "-"]).run();
        if ran.code() == Some(0) {
            assert!(files > 8, "nothing was short of files");
            return;
        }
        let ran = ran.never_says("no pmtool").never_says("never been registered");
        let ran =
            ran.never_says("is this an FTD").says("too many files are open").never_says("os error");
        world.unchanged(device, &before, &ran);
    }
}

#[test]
fn a_pmtool_that_may_not_be_opened_is_no_missing_one() {
    let world = World::started(1);
    let device = world.ftd(1);
    let pmtool = device.root.join("usr/local/sf/bin/pmtool");
    fs::remove_file(&pmtool).unwrap();
    std::os::unix::fs::symlink("pmtool", &pmtool).unwrap();
    let kit = world.kit(&[]);
    let ran = world.install(device, &kit.path).run().expect(1).says("symbolic links");
    ran.never_says("no pmtool");
}

/// What lies there is not this program's, or a log of many years: neither is read into memory.
#[test]
fn a_record_beyond_its_limit_is_too_large_and_says_what_to_do() {
    let world = World::new(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    world.install(device, &kit).run().expect(0);
    for (name, words) in [("log", &["log"][..]), ("signers", &["signers", "list"])] {
        let path = device.root.join("var/sf/sftunnel-airgap").join(name);
        let kept = fs::read(&path).unwrap();
        let file = fs::File::create(&path).unwrap();
        file.set_len(64 * 1024 * 1024 + 1).unwrap();
        let json = refused(world.on(device, words), "too-large").json();
        assert!(json["next"].as_str().unwrap().contains("move it away"), "{json}");
        fs::write(&path, kept).unwrap();
        world.on(device, words).run().expect(0);
    }
}
