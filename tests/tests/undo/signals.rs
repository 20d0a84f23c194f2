//! Signals at many moments, a terminal that is gone, runs beside each other, and a pmtool that
//! goes away: all old or all new, and the next installation is an ordinary one.

use std::fs;
use std::time::Duration;

use lab::Fault;
use tests::{Case, Pty, Ran, Run, wait_until};

/// What recovery makes of it, and back to the old files.
#[track_caller]
fn ends_whole(case: &Case, ran: &Ran, what: &str) -> bool {
    let live = case.files();
    assert!(live.iter().all(Option::is_some), "{what}: a live path is absent");
    let code = ran.code();
    // by the signal itself (strace passes that on), or as the table of exit codes says
    assert!(
        matches!(code, None | Some(0 | 1 | 7 | 129 | 130 | 131 | 143)),
        "{what}: {code:?}\n{}",
        ran.output()
    );
    case.on(&["recover", "--settle", "0"]).run().expect(0);
    let new = case.is_new(what);
    match code {
        Some(0) => assert!(new, "{what}: exit 0 and the old files"),
        Some(1) => assert!(!new, "{what}: exit 1 and the new files"),
        _ => {}
    }
    case.install().run().expect(0);
    assert!(case.is_new(what));
    case.rollback().run().expect(0);
    assert!(!case.is_new(what));
    new
}

/// Delivered as the program enters the n-th call of this name.
#[test]
fn a_signal_at_any_of_these_calls_ends_all_old_or_all_new() {
    let case = Case::new();
    let calls = [
        ("flock", 1),
        ("mkdirat", 2),
        ("fsync", 3),
        ("renameat", 1),
        ("fallocate", 1),
        ("fsync", 12),
        ("renameat", 2),
        ("renameat", 3),
        ("fchown", 2),
        ("renameat", 4),
        ("renameat", 5),
        ("renameat", 6),
        ("renameat", 7),
        ("unlinkat", 3),
    ];
    let signals = ["INT", "TERM", "HUP", "QUIT"];
    let mut ends = [0, 0];
    for (at, (call, occurrence)) in calls.into_iter().enumerate() {
        let signal = signals[at % 4];
        let what = format!("SIG{signal} at {call} {occurrence}");
        let trace = case.world.path("trace");
        let sent = format!("signal={signal}:when={occurrence}");
        let ran = case.install().injected_and_traced(call, &sent, &trace).run();
        let trace = fs::read_to_string(&trace).unwrap();
        assert!(trace.contains(&format!("SIG{signal}")), "{what}: not reached\n{trace}");
        ends[usize::from(ends_whole(&case, &ran, &what))] += 1;
    }
    assert!(ends[0] > 0 && ends[1] > 0, "both ends are met: {ends:?}");
}

/// Spread over the whole run, from its first instant to its last.
#[test]
fn a_signal_at_any_time_ends_all_old_or_all_new() {
    let case = Case::new();
    let took = case.install().run().expect(0).took;
    case.rollback().run().expect(0);
    for (at, signal) in ["INT", "TERM", "HUP", "QUIT"].into_iter().cycle().take(16).enumerate() {
        let mut started = case.install().start();
        std::thread::sleep(took * u32::try_from(at).unwrap() / 14);
        if started.is_running() {
            // it may end in this very moment
            let pid = started.pid().to_string();
            let _ = std::process::Command::new("kill").args([&format!("-{signal}"), &pid]).output();
        }
        let ran = started.wait();
        ends_whole(&case, &ran, &format!("SIG{signal} after {at}/14 of {took:?}"));
    }
}

/// A job of a shell, for outside of one the kernel drops what Ctrl-Z sends. (dash has jobs at a
/// terminal only.)
fn as_a_job(run: Run) -> Run {
    run.under(&["bash", "-c", "set -m; \"$@\" & wait $!", "sh"])
}

/// Stopped between two renames it would leave a mixed set until somebody says `fg`.
#[test]
fn ctrl_z_does_not_stop_it_between_two_renames() {
    let case = Case::new();
    let trace = case.world.path("trace");
    let run = case.install().injected_and_traced("renameat", "signal=TSTP:when=5", &trace);
    let ran = as_a_job(run).run().expect(0);
    assert!(fs::read_to_string(&trace).unwrap().contains("SIGTSTP"), "it was sent");
    assert!(case.is_new("Ctrl-Z"), "{}", ran.output());
}

/// `nohup`, or `trap '' HUP` in a script: who begins it so wants no terminal to end it.
#[test]
fn a_signal_that_was_ignored_from_the_beginning_stays_so() {
    let case = Case::new();
    let trace = case.world.path("trace");
    let run = case.install().injected_and_traced("flock", "signal=HUP:when=1", &trace);
    let ran = run.under(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]).run().expect(0);
    assert!(fs::read_to_string(&trace).unwrap().contains("SIGHUP"), "it was sent");
    assert!(case.is_new("SIGHUP, ignored"), "{}", ran.output());
}

/// A caller in Perl with `$SIG{CHLD} = 'IGNORE'`, which a program that it starts inherits.
#[test]
fn pmtool_can_be_waited_for_below_a_caller_that_waits_for_nobody() {
    let case = Case::new();
    let caller = ["perl", "-e", "$SIG{CHLD} = 'IGNORE'; exec @ARGV"];
    // the time goes on in between
    let service = |run: Run| run.run().expect(0).json()["sftunnel"].clone();
    let status = || case.world.on(case.world.ftd(1), &["status", "--json"]);
    assert_eq!(service(status().under(&caller)), service(status()));
    let ran = case.install().under(&caller).run().expect(0);
    assert!(case.is_new("SIGCHLD, ignored"), "{}", ran.output());
}

/// A process from outside has a group and a session that are nobody's there: the kernel says 0.
#[test]
fn a_group_of_another_process_namespace_is_no_trouble() {
    let case = Case::new();
    let ran = case.install().in_a_namespace().run().expect(0);
    assert!(case.is_new("from outside"), "{}", ran.output());
}

/// The control: before anything is begun it stops like any other program, and goes on.
#[test]
fn ctrl_z_stops_it_at_rest() {
    let case = Case::new();
    let trace = case.world.path("trace");
    let run = case.install().injected_and_traced("flock", "signal=TSTP:when=1", &trace);
    let started = as_a_job(run).start();
    let stopped = || fs::read_to_string(&trace).is_ok_and(|text| text.contains("stopped by SIG"));
    wait_until(stopped);
    let pid = |of: u32| {
        let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
        children.trim().parse::<u32>().unwrap()
    };
    let installer = pid(pid(started.pid()));
    Run::new("kill").args(["-CONT", &installer.to_string()]).run().expect(0);
    let ran = started.wait().expect(0);
    assert!(case.is_new("Ctrl-Z and fg"), "{}", ran.output());
}

#[test]
fn a_terminal_that_is_closed_at_the_question_ends_it_with_nothing_changed() {
    let case = Case::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    let before = world.snapshot(device);
    let run = world.on(device, &["install", "--settle", "0"]).args(world.trust());
    let mut pty = Pty::start(run.arg(&case.kit.path));
    pty.expect("Go on? Type 'yes'");
    pty.hang_up();
    // the lock is free again: the run is over
    wait_until(|| world.on(device, &["recover"]).run().code() == Some(0));
    assert_eq!(before.differences(&world.snapshot(device)), Vec::<String>::new());
    assert_eq!(device.restarts().unwrap(), 0);
    case.install().run().expect(0);
    assert!(case.is_new("afterwards"));
}

#[test]
fn a_terminal_that_is_closed_during_the_work_does_not_stop_it() {
    let case = Case::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    device.set_fault(&Fault::Slow(Duration::from_secs(2))).unwrap();
    let run = world.on(device, &["install", "--settle", "1"]).args(world.trust());
    let mut pty = Pty::start(run.arg(&case.kit.path));
    pty.expect("Go on? Type 'yes'");
    pty.type_line("yes");
    wait_until(|| device.restarts().unwrap() == 1);
    pty.hang_up();
    let state = device.root.join("var/sf/sftunnel-airgap");
    wait_until(|| !state.join("journal").exists());
    wait_until(|| fs::read_to_string(state.join("log")).is_ok_and(|log| log.contains("installed")));
    assert!(case.is_new("without a terminal"));
    world.on(device, &["recover"]).run().expect(0).says("Nothing was interrupted");
}

#[test]
fn an_installation_and_a_rollback_at_once_end_whole_and_in_turn() {
    let case = Case::new();
    case.install().run().expect(0);
    case.rollback().run().expect(0);
    let mut busy = 0;
    for round in 0..8 {
        let (one, other) = (case.install().start(), case.rollback().start());
        for ran in [one.wait(), other.wait()] {
            match ran.code() {
                Some(0) => {}
                Some(3) => busy += usize::from(ran.output().contains("refused (busy)")),
                _ => ran.fail("expected success or busy"),
            }
        }
        case.is_new(&format!("round {round}"));
        let recover = case.world.on(case.world.ftd(1), &["recover"]).run().expect(0);
        drop(recover.says("Nothing was interrupted"));
    }
    assert!(busy > 0, "they did meet");
    case.world.on(case.world.ftd(1), &["backups", "verify"]).run().expect(0);
}

/// There when the plan was made, gone when it is needed.
#[test]
fn a_pmtool_that_goes_away_meanwhile_leaves_the_old_files() {
    let case = Case::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    let real = device.root.join("usr/local/sf/bin/pmtool");
    let own = world.path("pmtool-that-goes");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = status ] || {{ rm -f '{0}'; exit 1; }}\nexec '{1}' \"$@\"\n",
        own.display(),
        real.display()
    );
    fs::write(&own, script).unwrap();
    Run::new("chmod").arg("755").arg(&own).run().expect(0);
    let run = case.install().args(["--restart-timeout", "2"]).arg("--pmtool").arg(&own);
    run.run().expect(7).says("the old files are back");
    assert!(!case.is_new("without pmtool"));
    let recover = world.on(device, &["recover"]).run().expect(0);
    drop(recover.says("Nothing was interrupted"));
    case.install().run().expect(0);
}

/// `alarm` of a wrapper, a limit, a power supply that fails: held back as those of an operator.
#[test]
fn every_signal_that_ends_a_program_is_held_back_from_commit_to_the_last_rename() {
    let case = Case::new();
    let named = ["ALRM", "VTALRM", "PROF", "XCPU", "XFSZ", "USR1", "USR2", "IO", "PWR", "STKFLT"];
    let others = ["TRAP", "SYS", "ABRT", "TTIN", "TTOU", "RT_5", "RT_30"];
    for signal in named.into_iter().chain(others) {
        let trace = case.world.path("trace");
        let sent = format!("signal={signal}:when=5");
        let ran = as_a_job(case.install().injected_and_traced("renameat", &sent, &trace)).run();
        let sent = fs::read_to_string(&trace).unwrap();
        assert!(sent.contains(&format!("--- SIG{signal}")), "{signal} was sent: {sent}");
        // in the middle of the renames; then it may end the waiting, with what to do
        match ran.code() {
            Some(0) => {}
            Some(7) => {
                drop(ran.says("recover"));
                case.world.on(case.world.ftd(1), &["recover", "--settle", "0"]).run().expect(0);
            }
            _ => ran.fail(signal),
        }
        assert!(case.is_new(signal), "{signal}");
        case.rollback().run().expect(0);
        assert!(!case.is_new(signal), "{signal}");
    }
}

/// At rest nothing is half done: `timeout -s ALRM` and the like end it as any other program.
#[test]
fn at_rest_they_end_it() {
    let case = Case::new();
    for (signal, number) in [("ALRM", 14), ("USR1", 10), ("PWR", 30)] {
        let ran = case.install().injected("flock", &format!("signal={signal}:when=1")).run();
        // strace passes a signal on that ends the program
        assert!(ran.code().is_none_or(|code| code == 128 + number), "{signal}");
        assert!(!case.is_new(signal), "{signal}");
    }
}

/// pam_limits, or `ulimit -f` of a script.
#[test]
fn a_limit_on_the_size_of_files_is_an_error_like_any_other() {
    let case = Case::new();
    // in kilobytes; with less, pmtool's stand-in cannot say what sftunnel does
    for blocks in [4, 8, 32] {
        let limit = format!("ulimit -f {blocks}; exec \"$@\"");
        let ran = case.install().under(&["bash", "-c", &limit, "bash"]).run().expect(1);
        drop(ran.says("ulimit -f"));
        assert!(!case.is_new("ulimit -f"), "{blocks}");
    }
    case.install().run().expect(0);
}

/// A daemon that pmtool starts begins as if its operator had typed the restart at a fresh prompt.
#[test]
fn what_pmtool_starts_has_signals_and_limits_as_they_were_found() {
    let case = Case::new();
    let device = case.world.ftd(1);
    let lines = "[ \"$1\" = restartbyid ] && {
        cat /proc/self/status /proc/self/limits; echo cwd $(pwd)
        ls -l /proc/$$/fd | sed 's/.*-> /open /'; env | sed 's/^/env /'; } >\"$here/began\"";
    let pmtool = case.world.pmtool(device, lines);
    let caller = "trap '' HUP TERM INT USR1 ALRM XFSZ; ulimit -Sc 4096; exec 7<passphrase.txt
        export SFTUNNEL_INSTALL_SCRIPT=x; exec \"$@\"";
    let install = case.install().args(["--pmtool", &pmtool]).cwd(case.world.path(""));
    let run = install.under(&["bash", "-c", caller, "bash"]);
    run.run().expect(0);
    let began = fs::read_to_string(case.world.path("began")).unwrap();
    let line = |name: &str| {
        let found = began.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned()
    };
    for mask in ["SigIgn:", "SigBlk:"] {
        // 32 and 33 are the C library's own
        let set = u64::from_str_radix(&line(mask), 16).unwrap() & !0x1_8000_0000;
        assert_eq!(set, 0, "{mask} {began}");
    }
    // in the units of bash
    assert_eq!(line("Max core file size"), (4096 * 1024).to_string(), "{began}");
    // nor does it keep a stick busy, or hold a descriptor that gave a passphrase
    assert_eq!(line("cwd "), "/", "{began}");
    for kept in ["passphrase.txt", "SFTUNNEL_INSTALL_"] {
        assert!(!began.contains(kept), "{began}");
    }
}
