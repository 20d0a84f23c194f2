//! Removes what may be a secret from text on its way out: private keys, identities, passphrases.
//!
//! By form, not by source: people paste keys into wrong windows, and logs keep what was pasted. A
//! word too many that is removed costs a question on the phone, a key that stays costs a network.

mod blocks;
mod words;

use std::fmt::Write as _;

/// Characters of a line; a log's have less. Each find has the rest of its line searched again, and a
/// line of megabytes must not take minutes.
const LINE: usize = 4096;

/// Whose words a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// Of these programs: digests and fingerprints stay.
    Ours,
    /// Of others, such as a log: nothing that has the form of a key stays.
    Foreign,
}

/// Text without secrets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Redacted {
    /// The text, with `[removed: …]` for what it held.
    pub(super) text: String,
    /// How often something was removed.
    pub(super) removed: usize,
}

/// Removes what may be a secret.
pub(super) fn redacted(text: &str, voice: Voice) -> Redacted {
    let lines: Vec<&str> = text.lines().collect();
    let mut result = Redacted::default();
    let mut at = 0;
    for block in blocks::find(&lines) {
        for line in lines.get(at..block.lines.start).unwrap_or_default() {
            result.line(line, voice);
        }
        result.line(block.before, voice);
        result.text.pop();
        let _ =
            writeln!(result.text, "[removed: {} line(s) of a private block]", block.lines.len());
        result.removed += 1;
        at = block.lines.end;
    }
    for line in lines.get(at..).unwrap_or_default() {
        result.line(line, voice);
    }
    result
}

impl Redacted {
    fn line(&mut self, line: &str, voice: Voice) {
        let kept = line.char_indices().nth(LINE).map_or(line.len(), |(at, _)| at);
        let (mut rest, left_out) = line.split_at(kept);
        while let Some(found) = words::first(rest, voice) {
            let (before, from) = rest.split_at(found.start);
            let (_, after) = from.split_at(found.end - found.start);
            self.text.push_str(before);
            let _ = write!(self.text, "[removed: {}]", found.what);
            self.removed += 1;
            rest = after;
        }
        self.text.push_str(rest);
        if !left_out.is_empty() {
            let _ = write!(self.text, "[left out: {} bytes]", left_out.len());
        }
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests;
