//! Somebody else, most likely the manager, puts other files there while a run is under way or
//! cut off: they are never overwritten, and never called installed.

use std::fs;

use lab::Fault;
use tests::{Kit, Ran, Run, World, tool, wait_until};

/// What somebody else puts there, in place of each of the three.
const PUSHED: &[u8] = b"pushed by somebody else\n";

struct Case {
    world: World,
    kit: Kit,
    old: [Option<Vec<u8>>; 3],
}

impl Case {
    fn new() -> Self {
        let world = World::started(1);
        let kit = world.kit(&[]);
        let old = world.files(world.ftd(1), world.fmc());
        world.write("pushed", PUSHED);
        Self { world, kit, old }
    }

    fn on(&self, args: &[&str]) -> Run {
        self.world.on(self.world.ftd(1), args)
    }

    /// An installation with a pmtool that begins with these lines.
    fn install(&self, pmtool: &str) -> Run {
        let pmtool = self.world.pmtool(self.world.ftd(1), pmtool);
        let run = self.world.install(self.world.ftd(1), &self.kit.path);
        run.args(["--restart-timeout", "2", "--pmtool", &pmtool])
    }

    fn files(&self) -> [Option<Vec<u8>>; 3] {
        self.world.files(self.world.ftd(1), self.world.fmc())
    }

    #[track_caller]
    fn holds_what_was_pushed(&self, ran: Ran) -> Ran {
        if self.files() != [const { Some(PUSHED) }; 3].map(|one| one.map(<[u8]>::to_vec)) {
            ran.fail("what somebody else put there is not there any more");
        }
        ran
    }

    fn has_journal(&self) -> bool {
        self.world.ftd(1).root.join("var/sf/sftunnel-airgap/journal").exists()
    }

    /// As the message says: the journal away, then a rollback.
    fn the_way_back_works(&self) {
        fs::remove_file(self.world.ftd(1).root.join("var/sf/sftunnel-airgap/journal")).unwrap();
        self.on(&["rollback", "--to", "1", "--yes", "--settle", "1"]).run().expect(0);
        assert_eq!(self.files(), self.old);
    }
}

/// Of a shell: all three are replaced.
const PUSH: &str =
    "for f in cacert sftunnel-cert sftunnel-key; do cp \"$here/pushed\" \"$peer/$f.pem\"; done";

#[test]
fn files_pushed_during_a_start_that_fails_are_not_overwritten_with_the_old_ones() {
    let case = Case::new();
    let lines = format!(
        "if [ \"$1\" = restartbyid ] && [ ! -e \"$here/done\" ]; then\n  touch \"$here/done\"\n  {PUSH}\n  exec \"$real\" disablebyid sftunnel\nfi"
    );
    let ran = case.install(&lines).run().expect(7);
    let ran = case.holds_what_was_pushed(ran.says("did not come up").says("by somebody else"));
    drop(ran.says("rollback --to 0001").says("to keep what is there"));
    assert!(case.has_journal());
    // nor by whoever comes next
    let ran = case.on(&["recover", "--settle", "1"]).run().expect(7).says("by somebody else");
    case.holds_what_was_pushed(ran);
    let pmtool = case.world.ftd(1).root.join("usr/local/sf/bin/pmtool");
    Run::new(pmtool).args(["enablebyid", "sftunnel"]).run().expect(0);
    case.the_way_back_works();
}

#[test]
fn files_pushed_during_a_start_that_succeeds_are_not_called_installed() {
    let case = Case::new();
    let lines =
        format!("if [ \"$1\" = restartbyid ]; then\n  \"$real\" \"$@\"\n  {PUSH}\n  exit 0\nfi");
    let ran = case.install(&lines).run().expect(7).says("by somebody else");
    drop(case.holds_what_was_pushed(ran).never_says("Done:"));
    let receipts = case.world.ftd(1).root.join("var/sf/sftunnel-airgap/receipts");
    assert!(!receipts.exists(), "no receipt says that it was installed");
    let ran = case.on(&["recover", "--settle", "1"]).run().expect(7).says("by somebody else");
    case.holds_what_was_pushed(ran);
    case.the_way_back_works();
}

#[test]
fn files_pushed_between_plan_and_commit_stay() {
    let case = Case::new();
    // the first look is the plan's, the second is the transaction's
    let lines = format!(
        "if [ \"$1\" = status ]; then\n  echo >>\"$here/looks\"\n  if [ $(wc -l <\"$here/looks\") -eq 2 ]; then {PUSH}; fi\nfi"
    );
    let ran = case.install(&lines).run().expect(3).says("refused (busy)").says("somebody else");
    case.holds_what_was_pushed(ran);
    assert!(!case.has_journal());
    assert_eq!(case.world.ftd(1).restarts().unwrap(), 0);
    let backups = case.on(&["backups", "list", "--json"]).run().expect(0).json();
    assert_eq!(backups["backups"].as_array().map(Vec::len), Some(0), "{backups}");
}

#[test]
fn files_pushed_after_a_run_was_killed_between_its_renames_stay() {
    let case = Case::new();
    tool("strace", "strace");
    let trace = case.world.path("trace").display().to_string();
    let inject = "inject=renameat:signal=KILL:when=4";
    let wrapper = ["strace", "-qq", "-o", &trace, "-e", "trace=renameat", "-e", inject];
    let install = case.world.install(case.world.ftd(1), &case.kit.path);
    assert_ne!(install.under(&wrapper).run().code(), Some(0));
    assert!(case.has_journal());
    let peer = case.world.ftd(1).peer_dir(case.world.fmc());
    for name in lab::layout::CREDENTIALS {
        fs::write(peer.join(name), PUSHED).unwrap();
    }
    let ran = case.on(&["recover", "--settle", "1"]).run().expect(7).says("by somebody else");
    case.holds_what_was_pushed(ran);
    case.the_way_back_works();
}

#[test]
fn old_files_that_were_put_back_by_hand_are_not_called_all_new() {
    let case = Case::new();
    let device = case.world.ftd(1);
    device.set_fault(&Fault::Late(std::time::Duration::from_secs(3))).unwrap();
    let started = case.world.install(device, &case.kit.path).start();
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
    assert!(!case.has_journal());
}
