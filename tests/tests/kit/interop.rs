//! age, rage, tar, sha256sum, openssl and ssh-keygen on our files, and ours on theirs: what an
//! operator can do without our programs.

use std::fs;
use std::path::Path;

use formats::signature::SigningKey;
use tests::{PASSPHRASE, Pty, Run, World, tool};

mod by_hand;
mod peers;

#[test]
fn age_tar_sha256sum_and_openssl_open_and_check_a_bundle() {
    let world = World::new(1);
    let device = world.ftd(1);
    for flags in [&[][..], &["--armor"]] {
        let kit = world.kit(flags);
        let open = world.out();
        let age =
            tool("age", "age").args(["--decrypt", "--identity"]).arg(world.path("identity.txt"));
        age.arg("--output").arg(open.join("inside.tar.gz")).arg(kit.bundle(device)).run().expect(0);
        let list = tool("tar", "tar").args(["-tvzf", "inside.tar.gz"]).cwd(&open).run().expect(0);
        let names: Vec<_> =
            list.stdout.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(names, formats::bundle::archive::ENTRIES.map(|(name, _)| name));
        assert!(
            list.stdout.lines().all(|line| line.starts_with("-rw------- 0/0")),
            "{}",
            list.stdout
        );
        tool("tar", "tar").args(["-xzf", "inside.tar.gz"]).cwd(&open).run().expect(0);
        tool("sha256sum", "coreutils").args(["--check", "SHA256SUMS"]).cwd(&open).run().expect(0);
        let public = world.signer_file(world.fmc());
        let verify = |key: &std::path::Path| {
            let openssl =
                tool("openssl", "openssl").args(["pkeyutl", "-verify", "-rawin", "-pubin"]);
            let openssl = openssl.args(["-sigfile", "manifest.json.sig", "-in", "manifest.json"]);
            openssl.arg("-inkey").arg(key).cwd(&open).run()
        };
        verify(&public).expect(0).says("Signature Verified Successfully");
        let other = SigningKey::generate().unwrap().verifying_key().unwrap().to_pem().unwrap();
        let other = world.write("other.pub.pem", other);
        assert_ne!(verify(&other).code(), Some(0), "another key must not fit");
        // byte for byte what the manager has
        for (name, content) in world.fmc().new_credentials(&device.uuid).unwrap() {
            assert_eq!(fs::read(open.join(name)).unwrap(), content, "{name}");
        }
        // the index, the same way
        let openssl = tool("openssl", "openssl").args(["pkeyutl", "-verify", "-rawin", "-pubin"]);
        let openssl = openssl.args(["-sigfile", "kit.json.sig", "-in", "kit.json", "-inkey"]);
        openssl.arg(&public).cwd(&kit.path).run().expect(0);
    }
}

#[test]
fn the_fingerprint_is_the_sha256_of_the_raw_key() {
    let world = World::new(1);
    world.kit(&[]);
    let public = world.signer_file(world.fmc());
    let line = "openssl pkey -pubin -in \"$1\" -outform DER | tail -c 32 | openssl dgst -sha256 -binary | base64";
    let ran = tool("openssl", "openssl").args(["version"]).run().expect(0);
    drop(ran);
    let ran = Run::new("sh").args(["-ec", line, "sh"]).arg(public).run().expect(0);
    assert_eq!(world.signer(), format!("SHA256:{}", ran.stdout.trim().trim_end_matches('=')));
}

#[test]
fn age_opens_a_passphrase_kit() {
    let world = World::new(1);
    let kit = world.passphrase_kit();
    let inside = world.path("inside.tar.gz");
    let run =
        tool("age", "age").args(["--decrypt", "--identity"]).arg(kit.path.join("kit.identity.age"));
    let mut pty = Pty::start(run.arg("--output").arg(&inside).arg(kit.bundle(world.ftd(1))));
    pty.expect("passphrase");
    pty.type_line(PASSPHRASE);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    tool("tar", "tar").arg("-tzf").arg(&inside).run().expect(0).says("sftunnel-key.pem");
    // and the identity says who signs, for whoever reads it
    let run = tool("age", "age").arg("--decrypt").arg(kit.path.join("kit.identity.age"));
    let mut pty = Pty::start(run);
    pty.expect("passphrase");
    pty.type_line(PASSPHRASE);
    let (code, screen) = pty.end();
    assert_eq!(code, 0);
    assert!(screen.contains(&format!("# signer: {}", world.signer())), "no signer line");
}

#[test]
fn identities_of_age_keygen_are_taken() {
    let world = World::started(1);
    let keys = world.path("age-key.txt");
    tool("age-keygen", "age").arg("-o").arg(&keys).run().expect(0);
    let public = tool("age-keygen", "age").arg("-y").arg(&keys).run().expect(0);
    let kit = world.kit_with(world.fmc(), &["--recipient", public.stdout.trim()]);
    let run =
        world.on(world.ftd(1), &["install", "--yes", "--settle", "1", "--signer", &world.signer()]);
    run.arg("--identity").arg(&keys).arg(&kit.path).run().expect(0);
    world.up(world.ftd(1), world.fmc());
}

#[test]
fn a_bundle_sealed_anew_by_age_is_still_the_signed_one() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let recipient = world.recipient();
    let line = "age -d -i identity.txt \"$1\" | age -r \"$2\" -a > again.age";
    let run = Run::new("sh").args(["-ec", line, "sh"]).arg(kit.bundle(world.ftd(1)));
    run.arg(recipient).cwd(world.path("")).run().expect(0);
    world.install(world.ftd(1), &world.path("again.age")).run().expect(0);
}

#[test]
fn the_backup_can_be_checked_and_copied_back_by_hand() {
    let world = World::started(1);
    let device = world.ftd(1);
    let before = world.files(device, world.fmc());
    world.install(device, &world.kit(&[]).path).run().expect(0);
    let store = device.root.join("var/sf/sftunnel-airgap/backups");
    let backup = fs::read_dir(store).unwrap().next().unwrap().unwrap().path();
    tool("sha256sum", "coreutils").args(["--check", "SHA256SUMS"]).cwd(&backup).run().expect(0);
    let saved = lab::layout::CREDENTIALS
        .map(|name| fs::read(backup.join(&world.fmc().uuid).join(name)).ok());
    assert_eq!(before, saved);
}

/// The commands are read from the specification, as they stand there.
#[test]
fn jq_and_openssl_check_a_receipt_as_the_specification_says() {
    let world = World::started(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]).path);
    world.install(device, &kit).run().expect(0);
    let format = Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/FORMAT.md");
    let format = fs::read_to_string(format).unwrap();
    let (_, section) = format.split_once("### A receipt by hand").unwrap();
    let commands = section.split("```").nth(1).unwrap();
    let (name, commands) = commands.trim_start().split_once('\n').unwrap();
    assert!(name.starts_with("R=receipt_"), "{name}");
    let ca = lab::layout::cacert(&world.fmc().root).display().to_string();
    let script = commands.replace("/etc/sf/ca_root/cacert.pem", &ca);
    let receipt = fs::read_dir(kit.join("receipts")).unwrap().next().unwrap().unwrap().path();
    tool("jq", "jq").arg("--version").run().expect(0);
    let check = |name: &str| {
        let run = tool("sh", "dash").args(["-ec", &script]).env("R", name);
        run.cwd(world.path("")).run()
    };
    let text = fs::read_to_string(&receipt).unwrap();
    world.write("receipt.json", &text);
    let ran = check("receipt.json").expect(0).says("Verified OK").says("certificate.pem: OK");
    let lines: Vec<_> = ran.stdout.lines().collect();
    let [.., digest, _, outcome, of, claimed] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((*outcome, *of), ("installed", device.uuid.as_str()));
    assert_eq!(digest.split(' ').next(), Some(*claimed));
    // and a claim that was changed does not verify
    world.write("changed.json", text.replace("installed", "restored"));
    let ran = check("changed.json");
    assert_ne!(ran.code(), Some(0), "{}", ran.output());
}
