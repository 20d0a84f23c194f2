//! A text that is pasted at root's prompt, on a box with a shell, `openssl` and nothing of ours.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tests::{Pty, Run, World};

mod refusals;

/// As `sftunnel-bundle` makes them: six words of five letters.
const SIX_WORDS: &str = "babad-dabab-gabab-habab-kabab-lusab";
const PASSPHRASE: &str = "\nPassphrase (is not shown): ";
const QUESTION: &str = "\nType yes to go on: ";
/// The shells of boxes, each with what it takes to be one that people type at.
const SHELLS: [&[&str]; 3] =
    [&["dash", "-i"], &["bash", "--norc", "-i"], &["busybox", "ash", "-i"]];

/// The text for the first device.
fn text(world: &World) -> String {
    let passphrase = world.write("six-words.txt", SIX_WORDS);
    let device = &world.ftd(1).uuid;
    let run = world.bundle(&["paste", device, "--text-passphrase-file"]).arg(passphrase);
    run.run().expect(0).stdout
}

/// Root's prompt on the first device.
fn prompt(world: &World, shell: &[&str], path: &str) -> Pty {
    let root = world.ftd(1).root.display();
    let set = [
        format!("SFTUNNEL_ROOT={root}"),
        "SFTUNNEL_SETTLE=0".to_owned(),
        "PS1=box# ".to_owned(),
        format!("PATH={path}"),
    ];
    let mut pty = Pty::start(Run::new("env").args(set).args(shell));
    pty.expect("box# ");
    pty
}

fn path() -> String {
    std::env::var("PATH").unwrap()
}

/// Pastes, gives the passphrase and says yes; gives all that was shown.
fn paste(world: &World, shell: &[&str], text: &str) -> String {
    let mut pty = prompt(world, shell, &path());
    pty.press(text);
    pty.expect(PASSPHRASE);
    pty.type_line(SIX_WORDS);
    pty.expect(QUESTION);
    pty.type_line("yes");
    pty.expect("\nDone: ");
    pty.type_line("exit");
    pty.end().1
}

#[test]
fn a_box_with_nothing_of_ours_is_up_after_a_paste_and_goes_back_in_two_ways() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let (old, new) = (world.files(device, fmc), world.new_files(device, fmc));
    let text = text(&world);
    for shell in SHELLS {
        let screen = paste(&world, shell, &text);
        assert!(world.files(device, fmc) == new, "{shell:?}: {screen}");
        assert!(!screen.contains(SIX_WORDS), "{shell:?}: {screen}");
        world.up(device, fmc);
        world.on(device, &["backups", "verify"]).run().expect(0);
        world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
        assert!(world.files(device, fmc) == old, "{shell:?}");
        world.down(device, fmc);
    }
    let screen = paste(&world, SHELLS[0], &text);
    let (_, undo) = screen.rsplit_once("Undo: ").unwrap();
    let mut pty = prompt(&world, SHELLS[0], &path());
    pty.type_line(undo.lines().next().unwrap());
    pty.expect(QUESTION);
    pty.type_line("yes");
    pty.expect("\nDone: ");
    assert!(world.files(device, fmc) == old);
    world.down(device, fmc);
}

#[test]
fn only_lines_that_were_lost_or_damaged_are_pasted_again() {
    let world = World::started(1);
    let text = text(&world);
    let line = |number: usize| {
        let is_it = |line: &&str| line.starts_with(&format!("#{number:03} "));
        format!("{}\n", text.lines().find(is_it).unwrap())
    };
    let spoiled = text
        .replace(&line(41), "")
        .replace(&line(42), "")
        .replace(&line(77), &line(77).replace('\n', "x\n"))
        .replace(&line(60), &line(60).repeat(2))
        .replace(&format!("{}{}", line(90), line(91)), &format!("{}{}", line(91), line(90)));
    let mut pty = prompt(&world, SHELLS[1], &path());
    pty.press(&spoiled);
    pty.expect("\nMissing or damaged: lines 41-42 77.");
    pty.expect("a line with : alone.");
    pty.press(&format!("{}{}:\n", line(42), line(77)));
    pty.expect("\nMissing or damaged: lines 41.");
    pty.expect("a line with : alone.");
    pty.press(&format!("{}:\n", line(41)));
    pty.expect(PASSPHRASE);
    // the part that looks for such lines can be hit as well
    let mut pty = prompt(&world, SHELLS[0], &path());
    pty.press(&text.replace(&line(7), ""));
    pty.expect("Paste lines 1-");
    pty.expect("a line with : alone.");
    let checker = text.lines().filter(|line| line.starts_with('#')).take(60);
    pty.press(&format!("{}\n:\n", checker.collect::<Vec<_>>().join("\n")));
    pty.expect(PASSPHRASE);
}

#[test]
fn what_a_box_must_not_take_changes_nothing() {
    let world = World::started(2);
    let text = text(&world);
    let before = world.snapshot(world.ftd(1));
    let mut pty = prompt(&world, SHELLS[0], &path());
    pty.press(&text);
    for _ in 0..3 {
        pty.expect(PASSPHRASE);
        pty.type_line("dabab-dabab-gabab-habab-kabab-lusab");
    }
    pty.expect("refused (cannot-open)");
    pty.press(&text);
    pty.expect(PASSPHRASE);
    pty.type_line(SIX_WORDS);
    pty.expect(QUESTION);
    pty.type_line("no");
    pty.expect("refused (not-confirmed)");
    drop(pty);
    let state = |path: &str| path.contains("sftunnel-airgap");
    let changed = before.differences(&world.snapshot(world.ftd(1)));
    assert!(changed.iter().all(|path| state(path)), "{changed:?}");
    // another device's text
    let root = world.ftd(2).root.display();
    let set = [format!("SFTUNNEL_ROOT={root}"), "PS1=box# ".to_owned()];
    let mut pty = Pty::start(Run::new("env").args(set).args(SHELLS[0]));
    pty.expect("box# ");
    pty.press(&text);
    pty.expect("refused (wrong-device)");
    // a passphrase that somebody made up
    let made_up = world.write("made-up.txt", "correct horse battery staple");
    let run = world.bundle(&["paste", &world.ftd(1).uuid, "--text-passphrase-file"]).arg(made_up);
    run.run().expect(2).says("generated");
}

/// A `mv` that ends the whole run, as a power cut does, in place of the second live file.
fn deadly_mv(world: &World) -> String {
    let folder = world.path("deadly");
    fs::create_dir(&folder).unwrap();
    let script = "#!/bin/sh\ncase $* in *sftunnel-cert.pem)\nread -r _ _ _ _ group _ </proc/$$/stat\nkill -9 -\"$group\" ;; esac\nexec /bin/mv \"$@\"\n";
    let mv = folder.join("mv");
    fs::write(&mv, script).unwrap();
    fs::set_permissions(&mv, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), path())
}

/// Ends between two renames.
fn cut_off(world: &World, text: &str, path: &str) {
    let mut pty = prompt(world, SHELLS[0], path);
    pty.press(text);
    pty.expect(PASSPHRASE);
    pty.type_line(SIX_WORDS);
    pty.expect(QUESTION);
    pty.type_line("yes");
    pty.expect("Killed");
    let state = world.ftd(1).root.join("var/sf/sftunnel-airgap");
    assert!(Path::new(&state.join("journal")).is_file());
}

#[test]
fn cut_off_between_two_renames_it_ends_all_new_or_all_old() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let (old, new) = (world.files(device, fmc), world.new_files(device, fmc));
    let (text, deadly) = (text(&world), deadly_mv(&world));
    let is_mixed = || ![&old, &new].contains(&&world.files(device, fmc));
    cut_off(&world, &text, &deadly);
    assert!(is_mixed());
    let screen = paste(&world, SHELLS[0], &text);
    assert!(screen.contains("An earlier run was cut off."), "{screen}");
    assert!(world.files(device, fmc) == new);
    world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    cut_off(&world, &text, &deadly);
    assert!(is_mixed());
    world.on(device, &["recover", "--settle", "0"]).run().expect(0);
    assert!(world.files(device, fmc) == old);
}
