//! Bytes from the system's random source.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Makes 16 random hex digits, for temporary names.
///
/// # Errors
/// Like [`fill`].
pub fn hex() -> io::Result<String> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Fills `bytes`, at most 256 of them.
///
/// # Errors
/// Fails when the system gives fewer.
pub fn fill(bytes: &mut [u8]) -> io::Result<()> {
    let wanted = bytes.len();
    // up to 256 bytes are always returned at once (getrandom(2))
    let got = getrandom(bytes, GetRandomFlags::empty())?;
    if got == wanted { Ok(()) } else { Err(io::Error::other("not enough random bytes")) }
}
