//! The text form that Prometheus' node exporter collects from a folder (its "textfile
//! collector"; prometheus.io, "Exposition formats").

use std::fmt::{Display, Write as _};

use formats::text::printable;

use crate::say::monitoring::Level;

/// Meaning of the numbers of a state.
pub const STATES: &str = "0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN";

/// A file of gauges under construction.
#[derive(Debug, Default)]
pub struct Textfile(String);

impl Textfile {
    /// Adds a gauge: its labels, as [`label`] makes them, and its values.
    pub fn gauge<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in samples {
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    /// Text of the whole file.
    pub fn text(&self) -> &str {
        &self.0
    }
}

/// Formats `name="value"`; control characters in the value are made visible before it is escaped.
pub fn label(name: &str, value: &str) -> String {
    let value = printable(value).to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("{name}=\"{value}\"")
}

/// Number of a state, as in [`STATES`].
pub fn number(level: Level) -> u8 {
    level.exit().code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_a_label() {
        assert_eq!(label("device", "a\"} 1\nb"), "device=\"a\\\"} 1\\\\u{a}b\"");
    }

    #[test]
    fn a_gauge_has_its_help_its_type_and_its_samples() {
        let mut file = Textfile::default();
        file.gauge("a", "What.", [(label("of", "x"), 1), (String::new(), 2)]);
        assert_eq!(file.text(), "# HELP a What.\n# TYPE a gauge\na{of=\"x\"} 1\na 2\n");
    }
}
