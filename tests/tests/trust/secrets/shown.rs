//! What both programs say, in every tone, also of what they refuse: never a secret.

use std::collections::BTreeSet;
use std::fs;

use lab::Fault;
use tests::{Kit, Ran, Run, World, listed_commands};

use super::{Confidential, Secrets};

/// The three tones: prose, JSON, step by step.
const TONES: [&[&str]; 3] = [&[], &["--json"], &["-v"]];

/// Runs of one program, and which of its commands they were.
struct Shown<'a> {
    case: &'a Confidential,
    secrets: &'a Secrets,
    program: &'a str,
    commands: BTreeSet<String>,
    failed: usize,
}

impl<'a> Shown<'a> {
    fn new(case: &'a Confidential, secrets: &'a Secrets, program: &'a str) -> Self {
        Self { case, secrets, program, commands: BTreeSet::new(), failed: 0 }
    }

    /// These words, in every tone.
    #[track_caller]
    fn says(&mut self, words: &[&str]) {
        for tone in TONES {
            let world = &self.case.world;
            let run = match self.program {
                "sftunnel-bundle" => world.bundle(words),
                _ => world.on(world.ftd(1), words),
            };
            self.take(words, &run.args(tone).run());
        }
    }

    #[track_caller]
    fn take(&mut self, words: &[&str], ran: &Ran) {
        let output = ran.output();
        let found = self.secrets.found_in(output.as_bytes());
        assert_eq!(found, Vec::<&str>::new(), "{words:?} shows it");
        // it got beyond the parser
        assert!(!output.contains("Usage: "), "{words:?}: {output}");
        assert!(ran.code().is_some() && !output.is_empty(), "{words:?} ran: {output}");
        self.failed += usize::from(ran.code() != Some(0));
        self.commands.insert(words[0].to_owned());
    }

    /// Every command that `--help` lists was among them.
    fn is_complete(&self, failed: usize) {
        let help = Run::new(tests::program(self.program)).arg("--help").run().expect(0).stdout;
        let names: BTreeSet<_> = listed_commands(&help).into_iter().collect();
        assert!(names.len() > 6, "{help}");
        assert_eq!(self.commands, names);
        assert!(self.failed >= failed, "only {} of them failed", self.failed);
    }
}

/// Files that are secret, and are named where something else belongs.
fn misplaced(world: &World) -> Vec<String> {
    let device = world.ftd(1);
    let key = device.peer_dir(world.fmc()).join("sftunnel-key.pem");
    let paths = [
        world.path("plain.txt"),
        world.path("passphrase.txt"),
        key,
        World::signing_key_path(world.fmc()),
    ];
    paths.iter().map(|path| path.display().to_string()).collect()
}

/// A kit whose only bundle is cut off.
fn damaged(case: &Confidential) -> Kit {
    let path = case.world.path("damaged");
    Run::new("cp").arg("-a").arg(&case.kit.path).arg(&path).run().expect(0);
    let kit = Kit { path };
    let bundle = kit.bundle(case.world.ftd(1));
    let bytes = fs::read(&bundle).unwrap();
    fs::write(bundle, &bytes[..bytes.len() - 7]).unwrap();
    kit
}

#[test]
fn the_builder_shows_no_secret_whatever_it_is_asked() {
    let case = Confidential::new();
    let world = &case.world;
    let secrets = case.with_signing_key();
    let mut shown = Shown::new(&case, &secrets, "sftunnel-bundle");
    let kit = case.kit.path.display().to_string();
    let broken = damaged(&case).path.display().to_string();
    let out = world.out().display().to_string();
    let with = ["--passphrase-file", "passphrase.txt"];
    let open = ["--identity", "plain.txt"];
    let protected = [&["--identity", "protected.age"][..], &with].concat();
    let recipient = world.recipient();

    shown.says(&["check"]);
    shown.says(&["man", "build"]);
    shown.says(&["completion", "bash"]);
    shown.says(&["support", "--out", "-"]);
    shown.says(&["paste", "BSNS-1120-1"]);
    shown.says(&[&["plan"][..], &with].concat());
    shown.says(&[&["build", "--out", &out][..], &with, &["--force"]].concat());
    // there already
    shown.says(&[&["build", "--out", &out][..], &with].concat());
    for open in [&[][..], &open, &protected] {
        shown.says(&[&["inspect", &kit], open].concat());
        shown.says(&[&["verify", &kit, "--signer", &world.signer()], open].concat());
        shown.says(&[&["inspect", &broken], open].concat());
        shown.says(&[&["verify", &broken], open].concat());
    }
    let handoff = ["handoff", &kit, "--out", &out, "--recipient", &recipient, "--force"];
    shown.says(&[&handoff[..], &open].concat());
    shown.says(&[&handoff[..], &protected, &["--new-passphrase-file", "passphrase.txt"]].concat());
    shown.says(&["receipts", &kit]);
    let deliver = ["deliver", &kit, "--yes", "--via", "sh -c 'echo Connection refused'"];
    shown.says(&[&deliver[..], &open].concat());
    for (kind, name) in [("identity", "made.txt"), ("signer", "made.pem")] {
        // the second time it is there
        shown.says(&["keygen", kind, "--out", name]);
    }
    for file in misplaced(world) {
        let file = file.as_str();
        shown.says(&["plan", "--recipient", &recipient, "--failed-push", file]);
        shown.says(&["plan", "--recipients-file", file]);
        shown.says(&["plan", "--recipient-map", file]);
        shown.says(&["build", "--out", &out, "--recipient", &recipient, "--installer", file]);
        shown.says(&["inspect", file]);
        shown.says(&["verify", file]);
        shown.says(&["verify", &kit, "--identity", file]);
        shown.says(&["handoff", file, "--out", &out, "--recipient", &recipient]);
        shown.says(&[&handoff[..], &["--identity", file]].concat());
        shown.says(&["receipts", &kit, "--ca", file]);
        shown.says(&[&deliver[..], &open, &["--inventory", file]].concat());
        shown.says(&[&deliver[..], &open, &["--password-file", file]].concat());
        shown.says(&["receipts", &kit, "--status-file", file]);
        shown.says(&["receipts", file]);
    }
    shown.is_complete(60);

    // a generated one goes to the descriptor, and only there
    for tone in TONES {
        let words = ["build", "--out", &out, "--force", "--generate-passphrase"];
        let run = world.bundle(&words).args(["--passphrase-out-fd", "3"]).args(tone);
        let file = world.write("generated", "");
        let script = format!("\"$@\" 3>'{}'", file.display());
        let ran = run.under(&["sh", "-c", &script, "sh"]).run().expect(0);
        let passphrase = fs::read_to_string(file).unwrap();
        assert!(passphrase.trim().len() > 20, "a passphrase");
        assert!(!ran.output().contains(passphrase.trim()));
    }
}

#[test]
fn the_installer_shows_no_secret_whatever_it_is_asked() {
    let case = Confidential::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    let secrets = case.with_signing_key();
    let mut shown = Shown::new(&case, &secrets, "sftunnel-install");
    let kit = case.kit.path.display().to_string();
    let broken = damaged(&case).path.display().to_string();
    let signer = world.signer();
    let protected = ["--identity", "protected.age", "--passphrase-file", "passphrase.txt"];
    let trust = ["--signer", &signer];
    let wait = ["--settle", "0", "--restart-timeout", "2"];

    shown.says(&["status"]);
    shown.says(&["man", "status"]);
    shown.says(&["completion", "bash"]);
    shown.says(&["support", "--out", "-"]);
    shown.says(&["rollback", "--yes"]);
    shown.says(&["log"]);
    for open in [&[][..], &["--identity", "plain.txt"], &protected] {
        for source in [&kit, &broken] {
            shown.says(&[&["inspect", source], open].concat());
            shown.says(&[&["verify", source], open, &trust].concat());
            shown.says(&[&["install", source, "--dry-run"], open, &trust].concat());
        }
    }
    let install = [&["install", "--yes", &kit][..], &protected, &trust, &wait].concat();
    // the second time there is nothing to do; then it fails and is undone
    shown.says(&install);
    shown.says(&["status"]);
    shown.says(&["rollback", "--dry-run"]);
    shown.says(&[&["rollback", "--yes"][..], &wait].concat());
    // put back by the last rollback or not: from the old files on
    device.set_fault(&Fault::NoStartNew).unwrap();
    shown.says(&install);
    device.set_fault(&Fault::None).unwrap();
    shown.says(&[&["recover"][..], &wait].concat());
    for words in ["backups list", "backups verify", "backups prune --keep 1 --yes", "signers list"]
    {
        shown.says(&words.split(' ').collect::<Vec<_>>());
    }
    for file in misplaced(world) {
        let file = file.as_str();
        shown.says(&["inspect", file]);
        shown.says(&["verify", file]);
        shown.says(&["verify", &kit, "--identity", file]);
        shown.says(&["install", "--yes", &kit, "--identity", file]);
        shown.says(&[&["install", "--yes", &kit][..], &protected[..3], &[file]].concat());
        shown.says(&["signers", "add", "--manager", &world.fmc().uuid, file]);
    }
    shown.is_complete(40);
}
