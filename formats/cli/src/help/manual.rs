//! Manual pages: roff for `man`, or plain text at a terminal, where a box may have no `man`.

mod examples;
mod page;

use std::io::{self, IsTerminal};

use clap::{Arg, Command};
use formats::text::printable;
use serde::Serialize;

use self::examples::Help;
use self::page::{Block, ManualPage};
use crate::say::failure::Failure;
use crate::say::report::Report;
use crate::say::terminal::Terminal;
use crate::say::version;

/// A word or path, and what it means.
pub type FactRow = (&'static str, &'static str);

/// Sections that a program's definitions do not hold.
#[derive(Debug)]
pub struct ManualFacts {
    /// Exit codes of the program.
    pub exit_codes: &'static [FactRow],
    /// Commands that end as monitoring plugins do, with the words that lead to it.
    pub plugins: &'static [FactRow],
    /// Files that it reads or writes on its own.
    pub files: &'static [FactRow],
    /// Pages of others, such as `age(1)`.
    pub see_also: &'static [&'static str],
}

/// Exit codes of a monitoring plugin.
const PLUGIN_CODES: [FactRow; 4] = [
    ("0", "OK."),
    ("1", "WARNING."),
    ("2", "CRITICAL."),
    ("3", "UNKNOWN; also for a wrong command line."),
];

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// The command; without one, the program's own page.
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// The JSON of `man`.
#[derive(Debug, Serialize)]
struct ManReport {
    /// Name of the page.
    page: String,
    /// Its source, for `man -l`.
    roff: String,
}

/// Runs `man` of the program that `command` defines.
///
/// # Errors
/// Returns a usage error for a command that the program does not have.
pub fn run(
    args: &ManArgs,
    command: Command,
    facts: &ManualFacts,
    terminal: &Terminal,
) -> Result<Report, Failure> {
    let name = command.get_name().to_owned();
    let page = page_of(command, &args.command, facts).ok_or_else(|| {
        let words = args.command.join(" ");
        Failure::usage(format!("there is no command '{}'", printable(&words)))
            .hint(format!("`{name} -h` lists the commands"))
    })?;
    let text = if io::stdout().is_terminal() { page.plain() } else { page.roff() };
    let report = ManReport { page: page.name.clone(), roff: page.roff() };
    Ok(Report::for_terminal(terminal, &report, text))
}

/// Makes all pages of a program: their names and their sources.
pub fn all(mut program: Command, facts: &ManualFacts) -> Vec<(String, String)> {
    program.build();
    let mut found = vec![(Vec::new(), &program)];
    let mut next = 0;
    while let Some((words, command)) = found.get(next).cloned() {
        found.extend(below(command).map(|command| {
            let name = command.get_name().to_owned();
            ([&words[..], &[name]].concat(), command)
        }));
        next += 1;
    }
    let page = |(words, command): (Vec<String>, _)| page(&program, &words, command, facts);
    found.into_iter().map(page).map(|page| (page.name.clone(), page.roff())).collect()
}

/// Makes the page of one command; `None` when the program has no such command.
fn page_of(mut program: Command, words: &[String], facts: &ManualFacts) -> Option<ManualPage> {
    program.build();
    let mut command = &program;
    for word in words {
        command = below(command).find(|command| command.get_name() == word)?;
    }
    Some(page(&program, words, command, facts))
}

/// Commands of a command, without `help`, which clap adds.
fn below(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| command.get_name() != "help")
}

fn page(program: &Command, words: &[String], command: &Command, facts: &ManualFacts) -> ManualPage {
    let program_name = program.get_name();
    let name = [&[program_name.to_owned()], words].concat().join("-");
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let source = format!("{program_name} {}", version::VERSION);
    let mut page = ManualPage::new(name, about.trim_end_matches('.').to_owned(), source);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    page.section("SYNOPSIS", vec![Block::Synopsis(usage.to_owned())]);
    let after = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let Help { examples, remarks, exits } = examples::split(&after);
    let long = command.get_long_about().or(command.get_about());
    let long = long.map(ToString::to_string).unwrap_or_default();
    let description = long.split("\n\n").map(str::to_owned).chain(remarks);
    page.section("DESCRIPTION", description.map(Block::Paragraph).collect());
    let commands = below(command).map(|command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        Block::Item(command.get_name().to_owned(), about)
    });
    page.section("COMMANDS", commands.collect());
    page.section("OPTIONS", options(command));
    page.section("EXAMPLES", examples.into_iter().map(Block::Example).collect());
    page.section("EXIT STATUS", exit_status(words, exits, facts));
    let item = |(word, means): &FactRow| Block::Item((*word).to_owned(), (*means).to_owned());
    page.section("FILES", facts.files.iter().map(item).collect());
    page.section("SEE ALSO", vec![Block::Paragraph(see_also(program_name, words, command, facts))]);
    page
}

fn exit_status(words: &[String], exits: Vec<String>, facts: &ManualFacts) -> Vec<Block> {
    let item = |(word, means): &FactRow| Block::Item((*word).to_owned(), (*means).to_owned());
    let mut blocks: Vec<_> = facts.exit_codes.iter().map(item).collect();
    for (command, when) in facts.plugins {
        if words == [*command] {
            blocks.push(Block::Paragraph((*when).to_owned()));
            blocks.extend(PLUGIN_CODES.iter().map(item));
        }
    }
    if !words.is_empty() {
        blocks.extend(exits.into_iter().map(Block::Paragraph));
    }
    blocks
}

/// The page above, those below, and those of others.
fn see_also(program: &str, words: &[String], command: &Command, facts: &ManualFacts) -> String {
    let name =
        |words: &[String]| format!("{}(1)", [&[program.to_owned()], words].concat().join("-"));
    let above = words.split_last().map(|(_, above)| name(above));
    let below =
        below(command).map(|command| name(&[words, &[command.get_name().to_owned()]].concat()));
    let others = facts.see_also.iter().map(|page| (*page).to_owned());
    above.into_iter().chain(below).chain(others).collect::<Vec<_>>().join(", ")
}

/// Positional arguments, then flags under their headings.
fn options(command: &Command) -> Vec<Block> {
    let shown = || command.get_arguments().filter(|arg| !arg.is_hide_set());
    let mut blocks: Vec<_> = shown().filter(|arg| arg.is_positional()).map(item).collect();
    let mut headings: Vec<Option<&str>> = vec![None];
    for heading in shown().map(Arg::get_help_heading) {
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    for heading in headings {
        let of_it = |arg: &&Arg| !arg.is_positional() && arg.get_help_heading() == heading;
        let items: Vec<_> = shown().filter(of_it).map(item).collect();
        if let (Some(heading), false) = (heading, items.is_empty()) {
            blocks.push(Block::Heading(heading.to_owned()));
        }
        blocks.extend(items);
    }
    blocks
}

fn item(arg: &Arg) -> Block {
    let help = arg.get_long_help().or(arg.get_help());
    let mut help = help.map(ToString::to_string).unwrap_or_default();
    if help.ends_with(|c: char| c.is_alphanumeric() || "'`)".contains(c)) {
        help.push('.');
    }
    if arg.get_action().takes_values() {
        let values: Vec<_> = arg.get_default_values().iter().map(|value| value.display()).collect();
        if let [value] = &values[..]
            && !value.to_string().is_empty()
        {
            help.push_str(&format!(" [default: {value}]"));
        }
    }
    Block::Item(spelling(arg), help)
}

/// `-i, --identity FILE`, `--rehearse [HOST]`, `KIT|BUNDLE`.
fn spelling(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names: Vec<_> = short.into_iter().chain(long).collect();
    let mut text = names.join(", ");
    if arg.get_action().takes_values() {
        let value = arg.get_value_names().map_or(String::new(), |names| names.join(" "));
        let is_optional = arg.get_num_args().is_some_and(|number| number.min_values() == 0);
        match (arg.is_positional(), is_optional) {
            (true, _) => text.push_str(&value),
            (false, true) => text.push_str(&format!(" [{value}]")),
            (false, false) => text.push_str(&format!(" {value}")),
        }
    }
    text
}
