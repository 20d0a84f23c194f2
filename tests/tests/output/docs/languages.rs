//! What is written in several languages says the same in each: the same things to type, exit codes
//! and reason words, in the same order. What is to be typed is what the programs take.

use std::collections::BTreeSet;
use std::fs;

use formats::error::Reason;
use tests::World;

use super::document;

const RUNBOOKS: [&str; 3] =
    ["docs/runbook.en.html", "docs/runbook.es.html", "docs/runbook.zh-TW.html"];

/// What must be the same in each language.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    /// What is typed or read as it is.
    verbatim: Vec<String>,
    codes: Vec<String>,
    reasons: Vec<String>,
}

/// Commands stand after two blanks, with three at least before their meaning; exit codes so, too.
fn said_by_readme(text: &str) -> Said {
    let indented = text.lines().filter_map(|line| line.strip_prefix("  "));
    let firsts: Vec<_> = indented
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split("  ").next())
        .map(str::trim_end)
        .collect();
    let (codes, typed): (Vec<&str>, Vec<&str>) =
        firsts.into_iter().partition(|first| first.starts_with(|c: char| c.is_ascii_digit()));
    let quoted = text.split('`').skip(1).step_by(2).filter(|quoted| *quoted != "yes");
    let kit = |typed: &str| match typed.split_once("sftunnel-kit-") {
        Some((before, _)) => format!("{before}sftunnel-kit-*"),
        None => typed.to_owned(),
    };
    Said {
        verbatim: typed.into_iter().chain(quoted).map(kit).collect(),
        codes: codes.into_iter().map(str::to_owned).collect(),
        reasons: Vec::new(),
    }
}

fn said_by_runbook(path: &str) -> Said {
    let page = document(path);
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let tree = roxmltree::Document::parse_with_options(&page, options).unwrap();
    let texts = |name: &str, within: &str| -> Vec<String> {
        let named = tree.descendants().filter(|node| node.has_tag_name(name));
        let named = named.filter(|node| node.ancestors().any(|above| above.has_tag_name(within)));
        named.filter_map(|node| node.text().map(str::to_owned)).collect()
    };
    let language = path.split('.').nth(1).unwrap();
    assert_eq!(tree.root_element().attribute("lang"), Some(language), "{path}");
    let is_code = |text: &String| text.parse::<u8>().is_ok();
    let codes = texts("th", "tbody").into_iter().filter(is_code).collect();
    Said { verbatim: texts("code", "body"), codes, reasons: texts("code", "th") }
}

/// A Chinese character takes two.
fn columns(line: &str) -> usize {
    line.chars().map(|c| if c < '\u{1100}' { 1 } else { 2 }).sum()
}

#[test]
fn the_readme_of_a_kit_says_the_same_in_every_language() {
    let world = World::new(1);
    let kit = world.kit(&[]).path;
    let text = |name: &str| fs::read_to_string(kit.join(name)).unwrap();
    let english = said_by_readme(&text("README.txt"));
    assert_eq!(english.codes, ["0", "1, 2, 3", "5", "6", "7"]);
    assert!(english.verbatim.contains(&"sh install.sh rollback".to_owned()), "{english:?}");
    for (name, _) in formats::kit::TRANSLATIONS {
        let translated = text(name);
        assert_eq!(said_by_readme(&translated), english, "{name}");
        // a console of 80 columns, on which this stands whole
        assert!(translated.lines().all(|line| columns(line) < 80), "{name}");
        assert!(translated.lines().count() < 22, "{name}");
        // also where the terminal shows nothing else
        assert!(translated.starts_with("README.txt in "), "{name}");
    }
    typed_is_taken(&english.verbatim);
}

#[test]
fn the_runbooks_say_the_same_in_every_language() {
    let [english, others @ ..] = RUNBOOKS.map(said_by_runbook);
    assert_eq!(english.codes, ["0", "1", "2", "3", "4", "5", "6", "7"]);
    for (other, path) in others.iter().zip(&RUNBOOKS[1..]) {
        assert_eq!(*other, english, "{path}");
    }
    let style = |path| document(path).split("</style>").next().unwrap().to_owned();
    let styles = RUNBOOKS.map(|path| style(path).split("<style>").nth(1).unwrap().to_owned());
    assert!(styles.iter().all(|one| *one == styles[0]), "one style");
    let known: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.word()).collect();
    assert!(english.reasons.len() > 5, "{english:?}");
    for word in &english.reasons {
        assert!(known.contains(word.as_str()), "{word} is no reason");
    }
    typed_is_taken(&english.verbatim);
}

/// Every command of ours is one that its program parses.
fn typed_is_taken(verbatim: &[String]) {
    let mut taken = 0;
    for typed in verbatim {
        let words: Vec<_> = typed.split(' ').collect();
        let (program, words) = match &words[..] {
            ["./sftunnel-bundle", words @ ..] => (builder::command(), words.to_vec()),
            // as the script completes it
            ["sh", "install.sh", words @ ..] if words.iter().all(|word| word.starts_with('-')) => {
                (installer::command(), [&["install", "/mnt/usb/kit"], words].concat())
            }
            ["sh", "install.sh", words @ ..] => (installer::command(), words.to_vec()),
            _ => continue,
        };
        let parsed = program.try_get_matches_from([&["program"], &words[..]].concat());
        assert!(parsed.is_ok(), "{typed}: {parsed:?}");
        taken += 1;
    }
    assert!(taken > 3, "{taken} commands in {verbatim:?}");
}
