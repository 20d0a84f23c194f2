//! The run itself: root, lock, consent, room.

use super::*;

#[test]
fn without_a_terminal_and_yes_nothing_is_confirmed() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let before = world.snapshot(device);
    let run = world.on(device, &["install"]).args(world.trust()).arg(&kit.path);
    let ran = refused(run, "not-confirmed");
    world.unchanged(device, &before, &ran);
    world.install(device, &kit.path).run().expect(0);
    refused(world.on(device, &["rollback"]), "not-confirmed");
}

#[test]
fn only_root_changes_anything() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    Run::new("chmod").args(["-R", "a+rX"]).arg(world.path("")).run().expect(0);
    let before = lab::snapshot(&device.root).unwrap().settled();
    let as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let bin = world.path("bin");
    fs::create_dir(&bin).unwrap();
    // the program may lie where nobody else can go
    let program = bin.join("sftunnel-install");
    Run::new("cp").arg(tests::program("sftunnel-install")).arg(&program).run().expect(0);
    Run::new("chmod").arg("755").arg(world.path("")).arg(&bin).arg(&program).run().expect(0);
    let run = |args: &[&str]| {
        Run::new(&program).arg("--root").arg(&device.root).args(args).under(&as_nobody)
    };
    refused(run(&["install", "--yes"]).args(world.trust()).arg(&kit.path), "not-root");
    refused(run(&["rollback", "--yes"]), "not-root");
    refused(run(&["recover"]), "not-root");
    run(&["inspect"]).arg(&kit.path).run().expect(0);
    // a tree that is not a box may be anybody's: what lies there is root's or his who runs this
    run(&["status"]).run().expect(0).says("State     expired");
    Run::new("chown").arg("65534").arg(device.peer_dir(world.fmc())).run().expect(0);
    run(&["status"]).run().expect(0).says("State     expired");
    Run::new("chown").arg("0").arg(device.peer_dir(world.fmc())).run().expect(0);
    let after = lab::snapshot(&device.root).unwrap().settled();
    assert_eq!(before.differences(&after), Vec::<String>::new());
    let locked = world.path("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o700)).unwrap();
    drop(refused(run(&["inspect"]).arg(locked.join("kit")), "not-root").says("as the user whose"));
    // what only root may look into
    let sf = device.root.join("var/sf");
    fs::set_permissions(sf.join("peers"), fs::Permissions::from_mode(0o700)).unwrap();
    drop(refused(run(&["status"]), "not-root").says("Permission denied").says("sudo su"));
}

#[test]
fn a_run_beside_another_is_busy() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    world.on(device, &["recover"]).run().expect(0);
    let lock = device.root.join("var/sf/sftunnel-airgap/lock");
    let holder = tool("flock", "util-linux").arg(&lock).args(["sleep", "30"]).start();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let before = world.snapshot(device);
    for command in [&["install", "--yes"][..], &["rollback", "--yes"], &["recover"]] {
        let source = if command[0] == "install" { vec![kit.path.clone()] } else { Vec::new() };
        let trust = if command[0] == "install" { world.trust().to_vec() } else { Vec::new() };
        let ran = refused(world.on(device, command).args(trust).args(source), "busy");
        world.unchanged(device, &before, &ran);
    }
    // looking is always possible
    world.on(device, &["status"]).run().expect(0);
    world.install(device, &kit.path).arg("--dry-run").run().expect(0);
    holder.signal("KILL");
    holder.wait();
}

/// Runs it in a mount namespace of its own, after this line of shell.
fn mounted(run: Run, setup: &str) -> Run {
    tool("unshare", "util-linux");
    run.under(&["unshare", "--mount", "sh", "-ec", &format!("{setup}; exec \"$@\""), "sh"])
}

#[test]
fn a_full_file_system_is_refused_before_anything_is_touched() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let peer = device.peer_dir(world.fmc());
    let before = world.snapshot(device);
    let setup = format!(
        "cp -a '{0}' '{1}'; mount -t tmpfs -o size=200k,mode=755 none '{0}'; cp -a '{1}/.' '{0}'",
        peer.display(),
        world.path("copy").display()
    );
    let ran = refused(mounted(world.install(device, &kit.path), &setup), "no-space");
    world.unchanged(device, &before, &ran);

    let recipient = world.recipient();
    let out = world.out();
    let run = world.bundle(&["build", "--recipient", &recipient]).arg("--out").arg(&out);
    // the shell stays, to look into the file system before it goes
    let script = format!(
        "mount -t tmpfs -o size=100k none '{0}'; code=0; \"$@\" || code=$?; ls -A '{0}' >left; exit $code",
        out.display()
    );
    let run = run.under(&["unshare", "--mount", "sh", "-ec", &script, "sh"]);
    refused(run, "no-space");
    assert_eq!(fs::read_to_string(world.path("left")).unwrap(), "", "nothing is left");
}

#[test]
fn a_read_only_file_system_is_refused() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let peer = device.peer_dir(world.fmc());
    let read_only = |path: &Path| {
        format!("mount --bind '{0}' '{0}'; mount -o remount,bind,ro '{0}'", path.display())
    };
    let before = world.snapshot(device);
    let run = mounted(world.install(device, &kit.path), &read_only(&peer));
    let ran = refused(run, "cannot-replace").says("read-only mount").says("findmnt -T");
    world.unchanged(device, &before, &ran);
    // where the files are in place already nothing is to be written
    world.install(device, &kit.path).run().expect(0);
    let again = mounted(world.install(device, &kit.path), &read_only(&peer));
    again.run().expect(0).says("Nothing to do");
    let rollback = |words: &[&str]| {
        world.on(device, &[&["rollback", "--yes", "--settle", "0"], words].concat())
    };
    rollback(&[]).run().expect(0);
    let again = mounted(rollback(&["--to", "1"]), &read_only(&peer));
    again.run().expect(0).says("Nothing to do");
    // the state directory cannot be made
    fs::remove_dir_all(device.root.join("var/sf/sftunnel-airgap")).unwrap();
    let state = device.root.join("var/sf");
    refused(mounted(world.install(device, &kit.path), &read_only(&state)), "read-only");
    let recipient = world.recipient();
    let out = world.out();
    let run = world.bundle(&["build", "--recipient", &recipient]).arg("--out").arg(&out);
    refused(mounted(run, &read_only(&out)), "read-only");
}
