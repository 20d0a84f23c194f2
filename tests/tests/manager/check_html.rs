//! The page of `check`, as a reader of HTML sees it.

use std::fs;

use tests::World;

use super::check::check;

/// The page says what the screen says; a page that cannot be written hides nothing of it.
#[test]
fn the_page_shows_verdict_validities_tunnels_and_who_is_left() {
    let world = World::started(2);
    let kit = world.kit(&[]);
    world.install(world.ftd(1), &kit.path).run().expect(0);
    world.up(world.ftd(1), world.fmc());
    // one that is left still has the old CA, which has expired
    let old = world.ftd(2).peer_dir(world.fmc()).join("cacert.pem");
    let kept = world.fmc().root.join("var/sf/peers").join(&world.ftd(2).uuid);
    fs::copy(old, kept.join("cacert.pem")).unwrap();
    let file = world.path("page.html");
    let run = world.bundle(&["check", "--json", "--html"]).arg(&file).arg("--receipts");
    let json = run.arg(&kit.path).run().expect(2).json();
    assert_eq!(json["html"], file.to_str().unwrap());
    let page = fs::read_to_string(&file).unwrap();
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let tree = roxmltree::Document::parse_with_options(&page, options).unwrap();
    let all = |node: roxmltree::Node| -> String {
        node.descendants().filter(roxmltree::Node::is_text).filter_map(|it| it.text()).collect()
    };
    let part = |id: &str| {
        let is_it = |node: &roxmltree::Node| node.attribute("aria-labelledby") == Some(id);
        all(tree.descendants().find(is_it).unwrap())
    };
    let verdict = part("verdict");
    assert!(verdict.contains("CRITICAL"), "{verdict}");
    assert!(verdict.contains(json["summary"].as_str().unwrap()), "{verdict}");
    for step in json["steps"].as_array().unwrap() {
        assert!(verdict.contains(step.as_str().unwrap()), "{verdict}");
    }
    let validity = part("validity");
    assert!(validity.contains("InternalCA") && validity.contains("old CA of"), "{validity}");
    let today = |node: &roxmltree::Node| node.attribute("class") == Some("today");
    let bars = |node: &roxmltree::Node| node.attribute("class") == Some("years");
    let number = tree.descendants().filter(bars).count();
    assert!(number >= 3 && tree.descendants().filter(today).count() == number, "{validity}");
    assert!(part("tunnels").contains("1 up") && part("tunnels").contains("1 down"));
    let devices = part("devices");
    let at = |name: &str| devices.find(name).unwrap();
    assert!(at("BSNS-1120-2") < at("BSNS-1120-1"), "what is left comes first: {devices}");
    let nowhere = check(&world, &["--html", "/nowhere/page.html"]).expect(2);
    nowhere.says("CRITICAL").says("the page was not written");
}
