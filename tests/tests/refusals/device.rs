//! Places, links, and the order of batches in time.

use super::*;

#[test]
fn no_failed_push_and_no_such_device_are_not_found() {
    let world = World::new(1);
    build_refused_with(&world, &["--device", "nobody"], "not-found");
    build_refused_with(&world, &["--failed-push", "/nowhere/FAILED_PUSH"], "not-found");
    fs::remove_dir_all(world.fmc().root.join("var/tmp/certs")).unwrap();
    build_refused(&world, "not-found");
}

#[test]
fn a_source_that_is_not_there_is_not_found() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    install_refused(&world, world.ftd(1), Path::new("/nowhere/kit"), "not-found");
    let device = world.ftd(1);
    refused(world.on(device, &["rollback", "--yes"]), "not-found");
    let ims = device.root.join("etc/sf/ims.conf");
    let conf = fs::read_to_string(&ims).unwrap();
    fs::write(&ims, conf.replace("APPLIANCE_UUID", "SOMETHING_ELSE")).unwrap();
    install_refused(&world, device, &kit.path, "not-found");
    fs::remove_file(&ims).unwrap();
    install_refused(&world, device, &kit.path, "not-found");
}

#[test]
fn nothing_is_overwritten() {
    let world = World::new(1);
    refused(world.bundle_program(&["keygen", "identity", "--out", "identity.txt"]), "exists");
    world.bundle_program(&["keygen", "signer", "--out", "signer.pem"]).run().expect(0);
    let before = fs::read(world.path("signer.pem")).unwrap();
    refused(world.bundle_program(&["keygen", "signer", "--out", "signer.pem"]), "exists");
    assert_eq!(before, fs::read(world.path("signer.pem")).unwrap());
    let kit = world.kit(&[]);
    let recipient = world.recipient();
    let out = kit.path.parent().unwrap();
    let before = lab::snapshot(out).unwrap();
    refused(world.bundle(&["build", "--recipient", &recipient]).arg("--out").arg(out), "exists");
    assert_eq!(before.differences(&lab::snapshot(out).unwrap()), Vec::<String>::new());
    // one manager, two bundles
    let run = world.install(world.ftd(1), &kit.path).arg(kit.bundle(world.ftd(1)));
    refused(run, "ambiguous");
}

#[test]
fn a_bundle_of_another_box_is_for_the_wrong_device() {
    let world = World::new(2);
    let kit = world.kit(&[]);
    install_refused(&world, world.ftd(1), &kit.bundle(world.ftd(2)), "wrong-device");
    let one = world.kit(&["--device", "BSNS-1120-2"]);
    install_refused(&world, world.ftd(1), &one.path, "wrong-device");
    // a re-imaged box
    let ims = world.ftd(1).root.join("etc/sf/ims.conf");
    let conf = fs::read_to_string(&ims).unwrap();
    let new = conf.replace(&world.ftd(1).uuid, "11111111-2222-11ef-8888-000000000000");
    fs::write(&ims, new).unwrap();
    install_refused(&world, world.ftd(1), &kit.path, "wrong-device");
    install_refused(&world, world.ftd(1), &kit.bundle(world.ftd(1)), "wrong-device");
}

#[test]
fn a_kit_for_other_boxes_says_for_which() {
    let world = World::new(7);
    let plan = world.bundle(&["plan", "--json"]).run().expect(0).json();
    let results = plan["results"].as_array().unwrap();
    let names: Vec<String> = results
        .iter()
        .map(|result| result["device"]["name"].as_str().unwrap().to_owned())
        .collect();
    let kit_for = |names: &[String]| {
        let flags: Vec<&str> = names.iter().flat_map(|name| ["--device", name]).collect();
        world.kit(&flags).path
    };
    let last = world.lab.devices.iter().find(|device| device.name == names[6]).unwrap();
    let says_whom = |names: &[String], whom: &str| {
        let json = install_refused(&world, last, &kit_for(names), "wrong-device").json();
        let message = json["results"][0]["message"].as_str().unwrap().to_owned();
        assert!(message.ends_with(&format!("it is for {whom}")), "{message}");
    };
    let five = names[..5].join(", ");
    says_whom(&names[..5], &five);
    says_whom(&names[..6], &format!("{five}, 1 more"));
}

#[test]
fn what_is_neither_kit_nor_bundle_gets_a_word_on_what_is() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let file = world.write("notes.txt", "the kit is on the other stick\n");
    let stick = kit.path.parent().unwrap();
    let in_it = format!("there is a kit in it: name {}", kit.path.display());
    for (named, word) in [
        (Path::new(&file), "name a bundle file (*.tar.gz.age) or a kit folder"),
        (&kit.path.join("bin"), "it lies in a kit: name"),
        (stick, &in_it),
    ] {
        let json = install_refused(&world, world.ftd(1), named, "bad-format").json();
        let next = json["results"][0]["next"].as_str().unwrap();
        assert!(next.starts_with(word), "{next}");
    }
    // and so for those who only look
    for named in [stick, &kit.path.join("bin")] {
        let looked = world.on(world.ftd(1), &["inspect"]).arg(named).run().expect(3);
        let at_the_fmc = world.bundle(&["verify", "--json"]).arg(named).run().expect(3).json();
        let refusal = &at_the_fmc["kits"][0];
        assert_eq!(refusal["reason"], "bad-format", "{at_the_fmc}");
        let next = refusal["next"].as_str().unwrap();
        if named == stick {
            looked.says("there is a kit in it");
            assert_eq!(next, in_it);
        } else {
            looked.says("it lies in a kit");
            assert!(next.starts_with("it lies in a kit: name"), "{next}");
        }
    }
    // more than one: the first three
    let other = |n: u8| fs::create_dir(stick.join(format!("{n}"))).unwrap();
    (1..4).for_each(other);
    (1..4).for_each(|n| drop(fs::write(stick.join(format!("{n}/kit.json")), "{}")));
    let place = |n: u8| stick.join(n.to_string()).display().to_string();
    let several =
        format!("there are kits in it: name {} or {} or {}", place(1), place(2), place(3));
    let json = install_refused(&world, world.ftd(1), stick, "bad-format").json();
    assert_eq!(json["results"][0]["next"], several);
}

#[test]
fn upper_case_in_ims_conf_is_the_same_box() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let ims = world.ftd(1).root.join("etc/sf/ims.conf");
    let uuid = &world.ftd(1).uuid;
    let conf = fs::read_to_string(&ims).unwrap();
    fs::write(&ims, conf.replace(uuid, &uuid.to_uppercase())).unwrap();
    world.install(world.ftd(1), &kit.path).run().expect(0);
}

#[test]
fn a_manager_that_the_box_does_not_know_is_not_registered() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let peer = world.ftd(1).peer_dir(world.fmc());
    fs::remove_dir_all(&peer).unwrap();
    let ran = install_refused(&world, world.ftd(1), &kit.path, "not-registered");
    drop(ran.says(&format!("there is no {}:", peer.display())));
    fs::remove_dir_all(world.ftd(1).root.join("var/sf/peers")).unwrap();
    install_refused(&world, world.ftd(1), &kit.path, "not-registered");
    // where nothing is asked for, that is a state like any other
    let status = world.on(world.ftd(1), &["status"]).run().expect(0);
    drop(status.says("it is registered with no manager"));
    world.on(world.ftd(1), &["recover"]).run().expect(0).says("Nothing was interrupted");
}

/// Nothing was ever registered there, which is no error; what is in the way of a look is one.
#[test]
fn a_box_without_its_sf_directory_is_registered_with_nobody() {
    let world = World::new(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]));
    let sf = device.root.join("var/sf");
    fs::remove_dir_all(&sf).unwrap();
    for command in [&["recover"][..], &["rollback", "--yes"]] {
        let ran = refused(world.on(device, command), "not-found");
        drop(ran.says(&format!("there is no {};", sf.display())).says("is this an FTD?"));
    }
    refused(world.on(device, &["verify"]).args(world.trust()).arg(&kit.path), "not-registered");
    let status = world.on(device, &["status"]).run().expect(0);
    drop(status.says("it is registered with no manager"));
    fs::write(&sf, "").unwrap();
    world.on(device, &["status"]).run().expect(1).says(&sf.display().to_string());
}

#[test]
fn links_in_the_last_components_are_a_wrong_destination() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let peer = device.peer_dir(world.fmc());
    let aside = device.root.join("var/sf/aside");
    // a file of the three
    let certificate = peer.join("sftunnel-cert.pem");
    fs::rename(&certificate, &aside).unwrap();
    symlink(&aside, &certificate).unwrap();
    install_refused(&world, device, &kit.path, "wrong-destination");
    fs::remove_file(&certificate).unwrap();
    Run::new("mkfifo").arg(&certificate).run().expect(0);
    install_refused(&world, device, &kit.path, "wrong-destination");
    fs::remove_file(&certificate).unwrap();
    fs::rename(&aside, &certificate).unwrap();
    // the peer directory
    fs::rename(&peer, &aside).unwrap();
    symlink(&aside, &peer).unwrap();
    install_refused(&world, device, &kit.path, "wrong-destination");
    fs::remove_file(&peer).unwrap();
    fs::rename(&aside, &peer).unwrap();
    // the directory of all peers
    let peers = peer.parent().unwrap();
    fs::rename(peers, &aside).unwrap();
    symlink("aside", peers).unwrap();
    install_refused(&world, device, &kit.path, "wrong-destination");
    // and not a box without managers
    refused(world.on(device, &["status"]), "wrong-destination");
    refused(world.on(device, &["recover"]), "wrong-destination");
}

#[test]
fn directories_that_others_may_change_are_a_wrong_destination() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let peer = device.peer_dir(world.fmc());
    for dir in [&peer, &peer.parent().unwrap().to_path_buf()] {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
        let ran = install_refused(&world, device, &kit.path, "wrong-destination");
        drop(ran.says(&format!("{} has mode 777 and owner 0", dir.display())));
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
    }
    Run::new("chown").arg("1234").arg(&peer).run().expect(0);
    install_refused(&world, device, &kit.path, "wrong-destination");
}

#[test]
fn a_device_whose_files_go_elsewhere_is_a_wrong_destination() {
    let world = World::new(1);
    let list = world.fmc().failed_push().unwrap().unwrap();
    let text = fs::read_to_string(&list).unwrap();
    for (from, to) in [
        ("/var/sf/peers/", "/etc/"),
        ("/cacert.pem\n", "/shadow\n"),
        ("/cacert.pem\n", "/../cacert.pem\n"),
    ] {
        fs::write(&list, text.replace(from, to)).unwrap();
        build_refused(&world, "wrong-destination");
    }
}

#[test]
fn an_older_ca_is_not_installed_over_a_newer_one() {
    let world = World::new(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let first = world.kit(&[]);
    world.lab.renew().unwrap();
    let second = world.kit(&[]);
    world.install(device, &second.path).run().expect(0);
    install_refused(&world, device, &first.path, "older-than-installed");
    // also when the newer one was rolled back: somebody may have done that to replay the older
    world.on(device, &["rollback", "--yes", "--settle", "1"]).run().expect(0);
    install_refused(&world, device, &first.path, "older-than-installed");
    world.install(device, &first.path).arg("--allow-older").run().expect(0);
    // what the manager pushed itself counts as well
    let other = World::new(1);
    let first = other.kit(&[]);
    other.lab.renew().unwrap();
    other.ftd(1).install_by_hand(other.fmc()).unwrap();
    install_refused(&other, other.ftd(1), &first.path, "older-than-installed");
    assert_eq!(world.files(device, fmc).iter().flatten().count(), 3);
}

/// Makes a device's pair anew under the CA in use, from then on; in a batch of this number.
fn issue_again(world: &World, from: i64, batch: u64) {
    let (device, fmc) = (world.ftd(1), world.fmc());
    let ca = fmc.root.join("etc/sf/ca_root");
    let authority = Authority::load(&ca.join("cacert.pem"), &ca.join("private/cakey.pem")).unwrap();
    let validity = Validity { from, until: from + 300 * 86_400 };
    let request = Request { validity, ..Request::for_device(&device.uuid).unwrap() };
    let pair = authority.issue(&request).unwrap();
    let pushed = fmc.certs_pushed(&device.uuid);
    fs::write(pushed.join("sftunnel-cert.pem"), pair.certificate_pem).unwrap();
    fs::write(pushed.join("sftunnel-key.pem"), pair.key_pem).unwrap();
    let list = fmc.failed_push().unwrap().unwrap();
    let folder = list.parent().unwrap();
    fs::rename(folder, folder.with_file_name(batch.to_string())).unwrap();
}

/// A pair that was given up, because its stick was lost, must not come back by that stick.
#[test]
fn an_older_pair_under_the_same_ca_is_not_installed_over_a_newer_one() {
    let world = World::new(1);
    let device = world.ftd(1);
    let first = world.kit(&[]).path;
    let now = tests::now();
    issue_again(&world, now - 60, 2_000_000_000);
    let second = world.kit(&[]).path;
    world.install(device, &second).run().expect(0);
    install_refused(&world, device, &first, "older-than-installed");
    // rolled back, the newest can be installed again and the older one still cannot
    let rollback = || world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    rollback();
    install_refused(&world, device, &first, "older-than-installed");
    world.install(device, &second).run().expect(0);
    // made in the same second, a batch later
    issue_again(&world, now - 60, 2_000_000_001);
    let third = world.kit(&[]).path;
    world.install(device, &third).run().expect(0);
    install_refused(&world, device, &second, "older-than-installed");
    // its certificate is not younger than the one in use: what was installed before says it alone
    world.install(device, &second).arg("--allow-older").run().expect(0);
    world.install(device, &third).run().expect(0);
    world.install(device, &first).arg("--allow-older").run().expect(0);
    world.install(device, &third).run().expect(0);
}

/// The manager pushes through a tunnel that came up, and nobody installed that here.
#[test]
fn an_older_pair_than_the_one_that_the_manager_pushed_is_refused_and_a_broken_set_is_not() {
    let world = World::new(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let first = world.kit(&[]).path;
    issue_again(&world, tests::now() - 60, 2_000_000_000);
    device.install_by_hand(fmc).unwrap();
    install_refused(&world, device, &first, "older-than-installed");
    // half of it pasted: there is no set whose age could count
    let key = device.peer_dir(fmc).join("sftunnel-key.pem");
    fs::write(key, "").unwrap();
    world.install(device, &first).run().expect(0);
}

#[test]
fn the_age_of_another_managers_ca_says_nothing() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2"));
    let world = World::of(spec);
    let [one, two] = &world.lab.managers[..] else { panic!("two managers") };
    let first = world.kit_on(one, &[]);
    world.lab.renew_on(two).unwrap();
    world.ftd(1).install_by_hand(two).unwrap();
    world.install(world.ftd(1), &first.path).run().expect(0);
}

#[test]
fn a_restart_that_drops_another_manager_for_good_needs_consent() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::expired("fmc2"));
    let world = World::of(spec);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let before = world.snapshot(device);
    let ran = refused(world.install(device, &kit.path), "would-drop-peer");
    world.unchanged(device, &before, &ran);
    let ran = ran.says(&world.lab.managers[1].uuid);
    drop(ran);
    world.install(device, &kit.path).arg("--dry-run").run().expect(0).says("will not come back");
    world.install(device, &kit.path).arg("--accept-drop").run().expect(0);
    // going back restarts as well
    let installed = world.snapshot(device);
    let ran = refused(world.on(device, &["rollback", "--yes"]), "would-drop-peer");
    world.unchanged(device, &installed, &ran);
    world.on(device, &["rollback", "--yes", "--accept-drop", "--settle", "1"]).run().expect(0);
    // where nothing is restarted nothing is dropped
    let again = ["rollback", "--to", "1", "--dry-run", "--json"];
    let said = world.on(device, &again).run().expect(0).json();
    assert_eq!(said["outcome"], "nothing-to-do", "{said}");
    assert!(said.get("dropped").is_none(), "{said}");
}

#[test]
fn a_broken_set_of_another_manager_counts_as_dropped() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::valid("fmc2"));
    let world = World::of(spec);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    world.install(device, &kit.path).arg("--dry-run").run().expect(0).never_says("not come back");
    let peer = device.peer_dir(&world.lab.managers[1]);
    fs::write(peer.join("sftunnel-key.pem"), Key::generate().unwrap().pem()).unwrap();
    refused(world.install(device, &kit.path), "would-drop-peer");
    let plan = world.install(device, &kit.path).args(["--dry-run", "--json"]).run();
    let dropped = plan.expect(0).json()["dropped"].clone();
    assert_eq!(dropped[0]["manager"], world.lab.managers[1].uuid.as_str(), "{dropped}");
    fs::remove_file(peer.join("cacert.pem")).unwrap();
    refused(world.install(device, &kit.path), "would-drop-peer");
    // one that never got any has no tunnel to lose
    for name in ["sftunnel-key.pem", "sftunnel-cert.pem"] {
        fs::remove_file(peer.join(name)).unwrap();
    }
    world.install(device, &kit.path).arg("--dry-run").run().expect(0).never_says("not come back");

    // a way back asks the same
    world.install(device, &kit.path).run().expect(0);
    fs::write(peer.join("cacert.pem"), "nonsense").unwrap();
    let plan = world.on(device, &["rollback", "--dry-run", "--json"]).run().expect(0).json();
    let dropped = plan["dropped"].as_array().unwrap();
    assert_eq!(dropped.len(), 1, "{plan}");
    assert_eq!(dropped[0]["manager"], world.lab.managers[1].uuid.as_str(), "{plan}");
    refused(world.on(device, &["rollback", "--yes"]), "would-drop-peer");
}

/// Whoever can rename something on the way can put his own in its place.
#[test]
fn a_directory_on_the_way_that_others_may_change_is_refused() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let var = device.root.join("var");
    for path in [device.root.clone(), var.clone(), var.join("sf")] {
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for (bits, owner) in [(0o757, (0, 0)), (0o777, (0, 4242)), (0o755, (4242, 0))] {
            let before = world.snapshot(device);
            std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1)).unwrap();
            mode(bits);
            let ran = refused(world.install(device, &kit.path), "wrong-destination");
            let ran = ran.says("expected owner root, not writable for all");
            std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
            mode(0o755);
            world.unchanged(device, &before, &ran);
        }
    }
    // a link is what it leads to, and the way there
    let real = device.root.join("ngfw/var");
    fs::create_dir_all(&real).unwrap();
    fs::rename(var.join("sf"), real.join("sf")).unwrap();
    symlink("/ngfw/var/sf", var.join("sf")).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o777)).unwrap();
    refused(world.install(device, &kit.path), "wrong-destination").says("ngfw/var has mode 777");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o755)).unwrap();
    world.install(device, &kit.path).arg("--dry-run").run().expect(0);
}

#[test]
fn every_refusal_of_a_run_is_said() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let run = world.install(world.ftd(1), Path::new("nowhere/one")).arg("nowhere/two");
    let json = refused(run.arg(&kit.path), "not-found").json();
    let message = json["message"].as_str().unwrap();
    assert!(message.starts_with("nowhere/one: "), "{json}");
    assert!(message.contains("\nalso refused (not-found): nowhere/two: "), "{json}");
}
