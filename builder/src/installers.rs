//! The installer programs that go into a kit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use console::exit::Failure;
use console::input;

/// Beside the builder, the names for one architecture before the plain one.
const USUAL: [&str; 3] =
    ["sftunnel-install-x86_64", "sftunnel-install-aarch64", "sftunnel-install"];

/// An installer, opened.
#[derive(Debug)]
pub(crate) struct Installer {
    /// For `uname -m`.
    pub arch: &'static str,
    /// Where it lies.
    pub path: PathBuf,
    /// The program, at its start.
    pub file: File,
}

/// Opens the named installers and those beside this program, of which a named one takes the
/// place; one for each architecture, in the order of their names.
///
/// # Errors
/// Usage, for a named file that is no program for a known architecture, or two for one.
pub(crate) fn find(named: &[PathBuf]) -> Result<Vec<Installer>, Failure> {
    let program = std::env::current_exe().ok();
    find_beside(named, program.as_deref().and_then(Path::parent))
}

fn find_beside(named: &[PathBuf], directory: Option<&Path>) -> Result<Vec<Installer>, Failure> {
    let mut found = BTreeMap::new();
    for path in named {
        let installer = open(path)?.ok_or_else(|| {
            Failure::usage(format!(
                "--installer {}: expected a 64-bit ELF program for x86_64 or aarch64",
                path.display()
            ))
        })?;
        let arch = installer.arch;
        if found.insert(arch, installer).is_some() {
            return Err(Failure::usage(format!("two --installer for {arch}"))
                .hint("name one for each architecture"));
        }
    }
    for path in USUAL.iter().filter_map(|name| Some(directory?.join(name))) {
        if let Ok(Some(installer)) = open(&path) {
            found.entry(installer.arch).or_insert(installer);
        }
    }
    Ok(found.into_values().collect())
}

fn open(path: &Path) -> Result<Option<Installer>, Failure> {
    let mut file = input::open_regular(path)?;
    let mut header = Vec::with_capacity(20);
    file.by_ref()
        .take(20)
        .read_to_end(&mut header)
        .and_then(|_| file.seek(SeekFrom::Start(0)))
        .map_err(|error| Failure::io(path.display(), &error))?;
    Ok(arch(&header).map(|arch| Installer { arch, path: path.to_owned(), file }))
}

/// The architecture that an ELF header names: `e_machine`, 64-bit little endian only.
fn arch(header: &[u8]) -> Option<&'static str> {
    const CLASS_64: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    let rest = header.strip_prefix(b"\x7fELF")?;
    if rest.get(..2)? != [CLASS_64, LITTLE_ENDIAN] {
        return None;
    }
    match rest.get(14..16)? {
        [62, 0] => Some("x86_64"),
        [183, 0] => Some("aarch64"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(class: u8, machine: u8) -> Vec<u8> {
        let mut header = b"\x7fELF".to_vec();
        header.extend([class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, machine, 0]);
        header
    }

    #[test]
    fn the_architecture_is_read_from_the_elf_header() {
        assert_eq!(arch(&header(2, 62)), Some("x86_64"));
        assert_eq!(arch(&header(2, 183)), Some("aarch64"));
        assert_eq!(arch(&header(1, 62)), None, "32-bit");
        assert_eq!(arch(&header(2, 40)), None, "another machine");
        assert_eq!(arch(b"#!/bin/sh\nexec something"), None);
        assert_eq!(arch(&header(2, 62)[..19]), None, "cut");
    }

    #[test]
    fn named_ones_come_on_top_and_take_the_place_of_their_own_kind() {
        let dir = std::env::temp_dir().join(format!("installers-{}", std::process::id()));
        let (beside, other) = (dir.join("beside"), dir.join("other"));
        for folder in [&beside, &other] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(beside.join("sftunnel-install-x86_64"), header(2, 62)).unwrap();
        std::fs::write(beside.join("sftunnel-install"), header(2, 62)).unwrap();
        let (x86, arm) = (other.join("x86"), other.join("arm"));
        std::fs::write(&x86, header(2, 62)).unwrap();
        std::fs::write(&arm, header(2, 183)).unwrap();
        let found = |named: &[&PathBuf]| -> Vec<(&str, PathBuf)> {
            let named: Vec<PathBuf> = named.iter().map(|path| (*path).clone()).collect();
            let found = find_beside(&named, Some(&beside)).unwrap();
            found.into_iter().map(|installer| (installer.arch, installer.path)).collect()
        };
        let usual = beside.join("sftunnel-install-x86_64");
        assert_eq!(found(&[]), [("x86_64", usual.clone())]);
        assert_eq!(found(&[&arm]), [("aarch64", arm.clone()), ("x86_64", usual)]);
        assert_eq!(found(&[&x86]), [("x86_64", x86.clone())]);
        assert!(find_beside(&[x86.clone(), x86], None).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_script_is_no_installer() {
        let failure = find(&[PathBuf::from("/etc/hostname")]).unwrap_err();
        assert_eq!(failure.exit, console::exit::Exit::Usage);
    }
}
