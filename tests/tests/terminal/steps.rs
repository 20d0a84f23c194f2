//! The minute after `yes`: each step as it happens, signals answered, another terminal told, and a
//! terminal that is stopped.

use std::time::Duration;

use lab::Fault;
use serde_json::Value;
use tests::{Case, Pty, Run, wait_until};

/// An installation at the terminal, which asks.
fn install(case: &Case) -> Run {
    let run = case.on(&["install", "--settle", "1"]);
    run.args(case.world.trust()).arg(&case.kit.path)
}

/// The same, up to the moment when it waits for a slow sftunnel.
fn waiting(case: &Case, seconds: u64) -> Pty {
    case.device().set_fault(&Fault::Slow(Duration::from_secs(seconds))).unwrap();
    let mut pty = Pty::start(install(case));
    pty.expect("Go on? Type 'yes'");
    pty.type_line("yes");
    pty
}

fn unwrapped(screen: &str) -> String {
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_step_is_told_as_it_happens_with_a_counter() {
    let case = Case::started();
    let mut pty = waiting(&case, 3);
    for text in ["Backup made: 0001-", "Files replaced: manager ", "Restarting sftunnel"] {
        pty.expect(text);
    }
    assert!(!pty.screen().contains("has started"), "{}", pty.screen());
    for text in ["\rWaiting for sftunnel: 1 s of 330\u{1b}[K", "\r\u{1b}[Ksftunnel has started"] {
        pty.expect(text);
    }
    for text in ["sftunnel is up with PID ", "Done: sftunnel runs on these files", "Next"] {
        pty.expect(text);
    }
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
}

#[test]
fn without_a_terminal_or_control_sequences_the_steps_are_plain_lines() {
    let case = Case::with(&Fault::Slow(Duration::from_secs(2)));
    let piped = case.install_settling().run().expect(0).never_says("\r").never_says("\u{1b}");
    let steps =
        ["--yes was given", "Backup made", "Files replaced", "has started", "is up", "Done:"];
    let at = |step: &str| piped.stdout.find(step).unwrap_or_else(|| piped.fail(step));
    let places = steps.map(at);
    assert!(places.is_sorted() && piped.stdout.find("Box ") < Some(places[0]), "{}", piped.stdout);
    case.rollback().run().expect(0);
    let dumb = install(&case).under(&["env", "TERM=dumb"]);
    let mut pty = Pty::start(dumb);
    pty.expect("Go on? Type 'yes'");
    pty.type_line("yes");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains('\u{1b}') && !screen.contains("s of 330"), "{screen}");
}

/// A program that follows it: one object for each step, and at last the same as with `--json`.
#[test]
fn json_lines_has_an_object_for_each_step_and_the_result_as_the_last() {
    let case = Case::with(&Fault::NoStartNew);
    let flags = ["--json-lines", "--restart-timeout", "2"];
    let ran = case.install_settling().args(flags).run().expect(6);
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, events) = lines.split_last().unwrap();
    assert_eq!(
        (&last["schema"], &last["outcome"]),
        (&"sftunnel-install.install/1".into(), &"restored".into())
    );
    let steps: Vec<_> = events.iter().map(|event| event["step"].as_str().unwrap()).collect();
    let forward = ["backup", "replace", "restart"];
    let back = ["put-back", "restart", "settle", "record"];
    assert_eq!(steps, [&forward[..], &back].concat());
    assert!(events.iter().all(|event| event["schema"] == "sftunnel-install.event/1"));
    assert_eq!(events[1]["backup"], last["backup"]);
    assert_eq!((&events[2]["goal"], &events[2]["limit_seconds"]), (&"install".into(), &2.into()));
    assert_eq!(events[3]["why"], last["why"]);
    assert_eq!(events[4]["goal"], "restore");
    assert_eq!(events[6]["sftunnel_pid"], last["sftunnel_pid"]);
    // what a person reads is on the other stream, with the plan first
    assert!(ran.stderr.contains("Putting the old files back"), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("Box "), "{}", ran.stderr);
    let usage = case.on(&["install", "--json-lines"]).run().expect(2);
    assert_eq!(usage.stdout.lines().count(), 1, "{}", usage.stdout);
    drop(case.install().args(["--json-lines", "--json"]).run().expect(2).says("--json"));
}

#[test]
fn ctrl_c_and_ctrl_z_are_answered_at_once() {
    let case = Case::started();
    let mut pty = waiting(&case, 4);
    pty.expect("Restarting sftunnel");
    pty.press("\x1a");
    pty.expect("Ctrl-Z does nothing now");
    pty.press("\x03");
    pty.expect("Ctrl-C: the files are replaced.");
    // long before pmtool comes back
    assert!(!pty.screen().contains("has started"), "{}", pty.screen());
    pty.expect("It ends by itself in at most");
    let (code, screen) = pty.end();
    assert_eq!(code, 7, "{screen}");
    assert!(unwrapped(&screen).contains("run `sftunnel-install recover`"), "{screen}");
    // what it has said is what is so
    assert!(case.is_new("Ctrl-C in the waiting"));
    case.on(&["recover", "--settle", "1"]).run().expect(0).says("All new");
}

/// A key that is pressed before pmtool has left the group of the terminal's programs.
#[test]
fn ctrl_z_and_ctrl_c_do_not_reach_pmtool_while_it_is_started() {
    let case = Case::started();
    for (key, code) in [("\x1a", 0), ("\x03", 7)] {
        // a moment in which it can be pressed
        let slow = ["-e", "trace=setpgid", "-e", "inject=setpgid:delay_enter=700000"];
        let strace =
            [&["strace", "-f", "-b", "execve", "-qq", "-o", "/dev/null"], &slow[..]].concat();
        let mut pty = Pty::start(install(&case).under(&strace));
        pty.expect("Go on? Type 'yes'");
        pty.type_line("yes");
        pty.expect("Restarting sftunnel");
        std::thread::sleep(Duration::from_millis(200));
        pty.press(key);
        let (ended, screen) = pty.end();
        assert_eq!(ended, code, "{screen}");
        assert!(case.is_new("pmtool has restarted it"), "{screen}");
        if code == 7 {
            case.on(&["recover", "--settle", "0"]).run().expect(0).says("All new");
        }
        case.rollback().run().expect(0);
    }
}

#[test]
fn another_terminal_is_told_of_the_run_that_is_under_way() {
    let case = Case::started();
    let status = || case.on(&["status", "--json"]).run().expect(0).json();
    let mut pty = waiting(&case, 4);
    pty.expect("Restarting sftunnel");
    let run = status()["under_way"].clone();
    assert_eq!((&run["command"], &run["step"]), (&"install".into(), &"restart".into()), "{run}");
    let pid = run["pid"].as_i64().unwrap();
    assert!(std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap().contains("install"));
    case.on(&["status"]).run().expect(0).says(&format!("Under way install, PID {pid}, since 2"));
    let busy = case.on(&["recover", "--json"]).run().expect(3).json();
    let message = busy["message"].as_str().unwrap();
    assert!(message.contains(&format!("install, PID {pid}, since 2")), "{message}");
    assert!(message.contains("step 'restart' since 2"), "{message}");
    assert_eq!(pty.end().0, 0);
    // its text stays in the lock, and is nothing once that is free
    assert!(std::fs::read_to_string(case.state().join("lock")).unwrap().contains("install"));
    assert_eq!(status()["under_way"], Value::Null);
    // nor where another run holds it that has not said who it is
    let lock = case.state().join("lock").display().to_string();
    let held = case.on(&["status", "--json"]).under(&["flock", &lock]).run().expect(0).json();
    assert_eq!(held["under_way"], serde_json::json!({}), "{held}");
}

/// Ctrl-S: every write to that terminal blocks until Ctrl-Q.
#[test]
fn a_terminal_that_is_stopped_does_not_stop_the_change() {
    let case = Case::started();
    let mut pty = Pty::start(install(&case));
    pty.expect("Go on? Type 'yes'");
    pty.press("\x13");
    pty.type_line("yes");
    // it ends, and the lock is free
    let log = case.state().join("log");
    wait_until(|| std::fs::read_to_string(&log).is_ok_and(|log| log.contains("installed")));
    let recover = || case.on(&["recover"]).run();
    wait_until(|| recover().code() == Some(0));
    assert!(case.is_new("Ctrl-S"));
    assert!(!pty.screen().contains("Backup made"), "{}", pty.screen());
    pty.press("\x11");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    let steps = ["Backup made", "Files replaced", "has started", "is up with PID", "Done:"];
    let places = steps.map(|step| screen.find(step));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{screen}");
}

#[test]
fn a_rollback_onto_expired_files_says_first_and_last_that_the_tunnel_stays_down() {
    let case = Case::started();
    case.install().run().expect(0);
    let mut pty = Pty::start(case.on(&["rollback", "--settle", "1"]));
    pty.expect("will stay down");
    pty.expect("Backup    0001-");
    pty.expect("Go on? Type 'yes'");
    pty.type_line("yes");
    pty.expect("Done:");
    pty.expect("stays down:");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    case.install().run().expect(0);
    let json = case.rollback().arg("--json").run().expect(0).json();
    assert_eq!(json["stays_down"][0]["manager"], case.world.fmc().uuid.as_str(), "{json}");
}

/// For the ticket: what was shown and typed at the terminal stands in the file as well.
#[test]
fn plan_question_answer_and_outcome_go_to_one_stream_in_order() {
    let case = Case::started();
    let file = case.world.path("ticket.txt").display().to_string();
    for (answer, code, last) in [("no", 3, "Go on? "), ("yes", 0, "Done:")] {
        let run = install(&case).under(&["sh", "-c", "exec \"$@\" >\"$0\"", &file]);
        let mut pty = Pty::start(run);
        pty.expect("Go on? Type 'yes'");
        pty.type_line(answer);
        let (ended, screen) = pty.end();
        assert_eq!(ended, code, "{screen}");
        let ticket = std::fs::read_to_string(&file).unwrap();
        let question = format!("Go on? Type 'yes' to go on: {answer}\n");
        let places =
            ["Box  ", "It will be restarted", &question, last].map(|text| ticket.find(text));
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{ticket}");
        assert!(!ticket.contains('\r'), "{ticket}");
    }
}

/// The exit code is that of the change, whatever is seen then.
#[test]
fn the_tunnel_is_looked_for_after_a_change_where_it_can_be_seen() {
    let case = Case::started();
    let words = ["install", "--yes", "--settle", "1", "--json"];
    let typed = |flags: &[&str]| {
        let run = case.world.waiting_on(case.device(), &words).args(flags);
        run.args(case.world.trust()).arg(&case.kit.path).run().expect(0)
    };
    let seen = typed(&[]).json();
    assert_eq!(seen["tunnels"][0]["state"], "up", "{seen}");
    case.rollback().run().expect(0);
    assert_eq!(typed(&["--no-wait"]).json()["tunnels"], Value::Null);
    case.rollback().run().expect(0);
    for program in ["sftunnel-status-brief", "sftunnel_status.pl"] {
        let _ = std::fs::remove_file(lab::layout::programs(&case.device().root).join(program));
    }
    let ran = typed(&[]);
    assert_eq!(ran.json()["tunnels"], Value::Null);
    assert!(ran.took < Duration::from_secs(20), "{:?}", ran.took);
}
