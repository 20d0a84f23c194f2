//! The examples behind a command's help, taken apart: commands with what each does, then remarks.

/// A command to type, and what it does.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// Lines of the command; all but the last end with a backslash.
    pub(super) command: String,
    /// What it does; may be empty.
    pub(super) says: String,
}

/// Takes the text behind `Examples:` apart. Commands stand two blanks in, what they do six; after a
/// blank line come remarks. Those on exit codes and on `--help` have a section of their own.
pub(super) fn split(text: &str) -> (Vec<Example>, Vec<String>) {
    let mut paragraphs = text.split("\n\n");
    let mut remarks = Vec::new();
    let mut examples: Vec<Example> = Vec::new();
    for paragraph in paragraphs.by_ref() {
        match paragraph.strip_prefix("Examples:\n") {
            Some(lines) => lines.lines().for_each(|line| add(&mut examples, line)),
            None if paragraph.starts_with("Exit codes") || paragraph.contains("COMMAND --help") => {
            }
            None if paragraph.is_empty() => {}
            None => remarks.push(joined(paragraph)),
        }
    }
    (examples, remarks)
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
        let (examples, remarks) = split(text);
        let example = |command: &str, says: &str| Example {
            command: command.to_owned(),
            says: says.to_owned(),
        };
        let expected = [example("x add \\\n    key.pem", ""), example("x go", "goes on, and ends")];
        assert_eq!(examples, expected);
        assert_eq!(remarks, ["A remark of two lines."]);
    }
}
