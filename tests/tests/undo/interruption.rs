//! Killed, stopped, and started twice. `durable` has what outlasts a power cut; `boots` what a
//! process says of the files that it has read; `searched` is a sample of `make interrupt`, and
//! has what that found.

mod boots;
mod durable;
mod searched;

use std::fs;
use std::path::Path;
use std::time::Duration;

use lab::Fault;
use tests::{Case, Pty, Ran, World, refused, wait_until};

/// An installation that is killed as it enters the n-th call of this name.
fn killed_at(case: &Case, call: &str, occurrence: usize) -> Ran {
    case.install().injected(call, &format!("signal=KILL:when={occurrence}")).run()
}

/// An installation that SIGTERM ends while it waits for an sftunnel that comes
/// up `late` seconds after the restart; the new files are live.
fn stopped_while_waiting(late: u64) -> Case {
    let case = Case::with(&Fault::Late(Duration::from_secs(late)));
    let started = case.install_settling().start();
    wait_until(|| case.device().restarts().unwrap() == 1);
    std::thread::sleep(Duration::from_millis(500));
    started.signal("TERM");
    started.wait().expect(7).says("recover");
    assert_eq!(case.files(), case.new);
    case
}

/// What `recover` makes of it; then an installation that succeeds.
#[track_caller]
fn ends_whole(case: &Case, what: &str) -> bool {
    for live in case.files() {
        assert!(live.is_some(), "{what}: a live path is absent");
    }
    let recovered = case.on(&["recover", "--settle", "0", "--json"]).run().expect(0);
    let new = case.is_new(what);
    let outcome = recovered.json()["outcome"].as_str().unwrap_or_default().to_owned();
    let fits = match outcome.as_str() {
        "all-new" => new,
        "all-old" => !new,
        "nothing" => true,
        _ => false,
    };
    assert!(
        fits,
        "{what}: recover says {outcome}, the files are {}",
        if new { "new" } else { "old" }
    );
    no_leftovers(case, what);
    case.on(&["backups", "verify"]).run().expect(0);
    case.install().run().expect(0);
    assert!(case.is_new(what), "{what}: a later installation installs");
    new
}

#[track_caller]
fn no_leftovers(case: &Case, what: &str) {
    let state = case.state();
    let left = |dir: &Path| -> Vec<String> {
        let names = fs::read_dir(dir).into_iter().flatten().flatten();
        let names = names.map(|item| item.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with('.')).collect()
    };
    for dir in [case.device().peer_dir(case.world.fmc()), state.join("backups")] {
        assert_eq!(left(&dir), Vec::<String>::new(), "{what}: {}", dir.display());
    }
    assert!(!state.join("journal").exists(), "{what}: the journal is closed");
}

#[test]
fn killed_between_the_renames_the_next_run_finishes_it_first() {
    let case = Case::started();
    // the third rename of a run is the first of the live files: backup, journal, cacert.pem
    let ran = killed_at(&case, "renameat", 4);
    assert_ne!(ran.code(), Some(0));
    let device = case.world.ftd(1);
    let files = case.files();
    assert!(files != case.old && files != case.new, "the moment is between two renames");
    // those that only look say so, and change nothing
    let before = lab::snapshot(&device.root).unwrap().settled();
    let status =
        case.world.on(device, &["status"]).run().expect(0).says("an interrupted install of");
    drop(status.never_says("Stray"));
    let dry = || case.install_settling().arg("--dry-run");
    drop(dry().run().says("Note: an interrupted install of"));
    let note = dry().arg("--json").run().json()["interrupted_run"].to_string();
    assert!(note.contains("sftunnel-install recover"), "{note}");
    let after = lab::snapshot(&device.root).unwrap().settled();
    assert_eq!(before.differences(&after), Vec::<String>::new());
    let ran = case.install_settling().run().expect(0);
    let ran = ran.says("first finished an interrupted run: all old");
    // whatever becomes of what was asked for: the box was changed, and when
    case.world.on(device, &["log"]).run().expect(0).says("recover").says("all-old");
    assert!(case.is_new(&ran.output()));
    no_leftovers(&case, "after the next run");
    case.world.up(device, case.world.fmc());
}

#[test]
fn killed_before_its_commit_it_leaves_staged_files_that_are_removed_and_counted() {
    let case = Case::started();
    let device = case.world.ftd(1);
    // the second rename is the journal's: all three are staged, none is live
    killed_at(&case, "renameat", 2);
    let status = case.world.on(device, &["status"]).run().expect(0);
    let status = status.says("Leftover  3 staged file(s); `recover` removes them");
    drop(status.says("sftunnel-install recover removes the staged files of a run"));
    let ran = case.world.on(device, &["recover"]).run().expect(0);
    let ran = ran.says("No live file had been changed; removed 3 staged file(s)");
    assert!(!case.is_new(&ran.output()));
    no_leftovers(&case, "after recover");
    killed_at(&case, "renameat", 2);
    let json = case.world.on(device, &["recover", "--json"]).run().expect(0).json();
    assert_eq!((&json["outcome"], &json["leftovers"]), (&"nothing".into(), &3.into()), "{json}");
    drop(case.world.on(device, &["status"]).run().expect(0).never_says("Leftover"));
    assert_eq!(device.restarts().unwrap(), 0);
}

#[test]
fn sigterm_before_the_commit_changes_nothing() {
    let case = Case::started();
    let device = case.world.ftd(1);
    // the status that is asked for first does not come back, so there is time for a signal
    device.set_fault(&Fault::StatusHangs).unwrap();
    let before = case.world.snapshot(device);
    let started = case.install_settling().start();
    wait_until(|| device.pmtool_calls().unwrap().iter().any(|call| call == "status"));
    started.signal("TERM");
    device.set_fault(&Fault::None).unwrap();
    let ran = started.wait();
    assert_ne!(ran.code(), Some(0), "{}", ran.output());
    case.world.unchanged(device, &before, &ran);
    assert_eq!(device.restarts().unwrap(), 0);
    no_leftovers(&case, "SIGTERM");
}

/// A pmtool that stops in its n-th `status` until the file `go` is there.
fn pmtool_that_waits(world: &World, at: usize) -> String {
    let folder = world.path("");
    let script = format!(
        "#!/bin/sh\ncd '{}'\nif [ \"$1\" = status ]; then\n  echo >>calls\n  if [ $(wc -l <calls) -eq {at} ]; then\n    touch waiting\n    while [ ! -e go ]; do sleep 0.05; done\n  fi\nfi\nexec '{}' \"$@\"\n",
        folder.display(),
        world.ftd(1).root.join("usr/local/sf/bin/pmtool").display()
    );
    let path = world.write("pmtool-that-waits", script);
    tests::Run::new("chmod").arg("755").arg(&path).run().expect(0);
    path.display().to_string()
}

#[test]
fn a_signal_in_the_transaction_before_its_commit_changes_nothing() {
    for signal in ["TERM", "INT", "HUP"] {
        let case = Case::started();
        let (world, device) = (&case.world, case.world.ftd(1));
        let before = world.snapshot(device);
        // the first look is the plan's, the second is the transaction's
        let pmtool = pmtool_that_waits(world, 2);
        let run = world.install(device, &case.kit.path).args(["--pmtool", &pmtool]);
        let started = run.start();
        wait_until(|| world.path("waiting").exists());
        started.signal(signal);
        world.write("go", "");
        let ran = started.wait().expect(1).says("nothing was changed");
        world.unchanged(device, &before, &ran);
        assert_eq!(device.restarts().unwrap(), 0);
        no_leftovers(&case, signal);
        ends_whole(&case, signal);
    }
}

#[test]
fn a_terminal_that_goes_away_does_not_stop_a_restart_half_way() {
    let case = Case::with(&Fault::Slow(Duration::from_secs(2)));
    let device = case.device();
    let started = case.install_settling().start();
    wait_until(|| device.restarts().unwrap() == 1);
    started.signal("HUP");
    let ran = started.wait().expect(0);
    assert!(case.is_new(&ran.output()));
    case.world.up(device, case.world.fmc());
    no_leftovers(&case, "SIGHUP");
}

#[test]
fn sigterm_while_waiting_for_sftunnel_is_recovered_to_all_new() {
    let case = stopped_while_waiting(3);
    let device = case.device();
    device.set_fault(&Fault::None).unwrap();
    let ran = case.world.on(device, &["recover", "--settle", "1", "--json"]).run().expect(0);
    let json = ran.json();
    assert_eq!(json["outcome"], "all-new", "{json}");
    assert!(json["backup"].as_str().unwrap().starts_with("0001-"), "{json}");
    assert!(Path::new(json["receipts"][0].as_str().unwrap()).is_file(), "{json}");
    assert!(case.is_new(&ran.output()));
    case.world.up(device, case.world.fmc());
}

#[test]
fn an_sftunnel_that_stays_down_in_a_recovery_gets_the_old_files_back() {
    let case = stopped_while_waiting(30);
    let device = case.device();
    device.set_fault(&Fault::NoStartNew).unwrap();
    let flags = ["recover", "--settle", "1", "--restart-timeout", "2", "--json"];
    let ran = case.world.on(device, &flags).run().expect(0);
    let json = ran.json();
    assert_eq!(json["outcome"], "all-old", "{json}");
    assert!(json["backup"].as_str().unwrap().starts_with("0001-"), "{json}");
    assert!(json["why"].as_str().unwrap().contains("sftunnel"), "{json}");
    let down = json["stays_down"].as_array().unwrap();
    assert_eq!(down.len(), 1, "the old certificates are expired: {json}");
    assert_eq!(down[0]["manager"], case.world.fmc().uuid.as_str(), "{json}");
    assert!(Path::new(json["receipts"][0].as_str().unwrap()).is_file(), "{json}");
    assert!(!case.is_new(&ran.output()));
    no_leftovers(&case, "a recovery that went back");
    assert!(lab::service::running(&device.root).is_some());
}

/// The interrupted run is finished and said, and from then on Ctrl-C ends the program as ever.
#[test]
fn ctrl_c_at_the_question_after_a_finished_run_ends_it_at_once() {
    let case = Case::started();
    let (world, device) = (&case.world, case.world.ftd(1));
    assert_ne!(killed_at(&case, "renameat", 4).code(), Some(0));
    let install = world.on(device, &["install", "--settle", "1"]).args(world.trust());
    let mut pty = Pty::start(install.arg(&case.kit.path));
    pty.expect("Go on? Type 'yes'");
    pty.press("\x03");
    let (code, screen) = pty.end();
    assert_ne!(code, 0, "{screen}");
    assert!(screen.contains("first finished an interrupted run"), "{screen}");
    assert_eq!(case.files(), case.old);
    no_leftovers(&case, "Ctrl-C at the question");
}

#[test]
fn a_signal_during_the_recovery_before_an_installation_does_not_say_that_nothing_was_changed() {
    let case = Case::started();
    let (world, device) = (&case.world, case.world.ftd(1));
    assert_ne!(killed_at(&case, "renameat", 4).code(), Some(0));
    // the first look is the recovery's
    let pmtool = pmtool_that_waits(world, 1);
    let run = world.install(device, &case.kit.path).args(["--pmtool", &pmtool, "--json"]);
    let started = run.start();
    wait_until(|| world.path("waiting").exists());
    started.signal("TERM");
    world.write("go", "");
    let ran = started.wait().expect(7).never_says("nothing was changed");
    let ran = ran.says("all old").says("run the same command again");
    assert!(!case.is_new(&ran.output()));
    no_leftovers(&case, "a recovery with a signal");
    ends_whole(&case, "a recovery with a signal");
}

#[test]
fn a_damaged_journal_asks_for_a_person_and_nothing_is_touched() {
    let case = Case::started();
    let (world, device) = (&case.world, case.world.ftd(1));
    assert_ne!(killed_at(&case, "renameat", 4).code(), Some(0));
    let journal = device.root.join("var/sf/sftunnel-airgap/journal");
    let mut bytes = fs::read(&journal).unwrap();
    bytes[40] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let before = world.snapshot(device);
    let recover = world.on(device, &["recover", "--settle", "1"]);
    for run in [recover, world.install(device, &case.kit.path)] {
        let ran = run.run().expect(7).says("is damaged").says("rollback --to");
        world.unchanged(device, &before, &ran);
        assert_eq!(fs::read(&journal).unwrap(), bytes);
    }
    // as the message says
    fs::remove_file(&journal).unwrap();
    world.on(device, &["rollback", "--to", "1", "--yes", "--settle", "1"]).run().expect(0);
    assert_eq!(case.files(), case.old);
}

/// The new files stay, and the next run would undo them: that is no "nothing was changed".
#[test]
fn without_a_rollback_a_journal_that_cannot_be_closed_needs_a_person() {
    let flags = ["--no-rollback", "--restart-timeout", "1"];
    let stuck = || {
        let case = Case::started();
        case.world.ftd(1).set_fault(&Fault::NoStartNew).unwrap();
        case
    };
    let measured = stuck();
    let trace = measured.world.path("trace");
    let run = measured.install().args(flags);
    run.injected_and_traced("unlinkat", "error=EIO:when=9999", &trace).run().expect(5);
    let trace = fs::read_to_string(trace).unwrap();
    let last = trace.lines().filter(|line| line.starts_with("unlinkat(")).count();
    assert!(trace.lines().last().unwrap().contains("\"journal\""), "{trace}");
    let case = stuck();
    let ran = case
        .install()
        .args(flags)
        .injected("unlinkat", &format!("error=EIO:when={last}"))
        .run()
        .expect(7);
    let ran = ran.says("the new files are in place").says("sftunnel-install recover");
    assert_eq!(case.files(), case.new, "{}", ran.output());
}

/// The old files are back, but not for nothing: the tunnels were interrupted.
#[test]
fn a_failed_rename_that_cost_a_restart_is_a_rollback() {
    let case = Case::started();
    let device = case.world.ftd(1);
    // before the renames (for the plan, and for the run) another process ran than after them
    let pmtool = case.world.pmtool(
        device,
        r#"if [ "$1" = status ]; then
echo >>"$here/asked"
if [ "$(wc -l <"$here/asked")" -le 2 ]; then echo 'sftunnel (normal) - Running 999999'; exit; fi
fi"#,
    );
    let restarts = device.restarts().unwrap();
    let run = case.install().args(["--pmtool", &pmtool]);
    let ran =
        run.injected("renameat", "error=EIO:when=4").run().expect(6).says("sftunnel was restarted");
    assert!(!case.is_new(&ran.output()));
    assert_eq!(device.restarts().unwrap(), restarts + 1);
}

#[test]
fn of_two_installations_at_once_one_is_busy() {
    let case = Case::started();
    let device = case.world.ftd(1);
    device.set_fault(&Fault::Slow(Duration::from_secs(3))).unwrap();
    let first = case.install_settling().start();
    wait_until(|| device.restarts().unwrap() == 1);
    refused(case.install_settling(), "busy");
    // one that is under way is not interrupted
    let status = case.world.on(device, &["status", "--json"]).run().expect(0).json();
    assert_eq!(status["interrupted_run"], serde_json::Value::Null, "{status}");
    refused(case.world.on(device, &["rollback", "--yes"]), "busy");
    let log = case.world.on(device, &["log", "--json"]).run().expect(0).json();
    let lines = log["lines"].as_array().unwrap().iter();
    let lines = lines.map(|line| (line["command"].clone(), line["reason"].clone()));
    let busy = ["install", "rollback"].map(|command| (command.into(), "busy".into()));
    assert_eq!(lines.collect::<Vec<_>>(), busy, "who came too late stands in the log");
    let ran = first.wait().expect(0);
    assert!(case.is_new(&ran.output()));
    assert_eq!(device.restarts().unwrap(), 1);
}
