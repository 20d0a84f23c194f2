//! The file for the colleague on the phone: whatever was pasted where on the box, it holds no key.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use openssl::base64::encode_block;
use tests::PASSPHRASE;

use super::{Confidential, Secrets, key_in};

const TIME: &str = "Nov 28 04:10:47 ftd SF-IMS[50792]: [51982] sftunneld: ";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A key in every form in which somebody may have pasted it.
fn forms(pem: &[u8]) -> Vec<String> {
    let text = String::from_utf8(pem.to_vec()).unwrap();
    let dumped = hex(&pem[30..90]);
    let bytes = |separator: &str, digits: usize| {
        let groups =
            dumped.as_bytes().chunks(digits).map(|group| std::str::from_utf8(group).unwrap());
        groups.collect::<Vec<_>>().join(separator)
    };
    let mut forms = vec![
        text.replace('\n', "\\n"),
        encode_block(pem),
        hex(pem),
        bytes(":", 2),
        bytes(" ", 4),
        format!("passphrase: {PASSPHRASE}"),
    ];
    // whole, and without its first or its last line
    for part in
        [&text[..], text.split_once('\n').unwrap().1, text.trim_end().rsplit_once('\n').unwrap().0]
    {
        forms.extend(part.lines().map(str::to_owned));
        forms.push("Connect:SSL handshake failed".to_owned());
    }
    forms.extend(text.lines().skip(1).step_by(3).map(str::to_owned));
    forms
}

/// What is looked for beside what [`Secrets::key`] knows: each line as text, base64 and hex.
fn add_forms(secrets: &mut Secrets, pem: &[u8]) {
    let text = String::from_utf8(pem.to_vec()).unwrap();
    for (at, line) in text.lines().filter(|line| !line.starts_with('-')).enumerate() {
        secrets.text(&format!("line {at}"), line);
        secrets.text(&format!("line {at} in hex"), &hex(&line.as_bytes()[..12]));
        // at any of the three positions in base64
        (0..3).for_each(|skipped| {
            let encoded = encode_block(&line.as_bytes()[skipped..skipped + 15]);
            secrets.text(&format!("line {at} in base64"), &encoded);
        });
    }
    let dumped = hex(&pem[30..50]);
    let groups: Vec<&str> = (0..6).map(|at| &dumped[at * 4..at * 4 + 4]).collect();
    secrets.text("dumped", &groups.join(" "));
}

fn append(path: &Path, lines: &[String]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    lines.iter().for_each(|line| writeln!(file, "{TIME}{line}").unwrap());
}

/// Every key that lies somewhere in this tree, and how many there are.
fn add_all(secrets: &mut Secrets, root: &Path) -> usize {
    let files = lab::snapshot(root).unwrap().0.into_keys().map(|path| root.join(path));
    let texts = files.filter_map(|path| fs::read_to_string(path).ok());
    let keys: Vec<_> = texts.filter(|text| text.contains(" PRIVATE KEY-----")).collect();
    for (line, number) in keys.iter().flat_map(|key| key.lines()).zip(1..) {
        if line.len() > 40 && !line.starts_with('-') {
            secrets.text(&format!("line {number} of all keys"), line);
        }
    }
    keys.len()
}

#[test]
fn the_file_for_a_colleague_holds_no_secret() {
    let case = Confidential::new();
    let (world, device, fmc) = (&case.world, case.world.ftd(1), case.world.fmc());
    case.install(&super::BY_PASSPHRASE).run().expect(0);
    let mut secrets = case.with_signing_key();
    let (old, new) = (key_in(&case.old), key_in(&world.new_files(device, fmc)).to_vec());
    add_forms(&mut secrets, old);
    add_forms(&mut secrets, &new);
    let keys: usize =
        [&device.root, &fmc.root].map(|root| add_all(&mut secrets, root)).iter().sum();
    assert!(keys > 5, "{keys}");
    let identity = fs::read_to_string(world.path("plain.txt")).unwrap();
    let mut pasted = [forms(old), forms(&new), vec![identity.clone()]].concat();
    pasted.push("err 10:certificate has expired".to_owned());
    for root in [&device.root, &fmc.root] {
        append(&root.join("var/log/messages"), &pasted);
        append(&root.join("ngfw/var/log/messages"), &pasted);
    }
    append(&fmc.root.join("var/log/sf/sfca_generation.log"), &pasted);
    let planted = fs::read(device.root.join("var/log/messages")).unwrap();
    assert!(secrets.found_in(&planted).len() > 60, "the search finds what was planted");
    let log = device.root.join("var/sf/sftunnel-airgap/log");
    let line = serde_json::json!({
        "at": "2026-11-28T04:10:47Z", "command": "install", "outcome": "failed", "exit_code": 1,
        "message": String::from_utf8(new.clone()).unwrap(), "program": identity,
    });
    writeln!(OpenOptions::new().append(true).open(log).unwrap(), "{line}").unwrap();
    // a shell takes lines of a paste for names; a short one has no form to be known by
    let peer = device.peer_dir(fmc);
    for line in String::from_utf8(new.clone()).unwrap().lines().filter(|line| line.len() > 40) {
        let name = line.replace('/', "");
        secrets.text("a name", &name);
        fs::write(peer.join(name), &new).unwrap();
    }
    fs::write(peer.join(&identity), &new).unwrap();
    fs::write(peer.join("sftunnel-cert.pem.backup"), &new).unwrap();
    let mut written = Vec::new();
    for run in [world.on(device, &["support"]), world.bundle(&["support"])] {
        let run = run.env("KEY", String::from_utf8(new.clone()).unwrap()).env("AGE", &identity);
        let ran = run.args(["--json", "--out"]).arg(world.out()).run().expect(0);
        let json = ran.json();
        let text = fs::read(json["path"].as_str().unwrap()).unwrap();
        let found = secrets.found_in(&[&text[..], ran.output().as_bytes()].concat());
        assert_eq!(found, Vec::<&str>::new(), "{}", String::from_utf8_lossy(&text));
        let text = String::from_utf8(text).unwrap();
        for needed in ["[removed: ", "err 10:certificate has expired", &device.uuid.to_string()] {
            assert!(text.contains(needed), "no {needed} in {text}");
        }
        assert!(text.is_ascii() && text.len() < 1024 * 1024);
        written.push(text);
    }
    assert!(
        written[0].contains("=== pmtool\nsftunnel (") && written[1].contains("=== FAILED_PUSH")
    );
}
