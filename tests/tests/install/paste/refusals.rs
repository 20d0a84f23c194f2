//! What a pasted text refuses: with the installer's reason and exit code, and nothing changes.

use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use formats::timestamp::Timestamp;
use lab::authority::{DAY, Validity};
use lab::{Device, Issue, LabSpec, Manager, ManagerSpec};
use openssl::hash::MessageDigest;
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm::{Cipher, encrypt};
use tests::{Kit, forge, now, refused, tool};

use super::*;

/// A manager's text and kit for the first device.
struct Made {
    text: String,
    kit: Kit,
    trust: [String; 4],
}

impl Made {
    fn by(world: &World, manager: &Manager) -> Self {
        let passphrase = world.write("six-words.txt", SIX_WORDS);
        let words = ["paste", &world.ftd(1).uuid, "--accept-clock", "--text-passphrase-file"];
        let text = world.bundle_on(manager, &words).arg(passphrase).run().expect(0).stdout;
        let kit = world.kit_on(manager, &["--accept-clock"]);
        let [identity, path, signer, _] = world.trust();
        Self { text, kit, trust: [identity, path, signer, world.signer_of(manager)] }
    }
}

/// A run on a device, at another time or behind other words.
struct Place<'a> {
    world: &'a World,
    device: &'a Device,
    under: Vec<String>,
}

impl<'a> Place<'a> {
    fn on(world: &'a World, device: &'a Device) -> Self {
        Self { world, device, under: Vec::new() }
    }

    /// Preloading works with the box's tools and the dynamic build.
    fn at(mut self, time: i64) -> Self {
        tool("faketime", "faketime");
        let time = Timestamp::from_unix(time).unwrap().to_string().replace('T', " ");
        self.under = ["env", "TZ=UTC", "faketime", "-f"].map(str::to_owned).to_vec();
        self.under.push(format!("@{}", time.trim_end_matches('Z')));
        self
    }

    /// Behind a mount of its own.
    fn mounted(mut self, setup: &str) -> Self {
        let script = format!("{setup}; exec \"$@\"");
        let words = ["unshare", "--mount", "sh", "-ec", &script, "sh"];
        self.under = words.map(str::to_owned).to_vec();
        self
    }

    fn wrapped(&self, run: Run) -> Run {
        let words: Vec<&str> = self.under.iter().map(String::as_str).collect();
        if words.is_empty() { run } else { run.under(&words) }
    }

    /// The installer's word for it is the same.
    #[track_caller]
    fn refused_by_the_installer(self, made: &Made, reason: &str) -> Self {
        let run =
            self.world.on(self.device, &["install", "--yes", "--settle", "0", "--accept-drop"]);
        let run = run.args(&made.trust).arg(&made.kit.path);
        refused(self.wrapped(run), reason);
        self
    }

    /// Types or pastes this, gives these passphrases, and is refused.
    #[track_caller]
    fn refuses(self, text: &str, passphrases: &[&str], reason: &str) {
        let before = self.world.snapshot(self.device);
        let restarts = self.device.restarts().unwrap();
        let set = [
            format!("SFTUNNEL_ROOT={}", self.device.root.display()),
            "SFTUNNEL_SETTLE=0".to_owned(),
            "PS1=box# ".to_owned(),
        ];
        let mut pty = Pty::start(self.wrapped(Run::new("env").args(set).args(SHELLS[0])));
        pty.expect("box# ");
        pty.press(text);
        for passphrase in passphrases {
            pty.expect(PASSPHRASE);
            pty.type_line(passphrase);
        }
        pty.expect("refused (");
        pty.expect("box# ");
        pty.type_line("echo code=$?; exit");
        let screen = pty.end().1;
        assert!(screen.contains(&format!("refused ({reason}): ")), "{reason}: {screen}");
        assert!(screen.contains("code=3"), "{reason}: {screen}");
        assert!(!screen.contains(QUESTION), "{reason}: {screen}");
        let changed = before.differences(&self.world.snapshot(self.device));
        assert_eq!(changed, Vec::<String>::new(), "{reason}: {screen}");
        assert_eq!(self.device.restarts().unwrap(), restarts, "{reason}");
        let state = self.device.root.join("var/sf/sftunnel-airgap");
        let backups = fs::read_dir(state.join("backups")).into_iter().flatten().count();
        assert_eq!(backups, 0, "{reason}: {screen}");
        assert!(!state.join("journal").exists(), "{reason}: {screen}");
    }
}

#[test]
fn each_refusal_has_the_installers_word_and_code_and_changes_nothing() {
    let from = now() + 10 * DAY;
    let validity = Validity { from, until: from + 90 * DAY };
    let new = Issue { validity: Some(validity), ..Issue::default() };
    let late = ManagerSpec { new, ..ManagerSpec::renewed("late") };
    let world = World::of(LabSpec::for_tests(2).and_manager(late)).start();
    let [fmc, late] = &world.lab.managers[..] else { panic!("two managers") };
    let device = world.ftd(1);
    let (usual, future) = (Made::by(&world, fmc), Made::by(&world, late));
    let here = || Place::on(&world, device);
    let right = &[SIX_WORDS][..];
    Place::on(&world, world.ftd(2)).refuses(&usual.text, &[], "wrong-device");
    let wrong = ["dabab-dabab-gabab-habab-kabab-lusab"; 3];
    here().refuses(&usual.text, &wrong, "cannot-open");
    for (time, reason) in [
        (now() - DAY, "clock-behind"),
        (now() + DAY, "not-yet-valid"),
        (from + 100 * DAY, "expired"),
    ] {
        here().at(time).refused_by_the_installer(&future, reason).refuses(
            &future.text,
            right,
            reason,
        );
    }
    destinations(&world, &usual);
    full(&world, &usual);
    busy(&world, &usual);
    let (mine, theirs) = (world.new_files(device, fmc), world.new_files(world.ftd(2), fmc));
    let old = world.files(device, fmc);
    for (files, reason) in [
        ([&mine[0], &mine[2], &theirs[1]], "key-mismatch"),
        ([&old[0], &mine[2], &mine[1]], "not-issued-by-ca"),
    ] {
        let files = files.map(|file| file.as_deref().unwrap());
        let command = resealed(&world, &usual.text, files);
        here().refuses(&command, right, reason);
    }
    world.lab.renew().unwrap();
    device.install_by_hand(fmc).unwrap();
    let reason = "older-than-installed";
    here().refused_by_the_installer(&usual, reason).refuses(&usual.text, right, reason);
}

/// The peer directory is away, is a link or lies behind one, is anybody's, or holds a pipe.
fn destinations(world: &World, made: &Made) {
    let device = world.ftd(1);
    let peer = device.peer_dir(world.fmc());
    let aside = device.root.join("var/sf/aside");
    let refuses = |reason: &str| {
        let place = Place::on(world, device).refused_by_the_installer(made, reason);
        place.refuses(&made.text, &[SIX_WORDS], reason);
    };
    for (path, is_folder) in
        [(&*peer, true), (peer.parent().unwrap(), true), (&peer.join("sftunnel-cert.pem"), false)]
    {
        fs::rename(path, &aside).unwrap();
        if path == peer {
            refuses("not-registered");
        }
        symlink(&aside, path).unwrap();
        refuses("wrong-destination");
        fs::remove_file(path).unwrap();
        if !is_folder {
            Run::new("mkfifo").arg(path).run().expect(0);
            refuses("wrong-destination");
            fs::remove_file(path).unwrap();
        }
        fs::rename(&aside, path).unwrap();
    }
    for path in [&*peer, peer.parent().unwrap()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        refuses("wrong-destination");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// File systems without a block, and without an inode.
fn full(world: &World, made: &Made) {
    let device = world.ftd(1);
    let (peer, copy) = (device.peer_dir(world.fmc()), world.path("copy"));
    let state = device.root.join("var/sf/sftunnel-airgap");
    let fill = "cat /dev/zero >\"$to/filler\" 2>/dev/null";
    for (path, options, fill) in [
        (&peer, "size=200k", fill),
        (&peer, "size=8m,nr_inodes=28", "true"),
        (&state, "size=64k", fill),
        (&state, "size=8m,nr_inodes=8", "true"),
    ] {
        let setup = format!(
            "to='{}' copy='{}'; rm -rf \"$copy\"; cp -a \"$to\" \"$copy\"; \
             mount -t tmpfs -o {options},mode=755 none \"$to\"; cp -a \"$copy/.\" \"$to\"; {fill} || :",
            path.display(),
            copy.display()
        );
        let place = Place::on(world, device).mounted(&setup);
        place.refused_by_the_installer(made, "no-space").refuses(
            &made.text,
            &[SIX_WORDS],
            "no-space",
        );
    }
}

/// Another run holds the lock.
fn busy(world: &World, made: &Made) {
    let lock = world.ftd(1).root.join("var/sf/sftunnel-airgap/lock");
    let holder =
        tool("flock", "util-linux").arg("--close").arg(&lock).args(["sleep", "60"]).start();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let place = Place::on(world, world.ftd(1)).refused_by_the_installer(made, "busy");
    place.refuses(&made.text, &[SIX_WORDS], "busy");
    holder.signal("KILL");
    holder.wait();
}

/// Seals other files (CA, certificate, key) in a text's own script, as the builder itself never does.
/// Gives the command that `check.sh` ends with.
fn resealed(world: &World, text: &str, files: [&[u8]; 3]) -> String {
    let is_numbered = |line: &&str| line.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let lines: Vec<&str> = text.lines().filter(is_numbered).map(|line| &line[9..]).collect();
    let begin = lines.iter().position(|line| line.starts_with("exec sh ")).unwrap() + 1;
    let is_mac = |line: &&str| line.len() == 64 && line.bytes().all(|one| one.is_ascii_hexdigit());
    let mac = lines.iter().position(is_mac).unwrap();
    let script = format!("{}\n", lines[begin..mac].join("\n"));
    let sealed = openssl::base64::decode_block(&lines[mac + 1..].concat()).unwrap();
    let (salted, clear) = (&sealed[..16], key_stream_over(&sealed[8..16], &sealed[16..]));
    let mut old = String::new();
    flate2::read::GzDecoder::new(&*clear).read_to_string(&mut old).unwrap();
    let rows = files.map(|file| file.iter().filter(|byte| **byte == b'\n').count().to_string());
    let facts: Vec<&str> = old.lines().take(4).collect();
    let facts = format!("{}\nrows {}\n", facts.join("\n"), rows.join(" "));
    let clear = forge::gzip(&[facts.as_bytes(), &files.concat()].concat());
    let sealed = [salted, &key_stream_over(&salted[8..], &clear)].concat();
    let key = key_stream_over(&mac_salt(&script), &[0; 64]);
    let key = PKey::hmac(&key).unwrap();
    let mut signer = Signer::new(MessageDigest::sha256(), &key).unwrap();
    let mac = signer.sign_oneshot_to_vec(&[script.as_bytes(), &sealed].concat()).unwrap();
    let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    let folder: PathBuf = world.path("resealed");
    fs::create_dir_all(&folder).unwrap();
    for (name, content) in [("s", script.as_bytes()), ("m", mac.as_bytes()), ("x", &sealed)] {
        fs::write(folder.join(name), content).unwrap();
    }
    format!("sh '{0}/s' '{0}'\n", folder.display())
}

/// The second salt, as the script has it for `printf`.
fn mac_salt(script: &str) -> Vec<u8> {
    let line = script.lines().find_map(|line| line.strip_prefix("Z='")).unwrap();
    let octal = line.trim_end_matches('\'').split('\\').skip(1);
    octal.map(|byte| u8::from_str_radix(byte, 8).unwrap()).collect()
}

/// `openssl enc -aes-256-ctr -pbkdf2` under the tests' passphrase, without its header.
fn key_stream_over(salt: &[u8], bytes: &[u8]) -> Vec<u8> {
    let (letters, mut derived) = (SIX_WORDS.replace('-', ""), [0; 48]);
    let sha256 = MessageDigest::sha256();
    pbkdf2_hmac(letters.as_bytes(), salt, 600_000, sha256, &mut derived).unwrap();
    encrypt(Cipher::aes_256_ctr(), &derived[..32], Some(&derived[32..]), bytes).unwrap()
}
