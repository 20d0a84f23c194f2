//! What pasting by hand leaves behind, as the guide's own transcript shows it and worse:
//! `status` names it, `install` goes over it, `rollback` restores exactly what was found.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use serde_json::Value;
use tests::{Run, World, install_refused, refused};

/// One attempt: what it is, what it did to the peer directory, and what `status` says of it.
struct Attempt {
    what: &'static str,
    made: fn(&Path, &World),
    status: &'static [&'static str],
}

fn new(world: &World, name: &str) -> Vec<u8> {
    let files = world.fmc().new_credentials(&world.ftd(1).uuid).unwrap();
    files.into_iter().find(|(found, _)| *found == name).unwrap().1
}

fn put(peer: &Path, name: &str, content: impl AsRef<[u8]>) {
    fs::write(peer.join(name), content).unwrap();
}

const ATTEMPTS: [Attempt; 13] = [
    Attempt {
        what: "emptied, with copies made before",
        made: |peer, _| {
            for name in lab::layout::CREDENTIALS {
                fs::copy(peer.join(name), peer.join(format!("{name}.backup"))).unwrap();
                put(peer, name, "");
            }
        },
        status: &[
            "State     broken",
            "cacert.pem is empty",
            "Stray     'cacert.pem.backup'",
            "Stray     'sftunnel-cert.pem.backup'",
            "Stray     'sftunnel-key.pem.backup'",
        ],
    },
    Attempt {
        what: "only blank lines",
        made: |peer, _| put(peer, "sftunnel-cert.pem", "\r\n\n  \n"),
        status: &["State     broken", "sftunnel-cert.pem is empty"],
    },
    Attempt {
        what: "names with characters that nobody sees",
        made: |peer, _| {
            let names: [&[u8]; 6] = [
                b"sftunnel-key.pem\x1b\x1b\x1b",
                b"sftunnel-key.pem.backup\x7f\x7f\x7f",
                b"cacert.pem ",
                b"sftunnel-cert.pem\n",
                b"sftunnel-key.pem\xff\xfe",
                "\u{200b}cacert.pem".as_bytes(),
            ];
            for name in names {
                fs::write(peer.join(OsStr::from_bytes(name)), "stray").unwrap();
            }
        },
        status: &[
            "State     expired",
            "'sftunnel-key.pem\\u{1b}\\u{1b}\\u{1b}'",
            "'sftunnel-key.pem.backup\\u{7f}\\u{7f}\\u{7f}'",
            "'cacert.pem '",
            "'sftunnel-cert.pem\\u{a}'",
            "'sftunnel-key.pem",
            "'\\u{200b}cacert.pem'",
        ],
    },
    Attempt {
        what: "the new CA alone",
        made: |peer, world| put(peer, "cacert.pem", new(world, "cacert.pem")),
        status: &["State     broken", "sftunnel-cert.pem was not signed by cacert.pem"],
    },
    Attempt {
        what: "the new CA and certificate with the old key",
        made: |peer, world| {
            put(peer, "cacert.pem", new(world, "cacert.pem"));
            put(peer, "sftunnel-cert.pem", new(world, "sftunnel-cert.pem"));
        },
        status: &["State     broken", "sftunnel-key.pem is not the key of sftunnel-cert.pem"],
    },
    Attempt {
        what: "certificate and key each in the other's place",
        made: |peer, world| {
            put(peer, "sftunnel-key.pem", new(world, "sftunnel-cert.pem"));
            put(peer, "sftunnel-cert.pem", new(world, "sftunnel-key.pem"));
        },
        status: &["State     broken", "does not hold exactly one"],
    },
    Attempt {
        what: "pasted twice",
        made: |peer, world| put(peer, "cacert.pem", new(world, "cacert.pem").repeat(2)),
        status: &["State     broken", "cacert.pem does not hold exactly one certificate"],
    },
    Attempt {
        what: "the end of the key missing",
        made: |peer, world| {
            let key = new(world, "sftunnel-key.pem");
            put(peer, "sftunnel-key.pem", &key[..key.len() - 200]);
        },
        status: &["State     broken", "sftunnel-key.pem does not hold exactly one"],
    },
    Attempt {
        what: "other modes and owners",
        made: |peer, _| {
            let mode = |name: &str, mode| {
                fs::set_permissions(peer.join(name), fs::Permissions::from_mode(mode)).unwrap();
            };
            chown(peer.join("cacert.pem"), Some(1000), Some(100)).unwrap();
            mode("cacert.pem", 0o4755);
            mode("sftunnel-cert.pem", 0o000);
            mode("sftunnel-key.pem", 0o666);
        },
        status: &[
            "cacert.pem is 4755 1000:100, expected 0644 0:0",
            "sftunnel-cert.pem is 0000 0:0",
            "sftunnel-key.pem is 0666 0:0",
        ],
    },
    Attempt {
        what: "one of the three absent",
        made: |peer, _| fs::remove_file(peer.join("sftunnel-cert.pem")).unwrap(),
        status: &["State     broken", "Missing   sftunnel-cert.pem"],
    },
    Attempt {
        what: "none there",
        made: |peer, _| {
            for name in lab::layout::CREDENTIALS {
                fs::remove_file(peer.join(name)).unwrap();
            }
        },
        status: &["State     empty", "Missing   cacert.pem", "Missing   sftunnel-key.pem"],
    },
    Attempt {
        what: "no certificate at all",
        made: |peer, _| {
            put(peer, "sftunnel-cert.pem", b"\xff\xd8\xff\xe0 a photograph of the screen")
        },
        status: &["State     broken", "sftunnel-cert.pem does not hold exactly one certificate"],
    },
    Attempt {
        what: "all right, but never restarted",
        made: |peer, world| {
            for name in lab::layout::CREDENTIALS {
                put(peer, name, new(world, name));
            }
        },
        status: &["State     valid"],
    },
];

#[test]
fn each_is_named_installed_over_and_restored_exactly() {
    let world = World::new(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let kit = world.kit(&[]);
    let peer = device.peer_dir(fmc);
    // neither the three nor other names are anybody's attempt
    put(&peer, "notes.txt", "");
    world.on(device, &["status"]).run().expect(0).never_says("Stray");
    let honest = world.path("honest");
    Run::new("cp").arg("-a").arg(&peer).arg(&honest).run().expect(0);
    for attempt in &ATTEMPTS {
        (attempt.made)(&peer, &world);
        let found = world.snapshot(device);
        let mut status = world.on(device, &["status"]).run().expect(0).never_says("\u{1b}");
        for line in attempt.status {
            status = status.says(line);
        }
        world.unchanged(device, &found, &status);
        // one that is right but was never proved is installed and restarted, not skipped
        let restarts = device.restarts().unwrap();
        let run = world.on(device, &["install", "--yes", "--settle", "0"]).args(world.trust());
        let ran = run.arg(&kit.path).run().expect(0).never_says("Nothing to do");
        assert_eq!(device.restarts().unwrap(), restarts + 1, "{}", attempt.what);
        assert_eq!(world.files(device, fmc), world.new_files(device, fmc), "{}", attempt.what);
        let changed = found.changed_paths(&world.snapshot(device));
        let three = |path: &std::path::PathBuf| {
            lab::layout::CREDENTIALS.iter().any(|name| path.ends_with(name))
        };
        assert!(changed.iter().all(three), "{}: {changed:?}", attempt.what);
        drop(ran);
        world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
        let differences = found.differences(&world.snapshot(device));
        assert_eq!(differences, Vec::<String>::new(), "{}", attempt.what);
        // as it was before the attempt
        fs::remove_dir_all(&peer).unwrap();
        Run::new("cp").arg("-a").arg(&honest).arg(&peer).run().expect(0);
        fs::remove_dir_all(device.root.join("var/sf/sftunnel-airgap")).unwrap();
    }
}

#[test]
fn what_is_no_file_at_all_is_named_and_refused() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let key = device.peer_dir(world.fmc()).join("sftunnel-key.pem");
    fs::remove_file(&key).unwrap();
    fs::create_dir(&key).unwrap();
    world.on(device, &["status"]).run().expect(0).says("unreadable").says("not a regular file");
    install_refused(&world, device, &kit.path, "wrong-destination");
    fs::remove_dir(&key).unwrap();
    // so much that it is certainly no key
    fs::write(&key, vec![b'x'; 1024 * 1024 + 1]).unwrap();
    world.on(device, &["status"]).run().expect(0).says("unreadable");
    refused(world.install(device, &kit.path), "too-large");
}

/// The plan in JSON, for scripts: one of the five words for each file.
#[test]
fn the_plan_says_of_each_file_what_becomes_of_it() {
    let world = World::new(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    let plan = |run: Run, files: &str| {
        let plan = run.args(["--dry-run", "--json"]).run().expect(0).json();
        let said = |file: &Value| {
            let path = Path::new(file["path"].as_str().unwrap());
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, file["action"].as_str().unwrap().to_owned(), file["mode"].clone())
        };
        let files = plan.pointer(files).unwrap().as_array().unwrap();
        files.iter().map(said).collect::<Vec<_>>()
    };
    let install = || plan(world.install(device, &kit), "/results/0/bundle/files");
    let said = |file: &str, action: &str, mode: Value| (file.to_owned(), action.to_owned(), mode);
    let mode = || Value::from("0644");
    assert_eq!(
        install(),
        [
            said("cacert.pem", "replace", mode()),
            said("sftunnel-cert.pem", "replace", mode()),
            said("sftunnel-key.pem", "replace", mode())
        ]
    );
    // two of the three by hand, one of them with another mode
    let peer = device.peer_dir(world.fmc());
    for name in ["cacert.pem", "sftunnel-key.pem"] {
        put(&peer, name, new(&world, name));
    }
    fs::set_permissions(peer.join("sftunnel-key.pem"), PermissionsExt::from_mode(0o600)).unwrap();
    fs::remove_file(peer.join("sftunnel-cert.pem")).unwrap();
    assert_eq!(
        install(),
        [
            said("cacert.pem", "keep", mode()),
            said("sftunnel-cert.pem", "create", mode()),
            said("sftunnel-key.pem", "set-mode-and-owner", mode())
        ]
    );
    world.install(device, &kit).run().expect(0);
    assert_eq!(
        plan(world.on(device, &["rollback"]), "/files"),
        [
            said("cacert.pem", "keep", mode()),
            said("sftunnel-cert.pem", "remove", Value::Null),
            said("sftunnel-key.pem", "set-mode-and-owner", Value::from("0600"))
        ]
    );
}

/// What is to be absent, and is, is neither removed nor missed.
#[test]
fn a_rollback_to_a_file_that_was_absent_passes_over_one_that_is_absent_again() {
    let world = World::new(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    let certificate = device.peer_dir(world.fmc()).join("sftunnel-cert.pem");
    fs::remove_file(&certificate).unwrap();
    let found = world.snapshot(device);
    world.install(device, &kit).run().expect(0);
    fs::remove_file(&certificate).unwrap();
    world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    assert_eq!(found.differences(&world.snapshot(device)), Vec::<String>::new());
}

/// What was installed once counts for what lies there only while it lies there.
/// Who has tightened it wants to know that it is as open as Cisco's again.
#[test]
fn the_plan_says_when_the_key_is_opened_up_and_only_then() {
    const SAID: &str = "The key gets mode 644";
    let world = World::started(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]));
    let peer = device.peer_dir(world.fmc());
    let key = peer.join("sftunnel-key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let install = || world.install(device, &kit.path);
    drop(install().arg("--dry-run").run().expect(0).says(SAID));
    install().run().expect(0);
    // back to what was found
    let back = world.on(device, &["rollback", "--dry-run"]).run().expect(0);
    drop(back.says("600 root:root").never_says(SAID));
    // and where the key stays
    fs::write(peer.join("cacert.pem"), "").unwrap();
    drop(install().arg("--dry-run").run().expect(0).says("keep").never_says(SAID));
}

#[test]
fn what_was_changed_since_is_installed_and_rolled_back_again() {
    let world = World::new(1);
    let (device, fmc, kit) = (world.ftd(1), world.fmc(), world.kit(&[]).path);
    let key = device.peer_dir(fmc).join("sftunnel-key.pem");
    let changes: [fn(&Path); 3] = [
        |key| fs::write(key, "").unwrap(),
        |key| fs::set_permissions(key, PermissionsExt::from_mode(0o600)).unwrap(),
        |key| fs::remove_file(key).unwrap(),
    ];
    let old = world.snapshot(device);
    world.install(device, &kit).run().expect(0);
    let new = world.snapshot(device);
    let rollback = ["rollback", "--to", "1", "--yes", "--settle", "0"];
    for change in changes {
        world.install(device, &kit).run().expect(0).says("Nothing to do");
        change(&key);
        world.install(device, &kit).run().expect(0).never_says("Nothing to do");
        assert_eq!(new.differences(&world.snapshot(device)), Vec::<String>::new());
    }
    world.on(device, &rollback).run().expect(0);
    for change in changes {
        world.on(device, &rollback).run().expect(0).says("Nothing to do");
        change(&key);
        world.on(device, &rollback).run().expect(0).never_says("Nothing to do");
        assert_eq!(old.differences(&world.snapshot(device)), Vec::<String>::new());
    }
}

/// OpenSSL passes over the key, so a tunnel was up on such a file; a receipt lies in clear on a
/// stick.
#[test]
fn a_key_pasted_beside_the_certificate_comes_back_and_is_in_no_receipt() {
    let world = World::new(1);
    let (device, fmc, kit) = (world.ftd(1), world.fmc(), world.kit(&[]).path);
    let peer = device.peer_dir(fmc);
    let key = fs::read(peer.join("sftunnel-key.pem")).unwrap();
    for name in ["sftunnel-cert.pem", "cacert.pem"] {
        let pem = fs::read(peer.join(name)).unwrap();
        put(&peer, name, [&pem[..], &key].concat());
    }
    world.on(device, &["status"]).run().expect(0).says("State     expired");
    let found = world.snapshot(device);
    world.install(device, &kit).run().expect(0);
    let rollback = world.on(device, &["rollback", "--yes", "--settle", "0", "--receipt-out"]);
    rollback.arg(kit.join("receipts")).run().expect(0);
    assert_eq!(found.differences(&world.snapshot(device)), Vec::<String>::new());
    let receipts: Vec<_> = fs::read_dir(kit.join("receipts")).unwrap().flatten().collect();
    assert_eq!(receipts.len(), 2, "of the installation and of the rollback");
    for receipt in receipts {
        let text = fs::read_to_string(receipt.path()).unwrap();
        assert!(!text.contains("PRIVATE KEY"), "{:?}", receipt.file_name());
        formats::receipt::SignedReceipt::open(text.as_bytes()).unwrap();
    }
}
