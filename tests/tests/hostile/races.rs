//! Names in the peer directory and above it exchanged for links while the installer works. It
//! may fail; nothing outside of the peer directory ever changes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tests::{Kit, Ran, Run, World};

/// Exchanges pairs of names until it is ended.
struct Racer {
    stop: Arc<AtomicBool>,
    turns: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Racer {
    fn start(pairs: Vec<(PathBuf, PathBuf)>) -> Self {
        let (stop, turns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ends, counts) = (Arc::clone(&stop), Arc::clone(&turns));
        let thread = std::thread::spawn(move || {
            let exchange = |(one, other): &(PathBuf, PathBuf)| {
                // a name that is not there this moment is tried again
                let done = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
                counts.fetch_add(usize::from(done.is_ok()), Ordering::SeqCst);
            };
            while !ends.load(Ordering::SeqCst) {
                pairs.iter().for_each(exchange);
                std::thread::sleep(std::time::Duration::from_micros(200));
                pairs.iter().for_each(exchange);
                std::thread::sleep(std::time::Duration::from_micros(500));
            }
        });
        Self { stop, turns, thread }
    }

    /// Gives how often it exchanged a pair.
    fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.turns.load(Ordering::SeqCst)
    }
}

/// Files of somebody else's, which links lead to.
struct Outside {
    dir: PathBuf,
    before: lab::Snapshot,
}

impl Outside {
    fn new(world: &World) -> Self {
        let dir = world.path("outside");
        fs::create_dir(&dir).unwrap();
        for name in ["shadow", "cacert.pem", "sftunnel-cert.pem", "sftunnel-key.pem"] {
            fs::write(dir.join(name), format!("{name}, not to be touched\n")).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o640)).unwrap();
        }
        let before = lab::snapshot(&dir).unwrap();
        Self { dir, before }
    }

    #[track_caller]
    fn is_untouched(&self, ran: &Ran) {
        let differences = self.before.differences(&lab::snapshot(&self.dir).unwrap());
        if !differences.is_empty() {
            ran.fail(&format!("something outside was changed: {differences:?}"));
        }
    }
}

fn install(world: &World, kit: &Kit) -> Run {
    world.install_at_once(world.ftd(1), &kit.path).args(["--restart-timeout", "1"])
}

/// Tries it over and over.
#[track_caller]
fn tried(world: &World, kit: &Kit, outside: &Outside, pairs: &[(PathBuf, PathBuf)]) {
    let mut turns = 0;
    for _ in 0..12 {
        let racer = Racer::start(pairs.to_vec());
        let ran = install(world, kit).run();
        turns += racer.end();
        outside.is_untouched(&ran);
        let rolled = world.on(world.ftd(1), &["rollback", "--yes", "--settle", "0"]).run();
        outside.is_untouched(&rolled);
    }
    assert!(turns > 50, "exchanged {turns} times");
}

#[test]
fn live_names_that_become_links_lead_nowhere() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let outside = Outside::new(&world);
    let peer = world.ftd(1).peer_dir(world.fmc());
    let links = world.path("links");
    fs::create_dir(&links).unwrap();
    let pairs: Vec<_> = lab::layout::CREDENTIALS
        .iter()
        .map(|name| {
            symlink(outside.dir.join(name), links.join(name)).unwrap();
            (peer.join(name), links.join(name))
        })
        .collect();
    tried(&world, &kit, &outside, &pairs);
}

#[test]
fn a_peer_directory_that_becomes_a_link_leads_nowhere() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let outside = Outside::new(&world);
    let peer = world.ftd(1).peer_dir(world.fmc());
    let link = peer.parent().unwrap().join("aside");
    symlink(&outside.dir, &link).unwrap();
    tried(&world, &kit, &outside, &[(peer, link)]);
}

/// The names of the staged files can be foreseen. What lies there is not written through.
#[test]
fn links_at_the_names_of_the_staged_files_are_not_followed() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let outside = Outside::new(&world);
    let peer = world.ftd(1).peer_dir(world.fmc());
    let before = world.files(world.ftd(1), world.fmc());
    let plant = |name: &str| {
        for sequence in 1..=3 {
            let staged = peer.join(format!(".sftunnel-airgap-{sequence}-{name}.new"));
            let _ = fs::remove_file(&staged);
            symlink(outside.dir.join("shadow"), staged).unwrap();
        }
    };
    ["cacert", "sftunnel-cert", "sftunnel-key"].into_iter().for_each(plant);
    let ran = install(&world, &kit).run();
    assert_ne!(ran.code(), Some(0), "{}", ran.output());
    outside.is_untouched(&ran);
    assert_eq!(before, world.files(world.ftd(1), world.fmc()));
    // the same for the directory of the state
    let state = world.ftd(1).root.join("var/sf/sftunnel-airgap");
    for name in [".journal.new", ".installed.new", ".signers.new", ".reserve"] {
        symlink(outside.dir.join("shadow"), state.join(name)).unwrap();
    }
    for name in fs::read_dir(&peer).unwrap().flatten().map(|item| item.path()) {
        if name.is_symlink() {
            fs::remove_file(name).unwrap();
        }
    }
    let ran = install(&world, &kit).run().expect(0);
    outside.is_untouched(&ran);
    assert!(!Path::new(&state.join(".reserve")).is_symlink());
}
