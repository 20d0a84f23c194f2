//! A device, a kit for it, and the device's earlier state: the start of most tests.

use std::path::PathBuf;

use lab::{Device, Fault, Snapshot, layout};

use crate::{Kit, Run, World};

/// The three live files, `None` for one that is absent.
type Files = [Option<Vec<u8>>; 3];

/// One device and a kit of its manager, whose files are not installed yet.
#[derive(Debug)]
pub struct Case {
    /// The lab of both.
    pub world: World,
    /// Kit for the device.
    pub kit: Kit,
    /// The live files before any run.
    pub old: Files,
    /// The files in the kit.
    pub new: Files,
    before: Snapshot,
}

impl Case {
    /// Makes a case with a recipient kit; nothing is started.
    #[expect(clippy::new_without_default, reason = "a lab is not built by the way")]
    pub fn new() -> Self {
        Self::of(World::new(1), |world| world.kit(&[]))
    }

    /// Like [`Case::new`], with sftunnel running and its tunnel down.
    pub fn started() -> Self {
        Self::of(World::started(1), |world| world.kit(&[]))
    }

    /// Like [`Case::started`], with this fault of pmtool.
    pub fn with(fault: &Fault) -> Self {
        let case = Self::started();
        case.device().set_fault(fault).unwrap();
        case
    }

    /// Makes a case of a world's first device and the given kit.
    pub fn of(world: World, kit: impl FnOnce(&World) -> Kit) -> Self {
        let kit = kit(&world);
        let (device, fmc) = (world.ftd(1), world.fmc());
        let (old, new) = (world.files(device, fmc), world.new_files(device, fmc));
        let before = world.snapshot(device);
        Self { world, kit, old, new, before }
    }

    /// The device of the case.
    pub fn device(&self) -> &Device {
        self.world.ftd(1)
    }

    /// The installer's own directory on the device.
    pub fn state(&self) -> PathBuf {
        self.device().root.join("var/sf/sftunnel-airgap")
    }

    /// `sftunnel-install` on the device.
    pub fn on(&self, words: &[&str]) -> Run {
        self.world.on(self.device(), words)
    }

    /// [`World::install_at_once`] of the kit.
    pub fn install(&self) -> Run {
        self.world.install_at_once(self.device(), &self.kit.path)
    }

    /// [`World::install`] of the kit, with a settle time.
    pub fn install_settling(&self) -> Run {
        self.world.install(self.device(), &self.kit.path)
    }

    /// `rollback --yes`, without a settle time.
    pub fn rollback(&self) -> Run {
        self.on(&["rollback", "--yes", "--settle", "0"])
    }

    /// Reads the live files.
    pub fn files(&self) -> Files {
        self.world.files(self.device(), self.world.fmc())
    }

    /// Returns true if all live files are new, false if all are old; fails if they are mixed or
    /// another file has changed.
    #[track_caller]
    pub fn is_new(&self, what: &str) -> bool {
        let files = self.files();
        assert!(files == self.new || files == self.old, "{what}: the three files are mixed");
        let others = |snapshot: Snapshot| snapshot.without(&layout::CREDENTIALS);
        let (before, now) =
            (others(self.before.clone()), others(self.world.snapshot(self.device())));
        assert_eq!(before.differences(&now), Vec::<String>::new(), "{what}");
        files == self.new
    }

    /// Fails unless the device is as before any run.
    #[track_caller]
    pub fn is_as_before(&self) {
        let now = self.world.snapshot(self.device());
        assert_eq!(self.before.differences(&now), Vec::<String>::new());
    }

    /// Waits until the tunnel is up, or fails.
    #[track_caller]
    pub fn is_up(&self) {
        self.world.up(self.device(), self.world.fmc());
    }
}
