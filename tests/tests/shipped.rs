//! The programs as they are shipped (`make dist`): static, in a root that holds nothing but
//! the FTD's tree, on the other architecture, from a FAT stick, on a kernel of 2017.

mod fat_stick;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{Device, Fault, LabSpec};
use tests::{Kit, PASSPHRASE, Ran, Run, World, note, tool, wait_until};

/// A file of the dist folder. Its absence fails the test: a check that is skipped checks nothing.
fn dist(name: &str) -> PathBuf {
    let folder = std::env::var_os("SFTUNNEL_DIST")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing: run `make dist`", path.display());
    fs::canonicalize(path).unwrap()
}

/// The lab's own programs, static as well (`tools/static-build` makes them beside ours), so
/// that they run in a bare root.
fn static_lab() -> PathBuf {
    let built = "x86_64-unknown-linux-musl/release";
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let folder = target.join(built);
    assert!(folder.join("pmtool").is_file(), "{built}/pmtool is missing: run `make dist`");
    fs::canonicalize(folder).unwrap()
}

fn builder() -> Run {
    Run::new(dist("sftunnel-bundle-x86_64"))
}

fn copy_tree(from: &Path, to: &Path) {
    tool("cp", "coreutils").arg("-a").arg(from).arg(to).run().expect(0);
}

/// A kit made by the static builder, with both static installers in it.
fn shipped_kit(world: &World, flags: &[&str]) -> Kit {
    let out = world.out();
    let made = builder().args(["build", "--json", "--root"]).arg(&world.fmc().root);
    let made = made
        .arg("--out")
        .arg(&out)
        .args(flags)
        .args(installers())
        .cwd(world.path(""))
        .run()
        .expect(0);
    let path = made.json()["kit"].as_str().map(PathBuf::from).unwrap();
    for arch in ["x86_64", "aarch64"] {
        let own = fs::read(dist(&format!("sftunnel-install-{arch}"))).unwrap();
        assert!(
            fs::read(path.join(format!("bin/sftunnel-install-{arch}"))).unwrap() == own,
            "{arch}"
        );
    }
    Kit { path }
}

/// Named, for the dist folder has them beside the builder under the same names anyway.
fn installers() -> [String; 4] {
    let named = |arch: &str| dist(&format!("sftunnel-install-{arch}")).display().to_string();
    ["--installer".into(), named("x86_64"), "--installer".into(), named("aarch64")]
}

#[test]
fn the_builder_finds_the_installers_beside_itself() {
    let world = World::new(1);
    let out = world.out();
    let recipient = world.recipient();
    let made = builder().args(["build", "--json", "--recipient", &recipient, "--root"]);
    let made = made.arg(&world.fmc().root).arg("--out").arg(&out).run().expect(0).json();
    let installers = made["installers"].as_array().unwrap();
    let mut found: Vec<_> = installers.iter().map(|one| one["arch"].as_str().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, ["aarch64", "x86_64"]);
}

#[test]
fn a_root_that_holds_nothing_but_the_ftd_is_enough() {
    let spec = LabSpec { programs: Some(static_lab()), ..LabSpec::for_tests(1) };
    let world = World::of(spec).start();
    let (device, fmc) = (world.ftd(1), world.fmc());
    world.down(device, fmc);
    let both = ["--recipient", &world.recipient(), "--passphrase-file", "passphrase.txt"];
    let kit = shipped_kit(&world, &both);
    let root = &device.root;
    fs::create_dir_all(root.join("mnt")).unwrap();
    copy_tree(&kit.path, &root.join("mnt/kit"));
    for name in ["identity.txt", "passphrase.txt"] {
        fs::copy(world.path(name), root.join("mnt").join(name)).unwrap();
    }
    // the lab's pmtool wants it, as every process manager does
    fs::create_dir_all(root.join("dev")).unwrap();
    Run::new("mknod").arg(root.join("dev/null")).args(["c", "1", "3"]).run().expect(0);
    for absent in ["bin/sh", "lib", "lib64", "dev/tty", "proc/self"] {
        assert!(!root.join(absent).exists(), "{absent} is in the root");
    }
    let own = signer(&kit);
    let started = |args: &[&str]| {
        let words = ["/mnt/kit/bin/sftunnel-install-x86_64"];
        Run::new("chroot").arg(root).args(words).args(args)
    };
    let inside = |args: &[&str]| started(args).run();
    inside(&["status"]).expect(0).says("expired");
    let install = [
        "install",
        "--yes",
        "--settle",
        "1",
        "--identity",
        "/mnt/identity.txt",
        "--signer",
        &own,
        "/mnt/kit",
    ];
    inside(&install).expect(0);
    world.up(device, fmc);
    inside(&install).expect(0).says("Nothing to do");
    inside(&["rollback", "--yes", "--settle", "1"]).expect(0);
    world.down(device, fmc);
    // once more by the passphrase, and killed during the restart
    let identity = install.iter().position(|word| *word == "--identity").unwrap();
    let mut by_passphrase = install;
    by_passphrase[identity] = "--passphrase-file";
    by_passphrase[identity + 1] = "/mnt/passphrase.txt";
    killed_while_pmtool_hangs(&world, device, started(&by_passphrase));
    inside(&["recover", "--settle", "1"]).expect(0).says("All new");
    world.up(device, fmc);
    inside(&["backups", "verify"]).expect(0);
}

/// The new files are in place, and sftunnel has not been restarted.
#[track_caller]
fn killed_while_pmtool_hangs(world: &World, device: &Device, install: Run) -> Ran {
    device.set_fault(&Fault::Hangs).unwrap();
    let mut killed = install.start();
    let new = world.new_files(device, world.fmc());
    let begun = std::time::Instant::now();
    while world.files(device, world.fmc()) != new {
        assert!(
            begun.elapsed() < Duration::from_secs(60) && killed.is_running(),
            "never installed"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    killed.signal("KILL");
    let ran = killed.wait();
    device.set_fault(&Fault::None).unwrap();
    ran
}

fn signer(kit: &Kit) -> String {
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(kit.path.join("kit.json")).unwrap()).unwrap();
    index["signer"]["fingerprint"].as_str().unwrap().to_owned()
}

fn on_arm(device: &Device, args: &[&str]) -> Run {
    let run = tool("qemu-aarch64-static", "qemu-user-static").arg(dist("sftunnel-install-aarch64"));
    run.arg("--root").arg(&device.root).args(args)
}

#[test]
fn install_rollback_and_recover_on_arm() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let kit = shipped_kit(&world, &["--recipient", &world.recipient()]);
    let identity = world.path("identity.txt").display().to_string();
    let (own, path) = (signer(&kit), kit.path.display().to_string());
    let install =
        ["install", "--yes", "--settle", "1", "--identity", &identity, "--signer", &own, &path];
    on_arm(device, &install).run().expect(0);
    world.up(device, fmc);
    on_arm(device, &["rollback", "--yes", "--settle", "1"]).run().expect(0);
    world.down(device, fmc);

    killed_while_pmtool_hangs(&world, device, on_arm(device, &install));
    on_arm(device, &["recover", "--settle", "1"]).run().expect(0).says("All new");
    world.up(device, fmc);
}

/// The most that a process has had resident so far, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Looked at while sftunnel is waited for: all that takes memory is over.
#[test]
fn an_installation_without_a_passphrase_takes_less_than_16_mib() {
    let world = World::started(1);
    let device = world.ftd(1);
    let kit = shipped_kit(&world, &["--recipient", &world.recipient()]);
    let identity = world.path("identity.txt").display().to_string();
    let (own, path) = (signer(&kit), kit.path.display().to_string());
    let install =
        ["install", "--yes", "--settle", "1", "--identity", &identity, "--signer", &own, &path];
    let native = Run::new(dist("sftunnel-install-x86_64")).arg("--root").arg(&device.root);
    for (what, run, limit) in [
        ("x86_64", native.args(install), 16 * 1024),
        // user-mode qemu and what it has translated are in this number
        ("aarch64 with qemu", on_arm(device, &install), 128 * 1024),
    ] {
        device.set_fault(&Fault::Slow(Duration::from_secs(60))).unwrap();
        let restarts = device.restarts().unwrap();
        let started = run.start();
        wait_until(|| device.restarts().unwrap() > restarts);
        let peak = peak(started.pid());
        started.signal("KILL");
        drop(started.wait());
        note(&format!("an installation on {what} has had {peak} KiB resident"));
        assert!(peak < limit, "{what}: {peak} KiB");
        device.set_fault(&Fault::None).unwrap();
        world.on(device, &["recover", "--settle", "0"]).run().expect(0);
        world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    }
}

#[test]
fn a_fat_stick_carries_a_kit() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let kit = shipped_kit(&world, &["--passphrase-file", "passphrase.txt"]);
    let image = world.path("stick.img").display().to_string();
    let mkfs = if Path::new("/usr/sbin/mkfs.vfat").exists() {
        "/usr/sbin/mkfs.vfat"
    } else {
        "/sbin/mkfs.vfat"
    };
    assert!(
        Path::new(mkfs).exists(),
        "mkfs.vfat is needed for this test: apt-get install dosfstools"
    );
    Run::new(mkfs).args(["-F", "32", "-C", &image, "65536"]).run().expect(0);
    let back = world.path("back");
    fs::create_dir(&back).unwrap();
    // by the kernel where it knows FAT and may mount an image, else by mtools
    let script = "mount -o loop \"$1\" \"$3\" && cp -r \"$2\" \"$3/\" && umount \"$3\" && \
                  mount -o loop,ro \"$1\" \"$3\" && cp -r \"$3/.\" \"$4/\" && umount \"$3\"";
    let stick = world.path("stick");
    fs::create_dir(&stick).unwrap();
    let mounted = tool("unshare", "util-linux").args(["-m", "sh", "-c", script, "sh", &image]);
    let mounted = mounted.arg(&kit.path).arg(&stick).arg(&back).run();
    if mounted.code() == Some(0) {
        note("a FAT stick: mounted by the kernel");
    } else {
        note(&format!("a FAT stick: by mtools, as {}", mounted.output().trim()));
        let mcopy = || tool("mcopy", "mtools").args(["-s", "-o", "-i", &image]);
        mcopy().arg(&kit.path).arg("::").run().expect(0);
        mcopy().arg("::*").arg(&back).run().expect(0);
    }
    let carried = back.join(kit.path.file_name().unwrap());
    tool("sha256sum", "coreutils")
        .args(["-c", "--quiet", "SHA256SUMS"])
        .cwd(&carried)
        .run()
        .expect(0);

    // from there, by the script, as FAT has it: nothing is executable
    let passphrase = world.path("passphrase.txt").display().to_string();
    let hash = formats::checksum::Sha256::of(&fs::read(dist("sftunnel-install-x86_64")).unwrap())
        .to_string();
    let script = |hash: &str| {
        let run = tool("sh", "dash")
            .arg(carried.join("install.sh"))
            .args(["--sha256", hash, "--yes", "--settle", "1"]);
        run.arg("--root").arg(&device.root).args(["--passphrase-file", &passphrase]).run()
    };
    let before = world.snapshot(device);
    let wrong = script(&"0".repeat(64));
    assert_ne!(wrong.code(), Some(0));
    world.unchanged(device, &before, &wrong);
    script(&hash).expect(0).never_says(PASSPHRASE);
    world.up(device, fmc);
}

#[test]
fn a_stick_that_is_mounted_noexec_will_do() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let kit = shipped_kit(&world, &["--passphrase-file", "passphrase.txt"]);
    let stick = world.path("stick with a blank");
    fs::create_dir(&stick).unwrap();
    let script = world.write(
        "noexec.sh",
        "set -e\nmount -t tmpfs -o noexec,size=64m tmpfs \"$2\"\ncp -r \"$1\" \"$2/kit\"\n! \"$2/kit/bin/sftunnel-install-x86_64\" --version 2>/dev/null\nsh \"$2/kit/install.sh\" --yes --settle 1 --root \"$3\" --passphrase-file \"$4\"\n",
    );
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let run =
        tool("unshare", "util-linux").args(["-m", "sh"]).arg(script).arg(&kit.path).arg(&stick);
    run.arg(&device.root).arg(world.path("passphrase.txt")).run().expect(0);
    world.up(device, fmc);
}

/// 8 MiB is what users may lock by default, and scrypt takes 256: with later mappings locked as
/// well, that memory would not be given.
#[test]
fn a_user_who_may_lock_little_memory_can_look_into_a_kit_all_the_same() {
    let world = World::new(1);
    let kit = shipped_kit(&world, &["--passphrase-file", "passphrase.txt"]);
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    Run::new("chmod").args(["-R", "a+rX"]).arg(world.path("")).run().expect(0);
    for name in ["sftunnel-install", "sftunnel-bundle"] {
        let copy = world.path(name);
        fs::copy(dist(&format!("{name}-x86_64")), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        for limit in ["8388608", "65536", "0"] {
            let run = tool("prlimit", "util-linux").arg(format!("--memlock={limit}:{limit}"));
            let run = run.arg("--").args(nobody).arg(&copy).arg("inspect").arg(&kit.path);
            let run = run.args(["--json", "--passphrase-file", "passphrase.txt"]);
            run.cwd(world.path("")).run().expect(0).says("certs_pushed");
        }
    }
}

/// System calls that came after Linux 4.14; `?` for those that an older strace does not know.
const YOUNG: &str = "?openat2,?clone3,?close_range,?faccessat2,?pidfd_open,?pidfd_send_signal,?rseq,\
                     ?futex_waitv,?epoll_pwait2,?fchmodat2,?process_madvise,renameat2,statx,\
                     ?io_uring_setup,?memfd_secret";

#[test]
fn a_kernel_of_2017_is_new_enough() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let old = world.files(device, fmc);
    let inject = format!("inject={YOUNG}:error=ENOSYS");
    let trace = format!("trace={YOUNG}");
    let under = |program: &str, flags: &[&str]| {
        let run = tool("strace", "strace").args(["-qq", "-o", "/dev/null", "-e", &trace]);
        run.args(["-e", &inject]).args(flags).arg(dist(program))
    };
    let out = world.out();
    let recipient = world.recipient();
    let build = |flags: &[&str]| {
        let run = under("sftunnel-bundle-x86_64", &["-f"]).args(["build", "--json"]).args(flags);
        let run = run.args(["--recipient", &recipient, "--root"]).arg(&fmc.root);
        run.arg("--out").arg(&out).args(installers())
    };
    let built = build(&[]).run().expect(0).json();
    let kit = Kit { path: built["kit"].as_str().map(PathBuf::from).unwrap() };
    // without -f: what pmtool starts is left alone
    let on_old_with = |flags: &[&str], args: &[&str]| {
        let run = under("sftunnel-install-x86_64", flags).arg("--root").arg(&device.root);
        run.args(args)
    };
    let on_old = |args: &[&str]| on_old_with(&[], args);
    let from_kit = |run: Run| {
        let run = run.args(["install", "--yes", "--settle", "1"]).arg("--identity");
        let run = run.arg(world.path("identity.txt")).args(["--signer", &signer(&kit)]);
        run.arg(&kit.path)
    };
    from_kit(on_old(&[])).run().expect(0);
    world.up(device, fmc);
    on_old(&["rollback", "--yes", "--settle", "1"]).run().expect(0);
    world.down(device, fmc);
    // killed between its renames, by the same strace, and finished by a recover there
    let kill = format!("trace={YOUNG},renameat");
    let killed = on_old_with(&["-e", &kill, "-e", "inject=renameat:signal=KILL:when=5"], &[]);
    let killed = from_kit(killed).run();
    let live = world.files(device, fmc);
    if live == old || live == world.new_files(device, fmc) {
        killed.fail("the moment is between two renames");
    }
    on_old(&["recover"]).run().expect(0).says("All old");
    assert_eq!(world.files(device, fmc), old);

    // a kit in the place of another, without RENAME_EXCHANGE
    build(&["--force"]).run().expect(0);
    from_kit(on_old(&[])).run().expect(0);
    world.up(device, fmc);
}
