//! A lab in a folder of its own, with an identity, both programs and room for kits.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use formats::signature::{SigningKey, VerifyingKey};
use lab::{Device, Lab, LabSpec, Manager, Snapshot};
use tempfile::TempDir;

use crate::ran::{Ran, Run, program};

/// Passphrase of every passphrase kit in the tests.
pub const PASSPHRASE: &str = "correct-horse-battery-staple-42";
/// Time limit for a tunnel, long enough for a machine that compiles at the same time.
const SOON: Duration = Duration::from_secs(30);

/// A lab, an identity, a passphrase file. Ends with its daemons, also when a test fails.
#[derive(Debug)]
pub struct World {
    /// The FMCs and FTDs.
    pub lab: Lab,
    folder: TempDir,
    secrets: Vec<String>,
    kits: AtomicUsize,
}

/// A kit that was built.
#[derive(Debug, Clone)]
pub struct Kit {
    /// Folder of the kit.
    pub path: PathBuf,
}

impl Kit {
    /// Path of its bundle for a device.
    pub fn bundle(&self, device: &Device) -> PathBuf {
        let found = fs::read_dir(self.path.join("bundles")).unwrap().flatten();
        let is_its = |path: &PathBuf| path.to_string_lossy().contains(&device.uuid);
        found.map(|item| item.path()).find(is_its).expect("a bundle for the device")
    }
}

impl World {
    /// Makes a world of this number of devices and one renewed manager; nothing is started.
    pub fn new(devices: usize) -> Self {
        Self::of(LabSpec::for_tests(devices))
    }

    /// Like [`World::new`], with every sftunnel running and every tunnel down.
    pub fn started(devices: usize) -> Self {
        Self::new(devices).start()
    }

    /// Makes a world of a specification.
    pub fn of(spec: LabSpec) -> Self {
        let is_root = fs::metadata("/proc/self")
            .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        assert!(is_root, "these tests install files as root does: run them as root");
        let folder = TempDir::new().unwrap();
        let stand_ins = program("sftunnel-bundle").with_file_name("pmtool").is_file();
        let beside = program("sftunnel-bundle").parent().map(Path::to_path_buf);
        let spec = LabSpec {
            programs: spec.programs.or(beside.filter(|_| stand_ins)),
            key_pool: spec.key_pool.or(Some(12)),
            ..spec
        };
        let lab = Lab::build(&folder.path().join("lab"), &spec).unwrap();
        let mut world = Self { lab, folder, secrets: Vec::new(), kits: AtomicUsize::new(0) };
        world.collect_secrets();
        world
    }

    /// Starts every sftunnel.
    #[must_use]
    pub fn start(self) -> Self {
        self.lab.start().unwrap();
        self
    }

    fn collect_secrets(&mut self) {
        self.write("passphrase.txt", format!("{PASSPHRASE}\n"));
        self.bundle_program(&["keygen", "identity", "--out"])
            .arg(self.path("identity.txt"))
            .run()
            .expect(0);
        let identity = fs::read_to_string(self.path("identity.txt")).unwrap();
        let secret = identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1"));
        let mut secrets = vec![PASSPHRASE.to_owned(), secret.expect("a secret key").to_owned()];
        for path in lab::snapshot(self.lab.dir()).unwrap().0.into_keys() {
            let is_key = path.to_string_lossy().ends_with("key.pem");
            if let (true, Ok(pem)) = (is_key, fs::read_to_string(self.lab.dir().join(&path))) {
                // a line from the middle of the key
                secrets
                    .extend(pem.lines().nth(5).filter(|line| line.len() > 20).map(str::to_owned));
            }
        }
        self.secrets = secrets;
    }

    /// Returns a path in the folder of this test.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder of this test.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), content).unwrap();
        self.path(name)
    }

    /// Returns the first manager.
    pub fn fmc(&self) -> &Manager {
        &self.lab.managers[0]
    }

    /// A device, counted from 1.
    pub fn ftd(&self, number: usize) -> &Device {
        &self.lab.devices[number - 1]
    }

    /// Returns the public half of the identity.
    pub fn recipient(&self) -> String {
        let text = fs::read_to_string(self.path("identity.txt")).unwrap();
        let line = text.lines().find_map(|line| line.split_once("age1"));
        format!("age1{}", line.expect("a public key in the identity file").1.trim())
    }

    /// Returns the secret half of the identity.
    pub fn identity(&self) -> String {
        fs::read_to_string(self.path("identity.txt")).unwrap()
    }

    /// Path of a manager's signing key.
    pub fn signing_key_path(manager: &Manager) -> PathBuf {
        manager.root.join("var/sf/sftunnel-airgap/signing-key.pem")
    }

    /// The first manager's signing key, once a kit was built.
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_pem(&fs::read(Self::signing_key_path(self.fmc())).unwrap()).unwrap()
    }

    /// Fingerprint of the first manager's signing key.
    pub fn signer(&self) -> String {
        self.signer_of(self.fmc())
    }

    /// Fingerprint of a manager's signing key.
    pub fn signer_of(&self, manager: &Manager) -> String {
        let key = SigningKey::from_pem(&fs::read(Self::signing_key_path(manager)).unwrap());
        let key: VerifyingKey = key.unwrap().verifying_key().unwrap();
        key.fingerprint().to_string()
    }

    /// A manager's public key in a file of its own.
    pub fn signer_file(&self, manager: &Manager) -> PathBuf {
        let key = SigningKey::from_pem(&fs::read(Self::signing_key_path(manager)).unwrap());
        let public = key.unwrap().verifying_key().unwrap();
        self.write(&format!("{}.pub.pem", manager.uuid), public.to_pem().unwrap())
    }

    /// `sftunnel-bundle` with the first manager as its root.
    pub fn bundle(&self, args: &[&str]) -> Run {
        self.bundle_on(self.fmc(), args)
    }

    /// `sftunnel-bundle` on a manager.
    pub fn bundle_on(&self, manager: &Manager, args: &[&str]) -> Run {
        self.bundle_program(&[]).arg("--root").arg(&manager.root).args(args)
    }

    /// `sftunnel-bundle` with these arguments alone.
    pub fn bundle_program(&self, args: &[&str]) -> Run {
        self.prepared(Run::new(program("sftunnel-bundle"))).args(args)
    }

    /// `sftunnel-install` on a device. A change does not look for the tunnel afterwards, unless
    /// `--wait-connected` follows: many of these tests end with it down.
    pub fn on(&self, device: &Device, args: &[&str]) -> Run {
        let mut run = self.waiting_on(device, &[]);
        for word in args {
            run = run.arg(word);
            if ["install", "rollback"].contains(word) {
                run = run.arg("--no-wait");
            }
        }
        run
    }

    /// Like [`World::on`], exactly as it is typed.
    pub fn waiting_on(&self, device: &Device, args: &[&str]) -> Run {
        let run = self.prepared(Run::new(program("sftunnel-install")));
        run.arg("--root").arg(&device.root).args(args)
    }

    pub(crate) fn prepared(&self, run: Run) -> Run {
        run.secrets(&self.secrets).tree(self.folder.path()).cwd(self.folder.path())
    }

    /// A new folder for kits.
    pub fn out(&self) -> PathBuf {
        let number = self.kits.fetch_add(1, Ordering::SeqCst);
        let out = self.path(format!("kits-{number}"));
        fs::create_dir(&out).unwrap();
        out
    }

    /// Builds a recipient kit of the first manager, with additional flags.
    pub fn kit(&self, flags: &[&str]) -> Kit {
        self.kit_on(self.fmc(), flags)
    }

    /// Builds a recipient kit of a manager.
    pub fn kit_on(&self, manager: &Manager, flags: &[&str]) -> Kit {
        let recipient = self.recipient();
        self.kit_with(manager, &[&["--recipient", &recipient], flags].concat())
    }

    /// Builds a passphrase kit of the first manager.
    pub fn passphrase_kit(&self) -> Kit {
        self.kit_with(self.fmc(), &["--passphrase-file", "passphrase.txt"])
    }

    /// Builds a kit of a manager with exactly these flags.
    pub fn kit_with(&self, manager: &Manager, flags: &[&str]) -> Kit {
        let out = self.out();
        let run = self.bundle_on(manager, &["build", "--json", "--out"]).arg(&out).args(flags);
        let ran = run.run();
        match ran.json()["kit"].as_str() {
            Some(kit) => Kit { path: PathBuf::from(kit) },
            None => ran.fail("no kit was made"),
        }
    }

    /// The flags that open and trust a recipient kit of the first manager.
    pub fn trust(&self) -> [String; 4] {
        let identity = self.path("identity.txt").display().to_string();
        ["--identity".to_owned(), identity, "--signer".to_owned(), self.signer()]
    }

    /// `install --yes` from a recipient kit or bundle, as its signer is named.
    pub fn install(&self, device: &Device, source: &Path) -> Run {
        let run = self.on(device, &["install", "--yes", "--settle", "1"]);
        run.args(self.trust()).arg(source)
    }

    /// Like [`World::install`], without a settle time: for tests of files rather than of sftunnel.
    pub fn install_at_once(&self, device: &Device, source: &Path) -> Run {
        let run = self.on(device, &["install", "--yes", "--settle", "0"]);
        run.args(self.trust()).arg(source)
    }

    /// Installs a pmtool of the test's own on a device: these lines of a shell script, then the
    /// real one. The script has it as `$real`, the folder of this test as `$here`, and the first
    /// manager's peer directory as `$peer`.
    pub fn pmtool(&self, device: &Device, lines: &str) -> String {
        let script = format!(
            "#!/bin/sh\nreal='{}'\nhere='{}'\npeer='{}'\n{lines}\nexec \"$real\" \"$@\"\n",
            device.root.join("usr/local/sf/bin/pmtool").display(),
            self.folder.path().display(),
            device.peer_dir(self.fmc()).display()
        );
        let path = self.write("own-pmtool", script);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&path, mode).unwrap();
        path.display().to_string()
    }

    /// Takes a snapshot of a device's root directory, without paths that change by themselves.
    pub fn snapshot(&self, device: &Device) -> Snapshot {
        lab::snapshot(&device.root).unwrap().settled().without(&["var/sf/sftunnel-airgap"])
    }

    /// Fails unless a device is as it was.
    #[track_caller]
    pub fn unchanged(&self, device: &Device, before: &Snapshot, ran: &Ran) {
        let differences = before.differences(&self.snapshot(device));
        if !differences.is_empty() {
            ran.fail(&format!("expected no change, found:\n{}", differences.join("\n")));
        }
    }

    /// Reads the three files of a peer directory, `None` for an absent one.
    pub fn files(&self, device: &Device, manager: &Manager) -> [Option<Vec<u8>>; 3] {
        lab::layout::CREDENTIALS.map(|name| fs::read(device.peer_dir(manager).join(name)).ok())
    }

    /// Reads the manager's new set, in the same order.
    pub fn new_files(&self, device: &Device, manager: &Manager) -> [Option<Vec<u8>>; 3] {
        manager.new_credentials(&device.uuid).unwrap().map(|(_, content)| Some(content))
    }

    /// Waits until a tunnel is up, or fails.
    #[track_caller]
    pub fn up(&self, device: &Device, manager: &Manager) {
        self.lab.wait(device, manager, true, SOON).unwrap();
    }

    /// Waits until a tunnel is down with an expired certificate, or fails.
    #[track_caller]
    pub fn down(&self, device: &Device, manager: &Manager) {
        let status = self.lab.wait(device, manager, false, SOON).unwrap();
        assert_eq!(status.last_error.as_deref(), Some("certificate has expired"), "{status:?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.lab.stop();
    }
}
