//! Words that may be a secret, by their form.

use super::Voice;

/// A place in a line, and what seems to stand there.
pub(super) struct SecretWord {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) what: &'static str,
}

/// Finds the first one.
pub(super) fn first(line: &str, voice: Voice) -> Option<SecretWord> {
    let rules = [identity, told, base64, generated, hex_groups];
    let found = rules.iter().filter_map(|rule| rule(line, voice));
    found.min_by_key(|found| found.start)
}

/// `AGE-SECRET-KEY-1…`, up to the end of the word.
fn identity(line: &str, _: Voice) -> Option<SecretWord> {
    let upper = line.to_ascii_uppercase();
    let start =
        ["AGE-SECRET-KEY", "AGE-PLUGIN-"].iter().filter_map(|name| upper.find(name)).min()?;
    let rest = upper.get(start..)?;
    let length =
        rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(rest.len());
    Some(SecretWord { start, end: start + length, what: "an age identity" })
}

/// `passphrase: …`, `password=…`, up to the end of the line.
fn told(line: &str, _: Voice) -> Option<SecretWord> {
    let lower = line.to_ascii_lowercase();
    let names = ["passphrase", "password", "passwd", "secret"];
    let ends =
        names.iter().flat_map(|name| lower.match_indices(name).map(|(at, found)| at + found.len()));
    let starts = ends.filter_map(|end| {
        let rest = lower.get(end..)?.trim_start_matches(['"', '\'', ' ']);
        let value = rest.strip_prefix([':', '=']).or_else(|| rest.strip_prefix("is "))?;
        let value = value.trim_start();
        (!value.is_empty()).then_some(lower.len() - value.len())
    });
    let start = starts.min()?;
    Some(SecretWord { start, end: line.len(), what: "what follows this word" })
}

/// A line of a key, in base64 or in hex.
fn base64(line: &str, voice: Voice) -> Option<SecretWord> {
    let in_run = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    runs(line, in_run).find_map(|(start, run)| {
        let what = match run {
            run if is_fingerprint(line, start, run) => return None,
            run if run.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                // a digest has 64 digits
                let least = if voice == Voice::Ours { 65 } else { 48 };
                (run.len() >= least).then_some("hex digits")?
            }
            run if is_path(run) => return None,
            run if run.len() >= 48 || (run.len() >= 20 && is_mixed(run)) => "base64",
            _ => return None,
        };
        Some(SecretWord { start, end: start + run.len(), what })
    })
}

/// Stretches of such bytes, with their starts.
fn runs(line: &str, is_in: impl Fn(u8) -> bool) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = line.as_bytes().get(at..)?;
        let start = at + rest.iter().position(|byte| is_in(*byte))?;
        let length = line.as_bytes().get(start..)?.iter().take_while(|byte| is_in(**byte)).count();
        at = start + length;
        Some((start, line.get(start..at)?))
    })
}

/// `SHA256:` and 43 characters: public.
fn is_fingerprint(line: &str, start: usize, run: &str) -> bool {
    run.len() == 43 && line.get(..start).is_some_and(|before| before.ends_with("SHA256:"))
}

fn is_mixed(run: &str) -> bool {
    let has = |is: fn(&u8) -> bool| run.as_bytes().iter().any(is);
    has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit)
}

/// `/mnt/USB1/kits`: shorter than a line of a key, in short parts.
fn is_path(run: &str) -> bool {
    let parts = run.split('/');
    let is_way = run.starts_with('/') || parts.clone().count() > 4;
    is_way && run.len() < 60 && parts.clone().all(|part| part.len() <= 20)
}

/// Four or more words of the form of a generated passphrase: `lanuf-vohuf-bivom-…`.
fn generated(line: &str, _: Voice) -> Option<SecretWord> {
    let words = runs(line, |byte| byte.is_ascii_alphabetic());
    let words = words.map(|(start, word)| (start, word, is_generated(word)));
    let (start, end) = chain(words, 4 * 5)?;
    Some(SecretWord { start, end, what: "a passphrase" })
}

/// Consonant and vowel by turns, as `formats::seal` makes them.
fn is_generated(word: &str) -> bool {
    let is_vowel = |byte: u8| b"aeiouAEIOU".contains(&byte);
    word.len() == 5 && word.bytes().enumerate().all(|(at, byte)| is_vowel(byte) == (at % 2 == 1))
}

/// `00:c3:5f:…` and `4d49 4945 …`, as tools show bytes. A MAC address has 12 digits, and the groups
/// of an IPv6 address have colons and four.
fn hex_groups(line: &str, voice: Voice) -> Option<SecretWord> {
    if voice == Voice::Ours {
        return None;
    }
    let is_group = |start: usize, group: &str| {
        let mark = start.checked_sub(1).and_then(|at| line.as_bytes().get(at));
        let is_length = group.len() == 2 || (group.len() == 4 && mark != Some(&b':'));
        is_length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let groups = runs(line, |byte| byte.is_ascii_alphanumeric());
    let (start, end) = chain(groups.map(|(at, run)| (at, run, is_group(at, run))), 24)?;
    Some(SecretWord { start, end, what: "hex digits" })
}

/// The first words that fit and follow each other, one character apart, and have so many characters
/// or more together.
fn chain<'a>(
    words: impl Iterator<Item = (usize, &'a str, bool)>,
    least: usize,
) -> Option<(usize, usize)> {
    // start, end, characters of the words so far
    let mut begun: Option<(usize, usize, usize)> = None;
    for (start, word, fits) in words {
        let end = start + word.len();
        begun = match begun {
            Some((first, last, length)) if fits && start == last + 1 => {
                Some((first, end, length + word.len()))
            }
            Some((.., length)) if length >= least => break,
            _ => fits.then_some((start, end, word.len())),
        };
    }
    begun.filter(|(.., length)| *length >= least).map(|(start, end, _)| (start, end))
}
