//! The tired operator who says it again: after a run that was cut off, that came to nothing, or
//! that cannot go on.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tests::{Case, Run, World};

/// A device with the new files, and a kit for it.
fn installed() -> Case {
    let case = Case::started();
    case.install_settling().run().expect(0);
    case
}

fn rollback(case: &Case, flags: &[&str]) -> Run {
    case.on(&["rollback", "--yes", "--settle", "1"]).args(flags)
}

fn last_line(case: &Case) -> Value {
    let log = case.on(&["log", "--json"]).run().expect(0).json();
    log["lines"].as_array().unwrap().last().unwrap().clone()
}

/// What the backup of the rollback that was cut off holds is live again: to go back to it would
/// be no rollback, and to say that it was one a lie.
#[test]
fn a_rollback_that_was_cut_off_is_what_the_next_one_does() {
    // before its commit, and after it
    for (call, when) in [("fallocate", "signal=KILL:when=1"), ("fchown", "signal=KILL:when=1")] {
        let case = installed();
        let killed = rollback(&case, &[]).injected(call, when).run();
        assert_eq!(killed.code(), None, "{}", killed.output());
        case.on(&["recover", "--settle", "1"]).run().expect(0);
        assert!(case.is_new("the new files"), "{call}");
        let dry = case.on(&["rollback", "--dry-run"]).run().expect(0);
        drop(dry.says("Backup    0001-").says("Backup 0002-").says("is skipped"));
        let ran = rollback(&case, &["--json"]).run().expect(0).json();
        assert_eq!(ran["outcome"], "rolled-back", "{ran}");
        assert!(ran["restored"].as_str().unwrap().starts_with("0001-"), "{ran}");
        assert!(!case.is_new("the old files"), "{call}");
        // and once more undoes that one, as ever
        rollback(&case, &[]).run().expect(0).never_says("is skipped");
        assert!(case.is_new("the new files"), "{call}");
    }
}

/// Files that are live are not yet files that sftunnel has read.
#[test]
fn a_rollback_to_what_is_live_does_nothing_once_sftunnel_runs_on_it() {
    let case = installed();
    let device = case.world.ftd(1);
    let peer = device.peer_dir(case.world.fmc());
    let to_first = || {
        let restarts = device.restarts().unwrap();
        let json = rollback(&case, &["--to", "1", "--json"]).run().expect(0).json();
        let restarted = device.restarts().unwrap() > restarts;
        (json["outcome"].as_str().unwrap().to_owned(), restarted)
    };
    let [done, nothing] =
        [("rolled-back", true), ("nothing-to-do", false)].map(|(word, so)| (word.to_owned(), so));
    let old = case.world.path("old");
    rollback(&case, &[]).run().expect(0);
    fs::create_dir(&old).unwrap();
    for name in lab::layout::CREDENTIALS {
        fs::copy(peer.join(name), old.join(name)).unwrap();
    }
    case.install_settling().run().expect(0);
    // pasted by hand: live, and nobody knows what sftunnel runs on
    for name in lab::layout::CREDENTIALS {
        fs::copy(old.join(name), peer.join(name)).unwrap();
    }
    assert_eq!(to_first(), done, "pasted");
    assert_eq!(to_first(), nothing, "the same once more");
    let dry = rollback(&case, &["--to", "1", "--dry-run", "--json"]).run().expect(0).json();
    assert_eq!(dry["outcome"], "nothing-to-do", "{dry}");
    // and what was run on, but is live no more
    fs::write(peer.join("sftunnel-key.pem"), "").unwrap();
    assert_eq!(to_first(), done, "changed");
}

/// An installation that came to nothing is undone already: there is nothing to take back of it,
/// and the one before it was not meant.
#[test]
fn a_rollback_after_an_installation_that_came_to_nothing_goes_no_further_back() {
    let case = installed();
    let device = case.world.ftd(1);
    let ca = device.peer_dir(case.world.fmc()).join("cacert.pem");
    let with_a_remark = format!("{}# checked\n", fs::read_to_string(&ca).unwrap());
    fs::write(&ca, &with_a_remark).unwrap();
    fs::write(lab::layout::fault(&device.root), "no-start times=1\n").unwrap();
    case.install_settling().args(["--restart-timeout", "2"]).run().expect(6);
    let json = rollback(&case, &["--json"]).run().expect(0).json();
    assert!(json["restored"].as_str().unwrap().starts_with("0002-"), "{json}");
    assert_eq!(fs::read_to_string(&ca).unwrap(), with_a_remark);
}

#[test]
fn a_rollback_that_came_to_nothing_is_tried_again_and_told_as_it_was() {
    let case = installed();
    let device = case.world.ftd(1);
    let no_start = || fs::write(lab::layout::fault(&device.root), "no-start times=1\n").unwrap();
    no_start();
    let ran = rollback(&case, &["--restart-timeout", "2", "--json"]).run().expect(6).json();
    assert!(case.is_new("the new files"));
    let line = last_line(&case);
    assert_eq!((&line["outcome"], &line["backup"]), (&"restored".into(), &ran["backup"]), "{line}");
    assert!(ran["backup"].as_str().unwrap().starts_with("0002-"), "{ran}");

    no_start();
    let kept = rollback(&case, &["--restart-timeout", "2", "--no-rollback"]).run().expect(5);
    drop(kept.says("is skipped").says("Rolled back, but not confirmed"));
    assert!(!case.is_new("the old files"));
}

/// A run that was interrupted while it waited for the tunnel is repeated like this.
#[test]
fn files_that_are_in_place_are_no_proof_of_the_tunnel_that_is_required() {
    let case = installed();
    lab::service::stop(&case.world.fmc().root).unwrap();
    let (device, fmc) = (case.world.ftd(1), case.world.fmc());
    case.world.lab.wait(device, fmc, false, Duration::from_secs(60)).unwrap();
    let required = ["--wait-connected", "1", "--require-connected"];
    let ran =
        case.install_settling().args(required).run().expect(5).says("not every tunnel was seen up");
    drop(ran.says("rollback"));
    assert_eq!(last_line(&case)["outcome"], "unconfirmed");
    assert!(case.is_new("the new files"));
    // who only asks is told
    let told =
        case.install_settling().args(["--wait-connected", "1", "--json"]).run().expect(0).json();
    assert_eq!(told["outcome"], "nothing-to-do", "{told}");
    assert_ne!(told["tunnels"][0]["state"], "up", "{told}");

    lab::service::start(&case.world.fmc().root, None).unwrap();
    let required = ["--wait-connected", "30", "--require-connected", "--json"];
    let ran = case.install_settling().args(required).run().expect(0).json();
    assert_eq!(ran["tunnels"][0]["state"], "up", "{ran}");
    assert_eq!(ran["outcome"], "nothing-to-do", "{ran}");
}

/// Cut off while sftunnel was restarting, on new files.
fn cut_off_at_the_restart(world: &World) {
    let (kit, device) = (world.kit(&[]), world.ftd(1));
    let pmtool = world.pmtool(device, "[ \"$1\" != restartbyid ] || kill -KILL $PPID");
    let killed = world.install(device, &kit.path).args(["--pmtool", &pmtool]).run();
    assert_eq!(killed.code(), None, "{}", killed.output());
}

/// The kit may be gone by then. Without the receipt the manager counts the device as outstanding.
#[test]
fn the_receipt_of_a_recovery_is_where_it_says() {
    let world = World::started(1);
    cut_off_at_the_restart(&world);
    let recovered = world.on(world.ftd(1), &["recover", "--settle", "1", "--json"]).run();
    let json = recovered.expect(0).json();
    assert_eq!(json["outcome"], "all-new", "{json}");
    let receipt = json["receipts"][0].as_str().unwrap();
    let stick = world.out();
    fs::copy(receipt, stick.join(std::path::Path::new(receipt).file_name().unwrap())).unwrap();
    let told = world.bundle(&["receipts"]).arg(world.kit(&[]).path).arg(stick).run().expect(0);
    drop(told.says("1 of 1 device done"));
    // and where the next command finishes the run first
    let world = World::started(1);
    cut_off_at_the_restart(&world);
    let rollback = world.on(world.ftd(1), &["rollback", "--yes", "--settle", "1"]).run().expect(0);
    drop(rollback.says("first finished an interrupted run").says("copy it to the stick by hand"));
}

/// The manager was deregistered meanwhile: nothing can be read of it, and every command that
/// changes something comes by here.
#[test]
fn an_interrupted_run_whose_peer_directory_is_gone_can_be_given_up() {
    let world = World::started(1);
    let device = world.ftd(1);
    cut_off_at_the_restart(&world);
    fs::rename(device.peer_dir(world.fmc()), world.path("aside")).unwrap();
    let journal = device.root.join("var/sf/sftunnel-airgap/journal");
    for command in [&["recover"][..], &["rollback", "--yes"], &["backups", "prune", "--yes"]] {
        let json = world.on(device, command).arg("--json").run().expect(7).json();
        let next = json["next"].as_str().unwrap();
        let remove = format!("remove {}", journal.display());
        assert!(next.contains("`sftunnel-install recover`") && next.contains(&remove), "{json}");
    }
    fs::remove_file(journal).unwrap();
    world.on(device, &["recover"]).run().expect(0).says("Nothing was interrupted");
}

#[test]
fn a_backup_that_cannot_be_deleted_is_named_and_so_is_what_changed() {
    let case = installed();
    rollback(&case, &[]).run().expect(0);
    let prune = case.on(&["backups", "prune", "--keep", "1", "--yes"]);
    let ran = prune.injected("unlinkat", "error=EPERM:when=2").run().expect(7);
    drop(ran.says("0001-").says("was removed from").says("backups/.new-").says("lsattr"));
    let list = case.on(&["backups", "list"]).run().expect(0).says("0002-");
    list.never_says("0001-");
    case.on(&["recover"]).run().expect(0);
    let store = case.world.ftd(1).root.join("var/sf/sftunnel-airgap/backups");
    assert_eq!(fs::read_dir(store).unwrap().count(), 1);
}

#[test]
fn what_an_installation_would_trip_over_verify_says() {
    let case = installed();
    let world = &case.world;
    let verify = || world.on(world.ftd(1), &["verify"]).args(world.trust()).arg(&case.kit.path);
    verify().run().expect(0).says("Verified");
    let loose = case.kit.bundle(world.ftd(1));
    let ran = world.on(world.ftd(1), &["verify"]).args(world.trust()).arg(loose).run().expect(0);
    drop(ran.says("Verified").never_says("SHA256SUMS"));
    let pmtool = lab::layout::programs(&world.ftd(1).root).join("pmtool");
    fs::rename(&pmtool, world.path("pmtool")).unwrap();
    verify().run().expect(3).says("refused (not-found)");
    fs::rename(world.path("pmtool"), &pmtool).unwrap();
    // of a manager whose files are of no use: an installation asks, or wants to be told
    let other = case.world.ftd(1).root.join("var/sf/peers/f89e12b8-ac43-11ef-9f85-d397d1518ed9");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("cacert.pem"), "nonsense").unwrap();
    let ran = verify().run().expect(0).says("will not come back");
    drop(ran.says("f89e12b8-ac43-11ef-9f85-d397d1518ed9").says("--accept-drop"));
}

#[test]
fn a_slip_at_the_command_line_is_named_before_anything_is_read() {
    let case = installed();
    let identity = case.world.path("identity.txt").display().to_string();
    let run = case.on(&["install", "--yes", "--identity", &identity, "--signer", "e4ba 468d"]);
    let ran = run.arg(&case.kit.path).run().expect(2).says("has 8, and there is no such file");
    drop(ran.says("quotes"));
    let pasted = case.on(&["install", "--yes", "--identity", "no-such.txt", "-"]).run();
    drop(pasted.expect(3).says("--identity no-such.txt").says("refused (not-found)"));
    let receipts = case.kit.path.join("receipts");
    let ran = case.world.bundle(&["receipts"]).arg(receipts).run().expect(0);
    drop(ran.says("no kit is named"));
}
