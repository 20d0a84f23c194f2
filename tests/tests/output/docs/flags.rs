//! `docs/flags.md` is what the programs define. `SNAPSHOTS=overwrite` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::root;
use crate::output::golden::is_as_in;

const PAGE: &str = "docs/flags.md";
const HEAD: &str = "\
# Commands and flags

A test writes this page from the programs' own definitions (`SNAPSHOTS=overwrite`) and fails when it differs.
`--help` of each command says the same and has examples; so have the manual pages. [operate.md](operate.md)
says what the flags are good for. `--version` stands without a command.
";

/// Both programs, with the flags of every command handed down to each.
fn programs() -> [clap::Command; 2] {
    [builder::command(), installer::command()].map(|mut program| {
        program.build();
        program
    })
}

/// The words of each command that does something, without the program's.
fn leaves(program: &clap::Command) -> Vec<(String, &clap::Command)> {
    let own = program.get_subcommands().filter(|command| command.get_name() != "help");
    own.flat_map(|command| {
        let name = command.get_name().to_owned();
        match leaves(command) {
            below if below.is_empty() => vec![(name, command)],
            below => {
                below.into_iter().map(|(word, leaf)| (format!("{name} {word}"), leaf)).collect()
            }
        }
    })
    .collect()
}

/// The flags of both programs.
pub(super) fn known() -> BTreeSet<String> {
    let all = programs();
    let commands = all.iter().flat_map(leaves).map(|(_, command)| command).chain(&all);
    let named = commands.flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_long);
    named.map(|name| format!("--{name}")).collect()
}

/// `--recipient R`, `-r`
fn spelling(arg: &clap::Arg) -> Option<String> {
    let mut text = format!("`--{}", arg.get_long()?);
    if arg.get_action().takes_values() {
        let value = arg.get_value_names().map_or(String::new(), |names| names.join(" "));
        let is_optional = arg.get_num_args().is_some_and(|number| number.min_values() == 0);
        let _ = if is_optional { write!(text, " [{value}]") } else { write!(text, " {value}") };
    }
    text.push('`');
    if let Some(short) = arg.get_short() {
        let _ = write!(text, ", `-{short}`");
    }
    Some(text)
}

fn meaning(command: &clap::Command, arg: &clap::Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let mut text = help.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.ends_with('.') && !text.ends_with("..") {
        text.pop();
    }
    if matches!(arg.get_action(), clap::ArgAction::Append) && !text.contains("repeated") {
        text.push_str("; may be repeated");
    }
    let default: Vec<_> = arg.get_default_values().iter().map(|value| value.display()).collect();
    if let ([default], true) = (&default[..], arg.get_action().takes_values()) {
        let _ = write!(text, " [default: {default}]");
    }
    let others = command.get_arg_conflicts_with(arg).into_iter().filter_map(clap::Arg::get_long);
    let others: BTreeSet<_> = others.map(|name| format!("`--{name}`")).collect();
    if !others.is_empty() {
        let _ = write!(text, ". Not with {}", others.into_iter().collect::<Vec<_>>().join(", "));
    }
    text
}

fn row(cells: &[&str]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// A table of commands, and one of their flags, by name.
fn section(program: &clap::Command) -> String {
    let mut text = format!("\n## {}\n\n| command | |\n|---|---|\n", program.get_name());
    let leaves = leaves(program);
    let mut flags: BTreeMap<(String, String), BTreeMap<String, Vec<&str>>> = BTreeMap::new();
    for (name, command) in &leaves {
        let words = command.get_positionals().filter_map(|arg| {
            let value = arg.get_value_names()?.join(" ");
            let several = arg.get_num_args().is_some_and(|number| number.max_values() > 1);
            let word = format!("{value}{}", if several { "…" } else { "" });
            Some(if arg.is_required_set() { word } else { format!("[{word}]") })
        });
        let usage: Vec<_> = std::iter::once(name.clone()).chain(words).collect();
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&row(&[&format!("`{}`", usage.join(" ")), &about]));
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let Some(spelling) = spelling(arg) else { continue };
            let key = (arg.get_long().unwrap_or_default().to_owned(), spelling);
            flags.entry(key).or_default().entry(meaning(command, arg)).or_default().push(name);
        }
    }
    text.push_str("\n| flag | of | |\n|---|---|---|\n");
    for ((_, spelling), meanings) in &flags {
        let of: Vec<_> = meanings.values().map(|of| of.join(", ")).collect();
        let (of, meaning) = match (&of[..], meanings.keys().next()) {
            ([_], Some(meaning)) if meanings.values().all(|of| of.len() == leaves.len()) => {
                ("all".to_owned(), meaning.clone())
            }
            ([of], Some(meaning)) => (of.clone(), meaning.clone()),
            _ => {
                let each =
                    of.iter().zip(meanings.keys()).map(|(of, says)| format!("*{of}*: {says}"));
                (of.join("; "), each.collect::<Vec<_>>().join("<br>"))
            }
        };
        text.push_str(&row(&[spelling, &of, &meaning]));
    }
    text
}

#[test]
fn the_page_of_flags_is_what_the_programs_define() {
    let page = programs().iter().fold(HEAD.to_owned(), |page, program| page + &section(program));
    assert!(page.contains("| `--recipient R`, `-r` | plan, build, handoff |"), "{page}");
    is_as_in(&root().join(PAGE), &page);
}

/// The commands in a help text's examples: two blanks in, further lines six.
fn examples(help: &str) -> Vec<String> {
    let help = help.replace("\\\n      ", " ");
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty());
    lines.filter(|line| !line.starts_with("   ")).map(|line| line.trim().to_owned()).collect()
}

/// The words of a program's own call in what is typed at a shell.
fn own_words(typed: &str) -> Vec<String> {
    let call = typed.strip_prefix("source <(").map_or(typed, |call| call.trim_end_matches(')'));
    let call = [" > ", " < ", " | "]
        .iter()
        .fold(call, |call, mark| call.split_once(mark).map_or(call, |(before, _)| before));
    let quoted = call.split('\'').enumerate();
    let words = quoted.flat_map(|(at, piece)| match at % 2 {
        0 => piece.split_whitespace().map(str::to_owned).collect(),
        _ => vec![piece.to_owned()],
    });
    words.collect()
}

#[test]
fn every_example_in_the_help_is_a_command_line_that_the_program_takes() {
    let mut tried = 0;
    for program in programs() {
        let name = program.get_name().to_owned();
        let all = leaves(&program).into_iter().map(|(_, command)| command).chain([&program]);
        let help = all.filter_map(clap::Command::get_after_long_help).map(ToString::to_string);
        for typed in help.flat_map(|help| examples(&help)) {
            let words = own_words(&typed);
            assert_eq!(words.first(), Some(&name), "{typed}");
            let parsed = program.clone().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{typed}: {}", parsed.unwrap_err());
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
    let typed = "sftunnel-bundle plan --nonsense | less";
    assert!(builder::command().try_get_matches_from(own_words(typed)).is_err());
}
