//! Tables as people save them from a spreadsheet: cells between commas, semicolons (Excel in most
//! of Europe) or tabs ("Unicode text", or copied), in quotes where they need to be.

use crate::decode::tidy;

/// A row that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Line number, counted from 1.
    pub line: usize,
    /// Cells, each passed through [`tidy`]; none when a quote is not closed.
    pub cells: Vec<String>,
}

/// Prefix of a first line by which Excel names the separator.
const SEPARATOR: &str = "sep=";

/// Returns the rows of a text with `\n` line ends, without empty ones and `#` comments. The
/// separator is the one that the file names, or else the one with which most rows satisfy
/// `is_right`.
pub fn rows(text: &str, is_right: impl Fn(&[String]) -> bool) -> Vec<Row> {
    let named = text.lines().next().and_then(|line| {
        let line = tidy(line.trim_end_matches('\t')).trim_matches('"').to_ascii_lowercase();
        line.strip_prefix(SEPARATOR).map(|separator| separator.chars().next().unwrap_or('\t'))
    });
    if let Some(separator) = named {
        return read(text, separator, 1);
    }
    let right = |rows: &[Row]| rows.iter().filter(|row| is_right(&row.cells)).count();
    let mut best = read(text, ',', 0);
    for separator in [';', '\t'] {
        let rows = read(text, separator, 0);
        if right(&rows) > right(&best) {
            best = rows;
        }
    }
    best
}

fn read(text: &str, separator: char, skipped: usize) -> Vec<Row> {
    let lines = text.lines().enumerate().skip(skipped);
    let rows = lines.map(|(at, line)| Row { line: at + 1, cells: cells(line, separator) });
    // a spreadsheet may put quotes around a comment
    let is_comment = |row: &Row| row.cells.first().is_some_and(|cell| cell.starts_with('#'));
    let is_empty = |row: &Row| !row.cells.is_empty() && row.cells.iter().all(String::is_empty);
    rows.filter(|row| !is_comment(row) && !is_empty(row)).collect()
}

fn cells(line: &str, separator: char) -> Vec<String> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let blank = |c: char| c.is_whitespace() && c != separator;
        let (cell, after) = match rest.trim_start_matches(blank).strip_prefix('"') {
            Some(quoted) => {
                let Some((cell, after)) = closed(quoted) else { return Vec::new() };
                (tidy(&cell).to_string(), after.trim_start_matches(blank))
            }
            None => {
                let end = rest.find(separator).unwrap_or(rest.len());
                let (cell, after) = rest.split_at(end);
                (tidy(cell).to_string(), after)
            }
        };
        cells.push(cell);
        match after.strip_prefix(separator) {
            Some(next) => rest = next,
            None if after.is_empty() => return cells,
            None => return Vec::new(),
        }
    }
}

/// Splits `quoted` at the quote that closes it; a doubled quote stands for one in the cell.
fn closed(quoted: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    let mut rest = quoted;
    loop {
        let (part, after) = rest.split_once('"')?;
        cell.push_str(part);
        match after.strip_prefix('"') {
            Some(next) => {
                cell.push('"');
                rest = next;
            }
            None => return Some((cell, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, Vec<String>)> {
        let rows = rows(text, |cells| cells.get(1).is_some_and(|cell| cell.starts_with("key")));
        rows.into_iter().map(|row| (row.line, row.cells)).collect()
    }

    #[test]
    fn the_separator_is_the_one_that_fits_or_is_named() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let expected = [(1, row(&["a", "key 1"])), (2, row(&["b, c; \"d\"", "key 2"]))];
        for text in [
            "a,key 1\n\"b, c; \"\"d\"\"\",key 2",
            "a;key 1\n\"b, c; \"\"d\"\"\";key 2\n",
            "a\tkey 1\n \"b, c; \"\"d\"\"\" \t \"key 2\"\n\n",
            "\u{a0}a ; key 1\u{200b}\n\"b, c; \"\"d\"\"\"\t;key 2\n;\n",
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(read("sep=;\na,b;c\n"), [(2, row(&["a,b", "c"]))]);
        assert_eq!(read("\"SEP=,\"\na;b,c\n"), [(2, row(&["a;b", "c"]))]);
        assert_eq!(read("sep=\t\na;b\tc\n"), [(2, row(&["a;b", "c"]))]);
    }

    #[test]
    fn empty_lines_and_comments_are_passed_over_and_open_quotes_give_no_cells() {
        let found = read("# x\n\n\"# y\"\n,,\na,key,\n\"a,key\n\"a\"b,key\n");
        let found: Vec<_> = found.iter().map(|(line, cells)| (*line, cells.len())).collect();
        assert_eq!(found, [(5, 3), (6, 0), (7, 0)]);
    }
}
