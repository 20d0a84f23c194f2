//! The fields of `docs/json.md` are those that `json.rs` reads every object into, and all of them.

use std::collections::BTreeSet;

use super::document;

/// `name` of each `name: Type` in the lists of objects.
fn read_by_the_tests() -> BTreeSet<&'static str> {
    let source = include_str!("../json.rs");
    let lists =
        source.split("\nobjects! {\n").skip(1).chain(source.split("\nschemas! {\n").skip(1));
    let lists = lists.filter_map(|rest| rest.split("\n}\n").next());
    let words = lists.flat_map(|list| list.split([' ', '\n', '{', ',']));
    words.filter_map(|word| word.strip_suffix(':')).filter(|name| !name.is_empty()).collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_lowercase() || b"_0123456789".contains(&c))
}

/// The names in code: `results[].ca_days_left` has two.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split('`').skip(1).step_by(2);
    code.flat_map(|code| code.split(['.', '[', ']', ' '])).filter(|word| is_name(word))
}

#[test]
fn every_field_that_the_tests_read_stands_in_the_documents() {
    let pages = ["docs/json.md", "installer/PROTOCOL.md"].map(document);
    let named: BTreeSet<&str> = pages.iter().flat_map(|page| names(page)).collect();
    let read = read_by_the_tests();
    assert!(read.len() > 120 && read.contains("ca_days_left"), "{read:?}");
    let missing: Vec<_> = read.difference(&named).collect();
    assert!(missing.is_empty(), "in no document: {missing:?}");
}

#[test]
fn every_field_in_a_table_of_the_documents_is_read_by_the_tests() {
    let page = document("docs/json.md");
    let mut known = read_by_the_tests();
    // what every object begins with
    known.extend(["schema", "exit_code", "reason", "message", "next"]);
    let mut unknown = Vec::new();
    for table in page.split("\n\n").filter(|part| part.starts_with("| field | type |")) {
        let cells =
            table.lines().skip(2).filter_map(|row| row.strip_prefix("| ")?.split(" |").next());
        unknown.extend(cells.flat_map(names).filter(|name| !known.contains(name)));
    }
    assert!(unknown.is_empty(), "no test reads {unknown:?}");
}
