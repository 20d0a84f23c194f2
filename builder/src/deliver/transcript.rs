//! What was shown and typed at one device, for people: sanitised, and without secrets.

use std::fs::File;
use std::io::Write as _;

use cli::say::terminal::Terminal;
use formats::text::printable;
use zeroize::Zeroizing;

/// The file of one device's transcript, if there is one.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    file: Option<File>,
    /// Texts that are left out where a far side shows them after all.
    secrets: Vec<Zeroizing<String>>,
    /// What is shown is left out for now.
    is_paused: bool,
}

impl Transcript {
    /// Makes a transcript that goes to a new file.
    pub(super) fn to(file: Option<File>) -> Self {
        Self { file, ..Self::default() }
    }

    /// Leaves this text out from now on.
    pub(super) fn never_show(&mut self, secret: &str) {
        if !self.secrets.iter().any(|known| known.as_str() == secret) {
            self.secrets.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// A line that the far side showed.
    pub(super) fn shown(&mut self, line: &str) {
        if !self.is_paused && !line.trim().is_empty() {
            self.write("  ", line);
        }
    }

    /// Leaves out what the far side shows, or takes it in again.
    pub(super) fn record(&mut self, wanted: bool) {
        if !wanted {
            self.note("(encoded output left out)");
        }
        self.is_paused = !wanted;
    }

    /// A line that was typed.
    pub(super) fn typed(&mut self, line: &str) {
        self.write("> ", line);
    }

    /// A remark of ours.
    pub(super) fn note(&mut self, text: &str) {
        self.write("# ", text);
    }

    fn write(&mut self, mark: &str, text: &str) {
        let Some(file) = &mut self.file else { return };
        let mut text = Zeroizing::new(text.trim_end().to_owned());
        for secret in &self.secrets {
            if !secret.is_empty() && text.contains(secret.as_str()) {
                text = Zeroizing::new(text.replace(secret.as_str(), "(left out)"));
            }
        }
        // a transcript is a record for people: nothing is undone because it has no room
        let _ = writeln!(file, "{mark}{}", printable(&text));
    }
}

/// Names a step of a device's visit to the person at the terminal.
pub(super) fn tell(terminal: &Terminal, device: &str, step: &str) {
    terminal.note(&format!("{device}: {step}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_comes_back_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t");
        let mut transcript = Transcript::to(Some(File::create(&path).unwrap()));
        transcript.typed("expert");
        transcript.never_show("hunter2-hunter2");
        transcript.shown("you typed hunter2-hunter2\u{1b}[2J");
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text, "> expert\n  you typed (left out)\\u{1b}[2J\n");
    }
}
