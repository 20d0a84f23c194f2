//! What a live file carries beside its bytes, and what keeps it from being replaced: kept, given
//! back, or said before anything is renamed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lab::{Device, Fault};
use rustix::fs::{XattrFlags, getxattr, listxattr, setxattr};
use serde_json::Value;
use tests::forger::forge_backup;
use tests::{Run, World, refused, tool};

const ACL: &str = "system.posix_acl_access";
const LABEL: &str = "security.selinux";
const OWN: &str = "user.note";

fn key(world: &World) -> PathBuf {
    world.ftd(1).peer_dir(world.fmc()).join("sftunnel-key.pem")
}

/// `user::rw-, user:4242:r--, group::---, mask::r--, other::---`, as the kernel takes it.
fn acl() -> Vec<u8> {
    let nobody = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, nobody), (2, 4, 4242), (4, 0, nobody), (16, 4, nobody), (32, 0, nobody)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes().into_iter().chain(permissions.to_le_bytes()));
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn give(path: &Path, name: &str, value: &[u8]) {
    setxattr(path, name, value, XattrFlags::empty()).unwrap();
}

/// All extended attributes, the mode and the owner.
fn found(path: &Path) -> (Vec<(String, Vec<u8>)>, u32) {
    let mut list = vec![0; 4096];
    let length = listxattr(path, list.as_mut_slice()).unwrap();
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut all: Vec<_> = names
        .map(|name| {
            let mut value = vec![0; 4096];
            let length = getxattr(path, name, value.as_mut_slice()).unwrap();
            (String::from_utf8(name.to_vec()).unwrap(), value[..length].to_vec())
        })
        .collect();
    all.sort();
    (all, fs::metadata(path).unwrap().permissions().mode() & 0o7777)
}

fn labelled() -> World {
    let world = World::new(1);
    let key = key(&world);
    give(&key, LABEL, b"system_u:object_r:sf_key_t:s0\0");
    give(&key, OWN, b"of the box");
    give(&key, ACL, &acl());
    world
}

fn rollback(world: &World) -> Run {
    world.on(world.ftd(1), &["rollback", "--yes", "--settle", "0"])
}

/// Without them sftunnel could not open its own key.
#[test]
fn an_acl_and_a_label_go_over_to_what_replaces_a_file_and_come_back() {
    let world = labelled();
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    // more names than are usual
    for letter in ["a", "b", "c", "d"] {
        give(&key(&world), &format!("user.{}", letter.repeat(80)), b"long");
    }
    let before = found(&key(&world));
    assert_eq!((before.0.len(), before.1), (7, 0o640));
    let plan = world.install(device, &kit).arg("--dry-run").run().expect(0);
    drop(plan.says("640 root:root").says("as found: security.selinux, system.posix_acl_access"));
    world.install(device, &kit).run().expect(0);
    assert_eq!(world.files(device, world.fmc()), world.new_files(device, world.fmc()));
    assert_eq!(found(&key(&world)), before);
    world.install(device, &kit).run().expect(0).says("Nothing to do");
    // somebody takes them away, and a rollback gives them back
    rustix::fs::removexattr(key(&world), LABEL).unwrap();
    rustix::fs::removexattr(key(&world), ACL).unwrap();
    give(&key(&world), "user.other", b"later");
    rollback(&world).run().expect(0);
    assert_eq!(found(&key(&world)), before);
}

/// As `recover` does it: the same step, another command.
#[test]
fn what_is_put_back_after_a_failure_has_its_attributes() {
    let world = labelled();
    let before = found(&key(&world));
    world.ftd(1).set_fault(&Fault::NoStartNew).unwrap();
    let install = world.install(world.ftd(1), &world.kit(&[]).path);
    install.args(["--restart-timeout", "1"]).run().expect(6);
    assert_eq!(found(&key(&world)), before);
}

#[test]
fn a_backup_of_before_attributes_were_kept_leaves_those_of_the_live_file() {
    let world = labelled();
    let (device, before) = (world.ftd(1), found(&key(&world)));
    world.install(device, &world.kit(&[]).path).run().expect(0);
    let backups = device.root.join("var/sf/sftunnel-airgap/backups");
    let backup = fs::read_dir(backups).unwrap().next().unwrap().unwrap().path();
    forge_backup(&backup, |record| {
        record.as_object_mut().unwrap().remove("device").unwrap();
        for file in record["peers"][0]["files"].as_array_mut().unwrap() {
            file["found"].as_object_mut().unwrap().remove("extended").unwrap();
        }
    });
    world.on(device, &["backups", "verify"]).run().expect(0);
    rollback(&world).run().expect(0);
    assert_eq!(found(&key(&world)), before);
    rollback(&world).run().expect(0);
    assert_eq!(found(&key(&world)), before);
}

#[test]
fn an_attribute_that_the_system_refuses_is_named_before_anything_is_renamed() {
    let world = labelled();
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    let before = world.snapshot(device);
    let ran =
        refused(world.install(device, &kit).injected("fsetxattr", "error=EPERM"), "cannot-replace");
    let ran = ran.says("sftunnel-key.pem: its extended attribute security.selinux");
    world.unchanged(device, &before, &ran.says("getfattr -d -m -"));
}

/// Undoes it also when the test fails, or its folder could not be removed.
struct Protected(PathBuf, &'static str);

impl Protected {
    fn new(path: &Path, flag: &'static str) -> Self {
        tool("chattr", "e2fsprogs").arg(format!("+{flag}")).arg(path).run().expect(0);
        Self(path.to_owned(), flag)
    }
}

impl Drop for Protected {
    fn drop(&mut self) {
        let flag = format!("-{}", self.1);
        let _ = std::process::Command::new("chattr").arg(flag).arg(&self.0).status();
    }
}

fn cannot(world: &World, run: Run, says: [&str; 2]) {
    let before = world.snapshot(world.ftd(1));
    let ran = refused(run, "cannot-replace").says(says[0]).says(says[1]);
    world.unchanged(world.ftd(1), &before, &ran);
}

#[test]
fn what_is_immutable_or_append_only_is_named_with_the_command_that_shows_it() {
    let world = World::new(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    world.install(device, &kit).run().expect(0);
    world.lab.renew().unwrap();
    let newer = world.kit(&[]).path;
    let key = key(&world);
    let (name, folder) = (key.display().to_string(), key.parent().unwrap().to_owned());
    for (path, flag, word) in [
        (&key, "i", "immutable"),
        (&key, "a", "append-only"),
        (&folder, "i", "immutable"),
        (&folder, "a", "append-only"),
    ] {
        let _protected = Protected::new(path, flag);
        let shows =
            if path == &key { format!("`lsattr {name}`") } else { "`lsattr -d ".to_owned() };
        let says = ["sftunnel-key.pem", shows.as_str()];
        cannot(&world, world.install(device, &newer), says);
        cannot(&world, world.install(device, &newer).arg("--dry-run"), says);
        cannot(&world, rollback(&world), says);
        let status = world.on(device, &["status", "--json"]).run().expect(0).json();
        let said = status["peers"][0]["cannot_replace"][0].as_str().unwrap();
        assert!(said.contains(&format!("is {word}")), "{status}");
        // what stays as it is is in nobody's way
        world.install(device, &kit).run().expect(0).says("Nothing to do");
    }
    let status = world.on(device, &["status", "--json"]).run().expect(0).json();
    assert_eq!(status["peers"][0]["cannot_replace"], Value::Null, "{status}");
    world.install(device, &newer).run().expect(0);
}

/// What is not a live file has no reason of its own in the table: the system's word, and a step.
#[test]
fn root_is_told_what_an_immutable_folder_does_not_permit() {
    let world = World::new(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    world.install(device, &kit).run().expect(0);
    let before = world.snapshot(device);
    let state = Protected::new(&device.root.join("var/sf/sftunnel-airgap"), "i");
    let ran = refused(rollback(&world), "not-permitted").says("Operation not permitted");
    drop(state);
    world.unchanged(device, &before, &ran.says("lsattr"));
    let out = Protected::new(&world.out(), "i");
    let recipient = world.recipient();
    let build = world.bundle(&["build", "--force", "--recipient", &recipient]);
    drop(refused(build.arg("--out").arg(&out.0), "not-permitted").says("lsattr"));
}

fn mounted(run: Run, setup: &str) -> Run {
    tool("unshare", "util-linux");
    run.under(&["unshare", "--mount", "sh", "-ec", &format!("{setup}; exec \"$@\""), "sh"])
}

/// The same file system or another, and without the kernel's word on mounts.
#[test]
fn what_is_mounted_over_cannot_be_replaced() {
    let world = World::new(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    let key = key(&world);
    let copy = world.write("copy", fs::read(&key).unwrap());
    let over = format!("mount --bind '{}' '{}'", copy.display(), key.display());
    let shows = format!("`findmnt -T {}`", key.display());
    let says = ["something is mounted over", shows.as_str()];
    cannot(&world, mounted(world.install(device, &kit), &over), says);
    let other = format!(
        "mount -t tmpfs none '{0}'; cp '{1}' '{0}/k'; mount --bind '{0}/k' '{1}'; mount -t tmpfs none /proc",
        world.out().display(),
        key.display()
    );
    cannot(&world, mounted(world.install(device, &kit), &other), says);
    world.install(device, &kit).run().expect(0);
}

fn killed_at_the_last_rename(world: &World, device: &Device, kit: &Path) {
    assert_eq!(
        world.install(device, kit).injected("fchown", "signal=KILL:when=1").run().code(),
        None
    );
}

#[test]
fn a_recovery_that_cannot_replace_a_file_says_which_and_can_be_repeated() {
    let world = World::new(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    let old = world.files(device, world.fmc());
    killed_at_the_last_rename(&world, device, &kit);
    fs::write(key(&world), world.new_files(device, world.fmc())[2].as_ref().unwrap()).unwrap();
    let protected = Protected::new(&key(&world), "i");
    let ran = world.on(device, &["recover", "--settle", "0", "--json"]).run().expect(7);
    assert_eq!(ran.json()["reason"], "cannot-replace");
    drop(ran.says("sftunnel-key.pem is immutable").says("lsattr"));
    drop(protected);
    world.on(device, &["recover", "--settle", "0"]).run().expect(0);
    assert_eq!(world.files(device, world.fmc()), old);
}
