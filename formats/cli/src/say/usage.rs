//! Report of a command line that cannot be parsed: to a person, a script or a monitoring system.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::say::exit::Exit;
use crate::say::failure::Failure;
use crate::say::monitoring::{self, Level};
use crate::say::report::{Envelope, ascii_json, ascii_json_line};

/// Prints clap's error for a command line that cannot be parsed, or its answer to `--help` and
/// `--version`. With `--json` among the arguments a JSON object is printed as well. A monitoring
/// `plugin` ends with UNKNOWN, as [`Exit::Usage`] would mean CRITICAL to a monitoring system.
pub fn usage_error(
    program: &str,
    arguments: &[OsString],
    error: &clap::Error,
    plugin: bool,
) -> ExitCode {
    let exit = match (error.use_stderr(), plugin) {
        // help and version go to standard output and are not errors
        (false, _) => Exit::Done,
        (true, true) => Level::Unknown.exit(),
        (true, false) => Exit::Usage,
    };
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let json_lines = has("--json-lines");
    let json = has("--json") || json_lines;
    if exit != Exit::Done && json {
        let rendered = error.render().to_string();
        let said: Vec<_> =
            rendered.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let message = said.join(" ").trim_start_matches("error: ").to_owned();
        let envelope = Envelope {
            schema: &format!("{program}.usage/1"),
            exit_code: exit.code(),
            reason: None,
            message: Some(&message),
            next: Some("see --help"),
            body: None,
        };
        let json = if json_lines { ascii_json_line(&envelope) } else { ascii_json(&envelope) };
        if let Ok(json) = json {
            let _ = writeln!(io::stdout(), "{}", json.trim_end());
        }
    }
    if plugin && exit != Exit::Done && !json {
        let line = monitoring::unknown_line(&Failure::usage("wrong command line"));
        let _ = io::stdout().write_all(line.as_bytes());
    }
    // a closed pipe is not an error
    let _ = error.print();
    exit.into()
}
