//! Flags and reasons stand in the documents, and those in the documents exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use formats::error::Reason;
use formats::kit::KitIndex;
use formats::manifest::Manifest;
use tests::{Run, program};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Flags of other programs that the documents show.
const FOREIGN: [&str; 1] = ["--release"];

/// Every command of a program, with its own flags and those of all commands.
fn commands(name: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut found = Vec::new();
    collect(name, &[], &mut found);
    found
}

fn collect(name: &str, words: &[String], found: &mut Vec<(String, BTreeSet<String>)>) {
    let help = Run::new(program(name)).args(words).arg("--help").run().expect(0).stdout;
    found.push(([&[name.to_owned()], words].concat().join(" "), flags(&help)));
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    for line in listed.take_while(|line| !line.is_empty()) {
        let word = line.split_whitespace().next().unwrap_or_default();
        // longer descriptions go on in a further column
        if line.starts_with("  ") && !line.starts_with("   ") && word != "help" {
            collect(name, &[words, &[word.to_owned()]].concat(), found);
        }
    }
}

/// Flags as clap lists them: `  -r, --recipient <R>` or `      --json`.
fn flags(help: &str) -> BTreeSet<String> {
    let first =
        |line: &str| line.split_whitespace().find(|word| word.starts_with("--")).map(str::to_owned);
    let listed = help.lines().filter(|line| {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        (indent == 2 && text.starts_with('-')) || (indent == 6 && text.starts_with("--"))
    });
    listed.filter_map(first).map(|flag| flag.trim_end_matches([',', '.']).to_owned()).collect()
}

/// The rows of the tables below a heading of `docs/json.md`: the first flag of each.
fn documented(text: &str, heading: &str) -> Option<BTreeSet<String>> {
    let mut lines = text.lines().skip_while(|line| *line != heading);
    lines.next()?;
    let section = lines.take_while(|line| !line.starts_with("### ") && !line.starts_with("## "));
    let rows = section.filter_map(|line| line.strip_prefix("| `"));
    let flag = |row: &str| {
        row.split(['`', ' ']).next().filter(|word| word.starts_with("--")).map(str::to_owned)
    };
    Some(rows.filter_map(flag).collect())
}

#[test]
fn every_flag_stands_in_the_table_of_its_command() {
    let text = document("docs/json.md");
    for name in ["sftunnel-bundle", "sftunnel-install"] {
        let global =
            documented(&text, &format!("### {name}, every command")).unwrap_or_else(|| {
                panic!("docs/json.md has no table of {name}'s flags of every command")
            });
        let mut headings = BTreeSet::new();
        let all = commands(name);
        for (command, flags) in &all {
            // a word that only leads to further words has no table
            let has_subcommands =
                all.iter().any(|(other, _)| other.starts_with(&format!("{command} ")));
            let own: BTreeSet<_> = flags.difference(&global).cloned().collect();
            if has_subcommands {
                assert!(own.is_empty(), "{command} has flags of its own: {own:?}");
                continue;
            }
            let heading = format!("### {command}");
            let listed = documented(&text, &heading)
                .unwrap_or_else(|| panic!("docs/json.md has no '{heading}'"));
            assert_eq!(listed, own, "flags of `{command}`: documented, and in --help");
            headings.insert(heading);
        }
        let about_commands = text.lines().filter(|line| {
            line.strip_prefix("### ").is_some_and(|rest| rest.starts_with(name))
                && !line.contains(',')
        });
        for heading in about_commands {
            assert!(
                headings.contains(heading),
                "docs/json.md describes a command that is none: {heading}"
            );
        }
    }
}

#[test]
fn every_flag_in_the_documents_exists() {
    let known: BTreeSet<String> = ["sftunnel-bundle", "sftunnel-install"]
        .iter()
        .flat_map(|name| commands(name))
        .flat_map(|(_, flags)| flags)
        .chain(["--sha256".to_owned()]) // of install.sh
        .chain(FOREIGN.map(str::to_owned))
        .collect();
    let documents = [
        "README.md",
        "SECURITY.md",
        "docs/guide.md",
        "docs/json.md",
        "formats/FORMAT.md",
        "installer/PROTOCOL.md",
    ];
    let mut unknown = Vec::new();
    for path in documents {
        for (at, line) in document(path).lines().enumerate() {
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            let is_flag = |word: &&str| {
                word.strip_prefix("--")
                    .is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
            };
            for word in words.filter(is_flag).filter(|word| !known.contains(*word)) {
                unknown.push(format!("{path}:{}: {word}", at + 1));
            }
        }
    }
    assert_eq!(unknown, Vec::<String>::new());
}

#[test]
fn the_table_of_reasons_is_complete() {
    let text = document("docs/json.md");
    let table =
        text.split("\n## ").find(|part| part.starts_with("Reason words")).expect("the reasons");
    let words: Vec<_> =
        table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let known: Vec<_> = Reason::ALL.iter().map(|reason| reason.word()).collect();
    assert_eq!(words, known);
}

#[test]
fn every_reason_in_the_documents_exists() {
    let known: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.word()).collect();
    let documents = [
        "README.md",
        "SECURITY.md",
        "formats/FORMAT.md",
        "installer/PROTOCOL.md",
        "docs/guide.md",
        "docs/json.md",
    ];
    for path in documents {
        let text = document(path);
        // as a program says it
        for (_, rest) in
            text.match_indices("refused (").map(|(at, found)| text.split_at(at + found.len()))
        {
            let word = rest.split(')').next().unwrap_or_default().trim_matches('`');
            assert!(known.contains(word) || !word.contains('-'), "{path}: refused ({word})");
        }
        // the last column of a table of reasons
        let mut in_table = false;
        for line in text.lines() {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            if !line.starts_with('|') {
                in_table = false;
            } else if path == "formats/FORMAT.md" && cells.last() == Some(&"reason") {
                in_table = true;
            } else if in_table && !line.starts_with("|--") && !line.starts_with("|:") {
                for word in cells.last().unwrap_or(&"").split('`').skip(1).step_by(2) {
                    assert!(known.contains(word), "{path}: '{word}' is no reason: {line}");
                }
            }
        }
    }
}

#[test]
fn the_format_example_parses_and_is_what_the_specification_shows() {
    let text = document("formats/FORMAT.md");
    let example = root().join("fixtures/format-example");
    for name in ["manifest.json", "kit.json"] {
        let shown = fs::read_to_string(example.join(name)).unwrap();
        assert!(text.contains(shown.trim_end()), "FORMAT.md does not show {name} as it is");
    }
    let read = |name: &str| fs::read(example.join(name)).unwrap();
    let manifest = Manifest::parse(&read("manifest.json")).unwrap();
    let signer = manifest.signer.check().unwrap();
    signer.verify(&read("manifest.json"), &read("manifest.json.sig")).unwrap();
    assert_eq!(
        manifest.to_bytes().unwrap(),
        read("manifest.json"),
        "this program writes the same bytes"
    );
    let (index, _) = KitIndex::open(&read("kit.json"), &read("kit.json.sig")).unwrap();
    assert!(index.bundles.iter().any(|bundle| bundle.device.uuid == manifest.device.uuid));
}

#[test]
fn the_exit_codes_are_those_of_the_documents() {
    for path in ["docs/json.md", "README.md"] {
        let text = document(path);
        let codes: Vec<_> = text
            .lines()
            .filter_map(|line| {
                let cell = line.strip_prefix("| ")?.split(" |").next()?;
                cell.parse::<u8>().ok()
            })
            .collect();
        let in_order = codes.windows(8).any(|window| window == [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(in_order, "{path} has no table of the exit codes 0 to 7: {codes:?}");
    }
}
