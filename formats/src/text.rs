//! Escaping, quoting and cutting of foreign text for print.
//!
//! Names and paths come from files that an attacker may have written. A terminal obeys
//! control characters, and bidirectional marks or invisible characters can make one name
//! look like another (docs/facts.md shows such names left by a manual attempt).

use std::fmt::{self, Write};
use std::path::Path;

/// Shows `text` with everything escaped that is not a plain visible character.
///
/// Letters and digits of any script stay; control characters, invisible and
/// direction-changing ones, blanks of other kinds and marks that are drawn over their neighbour
/// become `\u{…}`; a backslash is doubled, so the result is unambiguous.
pub fn printable(text: &str) -> Printable<'_> {
    Printable(text)
}

/// Text made safe by [`printable`].
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            match c {
                '\\' => shown.push_str("\\\\"),
                c if is_visible(c) => shown.push(c),
                c => write!(shown, "{}", c.escape_unicode())?,
            }
        }
        // `pad` honours width and precision
        f.pad(&shown)
    }
}

/// Shows a path as [`printable`] does a text.
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).to_string()
}

/// Letters without any visible form. Unicode calls the first four fillers ignorable; the others are
/// blank signs.
const BLANK_LETTERS: [char; 6] =
    ['\u{115f}', '\u{1160}', '\u{3164}', '\u{ffa0}', '\u{13441}', '\u{13442}'];

/// Returns true if a character occupies a place of its own and is visible.
///
/// Marks count as letters where a script needs them (Alphabetic), and a stack of them reaches into
/// the lines above. `escape_debug` escapes them: it knows Grapheme_Extend.
fn is_visible(c: char) -> bool {
    match c {
        ' '..='~' => true,
        c => c.is_alphanumeric() && c.escape_debug().len() == 1 && !BLANK_LETTERS.contains(&c),
    }
}

/// Returns true if [`printable`] leaves the text unchanged.
pub fn is_printable(text: &str) -> bool {
    text.chars().all(|c| c != '\\' && is_visible(c))
}

/// Formats a foreign name for use among our own words: unchanged if it is one word of the usual
/// characters, else in quotes, so that its blanks are not taken for ours; never longer than
/// `columns`.
pub fn named(text: &str, columns: usize) -> String {
    let usual = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    let shown = printable(text).to_string();
    if !text.is_empty() && shown.chars().all(usual) && columns_of(&shown) <= columns {
        return shown;
    }
    let shown = shown.replace('\'', "\\'");
    let room = columns.saturating_sub(2);
    if columns_of(&shown) <= room {
        return format!("'{shown}'");
    }
    let mut left = room.saturating_sub(3);
    let fits = |c: &char| match left.checked_sub(width(*c)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    format!("'{}...'", shown.chars().take_while(fits).collect::<String>())
}

/// Columns that a character may take: two for anything beyond ASCII, like East Asian letters, so
/// that narrower text is cut a little early.
fn width(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

fn columns_of(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// Quotes a word of a command that somebody is to type, so that a POSIX shell takes it for this
/// text and nothing else. Characters that cannot be typed are escaped like by [`printable`]; the
/// word then names nothing. No other backslash is added, as [`printable`] would double it.
pub fn shell_quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut quoted = String::from("'");
    for c in word.chars() {
        match c {
            '\'' => quoted.push_str(r#"'"'"'"#),
            '\\' => quoted.push(c),
            c if is_visible(c) => quoted.push(c),
            c => quoted.extend(c.escape_unicode()),
        }
    }
    quoted.push('\'');
    quoted
}

/// [`printable`] for bytes that need not be UTF-8, such as file names.
pub fn printable_bytes(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&printable(chunk.valid()).to_string());
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use regex_syntax::hir::{Class, ClassUnicode, HirKind};

    use super::*;

    #[test]
    fn control_and_invisible_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\n").to_string(), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(printable("key.pem\u{200b}").to_string(), "key.pem\\u{200b}");
        assert_eq!(printable("\u{202e}gpj").to_string(), "\\u{202e}gpj");
        assert_eq!(printable("Zürich 東京 1").to_string(), "Zürich 東京 1");
        assert_eq!(printable_bytes(b"a\xffb"), "a\\xffb");
    }

    fn class(pattern: &str) -> ClassUnicode {
        match regex_syntax::parse(pattern).unwrap().into_kind() {
            HirKind::Class(Class::Unicode(class)) => class,
            other => panic!("{other:?}"),
        }
    }

    /// Checked against Unicode's own tables rather than a list of ours.
    #[test]
    fn nothing_that_does_not_show_by_itself_is_shown() {
        let hidden =
            class(r"[\p{Default_Ignorable_Code_Point}\p{Mn}\p{Me}\p{Cc}\p{Cf}\p{Co}\p{Z}\x{2800}]");
        let mut count = 0;
        for c in hidden.ranges().iter().flat_map(|range| range.start()..=range.end()) {
            let shown = is_printable(c.encode_utf8(&mut [0; 4]));
            assert_eq!(shown, c == ' ', "{:04x}", u32::from(c));
            count += 1;
        }
        assert!(count > 100_000, "{count}");
    }

    #[test]
    fn a_name_keeps_to_its_place() {
        assert_eq!(named("BSNS-1120-1.example", 40), "BSNS-1120-1.example");
        assert_eq!(named("台北防火牆一", 40), "台北防火牆一");
        assert_eq!(named("", 40), "''");
        assert_eq!(named("a) is signed by", 40), "'a) is signed by'");
        assert_eq!(named("it's", 40), r"'it\'s'");
        assert_eq!(named(&"x".repeat(41), 40), format!("'{}...'", "x".repeat(35)));
        assert_eq!(named(&"一".repeat(21), 40), format!("'{}...'", "一".repeat(17)));
        assert_eq!(named("x\u{1b}[2J", 40), r"'x\u{1b}[2J'");
    }

    #[test]
    fn a_word_to_be_typed_is_one_word() {
        assert_eq!(shell_quote("BSNS-1120-1"), "BSNS-1120-1");
        assert_eq!(shell_quote("/mnt/usb stick"), "'/mnt/usb stick'");
        assert_eq!(shell_quote("x';>pwned;'"), r#"'x'"'"';>pwned;'"'"''"#);
        assert_eq!(shell_quote("$(id)"), "'$(id)'");
        assert_eq!(shell_quote(r"a\b"), r"'a\b'");
        assert_eq!(shell_quote(""), "''");
        assert_eq!(shell_quote("~root"), "'~root'");
        assert_eq!(shell_quote("a\nb"), r"'a\u{a}b'");
    }
}
