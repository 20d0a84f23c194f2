//! Foreign text made safe to print.
//!
//! Names and paths come from files that an attacker may have written. A terminal obeys
//! control characters, and bidirectional marks or invisible characters can make one name
//! look like another (docs/facts.md shows such names left by a manual attempt).

use std::fmt::{self, Write};

/// Shows `text` with everything escaped that is not a plain visible character.
///
/// Letters and digits of any script stay; control characters, invisible and
/// direction-changing ones become `\u{…}`; a backslash is doubled, so the result is unambiguous.
pub fn printable(text: &str) -> Printable<'_> {
    Printable(text)
}

/// See [`printable`].
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = String::with_capacity(self.0.len());
        for c in self.0.chars() {
            match c {
                '\\' => shown.push_str("\\\\"),
                ' '..='~' => shown.push(c),
                c if c.is_alphanumeric() => shown.push(c),
                c => write!(shown, "{}", c.escape_unicode())?,
            }
        }
        // honours width and precision
        f.pad(&shown)
    }
}

/// The same for bytes that need not be UTF-8, such as file names.
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
    use super::*;

    #[test]
    fn control_and_invisible_characters_are_escaped() {
        assert_eq!(printable("a\u{1b}[31mb\n").to_string(), "a\\u{1b}[31mb\\u{a}");
        assert_eq!(printable("key.pem\u{200b}").to_string(), "key.pem\\u{200b}");
        assert_eq!(printable("\u{202e}gpj").to_string(), "\\u{202e}gpj");
        assert_eq!(printable("Zürich 東京 1").to_string(), "Zürich 東京 1");
        assert_eq!(printable_bytes(b"a\xffb"), "a\\xffb");
    }
}
