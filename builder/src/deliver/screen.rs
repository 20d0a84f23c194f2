//! What a terminal has shown, as lines of plain text. Pure.
//!
//! The far side is not trusted: control sequences are taken out, and the memory for what it shows
//! is bounded.

use std::collections::VecDeque;

use anstream::adapter::StripBytes;

/// Lines that are kept; a login banner may have two thousand, of which the last matter.
const LINES: usize = 512;
/// Bytes of a line that are kept.
const LINE: usize = 8 * 1024;

/// The lines that were shown, the last of them unfinished.
#[derive(Debug, Default)]
pub(super) struct Screen {
    strip: StripBytes,
    lines: VecDeque<String>,
    /// Number of finished lines, with those that are no longer kept.
    finished: usize,
    /// Number of bytes shown so far.
    bytes: usize,
    tail: Vec<u8>,
    /// A carriage return was shown last: a line feed ends the line, else it is drawn anew.
    returned: bool,
}

impl Screen {
    /// Adds bytes as they came. Returns the lines that they finished.
    pub(super) fn show(&mut self, bytes: &[u8]) -> Vec<String> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        let plain: Vec<u8> = self.strip.strip_next(bytes).flatten().copied().collect();
        let mut finished = Vec::new();
        for byte in plain {
            match byte {
                b'\n' => {
                    self.returned = false;
                    let line =
                        String::from_utf8_lossy(&std::mem::take(&mut self.tail)).into_owned();
                    finished.push(line.clone());
                    self.lines.push_back(line);
                    self.finished += 1;
                    if self.lines.len() > LINES {
                        self.lines.pop_front();
                    }
                }
                b'\r' => self.returned = true,
                byte => {
                    if std::mem::take(&mut self.returned) {
                        self.tail.clear();
                    }
                    if self.tail.len() < LINE {
                        self.tail.push(byte);
                    }
                }
            }
        }
        finished
    }

    /// The unfinished line, where a prompt stands.
    pub(super) fn tail(&self) -> String {
        String::from_utf8_lossy(&self.tail).trim().to_owned()
    }

    /// Number of bytes shown so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of lines finished so far: a mark for [`Screen::since`].
    pub(super) fn mark(&self) -> usize {
        self.finished
    }

    /// The finished lines after a mark, as far as they are kept.
    pub(super) fn since(&self, mark: usize) -> impl Iterator<Item = &str> {
        let first = self.finished - self.lines.len();
        self.lines.iter().skip(mark.saturating_sub(first)).map(String::as_str)
    }

    /// The last few lines that are not empty, with the unfinished one.
    pub(super) fn last_lines(&self, number: usize) -> Vec<String> {
        let tail = self.tail();
        let lines = self.lines.iter().map(String::as_str).chain([tail.as_str()]);
        let lines: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
        let first = lines.len().saturating_sub(number);
        lines.into_iter().skip(first).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_redrawn_lines_leave_the_text() {
        let mut screen = Screen::default();
        screen.show(b"\x1b[1;31mbanner\x1b[0m\r\n\x1b]0;title\x07> exp\r> expert");
        assert_eq!(screen.since(0).collect::<Vec<_>>(), ["banner"]);
        assert_eq!(screen.tail(), "> expert");
        // a sequence that is cut between two reads
        screen.show(b"\r\n\x1b[3");
        screen.show(b"2madmin@ftd:~$ ");
        assert_eq!(screen.tail(), "admin@ftd:~$");
    }

    #[test]
    fn a_far_side_that_never_stops_takes_no_memory() {
        let mut screen = Screen::default();
        for _ in 0..5_000 {
            screen.show(b"line\n");
            screen.show(&[b'x'; 100]);
        }
        let mark = screen.mark();
        assert_eq!(screen.lines.len(), LINES);
        screen.show(b"\nnew\n");
        assert_eq!(screen.since(mark + 1).collect::<Vec<_>>(), ["new"]);
        assert!(screen.show(&vec![b'y'; 1024 * 1024]).is_empty());
        assert!(screen.tail().len() <= LINE);
    }
}
