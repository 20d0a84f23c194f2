//! Completions for bash, zsh and fish.

use clap::ValueEnum;
use clap_complete::shells;
use serde::Serialize;

use crate::say::report::Report;
use crate::say::terminal::Terminal;

/// Shells with a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shell {
    /// bash.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

impl Shell {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// Name of the file that this shell expects for `program`, below a folder of its own.
    pub fn file(self, program: &str) -> String {
        match self {
            Self::Bash => format!("bash/{program}.bash"),
            Self::Zsh => format!("zsh/_{program}"),
            Self::Fish => format!("fish/{program}.fish"),
        }
    }
}

/// Arguments of `completion`.
#[derive(Debug, clap::Args)]
pub struct CompletionArgs {
    /// bash, zsh or fish.
    #[arg(value_name = "SHELL", hide_possible_values = true)]
    pub shell: Shell,
}

/// The JSON of `completion`.
#[derive(Debug, Serialize)]
struct CompletionReport<'a> {
    /// The shell that reads it.
    shell: Shell,
    /// The completion, for that shell to read.
    script: &'a str,
}

/// Runs `completion` of the program that `command` defines.
pub fn run(args: &CompletionArgs, mut command: clap::Command, terminal: &Terminal) -> Report {
    let script = script(&mut command, args.shell);
    let report = CompletionReport { shell: args.shell, script: &script };
    Report::for_terminal(terminal, &report, script.clone())
}

/// Makes the completion of the program that `command` defines.
pub fn script(command: &mut clap::Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    match shell {
        // clap_complete (4.6) writes the hyphen of a program's name in two ways, and then offers
        // nothing after a command: it gets a name without one, put right in the `complete` line
        Shell::Bash => {
            let plain = name.replace('-', "_");
            clap_complete::generate(shells::Bash, command, &plain, &mut script);
            let script = String::from_utf8_lossy(&script);
            return script.replace(&format!(" {plain}\n"), &format!(" {name}\n"));
        }
        Shell::Zsh => clap_complete::generate(shells::Zsh, command, &name, &mut script),
        Shell::Fish => clap_complete::generate(shells::Fish, command, &name, &mut script),
    }
    String::from_utf8_lossy(&script).into_owned()
}
