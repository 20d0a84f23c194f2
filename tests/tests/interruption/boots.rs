//! Which files sftunnel has read: what its process says of that, in this boot, another, or one
//! that nobody knows.

use std::fs;

use lab::Fault;
use tests::{Ran, Run};

use super::{Case, wait_until};

/// All files are new, and the process is the one of before.
fn killed_at_the_restart() -> Case {
    let case = Case::new();
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
        let case = Case::new();
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
        let case = Case::new();
        let device = case.world.ftd(1);
        // the first rename of a live file is done
        case.killing_at(before.of(&case, case.install()), "renameat", 4);
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
    recover(&case).expect(0).says("All new");
    assert_eq!(device.restarts().unwrap(), restarts);
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
}
