//! `sftunnel-bundle`: makes the kit on the FMC.

use std::process::ExitCode;

/// For OpenSSL too: the feature `override` puts it in the place of libc's.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    builder::run(std::env::args_os())
}
