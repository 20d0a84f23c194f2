//! An sftunnel that does not come back, and a pmtool that cannot be relied on.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Duration;

use lab::{Fault, layout};
use tests::{Case, Ran, Run, program, running, wait_until};

fn install(case: &Case, flags: &[&str]) -> Ran {
    case.install_settling().args(flags).run()
}

/// A pmtool that says nothing from when the old files are back until it is to restart for the
/// second time; `restart` is what it does when it is to.
fn pmtool_silent_before_the_second(case: &Case, restart: &str) -> String {
    let (world, device) = (&case.world, case.device());
    let ca = device.peer_dir(world.fmc()).join("cacert.pem");
    std::fs::copy(ca, world.path("old-ca")).unwrap();
    let lines = format!(
        r#"restarts() {{ cat "$here/restarts" 2>/dev/null | wc -l; }}
case $1 in
  restartbyid) echo >>"$here/restarts"; {restart};;
  status) [ $(restarts) != 1 ] || ! cmp -s "$peer/cacert.pem" "$here/old-ca" || exit 1;;
esac"#
    );
    world.pmtool(device, &lines)
}

/// The next run finds nothing to finish and succeeds.
#[track_caller]
fn goes_on_well(case: &Case) {
    case.device().set_fault(&Fault::None).unwrap();
    let recover = case.on(&["recover", "--settle", "1"]);
    recover.run().expect(0).says("Nothing was interrupted").says("sftunnel-install status");
    install(case, &[]).expect(0);
    case.is_up();
}

#[test]
fn no_start_on_the_new_files_ends_with_the_old_ones_running() {
    let case = Case::with(&Fault::NoStartNew);
    let ran = install(&case, &["--restart-timeout", "2", "--json"]).expect(6);
    let json = ran.json();
    assert_eq!(json["outcome"], "restored", "{json}");
    assert_eq!(json["exit_code"], 6);
    case.is_as_before();
    case.world.down(case.device(), case.world.fmc());
    assert_eq!(case.device().restarts().unwrap(), 2);
    // what failed once is not skipped as installed
    goes_on_well(&case);
}

/// Each attempt backs up the same files: the newest copy is enough, and the way back the same.
#[test]
fn attempts_that_fail_do_not_pile_up_backups_of_the_same_files() {
    let case = Case::with(&Fault::NoStartNew);
    let backups = || {
        let list = case.on(&["backups", "list", "--json"]).run().expect(0).json();
        list["backups"].as_array().unwrap().len()
    };
    let peer = case.device().peer_dir(case.world.fmc());
    let live = ["cacert.pem", "sftunnel-cert.pem", "sftunnel-key.pem"].map(|name| peer.join(name));
    let old = live.each_ref().map(|path| std::fs::read(path).unwrap());
    for _ in 0..3 {
        install(&case, &["--restart-timeout", "1"]).expect(6);
        assert_eq!(backups(), 1);
    }
    goes_on_well(&case);
    assert_eq!(backups(), 1);
    // its receipt names that one: it stays, though the same is backed up again
    live.iter().zip(&old).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    install(&case, &[]).expect(0);
    assert_eq!(backups(), 2);
    case.rollback().run().expect(0);
    case.is_as_before();
    assert_eq!(backups(), 3);
}

#[test]
fn the_restored_files_are_said_to_be_expired() {
    let case = Case::with(&Fault::NoStartNew);
    install(&case, &["--restart-timeout", "2"]).expect(6).says("expired").says("stays down");
}

#[test]
fn no_start_at_all_needs_a_person_and_the_old_files_are_back() {
    let case = Case::with(&Fault::NoStart);
    install(&case, &["--restart-timeout", "2"]).expect(7).says("next:");
    case.is_as_before();
    goes_on_well(&case);
}

#[test]
fn no_rollback_leaves_the_new_files_in_place() {
    let case = Case::with(&Fault::NoStart);
    let (world, device) = (&case.world, case.device());
    install(&case, &["--restart-timeout", "2", "--no-rollback"]).expect(5).says("not confirmed");
    assert_eq!(world.files(device, world.fmc()), world.new_files(device, world.fmc()));
    // installed without proof is not "nothing to do"
    device.set_fault(&Fault::None).unwrap();
    install(&case, &[]).expect(0).never_says("Nothing to do");
    case.is_up();
}

#[test]
fn a_pmtool_that_fails_has_restarted_nothing() {
    let case = Case::with(&Fault::Fails);
    let said = install(&case, &["--restart-timeout", "2", "--json"]).expect(7).json();
    let message = said["message"].as_str().unwrap();
    assert!(message.contains("; pmtool restartbyid ended with exit status: 1"), "{said}");
    case.is_as_before();
    goes_on_well(&case);
}

/// The directories of the box, the bundle and its keys: nothing of it is handed on.
#[test]
fn pmtool_is_given_no_open_file() {
    let case = Case::with(&Fault::None);
    let (world, device) = (&case.world, case.device());
    let list = "[ \"$1\" != restartbyid ] || ls -l /proc/self/fd >\"$here/given\"";
    let pmtool = world.pmtool(device, list);
    let stick = world.out().display().to_string();
    install(&case, &["--pmtool", &pmtool, "--receipt-out", &stick]).expect(0);
    let given = std::fs::read_to_string(world.path("given")).unwrap();
    let here = world.path("").display().to_string();
    // `ls` writes to one of them
    let open: Vec<_> =
        given.lines().filter(|line| line.contains(here.trim_end_matches('/'))).collect();
    assert_eq!(open.len(), 1, "{given}");
    assert!(open[0].ends_with("/given"), "{given}");
}

#[test]
fn a_pmtool_that_hangs_is_given_up() {
    let case = Case::with(&Fault::Hangs);
    let ran = install(&case, &["--restart-timeout", "2"]).expect(7);
    assert!(ran.took < Duration::from_secs(30), "{:?}", ran.took);
    case.is_as_before();
    goes_on_well(&case);
}

/// Of the lab: a stand-in that hangs would outlive the tests by an hour.
#[test]
fn a_stand_in_that_hangs_ends_with_its_tree() {
    let case = Case::with(&Fault::Hangs);
    let pmtool = layout::programs(&case.device().root).join("pmtool");
    let mut child = Command::new(pmtool).args(["restartbyid", "sftunnel"]).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none(), "it hangs");
    drop(case);
    wait_until(|| child.try_wait().unwrap().is_some());
}

#[test]
fn a_child_that_keeps_the_pipe_holds_nobody_up() {
    let case = Case::with(&Fault::KeepsPipe);
    let world = &case.world;
    // here with pipes: neither we nor the installer may wait for that child
    let output = Command::new(program("sftunnel-install"))
        .args(["install", "--yes", "--settle", "1", "--root"])
        .arg(&world.ftd(1).root)
        .args(world.trust())
        .arg(&case.kit.path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let pmtool = layout::programs(&world.ftd(1).root).join("pmtool");
    let holder = running(&pmtool, OsStr::new("--hold-pipe")).expect("the pipe is held still");
    Run::new("kill").arg(holder.to_string()).run().expect(0);
    case.is_up();
}

#[test]
fn a_status_that_cannot_be_read_is_refused_before_anything_is_touched() {
    for fault in [Fault::Garbage, Fault::StatusFails] {
        let case = Case::with(&fault);
        let ran = install(&case, &["--restart-timeout", "2"]).expect(3);
        drop(ran.says("cannot-tell").says("pmtool does not say").says("next:"));
        case.is_as_before();
        assert_eq!(case.device().restarts().unwrap(), 0);
        goes_on_well(&case);
    }
}

/// For the plan, for the journal, and right before the restart.
#[test]
fn a_status_that_can_be_read_is_not_asked_for_again() {
    let case = Case::started();
    install(&case, &[]).expect(0);
    let calls = case.device().pmtool_calls().unwrap();
    let before = calls.iter().take_while(|call| !call.starts_with("restartbyid"));
    assert_eq!(before.collect::<Vec<_>>(), ["status"; 3], "{calls:?}");
}

#[test]
fn one_status_that_fails_makes_no_new_process_of_the_old_one() {
    let case = Case::started();
    // the first three looks fail (one of the plan, two of the transaction), and a restart does nothing
    let pmtool = case.world.pmtool(
        case.device(),
        "case $1 in\n  status) echo >>\"$here/looks\"; [ $(wc -l <\"$here/looks\") -gt 3 ] || exit 1;;\n  *) exit 0;;\nesac",
    );
    let flags = ["--restart-timeout", "2", "--pmtool", &pmtool];
    install(&case, &flags).expect(7).says("was not restarted");
    case.is_as_before();
    goes_on_well(&case);
}

#[test]
fn a_status_that_cannot_be_read_for_a_while_is_waited_for() {
    let case = Case::started();
    // for longer than a stopped sftunnel has for its start
    let pmtool = case.world.pmtool(
        case.device(),
        "case $1 in\n  restartbyid) date +%s >\"$here/since\";;\n  status) [ ! -e \"$here/since\" ] || [ $(($(date +%s) - $(cat \"$here/since\"))) -gt 33 ] || { echo garbage; exit 0; };;\nesac",
    );
    let ran = install(&case, &["--pmtool", &pmtool]).expect(0);
    assert!(ran.took > Duration::from_secs(33), "{:?}", ran.took);
    case.is_up();
}

#[test]
fn a_restore_whose_restart_cannot_be_proved_asks_for_a_person() {
    let case = Case::started();
    // the first leaves the old process
    let pmtool = pmtool_silent_before_the_second(&case, "[ $(restarts) -gt 1 ] || exit 0");
    let ran = install(&case, &["--restart-timeout", "2", "--pmtool", &pmtool]).expect(7);
    drop(ran.says("the old files are back").says("is not known").says("recover"));
    case.is_as_before();
    let recover = case.world.on(case.device(), &["recover", "--settle", "1", "--json"]);
    assert_eq!(recover.run().expect(0).json()["outcome"], "all-old");
    goes_on_well(&case);
}

/// It is known from the journal, also while pmtool says nothing.
#[test]
fn the_old_process_is_no_restart_of_a_restore_either() {
    let case = Case::started();
    let pmtool = pmtool_silent_before_the_second(&case, "exit 0");
    let ran = install(&case, &["--restart-timeout", "2", "--pmtool", &pmtool]).expect(7);
    drop(ran.says("the old files are back").never_says("is not known").says("start sftunnel by"));
    case.is_as_before();
    goes_on_well(&case);
}

#[test]
fn a_rename_that_fails_starts_no_sftunnel_that_did_not_run() {
    let case = Case::started();
    let device = case.device();
    lab::service::stop(&device.root).unwrap();
    // the third rename is the first of a live file: backup, journal, cacert.pem
    let ran = case.install_settling().injected("renameat", "error=EIO:when=4").run().expect(1);
    assert_eq!(device.restarts().unwrap(), 0, "{}", ran.output());
    assert_eq!(lab::service::running(&device.root), None);
    case.is_as_before();
    goes_on_well(&case);
}

#[test]
fn the_old_process_running_on_is_no_restart() {
    let case = Case::with(&Fault::OldPid);
    install(&case, &["--restart-timeout", "2"]).expect(7);
    case.is_as_before();
    goes_on_well(&case);
}

#[test]
fn a_process_that_dies_within_the_settle_time_is_no_success() {
    let case = Case::with(&Fault::Dies(Duration::from_secs(1)));
    let run = case.world.on(case.device(), &["install", "--yes", "--settle", "4"]);
    let ran =
        run.args(["--restart-timeout", "3"]).args(case.world.trust()).arg(&case.kit.path).run();
    ran.expect(7).says("did not stay");
    case.is_as_before();
    goes_on_well(&case);
}

#[test]
fn one_failed_start_is_rolled_back_and_comes_up() {
    // the fault is over after one call: the restore's own restart works
    let case = Case::started();
    std::fs::write(lab::layout::fault(&case.device().root), "no-start times=1\n").unwrap();
    install(&case, &["--restart-timeout", "2"]).expect(6);
    case.is_as_before();
    case.world.down(case.device(), case.world.fmc());
    goes_on_well(&case);
}

#[test]
fn slow_and_late_starts_are_waited_for() {
    for fault in [Fault::Slow(Duration::from_secs(3)), Fault::Late(Duration::from_secs(3))] {
        let case = Case::with(&fault);
        install(&case, &[]).expect(0);
        case.is_up();
    }
}

/// pmtool has returned, and the process of before is still the one that runs.
#[test]
fn an_old_process_that_runs_on_for_a_while_is_waited_out() {
    let case = Case::with(&Fault::Lags(Duration::from_secs(4)));
    let ran = install(&case, &[]).expect(0);
    assert!(ran.took > Duration::from_secs(4), "{:?}", ran.took);
    case.is_up();
}

#[test]
fn an_sftunnel_that_did_not_run_before_is_started() {
    let case = Case::started();
    lab::service::stop(&case.device().root).unwrap();
    install(&case, &[]).expect(0);
    case.is_up();
}

#[test]
fn without_pmtool_nothing_is_touched() {
    let case = Case::started();
    let device = case.device();
    let pmtool = device.root.join("usr/local/sf/bin/pmtool");
    let aside = case.world.path("pmtool-aside");
    std::fs::rename(&pmtool, &aside).unwrap();
    let before = case.world.snapshot(device);
    let ran = install(&case, &[]).expect(3).says("refused (not-found)").says("--pmtool");
    case.world.unchanged(device, &before, &ran);
    std::fs::rename(&aside, &pmtool).unwrap();
    // a tool of the operator's own, wherever it lies
    let wrapper = case.world.write("pm", format!("#!/bin/sh\nexec {} \"$@\"\n", pmtool.display()));
    tests::Run::new("chmod").arg("755").arg(&wrapper).run().expect(0);
    install(&case, &["--pmtool", wrapper.to_str().unwrap()]).expect(0);
    case.is_up();
}

#[test]
fn a_pmtool_that_never_stops_writing_is_given_up() {
    let case = Case::started();
    let pmtool = case.world.pmtool(case.device(), "exec cat /dev/zero");
    let run = case.world.on(case.device(), &["status", "--pmtool", &pmtool]).run();
    assert!(run.took < Duration::from_secs(60), "{:?}", run.took);
    drop(run.expect(0).says("did not end within 30 s"));
}

/// The kernel would take an absolute link to the machine's own `/opt`.
#[test]
fn a_pmtool_behind_an_absolute_link_is_the_one_below_the_root() {
    let case = Case::started();
    let (world, device) = (&case.world, case.device());
    let (usual, moved) = (device.root.join("usr/local/sf"), device.root.join("opt/sf"));
    std::fs::create_dir_all(moved.join("bin")).unwrap();
    let beside = world.path("usr/local/sf");
    std::fs::create_dir_all(beside.parent().unwrap()).unwrap();
    std::fs::rename(&usual, &beside).unwrap();
    std::os::unix::fs::symlink("/opt/sf", &usual).unwrap();
    let note = world.path("called");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >>'{}'\necho 'sftunnel (normal) - Running 4711'\n",
        note.display()
    );
    std::fs::write(moved.join("bin/pmtool"), script).unwrap();
    tests::Run::new("chmod").arg("755").arg(moved.join("bin/pmtool")).run().expect(0);
    world.on(device, &["status"]).run().expect(0).says("4711");
    assert!(std::fs::read_to_string(note).unwrap().starts_with("status\n"));
    std::fs::remove_file(&usual).unwrap();
    std::fs::rename(&beside, &usual).unwrap();
}

#[test]
fn a_rollback_is_watched_like_an_installation() {
    let case = Case::started();
    let (world, device) = (&case.world, case.device());
    install(&case, &[]).expect(0);
    let installed = world.snapshot(device);
    std::fs::write(lab::layout::fault(&device.root), "no-start times=1\n").unwrap();
    let flags = ["rollback", "--yes", "--settle", "1", "--restart-timeout", "2"];
    world.on(device, &flags).run().expect(6);
    assert_eq!(installed.differences(&world.snapshot(device)), Vec::<String>::new());
    case.is_up();
}
