//! A passphrase prompt that is ended, stopped and continued: the echo is never lost, and what
//! is typed never shown.

use std::fs;
use std::path::Path;

use tests::{Case, PASSPHRASE, Pty, Run, World, running, tool, wait_until};

/// These words to a shell, at the moment when the run in them has asked for its passphrase.
fn asked(shell: &[&str], words: &str) -> Pty {
    let mut pty = Pty::start(tool(shell[0], shell[0]).args(&shell[1..]).arg(words));
    pty.expect("Passphrase for");
    pty
}

const SCRIPT: &[&str] = &["sh", "-c"];
/// As with a person at it: whoever stops or ends, the terminal is the shell's, and has its modes.
const INTERACTIVE: &[&str] = &["bash", "--norc", "-ic"];

/// Whether `stty -a`, as it was shown last, has the echo on.
fn has_echo(screen: &str) -> bool {
    screen.rsplit("speed ").next().unwrap().split_whitespace().any(|word| word == "echo")
}

/// A box, and a kit that asks for its passphrase.
fn asking() -> Case {
    Case::of(World::new(1), World::passphrase_kit)
}

fn install(case: &Case, flag: &str) -> Run {
    case.on(&["install", flag]).arg(&case.kit.path)
}

fn dry_run(case: &Case) -> Run {
    install(case, "--dry-run")
}

/// The installer at work.
fn installer(case: &Case) -> Option<u32> {
    running(Path::new("sftunnel-install"), case.device().root.as_os_str())
}

/// Types the passphrase and waits until scrypt is at work, which takes 256 MiB and a second.
fn type_and_let_it_derive(case: &Case, pty: &mut Pty) {
    pty.type_line(PASSPHRASE);
    let pages = |pid: u32| -> Option<u64> {
        let sizes = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
        sizes.split(' ').nth(1)?.parse().ok()
    };
    wait_until(|| installer(case).and_then(pages).is_some_and(|pages| pages > 16 * 1024));
}

/// A shell gives its terminal back the echo when a program of its own is killed, but nobody does
/// for a program that a script started.
#[test]
fn ctrl_c_at_a_passphrase_prompt_leaves_the_terminal_its_echo() {
    let case = asking();
    let script = Run::new("sh").arg(case.kit.path.join("install.sh")).arg("--root");
    let script = script.arg(&case.device().root).arg("--dry-run");
    let install = install(&case, "--yes");
    let build = case.world.bundle(&["build"]).arg("--out").arg(case.world.out());
    let words = |run: &Run| format!("trap : INT QUIT; {}; echo \"exit $?\"; stty -a", run.line());
    let ends = |mut pty: Pty, key: &str, code: i32| {
        pty.press(key);
        let (_, screen) = pty.end();
        assert!(screen.contains(&format!("exit {code}")), "{screen}");
        assert!(has_echo(&screen), "{screen}");
    };
    for run in [&script, &install, &build] {
        for (key, code) in [("\x03", 130), ("\x1c", 131)] {
            ends(asked(SCRIPT, &words(run)), key, code);
        }
    }
    // while the key is derived
    let mut pty = asked(SCRIPT, &words(&install));
    type_and_let_it_derive(&case, &mut pty);
    ends(pty, "\x03", 130);
}

#[test]
fn ctrl_z_at_a_passphrase_prompt_gives_the_echo_back_for_as_long_as_it_lasts() {
    let case = asking();
    let words = format!("set -m; {}; stty -a; echo stopped; fg; stty -a", dry_run(&case).line());
    let mut pty = asked(&["bash", "-c"], &words);
    pty.press("\x1a");
    pty.expect("stopped");
    assert!(has_echo(&pty.screen()), "{}", pty.screen());
    pty.expect("Passphrase for");
    pty.type_line(PASSPHRASE);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(PASSPHRASE), "it must not be shown");
    assert!(has_echo(&screen), "{screen}");
}

/// The script is stopped at once, and has the terminal taken away; what was noted meanwhile must
/// not stop the program once more when both go on.
#[test]
fn ctrl_z_while_the_key_is_derived_stops_script_and_program_once() {
    let case = asking();
    let script = format!("sh -c \"{}; exit \\$?\"", dry_run(&case).line());
    let words = format!("{script}; stty -a; echo stopped; fg; echo \"exit $?\"; stty -a");
    let mut pty = asked(INTERACTIVE, &words);
    type_and_let_it_derive(&case, &mut pty);
    pty.press("\x1a");
    pty.expect("stopped");
    assert!(has_echo(&pty.screen()), "{}", pty.screen());
    let (_, screen) = pty.end();
    assert!(screen.contains("exit 0"), "{screen}");
    assert!(has_echo(&screen), "{screen}");
}

/// The shell has put its own modes meanwhile.
#[test]
fn a_prompt_that_somebody_else_stopped_hides_and_asks_again() {
    let case = asking();
    let words = format!("{}; echo stopped; fg; echo \"exit $?\"; stty -a", dry_run(&case).line());
    let mut pty = asked(INTERACTIVE, &words);
    let pid = installer(&case).unwrap().to_string();
    Run::new("kill").args(["-STOP", &pid]).run().expect(0);
    pty.expect("stopped");
    pty.expect("Passphrase for");
    pty.type_line(PASSPHRASE);
    let (_, screen) = pty.end();
    assert!(screen.contains("exit 0"), "{screen}");
    assert!(!screen.contains(PASSPHRASE), "it must not be shown");
    assert!(has_echo(&screen), "{screen}");
}

/// `ssh -t box sftunnel-install …`: there is no shell that could say `fg`, and the kernel drops
/// Ctrl-Z.
#[test]
fn ctrl_z_stops_no_prompt_that_nobody_could_continue() {
    let case = asking();
    let mut pty = Pty::start(dry_run(&case));
    pty.expect("Passphrase for");
    pty.press("\x1a");
    pty.type_line(PASSPHRASE);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
}

#[test]
fn a_prompt_in_the_background_can_be_ended_there() {
    let case = asking();
    let until = |what: &str| format!("{what} jobs -s | grep -q install; do sleep 0.05; done");
    let (stopped, gone) = (until("until"), until("while"));
    // a `wait` for a job that bash has for stopped is over at once, whatever it was just sent
    let ends = format!("{stopped}; kill %1; {gone}; wait $!; echo \"exit $?\"");
    let words = format!("{}& {ends}", dry_run(&case).line());
    let pty = Pty::start(tool("bash", "bash").args(INTERACTIVE[1..].iter()).arg(&words));
    let (_, screen) = pty.end();
    assert!(screen.contains("exit 143"), "{screen}");
}

/// Below a shell in a container that was started from outside; its group has no number there.
#[test]
fn a_prompt_in_a_process_namespace_of_its_own_is_answered() {
    let case = asking();
    let mut pty = Pty::start(dry_run(&case).in_a_namespace());
    pty.expect("Passphrase for");
    pty.type_line(PASSPHRASE);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
}
