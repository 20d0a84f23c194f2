//! `docs/session.md`: the journey at a terminal of 80x24, as an operator sees it. Made anew each
//! time, and compared without what differs from run to run; `SNAPSHOTS=overwrite` writes it.

use std::fs;
use std::path::Path;

use regex::Regex;
use snapbox::assert::{Action, DEFAULT_ACTION_ENV};
use tests::{Pty, Run, World, program};

use super::documented::{SHOWN_PASSPHRASE, as_on_a_box, names, path};
use super::forms::normalised;

const FMC: &str = "fmc:~/sftunnel-airgap";
const DOCUMENT: &str = "docs/session.md";
const HEAD: &str = "# A session

The way with a stick and a passphrase, recorded by a test at a terminal of 80 columns and 24 lines: on the FMC,
on a device, and back at the FMC. What the operator types stands between « and ».
";

/// An answer: the prompt that it waits for, what is typed, and how the record shows it.
type Answer<'a> = (&'a str, &'a str, &'a str);

/// Runs a command at the terminal; gives the screen, with what was typed marked.
#[track_caller]
fn at_the_terminal(run: Run, answers: &[Answer<'_>]) -> String {
    let sized = "stty rows 24 cols 80; exec \"$@\"";
    let run = run.under(&["env", "TERM=dumb", "NO_COLOR=1", "sh", "-c", sized, "sh"]);
    let mut pty = Pty::start(run);
    let mut marks = Vec::new();
    for (prompt, typed, shown) in answers {
        pty.expect(prompt);
        marks.push((pty.screen().len(), *typed, *shown));
        pty.type_line(typed);
    }
    let (code, mut screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    for (at, typed, shown) in marks.into_iter().rev() {
        // a hidden answer has no echo
        let echo = if screen[at..].starts_with(typed) { typed.len() } else { 0 };
        screen.replace_range(at..at + echo, &format!("«{shown}»"));
    }
    screen.replace('\r', "")
}

/// Without seconds, and without the lines that count them on a slow machine.
fn comparable(text: &str) -> String {
    let counting = Regex::new(r"(?m)^.*: [0-9]+ s of [0-9]+\n").unwrap();
    let text = counting.replace_all(text, "");
    let seconds = Regex::new(r"\b[0-9]+(\.[0-9]+)? (s|ms)\b").unwrap();
    normalised(&seconds.replace_all(&text, "<n> s"))
}

#[test]
fn the_recorded_session_is_what_an_operator_sees() {
    let world = World::of(names()).start();
    let (device, fmc) = (world.ftd(1), world.fmc());
    world.lab.devices.iter().for_each(|device| world.down(device, fmc));
    let usb = world.path("usb");
    fs::create_dir(&usb).unwrap();
    let installer = program("sftunnel-install").display().to_string();
    let flags = ["build", "--generate-passphrase", "--installer", &installer, "--out"];
    let mut parts = vec![
        (FMC, "./sftunnel-bundle plan", at_the_terminal(world.bundle(&["plan"]), &[])),
        (
            FMC,
            "./sftunnel-bundle build --generate-passphrase --out /mnt/usb",
            at_the_terminal(world.bundle(&flags).arg(&usb), &[("press Enter: ", "", "Enter")]),
        ),
    ];
    let kit = fs::read_dir(&usb).unwrap().next().unwrap().unwrap().path();
    let passphrase = parts[1].2.lines().skip_while(|line| !line.contains("only now:")).nth(2);
    let passphrase = passphrase.expect("the passphrase").trim().to_owned();
    let root = device.root.to_str().unwrap();
    let script = Run::new("sh").arg(kit.join("install.sh")).args(["--root", root, "--settle", "1"]);
    let hidden = "the passphrase, not shown";
    let answers = [("assphrase", passphrase.as_str(), hidden), ("Type 'yes'", "yes", "yes")];
    let command = "cd /mnt/usb/sftunnel-kit-* && sh install.sh";
    parts.push(("firepower:~", command, at_the_terminal(script, &answers)));
    world.up(device, fmc);
    let receipts = at_the_terminal(world.bundle(&["receipts"]).arg(&kit), &[]);
    parts.push((FMC, "./sftunnel-bundle receipts /mnt/usb/sftunnel-kit-*", receipts));

    let mut text = HEAD.to_owned();
    for (host, command, screen) in parts {
        let screen = as_on_a_box(&world, &screen.replace(&passphrase, SHOWN_PASSPHRASE));
        let lines: Vec<&str> = screen.lines().map(str::trim_end).collect();
        let screen = lines.join("\n");
        let screen = screen.trim_end();
        text.push_str(&format!("\n```\nroot@{host}# «{command}»\n{screen}\n```\n"));
    }
    let document = path(DOCUMENT);
    if matches!(Action::with_env_var(DEFAULT_ACTION_ENV), Some(Action::Overwrite)) {
        write_if_different(&document, &text);
    }
    let recorded = fs::read_to_string(&document).unwrap_or_default();
    assert_eq!(comparable(&recorded), comparable(&text), "SNAPSHOTS=overwrite records it anew");
}

/// The ids of a run alone are no change.
fn write_if_different(document: &Path, text: &str) {
    let recorded = fs::read_to_string(document).unwrap_or_default();
    if comparable(&recorded) != comparable(text) {
        fs::write(document, text).unwrap();
    }
}
