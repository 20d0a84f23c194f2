//! Programs that are run without having been asked for: only those that nobody else could have put
//! there.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::ownership::{Foreign, foreign};
use crate::disk::root::Root;

/// Reasons not to run a program.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// Its path could not be examined.
    #[error("{}: {error}", path.display())]
    Io {
        /// Path of the program.
        path: PathBuf,
        /// Error of the system.
        error: io::Error,
    },
    /// It is not an executable regular file.
    #[error("{} is not a program", path.display())]
    NoProgram {
        /// Path of the program.
        path: PathBuf,
    },
    /// Somebody else owns it, or may write to it or to something on the way.
    #[error("{0}")]
    Foreign(Foreign),
}

/// Resolves the path of a program, if nobody but root and this user can put another one in its
/// place ([`crate::disk::ownership`]): for programs that are run without having been asked for.
///
/// # Errors
/// Returns [`Untrusted`].
pub fn trusted(program: &Path) -> Result<PathBuf, Untrusted> {
    let io = |error| Untrusted::Io { path: program.to_owned(), error };
    let whole = std::path::absolute(program).map_err(io)?;
    let root = Root::open(Path::new("/")).map_err(io)?;
    let passed = root.look_on_the_way(&whole).map_err(io)?;
    if let Some(foreign) = foreign(&root, &passed) {
        return Err(Untrusted::Foreign(foreign));
    }
    match passed.last() {
        Some(end) if end.is_file() && end.mode & 0o111 != 0 => Ok(end.path.clone()),
        _ => Err(Untrusted::NoProgram { path: whole }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_others_could_replace_is_not_trusted() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt;
        let dir = std::env::temp_dir().join(format!("trusted-{}", std::process::id()));
        let folder = dir.join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let (program, link) = (folder.join("p"), dir.join("link"));
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::os::unix::fs::symlink("bin/p", &link).unwrap();
        let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let (sound, loose) = (0o755, 0o775);
        mode(&dir, sound);
        mode(&folder, sound);
        mode(&program, sound);
        assert_eq!(trusted(&link).unwrap(), program.canonicalize().unwrap());
        for path in [&program, &folder, &dir] {
            mode(path, loose);
            assert!(matches!(trusted(&link), Err(Untrusted::Foreign(_))), "{path:?}");
            mode(path, sound);
        }
        mode(&program, 0o644);
        assert!(matches!(trusted(&program), Err(Untrusted::NoProgram { .. })));
        assert!(matches!(trusted(&folder), Err(Untrusted::NoProgram { .. })));
        assert!(matches!(trusted(&dir.join("absent")), Err(Untrusted::Io { .. })));
        if rustix::process::geteuid().is_root() {
            mode(&program, sound);
            std::os::unix::fs::chown(&program, Some(12345), None).unwrap();
            assert!(matches!(
                trusted(&program),
                Err(Untrusted::Foreign(Foreign { uid: 12345, .. }))
            ));
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
