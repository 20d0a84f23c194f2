//! Which files sftunnel has read: what its process says of that, in this boot, another, or one
//! that nobody knows.

use std::fs;

use lab::Fault;
use tests::{Case, Ran, Run, wait_until};

/// All files are new, and the process is the one of before.
fn killed_at_the_restart() -> Case {
    let case = Case::started();
    killed_while_it_restarts(&case, case.install());
    case
}

fn killed_while_it_restarts(case: &Case, install: Run) {
    let device = case.world.ftd(1);
    device.set_fault(&Fault::Hangs).unwrap();
    let started = install.start();
    wait_until(|| device.restarts().unwrap() == 1);
    started.signal("KILL");
    drop(started.wait());
    device.set_fault(&Fault::None).unwrap();
    assert_eq!(case.files(), case.new);
}

fn recover(case: &Case) -> Ran {
    case.world.on(case.world.ftd(1), &["recover", "--settle", "0"]).run()
}

/// What `/proc` says of the boot.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Boot {
    /// A bare root has no `/proc`.
    Unknown,
    Another,
    This,
}

impl Boot {
    fn of(self, case: &Case, run: tests::Run) -> tests::Run {
        let other = case.world.write("boot-id", "00000000-0000-4000-8000-000000000000\n");
        let mount = match self {
            Self::This => return run,
            Self::Unknown => "mount -t tmpfs none /proc/sys/kernel/random".to_owned(),
            Self::Another => {
                format!("mount --bind '{}' /proc/sys/kernel/random/boot_id", other.display())
            }
        };
        run.under(&["unshare", "-m", "sh", "-ec", &format!("{mount} && exec \"$@\""), "sh"])
    }
}

/// Where nobody can tell whether sftunnel's process is from this boot.
#[test]
fn without_a_boot_id_the_process_of_before_is_not_taken_for_a_new_one() {
    for (before, after) in
        [(Boot::Unknown, Boot::Unknown), (Boot::This, Boot::Unknown), (Boot::Unknown, Boot::This)]
    {
        let case = Case::started();
        let device = case.world.ftd(1);
        killed_while_it_restarts(&case, before.of(&case, case.install()));
        let recover = case.world.on(device, &["recover", "--settle", "0"]);
        let ran = after.of(&case, recover).run().expect(0).says("All new");
        assert_eq!(device.restarts().unwrap(), 2, "{before:?}, {after:?}: {}", ran.output());
        case.world.up(device, case.world.fmc());
    }
}

/// Then a person is needed: nobody can tell what sftunnel has read.
#[test]
fn new_files_with_a_pmtool_that_says_nothing_stay_until_it_does() {
    let case = killed_at_the_restart();
    let device = case.world.ftd(1);
    device.set_fault(&Fault::Garbage).unwrap();
    let recover = || case.world.on(device, &["recover", "--settle", "0", "--json"]).run();
    let said = recover().expect(7).json();
    assert_eq!(said["reason"], serde_json::Value::Null, "{said}");
    let message = said["message"].as_str().unwrap();
    assert!(message.starts_with("the new files are in place, but pmtool does not say"), "{said}");
    let next = said["next"].as_str().unwrap();
    assert!(next.ends_with("run `sftunnel-install recover` again"), "{said}");
    assert_eq!(case.files(), case.new);
    device.set_fault(&Fault::None).unwrap();
    assert_eq!(recover().expect(0).json()["outcome"], "all-new");
}

/// A PID means something only within its boot. One that started meanwhile may have the number
/// of before, and have read whatever was live then.
#[test]
fn only_within_one_boot_the_process_of_before_has_read_the_old_files() {
    for (before, after, restarts) in [
        (Boot::This, Boot::This, 0),
        (Boot::Another, Boot::This, 1),
        (Boot::Unknown, Boot::Unknown, 1),
        (Boot::Unknown, Boot::This, 1),
        (Boot::This, Boot::Unknown, 1),
    ] {
        let case = Case::started();
        let device = case.world.ftd(1);
        // the first rename of a live file is done
        before.of(&case, case.install()).injected("renameat", "signal=KILL:when=4").run();
        let files = case.files();
        assert!(files != case.old && files != case.new, "the moment is between two renames");
        let status = case.world.on(device, &["status"]).run().expect(0);
        drop(status.says("an interrupted install of "));
        let recover = case.world.on(device, &["recover", "--settle", "0"]);
        let ran = after.of(&case, recover).run().expect(0).says("All old");
        assert_eq!(device.restarts().unwrap(), restarts, "{before:?}, {after:?}: {}", ran.output());
        assert_eq!(case.files(), case.old);
    }
}

/// A restart interrupts every tunnel of the box: there is none where it would prove nothing new.
#[test]
fn a_process_that_began_after_the_renames_is_not_restarted_again() {
    let case = killed_at_the_restart();
    let device = case.world.ftd(1);
    // somebody else was faster
    Run::new(device.root.join("usr/local/sf/bin/pmtool"))
        .args(["restartbyid", "sftunnel"])
        .run()
        .expect(0);
    let restarts = device.restarts().unwrap();
    let said =
        case.world.on(device, &["recover", "--settle", "0", "--json"]).run().expect(0).json();
    assert_eq!(said["outcome"], "all-new");
    assert_eq!(device.restarts().unwrap(), restarts);
    // the process that it was proved by, not any
    let running = lab::service::running(&device.root).unwrap();
    assert_eq!(said["sftunnel_pid"], running, "{said}");
}

#[test]
fn what_cannot_be_tidied_up_does_not_hide_how_the_run_ended() {
    let case = killed_at_the_restart();
    let device = case.world.ftd(1);
    let stray = device.root.join("var/sf/sftunnel-airgap/backups/.new-9");
    fs::write(&stray, "where a folder should be").unwrap();
    let ran = recover(&case).expect(7).says("the interrupted run was finished: all new");
    assert_eq!(case.files(), case.new, "{}", ran.output());
    fs::remove_file(&stray).unwrap();
    recover(&case).expect(0).says("Nothing was interrupted");
}

#[test]
fn a_way_back_that_fails_says_why_it_was_taken_as_well() {
    let case = killed_at_the_restart();
    let device = case.world.ftd(1);
    device.set_fault(&Fault::NoStart).unwrap();
    let command = ["recover", "--settle", "0", "--restart-timeout", "1", "--json"];
    let said = case.world.on(device, &command).run().expect(7).json();
    let message = said["message"].as_str().unwrap();
    assert_eq!(message.matches("did not come up").count(), 2, "{said}");
    assert_eq!(case.files(), case.old);
    // and so does that of the run itself
    let run = case.install().args(["--restart-timeout", "1", "--json"]);
    let said = run.run().expect(7).json();
    let message = said["message"].as_str().unwrap();
    assert_eq!(message.matches("did not come up").count(), 2, "{said}");
}

#[test]
fn without_its_backup_an_interrupted_run_can_be_given_up() {
    let case = Case::started();
    let device = case.world.ftd(1);
    super::killed_at(&case, "renameat", 4);
    let state = device.root.join("var/sf/sftunnel-airgap");
    let backup = fs::read_dir(state.join("backups")).unwrap().next().unwrap().unwrap().path();
    fs::write(backup.join("backup.json"), "{}").unwrap();
    let recover = ["recover", "--settle", "0", "--json"];
    let said = case.world.on(device, &recover).run().expect(7).json();
    let next = said["next"].as_str().unwrap();
    assert!(next.starts_with("the interrupted run cannot be undone without it"), "{said}");
    assert!(next.contains(&format!("remove {}/journal", state.display())), "{said}");
}

/// sftunnel did not run before, does not run on the new files, and the way back is cut off at its
/// restart: it is still to be restarted, as nobody can say that it has read the old ones.
#[test]
fn a_way_back_that_was_cut_off_is_not_over_before_its_restart() {
    let case = Case::started();
    let (world, device) = (&case.world, case.world.ftd(1));
    lab::service::stop(&device.root).unwrap();
    fs::write(lab::layout::fault(&device.root), "no-start times=1\n").unwrap();
    let second = r#"if [ "$1" = restartbyid ]; then
  echo >>"$here/restarts"
  [ $(wc -l <"$here/restarts") != 2 ] || { kill -KILL $PPID; exit 0; }
fi"#;
    let pmtool = world.pmtool(device, second);
    let killed = case.install().args(["--restart-timeout", "2", "--pmtool", &pmtool]).run();
    assert_eq!(killed.code(), None, "{}", killed.output());
    assert_eq!(case.files(), case.old);
    assert_eq!(lab::service::running(&device.root), None);
    let said = world.on(device, &["recover", "--settle", "0", "--json"]).run().expect(0).json();
    assert_eq!(said["outcome"], "all-old");
    assert_eq!(said["sftunnel_pid"], lab::service::running(&device.root).unwrap(), "{said}");
}

#[test]
fn a_way_back_that_cannot_go_on_says_how_it_goes_on() {
    let case = Case::started();
    let device = case.world.ftd(1);
    super::killed_at(&case, "renameat", 4);
    let recover = || case.world.on(device, &["recover", "--settle", "0", "--json"]);
    let said = recover().injected("fchmod", "error=EIO:when=1").run().expect(7).json();
    assert_eq!(said["next"], "mend that, then run `sftunnel-install recover`", "{said}");
    assert_eq!(recover().run().expect(0).json()["outcome"], "all-old");
}

/// The old files are back, and neither sftunnel nor the journal is as it should be: both are said.
#[test]
fn a_way_back_whose_journal_cannot_be_closed_says_both() {
    let ended = |occurrence: usize| {
        let case = killed_at_the_restart();
        case.world.ftd(1).set_fault(&Fault::NoStart).unwrap();
        let command = ["recover", "--settle", "0", "--restart-timeout", "1", "--json"];
        let run = case.world.on(case.world.ftd(1), &command);
        let (trace, fails) = (case.world.path("trace"), format!("error=EIO:when={occurrence}"));
        let said = run.injected_and_traced("unlinkat", &fails, &trace).run().expect(7).json();
        (fs::read_to_string(trace).unwrap(), said)
    };
    // which of the calls it is, seen where none fails
    let (trace, _) = ended(999);
    let calls: Vec<_> = trace.lines().filter(|line| line.starts_with("unlinkat(")).collect();
    let closing = calls.iter().rposition(|call| call.contains("\"journal\"")).unwrap();
    let (_, said) = ended(closing + 1);
    let message = said["message"].as_str().unwrap();
    for part in ["did not come up", "the old files are back", "the journal could not be closed"] {
        assert!(message.contains(part), "'{part}' in {said}");
    }
}

/// A run that is under way is not one that was interrupted.
#[test]
fn only_who_was_cut_off_is_called_interrupted() {
    let case = Case::started();
    let device = case.world.ftd(1);
    device.set_fault(&Fault::Hangs).unwrap();
    let started = case.install().start();
    wait_until(|| device.restarts().unwrap() == 1);
    let status = || case.world.on(device, &["status", "--json"]).run().expect(0).json();
    device.set_fault(&Fault::None).unwrap();
    assert_eq!(status()["interrupted_run"], serde_json::Value::Null);
    started.signal("KILL");
    drop(started.wait());
    let said = status()["interrupted_run"].to_string();
    assert!(said.contains("an interrupted install of "), "{said}");
}

/// It is the old files that sftunnel runs on, and the message must not be read otherwise.
#[test]
fn a_way_back_that_cannot_be_recorded_says_which_files_are_live() {
    let ended = |occurrence: usize| {
        let case = Case::started();
        let device = case.world.ftd(1);
        fs::write(lab::layout::fault(&device.root), "no-start times=1\n").unwrap();
        let run = case.install().args(["--restart-timeout", "2", "--json"]);
        let (trace, fails) = (case.world.path("trace"), format!("error=EIO:when={occurrence}"));
        let ran = run.injected_and_traced("renameat", &fails, &trace).run();
        assert_eq!(case.files(), case.old, "{}", ran.output());
        (fs::read_to_string(trace).unwrap(), ran)
    };
    let (trace, ran) = ended(999);
    drop(ran.expect(6));
    let calls: Vec<_> = trace.lines().filter(|line| line.starts_with("renameat(")).collect();
    let recording = calls.iter().rposition(|call| call.contains("\"installed\"")).unwrap();
    let said = ended(recording + 1).1.expect(7).json();
    let message = said["message"].as_str().unwrap();
    let part = "the old files are back in place and sftunnel runs on them, but that could not be";
    assert!(message.contains(part), "{said}");
}
