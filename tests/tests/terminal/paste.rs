//! What is pasted at the console: it ends by itself, and what comes after it does nothing.

use std::fs;

use tests::{Kit, PASSPHRASE, Pty, World};

const INVITATION: &str = "Paste the bundle, from its BEGIN line to its END line.";

fn armored(kit: &Kit, world: &World) -> String {
    fs::read_to_string(kit.bundle(world.ftd(1))).unwrap()
}

/// As it is marked in a terminal's window, with the lines around it.
fn marked(text: &str) -> String {
    format!("root@fmc:~# cat bundles/*.age\n{text}yes\nyes\nroot@fmc:~# ")
}

#[test]
fn a_bundle_ends_at_its_end_line_in_both_programs() {
    let world = World::started(1);
    let device = world.ftd(1);
    let kit = world.kit(&["--armor"]);
    let bundle = armored(&kit, &world);
    let before = world.snapshot(device);
    // what was marked beside it answers no question
    let mut pty = Pty::start(world.on(device, &["install"]).args(world.trust()).arg("-"));
    pty.expect(INVITATION);
    pty.press(&marked(&bundle));
    pty.expect("Go on? Type 'yes' to go on: ");
    std::thread::sleep(std::time::Duration::from_millis(300));
    pty.type_line("no");
    let (code, screen) = pty.end();
    assert_eq!(code, 3, "{screen}");
    assert!(screen.contains("not-confirmed"), "{screen}");
    assert_eq!(before.differences(&world.snapshot(device)), Vec::<String>::new());

    let verify =
        || world.bundle(&["verify", "-"]).arg("--identity").arg(world.path("identity.txt"));
    for run in [verify(), verify().arg("--quiet"), verify().arg("--json")] {
        let mut pty = Pty::start(run);
        pty.expect(INVITATION);
        pty.press(&bundle);
        let (code, screen) = pty.end();
        assert_eq!(code, 0, "{screen}");
    }
    // nobody is invited where nobody pastes
    verify().stdin(bundle).run().expect(0).never_says("Paste");
}

#[test]
fn a_paste_that_is_not_one_bundle_is_refused() {
    let world = World::new(1);
    let kit = world.kit(&["--armor"]);
    let bundle = armored(&kit, &world);
    let lost: String = bundle
        .lines()
        .enumerate()
        .filter(|(at, _)| *at != 9)
        .map(|(_, line)| format!("{line}\n"))
        .collect();
    let cases = [
        (format!("{bundle}{bundle}"), "bad-format"),
        (lost, "damaged"),
        // no end: Ctrl-D ends that as well
        ("nonsense\n\u{4}".to_owned(), "bad-format"),
    ];
    for (pasted, reason) in cases {
        let run = world.on(world.ftd(1), &["install", "--dry-run"]).args(world.trust());
        let mut pty = Pty::start(run.arg("-"));
        pty.expect(INVITATION);
        pty.press(&pasted);
        let (code, screen) = pty.end();
        assert_eq!(code, 3, "{screen}");
        assert!(screen.contains(reason), "{reason}: {screen}");
    }
}

#[test]
fn an_identity_may_be_a_whole_file_and_is_not_shown() {
    let world = World::new(1);
    let install = || world.on(world.ftd(1), &["install", "--dry-run"]);
    let kit = world.kit(&["--armor"]);
    let identity = world.identity();
    let secret = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
    let mut pty = Pty::start(install().arg("--signer").arg(world.signer()).arg("-"));
    pty.expect(INVITATION);
    // what was marked beside it is none of the three tries
    pty.press(&marked(&armored(&kit, &world)));
    pty.expect("Paste the identity");
    pty.press(&identity);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(secret), "it must not be shown");
    // named as the file to be read
    let mut pty =
        Pty::start(install().args(["--signer", &world.signer(), "--identity", "-"]).arg(&kit.path));
    pty.expect("Paste the identity");
    pty.press(&identity);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(secret), "it must not be shown");

    // that of a passphrase kit vouches as ever
    let kit = world.kit_with(world.fmc(), &["--armor", "--passphrase-file", "passphrase.txt"]);
    let mut pty = Pty::start(install().arg("-"));
    pty.expect(INVITATION);
    pty.press(&armored(&kit, &world));
    pty.expect("Paste the identity");
    pty.press(&fs::read_to_string(kit.path.join("kit.identity.age")).unwrap());
    pty.expect("Passphrase for 'the pasted identity': ");
    pty.type_line(PASSPHRASE);
    pty.expect("by the kit's passphrase");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(PASSPHRASE), "it must not be shown");
    // a passphrase whose file is the terminal
    let run = world.bundle(&["verify", "--passphrase-file", "-"]).arg(&kit.path);
    let mut pty = Pty::start(run);
    pty.expect("Passphrase: ");
    pty.type_line(PASSPHRASE);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(PASSPHRASE), "it must not be shown");
}
