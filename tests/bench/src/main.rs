//! `make bench`: the programs as a user runs them, whole processes, medians of several runs.
//!
//! Machines differ and are noisy: what counts are the ratios, each taken within one run.
//! Nothing here is a test; nothing fails because a machine is slow.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod fleet;
mod install;
mod measure;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Any failure ends a benchmark; there is nothing to recover.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measures the programs.
#[derive(Debug, Parser)]
struct Args {
    /// `sftunnel-bundle`, as shipped
    #[arg(long)]
    bundle: PathBuf,
    /// `sftunnel-install`, as shipped
    #[arg(long)]
    install: PathBuf,
    /// Numbers of devices; the shell loop runs for the last
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    devices: Vec<usize>,
    /// Counted runs of each
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let measured = fleet::measure(&args.bundle, &args.devices, args.runs)
        .and_then(|()| install::measure(&args.bundle, &args.install, args.runs));
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
