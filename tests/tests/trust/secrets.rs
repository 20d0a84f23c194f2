//! Where keys, passphrases and identities are while the programs run and afterwards: in the
//! device's own files and their 0600 backup, and nowhere else.

mod builder;
mod shown;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use formats::seal::{NewIdentity, Passphrase};
use lab::Fault;
use openssl::rsa::Rsa;
use tests::{PASSPHRASE, Pty, Run, World, tool, wait_until};

/// What is looked for, by what it is.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn text(&mut self, what: &str, text: &str) {
        self.0.push((what.to_owned(), text.as_bytes().to_vec()));
    }

    /// Every line of the PEM body, and the private numbers as DER and as limbs in memory.
    fn key(&mut self, what: &str, pem: &[u8]) {
        let text = std::str::from_utf8(pem).unwrap();
        let body = text.lines().filter(|line| line.len() > 40 && !line.starts_with('-'));
        for (at, line) in body.enumerate() {
            self.text(&format!("{what}, line {}", at + 1), &line[..40]);
        }
        let rsa = Rsa::private_key_from_pem(pem).unwrap();
        let numbers = [("d", rsa.d()), ("p", rsa.p().unwrap()), ("q", rsa.q().unwrap())];
        for (name, number) in numbers {
            let bytes = number.to_vec();
            let limbs: Vec<u8> = bytes.iter().rev().copied().collect();
            self.0.push((format!("{what}, {name} as in DER"), bytes[..32].to_vec()));
            self.0.push((format!("{what}, {name} in limbs"), limbs[..32].to_vec()));
        }
    }

    /// Which of them these bytes hold.
    fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let start = |of: &[u8]| usize::from(of[0]) << 8 | usize::from(of[1]);
        let mut starts = vec![false; 65_536];
        self.0.iter().for_each(|(_, secret)| starts[start(secret)] = true);
        let mut found = BTreeMap::new();
        for at in 0..bytes.len().saturating_sub(1) {
            if starts[start(&bytes[at..])] {
                for (what, secret) in &self.0 {
                    if bytes[at..].starts_with(secret) {
                        *found.entry(what.as_str()).or_insert(0) += 1;
                    }
                }
            }
        }
        found.into_keys().collect()
    }
}

/// A core of this process.
fn core_of(world: &World, pid: u32) -> Vec<u8> {
    let prefix = world.path("core");
    tool("gcore", "gdb").arg("-o").arg(&prefix).arg(pid.to_string()).run().expect(0);
    let path = world.path(format!("core.{pid}"));
    let core = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    assert!(core.len() > 500_000, "a core of the whole process");
    core
}

/// Every mapping of this process that can be written to is locked.
#[track_caller]
fn require_locked(pid: u32) {
    let smaps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let (mut mapping, mut locked, mut not) = ("", 0, Vec::new());
    for line in smaps.lines() {
        // `7f00-7f10 rw-p …` begins a mapping; its fields follow
        let is_first = line.split(' ').next().is_some_and(|word| word.contains('-'));
        if is_first {
            mapping = line;
        } else if let Some(flags) = line.strip_prefix("VmFlags:")
            && mapping.split(' ').nth(1).is_some_and(|bits| bits.starts_with("rw"))
        {
            if flags.split(' ').any(|flag| flag == "lo") {
                locked += 1;
            } else {
                not.push(mapping);
            }
        }
    }
    assert_eq!(not, Vec::<&str>::new());
    assert!(locked > 2, "{locked} mappings:\n{smaps}");
}

fn key_in(files: &[Option<Vec<u8>>; 3]) -> &[u8] {
    files[1].as_deref().unwrap()
}

/// One device, a kit for an identity that lies under a passphrase, and all that is secret.
struct Confidential {
    world: World,
    kit: tests::Kit,
    secrets: Secrets,
    old: [Option<Vec<u8>>; 3],
}

impl Confidential {
    fn new() -> Self {
        let world = World::started(1);
        let identity = NewIdentity::generate();
        let kit = world.kit_with(world.fmc(), &["--recipient", &identity.recipient().to_string()]);
        let signer = world.signing_key().verifying_key().unwrap().fingerprint();
        let sealed = identity.protect(&Passphrase::new(PASSPHRASE.to_owned()), signer).unwrap();
        world.write("protected.age", sealed);
        let mut secrets = Secrets::default();
        let (device, fmc) = (world.ftd(1), world.fmc());
        secrets.key("the new key", key_in(&world.new_files(device, fmc)));
        secrets.key("the old key", key_in(&world.files(device, fmc)));
        let text = identity.file(&[]);
        let text = text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
        secrets.text("the identity", text);
        secrets.text("the passphrase", PASSPHRASE);
        world.write("plain.txt", text);
        let old = world.files(device, fmc);
        Self { world, kit, secrets, old }
    }

    fn install(&self, opened_by: &[&str]) -> Run {
        let run = self.world.on(self.world.ftd(1), &["install", "--yes", "--settle", "1"]);
        run.args(["--signer", &self.world.signer()]).args(opened_by).arg(&self.kit.path)
    }

    /// Which of them a core of this process holds.
    fn core_of(&self, pid: u32) -> Vec<&str> {
        self.secrets.found_in(&core_of(&self.world, pid))
    }

    /// And the key that vouches for the kit.
    fn with_signing_key(&self) -> Secrets {
        let mut secrets = Secrets(self.secrets.0.clone());
        let pem = fs::read(World::signing_key_path(self.world.fmc())).unwrap();
        let text = String::from_utf8(pem.clone()).unwrap();
        // the first 16 bytes of the body are the same in every key
        secrets.text("the signing key", text.lines().nth(1).unwrap().get(24..).unwrap());
        let key = openssl::pkey::PKey::private_key_from_pem(&pem).unwrap();
        let raw = key.raw_private_key().unwrap();
        secrets.0.push(("the signing key, raw".to_owned(), raw));
        secrets
    }

    /// Which files of the device and of the kit hold one, with their modes.
    fn files_with_secrets(&self) -> Vec<(PathBuf, u32)> {
        let mut with = Vec::new();
        for root in [&self.world.ftd(1).root, &self.kit.path] {
            for (path, entry) in lab::snapshot(root).unwrap().0 {
                let path = root.join(path);
                let lab::Content::File(_) = entry.content else { continue };
                if !self.secrets.found_in(&fs::read(&path).unwrap()).is_empty() {
                    with.push((path, entry.mode));
                }
            }
        }
        with
    }

    /// The installer that works on this device.
    fn installer(&self) -> u32 {
        let root = self.world.ftd(1).root.display().to_string();
        let mut found = fs::read_dir("/proc").unwrap().flatten().filter_map(|process| {
            let pid: u32 = process.file_name().to_str()?.parse().ok()?;
            let words = fs::read(process.path().join("cmdline")).ok()?;
            let words = String::from_utf8_lossy(&words).into_owned();
            let program = words.split('\0').next()?;
            (program.ends_with("/sftunnel-install") && words.contains(&root)).then_some(pid)
        });
        found.next().unwrap()
    }
}

const BY_PASSPHRASE: [&str; 4] =
    ["--identity", "protected.age", "--passphrase-file", "passphrase.txt"];

/// Every way in, and both ways back: while sftunnel is waited for there is no secret left.
#[test]
fn a_core_of_the_waiting_installer_holds_no_secret() {
    let case = Confidential::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    let slow = || device.set_fault(&Fault::Slow(Duration::from_secs(60))).unwrap();
    let looked_into = |run: Run, what: &str| {
        let restarts = device.restarts().unwrap();
        let started = run.start();
        wait_until(|| device.restarts().unwrap() > restarts);
        let found = case.core_of(started.pid());
        started.signal("KILL");
        drop(started.wait());
        assert_eq!(found, Vec::<&str>::new(), "{what}");
    };
    let again = || {
        device.set_fault(&Fault::None).unwrap();
        world.on(device, &["recover", "--settle", "0"]).run().expect(0);
    };

    slow();
    looked_into(case.install(&BY_PASSPHRASE), "a passphrase from a file");
    again();
    world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    slow();
    looked_into(case.install(&["--identity", "plain.txt"]), "an identity from a file");
    again();
    slow();
    looked_into(world.on(device, &["rollback", "--yes"]), "a rollback");
    again();
}

/// The way back reads the old key from the backup: in the run itself, and in `recover`.
#[test]
fn nor_does_a_core_of_the_way_back() {
    let case = Confidential::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    let restarts = world.path("restarts");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = restartbyid ]; then\n  echo >>'{0}'\n  [ $(wc -l <'{0}') -eq 1 ] || sleep 60\n  exit 0\nfi\nexec '{1}' \"$@\"\n",
        restarts.display(),
        device.root.join("usr/local/sf/bin/pmtool").display()
    );
    let pmtool = world.write("pmtool-that-waits", script);
    Run::new("chmod").arg("755").arg(&pmtool).run().expect(0);
    let looked_into = |run: Run, number: usize, what: &str| {
        let run = run.args(["--restart-timeout", "2"]).arg("--pmtool").arg(&pmtool);
        let started = run.start();
        let calls = || fs::read_to_string(&restarts).map_or(0, |text| text.lines().count());
        wait_until(|| calls() >= number);
        assert_eq!(world.files(device, world.fmc()), case.old, "{what}: they are back");
        let found = case.core_of(started.pid());
        require_locked(started.pid());
        started.signal("KILL");
        drop(started.wait());
        assert_eq!(found, Vec::<&str>::new(), "{what}");
    };
    // the first restart does nothing, and the second is that of the way back
    looked_into(case.install(&BY_PASSPHRASE), 2, "an installation that is undone");
    looked_into(world.on(device, &["recover", "--settle", "0"]), 3, "a recovery");
    world.on(device, &["recover", "--settle", "0"]).run().expect(0).says("All old");
}

#[test]
fn nor_when_the_passphrase_or_identity_was_typed() {
    let case = Confidential::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    let plain = fs::read_to_string(world.path("plain.txt")).unwrap();
    let protected = world.path("protected.age").display().to_string();
    let bundle = case.kit.bundle(device);
    for (opened_by, prompt, typed) in [
        (&["--identity", &protected][..], "Passphrase for", PASSPHRASE),
        (&[], "Paste the", &plain),
    ] {
        device.set_fault(&Fault::Slow(Duration::from_secs(60))).unwrap();
        let restarts = device.restarts().unwrap();
        let run = world.on(device, &["install", "--signer", &world.signer()]);
        let mut pty = Pty::start(run.args(opened_by).arg(&bundle));
        pty.expect(prompt);
        pty.type_line("wrong");
        pty.expect("try again");
        pty.expect(prompt);
        pty.type_line(typed);
        pty.expect("Go on? Type 'yes'");
        // the control: here the key is there, and is found
        let installer = case.installer();
        assert!(case.core_of(installer).contains(&"the new key, line 7"));
        pty.type_line("yes");
        wait_until(|| device.restarts().unwrap() > restarts);
        let found = case.core_of(installer);
        Run::new("kill").args(["-KILL", &installer.to_string()]).run().expect(0);
        drop(pty.end());
        assert_eq!(found, Vec::<&str>::new(), "{prompt}");
        device.set_fault(&Fault::None).unwrap();
        world.on(device, &["recover", "--settle", "0"]).run().expect(0);
        world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    }
}

/// What a process was given and may show: arguments and environment.
fn shown_by(pid: u32) -> Vec<u8> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap();
    [read("cmdline"), read("environ")].concat()
}

#[test]
fn no_secret_stands_in_arguments_environment_or_any_other_file() {
    let case = Confidential::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    let peer = device.peer_dir(world.fmc());
    let other: Vec<_> = case.files_with_secrets().into_iter().map(|(path, _)| path).collect();
    // ended well, rolled back, and stopped half-way with all of its traces
    case.install(&BY_PASSPHRASE).run().expect(0);
    world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    device.set_fault(&Fault::Slow(Duration::from_secs(60))).unwrap();
    let restarts = device.restarts().unwrap();
    let started = case.install(&BY_PASSPHRASE).start();
    wait_until(|| device.restarts().unwrap() > restarts);
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", started.pid()));
    let pmtool = children.unwrap().trim().parse().unwrap();
    for pid in [started.pid(), pmtool] {
        assert_eq!(case.secrets.found_in(&shown_by(pid)), Vec::<&str>::new());
    }
    started.signal("KILL");
    drop(started.wait());

    // the kit with its receipts, the state with log, journal and records, all of the tree
    let state = device.root.join("var/sf/sftunnel-airgap");
    assert!(state.join("journal").is_file() && case.kit.path.join("receipts").is_dir());
    let mut own = case.files_with_secrets();
    // keys of the lab's other files are from the same pool
    own.retain(|(path, _)| !other.contains(path) || path.starts_with(&peer));
    own.retain(|(path, _)| !path.ends_with("LL-key.pem"));
    let (live, backups): (Vec<_>, Vec<_>) =
        own.into_iter().partition(|(path, _)| path.starts_with(&peer));
    assert_eq!(live, [(peer.join("sftunnel-key.pem"), 0o644)]);
    assert_eq!(backups.len(), 3, "one for each change: {backups:?}");
    for (path, mode) in backups {
        assert!(path.starts_with(state.join("backups")), "{}", path.display());
        assert_eq!(mode, 0o600, "{}", path.display());
    }
}

#[test]
fn no_core_is_written_and_memory_is_locked() {
    let case = Confidential::new();
    let device = case.world.ftd(1);
    device.set_fault(&Fault::Slow(Duration::from_secs(60))).unwrap();
    let started = case.install(&BY_PASSPHRASE).start();
    wait_until(|| device.restarts().unwrap() == 1);
    let proc_of = |name: &str| format!("/proc/{}/{name}", started.pid());
    let limits = fs::read_to_string(proc_of("limits")).unwrap();
    // the hard limit stays: what pmtool starts could not raise it again
    let of = |limits: &str| {
        let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        line.split_whitespace().skip(4).take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let own = of(&fs::read_to_string("/proc/self/limits").unwrap());
    assert_eq!(of(&limits), ["0", own[1].as_str()]);
    require_locked(started.pid());
    started.signal("KILL");
    drop(started.wait());
}

/// `PR_SET_DUMPABLE` off: another process of the same user reads neither memory nor
/// environment. Shown with a user who is not root, whom nothing stops.
#[test]
fn the_same_user_cannot_look_into_either_program() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let bundle = fs::read(kit.bundle(world.ftd(1))).unwrap();
    Run::new("chmod").args(["-R", "a+rX"]).arg(world.path("")).run().expect(0);
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    let readable = |pid: u32| {
        let run = Run::new("setpriv").args(nobody).args(["head", "-c1"]);
        run.arg(format!("/proc/{pid}/environ")).run().code() == Some(0)
    };
    for (program, dumpable) in
        [("sftunnel-install", false), ("sftunnel-bundle", false), ("cat", true)]
    {
        let copy = world.path(program);
        let path = if dumpable { "/bin/cat".into() } else { tests::program(program) };
        fs::copy(path, &copy).unwrap();
        Run::new("chmod").arg("755").arg(&copy).run().expect(0);
        let mut command = Command::new("setpriv");
        command.args(nobody).arg(&copy);
        if !dumpable {
            command.arg("inspect");
        }
        // it waits for the rest of its standard input
        let command = command.arg("-").stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&bundle[..100]).unwrap();
        wait_until(|| {
            fs::read_to_string(format!("/proc/{}/wchan", child.id()))
                .is_ok_and(|place| place.contains("pipe"))
                || fs::read_to_string(format!("/proc/{}/syscall", child.id()))
                    .is_ok_and(|call| call.starts_with("0 "))
        });
        let found = readable(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, dumpable, "{program}");
    }
}
