//! A box whose clock is wrong: 1970, before the program, before the bundle, before the
//! certificates, after them. Refused with both times; sftunnel would refuse as well.

use formats::timestamp::Timestamp;
use lab::authority::{DAY, Validity};
use lab::{Issue, LabSpec, ManagerSpec};
use tests::{Run, World, install_refused, now, refused, tool};

/// Preloading works with the dynamic build only; the same code is in the static one.
fn at(run: Run, time: i64) -> Run {
    tool("faketime", "faketime");
    let time = Timestamp::from_unix(time).unwrap().to_string();
    run.under(&["faketime", "-f", &format!("@{}", time.replace('T', " ").replace('Z', ""))])
        .env("TZ", "UTC")
}

/// Certificates of a batch that begins in ten days, in a bundle that is made in five.
fn world() -> (World, tests::Kit, [String; 3]) {
    let begin = now() + 10 * DAY;
    let validity = Validity { from: begin, until: begin + 90 * DAY };
    let new = Issue { validity: Some(validity), ..Issue::default() };
    let manager = ManagerSpec { new, ..ManagerSpec::renewed("fmc") };
    let world = World::of(LabSpec { managers: vec![manager], ..LabSpec::for_tests(1) });
    let shown = |time: i64| Timestamp::from_unix(time).unwrap().to_string();
    let created = shown(now() + 5 * DAY);
    let kit = world.kit(&["--accept-clock", "--created-at", &created]);
    (world, kit, [created, shown(begin), shown(begin + 90 * DAY)])
}

#[test]
fn each_wrong_clock_is_refused_with_both_times_and_what_sftunnel_would_do() {
    let (world, kit, [created, begin, end]) = world();
    let device = world.ftd(1);
    let cases = [
        (10, "clock-behind", "1970-01-01T00:00:1", "this program was made", &begin),
        (1_577_836_800, "clock-behind", "2020-01-01T00:00:0", "this program was made", &begin),
        (now() + DAY, "clock-behind", "", "the bundle was made", &created),
        (now() + 7 * DAY, "not-yet-valid", "", "becomes valid at", &begin),
        (now() + 120 * DAY, "expired", "", "expired at", &end),
    ];
    for (time, reason, clock, what, other) in cases {
        let clock = match clock {
            "" => Timestamp::from_unix(time).unwrap().to_string()[..10].to_owned(),
            clock => clock.to_owned(),
        };
        let before = world.snapshot(device);
        let ran = refused(at(world.install(device, &kit.path), time), reason);
        world.unchanged(device, &before, &ran);
        let message = ran.json()["message"].as_str().unwrap().to_owned();
        for part in [&clock, what, other, "sftunnel itself would refuse"] {
            assert!(message.contains(part), "{reason}: '{part}' in: {message}");
        }
        if what == "this program was made" {
            let status = at(world.on(device, &["status"]), time).run();
            drop(status.says("(behind)").says("1. set the clock"));
        }
        let ran = refused(
            at(world.on(device, &["verify"]).args(world.trust()), time).arg(&kit.path),
            reason,
        );
        assert_eq!(ran.json()["results"][0]["reason"], reason);
        // who knows that it is only the clock goes on
        let run = world.install(device, &kit.path).args(["--dry-run", "--accept-clock"]);
        at(run, time).run().expect(0);
    }
    // and with the clock set right nothing is in the way
    let run = world.install(device, &kit.path).arg("--dry-run");
    at(run, now() + 20 * DAY).run().expect(0);
}

#[test]
fn a_clock_between_bundle_and_expiry_is_no_obstacle_by_a_second() {
    let (world, kit, [_, _, end]) = world();
    let device = world.ftd(1);
    let begin = now() + 10 * DAY;
    let dry = || world.install(device, &kit.path).arg("--dry-run");
    at(dry(), begin + 60).run().expect(0);
    at(dry(), begin + 90 * DAY - 600).run().expect(0).says(&end[..10]);
    // the real clock: the bundle is from the future
    install_refused(&world, device, &kit.path, "clock-behind");
}

#[test]
fn status_says_how_urgent_each_manager_is_the_most_urgent_first() {
    let ending_in = |days: i64| ManagerSpec {
        old: Issue { validity: Some(Validity::ending_in(days * DAY + 3600)), ..Issue::default() },
        ..ManagerSpec::valid(&format!("fmc-{days}"))
    };
    let managers = [400, 60, -3, 90, 20, 89].map(ending_in).to_vec();
    let world = World::of(LabSpec { managers, ..LabSpec::for_tests(1) });
    let ran = world.on(world.ftd(1), &["status", "--json"]).run().expect(0);
    let json = ran.json();
    let peers = json["peers"].as_array().unwrap().iter();
    let found: Vec<_> = peers
        .map(|peer| (peer["days_left"].as_i64().unwrap(), peer["level"].as_str().unwrap()))
        .collect();
    let expected = [
        (-2, "CRITICAL"),
        (20, "CRITICAL"),
        (60, "WARNING"),
        (89, "WARNING"),
        (90, "OK"),
        (400, "OK"),
    ];
    assert_eq!(found, expected);
    world
        .on(world.ftd(1), &["status"])
        .run()
        .says("expired (CRITICAL)")
        .says("valid (WARNING)")
        .says("valid (CRITICAL)");
}

/// By a clock that fell back the new CA is not valid yet: another one would be of no use.
#[test]
fn a_managers_clock_that_fell_back_is_to_be_set_before_anything_else() {
    let world = World::new(1);
    let run = world.bundle(&["check", "--json", "--no-status-program"]);
    let json = at(run, now() - 400 * DAY).run().expect(2).json();
    let steps = json["steps"].as_array().unwrap();
    assert!(
        steps.len() == 1 && steps[0].as_str().unwrap().starts_with("set the FMC's clock"),
        "{json}"
    );
}

/// Rounding towards zero would call the first day after the end the last one before it.
#[test]
fn an_hour_after_the_end_no_day_is_left_at_the_manager_or_at_the_device() {
    let an_hour_ago = Validity { from: now() - 90 * DAY, until: now() - 3600 };
    let old = Issue { validity: Some(an_hour_ago), ..Issue::default() };
    let manager = ManagerSpec { old, ..ManagerSpec::valid("fmc") };
    let world = World::of(LabSpec { managers: vec![manager], ..LabSpec::for_tests(1) });
    let device = world.on(world.ftd(1), &["status", "--json"]).run().expect(0).json();
    let peer = &device["peers"][0];
    assert_eq!((&peer["state"], &peer["days_left"]), (&"expired".into(), &(-1).into()), "{peer}");
    let manager = world.bundle(&["check", "--json"]).run().expect(2).json();
    let all = manager["results"].as_array().unwrap();
    assert!(all.iter().any(|one| one["role"] == "ca" && one["days_left"] == -1), "{manager}");
    world.on(world.ftd(1), &["status"]).run().expect(0).never_says("(0 days");
}
