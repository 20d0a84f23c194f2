//! Paths below `--root DIR`, without chroot.
//!
//! Built-in paths and paths read from files are taken below a root directory. `/var/sf` or a
//! parent may be a link (docs/facts.md: `/ngfw/var/sf` is the same place), also an absolute one;
//! links are therefore resolved here, component by component, and never lead out of the
//! root. This is what `openat2` with `RESOLVE_IN_ROOT` does, on any kernel; where it is there
//! (Linux 5.6), files are opened with it, in one call where the walk takes two dozen.

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

/// As many links as Linux itself follows.
const MAX_LINKS: usize = 40;

/// To read a file, without waiting for the other end of a FIFO.
const FILE: OFlags =
    OFlags::CLOEXEC.union(OFlags::RDONLY).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// A root directory.
#[derive(Debug)]
pub struct Root {
    path: PathBuf,
    dir: OwnedFd,
}

/// The directory that a path's last component lies in, and that component's name.
#[derive(Debug)]
pub struct Located {
    /// The directory.
    pub dir: OwnedFd,
    /// The name in it; `.` for the root itself.
    pub name: OsString,
    /// The whole path inside the root, without links on the way.
    pub path: PathBuf,
}

/// To walk through a directory or look at a file: needs no right to read it, does nothing to it.
const LOOK: OFlags = OFlags::CLOEXEC.union(OFlags::PATH).union(OFlags::NOFOLLOW);

/// A directory that the way to a path leads through, a link that it follows, or what it ends at.
#[derive(Debug, Clone)]
pub struct Passed {
    /// Inside the root.
    pub path: PathBuf,
    /// Type and permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Passed {
    fn new(path: PathBuf, stat: &rustix::fs::Stat) -> Self {
        Self { path, mode: stat.st_mode, uid: stat.st_uid, gid: stat.st_gid }
    }

    /// Whether it is a link.
    pub fn is_link(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Symlink
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }
}

impl Root {
    /// Opens a root directory; `/` is the box itself.
    ///
    /// # Errors
    /// When it is not a directory that can be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let dir = rustix::fs::open(
            path,
            OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY,
            Mode::empty(),
        )?;
        Ok(Self { path: path.to_owned(), dir })
    }

    /// Where `path` lies as seen from outside: for messages, and to run programs.
    pub fn outside(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()))
    }

    /// Finds a path, following links in all but the last component.
    ///
    /// # Errors
    /// As `openat`; `ELOOP` for more than 40 links.
    pub fn locate(&self, path: &Path) -> io::Result<Located> {
        self.walk(path, false, None)
    }

    /// Finds a path, following all links; the last component may be absent.
    ///
    /// # Errors
    /// As [`Root::locate`].
    pub fn locate_following(&self, path: &Path) -> io::Result<Located> {
        self.walk(path, true, None)
    }

    /// Where a file or directory lies as seen from outside when every link is resolved inside the
    /// root. The kernel would take an absolute one out of it.
    ///
    /// # Errors
    /// As [`Root::locate`].
    pub fn resolved(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(self.outside(self.walk(path, true, None)?.path))
    }

    /// Opens a directory, following links inside the root; with everything that the way to it leads
    /// through, itself included.
    ///
    /// # Errors
    /// As `openat`.
    pub fn open_dir_on_the_way(&self, path: &Path) -> io::Result<(OwnedFd, Vec<Passed>)> {
        let mut passed = Vec::new();
        let located = self.walk(path, true, Some(&mut passed))?;
        let dir = open_dir_at(&located.dir, &located.name)?;
        passed.push(Passed::new(located.path, &fstat(&dir)?));
        Ok((dir, passed))
    }

    /// Opens a regular file for reading, following links inside the root; with everything that the
    /// way to it leads through, itself included, as it was opened.
    ///
    /// # Errors
    /// As [`open_file_at`].
    pub fn open_file_on_the_way(&self, path: &Path) -> io::Result<(File, Vec<Passed>)> {
        let mut passed = Vec::new();
        let located = self.walk(path, true, Some(&mut passed))?;
        let file = open_file_at(&located.dir, &located.name)?;
        passed.push(Passed::new(located.path, &fstat(&file)?));
        Ok((file, passed))
    }

    /// Looks at what a path leads to without opening it, links inside the root followed; with
    /// everything on the way there.
    ///
    /// # Errors
    /// As `openat`.
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
    /// As `openat`.
    pub fn open_dir(&self, path: &Path) -> io::Result<OwnedFd> {
        let located = self.locate_following(path)?;
        open_dir_at(&located.dir, &located.name)
    }

    /// Opens a regular file for reading, following links inside the root.
    ///
    /// # Errors
    /// As `openat`; `InvalidInput` when it is something else than a regular file.
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

    /// `None` whenever the kernel does not do it, for whatever reason: the walk then finds out.
    fn open_in_one(&self, path: &Path, flags: OFlags) -> Option<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.dir, path, flags, Mode::empty(), resolve).ok()
    }

    /// Reads a regular file of at most `limit` bytes that holds no secret.
    ///
    /// # Errors
    /// As [`Root::open_file`], or beyond the limit.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, LimitError> {
        limits::read_public(self.open_file(path)?, limit)
    }

    /// The names in a directory, sorted; without `.` and `..`.
    ///
    /// # Errors
    /// As `openat`.
    pub fn names(&self, path: &Path) -> io::Result<Vec<OsString>> {
        names_in(&self.open_dir(path)?)
    }
}

/// A walk from the root, component by component.
struct Walk<'a> {
    /// The directories that lie on the way, the root first, with their paths inside it.
    stack: Vec<(OwnedFd, PathBuf)>,
    todo: VecDeque<OsString>,
    links: usize,
    follow_last: bool,
    passed: Option<&'a mut Vec<Passed>>,
}

impl Walk<'_> {
    /// The root is its own parent.
    fn leave(&mut self) {
        if self.stack.len() > 1 {
            self.stack.pop();
        }
    }

    /// Goes through one component; gives what the path ends at when it was the last.
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
                // of what was opened, not of what the name stood for a moment ago
                passed.push(Passed::new(path.clone(), &fstat(&dir)?));
                dir
            }
        };
        self.stack.push((dir, path));
        Ok(())
    }

    /// What a path without a name at its end leads to: the root, or a directory above.
    fn end(mut self) -> io::Result<Located> {
        let (dir, path) = self.stack.pop().ok_or(Errno::NOENT)?;
        Ok(Located { dir, name: OsString::from("."), path })
    }
}

/// Tells whether there is nothing under a path. Every other error leaves that open.
pub fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Opens a directory by its name in another, not following a link.
///
/// # Errors
/// As `openat`.
pub fn open_dir_at(dir: impl AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

/// Opens a regular file by its name in a directory, not following a link. Looks first: opening a
/// device can do something by itself, and a FIFO waits for its other end.
///
/// # Errors
/// As `openat`; `InvalidInput` when it is something else than a regular file.
pub fn open_file_at(dir: impl AsFd, name: &OsStr) -> io::Result<File> {
    let looked = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
    // a link is left to the call below, which says so
    if FileType::from_raw_mode(looked.st_mode) != FileType::Symlink {
        regular(&looked)?;
    }
    let file = openat(dir, name, FILE | OFlags::NOFOLLOW, Mode::empty())?;
    require_regular(&file)?;
    Ok(File::from(file))
}

/// `InvalidInput` for anything but a regular file.
///
/// # Errors
/// As said.
pub fn require_regular(file: impl AsFd) -> io::Result<()> {
    regular(&fstat(file)?)
}

fn regular(stat: &rustix::fs::Stat) -> io::Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// The names in an opened directory, sorted; without `.` and `..`.
///
/// # Errors
/// As `getdents`.
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
        // with and without openat2: the walk is what old kernels have
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
