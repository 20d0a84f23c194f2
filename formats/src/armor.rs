//! Content as text between two marks, for consoles and mails: the armor of age, and that of a
//! receipt. Also as people hand it on, with what a terminal or a mail program put around its lines.

use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, PAD};
use base64::engine::{DecodePaddingMode, Engine};
use base64::prelude::BASE64_STANDARD;

use crate::cisco::channels::clean;
use crate::decode;

/// A kind of armor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Armor {
    begin: &'static str,
    end: &'static str,
    columns: usize,
}

/// That of age.
pub const AGE: Armor = Armor {
    begin: "BEGIN AGE ENCRYPTED FILE",
    end: "END AGE ENCRYPTED FILE",
    // age takes no other
    columns: 64,
};

/// That of a receipt.
pub const RECEIPT: Armor =
    Armor { begin: "BEGIN SFTUNNEL RECEIPT", end: "END SFTUNNEL RECEIPT", columns: 76 };

/// Padding is optional: some programs take an `=` at the end of a line for a mark of theirs.
const WITH_OR_WITHOUT_PADDING: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Reasons why a text has no whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A block has no end.
    NoEnd,
    /// A block begins within another.
    TwoBegin,
}

impl Armor {
    /// Returns true for the line that begins a block, whatever stands beside the mark.
    pub fn is_begun_by(self, line: &str) -> bool {
        decode::tidy(line).contains(self.begin)
    }

    /// Returns true for the line that ends a block.
    pub fn is_ended_by(self, line: &str) -> bool {
        decode::tidy(line).contains(self.end)
    }

    /// The text of `bytes`, with its marks.
    pub fn text(self, bytes: &[u8]) -> String {
        let mut text = format!("-----{}-----\n", self.begin);
        for line in BASE64_STANDARD.encode(bytes).as_bytes().chunks(self.columns) {
            text.extend(line.iter().map(|byte| char::from(*byte)));
            text.push('\n');
        }
        text.push_str(&format!("-----{}-----\n", self.end));
        text
    }

    /// The blocks of a text that a person copied, without their marks.
    pub(crate) fn blocks(self, text: &str) -> Result<Vec<Body<'_>>, Cut> {
        let mut blocks = Vec::new();
        let mut rest = text;
        while let Some((_, after)) = rest.split_once(self.begin) {
            let (body, left) = after.split_once(self.end).ok_or(Cut::NoEnd)?;
            if body.contains(self.begin) {
                return Err(Cut::TwoBegin);
            }
            blocks.push(Body(body));
            rest = left;
        }
        Ok(blocks)
    }
}

/// The text between two marks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body<'a>(&'a str);

impl Body<'_> {
    /// The content, without what surrounds its lines (blanks, `>`, quote marks) and however these
    /// are broken, but only if it is base64 throughout.
    pub(crate) fn bytes(self) -> Option<Vec<u8>> {
        // some programs join several dashes into one
        let dashes = |c: char| c == '-' || matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}');
        let mut base64 = String::with_capacity(self.0.len());
        for line in self.0.lines() {
            let line = decode::bare(line);
            let line = line.trim_matches(dashes);
            base64.extend(line.chars().filter(|c| *c != ' '));
        }
        WITH_OR_WITHOUT_PADDING.decode(base64).ok()
    }
}

/// Removes traces of a terminal session from a log: colours, and the prompts of a pager.
pub(crate) fn without_terminal(text: &str) -> String {
    // no line of base64 has a hyphen
    let is_pager = |line: &str| {
        line.contains('-') && line.trim_start_matches(['<', '-', ' ']).starts_with("More")
    };
    let mut kept = String::with_capacity(text.len());
    for line in text.lines().map(clean).filter(|line| !is_pager(line)) {
        kept.push_str(&line);
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_are_known_whatever_stands_beside_them() {
        let line = |before: &str| format!("{before}-----END AGE\u{a0}ENCRYPTED FILE-----\r\n");
        for before in ["", "> ", "\u{feff}", "root@fmc:~# "] {
            assert!(AGE.is_ended_by(&line(before)) && !AGE.is_begun_by(&line(before)), "{before}");
        }
        assert!(!AGE.is_ended_by("-----END CERTIFICATE-----"));
    }

    #[test]
    fn several_blocks_are_told_apart() {
        let text = format!("a\n{}b\n{}c", AGE.text(b"one"), AGE.text(&[7; 100]));
        let blocks = AGE.blocks(&text).unwrap();
        let blocks: Vec<_> = blocks.iter().map(|block| block.bytes().unwrap()).collect();
        assert_eq!(blocks, [b"one".to_vec(), vec![7; 100]]);
        let (cut, _) = text.rsplit_once("END AGE").unwrap();
        assert_eq!(AGE.blocks(cut).unwrap_err(), Cut::NoEnd);
        let lost = text.replacen("END AGE", "", 1);
        assert_eq!(AGE.blocks(&lost).unwrap_err(), Cut::TwoBegin);
        assert!(AGE.blocks("nothing of the kind").unwrap().is_empty());
    }
}
