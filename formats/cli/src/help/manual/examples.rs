//! The examples behind a command's help, taken apart: commands with what each does, then remarks.

/// A command to type, and what it does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// Lines of the command; all but the last end with a backslash.
    pub(super) command: String,
    /// What it does; may be empty.
    pub(super) says: String,
}

/// What stands behind a command's flags.
#[derive(Debug, Default)]
pub(super) struct Help {
    pub(super) examples: Vec<Example>,
    /// Paragraphs behind them.
    pub(super) remarks: Vec<String>,
    /// Those on exit codes.
    pub(super) exits: Vec<String>,
}

/// Takes the text behind `Examples:` apart. Commands stand two blanks in, what they do six; after a
/// blank line come remarks; that on `--help` is for the screen only.
pub(super) fn split(text: &str) -> Help {
    let mut help = Help::default();
    for paragraph in text.split("\n\n") {
        if let Some(lines) = paragraph.strip_prefix("Examples:\n") {
            lines.lines().for_each(|line| add(&mut help.examples, line));
        } else if paragraph.starts_with("Exit codes") {
            help.exits.push(joined(paragraph));
        } else if !paragraph.is_empty() && !paragraph.contains("COMMAND --help") {
            help.remarks.push(joined(paragraph));
        }
    }
    help
}

fn add(examples: &mut Vec<Example>, line: &str) {
    let is_indented = line.starts_with("      ");
    match examples.last_mut() {
        Some(last) if is_indented && last.command.ends_with('\\') => {
            last.command.push_str(&format!("\n    {}", line.trim()));
        }
        Some(last) if is_indented => {
            let gap = if last.says.is_empty() { "" } else { " " };
            last.says.push_str(&format!("{gap}{}", line.trim()));
        }
        _ => examples.push(Example { command: line.trim().to_owned(), says: String::new() }),
    }
}

fn joined(paragraph: &str) -> String {
    paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_keep_their_lines_and_prose_does_not() {
        let text = "Examples:\n  x add \\\n      key.pem\n  x go\n      goes on,\n      and ends\n\n\
                    A remark\nof two lines.\n\nExit codes: 0 done.";
        let Help { examples, remarks, exits } = split(text);
        let example = |command: &str, says: &str| Example {
            command: command.to_owned(),
            says: says.to_owned(),
        };
        let expected = [example("x add \\\n    key.pem", ""), example("x go", "goes on, and ends")];
        assert_eq!(examples, expected);
        assert_eq!(remarks, ["A remark of two lines."]);
        assert_eq!(exits, ["Exit codes: 0 done."]);
    }
}
