//! Boxes to interrupt: one lab, and for each thread a copy of its device with a running
//! sftunnel. Nothing is built for a case; only the few files that a case can change are put
//! back.
//!
//! The managers' daemons are not started, so sftunnel on the box finds nobody to talk to and
//! costs little. It, its `pmtool` and the programs are the real ones of the lab and of this
//! workspace.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use formats::device::CredentialFile;
use lab::{LabSpec, ManagerSpec};
use openssl::sha::Sha256;
use serde_json::Value;

use super::tree::{Node, Tree, fingerprints};
use super::verdict::Ends;
use crate::ran::{Ran, Run, program};
use crate::world::World;

/// A live file as it matters here: bytes, mode, owner; `None` when absent.
pub type Live = Option<Node>;
/// The three files of each manager.
pub type Files = Vec<[Live; 3]>;

/// The lab that all stands are copies of.
#[derive(Debug)]
pub struct Scene {
    /// The lab with the original device.
    pub world: World,
    kits: Vec<PathBuf>,
    managers: Vec<String>,
}

/// One box, used over and over by one thread.
#[derive(Debug)]
pub struct Stand<'a> {
    scene: &'a Scene,
    /// Its own folder: everything that a run can change lies below.
    pub dir: PathBuf,
    others: BTreeMap<PathBuf, String>,
}

const STATE: &str = "box/var/sf/sftunnel-airgap";
const STAGED: &str = ".sftunnel-airgap-";

impl Scene {
    /// Builds one device with this number of managers, and a kit of each.
    pub fn new(managers: usize) -> Self {
        let spec = LabSpec::for_tests(1);
        let spec = (2..=managers).fold(spec, |spec, number| {
            spec.and_manager(ManagerSpec::renewed(&format!("fmc{number}")))
        });
        let world = World::of(spec);
        let mut kits = vec![world.kit(&[]).path];
        let key = World::signing_key_path(world.fmc()).display().to_string();
        for manager in &world.lab.managers[1..] {
            kits.push(world.kit_on(manager, &["--sign-key", &key]).path);
        }
        let managers = world.lab.managers.iter().map(|manager| manager.uuid.clone()).collect();
        Self { world, kits, managers }
    }

    /// The files that the kits hold, as they are when installed (docs/facts.md: `644 root:root`).
    pub fn new_files(&self) -> Files {
        let device = self.world.ftd(1);
        let node = |bytes: Vec<u8>| Some(Node { mode: 0o644, owner: (0, 0), bytes: Some(bytes) });
        let of = |manager: &lab::Manager| {
            let found = manager.new_credentials(&device.uuid).unwrap();
            CredentialFile::ALL.map(|file| {
                let (_, bytes) = found.iter().find(|(name, _)| *name == file.name()).unwrap();
                node(bytes.clone())
            })
        };
        self.world.lab.managers.iter().map(of).collect()
    }
}

impl<'a> Stand<'a> {
    /// Copies the device and starts its sftunnel.
    pub fn new(scene: &'a Scene, number: usize) -> Self {
        let dir = scene.world.path(format!("stand-{number}"));
        fs::create_dir(&dir).unwrap();
        let device = scene.world.ftd(1);
        Run::new("cp").arg("-a").arg(&device.root).arg(dir.join("box")).run().expect(0);
        for (index, kit) in scene.kits.iter().enumerate() {
            Run::new("cp").arg("-a").arg(kit).arg(dir.join(format!("kit-{index}"))).run().expect(0);
        }
        // the lab's note of what it was built with names the folder
        let note = dir.join("box/var/sf/lab/built-with");
        let here = dir.join("box").display().to_string();
        let text = fs::read_to_string(&note).unwrap();
        fs::write(&note, text.replace(&device.root.display().to_string(), &here)).unwrap();
        let mut stand = Self { scene, dir, others: BTreeMap::new() };
        stand.make_old_files_uneven();
        stand.write_pmtool();
        let enable = stand.lab_pmtool("enablebyid sftunnel");
        assert!(enable.code() == Some(0), "{}", enable.output());
        stand.boot();
        stand.others = stand.other_files();
        stand
    }

    /// Modes and owners that a restore has to bring back, and an installation replaces.
    fn make_old_files_uneven(&self) {
        for manager in &self.scene.managers {
            let peer = self.dir.join(peer_dir(manager));
            fs::set_permissions(peer.join("sftunnel-key.pem"), fs::Permissions::from_mode(0o600))
                .unwrap();
            fs::set_permissions(peer.join("sftunnel-cert.pem"), fs::Permissions::from_mode(0o640))
                .unwrap();
            chown(peer.join("sftunnel-cert.pem"), Some(0), Some(12)).unwrap();
        }
    }

    /// Writes a pmtool that records the files on which sftunnel is about to start, and then runs
    /// the lab's.
    fn write_pmtool(&self) {
        let live: Vec<_> = self.live_paths().map(|path| format!("'{}'", path.display())).collect();
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = restartbyid ]; then\n  cat {} 2>/dev/null | sha256sum >'{}'\nfi\nexec '{}' \"$@\"\n",
            live.join(" "),
            self.dir.join("started-on").display(),
            self.dir.join("box/usr/local/sf/bin/pmtool").display()
        );
        // written by a program: what this one holds open for writing, another thread's child
        // may hold for a moment longer, and nobody can execute it then
        let install = Run::new("install").args(["-m", "755", "/dev/stdin"]);
        install.arg(self.dir.join("pmtool")).stdin(script).run().expect(0);
    }

    /// The three files of each manager.
    pub fn live_paths(&self) -> impl Iterator<Item = PathBuf> {
        let files = |manager: &String| {
            let peer = self.dir.join(peer_dir(manager));
            CredentialFile::ALL.map(|file| peer.join(file.name()))
        };
        self.scene.managers.iter().flat_map(files)
    }

    fn lab_pmtool(&self, words: &str) -> Ran {
        Run::new(self.dir.join("pmtool")).args(words.split(' ')).run()
    }

    /// Starts sftunnel on whatever is live, as the box does when it is switched on.
    pub fn boot(&self) {
        self.lab_pmtool("restartbyid sftunnel");
    }

    /// Makes the lab's pmtool misbehave, or behave again with `none`.
    pub fn misbehave(&self, fault: &str) {
        fs::write(self.dir.join("box/var/sf/lab/pmtool-mode"), fault).unwrap();
    }

    /// Checks that sftunnel runs, and was started on the files that are live now.
    ///
    /// # Errors
    /// Describes what is not so.
    pub fn runs_on_live_files(&self) -> Result<(), String> {
        let status = self.lab_pmtool("status");
        let runs = |line: &str| line.starts_with("sftunnel (") && line.contains(") - Running");
        if !status.stdout.lines().map(str::trim).any(runs) {
            return Err("sftunnel does not run".to_owned());
        }
        let noted = fs::read_to_string(self.dir.join("started-on")).unwrap_or_default();
        if noted.split(' ').next() == Some(&self.live_digest()) {
            return Ok(());
        }
        Err("sftunnel runs on other files than those that are live".to_owned())
    }

    /// Returns true if a transaction is open.
    pub fn has_journal(&self) -> bool {
        self.dir.join(STATE).join("journal").exists()
    }

    fn live_digest(&self) -> String {
        let mut digest = Sha256::new();
        for path in self.live_paths() {
            digest.update(&fs::read(path).unwrap_or_default());
        }
        digest.finish().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// `sftunnel-install` on this box.
    pub fn run(&self, args: &[&str]) -> Run {
        let run = self.scene.world.prepared(Run::new(program("sftunnel-install")));
        let run = run.arg("--root").arg(self.dir.join("box"));
        run.arg("--pmtool").arg(self.dir.join("pmtool")).args(args)
    }

    /// `install` from all kits; without a settle time, as what is looked at here is the files.
    pub fn install(&self) -> Run {
        let run = self.run(&["install", "--yes", "--no-wait", "--json", "--settle", "0"]);
        let kits = (0..self.scene.kits.len()).map(|index| self.dir.join(format!("kit-{index}")));
        run.args(self.scene.world.trust()).args(kits)
    }

    /// The three files of each manager as they are.
    pub fn files(&self) -> Files {
        let mut tree = Tree::default();
        let of = |manager: &String| {
            CredentialFile::ALL.map(|file| {
                let path = peer_dir(manager).join(file.name());
                tree.read(&self.dir, &path).unwrap();
                tree.0.get(&path).cloned()
            })
        };
        self.scene.managers.iter().map(of).collect()
    }

    /// All that a `recover` can go by, in words: goal and phase of the journal, whether sftunnel
    /// is the process of before, what is live, what lies about under dot names.
    pub fn as_found(&self, ends: &Ends) -> String {
        let journal = fs::read_to_string(self.dir.join(STATE).join("journal")).unwrap_or_default();
        let journal: Value =
            serde_json::from_str(journal.lines().next().unwrap_or_default()).unwrap_or_default();
        let word = |field: &str| journal[field].as_str().unwrap_or("-").to_owned();
        let status = self.lab_pmtool("status").stdout;
        let running = format!(") - Running {}", journal["old_pid"]);
        let is_old = status
            .lines()
            .map(str::trim)
            .any(|line| line.starts_with("sftunnel (") && line.ends_with(&running));
        let process = if is_old { "process of before" } else { "another process or none" };
        let mut dotted: Vec<_> = self
            .capture()
            .0
            .into_iter()
            .filter(|(path, _)| path.iter().any(|part| part.to_string_lossy().starts_with('.')))
            .map(|(path, node)| {
                let path = path.display().to_string().replace(|c: char| c.is_ascii_digit(), "#");
                format!("{path} {:?}", node.bytes.map(|bytes| bytes.is_empty()))
            })
            .collect();
        dotted.sort();
        let live = ends.shown(&self.files());
        let (goal, phase) = (word("goal"), word("phase"));
        format!("{goal} {phase}, {process}, {live}, {}", dotted.join(", "))
    }

    /// Everything that a run may change, but what the run that holds the lock says of itself: that
    /// is for people and never read again.
    pub fn capture(&self) -> Tree {
        let mut tree = Tree::default();
        for path in self.changeable() {
            tree.read(&self.dir, &path).unwrap();
        }
        if let Some(lock) = tree.0.get_mut(&Path::new(STATE).join("lock")) {
            lock.bytes = Some(Vec::new());
        }
        tree
    }

    fn changeable(&self) -> Vec<PathBuf> {
        let mut paths = vec![PathBuf::from(STATE)];
        paths.extend(self.live_paths().map(|path| path.strip_prefix(&self.dir).unwrap().into()));
        for manager in &self.scene.managers {
            let names = fs::read_dir(self.dir.join(peer_dir(manager))).unwrap().flatten();
            let names = names.map(|item| item.file_name().to_string_lossy().into_owned());
            let staged = names.filter(|name| name.starts_with(STAGED));
            paths.extend(staged.map(|name| peer_dir(manager).join(name)));
        }
        paths
            .extend((0..self.scene.kits.len()).map(|index| format!("kit-{index}/receipts").into()));
        paths
    }

    /// Puts the box into this state; sftunnel is held to run on it.
    pub fn put(&self, state: &Tree) {
        for path in self.changeable() {
            let path = self.dir.join(path);
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        state.write(&self.dir).unwrap();
        fs::write(self.dir.join("started-on"), format!("{}  -\n", self.live_digest())).unwrap();
    }

    /// Other files of the peer directories, and other names beside the state directory.
    fn other_files(&self) -> BTreeMap<PathBuf, String> {
        let credentials = CredentialFile::ALL.map(|file| file.name());
        let mut others = fingerprints(&self.dir.join("box/var/sf/peers"), &credentials).unwrap();
        for item in fs::read_dir(self.dir.join("box/var/sf")).unwrap().flatten() {
            others.insert(item.path(), String::new());
        }
        others.remove(&self.dir.join(STATE));
        others
    }

    /// Checks that nothing but the three files has changed and nothing was left behind, except the
    /// held space if the run `keeps_room`.
    ///
    /// # Errors
    /// Names the difference.
    pub fn is_tidy(&self, keeps_room: bool) -> Result<(), String> {
        let now = self.other_files();
        if now != self.others {
            let differs = |path: &&PathBuf| now.get(*path) != self.others.get(*path);
            let paths: Vec<_> = now.keys().chain(self.others.keys()).filter(differs).collect();
            return Err(format!("other files changed, or were left: {paths:?}"));
        }
        let mut state = Tree::default();
        state.read(&self.dir, Path::new(STATE)).unwrap();
        let dotted = |path: &&PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with('.') && !(keeps_room && name == ".reserve")
        };
        if let Some(left) = state.0.keys().find(dotted) {
            return Err(format!("{} was left", left.display()));
        }
        if state.0.contains_key(&Path::new(STATE).join("journal")) {
            return Err("the journal is open".to_owned());
        }
        let receipts =
            state.0.iter().filter(|(path, _)| path.starts_with(Path::new(STATE).join("receipts")));
        for (path, node) in receipts {
            let Some(bytes) = &node.bytes else { continue };
            if serde_json::from_slice::<serde_json::Value>(bytes).is_err() {
                return Err(format!("{} is no receipt", path.display()));
            }
        }
        Ok(())
    }
}

fn peer_dir(manager: &str) -> PathBuf {
    Path::new("box/var/sf/peers").join(manager)
}

impl Drop for Stand<'_> {
    fn drop(&mut self) {
        self.lab_pmtool("disablebyid sftunnel");
        let _ = fs::remove_dir_all(&self.dir);
    }
}
