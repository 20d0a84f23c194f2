//! Text that people wrote or copied, on whatever machine.
//!
//! Passphrases, recipient maps, status logs and pasted bundles pass through editors, mail programs
//! and terminals. Those add a byte order mark, write UTF-16 (`>` in Windows PowerShell, "Unicode
//! text" in Excel), change line ends, and leave invisible characters. All readers of such text
//! begin here. Signed or binary content does not pass through here first: to that, a byte more is
//! damage.

use zeroize::Zeroizing;

/// Reasons why bytes are not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// Neither UTF-8 nor UTF-16: usually an 8-bit code page.
    #[error("line {line} is not UTF-8 text, but in an older encoding, such as \"ANSI\"")]
    Encoding {
        /// Line number, counted from 1.
        line: usize,
    },
    /// UTF-16 that is cut off, or to which UTF-8 was added.
    #[error("is UTF-16 text, but cut, or joined with text that is not")]
    Utf16,
    /// Zero bytes that no encoding of text explains.
    #[error("is not text: it holds zero bytes")]
    Binary,
}

impl NotText {
    /// Hint that helps with all of them.
    pub const HINT: &str = "save it as UTF-8: in Notepad choose that encoding, in Excel \"CSV UTF-8\", in PowerShell `Set-Content -Encoding utf8`";
}

/// Decodes UTF-8 and UTF-16, with or without byte order marks. All line ends become `\n`.
///
/// # Errors
/// See [`NotText`].
pub fn text(bytes: &[u8]) -> Result<Zeroizing<String>, NotText> {
    let text = match Charset::of(bytes) {
        Charset::Utf8 => {
            let text = std::str::from_utf8(bytes).map_err(|error| {
                let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
                NotText::Encoding { line: lossy(before).split('\n').count() }
            })?;
            with_plain_line_ends(text.chars(), text.len())
        }
        Charset::Utf16(order) => {
            let text = utf16(bytes, order);
            if bytes.len() % 2 == 1 || text.contains(char::REPLACEMENT_CHARACTER) {
                return Err(NotText::Utf16);
            }
            text
        }
    };
    if text.contains('\0') { Err(NotText::Binary) } else { Ok(text) }
}

/// Like [`text`], for input without secrets; undecodable bytes become U+FFFD.
pub fn lossy(bytes: &[u8]) -> String {
    let text = match Charset::of(bytes) {
        Charset::Utf8 => with_plain_line_ends(String::from_utf8_lossy(bytes).chars(), bytes.len()),
        Charset::Utf16(order) => utf16(bytes, order),
    };
    text.to_string()
}

/// Recognised character encodings.
enum Charset {
    Utf8,
    Utf16(fn([u8; 2]) -> u16),
}

impl Charset {
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0xff, 0xfe, ..] => return Self::Utf16(u16::from_le_bytes),
            [0xfe, 0xff, ..] => return Self::Utf16(u16::from_be_bytes),
            _ => {}
        }
        // without a mark: most characters have one zero byte, and always the same one
        let pairs = bytes.as_chunks::<2>().0;
        let high = pairs.iter().filter(|[high, _]| *high == 0).count();
        let low = pairs.iter().filter(|[_, low]| *low == 0).count();
        match (high, low) {
            (0, low) if low * 2 > pairs.len() => Self::Utf16(u16::from_le_bytes),
            (high, 0) if high * 2 > pairs.len() => Self::Utf16(u16::from_be_bytes),
            _ => Self::Utf8,
        }
    }
}

fn utf16(bytes: &[u8], order: fn([u8; 2]) -> u16) -> Zeroizing<String> {
    let units = bytes.as_chunks::<2>().0.iter().map(|unit| order(*unit));
    let chars = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER));
    with_plain_line_ends(chars, bytes.len() / 2 * 3)
}

/// Drops byte order marks at the beginning and turns CR, CR LF and CR CR LF (two transfers in text
/// mode) into LF. `capacity` has to suffice for all: a buffer that grows leaves copies behind.
fn with_plain_line_ends(chars: impl Iterator<Item = char>, capacity: usize) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    let mut returns = 0;
    for c in chars.skip_while(|c| *c == MARK) {
        match c {
            '\r' => returns += 1,
            c => {
                let ends = if c == '\n' { 0 } else { returns };
                text.extend(std::iter::repeat_n('\n', ends));
                text.push(c);
                returns = 0;
            }
        }
    }
    text.extend(std::iter::repeat_n('\n', returns));
    text
}

const MARK: char = '\u{feff}';

/// Returns true for characters that take no space on a screen or move their neighbours: control and
/// zero-width characters, marks of direction, fillers.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Removes invisible characters and surrounding blanks from `line`, and turns blanks of any kind
/// (tab, non-breaking, ideographic) into plain ones.
pub fn tidy(line: &str) -> Zeroizing<String> {
    let mut tidy = Zeroizing::new(String::with_capacity(line.len()));
    for c in line.trim_matches(is_no_ink).chars() {
        match c {
            c if c.is_whitespace() => tidy.push(' '),
            c if is_unseen(c) => {}
            c => tidy.push(c),
        }
    }
    tidy
}

fn is_no_ink(c: char) -> bool {
    c.is_whitespace() || is_unseen(c)
}

/// Like [`tidy`], for a value without quote marks or separators of its own, such as a key or a
/// fingerprint: also removes quote marks around it, a mail's `>` before it and a comma after it.
pub fn bare(line: &str) -> Zeroizing<String> {
    let around = |c: char| {
        matches!(c, ' ' | '"' | '\'' | '`' | ',' | ';' | '<' | '>' | '|')
            || matches!(c, '\u{2018}'..='\u{201f}' | '«' | '»' | '‹' | '›' | '＂')
    };
    Zeroizing::new(tidy(line).trim_matches(around).to_owned())
}

/// Returns the entries, made [`bare`], of a file that has one a line and comments after `#`, each
/// with its line number counted from 1. An entry that a mail program broke into several lines is
/// joined again: lines are added until the result is `whole`.
pub fn entries(text: &str, whole: impl Fn(&str) -> bool) -> Vec<(usize, Zeroizing<String>)> {
    let mut entries: Vec<(usize, Zeroizing<String>)> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = bare(line);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(parts) = parts(&line, &whole).filter(|_| !whole(&line)) {
            entries.extend(parts.into_iter().map(|part| (at + 1, part)));
            continue;
        }
        match entries.last_mut() {
            Some((_, last)) if !whole(&line) && !whole(last) => {
                *last = Zeroizing::new([last.as_str(), line.as_str()].concat());
            }
            _ => entries.push((at + 1, line)),
        }
    }
    entries
}

/// Returns the entries of a line that holds several, or one with a list mark before it or a comment
/// after it. Nothing else may stand there: other words could say that a key is no longer valid.
fn parts(line: &str, whole: impl Fn(&str) -> bool) -> Option<Vec<Zeroizing<String>>> {
    let is_mark = |word: &str| {
        let digits = word.trim_end_matches(['.', ')']);
        let is_number = digits.len() < word.len() && digits.chars().all(|c| c.is_ascii_digit());
        is_number || matches!(word, "-" | "*" | "+" | "\u{2022}" | "\u{b7}" | "\u{2013}")
    };
    let keys = line.split(" #").next()?;
    let mut words = keys.split([' ', ',', ';']).filter(|word| !word.is_empty()).peekable();
    let _mark = words.next_if(|word| is_mark(word));
    let parts: Vec<_> = words.map(bare).collect();
    (!parts.is_empty() && parts.iter().all(|part| whole(part))).then_some(parts)
}

#[cfg(test)]
mod tests {
    use regex_syntax::hir::{Class, HirKind};

    use super::*;

    fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn every_encoding_and_line_end_gives_the_same_text() {
        let plain = "one\n\n zwei \u{e9}\u{1f511}\n";
        for ends in ["\n", "\r\n", "\r", "\r\r\n"] {
            let written = plain.replace('\n', ends);
            for mark in ["", "\u{feff}"] {
                let marked = format!("{mark}{written}");
                for bytes in [
                    marked.clone().into_bytes(),
                    utf16(&marked, u16::to_le_bytes),
                    utf16(&marked, u16::to_be_bytes),
                ] {
                    assert_eq!(text(&bytes).unwrap().as_str(), plain, "{bytes:x?}");
                    assert_eq!(lossy(&bytes), plain);
                }
            }
        }
        assert_eq!(text(b"").unwrap().as_str(), "");
        assert_eq!(text(b"a").unwrap().as_str(), "a");
    }

    #[test]
    fn what_is_not_text_says_why() {
        assert_eq!(text(b"a\r\nb\xfc"), Err(NotText::Encoding { line: 2 }));
        let mut joined = utf16("\u{feff}abc", u16::to_le_bytes);
        joined.extend(b"d\n\n");
        assert_eq!(text(&joined), Err(NotText::Utf16));
        assert_eq!(text(b"\xff\xfea\0b"), Err(NotText::Utf16));
        assert_eq!(text(b"\xff\xfe\x00\xd8a\0"), Err(NotText::Utf16));
        assert_eq!(text(b"\x7fELF\x02\0\0\0\0\0"), Err(NotText::Binary));
        assert_eq!(lossy(b"a\xfc\xff"), "a\u{fffd}\u{fffd}");
    }

    #[test]
    fn unseen_characters_go_and_blanks_are_plain() {
        let line = "\u{feff} \u{a0}a\u{200b}b\tc\u{3000}d\u{ad} \u{2003}\u{85}";
        assert_eq!(tidy(line).as_str(), "ab c d");
        assert_eq!(tidy("\u{a0}").as_str(), "");
        for c in "aZ9 é東-\u{301}".chars() {
            assert!(!is_unseen(c), "{c}");
        }
    }

    /// Checked against Unicode's own table rather than a list of ours.
    #[test]
    fn everything_that_unicode_calls_ignorable_is_unseen() {
        let hir = regex_syntax::parse(r"[\p{Default_Ignorable_Code_Point}\p{Cc}]").unwrap();
        let HirKind::Class(Class::Unicode(class)) = hir.into_kind() else { panic!("a class") };
        let all = class.ranges().iter().flat_map(|range| range.start()..=range.end());
        let shown: Vec<u32> = all.filter(|c| !is_unseen(*c)).map(u32::from).collect();
        assert!(shown.is_empty(), "{shown:x?}");
    }

    #[test]
    fn an_entry_in_several_lines_is_one() {
        let text = "# c\n'whole'\nwh\n\n> ol\n# c\n> e\nwhole,\nwrong\nwrong\nwhole";
        let found = entries(text, |entry| entry == "whole");
        let found: Vec<_> = found.iter().map(|(line, entry)| (*line, entry.as_str())).collect();
        let [one, two, three, four] = [(2, "whole"), (3, "whole"), (8, "whole"), (11, "whole")];
        assert_eq!(found, [one, two, three, (9, "wrongwrong"), four]);
    }

    #[test]
    fn a_line_may_hold_several_entries_or_be_one_of_a_list() {
        let whole = |entry: &str| matches!(entry, "k1" | "k2");
        let all = |text: &str| -> Vec<String> {
            entries(text, whole).iter().map(|(_, entry)| entry.to_string()).collect()
        };
        for text in [
            "k1 k2",
            "k1,k2",
            "\"k1\"; \"k2\";",
            "- k1\n- k2",
            "1. k1\n2) k2",
            "* k1 # a\n\u{2022}\tk2",
        ] {
            assert_eq!(all(text), ["k1", "k2"], "{text}");
        }
        for text in ["revoked: k1", "k1 is no longer used", "- old k1", "-", "# k1"] {
            assert!(!all(text).iter().any(|entry| whole(entry)), "{text}");
        }
    }

    #[test]
    fn what_stands_around_a_key_goes() {
        for line in
            ["\"age1x\"", "“age1x”,", "> age1x", " 'age1x' ;", "«age1x»", "`age1x`", "\t>> age1x\r"]
        {
            assert_eq!(bare(line).as_str(), "age1x", "{line}");
        }
        assert_eq!(bare("ssh-rsa AAAA me").as_str(), "ssh-rsa AAAA me");
    }
}
