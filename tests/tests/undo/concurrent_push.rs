//! Somebody else, most likely the manager, puts other files there while a run is under way or
//! cut off: they are never overwritten, and never called installed.

use std::fs;

use lab::Fault;
use tests::{Case, Ran, Run, wait_until};

/// What after the plan puts there, in place of each of the three.
const PUSHED: &[u8] = b"pushed by another program\n";

/// A device with its tunnel down, and what is to be pushed.
fn started() -> Case {
    let case = Case::started();
    case.world.write("pushed", PUSHED);
    case
}

/// An installation with a pmtool that begins with these lines.
fn install(case: &Case, pmtool: &str) -> Run {
    let pmtool = case.world.pmtool(case.device(), pmtool);
    case.install_settling().args(["--restart-timeout", "2", "--pmtool", &pmtool])
}

#[track_caller]
fn holds_what_was_pushed(case: &Case, ran: Ran) -> Ran {
    if case.files() != [const { Some(PUSHED) }; 3].map(|one| one.map(<[u8]>::to_vec)) {
        ran.fail("what after the plan put there is not there any more");
    }
    ran
}

fn has_journal(case: &Case) -> bool {
    case.state().join("journal").exists()
}

/// As the message says: the journal away, then a rollback.
fn the_way_back_works(case: &Case) {
    fs::remove_file(case.state().join("journal")).unwrap();
    case.on(&["rollback", "--to", "1", "--yes", "--settle", "1"]).run().expect(0);
    assert_eq!(case.files(), case.old);
}

/// Of a shell: all three are replaced.
const PUSH: &str =
    "for f in cacert sftunnel-cert sftunnel-key; do cp \"$here/pushed\" \"$peer/$f.pem\"; done";

#[test]
fn files_pushed_during_a_start_that_fails_are_not_overwritten_with_the_old_ones() {
    let case = started();
    let lines = format!(
        "if [ \"$1\" = restartbyid ] && [ ! -e \"$here/done\" ]; then\n  touch \"$here/done\"\n  {PUSH}\n  exec \"$real\" disablebyid sftunnel\nfi"
    );
    let ran = install(&case, &lines).run().expect(7);
    let ran = holds_what_was_pushed(&case, ran.says("did not come up").says("by another program"));
    drop(ran.says("rollback --to 0001").says("to keep what is there"));
    assert!(has_journal(&case));
    // nor by whoever comes next
    let ran = case.on(&["recover", "--settle", "1"]).run().expect(7).says("by another program");
    holds_what_was_pushed(&case, ran);
    let pmtool = case.device().root.join("usr/local/sf/bin/pmtool");
    Run::new(pmtool).args(["enablebyid", "sftunnel"]).run().expect(0);
    the_way_back_works(&case);
}

#[test]
fn files_pushed_during_a_start_that_succeeds_are_not_called_installed() {
    let case = started();
    let lines =
        format!("if [ \"$1\" = restartbyid ]; then\n  \"$real\" \"$@\"\n  {PUSH}\n  exit 0\nfi");
    let ran = install(&case, &lines).run().expect(7).says("by another program");
    drop(holds_what_was_pushed(&case, ran).never_says("Done:"));
    let receipts = case.device().root.join("var/sf/sftunnel-airgap/receipts");
    assert!(!receipts.exists(), "no receipt says that it was installed");
    let ran = case.on(&["recover", "--settle", "1"]).run().expect(7).says("by another program");
    holds_what_was_pushed(&case, ran);
    the_way_back_works(&case);
}

#[test]
fn files_pushed_between_plan_and_commit_stay() {
    let case = started();
    // the first look is the plan's, the second is the transaction's
    let lines = format!(
        "if [ \"$1\" = status ]; then\n  echo >>\"$here/looks\"\n  if [ $(wc -l <\"$here/looks\") -eq 2 ]; then {PUSH}; fi\nfi"
    );
    let ran = install(&case, &lines).run().expect(3).says("refused (busy)").says("after the plan");
    holds_what_was_pushed(&case, ran);
    assert!(!has_journal(&case));
    assert_eq!(case.device().restarts().unwrap(), 0);
    let backups = case.on(&["backups", "list", "--json"]).run().expect(0).json();
    assert_eq!(backups["backups"].as_array().map(Vec::len), Some(0), "{backups}");
}

#[test]
fn files_pushed_after_a_run_was_killed_between_its_renames_stay() {
    let case = started();
    let killed = case.install_settling().injected("renameat", "signal=KILL:when=4").run();
    assert_ne!(killed.code(), Some(0));
    assert!(has_journal(&case));
    let peer = case.device().peer_dir(case.world.fmc());
    for name in lab::layout::CREDENTIALS {
        fs::write(peer.join(name), PUSHED).unwrap();
    }
    let ran = case.on(&["recover", "--settle", "1"]).run().expect(7).says("by another program");
    holds_what_was_pushed(&case, ran);
    the_way_back_works(&case);
}

#[test]
fn old_files_that_were_put_back_by_hand_are_not_called_all_new() {
    let case = started();
    let device = case.device();
    device.set_fault(&Fault::Late(std::time::Duration::from_secs(3))).unwrap();
    let started = case.install_settling().start();
    wait_until(|| device.restarts().unwrap() == 1);
    started.signal("TERM");
    started.wait().expect(7).says("recover");
    device.set_fault(&Fault::None).unwrap();
    let peer = device.peer_dir(case.world.fmc());
    for (name, bytes) in lab::layout::CREDENTIALS.iter().zip(&case.old) {
        fs::write(peer.join(name), bytes.as_deref().unwrap()).unwrap();
    }
    let ran = case.on(&["recover", "--settle", "1", "--json"]).run().expect(0);
    assert_eq!(ran.json()["outcome"], "all-old", "{}", ran.output());
    assert_eq!(case.files(), case.old);
    assert!(!has_journal(&case));
}
