//! Writes the files that go with the static programs: `dist-tools DIST`.
//!
//! The manual pages and completions come from the programs' own clap definitions, the lists of parts from cargo.

// a `json!` object takes any index; nothing here reads foreign input
#![allow(clippy::indexing_slicing)]

mod completions;
mod parts;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

/// Writes manual pages, completions and lists of parts beside the static programs.
#[derive(Parser)]
struct Cli {
    /// The folder with the programs, as `tools/make-dist` fills it
    dist: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let dist = Cli::parse().dist;
    for (package, command) in [("builder", builder::command()), ("installer", installer::command())]
    {
        parts::write(package, &command, &dist)?;
        completions::write(command.clone(), &dist.join("completions"))?;
        manual(command, &dist.join("man/man1"))?;
    }
    Ok(())
}

/// Writes a page for the program and one for each of its commands.
fn manual(command: clap::Command, folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    Ok(clap_mangen::generate_to(command, folder)?)
}
