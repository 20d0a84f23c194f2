//! Writes the files that go with the static programs: `dist-tools DIST`.
//!
//! The manual pages and completions are those that the programs print with `man` and `completion`, the lists of parts
//! come from cargo.

// a `json!` object takes any index; nothing here reads foreign input
#![allow(clippy::indexing_slicing)]

mod parts;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use cli::help::completion::{self, Shell};
use cli::help::manual::{self, ManualFacts};

/// Writes manual pages, completions and lists of parts beside the static programs.
#[derive(Parser)]
struct Cli {
    /// The folder with the programs, as `tools/make-dist` fills it
    dist: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let dist = Cli::parse().dist;
    let builder = ("builder", builder::command(), builder::MANUAL);
    let installer = ("installer", installer::command(), installer::MANUAL);
    for (package, mut command, facts) in [builder, installer] {
        parts::write(package, &command, &dist)?;
        completions(&mut command, &dist.join("completions"))?;
        manuals(command, &facts, &dist.join("man/man1"))?;
    }
    Ok(())
}

/// Writes a completion for each shell, in a folder of its own.
fn completions(command: &mut clap::Command, folder: &Path) -> Result<(), Box<dyn Error>> {
    for shell in Shell::ALL {
        let file = folder.join(shell.file(command.get_name()));
        file.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(file, completion::script(command, shell))?;
    }
    Ok(())
}

/// Writes a page for the program and one for each of its commands.
fn manuals(
    command: clap::Command,
    facts: &ManualFacts,
    folder: &Path,
) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    for (name, roff) in manual::all(command, facts) {
        fs::write(folder.join(format!("{name}.1")), roff)?;
    }
    Ok(())
}
