//! What a local user without root can leave in the way of the installer and of a kit's script.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use tests::{PASSPHRASE, Pty, Run, World, refused, running};

#[test]
fn a_state_directory_that_others_could_have_filled_is_not_used() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let state = device.root.join("var/sf/sftunnel-airgap");
    let before = world.snapshot(device);
    let is_refused = || {
        let ran = refused(world.install(device, &kit.path), "wrong-destination");
        world.unchanged(device, &before, &ran);
        for command in [&["recover"][..], &["rollback", "--yes"], &["status"], &["log"]] {
            refused(world.on(device, command), "wrong-destination");
        }
    };
    fs::create_dir(&state).unwrap();
    for mode in [0o755, 0o770, 0o702] {
        fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
        is_refused();
        let found = world.on(device, &["log", "--json"]).run().expect(3).json();
        let message = found["message"].as_str().unwrap();
        assert!(
            message.contains(&format!(" has mode {mode:o} and owner 0, expected 700")),
            "{found}"
        );
    }
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    Run::new("chown").arg("1234").arg(&state).run().expect(0);
    is_refused();
    fs::remove_dir(&state).unwrap();
    // a link to a directory of root's that would pass
    let elsewhere = device.root.join("var/sf/elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o700)).unwrap();
    symlink(&elsewhere, &state).unwrap();
    let ran = refused(world.install(device, &kit.path), "wrong-destination");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "{}", ran.output());
    fs::remove_file(&state).unwrap();
    fs::remove_dir(&elsewhere).unwrap();
    // a lock that is a link is not followed
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let victim = world.write("victim", "");
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&victim, state.join("lock")).unwrap();
    let ran = refused(world.install(device, &kit.path), "wrong-destination");
    world.unchanged(device, &before, &ran);
    assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o640);
}

/// `install.sh` runs a copy of the program from a directory that nobody else can enter, and whose
/// name nobody can know beforehand; the program removes it as it starts, so that whatever ends it
/// leaves none.
#[test]
fn the_script_works_in_a_private_directory_and_leaves_none() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let place = world.path("tmp");
    fs::create_dir(&place).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o1777)).unwrap();
    // what a local user may have left there
    symlink("/etc", place.join("sftunnel-install")).unwrap();
    // mktemp's own pattern, taken literally
    symlink("/etc", place.join(format!("sftunnel-install.{}", "X".repeat(6)))).unwrap();
    let script = |args: &[&str]| {
        let run = Run::new("sh").arg(kit.path.join("install.sh")).args(args).arg("--root");
        let run = run.arg(&world.ftd(1).root);
        run.under(&["env", &format!("TMPDIR={}", place.display())])
    };
    let left = || fs::read_dir(&place).unwrap().count();
    let mut pty = Pty::start(script(&[]));
    pty.expect("Passphrase for");
    let root = world.ftd(1).root.as_os_str();
    let installer = running(Path::new("sftunnel-install"), root).expect("the installer");
    let program = fs::read_link(format!("/proc/{installer}/exe")).unwrap();
    assert!(program.starts_with(&place), "{}", program.display());
    assert_eq!(left(), 2, "only the links are left");
    pty.type_line(&format!("{PASSPHRASE} wrong"));
    pty.expect("try again");
    Run::new("kill").args(["-KILL", &installer.to_string()]).run().expect(0);
    pty.end();
    assert_eq!(left(), 2, "only the links are left");
    // a reader that goes away, and a help that the program prints before it does anything
    let status = script(&["status"]);
    Run::new("sh").args(["-c", "\"$@\" | head -n 1", "sh"]).args(status.words()).run().expect(0);
    script(&["--help"]).run().expect(0).says("sh install.sh [--sha256 HEX]").says("Usage:");
    script(&["--version"]).run().expect(0).says("sftunnel-install 0");
    assert_eq!(left(), 2, "only the links are left");
}

/// Which flags these are, `output::docs` compares with the help.
#[test]
fn the_script_finds_the_command_behind_the_flags_of_every_command() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let passphrase = ["--passphrase-file", "passphrase.txt"];
    let device = world.ftd(1);
    for command in ["verify", "inspect", "install"] {
        let run = Run::new("sh").arg(kit.path.join("install.sh")).args(["-v", "--root"]);
        let run = run.arg(&device.root).arg(command).args(passphrase).cwd(world.path(""));
        let ran = if command == "install" { run.arg("--dry-run").run() } else { run.run() };
        ran.expect(0).says(&device.uuid);
    }
}
