//! Whatever would stop a rename over a live file, found out before anything is renamed.
//!
//! Root meets EPERM and EBUSY only there, in the middle of the renames, and then without a word on
//! which file it is or what to do.

use std::fs;

use cli::disk::root::open_file_at;
use formats::device::CredentialFile;
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::{IFlags, StatVfsMountFlags, fstat, fstatvfs, ioctl_getflags};

use crate::appliance::host::Host;
use crate::appliance::peers::{self, PeerDir};
use crate::change::Change;
use crate::change::error::{InTheWay, Obstacle, Protection, ReplaceError};

/// Refuses a change that the system would not let happen.
///
/// The refusal, `cannot-replace`, names every file.
pub(crate) fn require_none(host: &Host, change: &Change) -> Result<(), ReplaceError> {
    let changed: Vec<_> = change.files().map(|(file, _, _)| file).collect();
    let found = find(host, &change.peer, &changed);
    if found.is_empty() { Ok(()) } else { Err(ReplaceError::Obstacles(found)) }
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
            found.extend(of_file(peer, &opened, format!("{folder}/{file}")));
        }
    }
    found
}

fn of_folder(peer: &PeerDir, folder: &str, files: &[CredentialFile]) -> Option<Obstacle> {
    let is_read_only =
        || fstatvfs(&peer.dir).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
    let in_the_way = match protection(&peer.dir) {
        Some(protection) => InTheWay::Protected(protection),
        None if is_read_only() => InTheWay::ReadOnly,
        None => return None,
    };
    Some(Obstacle { path: folder.to_owned(), in_the_way, names: Some(files.to_vec()) })
}

fn of_file(peer: &PeerDir, opened: &fs::File, path: String) -> Option<Obstacle> {
    let in_the_way = if is_mounted_over(peer, opened) {
        InTheWay::Mount
    } else {
        InTheWay::Protected(protection(opened)?)
    };
    Some(Obstacle { path, in_the_way, names: None })
}

/// A file system without such flags has none.
fn protection(file: impl AsFd) -> Option<Protection> {
    let flags = ioctl_getflags(file).ok()?;
    if flags.contains(IFlags::IMMUTABLE) {
        Some(Protection::Immutable)
    } else if flags.contains(IFlags::APPEND) {
        Some(Protection::AppendOnly)
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

/// Reads the number of the mount that a file is on; see proc_pid_fdinfo(5).
fn mount_of(file: &impl AsRawFd) -> Option<u64> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}
