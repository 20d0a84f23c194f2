//! The end of a log, and the lines in it that concern something.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::Voice;
use super::redaction::redacted;
use crate::disk::root::Root;

/// Bytes of a log that are looked at, from its end.
const LOOKED_AT: u64 = 4 * 1024 * 1024;

/// The last `most` lines of a log in which `word` stands; with an empty word, of all.
///
/// # Errors
/// Says why the log cannot be read.
pub fn last_lines(
    root: &Root,
    path: &str,
    word: &str,
    most: usize,
    voice: Voice,
) -> Result<String, String> {
    let shown = root.outside(path).display().to_string();
    let bytes = match root.open_file(Path::new(path)).and_then(end_of) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(format!("{shown}: there is none"));
        }
        read => read.map_err(|error| format!("{shown}: {error}"))?,
    };
    // before lines are left out: a key is known by its first line and its last
    let text = redacted(&String::from_utf8_lossy(&bytes), voice).text;
    let lines: Vec<&str> = text.lines().filter(|line| has(line, word)).collect();
    let left_out = lines.len().saturating_sub(most);
    let last = lines.get(left_out..).unwrap_or_default();
    let what = if word.is_empty() { String::new() } else { format!(" with '{word}'") };
    let head = format!("{shown}: the last {} line(s){what}\n", last.len());
    Ok(head + &last.join("\n"))
}

fn has(line: &str, word: &str) -> bool {
    word.is_empty() || line.to_ascii_lowercase().contains(word) || line.contains("[removed: ")
}

fn end_of(mut file: File) -> io::Result<Vec<u8>> {
    let passed = file.metadata()?.len().saturating_sub(LOOKED_AT);
    file.seek(SeekFrom::Start(passed))?;
    let mut bytes = Vec::new();
    file.take(LOOKED_AT).read_to_end(&mut bytes)?;
    if passed > 0 {
        // the rest of a line may be that of a key, too short to be known by its form
        let line = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..line);
    }
    Ok(bytes)
}
