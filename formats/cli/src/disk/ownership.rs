//! The rule for files that are believed or run without having been named by the user: root alone
//! could have put them where they lie.
//!
//! Everything on the way counts: the file, each folder from the root on, each link that is
//! followed. Each has to belong to root or to this user, and nobody else may be able to write it.
//! In a sticky folder such as `/var/tmp` others can add names, but not exchange those of root, so
//! it may lie on the way. It may not be the file's own folder: with a hard link anybody can put one
//! of root's own files there, under any name.

use std::fmt;
use std::path::PathBuf;

use crate::disk::root::{Passed, Root};

const STICKY: u32 = 0o1000;
const BY_OTHERS: u32 = 0o022;

/// A file, folder or link that somebody other than root and this user could have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Path as seen from outside the root.
    pub path: PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Owner's user id.
    pub uid: u32,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, mode, uid } = self;
        write!(
            f,
            "{} has mode {mode:o} and owner {uid}: others than root could have changed it",
            path.display()
        )
    }
}

/// Finds the first item on a way, as [`Root::open_file_on_the_way`] and its siblings return it,
/// that others could have changed.
pub fn foreign(root: &Root, passed: &[Passed]) -> Option<Foreign> {
    let own = rustix::process::geteuid().as_raw();
    let (path, mode, uid) = first_foreign(passed, own)?;
    Some(Foreign { path: root.outside(path), mode: mode & 0o7777, uid })
}

fn first_foreign(passed: &[Passed], own: u32) -> Option<(&PathBuf, u32, u32)> {
    let end = passed.last()?;
    let folder = if end.is_dir() { Some(end.path.as_path()) } else { end.path.parent() };
    let is_sound = |one: &&Passed| {
        let shared = one.is_dir() && one.mode & STICKY != 0 && folder != Some(one.path.as_path());
        // of a link the owner matters, the bits do not
        (one.uid == 0 || one.uid == own) && (one.is_link() || shared || one.mode & BY_OTHERS == 0)
    };
    let found = passed.iter().find(|one| !is_sound(one))?;
    Some((&found.path, found.mode, found.uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIR: u32 = 0o040_000;
    const FILE: u32 = 0o100_000;
    const LINK: u32 = 0o120_000;

    fn foreign_of(way: &[(&str, u32, u32)]) -> Option<String> {
        let passed: Vec<Passed> = way
            .iter()
            .map(|(path, mode, uid)| Passed { path: path.into(), mode: *mode, uid: *uid, gid: 9 })
            .collect();
        first_foreign(&passed, 7).map(|(path, ..)| path.display().to_string())
    }

    #[test]
    fn everything_on_the_way_is_roots_or_ours_and_nobody_elses_to_write() {
        let way = |mode: u32, uid: u32| {
            foreign_of(&[("/", DIR | 0o755, 0), ("/a", DIR | mode, uid), ("/a/f", FILE | 0o644, 0)])
        };
        for (mode, uid) in [(0o755, 0), (0o700, 7), (0o755, 7)] {
            assert_eq!(way(mode, uid), None, "{mode:o} {uid}");
        }
        for (mode, uid) in [(0o755, 9), (0o775, 0), (0o757, 0), (0o1777, 0), (0o1775, 0)] {
            assert_eq!(way(mode, uid).as_deref(), Some("/a"), "{mode:o} {uid}");
        }
        let file = |mode: u32, uid: u32| {
            foreign_of(&[("/", DIR | 0o755, 0), ("/f", FILE | mode, uid)]).is_none()
        };
        assert!(file(0o644, 0) && file(0o600, 7));
        assert!(!file(0o664, 0) && !file(0o646, 0) && !file(0o644, 9) && !file(0o1666, 0));
    }

    #[test]
    fn a_sticky_folder_may_lie_on_the_way_and_not_be_the_last() {
        let way = |last: &str| {
            foreign_of(&[
                ("/", DIR | 0o755, 0),
                ("/tmp", DIR | 0o1777, 0),
                ("/tmp/a", DIR | 0o755, 0),
                (last, FILE | 0o644, 0),
            ])
        };
        assert_eq!(way("/tmp/a/f"), None);
        // through `/tmp/a/../f`
        assert_eq!(way("/tmp/f").as_deref(), Some("/tmp"));
        let folder = [("/", DIR | 0o755, 0), ("/tmp", DIR | 0o1777, 0)];
        assert_eq!(foreign_of(&folder).as_deref(), Some("/tmp"), "a folder that is asked for");
        let others = [("/", DIR | 0o755, 0), ("/tmp", DIR | 0o1777, 9), ("/tmp/a", DIR | 0o755, 0)];
        assert_eq!(foreign_of(&others).as_deref(), Some("/tmp"), "its owner can rename in it");
    }

    #[test]
    fn a_links_owner_counts_and_the_folder_that_it_lies_in() {
        let way = |uid: u32, folder: u32| {
            foreign_of(&[
                ("/", DIR | 0o755, 0),
                ("/a", DIR | folder, 0),
                ("/a/l", LINK | 0o777, uid),
                ("/b", DIR | 0o755, 0),
                ("/b/f", FILE | 0o644, 0),
            ])
        };
        assert_eq!(way(0, 0o755), None);
        assert_eq!(way(9, 0o1777).as_deref(), Some("/a/l"));
        assert_eq!(way(0, 0o777).as_deref(), Some("/a"));
    }
}
