//! Paths below `--root DIR`, without chroot.
//!
//! Built-in paths and paths read from files are resolved below a root directory. `/var/sf` or a
//! parent may be a link (docs/facts.md: `/ngfw/var/sf` is the same place), even an absolute one;
//! links are therefore resolved here, component by component, and never lead out of the root.
//! `openat2` with `RESOLVE_IN_ROOT` does the same in one call instead of two dozen, and opens files
//! where the kernel has it (Linux 5.6).

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, readlinkat, statat,
};
use rustix::io::Errno;

use formats::limits::{self, LimitError};

/// Number of links to follow, the same as in Linux.
const MAX_LINKS: usize = 40;

/// Flags to read a file, without waiting for the other end of a FIFO.
const FILE: OFlags =
    OFlags::CLOEXEC.union(OFlags::RDONLY).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A directory below which paths are resolved.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    dir: OwnedFd,
}

/// The directory that a path's last component lies in, and that component's name.
#[derive(Debug)]
pub struct Located {
    /// The open directory.
    pub dir: OwnedFd,
    /// Name in the directory; `.` for the root itself.
    pub name: OsString,
    /// Whole path inside the root, without links on the way.
    pub path: PathBuf,
}

/// Flags to walk through a directory or look at a file: they need no right to read it and have no
/// effect on it.
const LOOK: OFlags = OFlags::CLOEXEC.union(OFlags::PATH).union(OFlags::NOFOLLOW);

/// A directory on the way to a path, a link that is followed, or the end of the way.
#[derive(Debug, Clone)]
pub struct Passed {
    /// Path inside the root.
    pub path: PathBuf,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner's user id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Passed {
    fn new(path: PathBuf, stat: &rustix::fs::Stat) -> Self {
        Self { path, mode: stat.st_mode, uid: stat.st_uid, gid: stat.st_gid }
    }

    /// Returns true if it is a link.
    pub fn is_link(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Symlink
    }

    /// Returns true if it is a regular file.
    pub fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }

    /// Returns true if it is a directory.
    pub fn is_dir(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }
}

impl Root {
    /// Opens a root directory; `/` is the box itself.
    ///
    /// # Errors
    /// Fails when it is not a directory that can be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = rustix::fs::open(
            path,
            OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY,
            Mode::empty(),
        )?;
        Ok(Self { path: path.to_owned(), dir })
    }

    /// Returns `path` as seen from outside the root: for messages, and to run programs.
    pub fn outside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()))
    }

    /// Finds a path, following links in all but the last component.
    ///
    /// # Errors
    /// Returns the error of `openat`; `ELOOP` for more than 40 links.
    pub fn locate(&self, path: &Path) -> io::Result<Located> {
        self.walk(path, false, None)
    }

    /// Finds a path, following all links; the last component may be absent.
    ///
    /// # Errors
    /// Like [`Root::locate`].
    pub fn locate_following(&self, path: &Path) -> io::Result<Located> {
        self.walk(path, true, None)
    }

    /// Resolves every link inside the root, and returns the path as seen from outside. The kernel
    /// would take an absolute link out of the root.
    ///
    /// # Errors
    /// Like [`Root::locate`].
    pub fn resolved(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(self.outside(self.walk(path, true, None)?.path))
    }

    /// Opens a directory, following links inside the root, and returns it with everything on the
    /// way, itself included.
    ///
    /// # Errors
    /// Returns the error of `openat`.
    pub fn open_dir_on_the_way(&self, path: &Path) -> io::Result<(OwnedFd, Vec<Passed>)> {
        let mut passed = Vec::new();
        let located = self.walk(path, true, Some(&mut passed))?;
        let dir = open_dir_at(&located.dir, &located.name)?;
        passed.push(Passed::new(located.path, &fstat(&dir)?));
        Ok((dir, passed))
    }

    /// Opens a regular file for reading, following links inside the root, and returns it with
    /// everything on the way, itself included, in the state in which it was opened.
    ///
    /// # Errors
    /// Like [`open_file_at`].
    pub fn open_file_on_the_way(&self, path: &Path) -> io::Result<(File, Vec<Passed>)> {
        let mut passed = Vec::new();
        let located = self.walk(path, true, Some(&mut passed))?;
        let file = open_file_at(&located.dir, &located.name)?;
        passed.push(Passed::new(located.path, &fstat(&file)?));
        Ok((file, passed))
    }

    /// Looks at a path without opening it, following links inside the root, and returns everything
    /// on the way.
    ///
    /// # Errors
    /// Returns the error of `openat`.
    pub fn look_on_the_way(&self, path: &Path) -> io::Result<Vec<Passed>> {
        let mut passed = Vec::new();
        let located = self.walk(path, true, Some(&mut passed))?;
        let found = openat(&located.dir, &*located.name, LOOK, Mode::empty())?;
        passed.push(Passed::new(located.path, &fstat(&found)?));
        Ok(passed)
    }

    fn walk(
        &self,
        path: &Path,
        follow_last: bool,
        mut passed: Option<&mut Vec<Passed>>,
    ) -> io::Result<Located> {
        let root = PathBuf::from("/");
        if let Some(passed) = &mut passed {
            passed.push(Passed::new(root.clone(), &fstat(&self.dir)?));
        }
        let stack = vec![(self.dir.try_clone()?, root)];
        let mut walk = Walk { stack, todo: components(path), links: 0, follow_last, passed };
        while let Some(name) = walk.todo.pop_front() {
            if name == ".." {
                walk.leave();
            } else if let Some(located) = walk.step(name)? {
                return Ok(located);
            }
        }
        walk.end()
    }

    /// Opens a directory, following links inside the root.
    ///
    /// # Errors
    /// Returns the error of `openat`.
    pub fn open_dir(&self, path: &Path) -> io::Result<OwnedFd> {
        let located = self.locate_following(path)?;
        open_dir_at(&located.dir, &located.name)
    }

    /// Opens a regular file for reading, following links inside the root.
    ///
    /// # Errors
    /// Returns the error of `openat`; `InvalidInput` for anything but a regular file.
    pub fn open_file(&self, path: &Path) -> io::Result<File> {
        if let Some(looked) = self.open_in_one(path, OFlags::PATH | OFlags::CLOEXEC) {
            require_regular(&looked)?;
            if let Some(file) = self.open_in_one(path, FILE) {
                require_regular(&file)?;
                return Ok(File::from(file));
            }
        }
        let located = self.locate_following(path)?;
        open_file_at(&located.dir, &located.name)
    }

    /// Opens a path with `openat2`; `None` if that fails for any reason, which the walk then finds
    /// out.
    fn open_in_one(&self, path: &Path, flags: OFlags) -> Option<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.dir, path, flags, Mode::empty(), resolve).ok()
    }

    /// Reads a regular file of at most `limit` bytes that holds no secret.
    ///
    /// # Errors
    /// Like [`Root::open_file`]; also fails beyond the limit.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, LimitError> {
        limits::read_public(self.open_file(path)?, limit)
    }

    /// Lists the names in a directory, sorted, without `.` and `..`.
    ///
    /// # Errors
    /// Returns the error of `openat`.
    pub fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        names_in(&self.open_dir(path)?)
    }
}

/// A walk from the root, component by component.
struct Walk<'a> {
    /// The directories on the way, the root first, with their paths inside it.
    stack: Vec<(OwnedFd, PathBuf)>,
    todo: VecDeque<OsString>,
    links: usize,
    follow_last: bool,
    passed: Option<&'a mut Vec<Passed>>,
}

impl Walk<'_> {
    /// Goes up to the parent; the root is its own.
    fn leave(&mut self) {
        if self.stack.len() > 1 {
            self.stack.pop();
        }
    }

    /// Goes through one component, and returns the end of the path if it was the last.
    fn step(&mut self, name: OsString) -> io::Result<Option<Located>> {
        let (here, inside) = self.stack.last().ok_or(Errno::NOENT)?;
        let (is_last, path) = (self.todo.is_empty(), inside.join(&name));
        let stat = match is_last && !self.follow_last {
            true => None,
            false => match statat(here, &*name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) if is_last => None,
                found => Some(found?),
            },
        };
        match stat {
            Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                let target = readlinkat(here, &*name, Vec::new())?.into_bytes();
                if let Some(passed) = &mut self.passed {
                    passed.push(Passed::new(path, &stat));
                }
                self.follow(OsString::from_vec(target))?;
                Ok(None)
            }
            Some(_) if !is_last => self.enter(&name, path).map(|()| None),
            _ => Ok(Some(Located { dir: here.try_clone()?, name, path })),
        }
    }

    fn follow(&mut self, target: OsString) -> io::Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        if target.as_bytes().starts_with(b"/") {
            self.stack.truncate(1);
        }
        for component in components(Path::new(&target)).into_iter().rev() {
            self.todo.push_front(component);
        }
        Ok(())
    }

    fn enter(&mut self, name: &OsStr, path: PathBuf) -> io::Result<()> {
        let (here, _) = self.stack.last().ok_or(Errno::NOENT)?;
        let dir = match &mut self.passed {
            None => open_dir_at(here, name)?,
            Some(passed) => {
                let dir = openat(here, name, LOOK | OFlags::DIRECTORY, Mode::empty())?;
                // the state of what was opened, not of what had the name a moment ago
                passed.push(Passed::new(path.clone(), &fstat(&dir)?));
                dir
            }
        };
        self.stack.push((dir, path));
        Ok(())
    }

    /// Returns the end of a path without a last name: the root, or a directory above.
    fn end(mut self) -> io::Result<Located> {
        let (dir, path) = self.stack.pop().ok_or(Errno::NOENT)?;
        Ok(Located { dir, name: OsString::from("."), path })
    }
}

/// Returns true if nothing exists at a path. All other errors leave that open.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Opens a directory by its name in another, without following a link.
///
/// # Errors
/// Returns the error of `openat`.
pub fn open_dir_at(dir: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

/// Opens a regular file by its name in a directory, without following a link. Its type is checked
/// before: opening a device can have effects, and a FIFO waits for its other end.
///
/// # Errors
/// Returns the error of `openat`; `InvalidInput` for anything but a regular file.
pub fn open_file_at(dir: impl AsFd, name: &OsStr) -> io::Result<File> {
    let looked = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    // a link is left to the call below, which returns the right error
    if FileType::from_raw_mode(looked.st_mode) != FileType::Symlink {
        regular(&looked)?;
    }
    let file = openat(dir, name, FILE | OFlags::NOFOLLOW, Mode::empty())?;
    require_regular(&file)?;
    Ok(File::from(file))
}

/// Checks that `file` is a regular file.
///
/// # Errors
/// Returns `InvalidInput` for anything else.
pub fn require_regular(file: impl AsFd) -> io::Result<()> {
    regular(&fstat(file)?)
}

fn regular(stat: &rustix::fs::Stat) -> io::Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// Lists the names in an open directory, sorted, without `.` and `..`.
///
/// # Errors
/// Returns the error of `getdents`.
pub fn names_in(dir: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn components(path: &Path) -> VecDeque<OsString> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside_the_root() {
        let dir = std::env::temp_dir().join(format!("root-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("ngfw/var/sf")).unwrap();
        std::fs::create_dir_all(dir.join("var")).unwrap();
        std::fs::write(dir.join("ngfw/var/sf/f"), "x").unwrap();
        symlink("/ngfw/var/sf", dir.join("var/sf")).unwrap();
        symlink("../../../../../../etc", dir.join("var/up")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        let root = Root::open(&dir).unwrap();
        let walk: fn(&Root, &str) -> io::Result<File> = |root, path| {
            let located = root.locate_following(Path::new(path))?;
            open_file_at(&located.dir, &located.name)
        };
        // with and without openat2: old kernels have the walk only
        let open: fn(&Root, &str) -> io::Result<File> =
            |root, path| root.open_file(Path::new(path));
        for open in [walk, open] {
            let read = |path: &str| open(&root, path).and_then(io::read_to_string);
            assert_eq!(read("/var/sf/f").unwrap(), "x");
            assert_eq!(read("/../../var/sf/../sf/f").unwrap(), "x");
            assert!(read("/var/up/passwd").is_err());
            assert!(read("/loop").is_err());
            assert!(read("/var").is_err(), "a directory is no file");
        }
        assert_eq!(root.locate_following(Path::new("/var/sf/new")).unwrap().name, "new");
        assert_eq!(root.resolved(Path::new("/var/sf/f")).unwrap(), dir.join("ngfw/var/sf/f"));
        let (_, passed) = root.open_dir_on_the_way(Path::new("/var/sf")).unwrap();
        let passed: Vec<_> =
            passed.iter().map(|one| (one.path.to_str().unwrap(), one.is_link())).collect();
        let expected = [
            ("/", false),
            ("/var", false),
            ("/var/sf", true),
            ("/ngfw", false),
            ("/ngfw/var", false),
            ("/ngfw/var/sf", false),
        ];
        assert_eq!(passed, expected);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
