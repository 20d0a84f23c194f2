//! What a later release writes, met by today's programs: a later format may name its signer, or be
//! signed, in another way, so its number is looked at before anything else.

use std::fs;

use serde_json::json;
use tests::{Forger, Run, install_refused, refused};

const NEXT: &str = "use the programs of the release that made it, or of a later one";

#[test]
fn a_kit_of_a_later_format_needs_a_later_release() {
    let case = Forger::new();
    let kit = case.copy();
    let index = fs::read_to_string(kit.join("kit.json")).unwrap();
    fs::write(kit.join("kit.json"), index.replace("sftunnel-kit/1", "sftunnel-kit/2")).unwrap();
    let verify = |run: Run| refused(run.arg(&kit), "bad-format");
    for ran in [
        install_refused(&case.world, case.world.ftd(1), &kit, "bad-format"),
        verify(case.world.bundle(&["verify", "--identity", "identity.txt"])),
    ] {
        let ran = ran.says("kit.json is of the later format 'sftunnel-kit/2'");
        let json = ran.json();
        assert!([&json, &json["kits"][0]].iter().any(|one| one["next"] == NEXT), "{json}");
    }
}

#[test]
fn a_bundle_of_a_later_format_needs_a_later_release_whoever_signed_it_how() {
    let case = Forger::new();
    let later = case.forge().edit(|manifest| {
        manifest["format"] = json!("sftunnel-bundle/2");
        manifest["signer"] = json!(["one", "two"]);
    });
    let file = case.world.write("later.tar.gz.age", later.seal());
    let ran = install_refused(&case.world, case.world.ftd(1), &file, "bad-format");
    let ran = ran.says("the manifest is of the later format 'sftunnel-bundle/2'");
    assert_eq!(ran.json()["next"], NEXT);
    let verify = ["verify", "--identity", "identity.txt", "later.tar.gz.age"];
    let json = refused(case.world.bundle(&verify), "bad-format").json();
    assert_eq!(json["results"][0]["next"], NEXT, "{json}");
}
