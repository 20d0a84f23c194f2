//! Passphrases as people say them on the phone, type them at a console and choose them.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use formats::seal::{NewIdentity, Passphrase};
use tests::{Kit, PASSPHRASE, Pty, Ran, Run, World, refused};

fn opens(world: &World, kit: &Kit, passphrase: &str) -> bool {
    world.write("typed.txt", passphrase);
    let run = world.on(world.ftd(1), &["verify", "--passphrase-file", "typed.txt"]);
    let ran = run.arg(&kit.path).run();
    match ran.code() {
        Some(0) => true,
        Some(3) if ran.output().contains("cannot-open") => false,
        _ => ran.fail("neither opened nor refused"),
    }
}

/// A build with a passphrase file of this content, into a folder of its own.
fn build(world: &World, passphrase: &str, flags: &[&str]) -> Ran {
    world.write("chosen.txt", passphrase);
    let run = world.bundle(&["build", "--json", "--passphrase-file", "chosen.txt"]).args(flags);
    run.arg("--out").arg(world.out()).run()
}

fn kit_of(ran: &Ran) -> Kit {
    Kit { path: ran.json()["kit"].as_str().unwrap().into() }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn a_generated_one_is_taken_however_it_is_said_and_the_prompt_tells_its_form() {
    let world = World::new(1);
    let out = world.out();
    let build = ["build", "--generate-passphrase", "--passphrase-out-fd", "3", "--json", "--out"];
    let to_file = ["sh", "-c", "exec \"$@\" 3>generated.txt", "sh"];
    let kit = kit_of(&world.bundle(&build).arg(&out).under(&to_file).run().expect(0));
    let generated = fs::read_to_string(world.path("generated.txt")).unwrap().trim().to_owned();
    let words: Vec<&str> = generated.split('-').collect();
    assert_eq!(words.len(), 6);
    for said in [
        words.concat(),
        words.join(" ").to_uppercase(),
        format!("\t {} ", words.join("  ")),
        words.join(" - "),
        words.join("\u{2013}"),
        generated.chars().map(|c| format!("{c} ")).collect(),
        format!("{}-\n{}\n", words[..3].join("-"), words[3..].join("-")),
        generated.replace('o', "0").replace(['l', 'i'], "1"),
    ] {
        assert!(opens(&world, &kit, &said), "{said}");
    }
    assert!(!opens(&world, &kit, &words[1..].concat()));
    let mut pty = Pty::start(world.on(world.ftd(1), &["verify"]).arg(&kit.path));
    pty.expect("six words of five letters");
    pty.expect("Passphrase for");
    pty.type_line(&words.join(" ").to_uppercase());
    assert_eq!(pty.end().0, 0);
    // pasted out of a mail that was broken in the middle
    let mut pty = Pty::start(world.on(world.ftd(1), &["verify"]).arg(&kit.path));
    pty.expect("Passphrase for");
    pty.type_line(&format!("{}-\n{}", words[..3].join("-"), words[3..].join("-")));
    assert_eq!(pty.end().0, 0);
}

#[test]
fn one_that_a_person_chose_keeps_its_case_and_blanks_inside() {
    let world = World::new(1);
    let kit = kit_of(&build(&world, "Four words  and more\n", &[]).expect(0));
    assert!(opens(&world, &kit, " Four words  and more\u{a0}"));
    for other in ["four words  and more", "Four words and more", "Fourwordsandmore"] {
        assert!(!opens(&world, &kit, other), "{other}");
    }
}

#[test]
fn what_nobody_sees_is_no_part_of_one() {
    let world = World::new(1);
    let strong = "a strong one, 42 characters";
    for file in [format!("{strong} \r\n"), format!("\u{a0}{strong}\t\n")] {
        let ran = build(&world, &file, &[]).expect(0).says("begins or ends with blanks");
        assert!(opens(&world, &kit_of(&ran), strong));
    }
    build(&world, &format!("\u{feff}{strong}\r\n"), &[]).expect(0).never_says("blanks");
    for c in ['\u{200b}', '\u{a0}', '\t', '\u{1b}', '\u{202e}', '\u{ad}'] {
        let ran = build(&world, &format!("a strong{c}one, 42"), &["--accept-unusual"]).expect(2);
        ran.says("invisible character").says(&format!("U+{:04X}", u32::from(c)));
    }
    for empty in ["", "\n", " \u{a0}\r\n", "\u{feff}\n"] {
        build(&world, empty, &[]).expect(2).says("the passphrase is empty");
    }
}

#[test]
fn one_beyond_ascii_needs_consent_and_opens_composed_and_decomposed() {
    let world = World::new(1);
    let [composed, decomposed] = ["Gr\u{fc}ne Wiesen 1984", "Gru\u{308}ne Wiesen 1984"];
    for chosen in [composed, decomposed] {
        build(&world, chosen, &[]).expect(2).says("serial console").says("--accept-unusual");
        let kit = kit_of(&build(&world, chosen, &["--accept-unusual"]).expect(0));
        assert!(opens(&world, &kit, composed) && opens(&world, &kit, decomposed));
        assert!(!opens(&world, &kit, "Grune Wiesen 1984"));
    }
    // handed off alike
    world.write("chosen.txt", composed);
    let kit = world.kit(&[]);
    let handoff = |flags: &[&str]| {
        let run = world.bundle(&["handoff", "--new-passphrase-file", "chosen.txt"]).args(flags);
        run.args(["--identity", "identity.txt", "--out"]).arg(world.out()).arg(&kit.path).run()
    };
    handoff(&[]).expect(2).says("--accept-unusual");
    handoff(&["--accept-unusual"]).expect(0);
}

/// Such kits exist: until now a kit was sealed with what was typed.
#[test]
fn kits_sealed_with_what_was_typed_still_open() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let sums = kit.path.join("SHA256SUMS");
    let identity = NewIdentity::generate();
    let signer = world.signer().parse().unwrap();
    let generated = Passphrase::generated(b"twelve bytes").expose().to_uppercase();
    for typed in ["secret \u{a0}", "\u{feff}secret", "a\u{200b}b", "Gru\u{308}n", &generated] {
        let file = identity.protect(&Passphrase::new(typed.to_owned()), signer).unwrap();
        fs::write(world.path("old.age"), file).unwrap();
        world.write("typed.txt", typed);
        let run = world.bundle_program(&["verify", "--identity", "old.age", "--passphrase-file"]);
        // it opens none of that kit's bundles; that it was opened is what counts here
        let ran = run.arg("typed.txt").args(["--signer", &world.signer()]).arg(&kit.path).run();
        ran.expect(3).says("none of the given identities");
    }
    assert!(sums.exists());
}

fn at_terminal(world: &World, out: &Path) -> Run {
    world.bundle(&["build"]).arg("--out").arg(out)
}

#[test]
fn two_that_differ_are_asked_for_again_three_times() {
    let world = World::new(1);
    let out = world.out();
    let mut pty = Pty::start(at_terminal(&world, &out));
    for (first, second) in
        [(PASSPHRASE, "another"), ("an \u{fc}nusual one", ""), (PASSPHRASE, PASSPHRASE)]
    {
        pty.expect("Passphrase for the kit (Enter makes one): ");
        pty.type_line(first);
        if first == PASSPHRASE {
            pty.expect("The same again: ");
            pty.type_line(second);
        }
        if second != PASSPHRASE {
            pty.expect("Try again.");
        }
    }
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(PASSPHRASE), "it must not be shown");

    let out = world.out();
    let mut pty = Pty::start(at_terminal(&world, &out));
    for _ in 0..3 {
        pty.expect("Passphrase for the kit (Enter makes one): ");
        pty.type_line(PASSPHRASE);
        pty.expect("The same again: ");
        pty.type_line("another");
    }
    let (code, screen) = pty.end();
    assert_eq!(code, 2, "{screen}");
    assert!(screen.contains("the two passphrases differ"), "{screen}");
    assert!(is_empty(&out), "something was made");
}

#[test]
fn a_weak_one_is_questioned_before_the_kit_is_made() {
    let world = World::new(1);
    let out = world.out();
    let mut pty = Pty::start(at_terminal(&world, &out));
    let weak = |pty: &mut Pty, answer: &str| {
        for prompt in ["Passphrase for the kit (Enter makes one): ", "The same again: "] {
            pty.expect(prompt);
            pty.type_line("secret");
        }
        pty.expect("is weak");
        pty.expect("Type 'yes'");
        assert!(is_empty(&out), "made before the answer");
        pty.type_line(answer);
    };
    weak(&mut pty, "no");
    weak(&mut pty, "yes");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!is_empty(&out));
    // a script is warned
    build(&world, "secret\n", &[]).expect(0).says("the passphrase is weak");
}

#[test]
fn an_identity_from_a_pipe_opens_several_kits() {
    let world = World::new(1);
    let kits = [world.kit(&[]), world.kit(&[])];
    let identity = world.identity();
    let signer = world.signer();
    let verify = || {
        let run = world.bundle_program(&["verify", "--signer", &signer, "--identity"]);
        (run, kits.each_ref().map(|kit| &kit.path))
    };
    let (run, kits) = verify();
    run.arg("-").args(kits).stdin(identity).run().expect(0);
    let (run, kits) = verify();
    let pipe = ["sh", "-c", "cat identity.txt | \"$@\"", "sh"];
    run.arg("/dev/stdin").args(kits).under(&pipe).run().expect(0);
}

#[test]
fn an_identity_and_a_passphrase_open_the_kits_that_each_is_for() {
    let world = World::new(1);
    let kits = [world.kit(&[]), world.passphrase_kit()];
    let open = ["--identity", "identity.txt", "--passphrase-file", "passphrase.txt"];
    let run = world.bundle(&["verify"]).args(open).args(kits.each_ref().map(|kit| &kit.path));
    run.run().expect(0);
    // one that is for neither is in nobody's way
    world.write("other.txt", "for something else\n");
    let run = world.bundle(&["verify", "--identity", "identity.txt", "--passphrase-file"]);
    run.arg("other.txt").arg(&kits[0].path).run().expect(0);
}

/// A password safe on the machine: `--passphrase-command 'pass show kit'`.
#[test]
fn a_command_gives_one_in_both_programs() {
    let world = World::new(1);
    // what it leaves running keeps its output open
    let prints =
        "sleep 60 2>&- & echo 'unlocking the safe' >&2; cat passphrase.txt; echo a comment";
    let out = world.out();
    let run = world.bundle(&["build", "--json", "--passphrase-command", prints, "--out"]);
    let begun = Instant::now();
    let ran = run.arg(&out).run().expect(0).says("unlocking the safe");
    assert!(begun.elapsed() < Duration::from_secs(50), "it waited for what was left running");
    assert_eq!(ran.json()["passphrase"], "given");
    let kit = kit_of(&ran);
    assert!(opens(&world, &kit, PASSPHRASE));
    let on_device = |command: &str| {
        world.on(world.ftd(1), &["verify", "--passphrase-command", command]).arg(&kit.path)
    };
    on_device("cat passphrase.txt").run().expect(0);
    on_device("echo another").run().expect(3).says("cannot-open");
    let new = ["handoff", "--passphrase-file", "passphrase.txt", "--new-passphrase-command"];
    let handoff = |command: &str, out: &Path| {
        world.bundle(&new).arg(command).arg("--out").arg(out).arg(&kit.path)
    };
    handoff("echo one that nobody guesses, of the next team", &world.out()).run().expect(0);
    let nothing = world.out();

    for (failing, how) in [
        ("cat passphrase.txt; exit 7", "exit status: 7"),
        ("cat passphrase.txt; kill -TERM $$", "signal: 15"),
        ("no-such-program", "exit status: 127"),
    ] {
        // what it printed is one of the secrets that no run may show
        refused(on_device(failing), "no-passphrase").says(how).says("run that command by itself");
        let build = world.bundle(&["build", "--passphrase-command", failing, "--out"]);
        refused(build.arg(&nothing), "no-passphrase").says(how);
        refused(handoff(failing, &nothing), "no-passphrase").says(how);
    }
    on_device("true").run().expect(2).says("the passphrase is empty");
    let two = ["--passphrase-file", "passphrase.txt"];
    on_device("true").args(two).run().expect(2).says("cannot be used with");
    assert!(is_empty(&nothing));
}

#[test]
fn a_command_that_takes_its_time_is_ended_by_ctrl_c() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let slow = "trap 'echo stopped >&2; exit' INT; echo waiting >&2; while :; do sleep 0.1; done";
    let run = world.on(world.ftd(1), &["install", "--passphrase-command", slow]).arg(&kit.path);
    let line = format!("trap : INT; {}; echo \"exit $?\"", run.line());
    let mut pty = Pty::start(Run::new("sh").args(["-c", &line]));
    pty.expect("waiting");
    pty.press("\x03");
    pty.expect("exit 130");
    assert_eq!(pty.end().0, 0);
}
