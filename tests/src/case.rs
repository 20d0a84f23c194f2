//! One device, a kit for it, and how the device was: where most tests begin.

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
    /// For the device.
    pub kit: Kit,
    /// The live files before any run.
    pub old: Files,
    /// Those that the kit brings.
    pub new: Files,
    before: Snapshot,
}

impl Case {
    /// With a recipient kit; nothing is started.
    #[expect(clippy::new_without_default, reason = "a lab is not built by the way")]
    pub fn new() -> Self {
        Self::of(World::new(1), |world| world.kit(&[]))
    }

    /// The same, with sftunnel running and its tunnel down.
    pub fn started() -> Self {
        Self::of(World::started(1), |world| world.kit(&[]))
    }

    /// Started, with a pmtool that has this fault.
    pub fn with(fault: &Fault) -> Self {
        let case = Self::started();
        case.device().set_fault(fault).unwrap();
        case
    }

    /// The first device of a world, and a kit of one's own for it.
    pub fn of(world: World, kit: impl FnOnce(&World) -> Kit) -> Self {
        let kit = kit(&world);
        let (device, fmc) = (world.ftd(1), world.fmc());
        let (old, new) = (world.files(device, fmc), world.new_files(device, fmc));
        let before = world.snapshot(device);
        Self { world, kit, old, new, before }
    }

    /// The device.
    pub fn device(&self) -> &Device {
        self.world.ftd(1)
    }

    /// The installer's own directory there.
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

    /// The live files.
    pub fn files(&self) -> Files {
        self.world.files(self.device(), self.world.fmc())
    }

    /// All new (true) or all old (false); fails when they are mixed, or another file has changed.
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
