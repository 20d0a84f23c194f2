//! Whatever would stop a rename over a live file, found out before anything is renamed.
//!
//! Root meets EPERM and EBUSY only there, in the middle of the renames, and then without a word on
//! which file it is or what to do.

use std::fs;

use cli::disk::root::open_file_at;
use cli::say::exit::Failure;
use formats::device::CredentialFile;
use formats::error::Reason;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{IFlags, StatVfsMountFlags, fstat, fstatvfs, ioctl_getflags};

use crate::appliance::host::Host;
use crate::appliance::peers::{self, PeerDir};
use crate::change::Change;

/// One thing in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// Names the file or directory, and the reason.
    pub message: String,
    /// Names the command that shows it, and the way out.
    pub hint: String,
}

/// Refuses a change that the system would not let happen.
///
/// The refusal, `cannot-replace`, names every file.
pub(crate) fn require_none(host: &Host, change: &Change) -> Result<(), Failure> {
    let changed: Vec<_> = change.files().map(|(file, _, _)| file).collect();
    let found = find(host, &change.peer, &changed);
    if found.is_empty() {
        return Ok(());
    }
    let lines = |of: fn(&Obstacle) -> &str| found.iter().map(of).collect::<Vec<_>>().join("\n");
    Err(Failure::refused(Reason::CannotReplace, lines(|one| &one.message))
        .hint(lines(|one| &one.hint)))
}

/// Looks for what would keep these files of a peer directory from being replaced.
pub(crate) fn find(host: &Host, peer: &PeerDir, files: &[CredentialFile]) -> Vec<Obstacle> {
    if files.is_empty() {
        return Vec::new();
    }
    let folder = peers::shown(host, &peer.manager);
    let mut found: Vec<_> = of_folder(peer, &folder, files).into_iter().collect();
    for file in files {
        // one that is absent, or is no regular file, is refused elsewhere
        if let Ok(opened) = open_file_at(&peer.dir, file.name().as_ref()) {
            found.extend(of_file(peer, &opened, &format!("{folder}/{file}")));
        }
    }
    found
}

fn of_folder(peer: &PeerDir, folder: &str, files: &[CredentialFile]) -> Option<Obstacle> {
    let names = files.iter().map(|file| file.name()).collect::<Vec<_>>().join(", ");
    let so = format!("so nothing in it can be replaced: {names}");
    if let Some((word, flag)) = protected(&peer.dir) {
        return Some(Obstacle {
            message: format!("{folder} is {word}, {so}"),
            hint: format!(
                "`lsattr -d {folder}` shows it; find out who wants it so before `chattr -{flag} {folder}`"
            ),
        });
    }
    let is_read_only =
        fstatvfs(&peer.dir).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
    is_read_only.then(|| Obstacle {
        message: format!("{folder} lies on a read-only mount, {so}"),
        hint: format!(
            "`findmnt -T {folder}` shows it; find out why (`dmesg`) before making it writable"
        ),
    })
}

fn of_file(peer: &PeerDir, opened: &fs::File, path: &str) -> Option<Obstacle> {
    if is_mounted_over(peer, opened) {
        return Some(Obstacle {
            message: format!("something is mounted over {path}, so it cannot be replaced"),
            hint: format!(
                "`findmnt -T {path}` shows it; find out who needs it before `umount {path}`"
            ),
        });
    }
    let (word, flag) = protected(opened)?;
    Some(Obstacle {
        message: format!("{path} is {word}, so it cannot be replaced"),
        hint: format!(
            "`lsattr {path}` shows it; find out who wants it so before `chattr -{flag} {path}`"
        ),
    })
}

/// `chattr +i` and `+a`; a file system without them has none.
fn protected(file: impl AsFd) -> Option<(&'static str, char)> {
    let flags = ioctl_getflags(file).ok()?;
    if flags.contains(IFlags::IMMUTABLE) {
        Some(("immutable", 'i'))
    } else if flags.contains(IFlags::APPEND) {
        Some(("append-only", 'a'))
    } else {
        None
    }
}

/// True when the file is on another mount than its directory. Of a mount of the same file system
/// only the kernel's number of the mount tells, which statx(2) does not have before Linux 5.8.
fn is_mounted_over(peer: &PeerDir, file: &fs::File) -> bool {
    match (mount_of(&peer.dir), mount_of(file)) {
        (Some(folder), Some(file)) => folder != file,
        // no /proc: a mount of another file system still tells
        _ => {
            fstat(&peer.dir).ok().map(|stat| stat.st_dev)
                != fstat(file).ok().map(|stat| stat.st_dev)
        }
    }
}

/// proc_pid_fdinfo(5).
fn mount_of(file: &impl AsRawFd) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}
