//! Room on the disk, held while a transaction is open.
//!
//! Putting the old files back needs room for their copies and for the journal at a moment when
//! the disk may have become full: sftunnel's own log may be what filled it. So that room is
//! allocated before the first live file changes, in a file of this program's own, and given
//! free when it is needed: before a restore, and before a success is recorded. It lies in
//! the state directory, on the file system that the peer directories are on as well unless
//! somebody mounted one of them elsewhere.

use std::io::{self, Write};

use cli::disk::durable::{self, create_only};
use rustix::fs::{FallocateFlags, Mode, fallocate};
use rustix::io::Errno;

use crate::appliance::state::{LockedState, State};
use crate::change::error::ReplaceError;

const NAME: &str = ".reserve";
/// Journal, `installed`, `signers`, receipts and log, each in blocks of its own.
const RECORDS: u64 = 128 * 1024;
/// The largest block of the file systems that are met.
const BLOCK: u64 = 4096;

/// The room that putting files of these sizes back may take.
pub(crate) fn needed(sizes: impl Iterator<Item = usize>) -> u64 {
    let blocks = sizes.map(|size| (size as u64).next_multiple_of(BLOCK) + BLOCK);
    blocks.fold(RECORDS, u64::saturating_add)
}

/// Allocates so many bytes.
///
/// On failure nothing is held.
pub(crate) fn hold(state: &LockedState, bytes: u64) -> Result<(), ReplaceError> {
    let held = remove(state).and_then(|()| allocate(state, bytes));
    held.map_err(|error| {
        let _ = remove(state);
        ReplaceError::NoRoomHeld { state: state.shown().to_owned(), error }
    })
}

fn allocate(state: &State, bytes: u64) -> io::Result<()> {
    let mut file = create_only(state.dir(), NAME, Mode::from_raw_mode(0o600))?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        // a file system that cannot allocate ahead: bytes that are written take room anywhere
        Err(Errno::OPNOTSUPP) => {
            io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file)?;
            file.flush()?;
            file.sync_all()
        }
        other => Ok(other?),
    }
}

/// Gives the room free; fine when none is held.
pub(crate) fn remove(state: &LockedState) -> io::Result<()> {
    durable::remove(state.dir(), NAME)
}

/// The same, where a failure must not stop what the room is for.
pub(crate) fn release(state: &LockedState) {
    let _ = remove(state);
}
