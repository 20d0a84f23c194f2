//! Check that there is memory for one scrypt.
//!
//! Its memory is locked as it is touched ([`crate::process::hardening`]) and cannot be swapped out,
//! so a file that asks for more than is available would make the kernel end other programs of the
//! box. Available is the least of what the machine, the control groups of the process (an FTD of
//! several instances is a container) and its own limits leave.

mod control_groups;

use std::fs::read_to_string;

use formats::error::Reason;
use formats::limits;
use formats::seal::ProtectedIdentity;
use rustix::process::{Resource, getrlimit};

use crate::say::failure::Failure;

/// Bytes left to everything else on the box.
const SPARE: u64 = 64 * 1024 * 1024;

const MIB: u64 = 1024 * 1024;

/// Hint for a file that needs more than is available.
pub(crate) const MADE_ANEW: &str =
    "stop what uses the memory, or have a new kit made: this program makes kits that need 256 MiB";

/// Memory that one limit leaves to this process.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Room {
    /// Name of the limit, to follow "available".
    of: String,
    /// Number of bytes.
    bytes: u64,
}

/// Checks that one try at a protected identity leaves memory to the box, and returns `too-large`
/// otherwise. If the kernel does not tell how much there is, nothing is refused.
pub(crate) fn require(name: &str, protected: &ProtectedIdentity) -> Result<(), Failure> {
    let Some(needed) = protected.memory() else { return Ok(()) };
    enough(needed, &format!("{name}: one try of the passphrase"))
        .map_err(|failure| failure.or_hint(MADE_ANEW))
}

/// Checks that there is memory to protect an identity of our own.
///
/// # Errors
/// Returns `too-large`.
pub fn require_to_protect() -> Result<(), Failure> {
    enough(1024 << limits::WORK_FACTOR_WRITTEN, "sealing with a passphrase")
        .map_err(|failure| failure.or_hint("stop what uses the memory, or seal for a recipient"))
}

fn enough(needed: u64, what: &str) -> Result<(), Failure> {
    let too_large = |left: &str| {
        let message = format!("{what} takes {} MiB of memory, {left}", needed / MIB);
        Failure::refused(Reason::TooLarge, message)
    };
    let wanted = needed.saturating_add(SPARE);
    if let Some(Room { of, bytes }) = tightest().filter(|room| room.bytes < wanted) {
        let left = bytes / MIB;
        return Err(too_large(&format!("and {left} MiB are available {of}")));
    }
    // for all other causes: a failed allocation would end the program
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    Vec::<u8>::new()
        .try_reserve_exact(wanted)
        .map_err(|_| too_large("and the kernel does not give that much to this process"))
}

/// Returns the tightest of all known limits.
fn tightest() -> Option<Room> {
    let machine = read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(|text| number(text, "MemAvailable:"));
    let machine = machine.map(|bytes| Room { of: "on this machine".to_owned(), bytes });
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let limit =
        |resource, option, used| left_by_limit(getrlimit(resource).current, option, &status, used);
    let limits = [limit(Resource::As, "-v", "VmSize:"), limit(Resource::Data, "-d", "VmData:")];
    let groups = control_groups::rooms(
        &read_to_string("/proc/self/cgroup").unwrap_or_default(),
        &read_to_string("/proc/self/mountinfo").unwrap_or_default(),
        &|path| read_to_string(path).ok(),
    );
    machine
        .into_iter()
        .chain(limits.into_iter().flatten())
        .chain(groups)
        .min_by_key(|room| room.bytes)
}

/// Returns what a limit of the process leaves (setrlimit(2)). `RLIMIT_MEMLOCK` does not matter:
/// where one counts, nothing is locked.
fn left_by_limit(limit: Option<u64>, option: &str, status: &str, used: &str) -> Option<Room> {
    let bytes = limit?.saturating_sub(number(status, used)?);
    Some(Room { of: format!("within the limit of this process (ulimit {option})"), bytes })
}

/// Parses `NAME   12345 kB` of `/proc/meminfo` or `/proc/self/status` into bytes (proc(5)).
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_numbers_are_read_in_bytes() {
        let meminfo = "MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable:    5120 kB\n";
        assert_eq!(number(meminfo, "MemAvailable:"), Some(5 * MIB));
        for other in ["", "MemAvailable: many kB\n", "MemAvailable: 5120\n"] {
            assert_eq!(number(other, "MemAvailable:"), None, "{other}");
        }
    }

    #[test]
    fn a_limit_leaves_what_is_not_used_of_it() {
        let status = "VmSize:\t  102400 kB\nVmData:\t 1024 kB\n";
        let left = |limit, used| left_by_limit(limit, "-v", status, used).map(|room| room.bytes);
        assert_eq!(left(Some(300 * MIB), "VmSize:"), Some(200 * MIB));
        assert_eq!(left(Some(50 * MIB), "VmSize:"), Some(0));
        assert_eq!((left(None, "VmSize:"), left(Some(1), "VmLck:")), (None, None));
    }

    #[test]
    fn what_the_kernel_would_not_give_is_not_tried() {
        let failure = enough(u64::MAX / 4, "this").unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::TooLarge));
        assert!(enough(MIB, "this").is_ok());
    }
}
