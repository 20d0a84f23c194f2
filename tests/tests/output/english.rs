//! English that a tired reader reads once: words and sentences that do without a second look.

use std::fs;
use std::path::{Path, PathBuf};

/// Words that stand for no one in particular, or turn a sentence round.
const HARD: [&str; 9] = [
    "anybody",
    "everybody",
    "neither",
    "nobody",
    "nor",
    "somebody",
    "whatever",
    "wherever",
    "whoever",
];
/// Words of the longest sentence of a message.
const LONGEST: usize = 26;

/// The text of each string in the source of a program, without its tests.
fn strings(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let (mut strings, mut rest) = (Vec::new(), source);
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let from = &rest[at..];
        if from.starts_with("//") {
            rest = from.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(after) =
            ["'\"'", "'\\\"'", "'\\''"].iter().find_map(|quoted| from.strip_prefix(quoted))
        {
            rest = after;
        } else if let Some(inside) = from.strip_prefix('"') {
            let before = &rest[..at];
            let (mut escaped, is_raw) = (false, before.ends_with('r') || before.ends_with("r#"));
            let end = inside.char_indices().find(|&(at, c)| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped && !is_raw;
                ends && (!before.ends_with('#') || inside[at..].starts_with("\"#"))
            });
            let (string, after) = inside.split_at(end.expect("a string has an end").0);
            strings.push(string.replace("\\n", "\n"));
            rest = &after[1..];
        } else {
            rest = &from[1..];
        }
    }
    strings
}

fn hard_words(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| HARD.contains(&word.to_lowercase().as_str())).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn messages_have_no_hard_words_and_no_long_sentences() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources = Vec::new();
    for folder in ["builder/src", "installer/src", "formats/src", "formats/cli/src"] {
        files(&root.join(folder), &mut sources);
    }
    sources.retain(|path| {
        path.extension().is_some_and(|is| is == "rs")
            && !path.ends_with("tests.rs")
            && path.iter().all(|part| part != "tests")
    });
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in sources {
        for string in strings(&fs::read_to_string(&path).unwrap()) {
            seen += 1;
            let is_page = string.contains("Examples:") || string.starts_with('<');
            let ends = ['.', ':', ';', '?', '!'];
            let long = string.split(ends).filter(|part| part.split_whitespace().count() > LONGEST);
            let long: Vec<_> = long.filter(|_| !is_page).collect();
            let hard = hard_words(&string);
            if !long.is_empty() || !hard.is_empty() {
                wrong.push(format!("{}: {hard:?} {long:?}", path.display()));
            }
        }
    }
    assert!(seen > 1_000, "{seen} strings were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pages_and_the_operators_documents_have_no_hard_words() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut pages: Vec<_> =
        ["README.md", "docs/operate.md", "docs/guide.md", "docs/json.md", "docs/flags.md"]
            .map(|name| root.join(name))
            .into();
    files(&root.join("builder/src/texts"), &mut pages);
    files(&root.join("tests/golden"), &mut pages);
    let mut wrong = Vec::new();
    for path in pages {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for line in text.lines().filter(|line| !hard_words(line).is_empty()) {
            wrong.push(format!("{}: {line}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
