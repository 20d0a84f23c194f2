//! What differs from run to run, by its form, with another of its kind in its place. Most are as
//! long as what they stand for, so that columns and line breaks stay as people see them.

use regex::{Captures, Regex};

const FORMS: [(&str, &str); 10] = [
    (r"\bSHA256:[0-9A-Za-z+/]{43}", "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    (r"\b[0-9a-f]{64}\b", "0000000000000000000000000000000000000000000000000000000000000000"),
    (r"\b[0-9a-f]{16}\.\.\.", "0000000000000000..."),
    (r"\b[0-9a-f]{4}( [0-9a-f]{4}){7}\b", "0000 0000 0000 0000 0000 0000 0000 0000"),
    (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\b", "2024-09-20T04:10:47Z"),
    (r"(\b|_)[0-9]{8}T[0-9]{6}Z\b", "${1}20240920T041047Z"),
    (r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b", "2024-09-20"),
    (r"\b[0-9]{10}\b", "1726805447"),
    // the manager of a lab has an address of its own
    (r"\b127\.[0-9.]*[0-9]", "10.0.0.1"),
    (r"\b(PID )[0-9]+|\b[0-9]{3,}( bytes)", "${1}<n>${2}"),
];

/// Names that a lab makes up: UUIDs, their first groups, recipients.
const MADE_UP: [(&str, &str); 2] = [
    (r"(\b|_)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "${1}0"),
    (r"(\b|_)(?:[0-9a-f]{8}|age1[0-9a-z]{37,})(\b|_)", "${1}0${2}"),
];

fn replaced(text: &str, forms: &[(&str, &str)]) -> String {
    forms.iter().fold(text.to_owned(), |text, (form, shown)| {
        Regex::new(form).unwrap().replace_all(&text, *shown).into_owned()
    })
}

/// Sizes that fill a cell of a table.
fn without_sizes(text: &str) -> String {
    let number = Regex::new("[0-9]{4,}").unwrap();
    let shown = number.replace_all(text, |found: &Captures<'_>| {
        let found = found.get(0).unwrap();
        let after = &text[found.end()..];
        let is_cell = text[..found.start()].ends_with(' ')
            && (after.starts_with("  ") || after.starts_with('\n'));
        if is_cell { "9".repeat(found.len()) } else { found.as_str().to_owned() }
    });
    shown.into_owned()
}

/// Times, fingerprints, digests, sizes, addresses and process numbers.
pub(super) fn scanned(text: &str) -> String {
    // first: the last group of a fingerprint may look like one, and is replaced all the same
    replaced(&without_sizes(text), &FORMS)
}

/// The same, without names that a lab makes up, and without regard to line breaks. Counts, days,
/// scenarios and versions stay.
pub(super) fn normalised(text: &str) -> String {
    let scanned = scanned(&replaced(text, &MADE_UP));
    scanned.split_whitespace().collect::<Vec<_>>().join(" ")
}
