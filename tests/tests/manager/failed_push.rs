//! The list of devices in every shape that it is found in: which devices get a bundle, which
//! are refused, and how the build ends.

use std::fs;
use std::path::PathBuf;

use lab::LabSpec;
use serde_json::Value;
use tests::{Ran, Run, World};

fn list(world: &World) -> PathBuf {
    world.fmc().failed_push().unwrap().unwrap()
}

/// Rewrites the list.
fn change(world: &World, change: impl FnOnce(String) -> String) {
    let path = list(world);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
}

fn build(world: &World, flags: &[&str]) -> Ran {
    let recipient = world.recipient();
    let run = world.bundle(&["build", "--json", "--recipient", &recipient]).args(flags);
    run.arg("--out").arg(world.out()).run()
}

/// The names of the devices with this status.
fn names(ran: &Ran, status: &str) -> Vec<String> {
    let json = ran.json();
    let results = json["results"].as_array().unwrap().iter();
    let of = results.filter(|result| result["status"] == status);
    of.map(|result| result["device"]["name"].as_str().unwrap_or("-").to_owned()).collect()
}

fn refused_reasons(ran: &Ran) -> Vec<String> {
    let json = ran.json();
    let results = json["results"].as_array().unwrap().iter();
    results.filter_map(|result| result["reason"].as_str().map(str::to_owned)).collect()
}

#[test]
fn the_newest_list_counts_when_none_is_named() {
    let world = World::new(2);
    let old = list(&world);
    let new = world.lab.renew().unwrap();
    let json = build(&world, &[]).expect(0).json();
    assert_eq!(json["batch"], new.number);
    let old = old.display().to_string();
    // several: the newer entry counts, the older adds what only it lists
    let newer = new.failed_push.display().to_string();
    let text = fs::read_to_string(&newer).unwrap();
    let second = text.lines().filter(|line| line.contains(&world.ftd(2).uuid));
    fs::write(&newer, second.map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let ran = build(&world, &["--failed-push", &old, "--failed-push", &newer]).expect(0);
    assert_eq!(names(&ran, "bundled"), ["BSNS-1120-2", "BSNS-1120-1"]);
    let json = ran.json();
    assert_eq!(json["batch"], new.number);
    assert_eq!(json["failed_push"][0], Value::from(newer));
}

/// Neighbours in the list take each step together: none may get what is another's, and what is
/// wrong with one is said of that one.
#[test]
fn a_fleet_is_bundled_in_its_order_and_the_bad_ones_are_named() {
    const BAD: [usize; 4] = [1, 17, 30, 150];
    let world = World::of(LabSpec { fmc_only: true, ..LabSpec::for_tests(150) });
    for number in BAD {
        let pushed = world.fmc().certs_pushed(&world.ftd(number).uuid);
        fs::write(pushed.join("sftunnel-key.pem"), "").unwrap();
    }
    let ran = build(&world, &[]).expect(4);
    let name = |number: usize| format!("BSNS-1120-{number}");
    let good: Vec<_> = (1..=150).filter(|number| !BAD.contains(number)).map(name).collect();
    assert_eq!(names(&ran, "bundled"), good);
    assert_eq!(names(&ran, "refused"), BAD.map(name));
    let json = ran.json();
    let order = json["results"].as_array().unwrap().iter();
    let order: Vec<_> = order.map(|result| result["device"]["name"].as_str().unwrap()).collect();
    assert_eq!(order, (1..=150).map(name).collect::<Vec<_>>());
    // each bundle is its device's: subject, name, place in the kit, every checksum
    let kit = json["kit"].as_str().unwrap();
    let signer = json["signer"]["fingerprint"].as_str().unwrap();
    let verify = world.bundle(&["verify", "--json", "--signer", signer, "--identity"]);
    let verified = verify.arg(world.path("identity.txt")).arg(kit).run().expect(0).json();
    let results = verified["results"].as_array().unwrap();
    let built = json["results"].as_array().unwrap().iter();
    let built: Vec<_> = built.filter(|result| result["status"] == "bundled").collect();
    assert_eq!(results.len(), built.len());
    for (found, said) in results.iter().zip(built) {
        for fact in ["device", "bundle_id", "size", "sha256", "certificate_not_after"] {
            assert_eq!(found[fact], said[fact], "{fact}: {found}");
        }
    }
}

#[test]
fn one_bad_device_does_not_stop_the_others() {
    let world = World::new(3);
    let pushed = world.fmc().certs_pushed(&world.ftd(2).uuid);
    fs::write(pushed.join("sftunnel-key.pem"), "").unwrap();
    let ran = build(&world, &[]).expect(4);
    let json = ran.json();
    assert_eq!((&json["bundled"], &json["refused"]), (&2.into(), &1.into()));
    assert_eq!(json["reason"], "bad-credentials");
    assert_eq!(names(&ran, "bundled"), ["BSNS-1120-1", "BSNS-1120-3"]);
    assert_eq!(names(&ran, "refused"), ["BSNS-1120-2"]);
    let kit = PathBuf::from(json["kit"].as_str().unwrap());
    assert_eq!(fs::read_dir(kit.join("bundles")).unwrap().count(), 2);
    world.install(world.ftd(1), &kit).run().expect(0);
    // asked for alone it is all there is: refused, and no kit
    let ran = build(&world, &["--device", "BSNS-1120-2"]).expect(3);
    assert_eq!(ran.json()["kit"], Value::Null);
    build(&world, &["--device", &world.ftd(3).uuid.to_uppercase()]).expect(0);
}

#[test]
fn all_bad_is_no_kit_and_nothing_half_made() {
    let world = World::new(2);
    for device in &world.lab.devices {
        fs::remove_dir_all(world.fmc().certs_pushed(&device.uuid)).unwrap();
    }
    let out = world.out();
    let recipient = world.recipient();
    let run = world.bundle(&["build", "--recipient", &recipient]).arg("--out").arg(&out).run();
    run.expect(3).says("missing-source").says("no kit was made");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    assert!(!World::signing_key_path(world.fmc()).exists(), "no kit, no key");
}

#[test]
fn a_cut_last_line_refuses_its_device_only() {
    let world = World::new(2);
    change(&world, |text| text[..text.len() - 70].to_owned());
    let ran = build(&world, &[]).expect(4);
    assert_eq!(names(&ran, "bundled"), ["BSNS-1120-1"]);
    let reasons = refused_reasons(&ran);
    assert!(["bad-failed-push", "wrong-destination"].contains(&&*reasons[0]), "{reasons:?}");
    let json = ran.json();
    let line = json["results"].as_array().unwrap().iter().find_map(|r| r["line"].as_u64());
    assert_eq!(line, Some(6), "{json}");
}

#[test]
fn a_line_that_cannot_be_read_is_named_by_its_number() {
    let world = World::new(2);
    change(&world, |text| format!("garbage in the first line\n{text}"));
    let ran = build(&world, &[]).expect(4);
    assert_eq!(refused_reasons(&ran), ["bad-failed-push"]);
    assert_eq!(
        ran.json()["results"].as_array().unwrap().iter().find_map(|r| r["line"].as_u64()),
        Some(1)
    );
    assert_eq!(names(&ran, "bundled").len(), 2);
    let recipient = world.recipient();
    let run = world.bundle(&["plan", "--recipient", &recipient]).run();
    run.expect(4).says("line 1").says("bad-failed-push");
}

#[test]
fn foreign_text_is_never_obeyed() {
    let world = World::new(2);
    change(&world, |text| {
        text.replace("BSNS-1120-1", "\u{1b}[2J\u{202e}x").replacen("/var/sf", "/\u{1b}]0;x\u{7}", 1)
    });
    let recipient = world.recipient();
    let ran = world.bundle(&["plan", "--recipient", &recipient]).run();
    ran.never_says("\u{1b}").never_says("\u{202e}").never_says("\u{7}");
    build(&world, &[]).never_says("\u{1b}").never_says("\u{202e}");
}

/// The hint is copied from the screen to root's prompt.
#[test]
fn a_device_in_a_command_to_be_typed_is_one_word() {
    let world = World::new(2);
    let manager = world.fmc().uuid.clone();
    let other = "00000000-0000-0000-0000-000000000000";
    let list = fs::read_to_string(list(&world)).unwrap();
    let uuid = world.ftd(2).uuid.as_str();
    let names = [
        ("Branch Office 7", "Branch Office 7"),
        ("$(touch pwned)", "$(touch pwned)"),
        ("x';>pwned;'", uuid),
        ("\\';>pwned", uuid),
        ("a\u{202e}b", uuid),
    ];
    for (name, expected) in names {
        let of_other = |line: &str| {
            let line = line
                .replace(&format!("/var/sf/peers/{manager}/"), &format!("/var/sf/peers/{other}/"));
            line.replace("BSNS-1120-2", name) + "\n"
        };
        let lines = list.lines().map(|line| match line.contains("BSNS-1120-2") {
            true => of_other(line),
            false => format!("{line}\n"),
        });
        let changed = world.write("list", lines.collect::<String>());
        let recipient = world.recipient();
        let run =
            world.bundle(&["plan", "--accept-stale", "--recipient", &recipient, "--failed-push"]);
        let json = run.arg(changed).arg("--json").run().expect(4).json();
        let results = json["results"].as_array().unwrap();
        let hint = results.iter().find_map(|result| result["next"].as_str()).unwrap();
        let (_, words) = hint.split_once("another kit with ").unwrap();
        let shell = format!("printf '%s|' {words}");
        let ran = Run::new("sh").args(["-c", &shell]).cwd(world.path(".")).run().expect(0);
        assert_eq!(ran.stdout, format!("--device|{expected}|"), "{hint}");
        assert!(!world.path("pwned").exists(), "{hint}");
    }
}

#[test]
fn carriage_returns_blank_lines_and_duplicates_are_harmless() {
    let world = World::new(2);
    change(&world, |text| format!("\r\n{}\r\n{}", text.replace('\n', "\r\n"), text));
    let ran = build(&world, &[]).expect(0);
    assert_eq!(names(&ran, "bundled"), ["BSNS-1120-1", "BSNS-1120-2"]);
}

#[test]
fn a_list_that_went_through_an_editor_of_windows_is_read() {
    let world = World::new(2);
    change(&world, |text| format!("\u{feff}{}", text.replace('\n', "\r\n")));
    let ran = build(&world, &[]).expect(0);
    assert_eq!(names(&ran, "bundled"), ["BSNS-1120-1", "BSNS-1120-2"]);
}

#[test]
fn slashes_more_or_less_are_no_contradiction() {
    let world = World::new(1);
    change(&world, |text| {
        assert!(text.contains("certs_pushed//"), "as the real file has it");
        format!("{text}{}", text.replace("certs_pushed//", "certs_pushed/"))
    });
    let ran = build(&world, &[]).expect(0);
    assert_eq!(names(&ran, "bundled"), ["BSNS-1120-1"]);
}

#[test]
fn paths_on_the_device_may_be_written_with_ngfw() {
    let world = World::new(2).start();
    change(&world, |text| {
        let at_device = format!(" /var/sf/peers/{}", world.fmc().uuid);
        assert!(text.contains(&at_device));
        text.replace(&at_device, &format!(" /ngfw{}", at_device.trim_start()))
    });
    let recipient = world.recipient();
    let plan = world.bundle(&["plan", "--recipient", &recipient]).run().expect(0);
    plan.says("Ready: 2 devices");
    // one device's lines in both forms are one manager's, and one file's
    change(&world, |text| {
        format!("{text}{}", text.replace(" /ngfw/var/sf/peers/", " /var/sf/peers/"))
    });
    let kit = world.kit(&[]);
    let device = world.ftd(1);
    world.install(device, &kit.path).run().expect(0);
    assert_eq!(world.files(device, world.fmc()), world.new_files(device, world.fmc()));
    world.up(device, world.fmc());
}

#[test]
fn a_copy_of_the_list_is_of_the_batch_that_it_was_copied_from() {
    let world = World::new(2);
    let old = list(&world);
    let number: u64 = old.parent().unwrap().file_name().unwrap().to_str().unwrap().parse().unwrap();
    // a copy is as young as the copying; with other line ends it says the same
    let text = fs::read_to_string(&old).unwrap();
    let copy = world.write("copy.txt", text.replace('\n', "\r\n")).display().to_string();
    let json = build(&world, &["--failed-push", &copy]).expect(0).json();
    assert_eq!((&json["batch"], &json["warnings"]), (&number.into(), &serde_json::json!([])));

    // a newer run: the copy is as stale as its original, however young the file is
    let new = world.lab.renew().unwrap();
    let only_first: String = text
        .lines()
        .filter(|line| line.starts_with(&world.ftd(1).uuid))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&new.failed_push, &only_first).unwrap();
    let ran = build(&world, &["--failed-push", &copy]).expect(3);
    assert_eq!(ran.json()["reason"], "stale-batch");

    // one that is like none: nobody can tell, and that is said
    let lines: Vec<&str> =
        text.lines().filter(|line| line.starts_with(&world.ftd(2).uuid)).collect();
    let edited = world.write("edited.txt", lines.join("\n")).display().to_string();
    let ran = build(&world, &["--failed-push", &edited]).expect(0);
    let warnings = ran.json()["warnings"].to_string();
    assert!(warnings.contains("the manager may have a newer CA"), "{warnings}");
}

#[test]
fn lines_that_contradict_each_other_are_refused() {
    let world = World::new(2);
    change(&world, |text| {
        let first = text.lines().next().unwrap().replace("/etc/sf/ca_root/", "/tmp/");
        format!("{text}{first}\n")
    });
    let ran = build(&world, &[]).expect(4);
    assert_eq!(refused_reasons(&ran), ["bad-failed-push"]);
    assert_eq!(names(&ran, "refused"), ["BSNS-1120-1"]);
}

#[test]
fn names_with_blanks_and_addresses_of_any_kind_are_read() {
    let names_of = ["Branch Office 7", "a b c d"];
    let world = World::of(LabSpec { key_pool: Some(12), ..LabSpec::with_names(names_of) });
    change(&world, |text| {
        text.replace(" 10.48.0.1 ", " DONTRESOLVE ").replace(" 10.48.0.2 ", " fe80::1 ")
    });
    let ran = build(&world, &[]).expect(0);
    assert_eq!(names(&ran, "bundled"), names_of);
    build(&world, &["--device", "Branch Office 7"]).expect(0);
}

#[test]
fn a_device_with_fewer_than_three_files_gets_the_whole_set() {
    let world = World::new(1);
    let text = fs::read_to_string(list(&world)).unwrap();
    for kept in ["cacert.pem", "sftunnel-key.pem", "sftunnel-cert.pem"] {
        change(&world, |_| {
            let lines = text.lines().filter(|line| line.ends_with(kept));
            lines.map(|line| format!("{line}\n")).collect()
        });
        let recipient = world.recipient();
        let plan = world.bundle(&["plan", "--recipient", &recipient]).run().expect(0);
        plan.says("holds all three files").says("1/3");
        let kit = world.kit(&[]);
        world.install(world.ftd(1), &kit.path).arg("--dry-run").run().expect(0);
    }
    // the pair where the guide says that it may be as well
    let pushed = world.fmc().certs_pushed(&world.ftd(1).uuid);
    for name in ["sftunnel-key.pem", "sftunnel-cert.pem"] {
        fs::rename(pushed.join(name), pushed.parent().unwrap().join(name)).unwrap();
    }
    change(&world, |_| {
        text.lines()
            .filter(|line| line.ends_with("cacert.pem"))
            .map(|line| format!("{line}\n"))
            .collect()
    });
    build(&world, &[]).expect(0);
}

#[test]
fn an_empty_list_means_that_all_were_reached() {
    let world = World::new(1);
    change(&world, |_| String::new());
    let ran = build(&world, &[]).expect(3);
    assert_eq!(ran.json()["reason"], "not-found");
}

#[test]
fn devices_of_another_manager_are_left_out() {
    let world = World::new(2);
    let other = "11111111-2222-11ef-8888-000000000000";
    change(&world, |text| {
        let of_second = |line: &str| line.starts_with(&world.ftd(2).uuid);
        let lines = text.lines().map(|line| match of_second(line) {
            true => format!("{}\n", line.replace(&world.fmc().uuid, other)),
            false => format!("{line}\n"),
        });
        lines.collect()
    });
    let ran = build(&world, &[]).expect(4);
    assert_eq!(refused_reasons(&ran), ["wrong-destination"]);
    assert_eq!(names(&ran, "bundled"), ["BSNS-1120-1"]);
}

#[test]
fn a_list_that_is_no_regular_file_is_a_bad_format_and_holds_nobody_up() {
    let world = World::new(1);
    let list = list(&world);
    for maker in ["mkfifo", "mkdir"] {
        fs::remove_file(&list).unwrap();
        Run::new(maker).arg(&list).run().expect(0);
        let ran = world.bundle(&["plan", "--recipient", &world.recipient()]).run();
        ran.expect(3).says("refused (bad-format)").says("regular file");
        if maker == "mkdir" { fs::remove_dir(&list) } else { fs::remove_file(&list) }.unwrap();
        fs::write(&list, "").unwrap();
    }
}

#[test]
fn a_recipient_map_gives_each_site_its_own() {
    let world = World::new(2);
    world.bundle_program(&["keygen", "identity", "--out", "site.txt"]).run().expect(0);
    let site = fs::read_to_string(world.path("site.txt")).unwrap();
    let site = site.split_whitespace().find(|word| word.starts_with("age1")).unwrap();
    let map = format!(
        "device,recipient\nBSNS-1120-1,{site}\n{},{}\n",
        world.ftd(2).uuid,
        world.recipient()
    );
    let map = world.write("sites.csv", map).display().to_string();
    let kit = world.kit_with(world.fmc(), &["--recipient-map", &map]);
    let run = |identity: &str, number: usize| {
        let run = world.on(
            world.ftd(number),
            &["verify", "--signer", &world.signer(), "--identity", identity],
        );
        run.arg(&kit.path).run()
    };
    run("site.txt", 1).expect(0);
    run("identity.txt", 2).expect(0);
    run("site.txt", 2).expect(3).says("cannot-open");
    run("identity.txt", 1).expect(3).says("cannot-open");
    // a device without anybody who could open its bundle
    world.write("sites.csv", format!("BSNS-1120-1,{site}\n"));
    let ran = build_with(&world, &["--recipient-map", &map]);
    assert_ne!(ran.code(), Some(0), "{}", ran.output());
    world.write("recipients.txt", format!("# escrow\n{}\n\n", world.recipient()));
    world.kit_with(world.fmc(), &["--recipients-file", "recipients.txt"]);
    build_with(&world, &["--recipient", "age1nonsense"]).expect(2);
    // the secret half where the public one belongs: refused, and not repeated in the message
    let identity = world.identity();
    let secret = identity.lines().last().unwrap();
    build_with(&world, &["--recipient", secret]).expect(2);
}

fn build_with(world: &World, flags: &[&str]) -> Ran {
    world.bundle(&["build"]).args(flags).arg("--out").arg(world.out()).run()
}
