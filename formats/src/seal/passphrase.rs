//! Passphrases, and the different ways in which people write the same one.
//!
//! A kit is sealed with the canonical spelling. Whoever opens it may have heard the passphrase on
//! the phone, typed it on another system or copied it from a chat, so characters that nobody sees
//! or says do not count. Kits made before this rule were sealed with the text as typed, so that is
//! tried as well; each try costs an scrypt, so none is made twice.

use std::fmt;

use age::secrecy::{ExposeSecret, SecretString};
use unicode_normalization::char::{canonical_combining_class, compose, decompose_canonical};
use zeroize::Zeroizing;

use crate::decode::{is_unseen, tidy};

/// Number of words in a generated passphrase; each holds 16 bits.
pub const WORDS: usize = 6;
/// Number of letters in a word: consonant, vowel, consonant, vowel, consonant.
const LETTERS: usize = 5;
const CONSONANTS: &[u8; 16] = b"bdfghjklmnprstvz";
const VOWELS: &[u8; 4] = b"aiou";

/// A passphrase; never shown, wiped when dropped.
#[derive(Clone)]
pub struct Passphrase(pub(super) SecretString);

impl Passphrase {
    /// Wraps a text that was typed or read.
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// Generates six words of five lower-case letters, 96 bits: the proquints of arXiv:0901.4016,
    /// which can be said over the phone so that a slip is heard.
    pub fn generated(random: &[u8; WORDS * 2]) -> Self {
        let words =
            random.as_chunks::<2>().0.iter().map(|pair| proquint(u16::from_be_bytes(*pair)));
        Self::new(words.collect::<Vec<_>>().join("-"))
    }

    /// Length in characters.
    pub fn chars(&self) -> usize {
        self.expose().chars().count()
    }

    /// The text, for the one place that shows a generated passphrase, once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// First invisible character within the passphrase; those at its ends do not count.
    pub fn unseen(&self) -> Option<char> {
        self.inner().chars().find(|c| is_unseen(*c) || c.is_whitespace() && *c != ' ')
    }

    /// The text without blanks and invisible characters at its ends.
    pub fn inner(&self) -> &str {
        self.expose().trim_matches(|c: char| c.is_whitespace() || is_unseen(c))
    }

    /// Returns true if it has the form of [`Self::generated`], in any spelling.
    pub fn is_generated(&self) -> bool {
        generated_form(self.expose()).is_some()
    }

    /// The spelling that a kit is sealed with: a generated one in lower case with hyphens, any
    /// other composed (Unicode NFC), without blanks and invisible characters at its ends.
    pub fn canonical(&self) -> Self {
        Self::new(match generated_form(self.expose()) {
            Some(generated) => generated.to_string(),
            None => text_of(&composed(&decomposed(&tidy(self.expose())))),
        })
    }

    /// Spellings to try, without duplicates: [`Self::canonical`], as typed, and decomposed (NFD, as
    /// macOS may pass it).
    pub fn spellings(&self) -> Vec<Self> {
        let canonical = self.canonical();
        let decomposed = Self::new(text_of(&decomposed(canonical.expose())));
        let mut spellings = vec![canonical];
        for other in [self.clone(), decomposed] {
            if spellings.iter().all(|known| known.expose() != other.expose()) {
                spellings.push(other);
            }
        }
        spellings
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

/// Decomposes `text` (Unicode Normalization Form D, UAX #15).
fn decomposed(text: &str) -> Zeroizing<Vec<char>> {
    // capacity for all of it, at most four for each character: a buffer that grows leaves copies
    let mut chars = Zeroizing::new(Vec::with_capacity(text.len() * 4));
    let class = canonical_combining_class;
    for c in text.chars() {
        decompose_canonical(c, |part| {
            let is_after = |before: &&char| class(part) == 0 || class(**before) <= class(part);
            let behind = chars.iter().rev().take_while(|before| !is_after(before)).count();
            let at = chars.len() - behind;
            chars.insert(at, part);
        });
    }
    chars
}

/// Composes a decomposed text (Normalization Form C from Form D).
fn composed(chars: &[char]) -> Zeroizing<Vec<char>> {
    let mut composed = Zeroizing::new(Vec::<char>::with_capacity(chars.len()));
    // the last character that others combine with, and the class of the one after it
    let (mut starter, mut last) = (None, 0);
    for c in chars {
        let class = canonical_combining_class(*c);
        if let Some(starter) = starter.and_then(|at: usize| composed.get_mut(at))
            && (last == 0 || last < class)
            && let Some(both) = compose(*starter, *c)
        {
            *starter = both;
            continue;
        }
        if class == 0 {
            starter = Some(composed.len());
        }
        last = class;
        composed.push(*c);
    }
    composed
}

fn text_of(chars: &[char]) -> String {
    let mut text = String::with_capacity(chars.len() * 4);
    text.extend(chars);
    text
}

fn proquint(bits: u16) -> String {
    let letter = |letters: &[u8], shift: u16| {
        let at = usize::from(bits >> shift) & (letters.len() - 1);
        letters.get(at).map_or('?', |byte| char::from(*byte))
    };
    [
        letter(CONSONANTS, 12),
        letter(VOWELS, 10),
        letter(CONSONANTS, 6),
        letter(VOWELS, 4),
        letter(CONSONANTS, 0),
    ]
    .iter()
    .collect()
}

/// Restores a generated passphrase from text in any case, with or without characters between its
/// letters that are no letters or digits. A zero may stand for an o, a one for an l or i; the
/// position tells which. Nobody makes up six such words.
fn generated_form(text: &str) -> Option<Zeroizing<String>> {
    let mut words = Zeroizing::new(String::with_capacity(WORDS * (LETTERS + 1)));
    let mut letters = 0;
    for c in text.chars().filter(|c| c.is_alphanumeric()) {
        let is_consonant = (letters % LETTERS).is_multiple_of(2);
        let kind: &[u8] = if is_consonant { CONSONANTS } else { VOWELS };
        let c = match (c.to_ascii_lowercase(), is_consonant) {
            ('0', false) => 'o',
            ('1' | 'i', true) => 'l',
            ('1' | 'l', false) => 'i',
            (c, _) => c,
        };
        if letters == WORDS * LETTERS || !kind.iter().any(|letter| char::from(*letter) == c) {
            return None;
        }
        if letters > 0 && letters % LETTERS == 0 {
            words.push('-');
        }
        words.push(c);
        letters += 1;
    }
    (letters == WORDS * LETTERS).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spellings(text: &str) -> Vec<String> {
        let all = Passphrase::new(text.to_owned()).spellings();
        all.iter().map(|one| one.expose().to_owned()).collect()
    }

    #[test]
    fn proquints_are_those_of_the_paper() {
        // 127.0.0.1 is lusab-babad there
        assert_eq!((proquint(0x7f00).as_str(), proquint(0x0001).as_str()), ("lusab", "babad"));
    }

    #[test]
    fn a_generated_passphrase_is_known_however_it_is_said() {
        let generated = Passphrase::generated(b"\x7f\0\0\x01sixwords");
        let shown = generated.expose();
        assert_eq!(shown.len(), WORDS * 6 - 1);
        assert_eq!(spellings(shown), [shown], "one try");
        let words: Vec<&str> = shown.split('-').collect();
        for written in [
            words.concat(),
            words.join(" "),
            shown.to_uppercase(),
            format!("  {}\t", words.join("  ").to_uppercase()),
            words.join(" - "),
            words.join("\u{2011}"),
            words.join("\u{a0}"),
            words.concat().chars().map(|c| format!("{c} ")).collect(),
            format!("{}-\n{}", words[..3].join("-"), words[3..].join("-")),
            shown.replace('o', "0").replace(['l', 'i'], "1"),
            shown.to_uppercase().replace('L', "I"),
        ] {
            assert_eq!(spellings(&written), [shown, &written], "as generated, then as typed");
        }
        for other in [&words[1..].join("-"), &format!("{shown}-babad"), &shown.replace('u', "e")] {
            assert_eq!(spellings(other), [other.as_str()]);
        }
    }

    #[test]
    fn composed_and_decomposed_are_the_same_and_blanks_around_do_not_count() {
        assert_eq!(spellings("correct horse 42"), ["correct horse 42"]);
        assert_eq!(spellings("Gr\u{fc}n"), ["Gr\u{fc}n", "Gru\u{308}n"]);
        assert_eq!(spellings("Gru\u{308}n"), ["Gr\u{fc}n", "Gru\u{308}n"]);
        assert_eq!(spellings("secret \r"), ["secret", "secret \r"]);
        assert_eq!(
            spellings("\u{feff}se\u{200b}cret\u{a0}x"),
            ["secret x", "\u{feff}se\u{200b}cret\u{a0}x"]
        );
    }

    /// Compares with the crate's own normalisation, of which the product uses single characters
    /// only.
    #[test]
    fn normalization_is_that_of_unicode() {
        use unicode_normalization::UnicodeNormalization;
        let marks = ["", "\u{301}", "\u{323}\u{302}", "\u{302}\u{323}", "\u{345}\u{5b0}\u{301}"];
        for c in ('\0'..='\u{3100}').chain('\u{ac00}'..='\u{ac80}').chain('\u{1d000}'..='\u{1d200}')
        {
            for mark in marks {
                for text in
                    [format!("{c}{mark}"), format!("a{mark}{c}{mark}x"), format!("{c}{c}{mark}")]
                {
                    let nfd = decomposed(&text);
                    assert_eq!(text_of(&nfd), text.nfd().collect::<String>(), "{text:?}");
                    assert_eq!(
                        text_of(&composed(&nfd)),
                        text.nfc().collect::<String>(),
                        "{text:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_character_that_nobody_sees_is_found_inside_only() {
        let unseen = |text: &str| Passphrase::new(text.to_owned()).unseen();
        for fine in ["secret", " two words\t\r", "\u{feff}grün", "\u{a0}x\u{200b}", ""] {
            assert_eq!(unseen(fine), None, "{fine:?}");
        }
        for c in ['\u{200b}', '\u{a0}', '\t', '\u{1b}', '\u{7f}', '\u{ad}', '\u{202e}', '\u{3000}']
        {
            assert_eq!(unseen(&format!("a{c}b")), Some(c));
        }
    }
}
