//! `sftunnel-install`: opens its own bundle in a kit, refuses anything doubtful, backs up,
//! replaces three files as one transaction, restarts sftunnel, proves that it came back, or
//! puts everything back. `PROTOCOL.md` beside this crate says how and why.
//!
//! | room | holds |
//! |---|---|
//! | `args`, `commands` | the command line, nothing but parsed; one file for each command |
//! | `candidate` | kits and bundles, opened, vouched for and judged against this box |
//! | `change` | the transaction: backup, stage, journal, swap, undo, recover |
//! | `appliance` | the box: files, state, sftunnel, tunnels |
//! | `wording` | the sentences and next steps of what the rooms refuse |
//!
//! `commands` use `candidate`, that `change`, and that `appliance`; none the other way round.

mod appliance;
mod args;
mod candidate;
mod change;
mod commands;
mod kit_script;
mod wording;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use cli::help::{completion, manual};
use cli::say::failure::Failure;
use cli::say::report::{self, Report};
use cli::say::terminal::Terminal;
use cli::say::usage;
use formats::error::Reason;

use crate::appliance::host::{Host, Told};
pub use crate::args::manual::FACTS as MANUAL;
use crate::args::{Cli, Command, StatusArgs};
use crate::candidate::checks::is_lone_manager;
use crate::commands::Session;
use crate::wording::appliance::IS_A_MANAGER;

const PROGRAM: &str = "sftunnel-install";

/// The command line, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    kit_script::remove_copy();
    cli::process::hardening::protect_process();
    cli::process::hardening::lock_memory();
    cli::process::signals::make_file_size_limit_an_error();
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => Cli { command: cli.command.with_default_kit(), ..cli },
        Err(error) => {
            let has = |word: &str| arguments.iter().any(|argument| argument == word);
            let plugin = has("status") && has("--plugin");
            return usage::usage_error(PROGRAM, &arguments, &error, plugin);
        }
    };
    let mut terminal = cli.global.talk.terminal();
    if cli.command.has_json_lines() {
        terminal = terminal.with_json_lines();
    }
    let schema = format!("{PROGRAM}.{}/1", cli.command.name());
    let mut result = dispatch(terminal, &cli);
    if let Command::Status(StatusArgs { plugin: true, .. }) = cli.command {
        result = report::as_plugin(&terminal, result);
    }
    let exit = result.as_ref().map_or_else(Failure::exit_code, |report| report.exit);
    let code = report::finish(&terminal, PROGRAM, &schema, result);
    kit_script::name_it(&cli.command, exit);
    code
}

/// For the fuzzer: what reads bytes that may be anybody's, and no other way in.
pub mod untrusted {
    use formats::device::ManagerUuid;

    /// What `pmtool status` is taken to say of sftunnel.
    pub fn pmtool_status(output: &[u8]) -> String {
        crate::appliance::service::parse_status(output).to_string()
    }

    /// What `sftunnel-status-brief` is taken to say of the first of these managers.
    pub fn status_brief(output: &[u8], managers: &[ManagerUuid]) -> String {
        crate::appliance::tunnel::brief_of(output, managers)
    }

    /// How many tunnels the kernel's table of sockets holds; `None` when it cannot be read.
    pub fn socket_table(table: &[u8]) -> Option<usize> {
        crate::appliance::tunnel::tunnels_in(table)
    }

    /// Whether these bytes are the record of a backup, of what is installed, of pinned signers.
    pub fn records(bytes: &[u8]) -> [bool; 3] {
        use crate::change::{backup, records};
        [
            backup::BackupRecord::parse(bytes).is_ok(),
            records::parse::<records::InstalledSet>(bytes).is_ok(),
            records::parse::<Vec<records::PinnedSigner>>(bytes).is_ok(),
        ]
    }

    /// Whether these bytes are a journal.
    pub fn journal(bytes: &[u8]) -> bool {
        crate::change::journal::Journal::parse(bytes).is_some()
    }
}

fn dispatch(terminal: Terminal, cli: &Cli) -> Result<Report, Failure> {
    let told = Told {
        pmtool: cli.global.pmtool.clone(),
        port: cli.global.port,
        status_limit: Duration::from_secs(cli.global.status_timeout),
    };
    let session = Session { host: Host::open(&cli.global.root, told)?, terminal };
    let result = match &cli.command {
        Command::Status(args) => commands::status::run(&session, args),
        Command::Inspect(args) => commands::inspect::run(&session, args),
        Command::Verify(args) => commands::verify::run(&session, args),
        Command::Install(args) => commands::install::run(&session, args),
        Command::Rollback(args) => commands::rollback::run(&session, args),
        Command::Recover(args) => commands::recover::run(&session, args),
        Command::Backups { command } => commands::backups::run(&session, command),
        Command::Signers { command } => commands::signers::run(&session, command),
        Command::Log => commands::log::run(&session),
        Command::Support(args) => commands::support::run(&session, args),
        Command::Man(args) => manual::run(args, command(), &MANUAL, &terminal),
        Command::Completion(args) => Ok(completion::run(args, command(), &terminal)),
    };
    result.map_err(|failure| on_the_right_box(&session.host, failure))
}

/// Says of what is missing here that it is to be missing, where this is no box to install on.
fn on_the_right_box(host: &Host, failure: Failure) -> Failure {
    match failure.reason() {
        Some(Reason::WrongDevice | Reason::NotRegistered | Reason::NotFound)
            if is_lone_manager(host) =>
        {
            failure.hint(IS_A_MANAGER)
        }
        _ => failure,
    }
}

impl Command {
    /// The word on the command line, also in the JSON's `schema`.
    fn name(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Inspect(_) => "inspect",
            Self::Verify(_) => "verify",
            Self::Install(_) => "install",
            Self::Rollback(_) => "rollback",
            Self::Recover(_) => "recover",
            Self::Backups { .. } => "backups",
            Self::Signers { .. } => "signers",
            Self::Log => "log",
            Self::Support(_) => "support",
            Self::Man(_) => "man",
            Self::Completion(_) => "completion",
        }
    }
}
