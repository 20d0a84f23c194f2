//! The programs as they are shipped (`make dist`): static, in a root that holds nothing but
//! the FTD's tree, on the other architecture, from a FAT stick, on a kernel of 2017.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{Device, Fault, LabSpec};
use tests::{Kit, PASSPHRASE, Run, World, tool};

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
    let kit = shipped_kit(&world, &["--recipient", &world.recipient()]);
    let root = &device.root;
    fs::create_dir_all(root.join("mnt")).unwrap();
    copy_tree(&kit.path, &root.join("mnt/kit"));
    fs::copy(world.path("identity.txt"), root.join("mnt/identity.txt")).unwrap();
    // the lab's pmtool wants it, as every process manager does
    fs::create_dir_all(root.join("dev")).unwrap();
    Run::new("mknod").arg(root.join("dev/null")).args(["c", "1", "3"]).run().expect(0);
    for absent in ["bin/sh", "lib", "lib64", "dev/tty", "proc/self"] {
        assert!(!root.join(absent).exists(), "{absent} is in the root");
    }
    let own = signer(&kit);
    let inside = |args: &[&str]| {
        let words = ["/mnt/kit/bin/sftunnel-install-x86_64"];
        Run::new("chroot").arg(root).args(words).args(args).run()
    };
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
    inside(&["recover"]).expect(0);
    inside(&["backups", "verify"]).expect(0);
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

    // killed while pmtool hangs: the new files are in place, sftunnel has not been restarted
    device.set_fault(&Fault::Hangs).unwrap();
    let mut killed = on_arm(device, &install).start();
    let new = world.new_files(device, fmc);
    let begun = std::time::Instant::now();
    while world.files(device, fmc) != new {
        assert!(
            begun.elapsed() < Duration::from_secs(60) && killed.is_running(),
            "never installed"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(300));
    killed.signal("KILL");
    killed.wait();
    device.set_fault(&Fault::None).unwrap();
    on_arm(device, &["recover", "--settle", "1"]).run().expect(0).says("All new");
    world.up(device, fmc);
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
    tool("mcopy", "mtools").args(["-s", "-i", &image]).arg(&kit.path).arg("::").run().expect(0);
    let back = world.path("back");
    fs::create_dir(&back).unwrap();
    tool("mcopy", "mtools").args(["-s", "-i", &image, "::*"]).arg(&back).run().expect(0);
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
            let run = run.args(["--passphrase-file", "passphrase.txt"]).cwd(world.path(""));
            run.run().expect(0).says("certs_pushed");
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
    let inject = format!("inject={YOUNG}:error=ENOSYS");
    let old = |program: PathBuf, follow: bool| {
        let run = tool("strace", "strace").args(["-qq", "-o", "/dev/null"]);
        let run = if follow { run.arg("-f") } else { run };
        run.args(["-e", &format!("trace={YOUNG}"), "-e", &inject]).arg(program)
    };
    let out = world.out();
    let recipient = world.recipient();
    let built = old(dist("sftunnel-bundle-x86_64"), true).args([
        "build",
        "--json",
        "--recipient",
        &recipient,
    ]);
    let built = built
        .arg("--root")
        .arg(&fmc.root)
        .arg("--out")
        .arg(&out)
        .args(installers())
        .run()
        .expect(0);
    let kit = Kit { path: built.json()["kit"].as_str().map(PathBuf::from).unwrap() };
    // without -f: what pmtool starts is left alone
    let install = old(dist("sftunnel-install-x86_64"), false);
    let install = install.args(["install", "--yes", "--settle", "1", "--root"]).arg(&device.root);
    let install =
        install.arg("--identity").arg(world.path("identity.txt")).args(["--signer", &signer(&kit)]);
    install.arg(&kit.path).run().expect(0);
    world.up(device, fmc);
}

#[test]
fn the_version_says_which_commit() {
    let said = builder().arg("--version").run().expect(0).stdout;
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words.first(), Some(&"sftunnel-bundle"), "{said}");
    // without a commit: an unpacked archive
    assert!(words.len() == 2 || words.len() == 4, "{said}");
}
