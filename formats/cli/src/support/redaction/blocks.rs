//! Blocks such as `-----BEGIN PRIVATE KEY-----`, also in a log, where each line has a time before it,
//! and where the start or the end may be cut off.

use std::ops::Range;

/// Lines that a block may have: an RSA key of 16384 bits has 200.
const MOST: usize = 250;

/// A block, and the text before it in its first line.
pub(super) struct PrivateBlock<'a> {
    pub(super) lines: Range<usize>,
    pub(super) before: &'a str,
}

/// Finds the blocks of keys, identities and sealed files, in order; they do not overlap.
pub(super) fn find<'a>(lines: &[&'a str]) -> Vec<PrivateBlock<'a>> {
    let mut found: Vec<PrivateBlock<'a>> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let free = found.last().map_or(0, |block| block.lines.end);
        if at < free {
            continue;
        }
        if let Some(begin) = mark(line, "BEGIN") {
            let length = length(lines.get(at..).unwrap_or_default());
            let before = line.get(..begin).unwrap_or_default();
            found.push(PrivateBlock { lines: at..at + length, before });
        } else if mark(line, "END").is_some() {
            // its start is before this text
            let body = body(lines.get(free..at).unwrap_or_default().iter().rev());
            found.push(PrivateBlock { lines: at - body..at + 1, before: "" });
        }
    }
    found
}

/// Lines of the block that begins with the first: up to its end, or as far as they look like one.
fn length(lines: &[&str]) -> usize {
    let after = lines.iter().skip(1).take(MOST);
    let is_mark = |line: &&str| mark(line, "BEGIN").is_some() || mark(line, "END").is_some();
    if lines.first().is_some_and(|line| mark(line, "END").is_some()) {
        return 1;
    }
    match after.clone().position(is_mark) {
        Some(at) if lines.get(at + 1).is_some_and(|line| mark(line, "END").is_some()) => at + 2,
        _ => 1 + body(after),
    }
}

/// Lines of base64, all full but the one at the end, or of the head of an encrypted key.
fn body<'a>(lines: impl Iterator<Item = &'a &'a str>) -> usize {
    let mut has_short = false;
    let is_body = |line: &&&str| {
        let word = line.rsplit(' ').next().unwrap_or_default();
        let is_base64 =
            word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        let is_head = ["Proc-Type:", "DEK-Info:"].iter().any(|name| line.contains(name));
        let is_short = word.len() < 60;
        let fits =
            is_head || (is_base64 && (!is_short || (word.len().is_multiple_of(4) && !has_short)));
        has_short |= is_short && !is_head && !word.is_empty();
        fits
    };
    lines.take_while(is_body).count()
}

/// Position of `BEGIN` or `END`, with the hyphens before it, where a private block is named behind
/// it.
fn mark(line: &str, word: &str) -> Option<usize> {
    let upper = line.to_ascii_uppercase();
    upper.match_indices(word).find_map(|(at, _)| {
        let (before, rest) = upper.split_at(at);
        let names = rest.get(word.len()..)?.chars().take(40).collect::<String>();
        let is_private = ["PRIVATE", "ENCRYPTED", "SECRET"].iter().any(|kind| names.contains(kind));
        let dashes = before.trim_end_matches('-').len();
        (is_private && before.len() - dashes >= 2).then_some(dashes)
    })
}
