//! `sftunnel-install`: see the library beside this file.

use std::process::ExitCode;

fn main() -> ExitCode {
    installer::run(std::env::args_os())
}
