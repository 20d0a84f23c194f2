//! A receipt on its way back through the console: printed by the device, pasted at the manager.

use std::fs;

use tests::{Case, Pty};

const BEGIN: &str = "-----BEGIN SFTUNNEL RECEIPT-----";
const END: &str = "-----END SFTUNNEL RECEIPT-----";

/// The text of a receipt in what was printed.
fn printed(output: &str) -> String {
    let (_, after) = output.split_once(BEGIN).expect("a receipt");
    format!("{BEGIN}{}{END}\n", after.split_once(END).expect("its end").0)
}

#[test]
fn a_receipt_comes_back_as_text() {
    let case = Case::new();
    let world = &case.world;
    // away from its kit, where the receipt would be left as well
    let bundle = world.write("alone.age", fs::read(case.kit.bundle(case.device())).unwrap());
    let install = world.install_at_once(case.device(), &bundle).args(["--receipt-out", "-"]);
    let ran = install.run().expect(0);
    let text = printed(&ran.stdout);
    assert!(text.lines().all(|line| line.len() <= 76), "{text}");
    // the outcome is what stays on the screen
    assert!(ran.stdout.find("Done: ") > ran.stdout.find(END), "{}", ran.stdout);
    assert!(ran.stdout.contains("paste the receipt that stands above"), "{}", ran.stdout);
    // what lies on the box, byte for byte
    let mut store = fs::read_dir(case.state().join("receipts")).unwrap();
    let file = store.next().unwrap().unwrap().path();
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let decoded = world.write("decoded.json", "");
    let decode = format!("echo {base64} | base64 -d > {}", decoded.display());
    tests::tool("sh", "dash").args(["-c", &decode]).run().expect(0);
    assert_eq!(fs::read(&decoded).unwrap(), fs::read(&file).unwrap());

    let flags = ["receipts", "--no-status-program", "--no-remember"];
    let receipts = || world.bundle(&flags).arg(&case.kit.path);
    let done = "1 of 1 device done";
    receipts().run().expect(0).never_says(done);
    // a log of the console, a pipe, and a paste that ends by itself, in either form
    let log = world.write("console.log", format!("root@ftd:~# x\r\n{}\nroot@ftd:~# ", ran.stdout));
    receipts().arg(&log).run().expect(0).says(done);
    receipts().arg("-").stdin(text.clone()).run().expect(0).says(done);
    for pasted in [text.clone(), fs::read_to_string(&file).unwrap()] {
        let mut pty = Pty::start(receipts().arg("-"));
        pty.expect("Paste the receipt, from its BEGIN line to its END line.");
        pty.press(&pasted);
        let (code, screen) = pty.end();
        assert!(code == 0 && screen.contains(done), "{screen}");
    }

    // a claim that nobody signed, a cut one, and one that is too long
    let line = text.lines().nth(4).unwrap();
    let swapped: String = line.chars().rev().collect();
    let long = "A".repeat(200 * 1024);
    for (copy, reason) in [
        (text.replace(line, &swapped), "bad-"),
        (text.replace(END, ""), "damaged"),
        (text.replace(line, "?"), "damaged"),
        (text.replace(line, &long), "too-large"),
    ] {
        let ran = receipts().arg("-").arg("--json").stdin(copy).run().expect(3);
        let found = ran.json()["reason"].as_str().unwrap().to_owned();
        assert!(found.starts_with(reason), "{reason}: {found}");
        assert_eq!(ran.json()["done"], 0, "{}", ran.stdout);
    }
}

#[test]
fn a_program_that_reads_along_finds_the_text_in_its_object() {
    let case = Case::new();
    let install = case.install().args(["--receipt-out", "-", "--json"]);
    let json = install.run().expect(0).json();
    let text = json["receipt_texts"][0].as_str().unwrap().to_owned();
    assert!(text.starts_with(BEGIN) && text.trim_end().ends_with(END), "{text}");
    // the kit has its copy all the same
    assert_eq!(json["receipts"].as_array().unwrap().len(), 1);
    let json = case.rollback().arg("--json").run().expect(0).json();
    assert!(json.get("receipt_texts").is_none());
}
