//! Flags, reasons and links that stand in the documents exist, and those that exist stand there.

mod fields;
mod flags;
mod languages;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use formats::bundle::manifest::Manifest;
use formats::error::Reason;
use formats::kit::KitIndex;
use formats::limits;
use formats::seal::IdentityFile;
use tests::{Run, World, program, tool};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn document(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What people read, and look up flags and reasons in.
const DOCUMENTS: [&str; 10] = [
    "README.md",
    "SECURITY.md",
    "docs/facts.md",
    "docs/flags.md",
    "docs/guide.md",
    "docs/json.md",
    "docs/operate.md",
    "docs/post-quantum.md",
    "formats/FORMAT.md",
    "installer/PROTOCOL.md",
];

/// Flags of other programs that the documents show.
const FOREIGN: [&str; 1] = ["--release"];

/// One that it does not know is taken for one of `install`, and the command behind it for a kit.
#[test]
fn the_script_of_a_kit_knows_the_flags_that_may_stand_before_a_command() {
    let script = document("builder/src/texts/install.sh");
    let help = Run::new(program("sftunnel-install")).args(["log", "--help"]).run().expect(0).stdout;
    let (_, section) = help.split_once("Flags of every command:").expect("the section");
    let mut with_value = 0;
    for line in section.lines().filter(|line| line.starts_with("      --")) {
        let mut words = line.split_whitespace();
        let flag = words.next().unwrap_or_default();
        let forms = match words.next() {
            Some(value) if value.starts_with('<') => {
                with_value += 1;
                vec![format!(",{flag} | "), format!(",{flag}=* | ")]
            }
            _ => vec![format!(",{flag} | ")],
        };
        for form in forms {
            let is_known = script.contains(&form) || script.contains(&form.replace(" | ", ")"));
            assert!(is_known, "install.sh takes {flag} for a flag of install");
        }
    }
    assert!(with_value > 3, "{section}");
}

#[test]
fn every_flag_in_the_documents_exists() {
    let mut known = flags::known();
    known.insert("--sha256".to_owned()); // of install.sh
    known.extend(FOREIGN.map(str::to_owned));
    let mut unknown = Vec::new();
    for path in DOCUMENTS {
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

/// Words that stand where a reason stands: `refused (word)`, and the column `reason` or
/// `reason word` of a table.
fn reasons_in(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, said) in text.match_indices("refused (") {
        let (_, rest) = text.split_at(at + said.len());
        found.push(rest.split(')').next().unwrap_or_default().trim_matches('`').to_owned());
    }
    let mut column = None;
    for line in text.lines() {
        // a bar inside a cell is written \\|
        let line = line.replace("\\|", " ");
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        if !line.starts_with('|') {
            column = None;
        } else if column.is_none() {
            let is_reason = |cell: &&str| matches!(*cell, "reason" | "reason word");
            column = Some(cells.iter().position(is_reason));
        } else if let Some(Some(at)) = column {
            let cell = cells.get(at).copied().unwrap_or_default();
            found.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

#[test]
fn every_reason_in_the_documents_exists() {
    let known: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.word()).collect();
    for path in DOCUMENTS {
        for word in reasons_in(&document(path)) {
            assert!(known.contains(&*word), "{path}: '{word}' is no reason");
        }
    }
    // what this looks at is there
    for (path, word) in [
        ("docs/operate.md", "would-drop-peer"),
        ("SECURITY.md", "older-than-installed"),
        ("formats/FORMAT.md", "weak-digest"),
    ] {
        assert!(reasons_in(&document(path)).iter().any(|found| found == word), "{path}: {word}");
    }
    let bogus = "refused (bogus)\n\n| a | reason word | b |\n|--|--|--|\n| x | `slip` | `y` |\n";
    assert_eq!(reasons_in(bogus), ["bogus", "slip"]);
}

/// The sources that the tests of a module may stand in: `a/b.rs`, and all below `a/b/`.
fn sources_of(folder: &Path, module: &[&str]) -> String {
    fn below(path: &Path, text: &mut String) {
        for item in fs::read_dir(path).into_iter().flatten().flatten() {
            match item.path() {
                path if path.is_dir() => below(&path, text),
                path => text.push_str(&fs::read_to_string(path).unwrap_or_default()),
            }
        }
    }
    let path = module.iter().fold(folder.to_path_buf(), |path, name| path.join(name));
    let mut text = fs::read_to_string(path.with_extension("rs")).unwrap_or_default();
    below(&path, &mut text);
    text
}

/// The tests that the tables of a document name, and those of them that are in no module of that
/// name. `…` stands for the rest of a test's name, or for the tests of a module.
fn tests_named_in(path: &str) -> (usize, Vec<String>) {
    let is_name = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|c| c.is_ascii_lowercase() || b"_0123456789".contains(&c))
    };
    let (mut named, mut missing) = (0, Vec::new());
    let text = document(path);
    let rows = text.lines().filter(|line| line.starts_with('|'));
    for word in rows.flat_map(|line| line.split('`').skip(1).step_by(2)) {
        // a further test of the same module
        let parts: Vec<&str> = word.trim_start_matches("…::").split("::").collect();
        let Some((test, module)) = parts.split_last() else { continue };
        let start = test.strip_suffix('…');
        let is_test = is_name(start.unwrap_or(test)) || *test == "…";
        if module.is_empty() || !is_test || !module.iter().all(|part| is_name(part)) {
            continue;
        }
        let sources = match module {
            ["formats", rest @ ..] => sources_of(&root().join("formats/src"), rest),
            ["cli", rest @ ..] => sources_of(&root().join("formats/cli/src"), rest),
            ["builder", "install_script"] => {
                sources_of(&root().join("builder/tests"), &module[1..])
            }
            ["builder", rest @ ..] => sources_of(&root().join("builder/src"), rest),
            ["installer", rest @ ..] => sources_of(&root().join("installer/src"), rest),
            module => sources_of(&root().join("tests/tests"), module),
        };
        named += 1;
        let signature = start.map_or_else(|| format!("{test}()"), str::to_owned);
        let is_there = |indent: &str| sources.contains(&format!("#[test]\n{indent}fn {signature}"));
        if !is_there("") && !is_there("    ") {
            missing.push(word.to_owned());
        }
    }
    (named, missing)
}

#[test]
fn every_test_that_the_documents_name_exists() {
    for (path, at_least) in [("SECURITY.md", 80), ("tests/MUTANTS.md", 50)] {
        let (named, missing) = tests_named_in(path);
        assert_eq!(missing, Vec::<String>::new(), "named in {path}, and no test of that module");
        assert!(named > at_least, "{path} names {named} tests");
    }
}

#[test]
fn the_format_example_parses_and_the_specification_has_each_of_its_fields() {
    let text = document("formats/FORMAT.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    let named: Vec<_> = rows.flat_map(|cell| cell.split(['`', '.', ',', ' ', '['])).collect();
    let example = root().join("fixtures/format-example");
    for name in ["manifest.json", "kit.json"] {
        let example = fs::read_to_string(example.join(name)).unwrap();
        for field in example.lines().filter_map(|line| line.trim().strip_prefix('"')) {
            let (field, _) = field.split_once('"').unwrap();
            assert!(named.contains(&field), "FORMAT.md has no row for `{field}` of {name}");
        }
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

#[test]
fn every_fact_has_a_source_and_the_code_that_it_names_is_there() {
    let mut facts = 0;
    let text = document("docs/facts.md");
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() == 4);
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [fact, source, code] = cells[..] else { panic!("three columns: {row}") };
        if fact == "fact" {
            continue;
        }
        let known = |word: &str| ["doc", "cisco", "field", "guess"].contains(&word);
        assert!(source.split(", ").all(known), "source '{source}' of: {fact}");
        for path in code.split('`').skip(1).step_by(2) {
            assert!(root().join(path).exists(), "{path} is gone: {fact}");
        }
        facts += 1;
    }
    assert!(facts > 30, "{facts} facts");
}

/// A path is whole, or the end of one that is: `args.rs`, `kit/folder/whole.rs`.
#[test]
fn every_path_in_contributing_exists_and_holds_the_name_beside_it() {
    let listed = tool("git", "git").args(["ls-files", "-z"]).cwd(root()).run();
    let Some(0) = listed.code() else { return };
    let is_there = |path: &str| {
        root().join(path).exists()
            || listed.stdout.split('\0').any(|known| {
                known.ends_with(&format!("/{path}")) || known.contains(&format!("/{path}/"))
            })
    };
    let is_path = |word: &&str| {
        let is_plain = word.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-/".contains(&c));
        let ends = [".rs", ".md", ".toml"];
        is_plain && (word.contains('/') || ends.iter().any(|end| word.ends_with(end)))
    };
    let text = document("CONTRIBUTING.md");
    let (mut paths, mut rules) = (0, 0);
    for line in text.lines() {
        let code = || line.split('`').skip(1).step_by(2);
        let named: Vec<_> = code().filter(is_path).map(|path| path.trim_end_matches('/')).collect();
        for path in &named {
            assert!(is_there(path), "{path} is gone: {line}");
        }
        paths += named.len();
        // a row of the newcomer's test: rule, files, a name in the last of them
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let ([_, _, name], Some(path)) = (&cells[..], named.last())
            && let Some(name) = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'))
            && !name.contains(['`', '/', '.'])
        {
            let text = document(path);
            let is_defined = [
                format!("fn {name}("),
                format!("const {name}:"),
                format!("struct {name} "),
                format!(" {name} = "),
            ]
            .iter()
            .any(|form| text.contains(form));
            assert!(is_defined, "no {name} in {path}: {line}");
            rules += 1;
        }
    }
    assert!(paths > 60 && rules > 9, "{paths} paths, {rules} rules");
}

/// A document that is cited and is not here leads nowhere.
#[test]
fn every_document_that_is_cited_is_in_the_repository() {
    let listed = tool("git", "git").args(["ls-files", "-z"]).cwd(root()).run();
    // a source archive has no index; then there is nothing to compare with
    let Some(0) = listed.code() else { return };
    let mut lost = Vec::new();
    let ours = ["rs", "md", "toml", "sh", "py"];
    for path in listed.stdout.split('\0').filter(|path| !path.is_empty()) {
        if !Path::new(path).extension().is_some_and(|end| ours.iter().any(|ours| end == *ours)) {
            continue;
        }
        let text = fs::read_to_string(root().join(path)).unwrap_or_default();
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || "._-/".contains(c))) {
            let Some(name) = word.strip_suffix(".md") else { continue };
            let beside = root().join(path).with_file_name("").join(word);
            let is_a_name = name.chars().any(|c| c.is_ascii_alphabetic());
            let below = ["", "docs", "formats", "installer", "fixtures", "fixtures/lab"];
            let found = below.iter().any(|folder| root().join(folder).join(word).is_file());
            if is_a_name && !word.starts_with('/') && !found && !beside.is_file() {
                lost.push(format!("{path}: {word}"));
            }
        }
    }
    assert_eq!(lost, Vec::<String>::new());
}

/// What GitHub makes of a heading: lower case, hyphens for blanks, no other punctuation.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The targets of `[text](target)`, where `text` may go on in the next line. Code has none.
fn links(text: &str) -> Vec<String> {
    let prose = text.split("```").step_by(2).collect::<Vec<_>>().join("\n");
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

#[test]
fn every_link_between_the_documents_leads_to_a_heading_that_is_there() {
    let listed = tool("git", "git").args(["ls-files", "-z", "*.md"]).cwd(root()).run();
    let Some(0) = listed.code() else { return };
    let (mut followed, mut lost) = (0, Vec::new());
    for path in listed.stdout.split('\0').filter(|path| !path.is_empty()) {
        for target in links(&document(path)) {
            if target.contains("://") {
                continue;
            }
            let (file, fragment) = target.split_once('#').unwrap_or((&target, ""));
            let here = root().join(path);
            let there = if file.is_empty() { here } else { here.with_file_name("").join(file) };
            let text = fs::read_to_string(&there).unwrap_or_default();
            let headings = text.split("```").step_by(2).flat_map(str::lines);
            let mut anchors = headings.filter(|line| line.starts_with('#')).map(anchor);
            if !there.exists() || !fragment.is_empty() && !anchors.any(|known| known == fragment) {
                lost.push(format!("{path}: {target}"));
            }
            followed += 1;
        }
    }
    assert_eq!(lost, Vec::<String>::new());
    assert!(followed > 50, "{followed} links");
    assert_eq!(anchor("### `kit.json` in a kit: why?"), "kitjson-in-a-kit-why");
    assert_eq!(links("[a\nb](c#d) `[x]`\n```\n[e](f)\n```\n"), ["c#d"]);
}

#[test]
fn the_gzip_header_is_the_one_that_the_specification_shows() {
    let text = document("formats/FORMAT.md");
    let (_, rest) = text.split_once("Written with the header `").expect("the header");
    let shown = rest.split('`').next().unwrap();
    let shown: Vec<u8> =
        shown.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let world = World::new(1);
    let sealed = fs::read(world.kit(&[]).bundle(world.ftd(1))).unwrap();
    let IdentityFile::Plain(identities) = IdentityFile::parse(world.identity().as_bytes()).unwrap()
    else {
        panic!("an identity without a passphrase");
    };
    let inside = identities.open(&sealed, limits::TAR).unwrap();
    assert_eq!(inside[..10], shown[..], "the first ten bytes in the age layer");
}
