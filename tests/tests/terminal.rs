//! Questions, prompts, and who vouches by answering them: at a pseudo-terminal.

mod generated;
mod jobs;
mod paste;
mod question;
mod steps;

use lab::{LabSpec, ManagerSpec};
use tests::{PASSPHRASE, Pty, World, refused};

#[test]
fn a_person_says_yes_to_signer_and_plan() {
    let world = World::started(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let identity = world.path("identity.txt").display().to_string();
    let install =
        || world.on(device, &["install", "--settle", "1", "--identity", &identity]).arg(&kit.path);
    let before = world.snapshot(device);

    // anything but the whole word is a no
    let mut pty = Pty::start(install());
    pty.expect(&world.signer());
    // as it is read aloud, whole on two lines of the screen
    for line in spoken(&world) {
        pty.expect(&line);
    }
    pty.expect("Type 'yes'");
    pty.type_line("ok");
    assert_eq!(pty.end().0, 3);
    let verify = || world.on(device, &["verify", "--identity", &identity]).arg(&kit.path);
    let mut pty = Pty::start(verify());
    pty.expect("Type 'yes'");
    pty.type_line("yes");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    // a program reads along: it is not asked
    let (code, screen) = Pty::start(verify().arg("--json")).end();
    assert_eq!(code, 3, "{screen}");
    assert!(!screen.contains("Type 'yes'"), "{screen}");
    let mut pty = Pty::start(install());
    pty.expect("Type 'yes'");
    pty.type_line("yes");
    pty.expect("Go on? Type 'yes'");
    pty.type_line("no");
    let (code, screen) = pty.end();
    assert_eq!(code, 3, "{screen}");
    assert!(screen.contains("not-confirmed"), "{screen}");
    assert_eq!(before.differences(&world.snapshot(device)), Vec::<String>::new());

    let mut pty = Pty::start(install());
    pty.expect("Type 'yes'");
    pty.type_line("yes");
    pty.expect("Go on? Type 'yes'");
    pty.type_line("yes");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    world.up(device, world.fmc());
    // confirmed once, pinned from then on
    world.on(device, &["signers", "list"]).run().expect(0).says(&world.signer());
    let mut pty = Pty::start(world.on(device, &["rollback", "--settle", "1"]));
    pty.expect("Go on? Type 'yes'");
    pty.type_line("yes");
    assert_eq!(pty.end().0, 0);
    let mut pty = Pty::start(install());
    pty.expect("pinned on this box");
    pty.expect("Go on? Type 'yes'");
    pty.type_line("yes");
    assert_eq!(pty.end().0, 0);
}

/// `y` for `yes` at three in the morning. The rules stay: asked anew, with the input emptied.
#[test]
fn a_slip_at_a_question_is_asked_about_again_and_no_third_time() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let identity = world.path("identity.txt").display().to_string();
    let verify = || world.on(world.ftd(1), &["verify", "--identity", &identity]).arg(&kit.path);
    for (answers, code) in [
        (&["y", "yes"][..], 0),
        (&["'yes'", "yess", "YES"], 0),
        (&["y", "no"], 3),
        (&["y", ""], 3),
        (&["y", "y", "y"], 3),
    ] {
        let mut pty = Pty::start(verify());
        pty.expect("Is it the same? Type 'yes' to go on: ");
        pty.type_line(answers[0]);
        for answer in &answers[1..] {
            pty.expect("Type the whole word 'yes', or 'no' to stop: ");
            pty.type_line(answer);
        }
        let (ended, screen) = pty.end();
        assert_eq!(ended, code, "{answers:?}: {screen}");
    }
    // typed ahead of the second question: it is asked all the same
    let mut pty = Pty::start(verify());
    pty.expect("Type 'yes' to go on: ");
    pty.press("y\nyes\nyes\n");
    pty.expect("Type the whole word");
    std::thread::sleep(std::time::Duration::from_millis(300));
    pty.type_line("no");
    let (code, screen) = pty.end();
    assert_eq!(code, 3, "{screen}");
}

/// The fingerprint in the form that people read aloud.
fn spoken(world: &World) -> [String; 2] {
    world.signing_key().verifying_key().unwrap().fingerprint().spoken_lines()
}

#[test]
fn a_fingerprint_that_was_read_aloud_names_pins_and_removes_a_signer() {
    let world = World::new(1);
    let (device, manager) = (world.ftd(1), &world.fmc().uuid);
    let kit = world.kit(&[]);
    let spoken = spoken(&world);
    let typed = format!(" {}\n{} ", spoken[0].to_uppercase(), spoken[1]);
    let install = |flags: &[&str]| {
        let run = world.on(device, &["install", "--dry-run", "--identity", "identity.txt"]);
        run.args(flags).arg(&kit.path).run()
    };
    let dry_run = install(&["--signer", &typed]).expect(0).says("named with --signer");
    for line in [&world.signer(), &spoken[0], &spoken[1]] {
        assert!(dry_run.stdout.lines().any(|shown| shown.trim_end().ends_with(line)), "{line}");
    }
    let cut = &typed[..typed.len() - 2];
    install(&["--signer", cut]).expect(2).says("here are 63");
    world.bundle_program(&["verify", "--signer", &typed]).arg(&kit.path).run().expect(0);

    // pinned before the first bundle has come: the key itself is learnt with that
    let pins = |args: &[&str]| {
        let ran = world.on(device, &[&["signers"], args, &["--json"]].concat()).run().expect(0);
        ran.json()["managers"].clone()
    };
    let added = pins(&["add", "--manager", manager, &typed]);
    assert_eq!(added[0]["signers"][0]["key"]["public_key"], serde_json::Value::Null);
    assert_eq!(added[0]["signers"][0]["key"]["fingerprint"], world.signer());
    install(&[]).expect(0).says("pinned on this box");
    let listed = world.on(device, &["signers", "list"]).run().expect(0);
    listed.says(&world.signer()).says(&spoken[0]).says(&spoken[1]);
    // the pin alone vouches
    let plain = ["install", "--yes", "--settle", "1", "--identity", "identity.txt"];
    world.on(device, &plain).arg(&kit.path).run().expect(0).says("pinned on this box");
    let learnt = pins(&["list"]);
    assert_eq!(learnt[0]["signers"].as_array().unwrap().len(), 1, "{learnt}");
    assert!(learnt[0]["signers"][0]["key"]["public_key"].is_string(), "{learnt}");
    assert_eq!(pins(&["remove", &typed]).as_array().unwrap().len(), 0);
}

#[test]
fn yes_confirms_no_signer() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let identity = world.path("identity.txt").display().to_string();
    let run = world.on(world.ftd(1), &["install", "--yes", "--identity", &identity]).arg(&kit.path);
    let (code, screen) = Pty::start(run).end();
    assert_eq!(code, 3, "{screen}");
    assert!(screen.contains("unknown-signer"), "{screen}");
}

#[test]
fn a_passphrase_is_asked_for_without_echo_and_three_times() {
    let world = World::started(1);
    let device = world.ftd(1);
    // typed at the builder, twice
    let out = world.out();
    let mut pty = Pty::start(world.bundle(&["build"]).arg("--out").arg(&out));
    pty.expect("Passphrase for the kit (Enter makes one): ");
    pty.type_line(PASSPHRASE);
    pty.expect("again");
    pty.type_line(PASSPHRASE);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(PASSPHRASE), "it must not be shown");
    let kit = std::fs::read_dir(&out).unwrap().next().unwrap().unwrap().path();

    let install = || world.on(device, &["install", "--settle", "1"]).arg(&kit);
    let mut pty = Pty::start(install());
    for _ in 0..3 {
        pty.expect("Passphrase for");
        pty.type_line("wrong");
    }
    let (code, screen) = pty.end();
    assert_eq!(code, 3, "{screen}");
    assert!(screen.contains("cannot-open"), "{screen}");

    let mut pty = Pty::start(install());
    pty.expect("Passphrase for");
    pty.type_line("wrong");
    pty.expect("try again");
    pty.expect("Passphrase for");
    pty.type_line(PASSPHRASE);
    pty.expect("confirmed by the kit's passphrase");
    pty.expect("Go on? Type 'yes'");
    pty.type_line("yes");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(PASSPHRASE), "it must not be shown");
    world.up(device, world.fmc());
}

#[test]
fn each_of_several_kits_is_named_when_its_passphrase_is_asked_for() {
    let world = World::of(LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2")));
    let [one, two] = &world.lab.managers[..] else { panic!("two managers") };
    let other = "another that nobody would guess, of the other team";
    let file = world.path("other.txt");
    std::fs::write(&file, format!("{other}\n")).unwrap();
    let kits = [
        world.kit_with(one, &["--passphrase-file", "passphrase.txt"]),
        world.kit_with(two, &["--passphrase-file", &file.display().to_string()]),
    ];
    let [first, second] = &kits;
    let run = world.on(world.ftd(1), &["install", "--dry-run"]).arg(&first.path).arg(&second.path);
    let mut pty = Pty::start(run);
    for (kit, passphrase) in [(first, PASSPHRASE), (second, other)] {
        pty.expect(&format!("Passphrase for {}/kit.identity.age: ", kit.path.display()));
        pty.type_line(passphrase);
    }
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
}

/// scrypt takes its time, and people at a slow console do not wait for a prompt.
#[test]
fn a_passphrase_typed_before_its_prompt_is_not_shown_either() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let mut pty = Pty::start(world.on(world.ftd(1), &["install", "--dry-run"]).arg(&kit.path));
    pty.expect("Passphrase for");
    pty.type_line("wrong");
    pty.type_line(PASSPHRASE);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(PASSPHRASE), "it must not be shown");
}

#[test]
fn no_passphrase_typed_is_told_from_no_terminal() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let verify = || world.on(world.ftd(1), &["verify"]).arg(&kit.path);
    let mut pty = Pty::start(verify());
    pty.expect("Passphrase for");
    pty.type_line("\u{4}");
    let (code, screen) = pty.end();
    assert_eq!(code, 2, "{screen}");
    assert!(screen.contains("no passphrase was typed"), "{screen}");
    verify().under(&["setsid", "-w"]).run().expect(2).says("no terminal to ask at");
}

#[test]
fn an_identity_can_be_pasted_and_vouches_for_nobody() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let identity = world.identity();
    let secret = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    let run = world.on(world.ftd(1), &["install", "--settle", "1"]).arg(kit.bundle(world.ftd(1)));
    let mut pty = Pty::start(run);
    pty.expect("Paste the identity");
    pty.type_line(secret);
    pty.expect("This key is not confirmed");
    pty.expect("Type 'yes'");
    pty.type_line("no");
    let (code, screen) = pty.end();
    assert_eq!(code, 3, "{screen}");
    assert!(!screen.contains(secret), "it must not be shown");
}

#[test]
fn where_a_passphrase_is_asked_for_an_identity_may_be_pasted_in_three_tries() {
    let world = World::started(1);
    let device = world.ftd(1);
    // for the passphrase, and for an identity besides
    let kit = world.kit(&["--passphrase-file", "passphrase.txt"]);
    let identity = world.identity();
    let secret = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    let cut = &secret[..secret.len() - 1];
    let install = || world.on(device, &["install", "--settle", "1"]).arg(&kit.path);
    let before = world.snapshot(device);

    let mut pty = Pty::start(install());
    for _ in 0..3 {
        pty.expect("/kit.identity.age: ");
        pty.type_line(cut);
    }
    let (code, screen) = pty.end();
    assert_eq!(code, 3, "{screen}");
    assert!(screen.contains("cannot-open") && !screen.contains(&cut[..30]), "{screen}");
    assert_eq!(before.differences(&world.snapshot(device)), Vec::<String>::new());

    let mut pty = Pty::start(install());
    for wrong in ["wrong", cut] {
        pty.expect("/kit.identity.age: ");
        pty.type_line(wrong);
        pty.expect("try again");
    }
    pty.expect("/kit.identity.age: ");
    pty.type_line(&format!("  {} ", secret.to_lowercase()));
    // it opens, and vouches for nobody
    pty.expect("This key is not confirmed");
    pty.expect("Type 'yes'");
    pty.type_line("yes");
    pty.expect("Go on? Type 'yes'");
    pty.type_line("yes");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.to_uppercase().contains(&secret[..30]), "it must not be shown");
    world.up(device, world.fmc());
}

#[test]
fn a_long_run_says_how_far_it_is_to_a_terminal_that_can_show_it() {
    let world = World::new(4);
    let recipient = world.recipient();
    // every opening of a file takes a moment, as on a worn-out stick
    let slow = ["-e", "trace=openat,openat2", "-e", "inject=openat,openat2:delay_enter=40000"];
    let strace = [&["strace", "-f", "-qq", "-o", "/dev/null"], &slow[..]].concat();
    let build = |flags: &[&str], before: &[&str]| {
        let run = world.bundle(&["build", "--recipient", &recipient, "--out"]).arg(world.out());
        run.args(flags).under(before).under(&strace)
    };
    let (code, screen) = Pty::start(build(&[], &[])).end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("\rsealing ") && screen.contains(" of 4\u{1b}[K"), "{screen}");
    // wiped before the result is told
    let (_, after) = screen.rsplit_once(" of 4\u{1b}[K").unwrap();
    assert!(after.trim_start_matches(['\r', '\n']).starts_with("\u{1b}[K"), "{screen}");
    for (name, run) in [
        ("a terminal without control sequences", build(&[], &["env", "TERM=dumb"])),
        ("a terminal that nothing is known of", build(&[], &["env", "-u", "TERM"])),
        ("--quiet", build(&["--quiet"], &[])),
        ("--json", build(&["--json"], &[])),
    ] {
        let (code, screen) = Pty::start(run).end();
        assert_eq!(code, 0, "{name}: {screen}");
        assert!(!screen.contains(" of 4") && !screen.contains("\u{1b}[K"), "{name}: {screen}");
    }
    build(&[], &[]).run().expect(0).never_says(" of 4").never_says("\u{1b}");
}

#[test]
fn colour_is_for_terminals_and_can_be_switched_off() {
    let world = World::new(1);
    let status = || world.on(world.ftd(1), &["status"]);
    assert!(Pty::start(status()).end().1.contains("\u{1b}[31mexpired"));
    let plain = status().under(&["env", "NO_COLOR=1"]);
    assert!(!Pty::start(plain).end().1.contains('\u{1b}'));
    let dumb = status().under(&["env", "TERM=dumb"]);
    assert!(!Pty::start(dumb).end().1.contains('\u{1b}'));
    status().run().expect(0).never_says("\u{1b}");
    // what is said on the command line goes before what is found
    let never = status().args(["--color", "never"]);
    assert!(!Pty::start(never).end().1.contains('\u{1b}'));
    let always = || status().args(["--color", "always"]);
    always().under(&["env", "NO_COLOR=1"]).run().expect(0).says("\u{1b}[31mexpired");
    always().arg("--json").run().expect(0).never_says("\u{1b}").json();
    status().args(["--color", "red"]).run().expect(2).says("always");
}

#[test]
fn a_narrow_terminal_cuts_a_long_name_unless_it_is_to_be_whole() {
    let name = "a-device-with-a-long-name-of-its-own.branch.example.com";
    let world = World::of(LabSpec::with_names([name]));
    let check = || {
        let narrow = ["sh", "-c", "stty cols 60; exec \"$@\"", "sh"];
        world.bundle(&["check", "--no-status-program"]).under(&narrow)
    };
    let cut = Pty::start(check()).end().1;
    assert!(cut.contains("...") && !cut.contains(name), "{cut}");
    let whole = Pty::start(check().arg("--no-trunc")).end().1;
    assert!(whole.contains(name), "{whole}");
    world.bundle(&["check", "--no-status-program"]).run().expect(1).says(name);
}

#[test]
fn tunnels_that_would_not_come_back_are_asked_for_before_the_plan_is() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::expired("fmc2"));
    let world = World::of(spec).start();
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let install = || world.on(device, &["install", "--settle", "1"]).args(world.trust());
    let before = world.snapshot(device);
    for answers in [&["no"][..], &["yes", "no"], &["yes", ""]] {
        let mut pty = Pty::start(install().arg(&kit.path));
        for (question, answer) in ["Drop them? Type 'yes'", "Go on? Type 'yes'"].iter().zip(answers)
        {
            pty.expect(question);
            pty.type_line(answer);
        }
        let (code, screen) = pty.end();
        assert_eq!(code, 3, "{screen}");
        assert!(screen.contains("not-confirmed"), "{screen}");
        assert_eq!(before.differences(&world.snapshot(device)), Vec::<String>::new());
    }
    // the plan is confirmed beforehand, and that is not what it says
    let (code, screen) = Pty::start(install().arg("--yes").arg(&kit.path)).end();
    assert_eq!(code, 3, "{screen}");
    assert!(screen.contains("would-drop-peer"), "{screen}");
    // nobody to ask
    refused(install().arg(&kit.path), "would-drop-peer");
    assert_eq!(before.differences(&world.snapshot(device)), Vec::<String>::new());
    assert_eq!(device.restarts().unwrap(), 0);
    let mut pty = Pty::start(install().arg(&kit.path));
    pty.expect("will not come back");
    pty.expect("Drop them? Type 'yes'");
    pty.type_line("yes");
    pty.expect("Go on? Type 'yes'");
    pty.type_line("yes");
    assert_eq!(pty.end().0, 0);
    world.up(device, world.fmc());
}

#[test]
fn backups_are_removed_once_somebody_said_so() {
    let world = World::started(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]));
    world.install(device, &kit.path).run().expect(0);
    world.on(device, &["rollback", "--yes", "--settle", "1"]).run().expect(0);
    let prune = |keep: &str| world.on(device, &["backups", "prune", "--keep", keep]);
    let count = || {
        let list = world.on(device, &["backups", "list", "--json"]).run().expect(0).json();
        list["backups"].as_array().unwrap().len()
    };
    // nothing to remove is nothing to ask
    prune("2").run().expect(0).says("Removed 0 of 2 backups");
    refused(prune("1"), "not-confirmed");
    let answered = |answer: &str| {
        let mut pty = Pty::start(prune("1"));
        pty.expect("Remove the 1 oldest of 2 backups?");
        pty.type_line(answer);
        pty.end()
    };
    let (code, screen) = answered("no");
    assert_eq!((code, count()), (3, 2), "{screen}");
    let (code, screen) = answered("yes");
    assert_eq!((code, count()), (0, 1), "{screen}");
}

#[test]
fn standard_input_is_read_by_one_reader_only() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let bundle = std::fs::read(kit.bundle(world.ftd(1))).unwrap();
    let before = world.snapshot(world.ftd(1));
    let two: [&[&str]; 4] = [
        &["--passphrase-file", "-", "-"],
        &["--identity", "-", "-"],
        &["--passphrase-fd", "0", "-"],
        &["--identity", "identity.txt", "-", "-"],
    ];
    for words in two {
        let install = world.on(world.ftd(1), &["install", "--yes"]).args(words);
        for run in [install, world.bundle(&["verify"]).args(words)] {
            let ran = run.stdin(bundle.clone()).run().expect(2).says("can be read only once");
            world.unchanged(world.ftd(1), &before, &ran);
        }
    }
    let install = world.on(world.ftd(1), &["install", "--dry-run"]).args(world.trust()).arg("-");
    install.stdin(bundle).run().expect(0);
}
