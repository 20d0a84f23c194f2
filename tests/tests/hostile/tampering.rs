//! Every byte of header and manifest, every entry of an index; files that change after they were
//! verified.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use formats::bundle::manifest::ManifestError;
use formats::bundle::{BundleError, SignedBundle};
use formats::checksum::Sha256;
use formats::error::{Reason, Reasoned};
use formats::kit::KitIndex;
use formats::seal::{Identities, IdentityFile};
use serde_json::{Value, json};
use tests::forger::{reindexed, with_header};
use tests::{Forger, PASSPHRASE, Pty, Run, World, install_refused, refused, tool};

fn identities(world: &World) -> Identities {
    match IdentityFile::parse(world.identity().as_bytes()) {
        Ok(IdentityFile::Plain(identities)) => identities,
        other => panic!("{other:?}"),
    }
}

/// The bytes of the age header: all up to the end of the line with its MAC.
fn header_size(sealed: &[u8]) -> usize {
    let mac = sealed.windows(5).position(|part| part == b"\n--- ").unwrap();
    mac + 1 + sealed[mac + 1..].iter().position(|byte| *byte == b'\n').unwrap() + 1
}

#[test]
fn a_bundle_cut_at_any_byte_or_with_any_bit_of_its_header_flipped_is_refused() {
    let case = Forger::new();
    let identities = identities(&case.world);
    let sealed = fs::read(case.kit.bundle(case.world.ftd(1))).unwrap();
    let refusal = |bytes: &[u8]| SignedBundle::open(bytes, &identities).map(|_| ()).unwrap_err();
    assert!(SignedBundle::open(&sealed, &identities).is_ok());
    for end in 0..sealed.len() {
        let error = refusal(&sealed[..end]);
        assert!(matches!(error, BundleError::Open(_)), "cut at {end}: {error}");
    }
    let header = header_size(&sealed);
    assert!((100..400).contains(&header), "{header}");
    let allowed = [Reason::BadFormat, Reason::CannotOpen, Reason::Damaged];
    for at in 0..sealed.len() {
        // all bits of the header and of the nonce after it, one of every other byte
        let bits = if at < header + 16 { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in bits {
            let mut changed = sealed.clone();
            changed[at] ^= 1 << bit;
            let error = refusal(&changed);
            assert!(matches!(error, BundleError::Open(_)), "bit {bit} of {at}: {error}");
            assert!(allowed.contains(&error.reason()), "bit {bit} of {at}: {error}");
        }
    }
    // the same through both programs: version line, stanza, its body, MAC, nonce, payload
    let places = [3, 30, 80, header - 10, header + 3, header + 40];
    for (at, reason) in places.into_iter().zip([
        "bad-format",
        "cannot-open",
        "cannot-open",
        "damaged",
        "damaged",
        "damaged",
    ]) {
        let mut changed = sealed.clone();
        // a letter that base64 has: with another the header is none at all
        changed[at] = if sealed[at] == b'A' { b'B' } else { b'A' };
        case.is_refused(&changed, reason);
    }
    case.is_refused(&sealed[..header - 5], "damaged");
    case.is_refused(&sealed[..header + 16], "damaged");
}

#[test]
fn a_signed_manifest_cut_at_any_byte_or_with_any_bit_flipped_is_refused() {
    let case = Forger::new();
    let identities = identities(&case.world);
    // without the age layer's own checks: whoever can seal for the reader can seal these
    let is_refused = |forge: tests::Forge, what: &str| {
        let error = SignedBundle::open(&forge.seal(), &identities).map(|_| ()).unwrap_err();
        // what is no longer the JSON of that format has no signature that could be asked
        let expected = matches!(
            error,
            BundleError::Signature(_)
                | BundleError::NoSigner
                | BundleError::Manifest(ManifestError::Json(_))
        );
        assert!(expected, "{what}: {error}");
    };
    let size = case.honest.entries[0].len();
    for at in 0..size {
        let mut forge = case.forge();
        forge.entries[0][at] ^= 1 << (at % 8);
        is_refused(forge, &format!("bit {} of byte {at}", at % 8));
        let mut forge = case.forge();
        forge.entries[0].truncate(at);
        is_refused(forge, &format!("cut at {at}"));
    }
    for bit in 0..64 * 8 {
        let mut forge = case.forge();
        forge.entries[1][bit / 8] ^= 1 << (bit % 8);
        is_refused(forge, &format!("bit {bit} of the signature"));
    }
    let mut forge = case.forge();
    forge.entries[0].push(b' ');
    is_refused(forge, "a blank after it");
}

/// Every object in a manifest or index.
fn objects(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(path.to_owned());
            fields
                .iter()
                .for_each(|(name, value)| objects(value, &format!("{path}/{name}"), found));
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                objects(item, &format!("{path}/{at}"), found);
            }
        }
        _ => {}
    }
}

/// `value` as text, with a field of the object at `path` repeated.
fn with_repeated_field(value: &Value, path: &str) -> String {
    let mut marked = value.clone();
    let fields = marked.pointer_mut(path).unwrap().as_object_mut().unwrap();
    let (name, content) = fields.iter().next().unwrap();
    let repeated = format!("\"{name}\": {content}, \"{name}\": {content}");
    let first = name.clone();
    fields.remove(&first);
    fields.insert("MARK".into(), json!(1));
    serde_json::to_string(&marked).unwrap().replace("\"MARK\":1", &repeated)
}

#[test]
fn unknown_repeated_and_missing_fields_are_bad_formats_at_every_level() {
    let case = Forger::new();
    let identities = identities(&case.world);
    let manifest = case.honest.manifest();
    let mut paths = Vec::new();
    objects(&manifest, "", &mut paths);
    assert!(paths.len() >= 10, "{paths:?}");
    let is_refused = |text: String, what: &str| {
        let mut forge = case.forge();
        forge.entries[0] = text.into();
        forge.entries[1] = case.key.sign(&forge.entries[0]).unwrap().to_vec();
        let error = SignedBundle::open(&forge.seal(), &identities).map(|_| ()).unwrap_err();
        assert_eq!(error.reason(), Reason::BadFormat, "{what}: {error}");
    };
    for path in &paths {
        let mut unknown = manifest.clone();
        unknown.pointer_mut(path).unwrap()["extra"] = json!(1);
        is_refused(unknown.to_string(), &format!("unknown in '{path}'"));
        is_refused(with_repeated_field(&manifest, path), &format!("repeated in '{path}'"));
        let names: Vec<String> =
            manifest.pointer(path).unwrap().as_object().unwrap().keys().cloned().collect();
        for name in names {
            let mut missing = manifest.clone();
            missing.pointer_mut(path).unwrap().as_object_mut().unwrap().shift_remove(&name);
            is_refused(missing.to_string(), &format!("'{path}' without '{name}'"));
        }
    }
}

#[test]
fn an_index_with_unknown_repeated_or_contradicting_entries_is_a_bad_format() {
    let case = Forger::new();
    let index: Value =
        serde_json::from_slice(&fs::read(case.kit.path.join("kit.json")).unwrap()).unwrap();
    let mut paths = Vec::new();
    objects(&index, "", &mut paths);
    let is_refused = |text: String, what: &str| {
        let signature = case.key.sign(text.as_bytes()).unwrap();
        let error = KitIndex::open(text.as_bytes(), &signature).unwrap_err();
        assert_eq!(error.reason(), Reason::BadFormat, "{what}: {error}");
    };
    for path in &paths {
        let mut unknown = index.clone();
        unknown.pointer_mut(path).unwrap()["extra"] = json!(1);
        is_refused(unknown.to_string(), &format!("unknown in '{path}'"));
        is_refused(with_repeated_field(&index, path), &format!("repeated in '{path}'"));
    }
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 8] = [
        ("another format", |i| i["format"] = json!("sftunnel-kit/2")),
        ("a device twice", |i| {
            let again = i["bundles"][0].clone();
            i["bundles"].as_array_mut().unwrap().push(again);
        }),
        ("an installer twice", |i| {
            let again = i["installers"][0].clone();
            i["installers"].as_array_mut().unwrap().push(again);
        }),
        ("a file outside", |i| i["bundles"][0]["file"] = json!("bundles/../../../etc/shadow")),
        ("an absolute file", |i| i["bundles"][0]["file"] = json!("/etc/shadow")),
        ("another file's name", |i| i["bundles"][0]["file"] = json!("kit.json")),
        ("an installer outside", |i| i["installers"][0]["file"] = json!("../../bin/sh")),
        ("an unknown machine", |i| {
            i["installers"][0]["arch"] = json!("mips");
            i["installers"][0]["file"] = json!("bin/sftunnel-install-mips");
        }),
    ];
    for (what, change) in changes {
        let mut changed = index.clone();
        change(&mut changed);
        is_refused(changed.to_string(), what);
        // and through the installer
        let kit = case.copy();
        let text = changed.to_string();
        fs::write(kit.join("kit.json.sig"), case.key.sign(text.as_bytes()).unwrap()).unwrap();
        fs::write(kit.join("kit.json"), text).unwrap();
        install_refused(&case.world, case.world.ftd(1), &kit, "bad-format");
        fs::remove_dir_all(kit).unwrap();
    }
    // sizes and digests that are not those of the files
    for field in ["size", "sha256"] {
        let kit = case.copy();
        reindexed(&kit, &case.key, |index| match field {
            "size" => index.bundles[0].size += 1,
            _ => index.bundles[0].sha256 = Sha256::of(b"x"),
        });
        case.kit_is_refused(&kit, "damaged");
    }
}

#[test]
fn a_bundle_listed_for_another_device_is_for_the_wrong_device() {
    let world = World::new(2);
    let kit = world.kit(&[]);
    let before = fs::read(kit.bundle(world.ftd(2))).unwrap();
    fs::write(kit.bundle(world.ftd(1)), &before).unwrap();
    let key = world.signing_key();
    reindexed(&kit.path, &key, |index| {
        let uuid = &world.ftd(1).uuid;
        let entry = index.bundles.iter_mut().find(|entry| entry.device.uuid.as_str() == uuid);
        let entry = entry.unwrap();
        (entry.size, entry.sha256) = (before.len() as u64, Sha256::of(&before));
    });
    install_refused(&world, world.ftd(1), &kit.path, "wrong-device");
    refused(world.bundle(&["verify", "--identity", "identity.txt"]).arg(&kit.path), "damaged");
}

#[test]
fn more_headers_that_readers_take_differently_are_refused() {
    let case = Forger::new();
    let tar = case.honest.tar();
    let identities = identities(&case.world);
    let reason = |tar: &[u8]| {
        let sealed = case.honest.seal_tar(tar);
        SignedBundle::open(&sealed, &identities).map(|_| ()).unwrap_err().reason()
    };
    // every type flag but that of a regular file, in every entry
    for entry in 0..6 {
        for kind in (0..=255).filter(|kind| *kind != b'0') {
            let forged = with_header(&tar, entry, |header| header[156] = kind);
            assert_eq!(reason(&forged), Reason::BadFormat, "type {kind} of {entry}");
        }
        // sizes: GNU's binary form, signs, and far more than there is
        for size in [
            b"\x80\0\0\0\0\0\0\0\0\0\x02\0",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0",
            b"-0000000001\0",
            b"           \0",
        ] {
            let forged = with_header(&tar, entry, |header| header[124..136].copy_from_slice(size));
            assert_eq!(reason(&forged), Reason::BadFormat, "{size:?} of {entry}");
        }
        let forged =
            with_header(&tar, entry, |header| header[124..136].copy_from_slice(b"77777777777\0"));
        assert_eq!(reason(&forged), Reason::TooLarge, "8 GiB in {entry}");
        // links, owner, name and prefix
        for (at, byte) in
            [(157, b'x'), (108, b'1'), (116, b'1'), (0, b'/'), (99, b'x'), (345, b'x')]
        {
            let forged = with_header(&tar, entry, |header| header[at] = byte);
            assert_eq!(reason(&forged), Reason::BadFormat, "byte {at} of {entry}");
        }
    }
    // an entry twice, and a real PAX header as GNU tar writes it
    let twice = [&tar[..], &tar[..]].concat();
    assert_eq!(reason(&twice), Reason::Damaged);
    let folder = case.world.path("pax");
    fs::create_dir(&folder).unwrap();
    for ((name, _), content) in formats::bundle::archive::ENTRIES.iter().zip(&case.honest.entries) {
        fs::write(folder.join(name), content).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let names = formats::bundle::archive::ENTRIES.map(|(name, _)| name);
    for format in ["ustar", "pax", "gnu", "oldgnu", "v7"] {
        let file = case.world.path(format!("{format}.tar"));
        let run = tool("tar", "tar").arg("-cf").arg(&file).arg(format!("--format={format}"));
        run.args(
            ["--pax-option=comment:=x", "--owner=0", "--group=0", "--numeric-owner"]
                [usize::from(format != "pax")..]
                .iter(),
        )
        .args(names)
        .cwd(&folder)
        .run()
        .expect(0);
        let made = fs::read(&file).unwrap();
        let read = SignedBundle::open(&case.honest.seal_tar(&made), &identities);
        match format {
            "ustar" => assert!(read.is_ok(), "the one form that is read"),
            _ => assert_eq!(read.map(|_| ()).unwrap_err().reason(), Reason::BadFormat, "{format}"),
        }
    }
}

#[test]
fn a_work_factor_far_too_high_costs_no_time_in_either_program() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let (salt, body, mac) = ("A".repeat(22), "A".repeat(43), "A".repeat(43));
    let header = format!("age-encryption.org/v1\n-> scrypt {salt} 30\n{body}\n--- {mac}\n");
    let sealed = [header.as_bytes(), &[0; 48]].concat();
    fs::write(kit.path.join("kit.identity.age"), &sealed).unwrap();
    let before = world.snapshot(world.ftd(1));
    let run = world.on(world.ftd(1), &["install", "--yes", "--passphrase-file", "passphrase.txt"]);
    let ran = refused(run.arg(&kit.path), "too-large");
    assert!(ran.took.as_secs() < 20, "{:?}", ran.took);
    world.unchanged(world.ftd(1), &before, &ran);
    // with an index and checksums that fit, so that it comes to that at all
    reindexed(&kit.path, &world.signing_key(), |index| {
        let text = index.texts.iter_mut().find(|text| text.file == "kit.identity.age").unwrap();
        (text.size, text.sha256) = (sealed.len() as u64, Sha256::of(&sealed));
    });
    let run = world.bundle(&["verify", "--passphrase-file", "passphrase.txt"]).arg(&kit.path);
    let ran = refused(run, "too-large");
    assert!(ran.took.as_secs() < 20, "{:?}", ran.took);
}

#[test]
fn fifos_devices_and_folders_in_a_kit_are_refused_and_hold_nobody_up() {
    let case = Forger::new();
    let bundle = case.kit.bundle(case.world.ftd(1));
    let bundle = Path::new("bundles").join(bundle.file_name().unwrap());
    let makers: [(&str, &[&str]); 3] =
        [("mkfifo", &[]), ("mknod", &["c", "1", "5"]), ("mkdir", &[])];
    for name in [&bundle, Path::new("kit.json"), Path::new("kit.json.sig")] {
        for (program, device) in makers {
            let kit = case.copy();
            fs::remove_file(kit.join(name)).unwrap();
            Run::new(program).arg(kit.join(name)).args(device).run().expect(0);
            case.kit_is_refused(&kit, "bad-format");
            fs::remove_dir_all(kit).unwrap();
        }
    }
}

#[test]
fn a_kit_whose_folder_of_bundles_is_a_link_is_refused() {
    let case = Forger::new();
    let kit = case.copy();
    fs::rename(kit.join("bundles"), kit.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", kit.join("bundles")).unwrap();
    case.kit_is_refused(&kit, "bad-format");
}

/// What was read at the beginning is what is installed, whatever the stick holds by then.
#[test]
fn a_kit_that_changes_after_it_was_verified_changes_nothing() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let kit = world.passphrase_kit();
    let run = world.on(device, &["install", "--settle", "1"]).arg(&kit.path);
    let mut pty = Pty::start(run);
    pty.expect("Passphrase for");
    pty.type_line(PASSPHRASE);
    pty.expect("Go on? Type 'yes'");
    for path in lab::snapshot(&kit.path).unwrap().0.into_keys() {
        let path = kit.path.join(path);
        if path.is_file() {
            fs::write(path, "something else").unwrap();
        }
    }
    pty.type_line("yes");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert_eq!(world.files(device, fmc), world.new_files(device, fmc));
    world.up(device, fmc);
    // or the stick is gone
    world.on(device, &["rollback", "--yes", "--settle", "0"]).run().expect(0);
    let kit = world.passphrase_kit();
    let mut pty = Pty::start(world.on(device, &["install", "--settle", "1"]).arg(&kit.path));
    pty.expect("Passphrase for");
    pty.type_line(PASSPHRASE);
    pty.expect("Go on? Type 'yes'");
    fs::remove_dir_all(&kit.path).unwrap();
    pty.type_line("yes");
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert_eq!(world.files(device, fmc), world.new_files(device, fmc));
}
