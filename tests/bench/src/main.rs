//! `make bench`: the programs as a user runs them, whole processes, medians of several runs.
//!
//! Machines differ and are noisy: only the ratios count, each taken within one run.
//! Nothing here is a test; nothing fails because a machine is slow.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod fleet;
mod floor;
mod install;
mod measure;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The allocator of `sftunnel-bundle`, so that floor and program use the same.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Any failure ends a benchmark; there is nothing to recover.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Measures the programs.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    /// `sftunnel-bundle`, as shipped
    #[arg(long, required = true)]
    bundle: Option<PathBuf>,
    /// `sftunnel-install`, as shipped
    #[arg(long, required = true)]
    install: Option<PathBuf>,
    /// Numbers of devices; the shell loop runs for the largest that is not above 1,000
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000")]
    devices: Vec<usize>,
    /// Counted runs of each
    #[arg(long, default_value_t = 5)]
    runs: usize,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What needs memory of its own runs in a process of its own: the kernel counts what a
/// parent holds when it starts a child to the child's peak.
#[derive(Debug, Subcommand)]
enum Part {
    /// Build an FMC with so many devices
    Lab { tree: PathBuf, devices: usize },
    /// Print the nanoseconds of the floor for an FMC's devices
    Floor { root: PathBuf },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<()> {
    match args.part {
        Some(Part::Lab { tree, devices }) => return fleet::build_lab(&tree, devices),
        Some(Part::Floor { root }) => {
            println!("{}", floor::measure(&root)?.as_nanos());
            return Ok(());
        }
        None => {}
    }
    let (Some(bundle), Some(install)) = (args.bundle, args.install) else {
        return Err("--bundle and --install are needed".into());
    };
    fleet::measure(&bundle, &args.devices, args.runs)?;
    install::measure(&bundle, &install, args.runs)
}
