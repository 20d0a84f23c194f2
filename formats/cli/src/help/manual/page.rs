//! A manual page, written as roff or as plain text.

use super::examples::Example;
use crate::say::page::wrap;

/// A piece of a section.
#[derive(Debug)]
pub(super) enum Block {
    /// How the command is typed.
    Synopsis(String),
    /// Prose; words in backticks are shown bold.
    Paragraph(String),
    /// Heading below that of the section.
    Heading(String),
    /// A flag, file or code, and its meaning in paragraphs.
    Item(String, String),
    /// A command that can be copied.
    Example(Example),
}

/// A page.
#[derive(Debug)]
pub(super) struct ManualPage {
    /// Such as `sftunnel-install-status`.
    pub(super) name: String,
    about: String,
    /// Program and version.
    source: String,
    sections: Vec<(&'static str, Vec<Block>)>,
}

impl ManualPage {
    pub(super) fn new(name: String, about: String, source: String) -> Self {
        Self { name, about, source, sections: Vec::new() }
    }

    /// Adds a section; an empty one is left out.
    pub(super) fn section(&mut self, title: &'static str, blocks: Vec<Block>) {
        if !blocks.is_empty() {
            self.sections.push((title, blocks));
        }
    }

    /// The source for `man`.
    pub(super) fn roff(&self) -> String {
        let title = self.name.to_uppercase();
        let mut text = format!(".TH \"{title}\" 1 \"\" \"{}\" \"sftunnel-airgap\"\n", self.source)
            .replace('-', "\\-");
        // without hyphens at line ends, which would be copied with a command
        text.push_str(".nh\n.ad l\n.SH NAME\n");
        text.push_str(&format!("{} \\- {}\n", prose(&self.name), prose(&self.about)));
        for (title, blocks) in &self.sections {
            text.push_str(&format!(".SH {title}\n"));
            for (at, block) in blocks.iter().enumerate() {
                if at > 0 && matches!(block, Block::Paragraph(_) | Block::Example(_)) {
                    text.push_str(".PP\n");
                }
                roff(&mut text, block);
            }
        }
        text
    }

    /// Plain text for a terminal.
    pub(super) fn plain(&self) -> String {
        let mut text = "NAME\n".to_owned();
        text.push_str(&wrap("    ", 8, &format!("{} - {}", self.name, self.about)));
        for (title, blocks) in &self.sections {
            text.push_str(&format!("\n{title}\n"));
            for (at, block) in blocks.iter().enumerate() {
                if at > 0 {
                    text.push('\n');
                }
                plain(&mut text, block);
            }
        }
        text
    }
}

fn roff(text: &mut String, block: &Block) {
    match block {
        Block::Synopsis(usage) => text.push_str(&format!("\\fB{}\\fR\n", escaped(usage))),
        Block::Paragraph(said) => text.push_str(&format!("{}\n", line(said))),
        Block::Heading(heading) => text.push_str(&format!(".SS \"{}\"\n", escaped(heading))),
        Block::Item(tag, said) => {
            let said: Vec<_> = said.split("\n\n").map(line).collect();
            text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", escaped(tag), said.join("\n.sp\n")));
        }
        Block::Example(Example { command, says }) => {
            // further out, as they are long, and a line that is broken cannot be copied
            let command = escaped(command);
            text.push_str(&format!(".nf\n.in 2n\n\\fB{command}\\fR\n.in\n.fi\n"));
            if !says.is_empty() {
                text.push_str(&format!(".RS 1\n{}\n.RE\n", line(says)));
            }
        }
    }
}

fn plain(text: &mut String, block: &Block) {
    match block {
        Block::Synopsis(said) | Block::Paragraph(said) => text.push_str(&wrap("    ", 4, said)),
        Block::Heading(heading) => text.push_str(&format!("  {heading}\n")),
        Block::Item(tag, said) => {
            text.push_str(&format!("    {tag}\n"));
            said.split("\n\n").for_each(|said| text.push_str(&wrap("        ", 8, said)));
        }
        Block::Example(Example { command, says }) => {
            text.push_str(&format!("    {}\n", command.replace('\n', "\n    ")));
            if !says.is_empty() {
                text.push_str(&wrap("        ", 8, says));
            }
        }
    }
}

/// Text that begins a line: one that roff took for a request would be lost.
fn line(text: &str) -> String {
    let text = prose(text);
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// Prose, with what stands in backticks in bold.
fn prose(text: &str) -> String {
    let text = escaped(&text.replace('\n', " "));
    let pieces = text.split('`').enumerate();
    let pieces = pieces.map(|(at, piece)| match at % 2 {
        0 => piece.to_owned(),
        _ => format!("\\fB{piece}\\fR"),
    });
    pieces.collect()
}

/// Hyphens as they are typed, and backslashes as they are.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roff_takes_nothing_for_a_request_of_its_own() {
        let mut page = ManualPage::new("x-y".to_owned(), "does it".to_owned(), "x 1".to_owned());
        page.section("EMPTY", Vec::new());
        let blocks = vec![
            Block::Paragraph(".so /etc/shadow \\n `--to`".to_owned()),
            Block::Item("--to N".to_owned(), "One.\n\n'two".to_owned()),
        ];
        page.section("OPTIONS", blocks);
        let expected = ".TH \"X\\-Y\" 1 \"\" \"x 1\" \"sftunnel\\-airgap\"\n.nh\n.ad l\n.SH NAME\n\
                        x\\-y \\- does it\n.SH OPTIONS\n\
                        \\&.so /etc/shadow \\en \\fB\\-\\-to\\fR\n\
                        .TP\n\\fB\\-\\-to N\\fR\nOne.\n.sp\n\\&'two\n";
        assert_eq!(page.roff(), expected);
        assert!(page.plain().contains("OPTIONS\n    .so /etc/shadow \\n `--to`\n"));
    }
}
