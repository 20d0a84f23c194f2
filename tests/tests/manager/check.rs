//! `check` and `receipts` at the manager: which tunnels are up, who has been reached, what is to be
//! done, and what monitoring systems are told.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lab::{LabSpec, ManagerSpec};
use serde_json::Value;
use tests::monitoring::{perfdata, samples};
use tests::{Ran, World, tool};

pub(crate) fn check(world: &World, args: &[&str]) -> Ran {
    world.bundle(&[&["check"], args].concat()).run()
}

fn program(world: &World) -> PathBuf {
    lab::layout::programs(&world.fmc().root).join("sftunnel_status.pl")
}

/// What the manager's program prints from now on.
pub(crate) fn prints(world: &World, text: &str) {
    script(world, &format!("cat <<'END'\n{text}\nEND"));
}

fn script(world: &World, commands: &str) {
    let path = program(world);
    // it is a link to the stand-in of every tree
    fs::remove_file(&path).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{commands}\n")).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
}

/// Up, down, unknown.
fn counted(json: &Value) -> [u64; 3] {
    ["up", "down", "unknown"].map(|state| json["tunnels"][state].as_u64().unwrap())
}

/// The expired InternalCA that the devices still use, put back at the manager.
fn put_expired_ca_back(world: &World, number: usize) {
    let old = world.ftd(number).peer_dir(world.fmc()).join("cacert.pem");
    fs::copy(old, lab::layout::cacert(&world.fmc().root)).unwrap();
}

#[test]
fn the_tunnels_are_those_that_the_managers_program_shows_now() {
    let world = World::started(2);
    let before = check(&world, &["--json"]).expect(1).json();
    assert_eq!(counted(&before), [0, 2, 0], "{before}");
    assert_eq!(before["tunnels"]["source"], "program");
    world.install(world.ftd(1), &world.kit(&[]).path).run().expect(0);
    world.up(world.ftd(1), world.fmc());
    assert_eq!(counted(&check(&world, &["--json"]).json()), [1, 1, 0]);
    let ran = check(&world, &[]).expect(1).says("1 up, 1 down, 0 unknown");
    ran.says("down  BSNS-1120-2").never_says("tunnels_up");
    let ran = check(&world, &["--plugin"]).expect(1).says("down  BSNS-1120-2");
    ran.says("tunnels_up=1 tunnels_down=1 tunnels_unknown=0");
    // as the operator wants it
    let none = check(&world, &["--no-status-program", "--json"]).json();
    assert_eq!((&none["tunnels"]["source"], counted(&none)), (&Value::Null, [0, 0, 2]));
    let saved = world.write("saved.txt", format!("connected to '{}'\n", world.ftd(2).uuid));
    let file = check(&world, &["--json", "--status-file", saved.to_str().unwrap()]).json();
    assert_eq!(counted(&file), [1, 0, 1]);
    check(&world, &["--status-file", "/nowhere"]).expect(1).says("the tunnels were not looked at");
    check(&world, &["--status-program", "/nowhere"]).expect(1).says("/nowhere");
}

#[test]
fn output_that_says_nothing_known_is_unknown() {
    let world = World::started(1);
    let uuid = &world.ftd(1).uuid;
    for text in [
        "",
        "Registration: Completed.",
        "something new",
        &format!("PEER:{uuid}\nRegistration: Completed."),
    ] {
        prints(&world, text);
        assert_eq!(counted(&check(&world, &["--json"]).json()), [0, 0, 1], "{text}");
    }
    prints(&world, &format!("PEER:{uuid}\nconnected to '\u{1b}[2J192.0.2.1' via 'x'"));
    let ran = check(&world, &[]).says("1 up");
    assert!(!ran.output().contains('\u{1b}'), "{}", ran.output());
    fs::remove_file(program(&world)).unwrap();
    let ran = check(&world, &["--json"]).json();
    assert!(ran["tunnels"]["note"].as_str().unwrap().contains("there is no"), "{ran}");
}

#[test]
fn a_program_that_somebody_else_could_have_put_there_is_not_run() {
    let world = World::started(1);
    let marker = world.path("it-ran");
    script(&world, &format!("touch {}", marker.display()));
    let path = program(&world);
    let folder = path.parent().unwrap().to_owned();
    // in a sticky folder anybody gives one of root's own programs this name, with a hard link
    for (loose, mode) in [(&path, 0o777), (&folder, 0o777), (&folder, 0o1777)] {
        let was = fs::metadata(loose).unwrap().permissions();
        fs::set_permissions(loose, Permissions::from_mode(mode)).unwrap();
        let json = check(&world, &["--json"]).expect(1).json();
        let note = json["tunnels"]["note"].as_str().unwrap();
        assert!(note.contains("not run") && note.contains("777"), "{note}");
        assert!(!marker.exists(), "{} was writable, and it was run", loose.display());
        fs::set_permissions(loose, was).unwrap();
    }
    std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
    check(&world, &[]).expect(1).says("not run").says("12345");
    world.bundle(&["receipts"]).arg(&world.kit(&[]).path).run().expect(0).says("not run");
    assert!(!marker.exists());
    std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    check(&world, &[]).expect(1);
    assert!(marker.exists(), "the test tests nothing");
}

#[test]
fn a_program_that_hangs_or_floods_holds_nobody_up() {
    let world = World::started(1);
    script(&world, "sleep 60");
    let ran = check(&world, &["--status-timeout", "1", "--json"]).expect(1);
    let json = ran.json();
    let note = json["tunnels"]["note"].as_str().unwrap();
    assert!(note.contains("did not end within 1 s"), "{note}");
    assert!(ran.took < Duration::from_secs(15), "{:?}", ran.took);
    // what was printed by then counts, and gives no all-clear for what was not
    let down =
        format!("printf 'PEER:{}\\nLast disconnect reason : x\\n'; sleep 60", world.ftd(1).uuid);
    script(&world, &down);
    put_expired_ca_back(&world, 1);
    let json = check(&world, &["--status-timeout", "1", "--json"]).expect(2).json();
    assert_eq!(counted(&json), [0, 1, 0]);
    assert!(json["tunnels"]["note"].as_str().unwrap().contains("--status-timeout"), "{json}");
    assert!(json["steps"][0].as_str().unwrap().starts_with("do not reboot"), "{json}");
    script(&world, "head -c 100000000 /dev/zero");
    assert_eq!(counted(&check(&world, &["--json"]).expect(2).json()), [0, 0, 1]);
}

/// Long form, IPv6 in two spellings, a log of a terminal in UTF-16.
#[test]
fn a_saved_log_is_read_in_the_form_that_cisco_publishes() {
    let world = World::started(2);
    let list = world.fmc().failed_push().unwrap().unwrap();
    let text = fs::read_to_string(&list).unwrap();
    fs::write(&list, text.replace(&world.ftd(2).address, "2001:db8::1:0:0:41")).unwrap();
    let run = |peer: &str, answer: &str| {
        format!(
            "**RUN STATUS****{peer}*************\r\n\tChannelA Connected: {answer}\r\n\tChannelB Connected: {answer}\r\n\tRegistration: Completed.\r\n"
        )
    };
    let log = run(&world.ftd(1).address, "No") + &run("2001:db8:0:0:1::41", "Yes, Interface br1");
    let utf16: Vec<u8> = log.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [log.into_bytes(), [b"\xff\xfe", &utf16[..]].concat()] {
        let file = world.write("saved.log", bytes);
        let json = check(&world, &["--json", "--status-file", file.to_str().unwrap()]).json();
        assert_eq!(counted(&json), [1, 1, 0], "{json}");
        let up = json["devices"].as_array().unwrap().iter().find(|d| d["tunnel"] == "up").unwrap();
        assert_eq!(up["device"]["uuid"], world.ftd(2).uuid.as_str());
    }
}

#[test]
fn an_expired_ca_with_a_tunnel_up_is_another_scenario_than_with_none() {
    let world = World::started(2);
    put_expired_ca_back(&world, 2);
    let first = |world: &World| {
        let json = check(world, &["--json"]).expect(2).json();
        json["steps"][0].as_str().unwrap().to_owned()
    };
    assert!(first(&world).contains("scenario 2b") && !first(&world).contains("do not reboot"));
    prints(&world, "something new");
    assert!(first(&world).starts_with("do not reboot"), "{}", first(&world));
    prints(&world, &format!("connected to '{}'", world.ftd(1).uuid));
    assert!(first(&world).contains("scenario 2a"), "{}", first(&world));
    assert!(first(&world).contains("do not reboot"));
}

#[test]
fn a_device_that_was_not_reached_stays_a_warning_until_a_receipt_says_otherwise() {
    let world = World::started(2);
    let kit = world.kit(&[]).path;
    check(&world, &[]).expect(1).says("2 devices of FAILED_PUSH not shown to be done");
    world.install(world.ftd(1), &kit).run().expect(0);
    let with_receipts = || check(&world, &["--json", "--receipts", kit.to_str().unwrap()]);
    let reached = |json: &Value, number: usize| {
        let uuid = world.ftd(number).uuid.as_str();
        let devices = json["devices"].as_array().unwrap().iter();
        let mut its = devices.filter(|device| device["device"]["uuid"] == uuid);
        its.next().unwrap()["reached"].as_str().unwrap().to_owned()
    };
    let json = with_receipts().expect(1).json();
    assert_eq!([reached(&json, 1), reached(&json, 2)], ["receipt", "no"]);
    world.install(world.ftd(2), &kit).run().expect(0);
    [1, 2].iter().for_each(|number| world.up(world.ftd(*number), world.fmc()));
    with_receipts().expect(0);
    // a receipt is a claim: it makes no tunnel
    let (second, minute) = (world.ftd(2), std::time::Duration::from_secs(60));
    lab::service::stop(&second.root).unwrap();
    world.lab.wait(second, world.fmc(), false, minute).unwrap();
    let ran = check(&world, &["--receipts", kit.to_str().unwrap()]).expect(1);
    drop(ran.says("1 device done by receipt with the tunnel down").says("but the tunnel is down"));
    lab::service::start(&second.root, None).unwrap();
    world.up(second, world.fmc());
    with_receipts().expect(0);
    // a receipt that somebody changed shows nothing
    let forged = fs::read_dir(kit.join("receipts")).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&forged).unwrap();
    fs::write(&forged, text.replace("installed", "restored")).unwrap();
    with_receipts().expect(1);
}

#[test]
fn an_expired_live_certificate_is_critical_before_a_tunnel_that_it_could_not_have_begun() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    // the manager's copies of what the device uses
    let copies = lab::layout::peers(&fmc.root).join(&device.uuid);
    for name in ["cacert.pem", "sftunnel-cert.pem"] {
        fs::copy(device.peer_dir(fmc).join(name), copies.join(name)).unwrap();
    }
    check(&world, &[]).expect(2).says("no receipt or new tunnel shows");
    // a session that is older than the expiry outlives it
    let since = |year: u16| {
        format!(
            "PEER:{}\nconnected to '192.0.2.1' via 'x'\nIPv4 Connection to peer '192.0.2.1' Start Time: Wed Jun 10 14:27:12 {year} UTC",
            device.uuid
        )
    };
    prints(&world, &since(2016));
    check(&world, &[]).expect(2).says("1 up").says("no receipt or new tunnel shows");
    // and one from after the expiry, but before this run, is on what an earlier run made
    let ago = tool("date", "coreutils").args(["-u", "+%a %b %e %H:%M:%S %Y", "-d", "2 hours ago"]);
    let ago = ago.env("LC_ALL", "C").run().expect(0).stdout;
    let earlier = since(2016).replace("Wed Jun 10 14:27:12 2016", ago.trim());
    prints(&world, &earlier);
    check(&world, &[]).expect(2).says("1 up").says("no receipt or new tunnel shows");
    prints(&world, &since(2096));
    check(&world, &[]).expect(0).says("1 up").says("old pair");
    prints(&world, &since(2096).replace("connected to", "not connected to"));
    check(&world, &[]).expect(2);
    // a time without a zone may be that of any
    prints(&world, &since(2096).replace(" UTC", ""));
    check(&world, &[]).expect(0).says("1 up");
    prints(&world, &earlier.replace(" UTC", ""));
    check(&world, &[]).expect(2);
    // without a list the pair that lies here waits all the same
    fs::remove_file(fmc.failed_push().unwrap().unwrap()).unwrap();
    check(&world, &[]).expect(2).says("no receipt or new tunnel shows");
    prints(&world, &since(2096));
    check(&world, &[]).expect(0);
}

/// One device's row of `receipts` with a saved output.
fn with_file(world: &World, kit: &Path, text: &str) -> Value {
    let run = world.bundle(&["receipts", "--json", "--status-file"]);
    let ran = run.arg(world.write("status.txt", text)).arg(kit).run();
    ran.expect(0).json()["results"][0].clone()
}

#[test]
fn saved_output_confirms_by_the_times_in_it_and_not_by_that_of_the_copy() {
    let world = World::started(1);
    let (device, fmc, kit) = (world.ftd(1), world.fmc(), world.kit(&[]).path);
    let ask = || tests::Run::new(program(&world)).run().expect(0).stdout;
    // a tunnel that stood before, as a saved output of last year has it
    let up = format!("PEER:{}\nconnected to '192.0.2.1'\n", device.uuid);
    let old = format!("{up}Heartbeat Received Time: Mon Jun 15 09:02:16 2020 UTC\n");
    world.install(device, &kit).run().expect(0);
    let seen = |text: &str| {
        let row = with_file(&world, &kit, text);
        (row["tunnel"].clone(), row["seen"].clone(), row["confirmed"].clone())
    };
    assert_eq!(seen(&old), ("up".into(), "before".into(), false.into()));
    assert_eq!(seen(&up), ("up".into(), "undated".into(), false.into()));
    world.up(device, fmc);
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(seen(&ask()), ("up".into(), "after".into(), true.into()));
    let text = world.bundle(&["receipts", "--status-file", "status.txt"]).arg(&kit).run().expect(0);
    text.says("written or copied").says("(1 with the tunnel seen up)").says("up since");
    world.write("status.txt", old);
    let text = world.bundle(&["receipts", "--status-file", "status.txt"]).arg(&kit).run().expect(0);
    text.says("up before").says("(0 with the tunnel seen up)").says("proves nothing");
    // now, by the program itself
    let json = world.bundle(&["receipts", "--json"]).arg(&kit).run().expect(0).json();
    assert_eq!((&json["confirmed"], &json["results"][0]["seen"]), (&1.into(), &"now".into()));
    // one that has stood since before the installation tells nothing of it
    let start = "IPv4 Connection to peer '192.0.2.1' Start Time: Mon Jun 15 09:02:16 2020 UTC\n";
    prints(&world, &format!("{up}{start}"));
    let json = world.bundle(&["receipts", "--json"]).arg(&kit).run().expect(0).json();
    assert_eq!((&json["confirmed"], &json["results"][0]["seen"]), (&0.into(), &"before".into()));
}

#[test]
fn an_address_of_failed_push_is_a_name_and_a_placeholder_is_none() {
    let world = World::started(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]).path;
    let line = |name: &str| {
        format!("Peer channel Channel-A is valid type (CONTROL), connected to '{name}' via 'x'\n")
    };
    assert_eq!(with_file(&world, &kit, &line(&device.address))["tunnel"], "up");
    assert_eq!(with_file(&world, &kit, &line("192.0.2.77"))["tunnel"], "unknown");
    let list = world.fmc().failed_push().unwrap().unwrap();
    let text = fs::read_to_string(&list).unwrap().replace(&device.address, "DONTRESOLVE");
    fs::write(list, text).unwrap();
    assert_eq!(with_file(&world, &kit, &line("DONTRESOLVE"))["tunnel"], "unknown");
    assert_eq!(with_file(&world, &kit, &line(&device.name))["tunnel"], "up");
}

#[test]
fn the_performance_data_is_what_a_plugin_gives() {
    let world = World::started(1);
    let ran = check(&world, &["--plugin", "--warning", "60", "--critical", "20"]).expect(1);
    let data = perfdata(ran.stdout.lines().next().unwrap());
    let (days, ranges) = &data["ca_days"];
    assert!((3640..3652).contains(days) && ranges == "60:;20:", "{data:?}");
    assert_eq!(
        (data["crl_days"].1.as_str(), data["not_reached"].0, data["tunnels_down"].0),
        ("", 1, 1)
    );
    put_expired_ca_back(&world, 1);
    let data = perfdata(check(&world, &["--plugin"]).expect(2).stdout.lines().next().unwrap());
    assert!(data["ca_days"].0 < 0 && data["critical"].0 == 1, "{data:?}");
}

/// A person reads the verdict first, and the codes are the same.
#[test]
fn without_plugin_the_first_line_is_the_verdict_in_a_sentence() {
    let world = World::started(1);
    let ran = check(&world, &[]).expect(1).never_says("SFTUNNEL").never_says(" | ");
    assert!(ran.stdout.starts_with("WARNING: 1 device of FAILED_PUSH not shown"), "{}", ran.stdout);
    check(&world, &["--plugin"]).expect(1).says("SFTUNNEL WARNING - 1 device of FAILED_PUSH");
    // what cannot be done at all is UNKNOWN, and a plugin has its line
    let wrong = ["--warning", "1", "--critical", "2"];
    check(&world, &wrong).expect(3).never_says("SFTUNNEL");
    check(&world, &[&["--plugin"], &wrong[..]].concat()).expect(3).says("SFTUNNEL UNKNOWN - ");
}

#[test]
fn the_file_for_prometheus_can_be_read_and_says_the_same() {
    let world = World::started(2);
    world.install(world.ftd(1), &world.kit(&[]).path).run().expect(0);
    world.up(world.ftd(1), world.fmc());
    let file = world.path("sft.prom");
    let json = check(&world, &["--json", "--prometheus", file.to_str().unwrap()]).expect(1).json();
    let samples = samples(&fs::read_to_string(&file).unwrap());
    let of = |name: &str, device: &str| {
        let mut its =
            samples.iter().filter(|((found, labels), _)| found == name && labels.contains(device));
        let value = *its.next().unwrap_or_else(|| panic!("no {name} of {device}")).1;
        assert!(its.next().is_none(), "several {name} of {device}");
        value
    };
    let [one, two] = [1, 2].map(|number| world.ftd(number).uuid.clone());
    assert_eq!((of("sftunnel_tunnel_up", &one), of("sftunnel_tunnel_up", &two)), (1.0, 0.0));
    assert_eq!(of("sftunnel_device_reached", &two), 0.0);
    assert_eq!(of("sftunnel_check_state", ""), 1.0);
    let ends = samples.keys().filter(|(name, _)| name == "sftunnel_certificate_not_after_seconds");
    assert_eq!(ends.count(), json["results"].as_array().unwrap().len());
    check(&world, &["--no-status-program", "--prometheus", file.to_str().unwrap()]).expect(1);
    assert!(fs::read_to_string(&file).unwrap().contains("} NaN\n"));
}

/// Two devices that are done and shown to be, so that all is well; and the arguments that show it.
fn all_is_well() -> (World, [String; 3]) {
    let world = World::started(2);
    let kit = world.kit(&[]).path;
    for number in [1, 2] {
        world.install(world.ftd(number), &kit).run().expect(0);
        world.up(world.ftd(number), world.fmc());
    }
    let args = ["--json".to_owned(), "--receipts".to_owned(), kit.display().to_string()];
    check(&world, &args.each_ref().map(String::as_str)).expect(0);
    (world, args)
}

fn reached(json: &Value, uuid: &str) -> Value {
    let devices = json["devices"].as_array().unwrap();
    let its = devices.iter().find(|device| device["device"]["uuid"] == uuid);
    its.unwrap_or_else(|| panic!("no {uuid}: {json}"))["reached"].clone()
}

/// Whose line is damaged was not reached any the more.
#[test]
fn a_device_whose_line_is_cut_still_stands_in_the_list() {
    let (world, [json, ..]) = all_is_well();
    let two = world.ftd(2).uuid.clone();
    let path = world.fmc().failed_push().unwrap().unwrap();
    let list = fs::read_to_string(&path).unwrap();
    let cut = list.rfind("/sftunnel-").unwrap();
    fs::write(&path, &list[..cut - 40]).unwrap();
    let seen = check(&world, &[&json]).expect(1).json();
    assert_eq!(reached(&seen, &two), "no", "{seen}");
    assert_eq!(seen["failed_push"]["devices"], 2);
    // and one of which nobody can say whose it is
    fs::write(&path, format!("{list}???\n")).unwrap();
    let kit = world.kit(&[]).path;
    let seen = check(&world, &[&json, "--receipts", kit.to_str().unwrap()]).expect(1).json();
    let rows = seen["results"].as_array().unwrap();
    let row = rows.iter().find(|row| row["role"] == "failed-push").unwrap();
    assert_eq!(row["state"], "WARNING", "{row}");
}

#[test]
fn a_list_that_cannot_be_read_is_unknown() {
    let (world, args) = all_is_well();
    let args = args.each_ref().map(String::as_str);
    let path = world.fmc().failed_push().unwrap().unwrap();
    fs::remove_file(&path).unwrap();
    let none = check(&world, &args).expect(0).json();
    assert_eq!(reached(&none, &world.ftd(1).uuid), "receipt", "{none}");
    fs::create_dir(&path).unwrap();
    let seen = check(&world, &args).expect(3).json();
    assert_eq!(
        (&seen["state"], &seen["results"][0]["role"]),
        (&"UNKNOWN".into(), &"failed-push".into())
    );
}

/// The stick is gone, the disk is full: the expired CA is CRITICAL all the same.
#[test]
fn what_is_asked_beside_hides_nothing() {
    let (world, _) = all_is_well();
    let lost = ["--receipts", "/nowhere", "--status-file", "/nowhere/either"];
    let seen = check(&world, &[&["--json"], &lost[..]].concat()).json();
    assert_eq!(seen["problems"].as_array().unwrap().len(), 2, "{seen}");
    assert_eq!(
        seen["results"].as_array().unwrap().iter().filter(|row| row["role"] == "ca").count(),
        1
    );
    let file = ["--prometheus", "/nowhere/x.prom"];
    put_expired_ca(&world);
    check(&world, &[&lost[..], &file].concat()).expect(2).says("CRITICAL: ").says("/nowhere");
}

/// An expired CA in place of the one in use.
fn put_expired_ca(world: &World) {
    let expired =
        World::of(LabSpec { managers: vec![ManagerSpec::expired("x")], ..LabSpec::for_tests(1) });
    fs::copy(lab::layout::cacert(&expired.fmc().root), lab::layout::cacert(&world.fmc().root))
        .unwrap();
}

#[test]
fn a_tunnel_of_nobody_known_keeps_the_all_clear_back() {
    let world = World::started(1);
    put_expired_ca_back(&world, 1);
    let down = format!("PEER:{}\nLast disconnect reason : x\n", world.ftd(1).uuid);
    let first = |args: &[&str]| {
        let json = check(&world, &[&["--json"], args].concat()).json();
        json["steps"][0].as_str().unwrap().to_owned()
    };
    prints(&world, &down);
    assert!(first(&[]).contains("no further harm"));
    let stranger = "PEER:99999999-87c9-11ef-a993-b9831565bc4e\nconnected to '192.0.2.9'\n";
    prints(&world, &format!("{down}{stranger}"));
    assert!(first(&[]).starts_with("do not reboot"), "{}", first(&[]));
    // what was saved tells what was
    let saved = world.write("saved.txt", &down);
    assert!(first(&["--status-file", saved.to_str().unwrap()]).starts_with("do not reboot"));
}

#[test]
fn a_device_that_waits_with_its_tunnel_up_is_not_to_be_rebooted() {
    let world = World::started(1);
    prints(&world, &format!("PEER:{}\nconnected to '192.0.2.9'\n", world.ftd(1).uuid));
    let json = check(&world, &["--json"]).expect(1).json();
    let steps = json["steps"].as_array().unwrap();
    assert!(
        steps[0].as_str().unwrap().contains("do not reboot or upgrade the FMC or these"),
        "{steps:?}"
    );
    assert_eq!(steps.len(), 2);
}

#[test]
fn a_folder_without_kit_or_receipt_is_no_empty_success() {
    let world = World::new(1);
    let ran = world.bundle(&["receipts"]).arg(world.out()).run().expect(3);
    ran.says("refused (not-found)").says("sftunnel-kit-");
}
