//! A disk that is full, or becomes full: at every size there is either a whole installation or
//! a refusal, and the old files can always be put back.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use formats::checksum::Sha256;
use tests::{Case, Ran, Run, World, refused, tool};

/// File systems that are taken away again, the last one first, also when a test fails.
#[derive(Default)]
struct Mounts(Vec<PathBuf>);

impl Mounts {
    fn mount(&mut self, args: &[&str], at: &Path) {
        tool("mount", "mount").args(args).arg(at).run().expect(0);
        self.0.push(at.to_owned());
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        for at in self.0.iter().rev() {
            let _ = std::process::Command::new("umount").arg("-l").arg(at).status();
        }
    }
}

/// Ended well with the new files, or refused with everything as it was.
#[track_caller]
fn is_whole(world: &World, ran: &Ran, before: &lab::Snapshot, what: &str) -> bool {
    let (device, fmc) = (world.ftd(1), world.fmc());
    if ran.code() == Some(0) {
        assert_eq!(world.files(device, fmc), world.new_files(device, fmc), "{what}");
        return true;
    }
    let json = ran.json();
    if json["reason"] != "no-space" || json["exit_code"] != 3 {
        ran.fail(&format!("{what}: expected a refusal for no-space"));
    }
    world.unchanged(device, before, ran);
    let names = fs::read_dir(device.peer_dir(fmc)).unwrap().flatten().map(|item| item.file_name());
    let dotted = names.filter(|name| name.to_string_lossy().starts_with('.')).count();
    assert_eq!(dotted, 0, "{what}: nothing staged is left");
    false
}

/// A state directory of its own, from nothing up to what is enough.
#[test]
fn a_state_directory_of_any_size_holds_a_whole_run_or_none() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let state = device.root.join("var/sf/sftunnel-airgap");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    let before = world.snapshot(device);
    let sizes = (1..=61).step_by(4).map(|pages| format!("size={}k,mode=700", pages * 4));
    let inodes = (2..=24).step_by(2).map(|count| format!("nr_inodes={count},mode=700"));
    let mut ends = [0, 0];
    for options in sizes.chain(inodes) {
        let mut mounts = Mounts::default();
        mounts.mount(&["-t", "tmpfs", "-o", &options, "none"], &state);
        let ran = world.install_at_once(world.ftd(1), &kit.path).arg("--json").run();
        let whole = is_whole(&world, &ran, &before, &options);
        ends[usize::from(whole)] += 1;
        if whole {
            // enough for a run is enough to look at and to go back
            world.on(device, &["status"]).run().expect(0);
            let run = world.on(device, &["rollback", "--yes", "--settle", "0", "--json"]).run();
            if run.code() != Some(0) {
                assert_eq!(run.json()["reason"], "no-space", "{options}: {}", run.output());
                let old = world.new_files(device, world.fmc());
                assert_eq!(world.files(device, world.fmc()), old, "{options}: all as it was");
                break;
            }
            assert_eq!(before.differences(&world.snapshot(device)), Vec::<String>::new());
        } else {
            drop(mounts);
            assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
        }
    }
    assert!(ends[0] > 3, "refused {} times", ends[0]);
}

/// The peer directory's file system: blocks and inodes.
#[test]
fn a_peer_directory_without_room_or_inodes_is_refused() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let peer = device.peer_dir(world.fmc());
    let before = world.snapshot(device);
    let aside = world.path("aside");
    Run::new("cp").arg("-a").arg(&peer).arg(&aside).run().expect(0);
    for options in ["size=100k", "size=1000k", "size=8m,nr_inodes=28", "size=8m,nr_inodes=20"] {
        let mut mounts = Mounts::default();
        let all = format!("{options},mode=755");
        mounts.mount(&["-t", "tmpfs", "-o", &all, "none"], &peer);
        Run::new("cp").arg("-a").arg(aside.join(".")).arg(&peer).run().expect(0);
        let ran = refused(world.install_at_once(world.ftd(1), &kit.path), "no-space");
        world.unchanged(device, &before, &ran);
        refused(world.install_at_once(world.ftd(1), &kit.path).arg("--dry-run"), "no-space");
    }
    // one that does not count inodes (btrfs) says that it has none
    let mut mounts = Mounts::default();
    mounts.mount(&["-t", "tmpfs", "-o", "size=8m,nr_inodes=0,mode=755", "none"], &peer);
    Run::new("cp").arg("-a").arg(aside.join(".")).arg(&peer).run().expect(0);
    let total = tool("stat", "coreutils").args(["-f", "-c", "%c"]).arg(&peer).run().expect(0);
    assert_eq!(total.stdout, "0\n");
    world.install_at_once(world.ftd(1), &kit.path).run().expect(0);
}

/// `/var/sf` on a small file system that something fills while sftunnel is being restarted.
struct Filled {
    // first: the mounts go before the folder
    _mounts: Mounts,
    case: Case,
}

impl Filled {
    fn new() -> Self {
        let case = Case::new();
        let (world, device) = (&case.world, case.device());
        let sf = device.root.join("var/sf");
        let aside = world.path("aside");
        fs::rename(&sf, &aside).unwrap();
        fs::create_dir(&sf).unwrap();
        let mut mounts = Mounts::default();
        mounts.mount(&["-t", "tmpfs", "-o", "size=4m,mode=755", "none"], &sf);
        Run::new("cp").arg("-a").arg(aside.join(".")).arg(&sf).run().expect(0);
        // what the lab itself writes is not on it
        for name in ["run", "lab"] {
            let from = aside.join(name).display().to_string();
            mounts.mount(&["--bind", &from], &sf.join(name));
        }
        Self { _mounts: mounts, case }
    }

    /// Fills the disk at the first restart, and goes on like this.
    fn installed(&self, then: &str, flags: &[&str]) -> Ran {
        let root = &self.case.world.ftd(1).root;
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = restartbyid ] && [ ! -e '{done}' ]; then\n  touch '{done}'\n  cat /dev/zero > '{filler}' 2>/dev/null\n  {then}\nfi\nexec '{pmtool}' \"$@\"\n",
            done = self.case.world.path("done").display(),
            filler = root.join("var/sf/filler").display(),
            pmtool = root.join("usr/local/sf/bin/pmtool").display(),
        );
        let pmtool = self.case.world.write("pmtool-that-fills", script);
        Run::new("chmod").arg("755").arg(&pmtool).run().expect(0);
        let run = self.case.install().args(["--restart-timeout", "2"]).args(flags);
        let ran = run.arg("--pmtool").arg(&pmtool).run();
        let filled = fs::metadata(root.join("var/sf/filler")).unwrap();
        assert!(filled.len() > 1_000_000, "the disk was filled");
        ran
    }

    /// Takes all room that is free.
    fn fill(&self) {
        let filler = self.case.world.ftd(1).root.join("var/sf/filler").display().to_string();
        let script = "cat /dev/zero > \"$1\" 2>/dev/null";
        let ran = Run::new("sh").args(["-c", script, "sh", &filler]).run();
        assert_ne!(ran.code(), Some(0), "the disk was filled");
    }

    /// Room again: nothing is left over, and the next installation is an ordinary one.
    #[track_caller]
    fn goes_on_well(&self) {
        let device = self.case.world.ftd(1);
        fs::remove_file(device.root.join("var/sf/filler")).unwrap();
        let recover = self.case.world.on(device, &["recover", "--settle", "0"]).run().expect(0);
        recover.says("Nothing was interrupted");
        let state = device.root.join("var/sf/sftunnel-airgap");
        assert!(!state.join(".reserve").exists() && !state.join("journal").exists());
        self.case.install().run().expect(0);
    }
}

#[test]
fn a_disk_that_fills_up_before_sftunnel_fails_to_start_does_not_stop_the_way_back() {
    let filled = Filled::new();
    filled.installed("exit 0", &[]).expect(6);
    let (device, fmc) = (filled.case.world.ftd(1), filled.case.world.fmc());
    assert_eq!(filled.case.world.files(device, fmc), filled.case.old);
    filled.goes_on_well();
}

#[test]
fn a_disk_that_fills_up_meanwhile_does_not_keep_a_success_from_being_recorded() {
    let filled = Filled::new();
    filled.installed(":", &[]).expect(0);
    let (device, fmc) = (filled.case.world.ftd(1), filled.case.world.fmc());
    assert_eq!(filled.case.world.files(device, fmc), filled.case.world.new_files(device, fmc));
    let backups = filled.case.world.on(device, &["backups", "verify"]).run().expect(0);
    drop(backups);
    filled.goes_on_well();
}

/// The room that the killed run held is still held, and is what the way back takes.
#[test]
fn a_disk_that_was_filled_after_a_kill_does_not_stop_recovery() {
    // between two renames: all old
    let filled = Filled::new();
    let (world, device) = (&filled.case.world, filled.case.world.ftd(1));
    let killed = filled.case.install().injected("renameat", "signal=KILL:when=5").run();
    let live = world.files(device, world.fmc());
    if live == filled.case.old || live == world.new_files(device, world.fmc()) {
        killed.fail("the moment is between two renames");
    }
    filled.fill();
    world.on(device, &["recover", "--settle", "0"]).run().expect(0).says("All old");
    assert_eq!(world.files(device, world.fmc()), filled.case.old);
    filled.goes_on_well();

    // during the restart: all new
    let filled = Filled::new();
    let (world, device) = (&filled.case.world, filled.case.world.ftd(1));
    let killed = filled.installed("kill -KILL $PPID; exit 0", &[]);
    assert_eq!(killed.code(), None, "{}", killed.output());
    world.on(device, &["recover", "--settle", "0"]).run().expect(0).says("All new");
    assert_eq!(world.files(device, world.fmc()), world.new_files(device, world.fmc()));
    filled.goes_on_well();
}

/// The digests are for whoever reads a failure: which of the three differ.
#[test]
fn a_read_only_peer_directory_is_refused_whatever_is_mounted_around_it() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let digests =
        || world.files(device, world.fmc()).map(|file| file.map(|file| Sha256::of(&file)));
    let before = digests();
    for below in ["var/sf/peers", "var/sf"] {
        let at = device.root.join(below);
        let mut mounts = Mounts::default();
        let from = at.display().to_string();
        mounts.mount(&["--bind", &from], &at);
        tool("mount", "mount").args(["-o", "remount,bind,ro"]).arg(&at).run().expect(0);
        // without a state directory that is what cannot be made
        let word = if below == "var/sf" { "read-only" } else { "cannot-replace" };
        refused(world.install_at_once(world.ftd(1), &kit.path), word);
        refused(
            world.on(device, &["rollback", "--yes"]),
            if below == "var/sf" { "read-only" } else { "not-found" },
        );
    }
    assert_eq!(before, digests());
}

/// The stick holds a name and no more. What is cut would be taken for a forgery, so it goes.
#[test]
fn a_full_stick_keeps_no_cut_receipt_and_the_installation_stands() {
    let world = World::new(1);
    let (device, kit, stick) = (world.ftd(1), world.kit(&[]), world.path("stick"));
    fs::create_dir(&stick).unwrap();
    let mut mounts = Mounts::default();
    mounts.mount(&["-t", "tmpfs", "-o", "size=16k", "none"], &stick);
    fs::write(stick.join("full"), [0; 16 * 1024]).unwrap();
    let ran = world.install_at_once(world.ftd(1), &kit.path).arg("--receipt-out").arg(&stick).run();
    ran.expect(0).says("no receipt could be written").says("on this box: copy it to the");
    assert_eq!(world.files(device, world.fmc()), world.new_files(device, world.fmc()));
    let names: Vec<_> =
        fs::read_dir(&stick).unwrap().map(|item| item.unwrap().file_name()).collect();
    assert_eq!(names, ["full"]);
    assert_eq!(fs::read_dir(kit.path.join("receipts")).unwrap().count(), 1, "the kit has its own");
    drop(mounts);
}

/// Standard output is a device that is full.
fn to_dev_full(run: Run) -> Ran {
    run.under(&["sh", "-c", "exec \"$@\" >/dev/full", "sh"]).run()
}

#[test]
fn a_result_that_cannot_be_written_does_not_say_that_nothing_was_changed() {
    let world = World::new(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let said = "the result cannot be written";
    // it only reads, so the result is all there is
    to_dev_full(world.on(device, &["status"])).expect(1).says(said);
    // to a monitoring system 0 is OK and 1 WARNING: what cannot be told is UNKNOWN
    let all_is_well = ["--no-status-program", "--warning", "0", "--critical", "0"];
    let other = World::new(1);
    fs::remove_dir_all(other.fmc().root.join("var/tmp/certs")).unwrap();
    fs::remove_dir_all(other.fmc().certs_pushed(&other.ftd(1).uuid)).unwrap();
    other.bundle(&["check"]).args(all_is_well).run().expect(0);
    to_dev_full(other.bundle(&["check"]).args(all_is_well)).expect(3).says(said);
    to_dev_full(world.bundle(&["plan", "--recipient", &world.recipient()])).expect(1).says(said);
    let out = world.out();
    let build = world.bundle(&["build", "--recipient", &world.recipient(), "--out"]).arg(&out);
    to_dev_full(build).expect(0).says("what was to be done is done").says(said);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "the kit is there");
    let kit = world.kit(&[]);
    for json in [&[][..], &["--json"][..]] {
        let ran = to_dev_full(world.install_at_once(world.ftd(1), &kit.path).args(json))
            .expect(0)
            .says(said);
        if world.files(device, fmc) != world.new_files(device, fmc) {
            ran.fail("it was not installed");
        }
        // the second time there is nothing to do
        to_dev_full(world.install_at_once(world.ftd(1), &kit.path).args(json)).expect(1).says(said);
        to_dev_full(world.on(device, &["rollback", "--yes", "--settle", "0"])).expect(0);
    }
    let prune = || to_dev_full(world.on(device, &["backups", "prune", "--keep", "1", "--yes"]));
    prune().expect(0).says("what was to be done is done").says(said);
    prune().expect(1).says(said);
}

#[test]
fn a_backup_with_the_last_number_of_all_leaves_none_for_the_next() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let backups = world.ftd(1).root.join("var/sf/sftunnel-airgap/backups");
    fs::create_dir_all(backups.join(format!("{}-20261121T041047Z", u64::MAX))).unwrap();
    for dir in [&backups, &backups.parent().unwrap().to_owned()] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let before = world.snapshot(world.ftd(1));
    let ran = world
        .install_at_once(world.ftd(1), &kit.path)
        .run()
        .expect(1)
        .says("no number comes after");
    world.unchanged(world.ftd(1), &before, &ran);
}

/// The kernel's word on it is `/proc/meminfo`; here it has another one.
#[test]
fn a_passphrase_that_costs_more_memory_than_there_is_is_not_tried() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let (salt, body, mac) = ("A".repeat(22), "A".repeat(43), "A".repeat(43));
    let header = format!("age-encryption.org/v1\n-> scrypt {salt} 20\n{body}\n--- {mac}\n");
    let identity = world.write("costly.age", [header.as_bytes(), &[0; 48]].concat());
    let install = || {
        let run = world.on(world.ftd(1), &["install", "--yes", "--passphrase-file"]);
        let run = run.arg("passphrase.txt").args(["--signer", &world.signer(), "--identity"]);
        run.arg(&identity).arg(&kit.path)
    };
    let little = world.write("meminfo", "MemTotal: 2097152 kB\nMemAvailable: 1100000 kB\n");
    let bind = format!("mount --bind '{}' /proc/meminfo && exec \"$@\"", little.display());
    let before = world.snapshot(world.ftd(1));
    let ran = refused(install().under(&["unshare", "-m", "sh", "-c", &bind, "sh"]), "too-large");
    world.unchanged(world.ftd(1), &before, &ran.says("1024 MiB").says("1074 MiB"));
}

/// An allocation that fails would end the program in the middle, without a word that a script
/// could read.
#[test]
fn a_limit_on_the_memory_of_the_process_is_a_refusal_in_both_programs() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let device = world.ftd(1);
    let before = world.snapshot(device);
    for (option, kib) in [("-v", "300000"), ("-d", "150000")] {
        let limit = format!("ulimit {option} {kib}; exec \"$@\"");
        let under = ["sh", "-c", &limit, "sh"];
        let install = world.on(device, &["install", "--yes", "--passphrase-file"]);
        let install = install.arg("passphrase.txt").arg(&kit.path);
        let ran = refused(install.under(&under), "too-large").says("256 MiB");
        world.unchanged(device, &before, &ran.says(&format!("ulimit {option}")));
        let out = world.out();
        let build = world.bundle(&["build", "--passphrase-file", "passphrase.txt", "--out"]);
        let ran = refused(build.arg(&out).under(&under), "too-large");
        drop(ran.says("sealing with a passphrase takes 256 MiB"));
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "nothing half-made");
    }
}

/// Groups cannot be made everywhere, so the kernel's word on them is another one here.
#[test]
fn a_control_group_counts_as_much_as_the_machine() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let device = world.ftd(1);
    let group = world.path("group/inner");
    fs::create_dir_all(&group).unwrap();
    fs::write(world.path("group/memory.max"), "314572800\n").unwrap();
    fs::write(world.path("group/memory.current"), "10485760\n").unwrap();
    let own = world.write("cgroup", "0::/inner\n");
    let mount = format!("29 23 0:26 / {} rw - cgroup2 cgroup2 rw\n", world.path("group").display());
    let mounts = world.write("mountinfo", mount);
    let script = format!(
        "mount --bind '{}' /proc/$$/cgroup && mount --bind '{}' /proc/$$/mountinfo && exec \"$@\"",
        own.display(),
        mounts.display()
    );
    let install = || {
        let run = world.on(device, &["install", "--yes", "--settle", "0", "--passphrase-file"]);
        run.arg("passphrase.txt")
            .arg(&kit.path)
            .under(&["unshare", "-m", "sh", "-c", &script, "sh"])
    };
    let before = world.snapshot(device);
    let ran = refused(install(), "too-large")
        .says("256 MiB")
        .says("290 MiB are available in the control");
    world.unchanged(device, &before, &ran);
    // pages of files are given back by the kernel
    fs::write(world.path("group/memory.stat"), "inactive_file 10485760\n").unwrap();
    drop(refused(install(), "too-large").says("300 MiB"));
    fs::write(world.path("group/memory.max"), "max\n").unwrap();
    install().run().expect(0);
}
