//! Lists of files: names, sizes, modes, owners, times; of certificates their digests, and never a
//! file's content.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use formats::checksum::Sha256;
use formats::limits;
use formats::timestamp::Timestamp;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Stat, readlinkat, statat};

use crate::disk::root::{Root, names_in, open_dir_at, open_file_at};

/// Entries of a folder that are listed; a manager has a thousand devices.
const MOST: usize = 200;

/// Lists a folder, and those in it as far down as `depth`.
///
/// # Errors
/// Says why the folder itself cannot be read.
pub fn folder(root: &Root, path: &str, depth: usize) -> Result<String, String> {
    let shown = root.outside(path).display().to_string();
    let dir = match root.open_dir(Path::new(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(format!("{shown}: there is none"));
        }
        opened => opened.map_err(|error| format!("{shown}: {error}"))?,
    };
    let mut text = format!("{shown}\n");
    below(&mut text, &dir, 1, depth).map_err(|error| format!("{shown}: {error}"))?;
    Ok(text)
}

fn below(text: &mut String, dir: &OwnedFd, level: usize, depth: usize) -> io::Result<()> {
    let indent = "  ".repeat(level);
    let names = names_in(dir)?;
    for name in names.iter().take(MOST) {
        let shown = name.to_string_lossy();
        let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(error) => {
                let _ = writeln!(text, "{indent}{shown}: not readable: {error}");
                continue;
            }
        };
        let _ = write!(text, "{indent}{} {shown}", facts(&stat));
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                let to = readlinkat(dir, name, Vec::new()).unwrap_or_default();
                let _ = writeln!(text, " -> {}", to.to_string_lossy());
            }
            FileType::Directory => {
                text.push_str("/\n");
                if level < depth {
                    let inside = open_dir_at(dir, name);
                    let listed = inside.and_then(|dir| below(text, &dir, level + 1, depth));
                    if let Err(error) = listed {
                        let _ = writeln!(text, "{indent}  not readable: {error}");
                    }
                }
            }
            FileType::RegularFile if is_certificate(&shown) => {
                let digest = open_file_at(dir, name).ok().and_then(|file| {
                    limits::read_public(file, limits::PEM).ok().map(|pem| Sha256::of(&pem))
                });
                let digest = digest.map_or("not readable".to_owned(), |digest| digest.to_string());
                let _ = writeln!(text, " sha256 {digest}");
            }
            _ => text.push('\n'),
        }
    }
    if names.len() > MOST {
        let _ = writeln!(text, "{indent}... and {} more", names.len() - MOST);
    }
    Ok(())
}

fn is_certificate(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("cert.pem")
}

/// `-rw-r--r-- 0:0 1234 2026-11-28T06:15:00Z`.
fn facts(stat: &Stat) -> String {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::RegularFile => '-',
        FileType::Socket => 's',
        _ => '?',
    };
    let time = Timestamp::from_unix(stat.st_mtime);
    let time = time.map_or_else(|_| "?".to_owned(), |time| time.to_string());
    let mode = stat.st_mode & 0o7777;
    format!("{kind}{mode:04o} {}:{} {:>7} {time}", stat.st_uid, stat.st_gid, stat.st_size)
}
