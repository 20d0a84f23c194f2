//! Who vouches for a signer: the rules of SECURITY.md, each against somebody who would like to be
//! believed. What a terminal confirms is in `terminal`; what is pinned, and when, in `journey`.

use std::fs;

use formats::checksum::Sha256;
use formats::kit::{BundleEntry, DeviceEntry, KitIndex};
use formats::seal::{self, Encoding, NewIdentity, Passphrase};
use formats::signature::SigningKey;
use formats::timestamp::Timestamp;
use tests::forger::reindexed;
use tests::{Forge, Forger, Kit, PASSPHRASE, Run, World, install_refused, refused, tool};

/// A passphrase kit whose identity is known here: the passphrase vouches for the builder's key.
fn passphrase_kit(world: &World) -> (Kit, NewIdentity) {
    let identity = NewIdentity::generate();
    let kit = world.kit_with(world.fmc(), &["--recipient", &identity.recipient().to_string()]);
    let signer = world.signing_key().verifying_key().unwrap().fingerprint();
    let protected = identity.protect(&Passphrase::new(PASSPHRASE.to_owned()), signer).unwrap();
    fs::write(kit.path.join("kit.identity.age"), protected).unwrap();
    reindexed(&kit.path, &world.signing_key(), |_| {});
    (kit, identity)
}

#[test]
fn a_passphrase_vouches_for_its_own_signer_only() {
    let world = World::new(1);
    let device = world.ftd(1);
    let (kit, identity) = passphrase_kit(&world);
    let given = ["--passphrase-file", "passphrase.txt"];
    let install = || world.on(device, &["install", "--yes", "--settle", "1"]).args(given);
    let verify = || world.bundle_program(&["verify"]).args(given);

    // sealed for the kit's own identity, so that the passphrase opens it, and signed by a forger
    let path = kit.bundle(device);
    let honest = fs::read(&path).unwrap();
    let forge = Forge::open(&honest, &identity.file(&[]), &identity.recipient().to_string());
    let forged = forge.sign(&SigningKey::generate().unwrap()).seal();
    fs::write(&path, &forged).unwrap();
    reindexed(&kit.path, &world.signing_key(), |index| {
        (index.bundles[0].size, index.bundles[0].sha256) =
            (forged.len() as u64, Sha256::of(&forged));
    });
    let before = world.snapshot(device);
    for source in [&kit.path, &path] {
        let ran = refused(install().arg(source), "unknown-signer");
        world.unchanged(device, &before, &ran);
        ran.says("another key than the one that the passphrase confirms");
        refused(verify().arg(source), "unknown-signer");
    }

    // the builder's own passes in the same way
    fs::write(&path, &honest).unwrap();
    verify().arg(&path).run().expect(0).says("passphrase");
    // a passphrase that is wrong opens nothing, so that it vouches for nobody
    world.write("wrong.txt", "something else\n");
    let wrong = world.on(device, &["install", "--yes", "--passphrase-file", "wrong.txt"]);
    let ran = refused(wrong.arg(&path), "cannot-open");
    world.unchanged(device, &before, &ran);
    install().arg(&path).run().expect(0).says("confirmed by the kit's passphrase");
}

#[test]
fn a_passphrase_that_was_not_given_vouches_for_nobody() {
    let world = World::new(1);
    let device = world.ftd(1);
    // opened with an identity that was sealed for as well
    let kit = world.kit(&["--passphrase-file", "passphrase.txt"]);
    assert!(kit.path.join("kit.identity.age").is_file());
    let before = world.snapshot(device);
    let run = world.on(device, &["install", "--yes", "--identity", "identity.txt"]);
    let ran = refused(run.arg(&kit.path), "unknown-signer");
    world.unchanged(device, &before, &ran);
}

/// A kit that asks for nothing, or for another secret than the team that made it has told, would
/// have its signer confirmed by whoever is asked next.
#[test]
fn a_kits_own_identity_is_locked_by_one_passphrase_or_the_kit_is_refused() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    let (identity, file) = (world.identity(), kit.path.join("kit.identity.age"));
    let sealed = |encoding| {
        let recipients = [world.recipient().parse().unwrap()];
        seal::seal(identity.as_bytes(), &recipients, encoding).unwrap()
    };
    let signer = world.signing_key().verifying_key().unwrap().fingerprint();
    let locked =
        NewIdentity::generate().protect(&Passphrase::new(PASSPHRASE.to_owned()), signer).unwrap();
    let ssh = |passphrase: &str| {
        let key = world.path(format!("ssh-{}", passphrase.len()));
        tool("ssh-keygen", "openssh-client")
            .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
            .arg(&key)
            .run()
            .expect(0);
        fs::read(key).unwrap()
    };
    let two = "age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 1\n\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-> X25519 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n\
        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n--- AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n0123456789abcdef";
    let others: [&[u8]; 8] = [
        identity.as_bytes(),
        &sealed(Encoding::Binary),
        &sealed(Encoding::Armored),
        &ssh(""),
        &ssh("secret"),
        two.as_bytes(),
        b"",
        &[b"# not an age file\n", &locked[..]].concat(),
    ];
    let before = world.snapshot(device);
    let given = [["--passphrase-file", "passphrase.txt"], ["--identity", "identity.txt"]];
    for content in others {
        fs::write(&file, content).unwrap();
        reindexed(&kit.path, &world.signing_key(), |_| {});
        for (source, open) in [(&kit.path, given[0]), (&kit.bundle(device), given[1])] {
            let install = world.on(device, &["install", "--yes"]).args(open).arg(source);
            world.unchanged(device, &before, &refused(install, "bad-format"));
            refused(world.on(device, &["verify"]).args(open).arg(source), "bad-format");
            refused(world.bundle(&["verify"]).args(open).arg(source), "bad-format");
            refused(world.bundle(&["inspect"]).args(open).arg(source), "bad-format");
            refused(world.on(device, &["inspect"]).arg(source), "bad-format");
        }
        refused(world.bundle(&["inspect"]).arg(&kit.path), "bad-format");
    }
    // one that a stick has spoiled is no other kind of file
    fs::write(&file, &locked[..locked.len() / 2]).unwrap();
    let install = world.on(device, &["install", "--yes"]).args(given[0]).arg(&kit.path);
    refused(install, "damaged");
}

#[test]
fn an_identity_file_for_several_readers_vouches_for_nobody() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    // the identity with a line that claims a signer, sealed to a public key in place of a passphrase
    let claimed = format!("# signer: {}\n{}", world.signer(), world.identity());
    let sealed = formats::seal::seal(
        claimed.as_bytes(),
        &[world.recipient().parse().unwrap()],
        formats::seal::Encoding::Binary,
    );
    fs::write(kit.path.join("kit.identity.age"), sealed.unwrap()).unwrap();
    let before = world.snapshot(device);
    let run = world.on(device, &["install", "--yes", "--passphrase-file", "passphrase.txt"]);
    let ran = refused(run.arg(&kit.path), "bad-format");
    world.unchanged(device, &before, &ran);
    // as plain text it opens, but vouches for nobody
    fs::remove_file(kit.path.join("kit.identity.age")).unwrap();
    let plain = world.write("claimed.txt", claimed);
    let run = world.on(device, &["install", "--yes", "--identity"]).arg(plain).arg(&kit.path);
    refused(run, "unknown-signer");
}

#[test]
fn a_pin_for_one_manager_is_none_for_another() {
    let case = Forger::new();
    let (world, device) = (&case.world, case.world.ftd(1));
    world.install(device, &case.kit.path).run().expect(0);
    let other = "11111111-2222-11ef-8888-000000000000";
    let peers = device.root.join("var/sf/peers");
    Run::new("cp")
        .arg("-a")
        .arg(device.peer_dir(world.fmc()))
        .arg(peers.join(other))
        .run()
        .expect(0);
    let file =
        world.write("forged.tar.gz.age", case.forge().for_manager(other).sign(&case.key).seal());
    let before = world.snapshot(device);
    let run = world.on(device, &["install", "--yes", "--identity", "identity.txt"]).arg(&file);
    let ran = refused(run, "unknown-signer");
    world.unchanged(device, &before, &ran);
}

#[test]
fn the_index_makes_no_bundle_installable() {
    let case = Forger::new();
    let forger = SigningKey::generate().unwrap();
    let kit = case.copy();
    let bundle = kit.join("bundles").join(case.kit.bundle(case.world.ftd(1)).file_name().unwrap());
    let forged = case.forge().sign(&forger).seal();
    fs::write(&bundle, &forged).unwrap();
    reindexed(&kit, &case.key, |index| {
        index.bundles[0].size = forged.len() as u64;
        index.bundles[0].sha256 = Sha256::of(&forged);
    });
    install_refused(&case.world, case.world.ftd(1), &kit, "unknown-signer");

    // honest bundles in a kit that somebody else put together: the bundle's signer counts
    let kit = case.copy();
    reindexed(&kit, &forger, |_| {});
    case.world.install(case.world.ftd(1), &kit).arg("--dry-run").run().expect(0);
    refused(case.world.bundle(&["verify"]).arg(&kit), "unknown-signer");

    let kit = case.copy();
    reindexed(&kit, &case.key, |index| {
        index.manager.uuid = "11111111-2222-11ef-8888-000000000000".parse().unwrap()
    });
    case.kit_is_refused(&kit, "damaged");

    // what both say of a bundle is the same
    let changes: [fn(&mut KitIndex); 4] = [
        |index| index.batch += 1,
        |index| index.manager.hostname = "other".parse().unwrap(),
        |index| index.created_at = Timestamp::EPOCH,
        |index| {
            let BundleEntry { device, size, sha256, file } = index.bundles[0].clone();
            let device = DeviceEntry { name: "other".parse().unwrap(), ..device };
            index.bundles[0] = BundleEntry::new(device, size, sha256);
            // the file follows the name
            assert_ne!(index.bundles[0].file, file);
        },
    ];
    for change in changes {
        let kit = case.copy();
        let mut names = Vec::new();
        reindexed(&kit, &case.key, |index| {
            names.push(index.bundles[0].file.clone());
            change(index);
            names.push(index.bundles[0].file.clone());
            fs::rename(kit.join(&names[0]), kit.join(&names[1])).unwrap();
        });
        case.kit_is_refused(&kit, "damaged");
    }
}
