//! A generated passphrase: the last thing on the screen, and nowhere else.

use std::fs;
use std::path::{Path, PathBuf};

use tests::{Pty, Ran, Run, World};

/// The program ends when this was answered.
const WAITS: &str = "Write it down, then press Enter: ";
const HEADING: &str = "Passphrase of the kit, shown only now:";

/// The passphrase on a screen that holds one.
fn shown(screen: &str) -> String {
    let after = screen.lines().skip_while(|line| !line.contains(HEADING)).nth(2);
    after.expect("a passphrase").trim().to_owned()
}

fn kit_in(out: &Path) -> PathBuf {
    fs::read_dir(out).unwrap().next().expect("a kit").unwrap().path()
}

fn opens(world: &World, kit: &Path, passphrase: &str) -> Ran {
    world.write("typed.txt", format!("{passphrase}\n"));
    world.on(world.ftd(1), &["verify", "--passphrase-file", "typed.txt"]).arg(kit).run()
}

fn build(world: &World, out: &Path, flags: &[&str]) -> Run {
    world.bundle(&["build", "--force", "--out"]).arg(out).args(flags)
}

#[test]
fn it_is_the_last_thing_on_the_screen_and_taken_off_it_when_it_was_written_down() {
    let world = World::new(1);
    let out = world.out();
    let mut pty = Pty::start(build(&world, &out, &["--generate-passphrase"]));
    pty.expect("Next\r\n");
    pty.expect(HEADING);
    pty.expect(WAITS);
    let passphrase = shown(&pty.screen());
    // the kit is there, whatever becomes of the terminal
    opens(&world, &kit_in(&out), &passphrase).expect(0);
    pty.type_line("");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    let (before, shown) = screen.split_once(&format!("\r\n{HEADING}")).unwrap();
    assert!(!before.contains(&passphrase) && shown.matches(&passphrase).count() == 1, "{screen}");
    // as many lines as were written since the report
    let (shown, after) = shown.split_once("\u{1b}[").unwrap();
    assert_eq!(after, format!("{}A\r\u{1b}[J", shown.lines().count() + 1), "{screen}");
}

#[test]
fn a_program_that_is_ended_while_it_waits_leaves_the_kit_and_what_opens_it() {
    let world = World::new(1);
    let out = world.out();
    let mut pty = Pty::start(build(&world, &out, &["--generate-passphrase"]));
    pty.expect(WAITS);
    let passphrase = shown(&pty.screen());
    pty.press("\x03");
    let (code, screen) = pty.end();
    assert_eq!(code, 130, "{screen}");
    opens(&world, &kit_in(&out), &passphrase).expect(0);
}

#[test]
fn an_empty_line_at_the_prompt_makes_one() {
    let world = World::new(1);
    let out = world.out();
    let mut pty = Pty::start(build(&world, &out, &[]));
    pty.expect("Passphrase for the kit (Enter makes one): ");
    pty.type_line("");
    pty.expect(WAITS);
    let passphrase = shown(&pty.screen());
    pty.type_line("");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    opens(&world, &kit_in(&out), &passphrase).expect(0);
    // handed on, with several kits under the new one
    let kit = kit_in(&out);
    let map = world.write("map.csv", format!("device,recipient\n*,{}\n", world.recipient()));
    let (next, map) = (world.out(), map.display().to_string());
    let run = world.bundle(&["handoff", "--recipient-map", &map, "--split"]);
    let run = run.arg("--passphrase-file").arg(world.path("typed.txt"));
    let run = run.args(["--generate-passphrase", "--json"]);
    let (code, screen) = Pty::start(run.arg("--out").arg(&next).arg(&kit)).end();
    assert_eq!(code, 0, "{screen}");
    let json = screen.split_once(HEADING).unwrap().0;
    assert!(json.contains("\"passphrase\": \"generated\""), "{screen}");
    opens(&world, &kit_in(&kit_in(&next)), &shown(&screen)).expect(0);
}

#[test]
fn nobody_is_waited_for_where_nobody_reads() {
    let world = World::new(1);
    let out = world.out();
    // on a descriptor, for a password safe
    let flags = ["--json", "--generate-passphrase", "--passphrase-out-fd", "3"];
    let line = format!("\"$@\" 3>'{}'", world.path("generated.txt").display());
    let run = || build(&world, &out, &flags).under(&["sh", "-ec", &line, "sh"]);
    let ran = run().run().expect(0);
    let generated = fs::read_to_string(world.path("generated.txt")).unwrap();
    assert!(generated.trim().len() >= 20, "too short to be strong");
    assert!(!ran.output().contains(generated.trim()), "never in JSON");
    assert_eq!(ran.json()["passphrase"], "generated");
    opens(&world, &kit_in(&out), generated.trim()).expect(0);
    let (code, screen) = Pty::start(run()).end();
    assert!(code == 0 && !screen.contains(HEADING), "{screen}");
    // at the terminal: a script that says so, and a program that reads along
    for flag in ["--yes", "--json"] {
        let run = build(&world, &out, &["--generate-passphrase", flag]);
        let (code, screen) = Pty::start(run).end();
        assert!(code == 0 && !screen.contains(WAITS), "{screen}");
        opens(&world, &kit_in(&out), &shown(&screen)).expect(0);
    }
    // in the background, where nobody could press Enter
    let words = build(&world, &out, &["--generate-passphrase"]).line();
    let line = format!("set -m; {words} & wait $!; echo \"exit $?\"");
    let (_, screen) = Pty::start(Run::new("bash").args(["-c", &line])).end();
    assert!(screen.contains("exit 0") && !screen.contains(WAITS), "{screen}");
    // without a terminal it cannot be shown, so nothing is made
    let empty = world.out();
    build(&world, &empty, &["--generate-passphrase"]).run().expect(2);
    assert!(fs::read_dir(&empty).unwrap().next().is_none());
}
