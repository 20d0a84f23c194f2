//! An sftunnel that does not come back, and a pmtool that cannot be relied on.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::{Fault, Snapshot};
use tests::{Kit, World, program};

/// One device with its tunnel down, a kit for it, and how it looked.
struct Case {
    world: World,
    kit: Kit,
    before: Snapshot,
}

impl Case {
    fn new() -> Self {
        let world = World::started(1);
        let kit = world.kit(&[]);
        let before = world.snapshot(world.ftd(1));
        Self { world, kit, before }
    }

    fn with(fault: &Fault) -> Self {
        let case = Self::new();
        case.world.ftd(1).set_fault(fault).unwrap();
        case
    }

    fn install(&self, flags: &[&str]) -> tests::Ran {
        self.world.install(self.world.ftd(1), &self.kit.path).args(flags).run()
    }

    #[track_caller]
    fn is_as_before(&self) {
        let now = self.world.snapshot(self.world.ftd(1));
        assert_eq!(self.before.differences(&now), Vec::<String>::new());
    }

    #[track_caller]
    fn is_up(&self) {
        self.world.up(self.world.ftd(1), self.world.fmc());
    }

    /// The next run finds nothing to finish and succeeds.
    #[track_caller]
    fn goes_on_well(&self) {
        self.world.ftd(1).set_fault(&Fault::None).unwrap();
        let recover = self.world.on(self.world.ftd(1), &["recover", "--settle", "1"]);
        recover.run().expect(0).says("Nothing was interrupted");
        self.install(&[]).expect(0);
        self.is_up();
    }
}

#[test]
fn no_start_on_the_new_files_ends_with_the_old_ones_running() {
    let case = Case::with(&Fault::NoStartNew);
    let ran = case.install(&["--restart-timeout", "2", "--json"]).expect(6);
    let json = ran.json();
    assert_eq!(json["outcome"], "restored", "{json}");
    assert_eq!(json["exit_code"], 6);
    case.is_as_before();
    case.world.down(case.world.ftd(1), case.world.fmc());
    assert_eq!(case.world.ftd(1).restarts().unwrap(), 2);
    // what failed once is not skipped as installed
    case.goes_on_well();
}

#[test]
fn the_restored_files_are_said_to_be_expired() {
    let case = Case::with(&Fault::NoStartNew);
    case.install(&["--restart-timeout", "2"]).expect(6).says("expired").says("stays down");
}

#[test]
fn no_start_at_all_needs_a_person_and_the_old_files_are_back() {
    let case = Case::with(&Fault::NoStart);
    case.install(&["--restart-timeout", "2"]).expect(7).says("next:");
    case.is_as_before();
    case.goes_on_well();
}

#[test]
fn no_rollback_leaves_the_new_files_in_place() {
    let case = Case::with(&Fault::NoStart);
    let (world, device) = (&case.world, case.world.ftd(1));
    case.install(&["--restart-timeout", "2", "--no-rollback"]).expect(5).says("not confirmed");
    assert_eq!(world.files(device, world.fmc()), world.new_files(device, world.fmc()));
    // installed without proof is not "nothing to do"
    device.set_fault(&Fault::None).unwrap();
    case.install(&[]).expect(0).never_says("Nothing to do");
    case.is_up();
}

#[test]
fn a_pmtool_that_fails_has_restarted_nothing() {
    let case = Case::with(&Fault::Fails);
    case.install(&["--restart-timeout", "2"]).expect(7);
    case.is_as_before();
    case.goes_on_well();
}

#[test]
fn a_pmtool_that_hangs_is_given_up() {
    let case = Case::with(&Fault::Hangs);
    let ran = case.install(&["--restart-timeout", "2"]).expect(7);
    assert!(ran.took < Duration::from_secs(30), "{:?}", ran.took);
    case.is_as_before();
    case.goes_on_well();
}

#[test]
fn a_child_that_keeps_the_pipe_holds_nobody_up() {
    let case = Case::with(&Fault::KeepsPipe);
    let world = &case.world;
    // here with pipes: neither we nor the installer may wait for that child
    let begun = Instant::now();
    let output = Command::new(program("sftunnel-install"))
        .args(["install", "--yes", "--settle", "1", "--root"])
        .arg(&world.ftd(1).root)
        .args(world.trust())
        .arg(&case.kit.path)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    case.is_up();
}

#[test]
fn a_status_that_cannot_be_read_proves_nothing() {
    for fault in [Fault::Garbage, Fault::StatusFails] {
        let case = Case::with(&fault);
        case.install(&["--restart-timeout", "2"]).expect(7);
        case.is_as_before();
    }
}

#[test]
fn the_old_process_running_on_is_no_restart() {
    let case = Case::with(&Fault::OldPid);
    case.install(&["--restart-timeout", "2"]).expect(7);
    case.is_as_before();
    case.goes_on_well();
}

#[test]
fn a_process_that_dies_within_the_settle_time_is_no_success() {
    let case = Case::with(&Fault::Dies(Duration::from_secs(1)));
    let run = case.world.on(case.world.ftd(1), &["install", "--yes", "--settle", "4"]);
    let ran =
        run.args(["--restart-timeout", "3"]).args(case.world.trust()).arg(&case.kit.path).run();
    ran.expect(7).says("did not stay");
    case.is_as_before();
    case.goes_on_well();
}

#[test]
fn one_failed_start_is_rolled_back_and_comes_up() {
    // the fault is over after one call: the restore's own restart works
    let case = Case::new();
    std::fs::write(lab::layout::fault(&case.world.ftd(1).root), "no-start times=1\n").unwrap();
    case.install(&["--restart-timeout", "2"]).expect(6);
    case.is_as_before();
    case.world.down(case.world.ftd(1), case.world.fmc());
    case.goes_on_well();
}

#[test]
fn slow_and_late_starts_are_waited_for() {
    for fault in [Fault::Slow(Duration::from_secs(3)), Fault::Late(Duration::from_secs(3))] {
        let case = Case::with(&fault);
        case.install(&[]).expect(0);
        case.is_up();
    }
}

#[test]
fn an_sftunnel_that_did_not_run_before_is_started() {
    let case = Case::new();
    lab::service::stop(&case.world.ftd(1).root).unwrap();
    case.install(&[]).expect(0);
    case.is_up();
}

#[test]
fn without_pmtool_nothing_is_touched() {
    let case = Case::new();
    let device = case.world.ftd(1);
    let pmtool = device.root.join("usr/local/sf/bin/pmtool");
    let aside = case.world.path("pmtool-aside");
    std::fs::rename(&pmtool, &aside).unwrap();
    let before = case.world.snapshot(device);
    let ran = case.install(&[]).expect(3).says("refused (not-found)").says("--pmtool");
    case.world.unchanged(device, &before, &ran);
    std::fs::rename(&aside, &pmtool).unwrap();
    // a tool of the operator's own, wherever it lies
    let wrapper = case.world.write("pm", format!("#!/bin/sh\nexec {} \"$@\"\n", pmtool.display()));
    tests::Run::new("chmod").arg("755").arg(&wrapper).run().expect(0);
    case.install(&["--pmtool", wrapper.to_str().unwrap()]).expect(0);
    case.is_up();
}

#[test]
fn a_rollback_is_watched_like_an_installation() {
    let case = Case::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    case.install(&[]).expect(0);
    let installed = world.snapshot(device);
    std::fs::write(lab::layout::fault(&device.root), "no-start times=1\n").unwrap();
    let flags = ["rollback", "--yes", "--settle", "1", "--restart-timeout", "2"];
    world.on(device, &flags).run().expect(6);
    assert_eq!(installed.differences(&world.snapshot(device)), Vec::<String>::new());
    case.is_up();
}
