//! The page that a command prints for a person: fields, notes, tables, next steps.
//!
//! Prose is wrapped to the terminal, or to 80 columns without one. Names in a table are cut only if
//! the terminal is too narrow for them; nothing is cut in a pipe.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{stderr, stdout};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use formats::text::printable;
use rustix::termios::tcgetwinsize;
use unicode_width::UnicodeWidthStr;

/// Columns of a serial console, and of prose in a pipe.
const COLUMNS: usize = 80;
/// Most columns of prose; longer lines are hard to read.
const MOST_COLUMNS: usize = 100;
const LEAST_COLUMNS: usize = 40;
/// Columns of the label in a [`Page::field`].
const LABEL: usize = 10;

/// A page under construction. Its methods sanitise text that they call foreign.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Adds text unchanged, with its line ends.
    pub fn push(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// Adds a label and its sanitised text, whose further lines are indented alike.
    pub fn field(&mut self, label: &str, text: &str) {
        self.push(&wrap(&format!("{label:LABEL$}"), LABEL, text));
    }

    /// Adds foreign text after `start`; further lines are indented alike.
    pub fn note(&mut self, start: &str, foreign: &str) {
        self.push(&wrapped(start, &printable(foreign).to_string()));
    }

    /// Adds each line of foreign text after `start`, such as the steps of a hint.
    pub fn notes(&mut self, start: &str, foreign: &str) {
        foreign.lines().for_each(|line| self.note(start, line));
    }

    /// Adds the numbered list of next steps, if there are any.
    pub fn next(&mut self, steps: &[String]) {
        if !steps.is_empty() {
            self.push("\nNext\n");
        }
        for (at, step) in steps.iter().enumerate() {
            let step: Vec<_> = step.lines().collect();
            self.note(&format!("  {}. ", at + 1), &step.join("; "));
        }
    }

    /// The finished text.
    pub fn text(self) -> String {
        self.0
    }
}

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_str(text)
    }
}

/// Wraps `text` to lines as wide as its words and the terminal allow, each with its line end.
/// `first` precedes the first line, `indent` blanks the others.
pub fn wrap(first: &str, indent: usize, text: &str) -> String {
    wrap_to(prose_columns(), first, indent, &plain_errors(text))
}

/// Like [`wrap`], with all lines indented as far as the first one's text.
pub fn wrapped(first: &str, text: &str) -> String {
    wrap(first, columns(first), text)
}

/// True if messages keep the numbers of the system's errors.
static HAS_ERROR_NUMBERS: AtomicBool = AtomicBool::new(false);

/// Keeps the numbers of the system's errors from here on, as `--verbose` does.
pub(super) fn keep_error_numbers() {
    HAS_ERROR_NUMBERS.store(true, Ordering::Relaxed);
}

/// True if tables are not fitted to the terminal.
static IS_WHOLE: AtomicBool = AtomicBool::new(false);

/// Shows names in tables whole from here on, also on a narrow terminal.
pub(super) fn cut_nothing() {
    IS_WHOLE.store(true, Ordering::Relaxed);
}

/// Drops each ` (os error 2)`: the words before it say the same. JSON keeps them.
pub(super) fn plain_errors(text: &str) -> Cow<'_, str> {
    match HAS_ERROR_NUMBERS.load(Ordering::Relaxed) {
        true => Cow::Borrowed(text),
        false => without_error_numbers(text),
    }
}

fn without_error_numbers(text: &str) -> Cow<'_, str> {
    const START: &str = " (os error ";
    let mut parts = text.split(START);
    let first = parts.next().unwrap_or_default();
    if first.len() == text.len() {
        return Cow::Borrowed(text);
    }
    let mut plain = first.to_owned();
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        match part.get(digits..).and_then(|rest| rest.strip_prefix(')')) {
            Some(rest) if digits > 0 => plain.push_str(rest),
            _ => plain.extend([START, part]),
        }
    }
    Cow::Owned(plain)
}

fn wrap_to(width: usize, first: &str, indent: usize, text: &str) -> String {
    let indent = " ".repeat(indent);
    let options = textwrap::Options::new(width)
        .initial_indent(first)
        .subsequent_indent(&indent)
        .break_words(false)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    textwrap::fill(text, options) + "\n"
}

fn prose_columns() -> usize {
    static WIDTH: OnceLock<usize> = OnceLock::new();
    *WIDTH.get_or_init(|| {
        let width = terminal_columns(&stdout()).or_else(|| terminal_columns(&stderr()));
        width.map_or(COLUMNS, |width| width.clamp(LEAST_COLUMNS, MOST_COLUMNS))
    })
}

/// Width of the terminal; `None` without one, or if its size is unknown, as on a serial line.
fn terminal_columns(stream: &impl AsFd) -> Option<usize> {
    let size = tcgetwinsize(stream).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Rows of text in aligned columns. Cells hold sanitised text.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    flexible: Vec<usize>,
}

impl Table {
    /// Makes a table with a first row of headings.
    pub fn with_headings(headings: &[&str]) -> Self {
        let headings = headings.iter().map(|text| (*text).to_owned()).collect();
        Self { rows: vec![headings], flexible: Vec::new() }
    }

    /// Names the columns that may be cut if a terminal is too narrow. They must not hold colour.
    #[must_use]
    pub fn flexible(mut self, columns: &[usize]) -> Self {
        self.flexible = columns.to_vec();
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Formats the table: two blanks before each column, none at the end of a line.
    pub fn text(&self) -> String {
        let is_whole = IS_WHOLE.load(Ordering::Relaxed);
        self.fitted(if is_whole { None } else { terminal_columns(&stdout()) })
    }

    fn fitted(&self, limit: Option<usize>) -> String {
        let widths = self.widths(limit);
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let cell = shortened(cell, *width);
                let padding = width.saturating_sub(columns(&cell));
                let _ = write!(line, "  {cell}{:padding$}", "");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    fn widths(&self, limit: Option<usize>) -> Vec<usize> {
        /// Columns that are left of a name that is cut.
        const LEAST: usize = 12;
        let number = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| columns(cell)).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..number).map(width).collect();
        let Some(limit) = limit else { return widths };
        let mut excess = (widths.iter().sum::<usize>() + 2 * number).saturating_sub(limit);
        while excess > 0 {
            let flexible = widths.iter_mut().enumerate();
            let flexible = flexible.filter(|(at, _)| self.flexible.contains(at));
            match flexible.map(|(_, width)| width).max() {
                Some(width) if *width > LEAST => *width -= 1,
                _ => break,
            }
            excess -= 1;
        }
        widths
    }
}

/// Columns that `text` takes at a terminal: two for an East Asian character, none for the sequences
/// of colours.
pub fn columns(text: &str) -> usize {
    let mut pieces = text.split('\u{1b}');
    let plain = pieces.next().unwrap_or_default().width();
    let after = pieces.map(|piece| piece.split_once('m').map_or(0, |(_, rest)| rest.width()));
    plain + after.sum::<usize>()
}

/// Cuts `text` to at most `width` columns, including the dots that mark the cut.
fn shortened(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let mut start = String::new();
    for c in text.chars() {
        start.push(c);
        if start.width() + 3 > width {
            start.pop();
            break;
        }
    }
    format!("{start}...")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_error_is_dropped_and_nothing_else() {
        for (text, expected) in [
            ("/x: No such file (os error 2)", "/x: No such file"),
            ("a (os error 13), b (os error 5); c", "a, b; c"),
            ("a (os error ) b (os error 2", "a (os error ) b (os error 2"),
        ] {
            assert_eq!(without_error_numbers(text), expected);
        }
    }

    /// An East Asian character takes two columns, a combining one none.
    #[test]
    fn columns_align_whatever_the_script() {
        let mut table = Table::default();
        for name in ["台北防火牆一", "Zu\u{308}rich", "x"] {
            table.row([name.to_owned(), "|".to_owned()]);
        }
        assert_eq!(
            table.text(),
            "  台北防火牆一  |\n  Zu\u{308}rich        |\n  x             |\n"
        );
        assert_eq!(columns("\u{1b}[31m台北\u{1b}[0m"), 4);
        assert_eq!(shortened("台北防火牆一", 12), "台北防火牆一");
        for (width, expected) in [(11, "台北防火..."), (10, "台北防..."), (9, "台北防...")]
        {
            assert_eq!(shortened("台北防火牆一", width), expected, "{width}");
        }
        let text = wrap("", 0, &"防火牆 ".repeat(20));
        assert!(text.lines().all(|line| columns(line) <= 80), "{text}");
    }

    #[test]
    fn columns_align_also_with_colour() {
        let mut table = Table::with_headings(&["name", "state"]);
        table.row(["\u{1b}[31mlonger\u{1b}[0m".to_owned(), "x".to_owned()]);
        assert_eq!(table.text(), "  name    state\n  \u{1b}[31mlonger\u{1b}[0m  x\n");
    }

    #[test]
    fn a_narrow_terminal_cuts_names_and_a_pipe_nothing() {
        let mut table = Table::with_headings(&["device", "UUID"]).flexible(&[0]);
        let name = "a-device-with-a-long-name.example";
        table.row([name.to_owned(), "c8d5d5c6".to_owned()]);
        assert!(table.fitted(None).contains(name));
        assert!(table.fitted(Some(80)).contains(name));
        let narrow = table.fitted(Some(30));
        assert_eq!(narrow, "  device              UUID\n  a-device-with-a...  c8d5d5c6\n");
        assert!(narrow.lines().all(|line| columns(line) <= 30), "{narrow}");
        // columns that may not be cut are whole at any width
        assert!(table.fitted(Some(5)).contains("c8d5d5c6"));
    }

    #[test]
    fn prose_goes_on_below_itself() {
        let text = wrap_to(40, "  next: ", 8, &"word ".repeat(30));
        assert!(text.lines().all(|line| line.len() <= 40), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("        word")), "{text}");
        let mut page = Page::default();
        page.next(&["do\nthis\u{1b}".to_owned()]);
        assert_eq!(page.text(), "\nNext\n  1. do; this\\u{1b}\n");
    }
}
