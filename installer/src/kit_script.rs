//! The part of a kit's `install.sh` that is done here.
//!
//! The script copies this program to a private directory, compares the copy and is replaced by it
//! (`exec`): no shell stands between terminal and program, so that signals, Ctrl-Z and the exit
//! code are the program's own. Nobody is left to remove the copy then but the program itself.

use std::env;
use std::fs;
use std::path::Path;

use cli::say::exit::Exit;
use cli::say::terminal::say;
use formats::text::shell_quote;

use crate::args::Command;

/// The private directory, which holds this program and nothing else.
const COPY: &str = "SFTUNNEL_INSTALL_COPY";
/// The script, where no `sftunnel-install` is found by its name.
const SCRIPT: &str = "SFTUNNEL_INSTALL_SCRIPT";

/// Removes the copy that this program runs from, when the script says that it is one. What
/// cannot be removed stays: it holds no secret.
pub(crate) fn remove_copy() {
    let (Some(folder), Ok(program)) = (env::var_os(COPY), env::current_exe()) else { return };
    let folder = Path::new(&folder);
    if program.parent() == Some(folder) && fs::remove_file(&program).is_ok() {
        let _ = fs::remove_dir(folder);
    }
}

/// Tells what to type for `sftunnel-install`, where messages speak of it as if it were installed.
pub(crate) fn name_it(command: &Command, exit: Exit) {
    let speaks_of_it = match exit {
        Exit::Done => matches!(command, Command::Status(_)),
        exit => exit != Exit::Usage,
    };
    if let (true, Some(script)) = (speaks_of_it, env::var_os(SCRIPT)) {
        say(&format!("install.sh: {}\n", how_to_type(&script.to_string_lossy())));
    }
}

/// A path is shown only in plain characters, as what is typed has to be the same.
fn how_to_type(script: &str) -> String {
    if script.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        format!("type sh {} for sftunnel-install", shell_quote(script))
    } else {
        "in the kit's folder, type sh install.sh for sftunnel-install".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_is_one_word_for_a_shell_or_not_shown() {
        let odd = "/mnt/kit'; touch pwned; '/install.sh";
        let shown = how_to_type(odd);
        let word = shown.strip_prefix("type sh ").unwrap().strip_suffix(" for sftunnel-install");
        let script = format!("printf %s {}", word.unwrap());
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), odd);
        for foreign in ["/mnt/\u{1b}]0;x\u{7}/install.sh", "/mnt/b\u{fc}ro/install.sh", "/a\nb"] {
            assert!(!how_to_type(foreign).contains(foreign), "{foreign:?}");
        }
    }
}
