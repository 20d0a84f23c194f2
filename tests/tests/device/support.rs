//! `support`: one file, whoever asks and whatever is wrong with the box, and nothing else changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::fs::{FlockOperation, flock};
use tests::{Run, World, refused};

fn name_of(folder: &std::path::Path) -> String {
    let mut found = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.file_name());
    let name = found.next().expect("a file").into_string().unwrap();
    assert!(found.next().is_none());
    name
}

#[test]
fn one_file_for_the_colleague_on_the_phone_also_while_another_run_holds_the_lock() {
    let world = World::started(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    world.install(device, &kit.path).run().expect(0);
    let lock = fs::File::open(device.root.join("var/sf/sftunnel-airgap/lock")).unwrap();
    flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
    let before = world.snapshot(device);
    let (here, out) = (world.out(), world.out());
    let ran = world.on(device, &["support"]).cwd(&here).run().expect(0).says("Written: sftunnel-");
    world.unchanged(device, &before, &ran);
    let name = name_of(&here);
    let start = device.uuid.to_string()[..8].to_owned();
    assert!(name.starts_with(&format!("sftunnel-support-{start}-")) && name.ends_with("Z.txt"));
    let path = here.join(name);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    for line in [
        "=== status",
        "held: a run that may change something is under way",
        "\"outcome\":\"installed\"",
        "    -0644 0:0 ",
        "  d0700 0:0 ",
    ] {
        assert!(text.contains(line), "no {line}: {text}");
    }
    assert!(!text.contains("not readable"), "{text}");
    // never in place of another file
    let again = world.on(device, &["support", "--out"]).arg(&path);
    refused(again, "exists");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    world.on(device, &["support", "--out"]).arg(&out).run().expect(0);
    name_of(&out);
    let shown = world.on(device, &["support", "--out", "-"]).run().expect(0);
    assert!(shown.stdout.starts_with("sftunnel-install support, "), "{}", shown.stdout);
    world.on(device, &["support", "--out", "-", "--json"]).run().expect(2);
}

#[test]
fn a_part_that_cannot_be_read_says_so_and_the_others_are_there() {
    let world = World::new(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    fs::write(device.root.join("etc/sf/ims.conf"), "nothing").unwrap();
    fs::remove_dir_all(device.root.join("var/sf/peers")).unwrap();
    fs::write(device.root.join("var/sf/peers"), "a file").unwrap();
    fs::remove_file(device.root.join("var/log/messages")).unwrap();
    fs::create_dir(device.root.join("var/log/messages")).unwrap();
    let json = world.on(device, &["support", "--json"]).cwd(world.out()).run().expect(0).json();
    let parts = json["parts"].as_array().unwrap();
    let is =
        |name: &str| parts.iter().find(|part| part["name"] == name).unwrap()["readable"] == true;
    for name in ["box", "peer directories", "/var/log/messages"] {
        assert!(!is(name), "{name}: {json}");
    }
    for name in ["program", "clock", "kernel", "pmtool", "file systems", "log"] {
        assert!(is(name), "{name}: {json}");
    }
    assert!(json["path"].as_str().unwrap().starts_with("sftunnel-support-unknown-"), "{json}");

    // without root: what anybody can read
    Run::new("chmod").args(["-R", "a+rX"]).arg(world.path("")).run().expect(0);
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let bin = world.out();
    for (name, root) in [("sftunnel-install", &device.root), ("sftunnel-bundle", &fmc.root)] {
        let program = bin.join(name);
        fs::copy(tests::program(name), &program).unwrap();
        let run = Run::new(&program).args(["support", "--out", "-", "--root"]).arg(root);
        let shown = run.under(&nobody).run().expect(0).stdout;
        assert!(
            shown.contains("\nuser    65534\n") && shown.contains("=== kernel\nLinux "),
            "{shown}"
        );
    }
}
