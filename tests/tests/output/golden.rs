//! Golden files for what people read, in `golden/`; `SNAPSHOTS=overwrite` writes them anew.

use std::fs;
use std::path::Path;

use lab::{Fault, LabSpec, ManagerSpec};
use snapbox::assert::DEFAULT_ACTION_ENV;
use snapbox::data::DataFormat;
use snapbox::{Assert, Data};
use tests::{Ran, Run, World, listed_commands, program};

use super::forms::scanned;

/// A world whose paths are the same in every run: programs run in its folder and are given
/// relative paths.
struct Golden {
    world: World,
}

impl Golden {
    fn new(spec: LabSpec) -> Self {
        Self { world: World::of(spec).start() }
    }

    fn bundle(&self, args: &[&str]) -> Ran {
        let run = self.world.bundle_program(&["--root", "lab/fmc"]).args(args);
        run.env("COLUMNS", "80").run()
    }

    fn install(&self, args: &[&str]) -> Ran {
        let run = Run::new(program("sftunnel-install")).args(["--root", "lab/BSNS-1120-1"]);
        run.args(args).cwd(self.world.path("")).env("COLUMNS", "80").run()
    }

    /// Compares what was printed with the golden file of this name.
    #[track_caller]
    fn is(&self, name: &str, ran: &Ran) {
        let streams = [("", &ran.stdout), ("--- stderr\n", &ran.stderr)];
        let mut text = String::new();
        for (heading, stream) in streams.into_iter().filter(|(_, stream)| !stream.is_empty()) {
            text.push_str(heading);
            text.push_str(&self.normalised(stream));
        }
        text.push_str(&format!("--- exit {}\n", ran.code().unwrap_or(-1)));
        if ran.output().contains('\u{1b}') {
            ran.fail("an escape sequence, and no terminal");
        }
        compare(name, &text);
        fits(&ran.stdout, ran);
        fits(&ran.stderr, ran);
    }

    /// With names in place of what this lab made up, each as long as what it stands for, so
    /// that columns and line breaks stay as people see them.
    fn normalised(&self, text: &str) -> String {
        let lab = &self.world.lab;
        let uuids = lab.managers.iter().map(|manager| &manager.uuid);
        let uuids = uuids.chain(lab.devices.iter().map(|device| &device.uuid));
        let mut text = text.to_owned();
        let managers = lab.managers.len();
        for (at, uuid) in uuids.enumerate() {
            let (letter, number) =
                if at < managers { ('f', at + 1) } else { ('d', at + 1 - managers) };
            let short = format!("{}{number}", letter.to_string().repeat(7));
            let long = format!("{short}-0000-11ef-8000-000000000000");
            text = text.replace(uuid, &long).replace(&uuid[..8], &short);
        }
        text = text.replace(&self.world.recipient(), &format!("age1{}", "q".repeat(58)));
        scanned(&text.replace(&self.world.path("").display().to_string(), "<folder>"))
    }
}

/// Compares with the golden file of this name.
#[track_caller]
fn compare(name: &str, found: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    is_as_in(&golden.join(format!("{name}.txt")), found);
}

/// Compares with a file, byte for byte: without the wildcards that snapbox would know.
#[track_caller]
pub(crate) fn is_as_in(file: &Path, found: &str) {
    let expected = Data::read_from(file, Some(DataFormat::Text)).raw();
    Assert::new().action_env(DEFAULT_ACTION_ENV).eq(found, expected);
}

/// 80 columns, but for a path or another word that cannot be broken, and what a program reads:
/// a plugin's first line, the table for a spreadsheet.
#[track_caller]
fn fits(text: &str, ran: &Ran) {
    let for_people = |line: &&str| !line.starts_with("SFTUNNEL ") && line.matches(',').count() < 9;
    for line in text.lines().filter(for_people).filter(|line| line.chars().count() > 80) {
        let unbreakable = |word: &str| word.contains('/') || word.chars().count() > 60;
        if !line.split_whitespace().any(unbreakable) {
            ran.fail(&format!("a line of {} columns: {line}", line.chars().count()));
        }
    }
}

#[test]
fn the_journey_reads_like_this() {
    let golden = Golden::new(LabSpec::for_tests(3));
    let world = &golden.world;
    world.kit(&["--sign-key", &signing_key(world)]);
    let recipient = world.recipient();
    let bad = world.fmc().certs_pushed(&world.ftd(3).uuid).join("sftunnel-key.pem");
    fs::remove_file(bad).unwrap();
    let list = world.fmc().failed_push().unwrap().unwrap();
    let lines = fs::read_to_string(&list).unwrap();
    let lines: Vec<_> = lines
        .lines()
        .filter(|line| !(line.starts_with(&world.ftd(2).uuid) && line.contains("-key")))
        .collect();
    fs::write(&list, lines.join("\n")).unwrap();

    let installer = program("sftunnel-install").display().to_string();
    fs::create_dir(world.path("usb")).unwrap();
    let flags = [
        "--recipient",
        &recipient,
        "--sign-key",
        "signer.pem",
        "--installer",
        &installer,
        "--out",
        "usb",
    ];
    golden.is("plan", &golden.bundle(&[&["plan"], &flags[..]].concat()));
    golden.is("build", &golden.bundle(&[&["build"], &flags[..]].concat()));
    let kit = fs::read_dir(world.path("usb")).unwrap().next().unwrap().unwrap().file_name();
    let kit = format!("usb/{}", kit.to_str().unwrap());
    golden.is("build-exists", &golden.bundle(&[&["build"], &flags[..]].concat()));
    golden.is("bundle-inspect", &golden.bundle(&["inspect", &kit]));
    let opened = ["--identity", "identity.txt"];
    golden.is(
        "bundle-inspect-opened",
        &golden.bundle(&[&["inspect"], &opened[..], &["--device", "BSNS-1120-1", &kit]].concat()),
    );
    golden.is("bundle-verify", &golden.bundle(&["verify", "--signer", "signer.pub.pem", &kit]));
    golden.is(
        "bundle-verify-opened",
        &golden.bundle(&[&["verify", "--signer", "signer.pub.pem"], &opened[..], &[&kit]].concat()),
    );
    golden.is("bundle-verify-refused", &golden.bundle(&["verify", &kit]));

    // what is told of the tunnel depends on the moment
    world.down(world.ftd(1), world.fmc());
    golden.is("status-before", &golden.install(&["status"]));
    golden.is("inspect", &golden.install(&[&["inspect"], &opened[..], &[&kit]].concat()));
    let judged = [&opened[..], &["--signer", "signer.pub.pem", &kit]].concat();
    golden.is("verify", &golden.install(&[&["verify"], &judged[..]].concat()));
    golden
        .is("install-dry-run", &golden.install(&[&["install", "--dry-run"], &judged[..]].concat()));
    let install = [&["install", "--yes", "--settle", "1"], &judged[..]].concat();
    golden.is(
        "install-unconfirmed-signer",
        &golden.install(&[&["install", "--yes"], &opened[..], &[&kit]].concat()),
    );
    golden.is("install", &golden.install(&install));
    golden.is("install-again", &golden.install(&install));
    world.up(world.ftd(1), world.fmc());
    golden.is("status-after", &golden.install(&["status"]));
    golden.is("rollback", &golden.install(&["rollback", "--yes", "--settle", "1"]));
    golden.is("rollback-dry-run", &golden.install(&["rollback", "--dry-run"]));
    world.ftd(1).set_fault(&Fault::NoStartNew).unwrap();
    golden.is(
        "install-restored",
        &golden.install(&[&install[..], &["--restart-timeout", "2"]].concat()),
    );
    world.ftd(1).set_fault(&Fault::None).unwrap();
    golden.is("recover", &golden.install(&["recover"]));
    golden.is("backups-list", &golden.install(&["backups", "list"]));
    golden.is("backups-prune", &golden.install(&["backups", "prune", "--keep", "1", "--yes"]));
    golden.is("signers-list", &golden.install(&["signers", "list"]));
    golden.is("log", &golden.install(&["log"]));
}

/// A key of the test's own, so that "made just now" is not said.
fn signing_key(world: &World) -> String {
    world.bundle_program(&["keygen", "signer", "--out", "signer.pem"]).run().expect(0);
    "signer.pem".to_owned()
}

#[test]
fn two_managers_read_like_this() {
    // the managers are listed in the order of their UUIDs
    let uuid = |letter: &str| Some(format!("{}-4347-11ef-aca1-f3aa241412a1", letter.repeat(8)));
    let renewed = ManagerSpec { uuid: uuid("a"), ..ManagerSpec::renewed("fmc") };
    let expired = ManagerSpec { uuid: uuid("b"), ..ManagerSpec::expired("fmc2") };
    let spec = LabSpec { managers: vec![renewed, expired], ..LabSpec::for_tests(1) };
    let golden = Golden::new(spec);
    let world = &golden.world;
    let kit = world.kit(&["--sign-key", &signing_key(world)]);
    let bundle = kit.bundle(world.ftd(1));
    fs::copy(bundle, world.path("bundle.tar.gz.age")).unwrap();
    for manager in &world.lab.managers {
        world.down(world.ftd(1), manager);
    }
    golden.is("status-two-managers", &golden.install(&["status"]));
    let flags = ["--identity", "identity.txt", "--signer", "signer.pub.pem", "bundle.tar.gz.age"];
    golden.is("install-would-drop", &golden.install(&[&["install", "--yes"], &flags[..]].concat()));
    golden.is(
        "install-would-drop-dry-run",
        &golden.install(&[&["install", "--dry-run"], &flags[..]].concat()),
    );
}

#[test]
fn check_and_receipts_read_like_this() {
    // files that are as urgent as each other stand in the order of the UUIDs
    let mut spec = LabSpec::for_tests(2);
    for (device, letter) in spec.devices.iter_mut().zip(["a", "b"]) {
        device.uuid = Some(format!("{}-87c9-11ef-a993-b9831565bc4e", letter.repeat(8)));
    }
    let golden = Golden::new(spec);
    let world = &golden.world;
    let old = fs::read(world.ftd(1).peer_dir(world.fmc()).join("cacert.pem")).unwrap();
    let kit = world.kit(&[]).path;
    fs::rename(kit, world.path("kit")).unwrap();
    let check = |name: &str, args: &[&str]| {
        golden.is(name, &golden.bundle(&[&["check", "--receipts", "kit"], args].concat()));
    };
    let receipts = |name: &str, args: &[&str]| {
        golden.is(name, &golden.bundle(&[&["receipts", "kit"], args].concat()));
    };
    let install = |number: usize| {
        let ran = world.install(world.ftd(number), &world.path("kit")).run();
        ran.expect(0);
        world.up(world.ftd(number), world.fmc());
    };
    receipts("receipts-outstanding", &["--no-status-program"]);
    install(1);
    let up = format!("PEER:{}\nconnected to '192.0.2.1'\n", world.ftd(1).uuid);
    world.write("status.txt", &up);
    check("check-not-reached", &["--status-file", "status.txt"]);
    receipts("receipts-undated", &["--status-file", "status.txt"]);
    install(2);
    receipts("receipts", &["--csv"]);
    world.write(
        "status.txt",
        format!("{up}PEER:{}\nLast disconnect reason : x\n", world.ftd(2).uuid),
    );
    check("check-ok", &["--no-status-program"]);
    let ca = lab::layout::cacert(&world.fmc().root);
    let new = fs::read(&ca).unwrap();
    fs::write(&ca, "-----BEGIN CERTIFICATE-----\n").unwrap();
    golden.is("check-unreadable", &golden.bundle(&["check", "--no-status-program"]));
    fs::write(&ca, old).unwrap();
    golden.is("check-expired", &golden.bundle(&["check", "--status-file", "status.txt"]));
    fs::write(&ca, new).unwrap();
    golden.is("check-near", &golden.bundle(&["check", "--warning", "4000", "--no-status-program"]));
}

#[test]
fn keys_and_passphrase_kits_read_like_this() {
    let golden = Golden::new(LabSpec::for_tests(1));
    let world = &golden.world;
    golden.is("keygen-signer", &golden.bundle(&["keygen", "signer", "--out", "signer.pem"]));
    let identity = golden.bundle(&["keygen", "identity", "--out", "site.txt"]);
    let recipient =
        identity.stdout.split_whitespace().find(|word| word.starts_with("age1")).unwrap();
    compare("keygen-identity", &identity.stdout.replace(recipient, "<recipient>"));
    world.write("weak.txt", "secret\n");
    let installer = program("sftunnel-install").display().to_string();
    let flags = ["build", "--passphrase-file", "weak.txt", "--installer", &installer];
    golden.is("build-passphrase", &golden.bundle(&flags));
}

#[test]
fn the_help_reads_like_this_and_fits_the_console() {
    let golden = Golden::new(LabSpec::for_tests(1));
    for (name, program_name) in [("bundle", "sftunnel-bundle"), ("install", "sftunnel-install")] {
        let help = |words: &[&str]| {
            Run::new(program(program_name))
                .args(words)
                .arg("--help")
                // on a wide console as well: help is read where it is pasted to
                .env("COLUMNS", "200")
                .run()
                .expect(0)
        };
        let mut all = String::new();
        let mut todo = vec![Vec::<String>::new()];
        while let Some(words) = todo.pop() {
            let ran = help(&words.iter().map(String::as_str).collect::<Vec<_>>());
            let text = ran.stdout.clone();
            fits(&text, &ran);
            all.push_str(&format!("=== {program_name} {}\n{text}\n", words.join(" ")));
            let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
            let names =
                listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
            let names: Vec<_> = names
                .filter_map(|line| line.split_whitespace().next())
                .filter(|word| *word != "help")
                .collect();
            if names.is_empty() && !text.contains("Examples:") {
                ran.fail("a command's help has examples");
            }
            todo.extend(
                names.iter().rev().map(|word| [&words[..], &[(*word).to_owned()]].concat()),
            );
        }
        compare(&format!("help-{name}"), &all);
    }
    drop(golden);
}

/// What is read on a console of 24 lines; `--help` has the rest.
#[test]
fn the_short_help_has_one_line_for_each_flag() {
    for name in ["sftunnel-bundle", "sftunnel-install"] {
        let mut todo = vec![Vec::<String>::new()];
        while let Some(words) = todo.pop() {
            let ran = Run::new(program(name)).args(&words).arg("-h").run().expect(0);
            fits(&ran.stdout, &ran);
            for line in ran.stdout.lines().filter(|line| line.trim_start().starts_with('-')) {
                let words = line.trim_start().trim_start_matches("-").split("  ");
                if words.filter(|word| !word.is_empty()).count() < 2 {
                    ran.fail(&format!("what '{line}' means stands on another line"));
                }
            }
            if ran.stdout.lines().any(|line| line.starts_with("       ") && !line.contains("--")) {
                ran.fail("a flag or command takes two lines");
            }
            let ran = ran.never_says("Examples:");
            let below = listed_commands(&ran.stdout).into_iter();
            todo.extend(below.map(|word| [&words[..], &[word]].concat()));
        }
    }
}

#[test]
fn quiet_is_quiet_when_all_is_well() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let ran = world.install(world.ftd(1), &kit.path).arg("--quiet").run().expect(0);
    assert_eq!(ran.output(), "");
    let ran =
        world.on(world.ftd(1), &["rollback", "--quiet", "--to", "9", "--yes"]).run().expect(3);
    assert!(ran.stderr.contains("not-found"), "{}", ran.stderr);
    let recipient = world.recipient();
    let run = world
        .bundle(&["build", "--quiet", "--recipient", &recipient])
        .arg("--out")
        .arg(world.out());
    assert_eq!(run.run().expect(0).output(), "");
    // what should not be overlooked is said all the same
    world.write("weak.txt", "secret\n");
    let weak = ["build", "--quiet", "--passphrase-file", "weak.txt", "--out"];
    let ran = world.bundle(&weak).arg(world.out()).run().expect(0);
    assert!(
        ran.stdout.is_empty() && ran.stderr.contains("the passphrase is weak"),
        "{}",
        ran.output()
    );
}

#[test]
fn a_closed_pipe_changes_nothing() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let run = world.install(world.ftd(1), &kit.path);
    run.under(&["sh", "-c", "\"$@\" | head -c 1 >/dev/null", "sh"]).run().expect(0);
    assert_eq!(world.files(world.ftd(1), world.fmc()), world.new_files(world.ftd(1), world.fmc()));
}
