//! Text that went through other people's editors, mail programs, spreadsheets and terminals, at
//! every place where the programs read some: taken, or refused with the cause and the way out.

use std::fs;

use serde_json::Value;
use tests::{Kit, PASSPHRASE, Ran, World};

/// A way that text takes, and what it does to it.
type Way = (&'static str, fn(&str) -> Vec<u8>);

/// Encodings and line ends: what an editor or a shell does by itself.
const SAVED: [Way; 9] = [
    ("UTF-8 with a mark", |text| format!("\u{feff}{text}").into_bytes()),
    ("UTF-16", |text| utf16(&format!("\u{feff}{text}"), u16::to_le_bytes)),
    ("UTF-16, high byte first", |text| utf16(&format!("\u{feff}{text}"), u16::to_be_bytes)),
    ("UTF-16 without a mark", |text| utf16(text, u16::to_le_bytes)),
    ("UTF-16, high byte first, without a mark", |text| utf16(text, u16::to_be_bytes)),
    ("lines that end with CR LF", |text| text.replace('\n', "\r\n").into_bytes()),
    ("lines that end with CR", |text| text.replace('\n', "\r").into_bytes()),
    ("lines that end with CR CR LF", |text| text.replace('\n', "\r\r\n").into_bytes()),
    ("as PowerShell's > writes it", |text| {
        utf16(&format!("\u{feff}{}", text.replace('\n', "\r\n")), u16::to_le_bytes)
    }),
];

/// What stands around a line when it was copied out of something.
const AROUND: [Way; 4] = [
    ("blanks", |text| around(text, "", " \t")),
    ("blanks that do not break", |text| around(text, "\u{a0}", "\u{a0}")),
    ("characters without width", |text| around(text, "\u{200b}", "\u{200b}\u{2060}")),
    ("indented", |text| around(text, "    ", "")),
];

/// The same for keys, in which quote marks mean nothing.
const QUOTED: [Way; 4] = [
    ("a mail's answer", |text| around(text, "> ", "")),
    ("an answer's answer", |text| around(text, ">> ", "\r")),
    ("quote marks", |text| around(text, "\"", "\"")),
    ("typographic quote marks", |text| around(text, "\u{201c}", "\u{201d}")),
];

fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}

fn around(text: &str, before: &str, after: &str) -> Vec<u8> {
    text.lines().map(|line| format!("{before}{line}{after}\n")).collect::<String>().into_bytes()
}

fn ways(sets: &[&[Way]]) -> Vec<Way> {
    sets.concat()
}

/// For each way the file is written as `name` and `run` is to end well.
#[track_caller]
fn each_is_taken(world: &World, name: &str, text: &str, ways: &[Way], run: impl Fn() -> Ran) {
    for (way, write) in ways {
        world.write(name, write(text));
        let ran = run();
        if ran.code() != Some(0) {
            ran.fail(&format!("{name} was not taken: {way}"));
        }
    }
}

fn verify(world: &World, flags: &[&str], kit: &Kit) -> Ran {
    let signer = world.signer();
    world.on(world.ftd(1), &["verify", "--signer", &signer]).args(flags).arg(&kit.path).run()
}

#[test]
fn passphrases_and_identities_open_however_they_were_saved() {
    let world = World::new(1);
    let (locked, kit) = (world.passphrase_kit(), world.kit(&[]));
    let all = ways(&[&SAVED, &AROUND]);
    let text = format!("{PASSPHRASE}\nand a second line\n");
    each_is_taken(&world, "p.txt", &text, &all, || {
        verify(&world, &["--passphrase-file", "p.txt"], &locked)
    });
    let all = ways(&[&SAVED, &AROUND, &QUOTED]);
    let opens = || verify(&world, &["--identity", "i.txt"], &kit);
    each_is_taken(&world, "i.txt", &world.identity(), &all, opens);
    let key = world.identity().lines().last().unwrap().to_owned();
    let (one, two) = key.split_at(37);
    for text in [key.to_lowercase(), format!("{one}\n{two}"), format!("# mine\n{one}\r\n  {two}")] {
        world.write("i.txt", text);
        opens().expect(0);
    }
    let hyphens = key.replace('-', "\u{2011}");
    for text in [
        format!("root@fmc:~# cat i.txt\n{}root@fmc:~# ", world.identity()),
        format!("Identity: {key}  # of the site\n- {hyphens}"),
    ] {
        world.write("i.txt", text);
        opens().expect(0);
    }
    world.write("i.txt", format!("{key}\n{}", &key[..60]));
    opens().expect(3).says("line 2 is not an identity");
    opens_no_folder(&world, &kit, &locked);
    world.write("i.txt", world.recipient());
    opens().expect(3).says("line 1 is a recipient");
    world.write("i.txt", b"caf\xe9\n");
    opens().expect(3).says("line 1 is not UTF-8").says("next:").says("save it as UTF-8");
    world.write("p.txt", b"caf\xe9\n");
    let ran = verify(&world, &["--passphrase-file", "p.txt"], &locked).expect(2);
    ran.says("line 1 is not UTF-8").says("save it as UTF-8");
}

fn opens_no_folder(world: &World, kit: &Kit, locked: &Kit) {
    for (flag, kit) in [("--identity", kit), ("--passphrase-file", locked)] {
        let ran = verify(world, &[flag, "."], kit).expect(3).says("refused (bad-format)");
        ran.says("expected a file, found a directory");
    }
}

#[test]
fn recipients_are_taken_from_files_mails_and_spreadsheets() {
    let world = World::new(2);
    let keygen = |name: &str| {
        let run = world.bundle_program(&["keygen", "identity", "--json", "--out", name]).run();
        run.expect(0).json()["recipient"].as_str().unwrap().to_owned()
    };
    let (one, two) = (keygen("1.txt"), keygen("2.txt"));
    let planned = |flags: &[&str]| world.bundle(&["plan", "--json"]).args(flags).run();
    let is = |ran: &Ran, expected: [&[&str]; 2]| {
        for (result, expected) in ran.json()["results"].as_array().unwrap().iter().zip(expected) {
            assert_eq!(result["recipients"], serde_json::json!(expected), "{result}");
        }
    };
    let all = ways(&[&SAVED, &AROUND, &QUOTED]);
    let text = format!("# who\n{one}\n{}\n", two.to_uppercase());
    each_is_taken(&world, "r.txt", &text, &all, || {
        let ran = planned(&["--recipients-file", "r.txt"]);
        is(&ran, [&[&one, &two]; 2]);
        ran
    });
    for text in
        [format!("- {one}\n- {two}\n"), format!("{one}; {two};"), format!("{one} # a\n{two}")]
    {
        world.write("r.txt", text);
        is(&planned(&["--recipients-file", "r.txt"]).expect(0), [&[&one, &two]; 2]);
    }
    world.write("r.txt", format!("{one}\n{two} is no longer ours\n"));
    planned(&["--recipients-file", "r.txt"]).expect(2).says("line 2");
    for written in [format!("\"{one}\""), format!("\u{201c}{one}\u{201d},"), one.to_uppercase()] {
        is(&planned(&["--recipient", &written]).expect(0), [&[&one]; 2]);
    }

    let map = || {
        let ran = planned(&["--recipient-map", "m.csv"]);
        is(&ran, [&[&one], &[&two]]);
        ran
    };
    let saved = ways(&[&SAVED, &AROUND]);
    let text = format!("device,recipient\nBSNS-1120-1,{one}\nBSNS-1120-2,{two}\n");
    each_is_taken(&world, "m.csv", &text, &saved, map);
    let excel = ways(&[&SAVED]);
    for text in [
        format!("BSNS-1120-1;{one}\nBSNS-1120-2;{two}\n"),
        format!("DEVICE\tRECIPIENT\nBSNS-1120-1\t{one}\nBSNS-1120-2\t{two}\n\t\n"),
        format!("sep=;\nDevice;Recipient;\n\"BSNS-1120-1\";\"{one}\";\nbsns-1120-2;{two};\n;;\n"),
        format!("Recipient;Site;Device\n{one};north, old;BSNS-1120-1\n{two};;Bsns-1120-2\n"),
        format!("\"BSNS-1120-1\" , {one}\n{},{two},,\n", world.ftd(2).uuid.to_uppercase()),
    ] {
        each_is_taken(&world, "m.csv", &text, &excel, map);
    }
    world.write("m.csv", format!("BSNS-1120-1,{one}\nBSNS-1120-2,{one},{two}\n"));
    planned(&["--recipient-map", "m.csv"]).expect(2).says("line 2");
    world.write("m.csv", b"caf\xe9,x\n");
    planned(&["--recipient-map", "m.csv"]).expect(3).says("line 1 is not UTF-8").says("CSV UTF-8");
}

#[test]
fn an_armored_bundle_is_taken_as_it_was_mailed_and_pasted() {
    let world = World::new(1);
    let kit = world.kit(&["--armor"]);
    let bundle = kit.bundle(world.ftd(1));
    let text = fs::read_to_string(&bundle).unwrap();
    let run = |source: &str| world.on(world.ftd(1), &["verify"]).args(world.trust()).arg(source);
    let mailed: [Way; 5] = [
        ("text around it", |text| format!("Hello,\n\n{text}\n-- \nthe FMC team\n").into_bytes()),
        ("a prompt before it", |text| format!("root@fmc:~# cat b.age\n{text}root@fmc:~# ").into()),
        ("one line", |text| text.replace('\n', " ").into_bytes()),
        ("empty lines between", |text| text.replace('\n', "\n\n").into_bytes()),
        ("dashes made one", |text| text.replace("-----", "\u{2014}-").into_bytes()),
    ];
    let all = ways(&[&SAVED, &AROUND, &QUOTED, &mailed]);
    each_is_taken(&world, "b.txt", &text, &all, || run("b.txt").run());
    for (way, write) in &all {
        let ran = run("-").stdin(write(&text)).run();
        assert_eq!(ran.code(), Some(0), "pasted, {way}: {}", ran.output());
    }
    let inspected = world.bundle(&["inspect", "--json", "b.txt"]).run().expect(0).json();
    assert_eq!(inspected["bundles"][0]["encoding"], "age-armor");
    // what is not all there is not guessed
    world.write("b.txt", &text[..text.len() - 40]);
    run("b.txt").run().expect(3).says("damaged").says("it ends before the line END");
    world.write("b.txt", format!("{text}{text}"));
    run("b.txt").run().expect(3).says("more than one");
    world.write("b.txt", text.replacen('A', "B", 1));
    run("b.txt").run().expect(3);
    let lost: Vec<_> = text.lines().enumerate().filter(|(at, _)| *at != 5).collect();
    let lost: String = lost.iter().map(|(_, line)| format!("{line}\n")).collect();
    for text in [lost, text.to_lowercase()] {
        world.write("b.txt", text);
        run("b.txt").run().expect(3).says("from the line BEGIN to the line END");
    }
    let binary = fs::read(world.kit(&[]).bundle(world.ftd(1))).unwrap();
    let line = binary.iter().position(|byte| *byte == b'\n').unwrap();
    world.write("b.txt", [&binary[..line], b"\r\n", &binary[line + 1..]].concat());
    run("b.txt").run().expect(3).says("text mode").says("binary mode");
}

#[test]
fn a_copy_of_the_list_is_read_however_it_was_saved() {
    let world = World::new(2);
    let list = fs::read_to_string(world.fmc().failed_push().unwrap().unwrap()).unwrap();
    each_is_taken(&world, "list", &list, &ways(&[&SAVED, &AROUND[..2]]), || {
        let run = world.bundle(&["plan", "--json", "--recipient", &world.recipient()]);
        let ran = run.args(["--failed-push", "list"]).run();
        let results = ran.json()["results"].as_array().map(Vec::len);
        assert_eq!(results, Some(2), "{}", ran.output());
        ran
    });
}

#[test]
fn saved_output_of_the_status_program_is_read_however_it_was_saved() {
    let world = World::new(2);
    let text = format!("noise\nconnected to '{}'\n", world.ftd(2).uuid);
    for (way, write) in ways(&[&SAVED, &AROUND]) {
        world.write("s.txt", write(&text));
        let ran = world.bundle(&["check", "--json", "--status-file", "s.txt"]).run();
        assert_eq!(ran.json()["tunnels"]["up"], 1, "{way}: {}", ran.output());
    }
}

#[test]
fn a_receipt_is_taken_however_it_came_back_and_counts_once() {
    let world = World::started(1);
    let kit = world.kit(&[]);
    world.install(world.ftd(1), &kit.path).run().expect(0);
    let receipts = kit.path.join("receipts");
    let path = fs::read_dir(&receipts).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&path).unwrap();
    let standing = || -> Value {
        let json =
            world.bundle(&["receipts", "--json", "--no-remember"]).arg(&kit.path).run().json();
        assert_eq!(json["results"][0]["claims"], 1, "{json}");
        json["results"][0]["status"].clone()
    };
    let expected = standing();
    let mailed: [Way; 2] = [
        ("text around it", |text| format!("Done!\n{text}\nBye\n").into_bytes()),
        ("typographic quote marks", |text| text.replace('"', "\u{201d}").into_bytes()),
    ];
    // beside the one that the device wrote, and then alone
    let copy = receipts.join("RECEIPT_FROM_PAUL.TXT");
    for alone in [false, true] {
        if alone {
            fs::remove_file(&path).unwrap();
        }
        for (way, write) in ways(&[&SAVED, &AROUND[..2], &QUOTED[..2], &mailed]) {
            fs::write(&copy, write(&text)).unwrap();
            assert_eq!(standing(), expected, "{way}");
        }
    }
    fs::write(&copy, text.replace("installed", "restored")).unwrap();
    let json = world.bundle(&["receipts", "--json", "--no-remember"]).arg(&kit.path).run().json();
    assert_eq!(json["results"][0]["claims"], 0, "{json}");
}

#[test]
fn a_signer_is_known_by_its_key_or_fingerprint_however_that_was_handed_on() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let verify = |signer: &str| {
        let identity = world.path("identity.txt");
        let run = world.on(world.ftd(1), &["verify", "--signer", signer, "--identity"]);
        run.arg(identity).arg(&kit.path).run()
    };
    let key = world.signing_key().verifying_key().unwrap();
    let pem = String::from_utf8(key.to_pem().unwrap()).unwrap();
    let all = ways(&[&SAVED, &AROUND, &QUOTED]);
    for text in [pem, format!("{key}\n")] {
        each_is_taken(&world, "k.pem", &text, &all, || verify("k.pem"));
    }
    let (print, spoken) = (key.fingerprint().to_string(), key.fingerprint().spoken());
    for said in [
        format!("\"{print}\""),
        format!(" {print}\u{a0}"),
        format!("\u{201c}{print}\u{201d}"),
        print.replace("SHA256:", "sha256:"),
        spoken.to_uppercase(),
        spoken.replace(' ', ":"),
        spoken.replace(' ', "-"),
        format!("'{spoken}'"),
        format!("SHA256:{}", spoken.replace(' ', "")),
    ] {
        verify(&said).expect(0);
    }
    verify(&print.to_lowercase()).expect(2).says("upper and lower case");
    verify(&spoken[..70]).expect(2);
}
