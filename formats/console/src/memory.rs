//! Whether there is memory for one scrypt.
//!
//! Its memory is locked as it is touched ([`crate::hardening`]), so it cannot be swapped out: a
//! stick whose file asks for more than there is would have the kernel end other programs of the
//! box.

use formats::envelope::ProtectedIdentity;
use formats::error::Reason;

use crate::exit::Failure;

/// What stays for everything else that runs on the box.
const SPARE: u64 = 64 * 1024 * 1024;

/// Checks that one try at a protected identity leaves memory to the box. Where the kernel does not
/// say how much there is, nothing is concluded.
///
/// # Errors
/// `too-large`.
pub(crate) fn require(name: &str, protected: &ProtectedIdentity) -> Result<(), Failure> {
    let available = std::fs::read_to_string("/proc/meminfo").ok();
    let available = available.as_deref().and_then(available_in);
    let (Some(needed), Some(available)) = (protected.memory(), available) else { return Ok(()) };
    if needed.saturating_add(SPARE) <= available {
        return Ok(());
    }
    let mib = |bytes: u64| bytes / (1024 * 1024);
    let message = format!(
        "{name}: one try of the passphrase takes {} MiB of memory, and {} MiB are available",
        mib(needed),
        mib(available)
    );
    Err(Failure::refused(Reason::TooLarge, message)
        .hint("this program writes such files with 256 MiB; have the kit made anew, or end what uses the memory"))
}

/// `MemAvailable:   12345 kB` of `/proc/meminfo`, in bytes (proc_meminfo(5)).
fn available_in(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_available_memory_is_read_in_bytes() {
        let meminfo = "MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable:    5120 kB\n";
        assert_eq!(available_in(meminfo), Some(5 * 1024 * 1024));
        for other in ["", "MemAvailable: many kB\n", "MemAvailable: 5120\n"] {
            assert_eq!(available_in(other), None, "{other}");
        }
    }
}
