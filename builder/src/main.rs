//! `sftunnel-bundle`: makes the kit on the FMC.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// For OpenSSL too: the feature `override` puts it in the place of libc's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    builder::run(std::env::args_os())
}
