//! The builder runs as root and signs, so it believes only root: every list, source, key and
//! installer that somebody else could have put there is refused or left out.

use std::fs::Permissions;
use std::os::unix::fs::lchown;
use std::path::Component;

use serde_json::Value;
use tests::program;

use super::*;

const NOBODY: u32 = 65534;

#[track_caller]
fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn belongs_to(path: &Path, uid: u32) {
    lchown(path, Some(uid), Some(uid)).unwrap();
}

/// Refused, and with the flag it goes on and says what was accepted, in plan and build.
#[track_caller]
fn only_accepted(world: &World, what: &str) {
    build_refused(world, "untrusted-source");
    let recipient = world.recipient();
    for command in ["plan", "build"] {
        let flags = [command, "--accept-source", "--recipient", &recipient];
        let run = || world.bundle(&flags).arg("--out").arg(world.out());
        let json = run().arg("--json").run().expect(0).json();
        let told = format!("{} {}", json["warnings"], json["results"][0]["notes"]);
        assert!(told.contains("accepted with --accept-source") && told.contains(what), "{json}");
        run().run().expect(0).says("accepted with --accept-source");
    }
}

/// The folders from the manager's root down to a file, and the file.
fn way(world: &World, file: &Path) -> Vec<PathBuf> {
    let root = &world.fmc().root;
    let mut path = root.clone();
    let mut way = vec![path.clone()];
    for part in file.strip_prefix(root).unwrap().components() {
        assert!(matches!(part, Component::Normal(_)));
        path.push(part);
        way.push(path.clone());
    }
    way
}

#[test]
fn what_others_than_root_could_have_written_is_not_signed() {
    let world = World::new(1);
    let root = world.fmc().root.clone();
    let list = world.fmc().failed_push().unwrap().unwrap();
    let files = [list, root.join("etc/sf/ca_root/cacert.pem"), pushed(&world, "sftunnel-key.pem")];
    for file in &files {
        for path in way(&world, file) {
            let was = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
            let shown = path.display().to_string();
            mode(&path, was | 0o002);
            build_refused(&world, "untrusted-source");
            mode(&path, was);
            belongs_to(&path, NOBODY);
            if path == *file {
                only_accepted(&world, &shown);
            } else {
                build_refused(&world, "untrusted-source");
            }
            belongs_to(&path, 0);
        }
    }
    world.kit(&[]);
    // a group's right to write is somebody else's as well
    mode(&files[2], 0o660);
    only_accepted(&world, "660");
}

#[test]
fn a_sticky_folder_may_lie_on_the_way_and_not_hold_the_file() {
    let world = World::new(1);
    let root = world.fmc().root.clone();
    mode(&root.join("var/tmp"), 0o1777);
    mode(&root.join("var/tmp/certs"), 0o1777);
    mode(&root.join("var/sf/peers"), 0o1777);
    world.kit(&[]);
    mode(pushed(&world, "x").parent().unwrap(), 0o1777);
    only_accepted(&world, "1777");
}

#[test]
fn a_link_on_the_way_counts_by_its_owner_and_its_place() {
    let world = World::new(1);
    let folder = pushed(&world, "x").parent().unwrap().to_owned();
    let real = folder.with_file_name("real");
    fs::rename(&folder, &real).unwrap();
    symlink("real", &folder).unwrap();
    world.kit(&[]);
    belongs_to(&folder, NOBODY);
    only_accepted(&world, "certs_pushed");
    belongs_to(&folder, 0);
    // one of root's that leads out of the device's own folder
    let elsewhere = world.fmc().root.join("var/elsewhere");
    fs::rename(&real, &elsewhere).unwrap();
    fs::remove_file(&folder).unwrap();
    symlink("/var/elsewhere", &folder).unwrap();
    only_accepted(&world, "is not below /var/sf/peers/");
}

#[test]
fn a_newer_batch_that_a_local_user_planted_is_named_and_counts_for_nothing() {
    let world = World::new(1);
    let real = world.fmc().failed_push().unwrap().unwrap();
    let certs = real.parent().unwrap().parent().unwrap().to_owned();
    mode(&certs, 0o1777);
    let planted = certs.join("9999999999");
    fs::create_dir(&planted).unwrap();
    let list = planted.join("FAILED_PUSH");
    fs::copy(&real, &list).unwrap();
    belongs_to(&list, NOBODY);
    belongs_to(&planted, NOBODY);
    let recipient = world.recipient();
    for command in ["plan", "build"] {
        let run = |flags: &[&str]| {
            let run = world.bundle(&[command, "--json", "--recipient", &recipient]).args(flags);
            run.arg("--out").arg(world.out()).run()
        };
        let json = run(&[]).expect(0).json();
        assert_ne!(json["batch"], 9_999_999_999_u64);
        let told = json["warnings"].to_string();
        assert!(told.contains("9999999999") && told.contains("owner 65534"), "{told}");
        // the real one is not stale because of it
        let named = run(&["--failed-push", real.to_str().unwrap()]).expect(0).json();
        assert!(named["warnings"].to_string().contains("9999999999"), "{named}");
        let json = run(&["--accept-source"]).expect(0).json();
        assert_eq!(json["batch"], 9_999_999_999_u64);
        assert!(json["warnings"].to_string().contains("accepted with --accept-source"), "{json}");
    }
    let check = world.bundle(&["check", "--json", "--no-status-program"]).run().json();
    assert_ne!(check["failed_push"]["batch"], 9_999_999_999_u64);
    // none of root's: no list at all, and not a word that every device was reached
    fs::remove_dir_all(real.parent().unwrap()).unwrap();
    build_refused(&world, "untrusted-source");
    let check = world.bundle(&["check", "--no-status-program"]).run();
    check.says("FAILED_PUSH").says("65534");
}

#[test]
fn the_ca_of_a_kit_is_the_one_in_use() {
    let world = World::new(1);
    let root = world.fmc().root.clone();
    let list = world.fmc().failed_push().unwrap().unwrap();
    let other = root.join("etc/sf/other.pem");
    fs::copy(root.join("etc/sf/ca_root/cacert.pem"), &other).unwrap();
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.replace("/etc/sf/ca_root/cacert.pem", "/etc/sf/other.pem")).unwrap();
    // a copy is as good
    world.kit(&[]);
    let mut changed = fs::read(&other).unwrap();
    changed.push(b'\n');
    fs::write(&other, &changed).unwrap();
    only_accepted(&world, "is not the CA in use");
    fs::remove_file(root.join("etc/sf/ca_root/cacert.pem")).unwrap();
    only_accepted(&world, "cannot be compared with");
}

#[test]
fn a_pair_comes_from_its_own_devices_folder() {
    let world = World::new(2);
    let (one, two) = (&world.ftd(1).uuid, &world.ftd(2).uuid);
    let list = world.fmc().failed_push().unwrap().unwrap();
    let text = fs::read_to_string(&list).unwrap();
    let elsewhere = world.fmc().root.join("var/tmp/pair");
    fs::create_dir(&elsewhere).unwrap();
    for name in ["sftunnel-cert.pem", "sftunnel-key.pem"] {
        fs::copy(pushed(&world, name), elsewhere.join(name)).unwrap();
        let others = world.fmc().certs_pushed(two).join(name);
        fs::copy(pushed(&world, name), others).unwrap();
    }
    let own = format!("/var/sf/peers/{one}/certs_pushed/");
    for place in ["/var/tmp/pair/".to_owned(), format!("/var/sf/peers/{two}/certs_pushed/")] {
        for place in [place.clone(), format!("/var/sf/peers/{one}/../../../..{place}")] {
            fs::write(&list, text.replace(&own, &place)).unwrap();
            build_refused_with(&world, &["--device", one], "untrusted-source");
            world.kit(&["--device", one, "--accept-source"]);
        }
    }
    // the UUID may be written in capitals, and slashes doubled
    fs::write(&list, text.replace(&own, &format!("/var//sf/./peers/{one}/certs_pushed//")))
        .unwrap();
    world.kit(&["--device", one]);
}

#[test]
fn a_source_is_looked_at_before_it_is_opened_and_never_waited_for() {
    let world = World::new(1);
    let key = pushed(&world, "sftunnel-key.pem");
    fs::remove_file(&key).unwrap();
    tool("mkfifo", "coreutils").arg(&key).run().expect(0);
    build_refused(&world, "bad-format");
    fs::remove_file(&key).unwrap();
    // to open one is an error of its own: nobody tried
    let socket = std::os::unix::net::UnixListener::bind(world.path("s")).unwrap();
    fs::rename(world.path("s"), &key).unwrap();
    build_refused(&world, "bad-format");
    drop(socket);
    fs::remove_file(&key).unwrap();
    symlink("sftunnel-key.pem", &key).unwrap();
    build_refused(&world, "cannot-read");
}

#[test]
fn the_signing_key_is_roots_alone() {
    let world = World::new(1);
    let folder = world.fmc().root.join("var/sf/sftunnel-airgap");
    // before there is one: where it would be made
    fs::create_dir(&folder).unwrap();
    mode(&folder, 0o777);
    build_refused(&world, "untrusted-source");
    mode(&folder, 0o700);
    world.kit(&[]);
    let key = World::signing_key_path(world.fmc());
    for (path, loose) in [(&folder, 0o770), (&folder, 0o1777), (&key, 0o622), (&key, 0o644)] {
        let was = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        mode(path, loose);
        build_refused(&world, "untrusted-source");
        // named it is the caller's own choice
        world.kit(&["--sign-key", key.to_str().unwrap()]);
        world.kit(&["--accept-source"]);
        mode(path, was);
    }
    belongs_to(&key, NOBODY);
    build_refused(&world, "untrusted-source");
    // nor is it this machine's own for a kit that is to be judged
    let kit = world.kit(&["--accept-source"]);
    refused(world.bundle(&["verify"]).arg(&kit.path), "unknown-signer");
    belongs_to(&key, 0);
    world.bundle(&["verify"]).arg(&kit.path).run().expect(0);
    // what is no file is said so, and nobody waits for its other end
    fs::remove_file(&key).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&key).status().unwrap();
    assert!(made.success());
    let (recipient, out) = (world.recipient(), world.out());
    let build = world.bundle(&["build", "--recipient", &recipient, "--out"]).arg(out);
    refused(build, "bad-format");
}

#[test]
fn a_signing_key_that_was_moved_away_speaks_no_more() {
    let world = World::new(1);
    let old = world.kit(&[]);
    let key = World::signing_key_path(world.fmc());
    // older versions kept the public half beside it
    let public = world.signing_key().verifying_key().unwrap().to_pem().unwrap();
    let beside = key.with_file_name("signing-key.pub.pem");
    fs::write(&beside, &public).unwrap();
    world.bundle(&["verify"]).arg(&old.path).run().expect(0);
    fs::rename(&key, world.path("moved-away.pem")).unwrap();
    let new = world.kit(&[]);
    assert_eq!(fs::read(&beside).unwrap(), &public[..], "it is not ours to remove");
    world.bundle(&["verify"]).arg(&new.path).run().expect(0);
    refused(world.bundle(&["verify"]).arg(&old.path), "unknown-signer");
    world.kit(&[]);
}

#[test]
fn an_installer_that_anybody_could_have_put_beside_the_builder_is_left_out() {
    let world = World::new(1);
    let (shared, recipient) = (world.path("shared"), world.recipient());
    fs::create_dir(&shared).unwrap();
    let builder = shared.join("sftunnel-bundle");
    fs::copy(program("sftunnel-bundle"), &builder).unwrap();
    let planted = shared.join("sftunnel-install-aarch64");
    let mut evil = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xb7\0".to_vec();
    evil.extend(b" anything of his");
    fs::write(&planted, &evil).unwrap();
    let build = |command: &str, flags: &[&str]| {
        let run = Run::new(&builder).arg("--root").arg(&world.fmc().root).args([command, "--json"]);
        let run = run.args(["--recipient", &recipient]).args(flags).arg("--out").arg(world.out());
        run.run()
    };
    let reset = || {
        mode(&shared, 0o755);
        mode(&planted, 0o644);
        belongs_to(&planted, 0);
    };
    let loosen: [&dyn Fn(); 4] =
        [&|| mode(&shared, 0o1777), &|| mode(&shared, 0o775), &|| mode(&planted, 0o666), &|| {
            belongs_to(&planted, NOBODY)
        }];
    for loosen in loosen {
        reset();
        loosen();
        let json = build("plan", &[]).expect(0).json();
        assert_eq!(json["installers"], Value::Array(Vec::new()), "{json}");
        assert_eq!(json["installers_left_out"][0]["reason"], "unknown-installer", "{json}");
        assert!(json["warnings"].to_string().contains("sftunnel-install-aarch64"), "{json}");
        // and there is no other
        let json = build("build", &[]).expect(3).says("sftunnel-install-aarch64").json();
        assert_eq!(json["reason"], "unknown-installer", "{json}");
        // named it is the caller's own choice
        let named = ["--installer", planted.to_str().unwrap()];
        let json = build("build", &named).expect(0).json();
        assert_eq!(json["installers"][0]["arch"], "aarch64");
    }
}

#[test]
fn a_list_of_nothing_but_rubbish_is_refused_within_bounds() {
    let world = World::new(1);
    let list = world.fmc().failed_push().unwrap().unwrap();
    fs::write(&list, "x\n".repeat(1_000_000)).unwrap();
    let recipient = world.recipient();
    for command in ["plan", "build"] {
        let run = world.bundle(&[command, "--recipient", &recipient, "--out"]).arg(world.out());
        // a gibibyte of addresses
        let run = run.under(&["prlimit", "--as=1073741824"]);
        let ran = run.run().expect(3).says("999000 more lines");
        assert!(ran.stdout.len() + ran.stderr.len() < 1 << 20, "{}", ran.stdout.len());
    }
    let long = fs::File::create(&list).unwrap();
    long.set_len(16 * 1024 * 1024 + 1).unwrap();
    build_refused(&world, "too-large");
}
