//! What `formats/FORMAT.md` says under "By hand", as it stands there: a passphrase kit opened and
//! checked with age, tar, sha256sum and openssl, and installed with cp and mv.

use std::fs;
use std::path::Path;

use tests::{PASSPHRASE, Pty, Run, World, tool};

/// The commands below a heading, without the output that follows each.
fn commands(heading: &str) -> Vec<String> {
    let format = Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/FORMAT.md");
    let format = fs::read_to_string(format).unwrap();
    let (_, by_hand) = format.split_once("\n## By hand\n").expect("the section");
    let (_, section) = by_hand.split_once(&format!("\n### {heading}\n")).expect(heading);
    let section = section.split("\n### ").next().unwrap_or_default();
    let blocks: Vec<&str> = section.split("```\n").collect();
    // text, commands, nothing, output, text, commands, …
    let is_output = |at: usize| at > 1 && blocks.get(at - 1).is_some_and(|gap| gap.is_empty());
    let blocks = blocks.iter().enumerate().skip(1).step_by(2);
    blocks.filter(|(at, _)| !is_output(*at)).map(|(_, block)| (*block).to_owned()).collect()
}

#[test]
fn the_commands_of_the_specification_open_check_and_install_a_bundle() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let kit = world.passphrase_kit();
    tool("age", "age").arg("--version").run().expect(0);
    let (open, old) = (world.path("opened"), world.path("old"));
    let here = |script: &str| {
        let ours = [
            ("/mnt/usb/sftunnel-kit-*", kit.path.display().to_string()),
            ("BSNS-1120-1", device.name.clone()),
            ("/dev/shm/by-hand", open.display().to_string()),
            ("/root/by-hand", old.display().to_string()),
            ("/var/sf/peers", device.root.join("var/sf/peers").display().to_string()),
            ("/ngfw/usr", device.root.join("usr").display().to_string()),
            ("sleep 10", "sleep 2".to_owned()),
        ];
        ours.iter().fold(script.to_owned(), |script, (there, here)| script.replace(there, here))
    };
    let sh = |script: &str| Run::new("sh").args(["-ec", &here(script)]);

    let [opens] = &commands("Open it")[..] else { panic!("one block") };
    let mut pty = Pty::start(sh(opens));
    pty.expect("passphrase");
    pty.type_line(PASSPHRASE);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("sftunnel-key.pem: OK"), "{screen}");

    let [signature, set] = &commands("Check it")[..] else { panic!("two blocks") };
    let ran = sh(signature).cwd(&open).run().expect(0);
    ran.says("Signature Verified Successfully").says(&world.signer());
    let ran = sh(set).cwd(&open).run().expect(0).says("sftunnel-cert.pem: OK").says("\npair\n");
    assert!(ran.stdout.starts_with("3\n"), "{}", ran.stdout);
    let destination = format!("/var/sf/peers/{}/sftunnel-key.pem", fmc.uuid);
    ran.says(&device.uuid).says(&destination);

    let before = world.files(device, fmc);
    let [installs] = &commands("Install it")[..] else { panic!("one block") };
    let ran = sh(installs).run().expect(0).says("sftunnel (");
    ran.never_says("STOP");
    assert_eq!(world.files(device, fmc), world.new_files(device, fmc));
    let saved = lab::layout::CREDENTIALS.map(|name| fs::read(old.join(name)).ok());
    assert_eq!(saved, before, "what was there is in the copy");
    world.up(device, fmc);
}
