//! `sftunnel-bundle`: reads `FAILED_PUSH` on the FMC, checks each device's new credentials
//! and writes a kit of sealed bundles.
//!
//! | room | holds |
//! |---|---|
//! | [`args`], `commands` | the command line, nothing but parsed; one file for each command |
//! | `fmc` | which list, which devices, their sources, the state of their tunnels |
//! | `keys` | recipients, passphrase, signing key |
//! | `kit` | a kit made, and one that is named read |
//! | `paste` | the text for a console |
//! | `deliver` | devices reached by a terminal |
//! | `device_result` | what became of each device, in the words of people and JSON |
//! | `wording` | the sentences of the rooms' errors |
//!
//! `commands` use `deliver`, `paste` and `kit`, these `keys`, and that `fmc`; none the other way round.

pub mod args;
mod commands;
mod deliver;
mod device_result;
mod fmc;
mod keys;
mod kit;
mod paste;
mod wording;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{CommandFactory, Parser};
use cli::disk::root::Root;
use cli::help::{completion, manual};
use cli::say::failure::Failure;
use cli::say::monitoring;
use cli::say::report::{self, Report};
use cli::say::terminal::{Terminal, say};
use cli::say::usage;
use formats::seal::Passphrase;
use formats::timestamp::Timestamp;

pub use crate::args::manual::FACTS as MANUAL;
use crate::args::{Cli, Command, KeyKind};
use crate::keys::passphrase::Flags;
use crate::keys::reveal::ToShow;

/// The program's name.
pub const PROGRAM: &str = "sftunnel-bundle";

/// Things that every command is given.
struct Context {
    root: Root,
    terminal: Terminal,
    /// The system's clock, read once.
    now: Timestamp,
    /// A generated passphrase, once a kit can be opened with it.
    to_show: Arc<OnceLock<ToShow>>,
}

impl Context {
    /// Keeps a generated passphrase, to be shown when all else has been said.
    fn show_at_the_end(&self, passphrase: &Passphrase, flags: Flags<'_>) {
        if let Some(shown) = ToShow::at_terminal(passphrase, flags) {
            let _ = self.to_show.set(shown);
        }
    }
}

/// The command line as clap knows it, for manual pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Entrances for the fuzzer to what reads bytes that may be anybody's.
pub mod untrusted {
    use formats::device::DeviceUuid;

    use crate::fmc::tunnel_status;

    /// Counts the lines of a recipient map.
    ///
    /// # Errors
    /// Says what is wrong with which line.
    pub fn recipient_map(bytes: &[u8]) -> Result<usize, String> {
        let text = formats::decode::text(bytes).map_err(|error| error.to_string())?;
        let map = crate::keys::recipients::parse_map(&text).map_err(|error| error.to_string())?;
        Ok(map.len())
    }

    /// Counts the devices among these, by these names, that a saved `sftunnel_status.pl` shows
    /// connected.
    pub fn tunnel_status(text: &str, devices: &[(&str, DeviceUuid)]) -> usize {
        let mut names = tunnel_status::Names::default();
        devices.iter().for_each(|(name, device)| names.add(device, Some(name), Some(name)));
        let seen = tunnel_status::read(text, &names).of;
        seen.values().filter(|seen| seen.tunnel == tunnel_status::Tunnel::Up).count()
    }
}

/// Runs the program: parse, run, exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    cli::process::hardening::protect_process();
    cli::process::hardening::lock_memory();
    cli::process::signals::make_file_size_limit_an_error();
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            let plugin = command_word(&args) == Some("check");
            return usage::usage_error(PROGRAM, &args, &error, plugin);
        }
    };
    let terminal = cli.global.talk.terminal();
    let schema = format!("{PROGRAM}.{}/1", cli.command.name());
    let to_show = Arc::default();
    let mut result = dispatch(&cli, terminal, Arc::clone(&to_show));
    if let Command::Check(check) = &cli.command {
        result = match check.plugin {
            true => report::as_plugin(&terminal, result),
            false => result.map_err(monitoring::unknown),
        };
    }
    let code = report::finish(&terminal, PROGRAM, &schema, result);
    match to_show.get().map_or(Ok(()), |passphrase| passphrase.show(&terminal)) {
        Ok(()) => code,
        Err(error) => {
            let failure = Failure::from(error);
            say(&report::failure_text(PROGRAM, &failure));
            failure.exit_code().into()
        }
    }
}

/// The command that is meant by a line that cannot be parsed.
fn command_word(args: &[OsString]) -> Option<&str> {
    let command = Cli::command();
    let takes_value = |arg: &str| {
        let of_its_name = |known: &&clap::Arg| arg.strip_prefix("--") == known.get_long();
        command.get_arguments().find(of_its_name).is_some_and(|a| a.get_action().takes_values())
    };
    let mut words = args.iter().skip(1).filter_map(|arg| arg.to_str());
    while let Some(word) = words.next() {
        if takes_value(word) {
            words.next();
        } else if command.find_subcommand(word).is_some() {
            return Some(word);
        }
    }
    None
}

fn dispatch(
    cli: &Cli,
    terminal: Terminal,
    to_show: Arc<OnceLock<ToShow>>,
) -> Result<Report, Failure> {
    let root = Root::open(&cli.global.root).map_err(|error| {
        Failure::io(cli.global.root.display(), &error).or_hint("give --root an existing directory")
    })?;
    let context = Context { root, terminal, now: now()?, to_show };
    match &cli.command {
        Command::Check(args) => commands::check::run(args, &context),
        Command::Plan(args) => commands::plan::run(args, &context),
        Command::Build(args) => commands::build::run(args, &context),
        Command::Paste(args) => commands::paste::run(args, &context),
        Command::Inspect(args) => commands::inspect::run(args, &context),
        Command::Verify(args) => commands::verify::run(args, &context),
        Command::Handoff(args) => commands::handoff::run(args, &context),
        Command::Receipts(args) => commands::receipts::run(args, &context),
        Command::Deliver(args) => commands::deliver::run(args, &context),
        Command::Keygen(args) => match &args.kind {
            KeyKind::Identity(args) => commands::keygen::identity(args, &context),
            KeyKind::Signer(args) => commands::keygen::signer(args, &context),
        },
        Command::Support(args) => commands::support::run(args, &context),
        Command::Man(args) => manual::run(args, command(), &MANUAL, &terminal),
        Command::Completion(args) => Ok(completion::run(args, command(), &terminal)),
    }
}

fn now() -> Result<Timestamp, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    since
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .and_then(|seconds| Timestamp::from_unix(seconds).ok())
        .ok_or_else(|| Failure::unexpected("the clock is before 1970").hint("set the clock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_flag_is_no_command() {
        let word = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            command_word(&args).map(str::to_owned)
        };
        assert_eq!(word("x --root check build --nonsense").as_deref(), Some("build"));
        assert_eq!(word("x --root=check build --nonsense").as_deref(), Some("build"));
        assert_eq!(word("x --json --root build check --nonsense").as_deref(), Some("check"));
        assert_eq!(word("x -q check build").as_deref(), Some("check"));
        assert_eq!(word("x --root check"), None);
    }
}
