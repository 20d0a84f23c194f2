//! A sample of every call with every fault and of every state that a power cut may leave, and
//! one test for each thing that the whole search (`make interrupt`) has found.

use std::fs;

use tests::interruption::again::{self, Seen};
use tests::interruption::fault::{Fault, interrupted, record};
use tests::interruption::matrix::{self, Extent, Operation};
use tests::interruption::power;
use tests::interruption::stand::{Scene, Stand};
use tests::interruption::trace::Step;
use tests::note;

const BOXES: usize = 4;

#[test]
fn cut_off_at_any_call_it_ends_all_old_or_all_new() {
    let scene = Scene::new(1);
    // the first installation, and a rollback
    let operations = Operation::of_one_manager(&scene);
    let seen = Seen::default();
    let tally = matrix::run(&scene, &operations[..2], Extent::Sample(31), BOXES, &seen);
    assert!(tally.failures.is_empty(), "{tally}");
    let [old, new] = tally.both();
    assert!(old > 50 && new > 10, "both ends are met:\n{tally}");
    let faults: Vec<_> = tally.ends.keys().map(|(_, fault)| fault.as_str()).collect();
    for fault in ["killed", "EIO", "ENOSPC", "EROFS", "EINTR", "SIGHUP", "SIGINT", "SIGTERM"] {
        assert!(faults.contains(&fault), "{fault} was tried:\n{tally}");
    }
}

/// Killed between its renames, recovered, and that recovery killed between its own: the next one
/// begins with the journal of a way back, and is cut off in its turn.
#[test]
fn the_recovery_of_a_recovery_is_cut_off_at_any_call_as_well() {
    let scene = Scene::new(1);
    let operation = &Operation::of_one_manager(&scene)[0];
    let kills = {
        let stand = Stand::new(&scene, 0);
        let renamed = |step: &&Step| is(step, "renameat", " sftunnel-cert.pem");
        let first = steps(&stand, operation).iter().rfind(renamed).unwrap().clone();
        operation.prepare(&stand);
        interrupted(&stand, operation.run(&stand), &first, Fault::Kill).unwrap();
        let (ran, trace) = record(&stand, operation.recover(&stand));
        ran.expect(0).says("all-old");
        // only what had become new is put back: of the three, the CA
        let renamed = |step: &&Step| is(step, "renameat", " cacert.pem");
        let second = trace.steps(&stand.dir).iter().rfind(renamed).unwrap().clone();
        [first, second]
    };
    let tally = again::after(&scene, operation, &kills, Extent::Sample(5));
    assert!(tally.failures.is_empty(), "{tally}");
    let [old, new] = tally.both();
    assert!(old > 15 && new == 0, "a way back has one end:\n{tally}");
}

#[test]
fn whatever_a_power_cut_leaves_on_the_disk_is_recovered() {
    let scene = Scene::new(1);
    let operations = Operation::of_one_manager(&scene);
    let mut tally = power::Boots::default();
    for operation in &operations[..2] {
        let recorded = power::recordings(&scene, operation);
        tally.add(power::run(&scene, &recorded, &power::MODELS, 16, BOXES));
    }
    assert!(tally.failures.is_empty(), "{tally}");
    let [old, new] = tally.both();
    assert!(old > 20 && new > 5, "both ends are met:\n{tally}");
}

#[test]
fn a_short_write_is_completed_or_undone() {
    let scene = Scene::new(1);
    let stand = Stand::new(&scene, 0);
    let operation = &Operation::of_one_manager(&scene)[0];
    let steps = steps(&stand, operation);
    let staged = steps.iter().find(|step| is(step, "write", "sftunnel-key.new")).unwrap();
    for (fault, code) in [(Fault::Short, 0), (Fault::ShortThenFull, 1)] {
        operation.prepare(&stand);
        let ran = interrupted(&stand, operation.run(&stand), staged, fault).unwrap().expect(code);
        let ends = operation.ends();
        ends.code_is_true(&stand, &ran, Some((&staged.call, fault)), &ends.old).unwrap();
        ends.recovers(&stand).unwrap();
    }
}

#[test]
fn a_backup_that_is_not_durable_is_removed_again() {
    let scene = Scene::new(1);
    let stand = Stand::new(&scene, 0);
    let operation = &Operation::of_one_manager(&scene)[0];
    let steps = steps(&stand, operation);
    // the first makes room for the directory itself
    let synced = steps.iter().find(|step| is(step, "fsync", "/backups")).unwrap();
    operation.prepare(&stand);
    interrupted(&stand, operation.run(&stand), synced, Fault::Error("EIO")).unwrap().expect(1);
    let left = fs::read_dir(stand.dir.join("box/var/sf/sftunnel-airgap/backups")).unwrap();
    assert_eq!(left.count(), 0, "nothing was changed, so there is nothing to go back to");
}

#[test]
fn a_recovery_that_cannot_tidy_up_says_what_it_did_and_asks_for_a_person() {
    let scene = Scene::new(1);
    let stand = Stand::new(&scene, 0);
    let operation = &Operation::of_one_manager(&scene)[0];
    let steps = steps(&stand, operation);
    let renamed = |step: &&Step| is(step, "renameat", " sftunnel-cert.pem");
    let between = steps.iter().rfind(renamed).unwrap();
    let recover = || stand.run(&["recover", "--settle", "0", "--json"]);
    let left = || {
        operation.prepare(&stand);
        interrupted(&stand, operation.run(&stand), between, Fault::Kill).unwrap();
        fs::create_dir(stand.dir.join("box/var/sf/sftunnel-airgap/backups/.new-7")).unwrap();
    };
    left();
    let recovery = record(&stand, recover()).1.steps(&stand.dir);
    let removed = recovery.iter().find(|step| is(step, "unlinkat", ".new-#")).unwrap();
    left();
    let ran = interrupted(&stand, recover(), removed, Fault::Error("EROFS")).unwrap();
    let ran = ran.expect(7).says("all old").says("recover` again");
    assert_eq!(stand.files(), operation.ends().old, "{}", ran.output());
    operation.ends().recovers(&stand).unwrap();
}

#[test]
fn a_line_of_the_log_that_was_cut_off_does_not_take_the_next_one_with_it() {
    let scene = Scene::new(1);
    let stand = Stand::new(&scene, 0);
    stand.run(&["recover"]).run().expect(0);
    let log = stand.dir.join("box/var/sf/sftunnel-airgap/log");
    let line = fs::read(&log).unwrap();
    fs::write(&log, [&line[..], &line[..40]].concat()).unwrap();
    stand.run(&["recover"]).run().expect(0);
    let json = stand.run(&["log", "--json"]).run().expect(0).json();
    assert_eq!(json["lines"].as_array().unwrap().len(), 2);
    assert_eq!(json["unreadable"], 1);
}

/// `chattr +i`, as an administrator sets it against a file that somebody keeps changing.
#[test]
fn a_live_file_that_nobody_may_replace_leaves_all_old() {
    let scene = Scene::new(1);
    let stand = Stand::new(&scene, 0);
    let operation = &Operation::of_one_manager(&scene)[0];
    let (steps, ends) = (steps(&stand, operation), operation.ends());
    // the second of the three, so that one has been replaced already
    let step = steps.iter().rfind(|step| is(step, "renameat", " sftunnel-cert.pem")).unwrap();
    operation.prepare(&stand);
    let error = Fault::Error("EPERM");
    let ran = interrupted(&stand, operation.run(&stand), step, error).unwrap().expect(1);
    let ran = ran.says("Operation not permitted");
    ends.code_is_true(&stand, &ran, Some((&step.call, error)), &ends.old).unwrap();
    ends.recovers(&stand).unwrap();

    // and where the file system allows it, the thing itself
    operation.prepare(&stand);
    let live = stand.live_paths().nth(1).unwrap();
    let chattr = |flag: &str| {
        let _ = std::process::Command::new("chattr").arg(flag).arg(&live).output();
        let shown = std::process::Command::new("lsattr").arg(&live).output();
        shown.is_ok_and(|shown| {
            let text = String::from_utf8_lossy(&shown.stdout).into_owned();
            text.split(' ').next().is_some_and(|flags| flags.contains('i'))
        })
    };
    let is_immutable = chattr("+i");
    note(&format!(
        "{}: {}",
        live.display(),
        if is_immutable { "immutable with chattr" } else { "EPERM injected only, no chattr here" }
    ));
    if is_immutable {
        let ran = operation.run(&stand).run();
        chattr("-i");
        // found out before anything is renamed
        let ran = ran.expect(3).says("is immutable").says("lsattr");
        ends.code_is_true(&stand, &ran, None, &ends.old).unwrap();
        ends.recovers(&stand).unwrap();
    }
}

fn steps(stand: &Stand<'_>, operation: &Operation) -> Vec<Step> {
    operation.prepare(stand);
    let (ran, trace) = record(stand, operation.run(stand));
    ran.expect(0);
    trace.steps(&stand.dir)
}

/// A call of this name on something whose name ends so.
fn is(step: &Step, name: &str, end: &str) -> bool {
    step.call.name == name && step.call.shape().ends_with(end)
}
