//! `receipts` for the change ticket: its CSV and its page as other people's readers see them,
//! and what an old CA proves.

use std::fs;
use std::path::{Path, PathBuf};

use lab::{DeviceSpec, LabSpec};
use serde_json::Value;
use tests::{Kit, World};

/// What a spreadsheet, a CSV reader and HTML would each obey in its own way.
const NAME: &str = "=HYPERLINK(\"x\"), <b>'edge'</b>;=1 & co";

fn hostile() -> World {
    let device = |name: &str, address: &str| DeviceSpec {
        name: name.to_owned(),
        uuid: None,
        address: address.to_owned(),
    };
    let devices = vec![device(NAME, "192.0.2.7"), device("plain", "192.0.2.8")];
    World::of(LabSpec { devices, ..LabSpec::for_tests(1) }).start()
}

fn receipts(world: &World, kit: &Kit, args: &[&Path]) -> Value {
    let run = world.bundle(&["receipts", "--json", "--no-status-program"]).arg(&kit.path);
    run.args(args).run().json()
}

fn in_folder(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|item| item.unwrap().path()).collect()
}

#[test]
fn a_csv_reader_finds_the_same_in_every_cell() {
    let world = hostile();
    let kit = world.kit(&[]);
    world.install(world.ftd(1), &kit.path).run().expect(0);
    let ran = world.bundle(&["receipts", "--csv", "--no-status-program"]).arg(&kit.path).run();
    let ran = ran.expect(0);
    // what is refused is said beside the table, not in it
    let refused = world.write("receipt_x.json", "{}");
    let run = world.bundle(&["receipts", "--csv", "--no-status-program"]).arg(&kit.path);
    let beside = run.arg(&refused).run().expect(3);
    assert!(beside.stderr.contains("refused (bad-format)") && beside.stdout == ran.stdout);
    let mut reader = csv::Reader::from_reader(ran.stdout.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    let json = receipts(&world, &kit, &[]);
    let results = json["results"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, result) in rows.iter().zip(results) {
        let cell = |name: &str| row.get(headers.iter().position(|one| one == name).unwrap());
        assert_eq!(cell("uuid"), result["device"]["uuid"].as_str());
        assert_eq!(cell("status"), result["status"].as_str());
        assert_eq!(cell("manager"), result["manager"].as_str());
        for (name, field) in [("ended_at", "ended_at"), ("certificate_sha256", "certificate")] {
            assert_eq!(cell(name), Some(result[field].as_str().unwrap_or_default()), "{name}");
        }
        // text, to a spreadsheet, and all of it
        let name = result["device"]["name"].as_str().unwrap();
        let guard = if name.starts_with('=') { "'" } else { "" };
        assert_eq!(cell("device").unwrap(), format!("{guard}{name}"));
    }
    assert!(results.iter().any(|result| result["device"]["name"] == NAME));
}

#[test]
fn the_page_says_the_same_and_nothing_in_it_is_obeyed() {
    let world = hostile();
    let kit = world.kit(&[]);
    world.install(world.ftd(1), &kit.path).run().expect(0);
    let refused = world.write("<i>.json", "{}");
    let file = world.path("page.html");
    let run = world.bundle(&["receipts", "--no-status-program", "--html"]).arg(&file);
    run.arg(&kit.path).arg(&refused).run().expect(3);
    let page = fs::read_to_string(&file).unwrap();
    // well-formed, so that any reader sees one tree
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let tree = roxmltree::Document::parse_with_options(&page, options).unwrap();
    let text = |node: roxmltree::Node| -> String {
        node.descendants().filter_map(|one| one.is_text().then(|| one.text()).flatten()).collect()
    };
    let elements: Vec<_> = tree.descendants().filter(|node| node.is_element()).collect();
    let rows: Vec<Vec<String>> = elements
        .iter()
        .filter(|node| node.has_tag_name("tr"))
        .filter(|row| row.parent().is_some_and(|part| part.has_tag_name("tbody")))
        .map(|row| row.children().filter(roxmltree::Node::is_element).map(text).collect())
        .collect();
    let json = receipts(&world, &kit, &[]);
    let results = json["results"].as_array().unwrap();
    assert_eq!(rows.len(), results.len());
    for result in results {
        let uuid = result["device"]["uuid"].as_str().unwrap();
        let row = rows.iter().find(|row| row[1] == uuid).unwrap();
        assert_eq!(row[0], result["device"]["name"].as_str().unwrap());
        assert_eq!(row[2].replace(' ', "-"), result["status"].as_str().unwrap());
        assert_eq!(row[5], result["certificate"].as_str().unwrap_or_default());
    }
    let states: Vec<_> = rows.iter().map(|row| &*row[2]).collect();
    assert_eq!(states, ["outstanding", "done"], "what is left to do comes first");
    assert!(page.contains("&lt;i&gt;.json"), "the receipt that does not verify is named");
    let allowed = "html head meta title style body header main section footer h1 h2 p div dl dt dd table caption thead tbody tr th td code ul li em span";
    let plain = "lang charset name http-equiv content class id scope role aria-labelledby aria-label aria-valuemin aria-valuemax aria-valuenow";
    for node in elements {
        let name = node.tag_name().name();
        assert!(allowed.split(' ').any(|one| one == name), "<{name}>");
        for attribute in node.attributes() {
            let length = attribute.value().strip_prefix("flex-grow:");
            let is_length = attribute.name() == "style"
                && length.is_some_and(|length| length.parse::<usize>().is_ok());
            let is_plain = plain.split(' ').any(|one| one == attribute.name());
            assert!(is_plain || is_length, "{attribute:?}");
        }
    }
}

/// The receipt of the installation is lost; the rollback's is signed with the old key.
#[test]
fn an_old_ca_alone_proves_a_rollback() {
    let world = World::started(1);
    let (kit, device, fmc) = (world.kit(&[]), world.ftd(1), world.fmc());
    let old_ca =
        world.write("old-ca.pem", fs::read(device.peer_dir(fmc).join("cacert.pem")).unwrap());
    world.install(device, &kit.path).run().expect(0);
    let stick = world.out();
    let rollback = world.on(device, &["rollback", "--yes", "--settle", "1", "--receipt-out"]);
    rollback.arg(&stick).run().expect(0);
    for path in in_folder(&kit.path.join("receipts")) {
        fs::remove_file(path).unwrap();
    }
    let alone = receipts(&world, &kit, &[&stick]);
    assert_eq!(alone["reason"], "not-issued-by-ca", "{alone}");
    assert_eq!(alone["results"][0]["status"], "unverified", "{alone}");
    let proved = receipts(&world, &kit, &[&stick, Path::new("--ca"), &old_ca]);
    assert_eq!(proved["results"][0]["status"], "rolled-back", "{proved}");
    assert_eq!(proved["receipts"][0]["proof"], "older-ca", "{proved}");
    // another one proves nothing
    let other = world.write("other.pem", fs::read(lab::layout::cacert(&fmc.root)).unwrap());
    let other = receipts(&world, &kit, &[&stick, Path::new("--ca"), &other]);
    assert_eq!(other["results"][0]["status"], "unverified", "{other}");
}
