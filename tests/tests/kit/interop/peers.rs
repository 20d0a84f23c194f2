//! Every kind of key with every program of age: Debian's `age` (Go) and the crate's `rage`
//! (Rust) open what we seal, we open what they seal, with the same inside byte for byte.

use std::fs;
use std::path::{Path, PathBuf};

use tests::{PASSPHRASE, Pty, Run, World, rage, tool};

/// Somebody else's age.
type Peer = fn() -> Run;
const PEERS: [(&str, Peer); 2] = [("age", || tool("age", "age")), ("rage", rage)];

/// A key pair made by another program: its secret half in a file, perhaps under
/// [`PASSPHRASE`], its public half as text.
struct Key {
    file: PathBuf,
    recipient: String,
    protected: bool,
}

fn native(world: &World) -> Key {
    let file = world.out().join("identity.txt");
    tool("age-keygen", "age").arg("-o").arg(&file).run().expect(0);
    let public = tool("age-keygen", "age").arg("-y").arg(&file).run().expect(0);
    Key { file, recipient: public.stdout.trim().to_owned(), protected: false }
}

/// An identity file under a passphrase, as `age -p` and `rage -p` make it.
fn native_protected(world: &World, peer: Peer, armor: bool) -> Key {
    let plain = native(world);
    let file = plain.file.with_extension("age");
    let run = peer().args(["--passphrase", "--output"]).arg(&file);
    let mut pty = Pty::start(run.args(armor.then_some("--armor")).arg(&plain.file));
    for prompt in ["assphrase", "onfirm"] {
        pty.expect(prompt);
        pty.type_line(PASSPHRASE);
    }
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    Key { file, protected: true, ..plain }
}

fn ssh(world: &World, words: &[&str], passphrase: &str) -> Key {
    let file = world.out().join("id");
    let keygen = tool("ssh-keygen", "openssh-client").args(["-q", "-N", passphrase]).args(words);
    keygen.args(["-C", "someone@site", "-f"]).arg(&file).run().expect(0);
    let public = fs::read_to_string(file.with_extension("pub")).unwrap();
    Key { file, recipient: public.trim().to_owned(), protected: !passphrase.is_empty() }
}

/// `--decrypt` by another program, which asks for the passphrase at a terminal.
fn opened(peer: Peer, key: &Key, sealed: &Path, out: PathBuf) -> Vec<u8> {
    let run = peer().args(["--decrypt", "--identity"]).arg(&key.file);
    let run = run.arg("--output").arg(&out).arg(sealed);
    if key.protected {
        let mut pty = Pty::start(run);
        pty.expect("assphrase");
        pty.type_line(PASSPHRASE);
        let (code, screen) = pty.end();
        assert_eq!(code, 0, "{screen}");
    } else {
        run.run().expect(0);
    }
    fs::read(out).unwrap()
}

/// Ours: both programs check every byte of the inside, the installer against the device too.
fn assert_we_open(world: &World, key: &Key, sealed: &Path) {
    let builder = world.bundle(&["verify"]);
    let installer = world.on(world.ftd(1), &["verify", "--signer", &world.signer()]);
    for run in [builder, installer] {
        let run = run.arg("--identity").arg(&key.file);
        run.args(flags(key)).arg(sealed).run().expect(0);
    }
}

fn flags(key: &Key) -> &'static [&'static str] {
    if key.protected { &["--passphrase-file", "passphrase.txt"] } else { &[] }
}

/// There and back with both peers.
fn assert_carried(world: &World, key: &Key) {
    let expected = inside(world);
    for armor in [false, true] {
        let armor: &[&str] = if armor { &["--armor"] } else { &[] };
        let flags = [&["--recipient", &key.recipient], armor].concat();
        let kit = world.kit_with(world.fmc(), &flags);
        let bundle = kit.bundle(world.ftd(1));
        assert_we_open(world, key, &bundle);
        for (name, peer) in PEERS {
            let inner = opened(peer, key, &bundle, world.out().join("inside"));
            assert_eq!(names(&inner), expected, "what {name} opened");
            let plain = world.write("inner.tar.gz", &inner);
            let again = world.out().join("again.age");
            let seal = peer().args(["--recipient", &key.recipient]).args(armor);
            seal.arg("--output").arg(&again).arg(&plain).run().expect(0);
            assert_we_open(world, key, &again);
        }
    }
}

/// The names and digests that `tar` and `sha256sum` see in a bundle's inside; the manifest
/// differs from build to build by its time.
fn names(inside: &[u8]) -> Vec<String> {
    let line = "tar -xzf - && sha256sum cacert.pem sftunnel-cert.pem sftunnel-key.pem && ls";
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new("sh").args(["-ec", line]).cwd(folder.path()).stdin(inside).run();
    run.expect(0).stdout.lines().map(str::to_owned).collect()
}

fn inside(world: &World) -> Vec<String> {
    let kit = world.kit(&[]);
    let key =
        Key { file: world.path("identity.txt"), recipient: world.recipient(), protected: false };
    names(&opened(PEERS[0].1, &key, &kit.bundle(world.ftd(1)), world.out().join("inside")))
}

#[test]
fn native_keys_carry_a_bundle_there_and_back() {
    let world = World::new(1);
    assert_carried(&world, &native(&world));
}

#[test]
fn native_keys_under_a_passphrase_are_taken_from_both_peers() {
    let world = World::new(1);
    for (number, (_, peer)) in PEERS.into_iter().enumerate() {
        let key = native_protected(&world, peer, number == 0);
        let kit = world.kit_with(world.fmc(), &["--recipient", &key.recipient]);
        assert_we_open(&world, &key, &kit.bundle(world.ftd(1)));
    }
}

#[test]
fn ssh_ed25519_keys_carry_a_bundle_there_and_back() {
    let world = World::new(1);
    assert_carried(&world, &ssh(&world, &["-t", "ed25519"], ""));
}

#[test]
fn ssh_rsa_keys_carry_a_bundle_there_and_back() {
    let world = World::new(1);
    assert_carried(&world, &ssh(&world, &["-t", "rsa", "-b", "3072"], ""));
}

#[test]
fn ssh_keys_under_a_passphrase_carry_a_bundle_there_and_back() {
    let world = World::new(1);
    assert_carried(&world, &ssh(&world, &["-t", "ed25519"], PASSPHRASE));
    assert_carried(&world, &ssh(&world, &["-t", "rsa", "-b", "2048"], PASSPHRASE));
}

#[test]
fn an_installation_is_opened_with_an_ssh_key_under_a_passphrase() {
    let world = World::started(1);
    let key = ssh(&world, &["-t", "ed25519"], PASSPHRASE);
    let kit = world.kit_with(world.fmc(), &["--recipient", &key.recipient]);
    let install = |passphrase: &str| {
        let file = world.write("typed.txt", passphrase);
        let flags = ["install", "--yes", "--settle", "1", "--signer", &world.signer()];
        let run = world.on(world.ftd(1), &flags).arg("--identity").arg(&key.file);
        run.arg("--passphrase-file").arg(file).arg(&kit.path).run()
    };
    let before = world.snapshot(world.ftd(1));
    let refused = install("another one").expect(3).says("cannot-open");
    world.unchanged(world.ftd(1), &before, &refused);
    install(PASSPHRASE).expect(0);
    world.up(world.ftd(1), world.fmc());
}

#[test]
fn another_persons_keys_open_nothing() {
    let world = World::new(1);
    let right = native(&world);
    let kit = world.kit_with(world.fmc(), &["--recipient", &right.recipient]);
    for wrong in [native(&world), ssh(&world, &["-t", "ed25519"], "")] {
        let run = world.on(world.ftd(1), &["verify", "--signer", &world.signer(), "--identity"]);
        run.arg(&wrong.file).arg(kit.bundle(world.ftd(1))).run().expect(3).says("cannot-open");
    }
}

#[test]
fn keys_that_cannot_encrypt_are_refused_by_kind() {
    let world = World::new(1);
    for words in [&["-t", "ecdsa"][..], &["-t", "rsa", "-b", "1024"]] {
        let key = ssh(&world, words, "");
        let run = world.bundle(&["build", "--recipient", &key.recipient, "--out"]);
        let code = run.arg(world.out()).run().never_says("panicked").code();
        assert!(matches!(code, Some(2 | 3)), "{words:?} {code:?}");
    }
}

#[test]
fn rage_opens_a_passphrase_kit() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let key =
        Key { file: kit.path.join("kit.identity.age"), recipient: String::new(), protected: true };
    let out = world.path("inside.tar.gz");
    let inner = opened(rage, &key, &kit.bundle(world.ftd(1)), out);
    assert_eq!(names(&inner), inside(&world));
}

#[test]
fn a_post_quantum_kit_goes_from_team_to_team_and_is_installed() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let keys: Vec<(String, String)> = ["one", "two"]
        .map(|name| {
            let file = world.path(format!("{name}.txt")).display().to_string();
            let keygen = ["keygen", "identity", "--post-quantum", "--json", "--out", &file];
            let made = world.bundle_program(&keygen).run().expect(0).json();
            (file, made["recipient"].as_str().unwrap().to_owned())
        })
        .into();
    let [(one, first), (two, second)] = keys.as_slice() else { panic!("two keys") };
    assert!(first.starts_with("age1pq1") && fs::read_to_string(one).unwrap().contains("-PQ-1"));

    // beside another kind nothing is sealed
    let mixed = world.bundle(&["build", "--recipient", first, "--recipient", &world.recipient()]);
    let out = world.out();
    mixed.arg("--out").arg(&out).run().expect(2).says("quantum computer");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);

    // with a passphrase besides, and on to the next team
    let kit = world.kit_with(fmc, &["--recipient", first, "--passphrase-file", "passphrase.txt"]);
    let bundle = fs::read(kit.bundle(device)).unwrap();
    let header = String::from_utf8_lossy(&bundle);
    assert_eq!(header.matches("-> mlkem768x25519 ").count(), 2, "the recipient and the kit");
    assert!(!header.contains("-> X25519 "), "one that a quantum computer breaks");
    let by_passphrase = world.on(device, &["verify", "--passphrase-file", "passphrase.txt"]);
    by_passphrase.arg(&kit.path).run().expect(0);
    let out = world.out();
    let handoff = world.bundle(&["handoff", "--json", "-i", one, "-r", second, "--out"]);
    let made = handoff.arg(&out).arg(&kit.path).run().expect(0).json();
    let next = made["kits"][0]["path"].as_str().unwrap();
    let install = |identity: &str| {
        let flags = ["install", "--yes", "--settle", "1", "--signer", &world.signer()];
        world.on(device, &flags).args(["--identity", identity, next]).run()
    };
    install(one).expect(3).says("cannot-open");
    install(two).expect(0);
    world.up(device, fmc);
}
