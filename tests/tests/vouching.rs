//! Who vouches for a signer: the rules of SECURITY.md, each against somebody who would like to be
//! believed. What a terminal confirms is in `terminal`; what is pinned, and when, in `journey`.

use std::fs;

use formats::checksum::Sha256;
use formats::envelope::{NewIdentity, Passphrase};
use formats::signature::SigningKey;
use tests::{Forge, Kit, PASSPHRASE, Run, World};

use crate::hostile::{Case, copy, kit_refused, reindexed};
use crate::refusals::{install_refused, refused};

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
        ran.says("another key than the one that the passphrase vouches for");
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
    install().arg(&path).run().expect(0).says("vouched for by the kit's passphrase");
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

#[test]
fn an_identity_file_for_several_readers_vouches_for_nobody() {
    let world = World::new(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]);
    // the identity with a line that claims a signer, sealed to a public key in place of a passphrase
    let claimed = format!("# signer: {}\n{}", world.signer(), world.identity());
    let sealed = formats::envelope::seal(
        claimed.as_bytes(),
        &[world.recipient().parse().unwrap()],
        formats::envelope::Encoding::Binary,
    );
    fs::write(kit.path.join("kit.identity.age"), sealed.unwrap()).unwrap();
    let before = world.snapshot(device);
    let run = world.on(device, &["install", "--yes", "--passphrase-file", "passphrase.txt"]);
    let ran = refused(run.arg(&kit.path), "bad-format");
    world.unchanged(device, &before, &ran);
    // as plain text it opens, but vouches for nobody
    let plain = world.write("claimed.txt", claimed);
    let run = world.on(device, &["install", "--yes", "--identity"]).arg(plain).arg(&kit.path);
    refused(run, "unknown-signer");
}

#[test]
fn a_pin_for_one_manager_is_none_for_another() {
    let case = Case::new();
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
    let case = Case::new();
    let forger = SigningKey::generate().unwrap();
    let kit = copy(&case);
    let bundle = kit.join("bundles").join(case.kit.bundle(case.world.ftd(1)).file_name().unwrap());
    let forged = case.forge().sign(&forger).seal();
    fs::write(&bundle, &forged).unwrap();
    reindexed(&kit, &case.key, |index| {
        index.bundles[0].size = forged.len() as u64;
        index.bundles[0].sha256 = Sha256::of(&forged);
    });
    install_refused(&case.world, case.world.ftd(1), &kit, "unknown-signer");

    // honest bundles in a kit that somebody else put together: the bundle's signer counts
    let kit = copy(&case);
    reindexed(&kit, &forger, |_| {});
    case.world.install(case.world.ftd(1), &kit).arg("--dry-run").run().expect(0);
    refused(case.world.bundle(&["verify"]).arg(&kit), "unknown-signer");

    let kit = copy(&case);
    reindexed(&kit, &case.key, |index| {
        index.manager.uuid = "11111111-2222-11ef-8888-000000000000".parse().unwrap()
    });
    kit_refused(&case, &kit, "damaged");
}
