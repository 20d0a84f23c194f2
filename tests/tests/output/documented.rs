//! What README, operate.md and guide.md show as output is what the programs print. A block that
//! stands behind `<!-- output: NAME -->` is all of it, one behind `<!-- part of: NAME -->` a
//! piece; `…` in a block stands for anything. Numbers, times, identifiers and line breaks may
//! differ. `SNAPSHOTS=overwrite` writes the whole ones anew, as the lab of the moment prints them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::authority::Validity;
use lab::{Issue, LabSpec, ManagerSpec};
use snapbox::assert::{Action, DEFAULT_ACTION_ENV};
use tests::{PASSPHRASE, Pty, Ran, Run, World, now, program, tool};

use super::forms::normalised;

const DOCUMENTS: [&str; 3] = ["README.md", "docs/operate.md", "docs/guide.md"];
/// The generated passphrase that the README shows.
pub(super) const SHOWN_PASSPHRASE: &str = "lanuf-vohuf-bivom-bukof-manim-donor";

/// What was printed, by the name that the documents give it.
type Printed = BTreeMap<&'static str, String>;

/// A block of a document.
struct Block {
    name: String,
    whole: bool,
    text: String,
    /// Its lines in the document, without the fences.
    lines: std::ops::Range<usize>,
}

pub(super) fn path(document: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(document)
}

fn blocks(document: &str) -> Vec<Block> {
    let text = fs::read_to_string(path(document)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        // what follows a command without a word between is its output
        assert!(
            line != "```" || lines.get(at + 1) != Some(&"```"),
            "{document}, line {}: output that no marker names",
            at + 2
        );
        let marker = |kind: &str| line.strip_prefix(kind)?.strip_suffix(" -->");
        let whole = marker("<!-- output: ");
        let name = whole.or_else(|| marker("<!-- part of: "));
        at += 1;
        if let Some(name) = name {
            assert_eq!(lines[at], "```", "{document}, line {}: no block", at + 1);
            let end = at + 1 + lines[at + 1..].iter().position(|line| *line == "```").unwrap();
            found.push(Block {
                name: name.to_owned(),
                whole: whole.is_some(),
                text: lines[at + 1..end].join("\n"),
                lines: at + 1..end,
            });
            at = end + 1;
        }
    }
    found
}

/// Whether the pieces of `block` between `…` stand in `printed`, in this order.
fn shows(block: &str, printed: &str, whole: bool) -> bool {
    let mut rest = printed;
    let mut pieces = block.split('…').map(str::trim).peekable();
    let mut first = true;
    while let Some(piece) = pieces.next() {
        let Some(at) = rest.find(piece) else { return false };
        if whole && first && at != 0 {
            return false;
        }
        first = false;
        rest = &rest[at + piece.len()..];
        if whole && pieces.peek().is_none() && !piece.is_empty() && !rest.trim().is_empty() {
            return false;
        }
    }
    true
}

/// Without the folders of this test, as on a box.
pub(super) fn as_on_a_box(world: &World, text: &str) -> String {
    let lab = &world.lab;
    let roots = lab.managers.iter().map(|manager| &manager.root);
    let roots = roots.chain(lab.devices.iter().map(|device| &device.root));
    let mut text = text.to_owned();
    for root in roots {
        text = text.replace(&root.display().to_string(), "");
    }
    let text = text.replace(&world.path("").display().to_string(), "/mnt/");
    // the folders that tests make for kits
    (0..9).fold(text, |text, number| text.replace(&format!("/mnt/kits-{number}"), "/mnt/usb"))
}

struct Shown<'a> {
    world: &'a World,
    printed: Printed,
}

impl<'a> Shown<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, printed: Printed::new() }
    }

    #[track_caller]
    fn is(&mut self, name: &'static str, ran: &Ran) {
        let text = as_on_a_box(self.world, &format!("{}{}", ran.stderr, ran.stdout));
        assert!(self.printed.insert(name, text.trim_end().to_owned()).is_none(), "{name} twice");
    }

    fn bundle(&mut self, name: &'static str, args: &[&str]) -> Ran {
        let ran = self.world.bundle(args).env("COLUMNS", "80").run();
        self.is(name, &ran);
        ran
    }

    fn install(&mut self, name: &'static str, device: usize, args: &[&str]) -> Ran {
        let ran = self.world.on(self.world.ftd(device), args).env("COLUMNS", "80").run();
        self.is(name, &ran);
        ran
    }
}

pub(super) fn names() -> LabSpec {
    LabSpec { key_pool: Some(12), ..LabSpec::with_names(["BSNS-1120-1", "BSNS-1120-2"]) }
}

fn of_manager(old: Validity, manager: ManagerSpec) -> LabSpec {
    let old = Issue { validity: Some(old), ..Issue::default() };
    LabSpec { managers: vec![ManagerSpec { old, ..manager }], ..names() }
}

/// Every tunnel, as both ends see it: the manager may learn of one a moment later.
fn all_up(world: &World) {
    world.lab.devices.iter().for_each(|device| world.up(device, world.fmc()));
    let seen = || world.bundle(&["check", "--json"]).run().json()["tunnels"]["up"].clone();
    let given_up = Instant::now() + Duration::from_secs(60);
    while seen() != world.lab.devices.len() {
        assert!(Instant::now() < given_up, "the manager sees {} tunnels", seen());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Before the renewal: near, past and up, past and down.
fn before() -> Vec<Printed> {
    const DAY: i64 = 86_400;
    let ten_years = |until| Validity { from: until - 3652 * DAY, until };
    let mut all = Vec::new();

    let near = of_manager(ten_years(now() + 51 * DAY + 3600), ManagerSpec::valid("fmc"));
    let near = World::of(near).start();
    all_up(&near);
    let mut shown = Shown::new(&near);
    shown.bundle("check-near", &["check"]).expect(1);
    all.push(shown.printed);

    // the tunnels begin while the certificates still hold, and outlive them
    let end = now() + 40;
    let up = World::of(of_manager(ten_years(end), ManagerSpec::valid("fmc"))).start();
    all_up(&up);
    while now() <= end + 1 {
        std::thread::sleep(Duration::from_millis(200));
    }
    let mut shown = Shown::new(&up);
    shown.bundle("check-2a", &["check"]).expect(2);
    all.push(shown.printed);

    let down = World::of(of_manager(ten_years(now() - DAY), ManagerSpec::expired("fmc"))).start();
    down.lab.devices.iter().for_each(|device| down.down(device, down.fmc()));
    let mut shown = Shown::new(&down);
    shown.bundle("check-2b", &["check"]).expect(2);
    all.push(shown.printed);
    all
}

/// From FAILED_PUSH to the tunnel, and back.
fn renewal() -> Printed {
    let world = World::of(names()).start();
    let (device, fmc) = (world.ftd(1), world.fmc());
    world.lab.devices.iter().for_each(|device| world.down(device, fmc));
    let mut shown = Shown::new(&world);
    shown.bundle("plan", &["plan"]).expect(0);
    let usb = world.path("usb");
    fs::create_dir(&usb).unwrap();
    let usb = usb.to_str().unwrap();
    let installer = program("sftunnel-install").display().to_string();
    // it is shown at a terminal only
    let flags = ["build", "--generate-passphrase", "--installer", &installer, "--out", usb];
    let run = world.bundle(&flags).under(&["env", "TERM=dumb", "NO_COLOR=1", "COLUMNS=80"]);
    let mut pty = Pty::start(run);
    pty.expect("press Enter: ");
    pty.type_line("");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    let kit = fs::read_dir(usb).unwrap().next().unwrap().unwrap().path();
    let passphrase = screen.lines().skip_while(|line| !line.contains("only now:")).nth(2);
    let passphrase = passphrase.expect("the passphrase").trim().to_owned();
    let text =
        as_on_a_box(&world, &screen.replace(&passphrase, SHOWN_PASSPHRASE).replace('\r', ""));
    shown.printed.insert("build", text.trim_end().to_owned());
    let given = world.write("given.txt", format!("{passphrase}\n"));
    let script = |args: &[&str]| {
        let run = Run::new("sh").arg(kit.join("install.sh")).args(args).env("COLUMNS", "80");
        let run = run.args(["--root", device.root.to_str().unwrap()]);
        run.arg("--passphrase-file").arg(&given).run()
    };
    shown.is("dry-run", &script(&["--dry-run"]).expect(0));
    let flags = ["--yes", "--settle", "1", "--wait-connected", "60"];
    let installed = script(&flags).expect(0);
    shown.is("install", &installed);
    world.up(device, fmc);
    let passphrase = ["--passphrase-file", given.to_str().unwrap()];
    let endpoint = format!("--rehearse={}", fmc.endpoint);
    let verify = [&["verify", &endpoint][..], &passphrase, &[kit.to_str().unwrap()]].concat();
    shown.install("rehearse", 2, &verify).expect(0);
    let receipts = world.bundle(&["receipts"]).arg(&kit).env("COLUMNS", "80").run();
    shown.is("receipts", &receipts.expect(0));

    // what pasting by hand leaves
    let peer = world.ftd(2).peer_dir(fmc);
    for name in ["cacert.pem", "sftunnel-cert.pem", "sftunnel-key.pem"] {
        fs::copy(peer.join(name), peer.join(format!("{name}.backup"))).unwrap();
    }
    fs::write(peer.join("sftunnel-key.pem"), "").unwrap();
    fs::write(peer.join("sftunnel-key.pem\u{200b}\u{200b}"), "").unwrap();
    tool("chmod", "coreutils").arg("600").arg(peer.join("cacert.pem")).run().expect(0);
    world.down(world.ftd(2), fmc);
    shown.install("status-manual", 2, &["status"]).expect(0);

    shown.is("handoff", &handoff(&world, &kit, &given));
    shown.printed
}

/// As it is typed: in the folder that holds the kit.
fn handoff(world: &World, kit: &Path, passphrase: &Path) -> Ran {
    let here = kit.parent().unwrap();
    fs::create_dir(here.join("next")).unwrap();
    world.bundle_program(&["keygen", "signer", "--out"]).arg(here.join("hand.pem")).run().expect(0);
    let run = world.bundle_program(&["handoff"]).arg(kit.file_name().unwrap());
    let run = run.arg("--passphrase-file").arg(passphrase);
    let run = run.args(["--recipient", &world.recipient(), "--sign-key", "hand.pem"]);
    run.args(["--out", "next"]).cwd(here).env("COLUMNS", "80").run().expect(0)
}

/// Two managers, each with a kit of its own.
fn two_managers() -> Printed {
    let spec = names().and_manager(ManagerSpec::renewed("fmc2"));
    let world = World::of(spec).start();
    let mut shown = Shown::new(&world);
    let mut kits = Vec::new();
    for manager in &world.lab.managers {
        let run = world.bundle_on(manager, &["build", "--passphrase-file", "passphrase.txt"]);
        let run = run.arg("--out").arg(world.out());
        let json = run.arg("--json").run().expect(0).json();
        kits.push(json["kit"].as_str().unwrap().to_owned());
    }
    let passphrase = world.path("passphrase.txt");
    let flags = ["--yes", "--settle", "1", "--passphrase-file", passphrase.to_str().unwrap()];
    let one = [&["install"], &flags[..], &[&kits[0]]].concat();
    shown.install("would-drop", 1, &one).expect(3);
    let both = [&["install"], &flags[..], &[&kits[0], &kits[1]]].concat();
    world.on(world.ftd(1), &both).run().expect(0).never_says(PASSPHRASE);
    shown.printed
}

#[test]
fn what_the_documents_show_is_what_the_programs_print() {
    let mut printed = Printed::new();
    for one in before().into_iter().chain([renewal(), two_managers()]) {
        printed.extend(one);
    }
    let overwrites = matches!(Action::with_env_var(DEFAULT_ACTION_ENV), Some(Action::Overwrite));
    let mut used = BTreeSet::new();
    let mut wrong = String::new();
    for document in DOCUMENTS {
        let text = fs::read_to_string(path(document)).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for block in blocks(document).into_iter().rev() {
            let Some(found) = printed.get(block.name.as_str()) else {
                panic!("{document}: nothing makes '{}'", block.name);
            };
            used.insert(block.name.clone());
            if shows(&normalised(&block.text), &normalised(found), block.whole) {
                continue;
            }
            if block.whole && overwrites {
                lines.splice(block.lines, found.lines().map(str::to_owned));
                continue;
            }
            wrong.push_str(&format!(
                "{document}, '{}' differs (SNAPSHOTS=overwrite)\n--- there:\n{}\n--- printed:\n{found}\n\n",
                block.name, block.text
            ));
        }
        if overwrites {
            fs::write(path(document), lines.join("\n") + "\n").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let unused: Vec<_> = printed.keys().filter(|name| !used.contains(**name)).collect();
    assert!(unused.is_empty(), "no document shows {unused:?}");
}

#[test]
fn the_comparison_sees_what_matters() {
    let said = "sftunnel is running, PID 12806.\nvalid until 2036-11-18 (3649 days)";
    let same = "sftunnel is\nrunning, PID 7. valid until 2037-01-02 (3649 days)";
    assert_eq!(normalised(said), normalised(same));
    assert_ne!(normalised("1 of 2 devices"), normalised("2 of 2 devices"));
    assert_ne!(normalised("scenario 2a"), normalised("scenario 2b"));
    assert_ne!(normalised("7.2.9.99-4"), normalised("7.0.6.99-9"));
    let uuid = "0d50b743-a858-11ef-9dc8-3b77cb44e1db";
    assert_eq!(normalised(uuid), normalised("abcdefab-cafe-11ef-dead-bbbbbbbbbbbb"));
    let other = "sftunnel is running, PID 7. valid until 2037-01-02 (51 days)";
    assert_ne!(normalised(said), normalised(other));
    assert!(shows("a … d", "a b c d", true) && !shows("a … c", "a b c d", true));
    assert!(shows("b … d", "a b c d e", false) && !shows("d … b", "a b c d e", false));
    assert!(!shows("b", "a b", true) && shows("a …", "a b", true));
}
