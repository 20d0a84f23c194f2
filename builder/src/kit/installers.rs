//! The installer programs that go into a kit.
//!
//! Each runs as root on every device, so what merely lies beside this program is taken only when it
//! is known: `tools/static-build` makes the installers first and gives their digests to the build
//! of the builder, which then takes those and no others. A builder without digests (`cargo build`)
//! takes what nobody but root and this user could have put there. Everything else is left out and
//! said so; naming it with `--installer` is the caller's own choice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use cli::disk::input;
use cli::disk::ownership::foreign;
use cli::disk::root::Root;
use formats::checksum::{HashingWriter, Sha256};
use formats::kit::InstallerEntry;
use formats::limits;

use crate::kit::error::{Error, LeftOut, NotTaken};
use crate::kit::writer::KitWriter;

/// Beside the builder, the names for one architecture before the plain one.
const USUAL: [&str; 3] =
    ["sftunnel-install-x86_64", "sftunnel-install-aarch64", "sftunnel-install"];
/// `x86_64=<SHA-256> aarch64=<SHA-256>`, those that were built.
const OWN_BUILD: Option<&str> = option_env!("SFTUNNEL_INSTALLERS");

/// The programs for a kit.
#[derive(Debug, Default)]
pub(crate) struct Installers {
    /// One for each architecture, in the order of their names.
    pub taken: Vec<Installer>,
    /// Files beside this program that are not taken.
    pub left_out: Vec<LeftOut>,
}

#[derive(Debug)]
pub(crate) struct Installer {
    /// For `uname -m`.
    pub arch: &'static str,
    pub path: PathBuf,
    /// The program, at its start.
    pub file: File,
    /// Digest that it was taken for; none for one that is named.
    pub sha256: Option<Sha256>,
}

impl Installer {
    /// Copies it into a kit, and is sure that it is still what it was taken for.
    pub(crate) fn copy(&self, writer: &KitWriter) -> Result<InstallerEntry, Error> {
        let copied = writer.installer(self.arch, &self.file)?;
        if self.sha256.is_some_and(|expected| expected != copied.sha256) {
            return Err(Error::InstallerChanged(self.path.clone()));
        }
        Ok(copied)
    }
}

impl LeftOut {
    fn new(source: PathBuf, why: &NotTaken) -> Self {
        Self { source, reason: why.reason(), message: why.to_string() }
    }
}

/// Opens the named installers and those beside this program, of which a named one takes the
/// place.
pub(crate) fn find(named: &[PathBuf]) -> Result<Installers, Error> {
    let program = std::env::current_exe().ok();
    find_beside(named, program.as_deref().and_then(Path::parent), OWN_BUILD)
}

fn find_beside(
    named: &[PathBuf],
    directory: Option<&Path>,
    own_build: Option<&str>,
) -> Result<Installers, Error> {
    let mut taken = BTreeMap::new();
    for path in named {
        let installer = input::opened(path)
            .and_then(|file| recognised(path, file))
            .map_err(|error| Error::Installer { path: path.clone(), error })?
            .ok_or_else(|| Error::NoProgram(path.clone()))?;
        let arch = installer.arch;
        if taken.insert(arch, installer).is_some() {
            return Err(Error::TwoPrograms { arch });
        }
    }
    let mut left_out = Vec::new();
    for source in USUAL.iter().filter_map(|name| Some(directory?.join(name))) {
        match beside(&source, own_build, &taken) {
            Ok(None) => {}
            Ok(Some(installer)) => drop(taken.entry(installer.arch).or_insert(installer)),
            Err(why) => left_out.push(LeftOut::new(source, &why)),
        }
    }
    Ok(Installers { taken: taken.into_values().collect(), left_out })
}

/// Opens what lies beside this program under one of the names; `None` where nothing does, or where
/// there is one of its kind already.
fn beside(
    path: &Path,
    own_build: Option<&str>,
    taken: &BTreeMap<&'static str, Installer>,
) -> Result<Option<Installer>, NotTaken> {
    let open = || -> io::Result<_> {
        let root = Root::open(Path::new("/"))?;
        let (file, passed) = root.open_file_on_the_way(&std::path::absolute(path)?)?;
        Ok((recognised(path, file)?, foreign(&root, &passed)))
    };
    let (found, foreign) = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let Some(mut installer) = found else { return Err(NotTaken::NoProgram) };
    if taken.contains_key(installer.arch) {
        return Ok(None);
    }
    match own_build {
        Some(own_build) => {
            let sha256 = digest(&mut installer.file)?;
            if !is_own(own_build, installer.arch, &sha256) {
                return Err(NotTaken::OtherBuild(sha256));
            }
            installer.sha256 = Some(sha256);
        }
        None => {
            if let Some(foreign) = foreign {
                return Err(NotTaken::Foreign(foreign));
            }
        }
    }
    Ok(Some(installer))
}

fn is_own(own_build: &str, arch: &str, sha256: &Sha256) -> bool {
    own_build
        .split_ascii_whitespace()
        .filter_map(|one| one.split_once('='))
        .any(|(of, digest)| of == arch && digest.parse().as_ref() == Ok(sha256))
}

fn digest(file: &mut File) -> io::Result<Sha256> {
    let mut hashing = HashingWriter::new(io::sink());
    io::copy(&mut file.by_ref().take(limits::INSTALLER + 1), &mut hashing)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(hashing.finish().1)
}

fn recognised(path: &Path, mut file: File) -> io::Result<Option<Installer>> {
    let mut header = Vec::with_capacity(20);
    file.by_ref().take(20).read_to_end(&mut header)?;
    file.seek(SeekFrom::Start(0))?;
    let path = path.to_owned();
    Ok(arch(&header).map(|arch| Installer { arch, path, file, sha256: None }))
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
            let found = find_beside(&named, Some(&beside), None).unwrap();
            assert!(found.left_out.is_empty());
            found.taken.into_iter().map(|installer| (installer.arch, installer.path)).collect()
        };
        let usual = beside.join("sftunnel-install-x86_64");
        assert_eq!(found(&[]), [("x86_64", usual.clone())]);
        assert_eq!(found(&[&arm]), [("aarch64", arm.clone()), ("x86_64", usual)]);
        assert_eq!(found(&[&x86]), [("x86_64", x86.clone())]);
        assert!(find_beside(&[x86.clone(), x86], None, None).is_err());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_lies_beside_is_of_our_own_build_or_of_nobody_else_or_left_out() {
        use std::fs::Permissions;
        use std::os::unix::fs::PermissionsExt;
        let dir = std::env::temp_dir().join(format!("beside-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("sftunnel-install-x86_64");
        std::fs::write(&path, header(2, 62)).unwrap();
        let of = |own_build: Option<&str>| {
            let found = find_beside(&[], Some(&dir), own_build).unwrap();
            let left_out = found.left_out.iter().map(|one| one.reason.word()).collect::<String>();
            (found.taken.len(), left_out)
        };
        let own = Sha256::of(&header(2, 62));
        let (taken, left_out) = ((1, String::new()), (0, "unknown-installer".to_owned()));
        assert_eq!(of(None), taken);
        assert_eq!(of(Some(&format!("aarch64={} x86_64={own}", Sha256::of(b"")))), taken);
        assert_eq!(of(Some(&format!("x86_64={}", Sha256::of(b"")))), left_out);
        assert_eq!(of(Some(&format!("aarch64={own}"))), left_out);
        // anybody could have put it there, but a digest cannot be made up
        std::fs::set_permissions(&dir, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(of(None), left_out);
        assert_eq!(of(Some(&format!("x86_64={own}"))), taken);
        std::fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert_eq!(of(None), left_out);
        std::fs::write(&path, "#!/bin/sh\n").unwrap();
        assert_eq!(of(None), left_out);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert_eq!(of(None), (0, "cannot-read".to_owned()));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_script_is_no_installer() {
        let error = find(&[PathBuf::from("/etc/hostname")]).unwrap_err();
        assert!(cli::say::failure::Failure::from(error).is_usage());
    }
}
