//! `status` at the device: how long its files last, what is to be done, and what monitoring systems
//! are told.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use lab::authority::Validity;
use lab::{Issue, LabSpec, ManagerSpec};
use tests::monitoring::{perfdata, samples};
use tests::{Ran, World, now};

/// Managers whose certificates last so many days.
fn device_with(days: &[i64]) -> World {
    let ending_in = |days: &i64| ManagerSpec {
        old: Issue {
            validity: Some(Validity::ending_in(days * 86_400 + 3600)),
            ..Issue::default()
        },
        ..ManagerSpec::valid(&format!("fmc{days}"))
    };
    let managers = days.iter().map(ending_in).collect();
    World::of(LabSpec { managers, ..LabSpec::for_tests(1) })
}

fn status(world: &World, args: &[&str]) -> Ran {
    world.on(world.ftd(1), &[&["status"], args].concat()).run()
}

#[test]
fn on_the_device_status_is_a_plugin_when_it_is_asked_to_be() {
    let world = device_with(&[200, 60, -3]);
    status(&world, &[]).expect(0).never_says("SFTUNNEL");
    let ran = status(&world, &["--plugin"]).expect(2);
    let line = ran.stdout.lines().next().unwrap();
    assert!(line.starts_with("SFTUNNEL CRITICAL - files for manager "), "{line}");
    assert!(line.contains("expired 2 days ago"), "{line}");
    assert!(line.contains(", and 1 more to look at"), "{line}");
    let data = perfdata(line);
    assert_eq!(data["days"], (-2, "90:;30:".to_owned()));
    let counts = ["managers", "warning", "critical", "tunnels_down"].map(|name| data[name].0);
    assert_eq!(counts, [3, 1, 1, 3], "{line}");

    let near = device_with(&[60]).start();
    near.up(near.ftd(1), near.fmc());
    let line = status(&near, &["--plugin"]).expect(1).says("WARNING - files for manager");
    drop(line.never_says("more to look at"));
    status(&near, &["--plugin", "--warning", "60"]).expect(0).says("SFTUNNEL OK");
    status(&near, &["--plugin", "--warning", "70", "--critical", "61"]).expect(2);
    // 2 would be CRITICAL
    let line = "SFTUNNEL UNKNOWN - --critical 61 is more than --warning 60";
    status(&near, &["--plugin", "--warning", "60", "--critical", "61"]).expect(3).says(line);
    status(&near, &["--plugin", "--nonsense"])
        .expect(3)
        .says("SFTUNNEL UNKNOWN - wrong command line");
    status(&near, &["--nonsense"]).expect(2);
    near.on(near.ftd(1), &["install", "--plugin"]).run().expect(2);
    let quiet = status(&near, &["--plugin", "--quiet", "--warning", "60"]).expect(0);
    assert_eq!(quiet.stdout.lines().count(), 1, "{}", quiet.output());
    let json = status(&near, &["--plugin", "--json"]).expect(1).json();
    assert_eq!((&json["state"], &json["thresholds"]["warning"]), (&"WARNING".into(), &90.into()));
    // good files alone are not all
    lab::service::stop(&near.ftd(1).root).unwrap();
    let stopped = ["--plugin", "--warning", "60"];
    status(&near, &stopped).expect(1).says("SFTUNNEL WARNING - sftunnel does not run; files for");
    fs::remove_dir_all(near.ftd(1).root.join("var/sf/peers")).unwrap();
    status(&near, &["--plugin"]).expect(3).says("SFTUNNEL UNKNOWN - no peer directory");
}

#[test]
fn the_devices_table_begins_with_the_most_urgent_and_shows_the_years() {
    let world = device_with(&[200, 60, -3]);
    let ran = status(&world, &[]).expect(0);
    let after = ran.stdout.split("ten years").nth(1).unwrap();
    let rows = after.lines().skip(1).take_while(|line| !line.is_empty());
    let days: Vec<i64> =
        rows.map(|row| row.split_whitespace().nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(days, [-2, -2, 60, 60, 200, 200], "{}", ran.output());
    ran.says("CRITICAL  -2").says("WARNING   60").says("OK        200").says("#");
}

#[test]
fn status_says_what_to_do_next() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let steps = || {
        let json = status(&world, &["--json"]).expect(0).json();
        let steps = json["steps"].as_array().unwrap().iter();
        steps.map(|step| step.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let completed =
        || status(&world, &["--json"]).expect(0).json()["peers"][0]["completed"].clone();
    assert_eq!(completed(), false, "nothing was installed");
    let expired = steps();
    assert!(expired[0].contains("install a kit") && expired.len() == 1, "{expired:?}");
    world.install(device, &world.kit(&[]).path).run().expect(0);
    world.up(device, fmc);
    assert_eq!(steps(), Vec::<String>::new(), "all is well");
    assert_eq!(completed(), true);
    status(&world, &[]).expect(0).never_says("Next");
    // up on files that would not bring it up again
    let key = device.peer_dir(fmc).join("sftunnel-key.pem");
    let good = fs::read(&key).unwrap();
    fs::write(&key, "").unwrap();
    assert_eq!(completed(), false, "another file since");
    let broken = steps();
    assert!(
        broken[0].contains("do not reboot")
            && broken[0].contains("the tunnel to manager ")
            && broken[1].contains("install a kit"),
        "{broken:?}"
    );
    fs::write(&key, good).unwrap();
    fs::write(device.peer_dir(fmc).join("sftunnel-key.pem.backup"), "x").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let strays = steps();
    assert!(strays[0].contains("644 root:root"), "{strays:?}");
    assert!(strays[1].contains("is a private key"), "{strays:?}");
    lab::service::stop(&device.root).unwrap();
    assert!(steps().iter().any(|step| step.contains("does not run")));
    let from = now() + 86_400;
    let validity = Some(Validity { from, until: from + 400 * 86_400 });
    let old = Issue { validity, ..Issue::default() };
    let tomorrow = ManagerSpec { old, ..ManagerSpec::valid("tomorrow") };
    let early = World::of(LabSpec { managers: vec![tomorrow], ..LabSpec::for_tests(1) });
    status(&early, &[]).expect(0).says("check this box's clock, and its NTP servers");
    // what cannot be read as it should be: with advice of its own, and without
    let odd = World::new(1);
    let ca = odd.ftd(1).peer_dir(odd.fmc()).join("cacert.pem");
    fs::remove_file(&ca).unwrap();
    std::os::unix::fs::symlink("elsewhere", &ca).unwrap();
    status(&odd, &[]).expect(0).says(": find out who put it there, and why");
    fs::remove_file(&ca).unwrap();
    fs::File::create(&ca).unwrap().set_len(64 << 20).unwrap();
    status(&odd, &[]).expect(0).says("look at its directory: it cannot be read as it should be");
    let renew = device_with(&[60]);
    status(&renew, &[]).expect(0).says("have its CA renewed in time");
}

#[test]
fn the_devices_file_for_prometheus_can_be_read_and_says_the_same() {
    let world = World::started(1);
    let file = world.path("sft.prom");
    let run = || {
        let args = ["--json", "--prometheus", file.to_str().unwrap()];
        let json = status(&world, &args).expect(0).json();
        (json, samples(&fs::read_to_string(&file).unwrap()))
    };
    let value = |samples: &HashMap<(String, String), f64>, name: &str| {
        let mut found = samples.iter().filter(|((found, _), _)| found == name);
        let value = *found.next().unwrap_or_else(|| panic!("no {name}")).1;
        assert!(found.next().is_none(), "several {name}");
        value
    };
    let (json, before) = run();
    let names = ["sftunnel_peer_state", "sftunnel_tunnel_up", "sftunnel_running"];
    assert_eq!(names.map(|name| value(&before, name)), [2.0, 0.0, 1.0], "{json}");
    let ends = |samples: &HashMap<(String, String), f64>| {
        let of = samples.iter().filter(|((name, _), _)| name.ends_with("not_after_seconds"));
        of.map(|(_, value)| *value as i64).collect::<Vec<_>>()
    };
    assert_eq!(ends(&before).len(), 2);
    let label = format!("manager_uuid=\"{}\"", world.fmc().uuid);
    let of_managers = before.keys().filter(|(name, _)| name.starts_with("sftunnel_peer_"));
    assert!(
        of_managers.clone().count() > 0 && of_managers.clone().all(|(_, l)| l.contains(&label))
    );
    // the exporter is somebody else, and install.sh has a umask of 077
    let args = ["status", "--prometheus", file.to_str().unwrap()];
    let narrow = world.on(world.ftd(1), &args).under(&["sh", "-c", "umask 077; exec \"$@\"", "sh"]);
    narrow.run().expect(0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    world.install(world.ftd(1), &world.kit(&[]).path).run().expect(0);
    world.up(world.ftd(1), world.fmc());
    let after = run().1;
    assert_eq!(names.map(|name| value(&after, name)), [0.0, 1.0, 1.0]);
    assert_eq!(value(&after, "sftunnel_status_state"), 0.0);
    assert!(ends(&after).iter().all(|end| *end > now() + 3600 * 86_400));
}
