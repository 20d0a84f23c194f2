//! Whether the tunnel is up: told when it is seen, and part of the installation where the
//! operator wants that.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use lab::{Device, LabSpec, Manager, ManagerSpec};
use serde_json::Value;
use tests::{Ran, Run, World};

/// What Cisco's program prints on the device from now on.
fn brief_prints(device: &Device, text: &str) {
    let path = brief(device);
    // it may be a link to the stand-in of every tree
    let _ = fs::remove_file(&path);
    fs::write(&path, format!("#!/bin/sh\ncat <<'END'\n{text}\nEND\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn brief(device: &Device) -> std::path::PathBuf {
    lab::layout::programs(&device.root).join("sftunnel-status-brief")
}

/// The kernel's own tables, as they stand, below the device's root.
fn copy_socket_tables(device: &Device) {
    let folder = device.root.join("proc/net");
    fs::create_dir_all(&folder).unwrap();
    for name in ["tcp", "tcp6"] {
        if let Ok(table) = fs::read(Path::new("/proc/net").join(name)) {
            fs::write(folder.join(name), table).unwrap();
        }
    }
}

/// The kernel's tables below the device's root: these ends and states, by inodes from 4711 on.
fn socket_table(device: &Device, rows: &[&str]) {
    let folder = device.root.join("proc/net");
    fs::create_dir_all(&folder).unwrap();
    let mut table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n".to_owned();
    for (row, inode) in rows.iter().zip(4711..) {
        table.push_str(&format!(
            "   0: {row} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0\n"
        ));
    }
    fs::write(folder.join("tcp"), table).unwrap();
}

fn status(world: &World, device: &Device) -> Value {
    world.on(device, &["status", "--json"]).run().expect(0).json()
}

/// The state of the only tunnel.
fn tunnel(world: &World, device: &Device) -> Value {
    status(world, device)["peers"][0]["tunnel"].clone()
}

fn install(world: &World, flags: &[&str]) -> Ran {
    world.install(world.ftd(1), &world.kit(&[]).path).args(flags).run()
}

fn stop(manager: &Manager) {
    lab::service::stop(&manager.root).unwrap();
}

#[test]
fn status_tells_the_tunnel_before_and_after() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    world.down(device, fmc);
    let before = tunnel(&world, device);
    assert_eq!(before["state"], "down", "{before}");
    install(&world, &[]).expect(0);
    world.up(device, fmc);
    let after = tunnel(&world, device);
    let address = fmc.endpoint.ip().to_string();
    assert_eq!((&after["state"], &after["connected_to"][0]), (&"up".into(), &address.into()));
    assert!(after["heartbeat_age_seconds"].as_i64().unwrap() < 60, "{after}");
    world.on(device, &["status"]).run().expect(0).says("Tunnel    up: connected to 127.");
    // a daemon that is gone, whatever the brief program remembers
    brief_prints(device, "Peer channel Channel-A is valid type (CONTROL), connected to '10.0.0.1'");
    lab::service::stop(&device.root).unwrap();
    assert_eq!(tunnel(&world, device)["state"], "down");
    // a heartbeat of an hour ago
    let heartbeat = device.peer_dir(fmc).join("sftunnel-heartbeat");
    let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().write(true).open(heartbeat).unwrap().set_modified(hour_ago).unwrap();
    let age = tunnel(&world, device)["heartbeat_age_seconds"].as_i64().unwrap();
    assert!((3600..3660).contains(&age), "{age}");
    world.on(device, &["status"]).run().expect(0).says("Heartbeat last written 60 min ago");
}

#[test]
fn what_proves_nothing_is_unknown() {
    let world = World::started(1);
    let device = world.ftd(1);
    for text in ["Registration: Completed.", "something new\nPeer is great", ""] {
        brief_prints(device, text);
        let seen = tunnel(&world, device);
        assert_eq!(seen["state"], "unknown", "{text}: {seen}");
    }
    fs::remove_file(brief(device)).unwrap();
    assert_eq!(tunnel(&world, device)["state"], "unknown");
}

/// What names nobody is of the only manager there is, or of nobody.
#[test]
fn a_channel_that_names_nobody_is_the_only_managers() {
    let world = World::of(LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2"))).start();
    let device = world.ftd(1);
    brief_prints(device, "Peer channel Channel-A is valid type (CONTROL), connected to '10.0.0.1'");
    let states = || {
        let seen = status(&world, device);
        let peers = seen["peers"].as_array().unwrap().clone();
        let state = |manager: &Manager| {
            let peer = peers.iter().find(|peer| peer["manager"] == manager.uuid.as_str()).unwrap();
            peer["tunnel"]["state"].as_str().unwrap_or("none").to_owned()
        };
        [state(&world.lab.managers[0]), state(&world.lab.managers[1])]
    };
    assert_eq!(states(), ["unknown", "unknown"]);
    // a manager that never gave it any files has no tunnel
    for name in lab::layout::CREDENTIALS {
        fs::remove_file(device.peer_dir(&world.lab.managers[1]).join(name)).unwrap();
    }
    assert_eq!(states(), ["up", "none"]);
}

#[test]
fn foreign_text_of_the_brief_program_is_never_obeyed() {
    let world = World::started(1);
    brief_prints(world.ftd(1), "x connected to '\u{1b}[2J10.0.0.1\u{202e}' via '10.0.0.2'");
    let ran = world.on(world.ftd(1), &["status"]).run().expect(0).says("connected to 10.0.0.1");
    assert!(!ran.output().contains(['\u{1b}', '\u{202e}']), "{}", ran.output());
}

#[test]
fn a_brief_program_that_hangs_holds_nobody_up_for_long() {
    let world = World::started(1);
    let device = world.ftd(1);
    brief_prints(device, "");
    fs::write(brief(device), "#!/bin/sh\nsleep 60\n").unwrap();
    let ran = world.on(device, &["status"]).run().expect(0).says("unknown").says("15 s");
    assert!(ran.took < Duration::from_secs(40), "{:?}", ran.took);
}

#[test]
fn the_kernels_table_is_a_witness_too() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    assert_eq!(status(&world, device)["connections"], Value::Null, "no table below this root");
    install(&world, &[]).expect(0);
    world.up(device, fmc);
    copy_socket_tables(device);
    let seen = status(&world, device);
    let connections = seen["connections"].as_array().unwrap();
    let endpoint = fmc.endpoint.to_string();
    assert!(connections.iter().any(|one| one["remote"] == *endpoint), "{seen}");
    // a connection alone is no tunnel, none at all is none
    brief_prints(device, "something new");
    assert_eq!(tunnel(&world, device)["state"], "unknown");
    fs::write(device.root.join("proc/net/tcp"), "  sl  local_address rem_address   st\n").unwrap();
    fs::write(device.root.join("proc/net/tcp6"), "  sl  local_address rem_address   st\n").unwrap();
    let seen = tunnel(&world, device);
    assert_eq!(seen["state"], "down", "{seen}");
    // a stale line against the kernel: nobody knows, the requirement is not met, and nothing is
    // put back for a doubt
    brief_prints(
        device,
        "Peer channel Channel-A is valid type (CONTROL), connected to '10.0.0.1' via '10.0.0.2'",
    );
    let seen = tunnel(&world, device);
    assert_eq!(seen["state"], "unknown", "{seen}");
    assert!(seen["why"].as_str().unwrap().contains("the kernel has no connection"), "{seen}");
    world.on(device, &["status"]).run().expect(0).says("Sockets   0 established");
    world.lab.renew().unwrap();
    let flags = ["--wait-connected", "1", "--require-connected"];
    install(&world, &flags).expect(5).says("is unknown");
    assert_eq!(world.files(device, fmc), world.new_files(device, fmc));
    // a kernel without IPv6 has one table, what cannot be read is no table
    let tcp6 = device.root.join("proc/net/tcp6");
    fs::remove_file(&tcp6).unwrap();
    assert_eq!(status(&world, device)["connections"], Value::Array(Vec::new()));
    fs::create_dir(&tcp6).unwrap();
    assert_eq!(status(&world, device)["connections"], Value::Null);
    fs::remove_dir(&tcp6).unwrap();
    brief_prints(device, "something new");
    fs::write(device.root.join("proc/net/tcp"), "damaged").unwrap();
    assert_eq!(tunnel(&world, device)["state"], "unknown");
}

#[test]
fn wait_connected_says_whether_it_came_up_and_decides_nothing() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let ran = install(&world, &["--wait-connected", "30"]).expect(0).says("Tunnel    to manager");
    let ran = ran.says(": up: connected").says(&fmc.uuid);
    assert!(ran.took < Duration::from_secs(25), "it ends when the tunnel is up: {:?}", ran.took);

    world.lab.renew().unwrap();
    stop(fmc);
    let json = install(&world, &["--wait-connected", "2", "--json"]).expect(0).json();
    assert_eq!(
        (&json["outcome"], &json["tunnels"][0]["state"]),
        (&"installed".into(), &"down".into())
    );
    assert!(json["tunnels_waited_seconds"].as_u64().unwrap() >= 2, "{json}");
    assert_eq!(world.files(device, fmc), world.new_files(device, fmc));
}

#[test]
fn require_connected_puts_the_old_files_back() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let before = world.snapshot(device);
    stop(fmc);
    let flags = ["--wait-connected", "2", "--require-connected"];
    let dry = install(&world, &[&flags[..], &["--dry-run"]].concat()).expect(0);
    drop(dry.says("If the tunnel is seen down 2 s after"));
    let ran = install(&world, &flags).expect(6).says("Rolled back: sftunnel runs on the new files");
    let ran = ran.says("If the tunnel is seen down 2 s after");
    let ran = ran.says("for why the tunnel did not come up");
    world.unchanged(device, &before, &ran);
    assert_eq!(device.restarts().unwrap(), 2);
    world.on(device, &["recover"]).run().expect(0).says("Nothing was interrupted");
    let json = install(&world, &[&flags[..], &["--json"]].concat()).expect(6).json();
    assert_eq!(
        (&json["outcome"], &json["tunnels"][0]["state"]),
        (&"restored".into(), &"down".into())
    );

    lab::service::start(&fmc.root, None).unwrap();
    let flags = ["--wait-connected", "30", "--require-connected", "--json"];
    let json = install(&world, &flags).expect(0).json();
    assert_eq!(
        (&json["outcome"], &json["tunnels"][0]["state"]),
        (&"installed".into(), &"up".into())
    );
    world.up(device, fmc);
}

#[test]
fn require_connected_takes_no_word_that_proves_nothing_and_puts_nothing_back_for_it() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    brief_prints(device, "Registration: Completed.");
    let flags = ["--wait-connected", "2", "--require-connected"];
    let ran = install(&world, &[&flags[..], &["--json"]].concat()).expect(5);
    let json = ran.json();
    assert_eq!(
        (&json["outcome"], &json["tunnels"][0]["state"]),
        (&"unconfirmed".into(), &"unknown".into()),
        "{json}"
    );
    assert!(json["why"].as_str().unwrap().contains("not every tunnel was seen up"), "{json}");
    assert_eq!(world.files(device, fmc), world.new_files(device, fmc));
    // it is over and recorded: sftunnel was proved to run on the new files
    world.on(device, &["recover"]).run().expect(0).says("Nothing was interrupted");
    install(&world, &[]).expect(0).says("Nothing to do");

    // and without the program it is not even begun
    world.lab.renew().unwrap();
    fs::remove_file(brief(device)).unwrap();
    let (before, restarts) = (world.snapshot(device), device.restarts().unwrap());
    let ran = install(&world, &flags).expect(3).says("refused (cannot-tell)");
    world.unchanged(device, &before, &ran);
    assert_eq!(device.restarts().unwrap(), restarts);
    install(&world, &["--require-connected"]).expect(2).says("--wait-connected");
    install(&world, &[&flags[..], &["--no-rollback"]].concat()).expect(2);
}

/// 8305 is only the default. A number tells nobody that a tunnel is missing.
#[test]
fn a_tunnel_on_another_port_is_no_missing_one() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    // 0x2072 is 8306
    socket_table(device, &["0100007F:C001 0200007F:2072 01"]);
    let flags = ["--wait-connected", "30", "--require-connected"];
    install(&world, &flags).expect(0);
    world.up(device, fmc);
    assert_eq!(tunnel(&world, device)["state"], "up");
    // without the program's word it may be any connection, and none that is known to be missing
    fs::remove_file(brief(device)).unwrap();
    let seen = || status(&world, device);
    let number = |seen: &Value| seen["connections"].as_array().unwrap().len();
    assert_eq!(seen()["peers"][0]["tunnel"]["state"], "unknown");
    assert_eq!((&seen()["ports"][0], number(&seen())), (&8305.into(), 0));
    // the operator says it, or the configuration
    let json = world.on(device, &["status", "--json", "--port", "8306"]).run().expect(0).json();
    assert_eq!((&json["ports"][0], number(&json)), (&8306.into(), 1));
    let conf = device.root.join("etc/sf/sftunnel.conf");
    let was = fs::read(&conf).unwrap_or_default();
    fs::write(&conf, "proxyssl {\n  proxy_cipher 1;\n};\nport 8306;\n").unwrap();
    assert_eq!((&seen()["ports"][0], number(&seen())), (&8306.into(), 1));
    fs::write(&conf, was).unwrap();
    // or sftunnel's process holds it
    let pid = lab::service::running(&device.root).unwrap();
    let fds = device.root.join(format!("proc/{pid}/fd"));
    fs::create_dir_all(&fds).unwrap();
    std::os::unix::fs::symlink("socket:[4711]", fds.join("9")).unwrap();
    assert_eq!(number(&seen()), 1);
    std::os::unix::fs::symlink("socket:[4712]", fds.join("10")).unwrap();
    socket_table(device, &[]);
    assert_eq!(seen()["peers"][0]["tunnel"]["state"], "down", "no connection, no tunnel");
    world.on(device, &["status", "--port", "0"]).run().expect(2);
}

/// On FTDs it is there as well, and the other may be a word of the `>` prompt only.
#[test]
fn the_other_program_is_asked_where_the_first_says_nothing() {
    let world = World::started(1);
    let device = world.ftd(1);
    let other = brief(device).with_file_name("sftunnel_status.pl");
    let prints = |path: &Path, text: &str| {
        let _ = fs::remove_file(path);
        fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let up = "echo \"Peer channel Channel-A is valid type (CONTROL), using 'eth0', connected to '10.0.0.1' via '10.0.0.2'\"";
    prints(&other, up);
    brief_prints(device, "Registration: Completed.");
    assert_eq!(tunnel(&world, device)["state"], "up");
    fs::remove_file(brief(device)).unwrap();
    assert_eq!(tunnel(&world, device)["state"], "up");
    // one that says something is enough
    brief_prints(device, "Last disconnect reason : x");
    assert_eq!(tunnel(&world, device)["state"], "down");
    // what was printed before the time is over counts, unless it says that there is none
    fs::remove_file(brief(device)).unwrap();
    let slow = |first: &str| {
        prints(&other, &format!("{first}\nexec sleep 60"));
        let flags = ["status", "--json", "--status-timeout", "1"];
        let ran = world.on(device, &flags).run().expect(0);
        assert!(ran.took < Duration::from_secs(15), "{:?}", ran.took);
        ran.json()["peers"][0]["tunnel"].clone()
    };
    assert_eq!(slow(up)["state"], "up");
    let seen = slow("echo 'Last disconnect reason : x'");
    assert_eq!(seen["state"], "unknown");
    assert!(seen["why"].as_str().unwrap().contains("--status-timeout"), "{seen}");
}

/// The long form of Cisco's command reference, without the program of the `>` prompt.
#[test]
fn the_published_form_of_the_other_program_is_read() {
    let world = World::of(LabSpec { status_pl: true, ..LabSpec::for_tests(1) }).start();
    let (device, fmc) = (world.ftd(1), world.fmc());
    fs::remove_file(brief(device)).unwrap();
    world.down(device, fmc);
    assert_eq!(tunnel(&world, device)["state"], "down");
    install(&world, &["--wait-connected", "30", "--require-connected"]).expect(0);
    assert_eq!(tunnel(&world, device)["state"], "up");
}

#[test]
fn the_waiting_ends_when_it_is_said_to() {
    let world = World::started(1);
    let device = world.ftd(1);
    stop(world.fmc());
    // the first look says down; the second would take a minute
    let _ = fs::remove_file(brief(device));
    let looked = world.path("looked").display().to_string();
    let script = format!(
        "#!/bin/sh\n[ -e '{looked}' ] && exec sleep 60\ntouch '{looked}'\necho 'Last disconnect reason : x'\n"
    );
    fs::write(brief(device), script).unwrap();
    fs::set_permissions(brief(device), fs::Permissions::from_mode(0o755)).unwrap();
    let json = install(&world, &["--wait-connected", "3", "--json"]).expect(0).json();
    assert_eq!(json["tunnels_waited_seconds"], 3, "{json}");
    assert_eq!(json["tunnels"][0]["state"], "down", "what was known before stands: {json}");
}

#[test]
fn require_connected_means_every_manager_of_the_run() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2"));
    let world = World::of(spec).start();
    let device = world.ftd(1);
    let [one, two] = &world.lab.managers[..] else { panic!("two managers") };
    let key = World::signing_key_path(one).display().to_string();
    let kits = [world.kit_on(one, &[]), world.kit_on(two, &["--sign-key", &key])];
    let before = world.snapshot(device);
    stop(two);
    let run = |seconds: &str| -> Run {
        let flags = ["--wait-connected", seconds, "--require-connected", "--json"];
        world.install(device, &kits[0].path).arg(&kits[1].path).args(flags)
    };
    let ran = run("3").run().expect(6);
    let json = ran.json();
    let state = |at: usize| json["tunnels"][at]["state"].as_str().unwrap().to_owned();
    assert_eq!([state(0), state(1)], ["up", "down"], "{json}");
    world.unchanged(device, &before, &ran);
    lab::service::start(&two.root, None).unwrap();
    run("30").run().expect(0);
    world.up(device, one);
    world.up(device, two);
}

#[test]
fn a_signal_ends_the_waiting_and_recover_goes_on() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    stop(fmc);
    let kit = world.kit(&[]);
    let wait_for = |what: &dyn Fn() -> bool| {
        let soon = std::time::Instant::now() + Duration::from_secs(30);
        while !what() {
            assert!(std::time::Instant::now() < soon, "it did not come to that");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let asked = || device.pmtool_calls().unwrap().len();
    let flags = ["--wait-connected", "100", "--require-connected"];
    let started = world.install(device, &kit.path).args(flags).start();
    // after the restart and the settle time: new files live, the journal still there
    let journal = device.root.join("var/sf/sftunnel-airgap/journal");
    wait_for(&|| {
        fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"phase\":\"restart\""))
    });
    std::thread::sleep(Duration::from_secs(2));
    started.signal("TERM");
    started.wait().expect(7).says("sftunnel-install recover");
    assert!(journal.exists());
    world.on(device, &["recover", "--settle", "1"]).run().expect(0).says("All new");
    assert_eq!(world.files(device, fmc), world.new_files(device, fmc));

    // without the requirement everything is done before the waiting begins
    world.lab.renew().unwrap();
    stop(fmc);
    let kit = world.kit(&[]);
    let started = world.install(device, &kit.path).args(["--wait-connected", "100"]).start();
    wait_for(&|| world.files(device, fmc) == world.new_files(device, fmc) && !journal.exists());
    let before = asked();
    wait_for(&|| asked() > before);
    started.signal("TERM");
    let ran = started.wait().expect(0).says("Done: sftunnel runs").says(": down");
    assert!(ran.took < Duration::from_secs(60), "{:?}", ran.took);
}
