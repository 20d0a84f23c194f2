//! `sftunnel-bundle`: makes the kit on the FMC.

use std::process::ExitCode;

fn main() -> ExitCode {
    builder::run(std::env::args_os())
}
