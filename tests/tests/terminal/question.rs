//! The question whether a signer is the right one, with somebody at work who would like to answer
//! it, or to write it.

use std::time::Duration;

use formats::signature::SigningKey;
use serde_json::json;
use tests::forger::reindexed;
use tests::{Forger, Pty, Run};

const QUESTION: &str = "Is it the same? Type 'yes'";

/// What a forger would like to be read: a line of ours, with somebody else's fingerprint.
fn imitation(trusted: &str) -> String {
    let line = |text: &str| format!("{text:<80}");
    let begin = ") is signed by";
    format!("{}{}", line(begin), line(&format!("  {trusted}")))
}

/// A message without its line ends.
fn unwrapped(screen: &str) -> String {
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn whoever_made_the_bundle_writes_nothing_of_the_question() {
    let case = Forger::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    let forger = SigningKey::generate().unwrap();
    let trusted = world.signer();
    let own = forger.verifying_key().unwrap().fingerprint().to_string();
    let said = imitation(&trusted);
    let forge = case.forge().edit(|manifest| {
        manifest["manager"]["hostname"] = json!(said);
        manifest["device"]["name"] = json!(said);
        manifest["device"]["address"] = json!(said);
        manifest["tool"]["name"] = json!(said);
    });
    let bundle = world.write("forged.tar.gz.age", forge.sign(&forger).seal());
    let kit = case.copy();
    reindexed(&kit, &forger, |index| index.manager.hostname = said.parse().unwrap());
    let identity = world.path("identity.txt");
    let opened = |run: Run| run.arg("--identity").arg(&identity).arg(&bundle);
    let runs = [
        opened(world.on(device, &["-v", "install"])),
        opened(world.on(device, &["-v", "verify"])),
        opened(world.bundle_program(&["-v", "verify"])),
        world.bundle_program(&["-v", "verify"]).arg(&kit),
    ];
    for run in runs {
        let mut pty = Pty::start(run);
        pty.expect(QUESTION);
        let screen = pty.screen();
        assert!(screen.contains(&own), "{screen}");
        assert!(!screen.contains(&trusted[..20]) && !screen.contains(") is signed"), "{screen}");
        pty.type_line("no");
        let (code, screen) = pty.end();
        assert_eq!(code, 3, "{screen}");
        assert!(unwrapped(&screen).contains("was not confirmed"), "{screen}");
    }
}

/// Leftovers of a paste, a cable that talks, somebody impatient: none of them has read it.
#[test]
fn what_was_typed_before_a_question_answers_nothing() {
    let case = Forger::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    let path = world.path("identity.txt").display().to_string();
    let identity = ["--identity", path.as_str()];
    let trusted = world.trust();
    let runs = [
        (world.on(device, &["verify"]).args(identity).arg(&case.kit.path), QUESTION),
        (world.on(device, &["install"]).args(identity).arg(&case.kit.path), QUESTION),
        (world.bundle_program(&["verify"]).args(identity).arg(&case.kit.path), QUESTION),
        (world.on(device, &["install"]).args(trusted).arg(&case.kit.path), "Go on? Type 'yes'"),
    ];
    let before = world.snapshot(device);
    for (run, question) in runs {
        let mut pty = Pty::start(run);
        // also the rest of a paste that comes slowly, while the program is at work
        for _ in 0..10 {
            pty.press("yes\nyes\n");
            std::thread::sleep(Duration::from_millis(100));
        }
        pty.press("yes");
        pty.expect(question);
        std::thread::sleep(Duration::from_millis(300));
        pty.type_line("no");
        let (code, screen) = pty.end();
        assert_eq!(code, 3, "{screen}");
        assert_eq!(screen.matches(question).count(), 1, "{screen}");
        let said = unwrapped(&screen);
        assert!(said.contains("was not confirmed") || said.contains("not-confirmed"), "{screen}");
    }
    assert_eq!(before.differences(&world.snapshot(device)), Vec::<String>::new());
}
