//! Bundles and kits that somebody made or changed on purpose. Every one is refused and
//! nothing changes.

use std::fs;
use std::path::Path;

use formats::checksum::Sha256;
use formats::device::CredentialFile;
use formats::seal::NewIdentity;
use formats::signature::SigningKey;
use lab::Key;
use lab::authority::{Authority, Digest, Request, Validity};
use serde_json::json;
use tests::forge::gzip;
use tests::forger::{reindexed, with_header, with_the_certificate_of_another_device};
use tests::{Forge, Forger, Run, World, install_refused, refused};

#[test]
fn an_honest_bundle_passes_the_same_way() {
    let case = Forger::new();
    let file = case.world.write("forged.tar.gz.age", case.forge().sign(&case.key).seal());
    case.world.install(case.world.ftd(1), &file).run().expect(0);
}

/// The refusals differ, and so does what to do about them.
#[test]
fn each_has_its_own_next_step() {
    let case = Forger::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    let next = |sealed: &[u8], identity: &str, reason: &str, begins: &str| {
        let file = world.write("forged.tar.gz.age", sealed);
        let run = world.on(device, &["install", "--yes", "--identity", identity]);
        let json = refused(run.arg(&file), reason).json();
        assert!(json["next"].as_str().unwrap().starts_with(begins), "{json}");
    };
    world.write("other.txt", NewIdentity::generate().file(&[]).as_bytes());
    let honest = || case.forge().sign(&case.key);
    next(&honest().seal(), "other.txt", "cannot-open", "give the identity (--identity) or");
    let changed = case.forge().edit(|m| m["batch"] = json!(1));
    next(&changed.seal(), "identity.txt", "bad-signature", "do not use it, and do not pass it on");
    let later = case.forge().edit(|m| m["format"] = json!("sftunnel-bundle/9")).sign(&case.key);
    next(&later.seal(), "identity.txt", "bad-format", "use the programs of the release");
    next(b"hello", "identity.txt", "bad-format", "name a bundle file");
    // nobody vouches for its signer, and there is no terminal to ask somebody at
    let file = world.write("honest.tar.gz.age", honest().seal());
    let verify = world.on(device, &["verify", "--identity", "identity.txt"]).arg(&file);
    drop(verify.run().expect(3).says("refused (unknown-signer)"));
    let pasted = world.on(device, &["install", "--yes", "--identity", "identity.txt", "-"]);
    let json = refused(pasted.stdin(b"hello".to_vec()), "bad-format").json();
    assert!(json["message"].as_str().unwrap().starts_with("standard input: "), "{json}");
}

#[test]
fn what_is_changed_after_signing_has_a_bad_signature() {
    let case = Forger::new();
    case.is_refused(&case.forge().edit(|m| m["batch"] = json!(1)).seal(), "bad-signature");
    let mut forge = case.forge();
    forge.entries[1][10] ^= 1;
    case.is_refused(&forge.seal(), "bad-signature");
    let mut forge = case.forge();
    forge.entries[1].truncate(63);
    case.is_refused(&forge.seal(), "bad-signature");
    // named as somebody else's, signed by the forger
    let other = SigningKey::generate().unwrap();
    let mut forge = case.forge();
    forge.entries[1] = other.sign(&forge.entries[0]).unwrap().to_vec();
    case.is_refused(&forge.seal(), "bad-signature");
}

#[test]
fn a_forgers_own_key_is_an_unknown_signer() {
    let case = Forger::new();
    let other = SigningKey::generate().unwrap();
    let sealed = case.forge().sign(&other).seal();
    case.is_refused_here(&sealed, "unknown-signer");
    refused(
        case.world.bundle(&["verify", "--identity", "identity.txt", "forged.tar.gz.age"]),
        "unknown-signer",
    );
    // its fingerprint written over with the trusted one
    let trusted = case.honest.manifest()["signer"]["fingerprint"].clone();
    let mut forge = case.forge().sign(&other).edit(|m| m["signer"]["fingerprint"] = trusted);
    forge.entries[1] = other.sign(&forge.entries[0]).unwrap().to_vec();
    case.is_refused_here(&forge.seal(), "bad-signature");
}

#[test]
fn another_identity_cannot_open() {
    let case = Forger::new();
    let world = &case.world;
    world.bundle_program(&["keygen", "identity", "--out", "other.txt"]).run().expect(0);
    let signer = world.signer();
    let run = world
        .on(world.ftd(1), &["install", "--yes", "--identity", "other.txt", "--signer", &signer]);
    let before = world.snapshot(world.ftd(1));
    let ran = refused(run.arg(&case.kit.path), "cannot-open");
    world.unchanged(world.ftd(1), &before, &ran);
    refused(
        world.bundle(&["verify", "--identity", "other.txt"]).arg(&case.kit.path),
        "cannot-open",
    );
}

#[test]
fn any_changed_cut_or_added_byte_is_noticed() {
    let case = Forger::new();
    let sealed = fs::read(case.kit.bundle(case.world.ftd(1))).unwrap();
    let mut changed = sealed.clone();
    *changed.last_mut().unwrap() ^= 1;
    case.is_refused(&changed, "damaged");
    case.is_refused(&sealed[..sealed.len() - 1], "damaged");
    case.is_refused(&[&sealed[..], b"x"].concat(), "damaged");
    case.is_refused(&sealed[..sealed.len() / 2], "damaged");
}

#[test]
fn layers_with_something_added_are_damaged() {
    let case = Forger::new();
    let tar = case.honest.tar();
    let two = [gzip(&tar), gzip(b"more")].concat();
    case.is_refused(&case.honest.seal_bytes(&two), "damaged");
    case.is_refused(&case.honest.seal_bytes(&[gzip(&tar), b"more".to_vec()].concat()), "damaged");
    case.is_refused(&case.honest.seal_bytes(b"no gzip"), "damaged");
    let mut trailing = tar.clone();
    *trailing.last_mut().unwrap() = 1;
    case.is_refused(&case.honest.seal_tar(&trailing), "damaged");
    case.is_refused(&case.honest.seal_tar(&tar[..tar.len() - 1024]), "damaged");
    // SHA256SUMS that lists something else
    let mut forge = case.forge();
    forge.entries[2] =
        forge.entries[2].iter().map(|byte| if *byte == b'0' { b'1' } else { *byte }).collect();
    case.is_refused(&forge.seal(), "damaged");
    // a file that the signed manifest does not list
    let mut forge = case.forge();
    forge.entries[3].push(b'\n');
    case.is_refused(&forge.seal(), "damaged");
}

#[test]
fn certificates_that_the_signed_manifest_does_not_describe_are_damaged() {
    let case = Forger::new();
    let described = case.forge().edit(|m| m["credentials"]["ca"]["serial"] = json!("FF"));
    case.is_refused(&described.sign(&case.key).seal(), "damaged");
}

#[test]
fn what_unpacks_beyond_its_limit_is_too_large() {
    let case = Forger::new();
    let bomb = vec![0; 64 * 1024 * 1024];
    case.is_refused(&case.honest.seal_bytes(&gzip(&bomb)), "too-large");
    case.is_refused(&vec![b'x'; 1024 * 1024 + 1], "too-large");
    let mut forge = case.forge();
    forge.entries[3].resize(65 * 1024, b'\n');
    case.is_refused(&forge.seal(), "too-large");
}

#[test]
fn other_formats_are_bad_formats() {
    let case = Forger::new();
    case.is_refused(b"hello\n", "bad-format");
    case.is_refused(b"", "bad-format");
    let sign = |forge: Forge| forge.sign(&case.key).seal();
    case.is_refused(
        &sign(case.forge().edit(|m| m["format"] = json!("sftunnel-bundle/2"))),
        "bad-format",
    );
    case.is_refused(&sign(case.forge().edit(|m| m["extra"] = json!(1))), "bad-format");
    case.is_refused(
        &sign(case.forge().edit(|m| m["bundle_id"] = json!(Sha256::of(b"x")))),
        "bad-format",
    );
    case.is_refused(
        &sign(case.forge().edit(|m| {
            m["files"].as_array_mut().unwrap().pop();
        })),
        "bad-format",
    );
    // a field twice: readers of JSON differ about which counts
    let mut forge = case.forge();
    let text = String::from_utf8(forge.entries[0].clone()).unwrap();
    forge.entries[0] = text.replacen("\"batch\"", "\"batch\": 1, \"batch\"", 1).into();
    forge.entries[1] = case.key.sign(&forge.entries[0]).unwrap().to_vec();
    case.is_refused(&forge.seal(), "bad-format");
}

#[test]
fn tars_that_readers_may_take_differently_are_bad_formats() {
    let case = Forger::new();
    let tar = case.honest.tar();
    let changed =
        |entry, change: fn(&mut [u8])| case.honest.seal_tar(&with_header(&tar, entry, change));
    for kind in [b'1', b'2', b'3', b'5', b'6', b'x', b'g', b'L', b'S', 0] {
        let forged = with_header(&tar, 3, |header| header[156] = kind);
        case.is_refused(&case.honest.seal_tar(&forged), "bad-format");
    }
    case.is_refused(
        &changed(3, |header| header[..13].copy_from_slice(b"../../etc/foo")),
        "bad-format",
    );
    case.is_refused(
        &changed(3, |header| header[..9].copy_from_slice(b"/etc/passwd".get(..9).unwrap())),
        "bad-format",
    );
    case.is_refused(&changed(3, |header| header[345] = b'x'), "bad-format");
    case.is_refused(
        &changed(3, |header| header[100..107].copy_from_slice(b"0004755")),
        "bad-format",
    );
    case.is_refused(
        &changed(3, |header| header[257..263].copy_from_slice(b"ustar ")),
        "bad-format",
    );
    // another order
    let mut forge = case.forge();
    forge.entries.swap(3, 4);
    let swapped = with_header(
        &with_header(&forge.tar(), 3, |h| {
            h[..100].fill(0);
            h[..17].copy_from_slice(b"sftunnel-cert.pem");
        }),
        4,
        |h| {
            h[..100].fill(0);
            h[..10].copy_from_slice(b"cacert.pem");
        },
    );
    case.is_refused(&forge.seal_tar(&swapped), "bad-format");
    // the header's checksum
    let mut broken = tar.clone();
    broken[148] ^= 1;
    case.is_refused(&case.honest.seal_tar(&broken), "damaged");
}

#[test]
fn destinations_of_ones_own_choice_are_wrong() {
    let case = Forger::new();
    let peer = format!("/var/sf/peers/{}", case.world.fmc().uuid);
    for destination in [
        "/etc/shadow".to_owned(),
        format!("{peer}/../../../../etc/shadow"),
        format!("{peer}/sftunnel.json"),
        format!("{peer}/sftunnel-cert.pem"),
        "/var/sf/peers/11111111-2222-11ef-8888-000000000000/cacert.pem".to_owned(),
        "cacert.pem".to_owned(),
    ] {
        let forge = case.forge().edit(|m| m["files"][0]["destination"] = json!(destination));
        case.is_refused(&forge.sign(&case.key).seal(), "wrong-destination");
    }
    // the same place by its other name
    let ngfw = format!("/ngfw{peer}/cacert.pem");
    let forge = case.forge().edit(|m| m["files"][0]["destination"] = json!(ngfw));
    let file = case.world.write("forged.tar.gz.age", forge.sign(&case.key).seal());
    case.world.install(case.world.ftd(1), &file).arg("--dry-run").run().expect(0);
}

#[test]
fn sets_that_sftunnel_cannot_use_are_refused_although_signed() {
    let case = Forger::new();
    let (uuid, manager) = (case.world.ftd(1).uuid.clone(), case.world.fmc());
    let authority = manager.authority().unwrap();
    let put = |file, content: &[u8]| case.forge().put(file, content).sign(&case.key).seal();
    case.is_refused(&put(CredentialFile::Key, Key::generate().unwrap().pem()), "key-mismatch");
    case.is_refused(&put(CredentialFile::Key, b"hello\n"), "bad-credentials");
    case.is_refused(&put(CredentialFile::Ca, b""), "bad-credentials");
    let other = Authority::create(&manager.uuid, Validity::current(), Digest::Sha256).unwrap();
    case.is_refused(
        &put(CredentialFile::Ca, &other.certificate_pem().unwrap()),
        "not-issued-by-ca",
    );
    let weak = Request { digest: Digest::Sha1, ..Request::for_device(&uuid).unwrap() };
    let weak = authority.issue(&weak).unwrap();
    let forge = case.forge().put(CredentialFile::Certificate, &weak.certificate_pem);
    case.is_refused(
        &forge.put(CredentialFile::Key, &weak.key_pem).sign(&case.key).seal(),
        "weak-digest",
    );
}

#[test]
fn the_certificate_of_another_device_is_refused_although_signed() {
    let world = World::new(2);
    let verify = |file: &Path| {
        let run = world.bundle(&["verify", "--identity", "identity.txt"]).arg(file);
        refused(run, "wrong-subject").says("verify").json()["results"][0]["vouched_by"].clone()
    };
    let forged = with_the_certificate_of_another_device(&world);
    let file = world.write("forged.tar.gz.age", forged);
    install_refused(&world, world.ftd(1), &file, "wrong-subject");
    assert_eq!(verify(&file), "own", "whoever signed it");
    // one device's files as another's: the id no longer follows, or the device is another
    let sealed = fs::read(world.kit(&[]).bundle(world.ftd(2))).unwrap();
    let theirs = Forge::open(&sealed, &world.identity(), &world.recipient());
    let renamed = theirs.edit(|m| m["device"]["uuid"] = json!(world.ftd(1).uuid)).identified();
    let file = world.write("forged.tar.gz.age", renamed.sign(&world.signing_key()).seal());
    install_refused(&world, world.ftd(1), &file, "wrong-subject");
    verify(&file);
}

#[test]
fn a_bundle_for_a_manager_that_is_not_here_is_not_registered() {
    let case = Forger::new();
    let forge = case.forge().for_manager("11111111-2222-11ef-8888-000000000000");
    case.is_refused_here(&forge.sign(&case.key).seal(), "not-registered");
}

// kits

#[test]
fn a_kit_that_is_not_as_its_index_says_is_refused() {
    let case = Forger::new();
    let bundle = case.kit.bundle(case.world.ftd(1)).file_name().unwrap().to_owned();

    let kit = case.copy();
    fs::write(kit.join("bundles").join(&bundle), b"something else").unwrap();
    case.kit_is_refused(&kit, "damaged");
    fs::remove_file(kit.join("bundles").join(&bundle)).unwrap();
    case.kit_is_refused(&kit, "not-found");
    std::os::unix::fs::symlink(
        case.kit.bundle(case.world.ftd(1)),
        kit.join("bundles").join(&bundle),
    )
    .unwrap();
    case.kit_is_refused(&kit, "bad-format");

    let kit = case.copy();
    let index = fs::read_to_string(kit.join("kit.json")).unwrap();
    fs::write(kit.join("kit.json"), index.replace("\"batch\": ", "\"batch\": 1")).unwrap();
    case.kit_is_refused(&kit, "bad-signature");
    fs::remove_file(kit.join("kit.json.sig")).unwrap();
    case.kit_is_refused(&kit, "not-found");

    // what only a look at the whole kit finds
    let kit = case.copy();
    fs::write(kit.join("README.txt"), "run this: curl ...").unwrap();
    let verify = case.world.on(case.world.ftd(1), &["verify"]).args(case.world.trust());
    refused(verify.arg(&kit), "damaged");
    refused(case.world.bundle(&["verify"]).arg(&kit), "damaged");
}

/// What this identity does not open may be another site's; what it opens is told.
#[test]
fn inspecting_a_kit_hides_no_bundle_that_is_not_sound() {
    let case = Forger::new();
    let world = &case.world;
    let name = case.kit.bundle(world.ftd(1)).file_name().unwrap().to_owned();
    let other = NewIdentity::generate();
    let sealed = fs::read(case.kit.bundle(world.ftd(1))).unwrap();
    let elsewhere =
        Forge::open(&sealed, &world.identity(), &other.recipient().to_string()).sign(&case.key);
    let cases = [
        (case.forge().edit(|m| m["batch"] = json!(1)), Some("bad-signature")),
        (case.forge().edit(|m| m["format"] = json!("x/9")).sign(&case.key), Some("bad-format")),
        (case.forge().edit(|m| m["device"]["name"] = json!("x")).sign(&case.key), Some("damaged")),
        (elsewhere, None),
    ];
    for (forge, reason) in cases {
        let kit = case.copy();
        let forged = forge.seal();
        fs::write(kit.join("bundles").join(&name), &forged).unwrap();
        reindexed(&kit, &case.key, |index| {
            index.bundles[0].size = forged.len() as u64;
            index.bundles[0].sha256 = Sha256::of(&forged);
        });
        let inspect = world.on(world.ftd(1), &["inspect", "--identity", "identity.txt", "--json"]);
        let json = inspect.arg(&kit).run().expect(if reason.is_some() { 3 } else { 0 }).json();
        assert_eq!(json["reason"].as_str(), reason);
        let told = &json["bundles"][0]["reason"];
        assert_eq!(told.as_str(), reason.or(Some("cannot-open")), "{json}");
    }
}

/// What stands beside the words of the plan is short, and shows what it is.
#[test]
fn host_names_and_addresses_are_short_and_printable() {
    let case = Forger::new();
    for name in ["x".repeat(256), "a\u{1b}[2J".into(), "a\nb".into(), "\u{3164}".into()] {
        let forge = case.forge().edit(|m| m["manager"]["hostname"] = json!(name));
        case.is_refused(&forge.sign(&case.key).seal(), "bad-format");
        let forge = case.forge().edit(|m| m["device"]["address"] = json!(name));
        case.is_refused(&forge.sign(&case.key).seal(), "bad-format");

        let kit = case.copy();
        let index = fs::read(kit.join("kit.json")).unwrap();
        let mut index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        index["manager"]["hostname"] = json!(name);
        let index = index.to_string();
        fs::write(kit.join("kit.json.sig"), case.key.sign(index.as_bytes()).unwrap()).unwrap();
        fs::write(kit.join("kit.json"), index).unwrap();
        case.kit_is_refused(&kit, "bad-format");
    }
    let forge = case.forge().edit(|m| m["device"]["name"] = json!("one\ntwo"));
    case.is_refused(&forge.sign(&case.key).seal(), "bad-format");
}

/// With such a key anybody signs anything.
#[test]
fn a_signer_whose_key_is_of_small_order_is_refused_wherever_it_stands() {
    let case = Forger::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    for raw in [
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA=",
    ] {
        let mut forge = case.forge().edit(|m| m["signer"]["public_key"] = json!(raw));
        forge.entries[1] = vec![0; 64];
        case.is_refused(&forge.seal(), "bad-format");
        let file = world.write("weak.pub", raw);
        let signers = world.on(device, &["signers", "add", "--manager", &world.fmc().uuid]);
        signers.arg(&file).run().expect(2).says("small order");
        let verify = world.bundle(&["verify", "--signer"]).arg(&file).arg(&case.kit.path);
        verify.run().expect(2).says("small order");
    }
}

#[test]
fn a_fifo_or_device_is_no_bundle_and_holds_nobody_up() {
    let case = Forger::new();
    let fifo = case.world.path("fifo");
    Run::new("mkfifo").arg(&fifo).run().expect(0);
    install_refused(&case.world, case.world.ftd(1), &fifo, "bad-format");
    install_refused(&case.world, case.world.ftd(1), Path::new("/dev/zero"), "bad-format");
    refused(case.world.bundle(&["verify", "--identity", "identity.txt"]).arg(&fifo), "bad-format");
}

/// By a builder that does not look, or a signer who means it.
#[test]
fn a_bundle_with_more_than_three_blocks_is_refused() {
    let case = Forger::new();
    let [ca, certificate, key] = [3, 4, 5].map(|entry: usize| case.honest.entries[entry].clone());
    let with = |file, content: &[u8]| case.forge().put(file, content).sign(&case.key).seal();
    let key_beside = |certificate: &[u8]| [certificate, &key].concat();
    let bad = [
        with(CredentialFile::Ca, &key_beside(&ca)),
        with(CredentialFile::Certificate, &key_beside(&certificate)),
        with(CredentialFile::Key, &[&key[..], &certificate].concat()),
        with(CredentialFile::Certificate, &[&certificate[..], b"text after\n"].concat()),
        with(CredentialFile::Ca, &[&b"\0"[..], &ca].concat()),
    ];
    for sealed in bad {
        case.is_refused(&sealed, "bad-credentials");
    }
}
