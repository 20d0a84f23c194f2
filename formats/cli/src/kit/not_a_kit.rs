//! Explanations for things that couriers deliver in place of a kit, and for changes to one on the
//! way.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use formats::text::{printable, shell_quote};
use formats::{decode, kit, limits};

use crate::kit::locate::is_kit;

/// Suggests what to name, or to do, in place of a path that is neither a kit nor a bundle; `None`
/// if nothing fits.
pub fn explain(path: &Path) -> Option<String> {
    if path.is_dir() {
        let sound = kits_inside(path).or_else(|| kit_above(path));
        sound.or_else(|| changed_names(path)).or_else(|| changed_above(path))
    } else if path.is_file() {
        kit_of(path).or_else(|| packed(path)).or_else(|| armored(path))
    } else {
        None
    }
}

/// Number of folders to look into on a stick that holds much else.
const FOLDERS: usize = 100;

/// Finds kits inside a stick, or inside the folder that zip programs make around what they unpack.
fn kits_inside(path: &Path) -> Option<String> {
    let folders = folders_in(path);
    let are_kits = |paths: Vec<PathBuf>| -> Vec<PathBuf> {
        paths.into_iter().filter(|path| is_kit(path)).collect()
    };
    let mut kits = are_kits(folders.clone());
    if kits.is_empty() {
        let deeper = folders.iter().take(FOLDERS).flat_map(|folder| folders_in(folder));
        kits = are_kits(deeper.take(FOLDERS).collect());
    }
    kits.sort();
    let names: Vec<_> = kits.iter().take(3).map(|kit| shown(kit)).collect();
    let what = if kits.len() == 1 { "there is a kit in it" } else { "there are kits in it" };
    (!names.is_empty()).then(|| format!("{what}: name {}", names.join(" or ")))
}

fn folders_in(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Recognises `bundles` or `bin` of a kit.
fn kit_above(path: &Path) -> Option<String> {
    let whole = fs::canonicalize(path).ok()?;
    let kit = whole.parent().filter(|kit| is_kit(kit))?;
    Some(format!("it lies in a kit: name {}", shown(kit)))
}

/// Recognises `kit.json`, `SHA256SUMS` or `install.sh` of a kit.
fn kit_of(path: &Path) -> Option<String> {
    let kit = match path.parent()? {
        parent if parent.as_os_str().is_empty() => Path::new("."),
        parent => parent,
    };
    let own = [kit::INDEX, kit::INDEX_SIGNATURE, kit::SUMS, kit::README, kit::INSTALL_SCRIPT];
    let is_own = own.iter().any(|own| path.file_name() == Some(OsStr::new(own)));
    (is_own && is_kit(kit)).then(|| format!("it is a file of a kit: name {}", shown(kit)))
}

/// Recognises a kit whose names were changed on the way, or whose index is lost.
fn changed_names(path: &Path) -> Option<String> {
    let entries = fs::read_dir(path).ok()?.flatten();
    let mut names: Vec<_> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    if let Some(found) = names.iter().find(|name| is_shortened(name)) {
        return Some(format!(
            "this was a kit, but its names came in capitals or cut short ({}): the stick or image was written or read without long names. Copy the kit again with them (FAT32, exFAT or NTFS; an ISO image with Joliet or Rock Ridge), or as one .tar file that is unpacked here",
            printable(found)
        ));
    }
    let is_index = |name: &&String| {
        name.starts_with(kit::INDEX) && **name != kit::INDEX && **name != kit::INDEX_SIGNATURE
    };
    if let Some(found) = names.iter().find(is_index) {
        return Some(format!(
            "this was a kit, but its {} is named {} here: name it {0} again",
            kit::INDEX,
            printable(found)
        ));
    }
    let has = |name: &str| names.iter().any(|found| found == name);
    (has(kit::SUMS) && has(kit::INDEX_SIGNATURE) && !has(kit::INDEX)).then(|| {
        format!("this was a kit, but its {} is missing: copy the kit again, whole", kit::INDEX)
    })
}

/// Like [`changed_names`], for the kit of `BUNDLES` or `BIN`.
fn changed_above(path: &Path) -> Option<String> {
    let whole = fs::canonicalize(path).ok()?;
    let name = whole.file_name()?;
    let is_ours = [kit::BUNDLES, kit::BIN].iter().any(|ours| name.eq_ignore_ascii_case(ours));
    changed_names(whole.parent().filter(|_| is_ours)?)
}

/// Returns true for the name of a file of ours on a file system without long names: `KIT~1.JSO` and
/// `SHA256~1` on FAT, `KIT.JSO;1` and `SHA256SU.;1` on a bare ISO 9660.
fn is_shortened(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let lower = lower.strip_suffix(";1").unwrap_or(&lower);
    let lower = lower.strip_suffix('.').unwrap_or(lower);
    let is_index = lower.starts_with("kit") && lower.ends_with(".jso") || lower == kit::INDEX;
    let is_sums = matches!(lower, "sha256su" | "sha256sums") || lower.starts_with("sha256~");
    (is_index || is_sums) && name != kit::INDEX && name != kit::SUMS
}

/// Recognises an archive or a disk image.
fn packed(path: &Path) -> Option<String> {
    // read once more, for the message only
    let mut file = File::open(path).ok()?;
    let mut part = |at: u64, size: usize| -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(at)).ok()?;
        file.by_ref().take(size as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    };
    let start = part(0, 8)?;
    let kind = [
        (&b"PK\x03\x04"[..], "a zip file"),
        (b"PK\x05\x06", "a zip file"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"Rar!", "a RAR archive"),
        (b"\x1f\x8b", "a compressed archive (.gz, .tgz)"),
        (b"\xfd7zXZ", "a compressed archive (.xz)"),
        (b"BZh", "a compressed archive (.bz2)"),
        (b"\x28\xb5\x2f\xfd", "a compressed archive (.zst)"),
    ];
    let kind = kind.iter().find(|(magic, _)| start.starts_with(magic)).map(|(_, kind)| *kind);
    let is = |bytes: Option<Vec<u8>>, magic: &[u8]| bytes.is_some_and(|bytes| bytes == magic);
    let (kind, how) = match kind {
        Some(kind) => (kind, "unpack it"),
        None if is(part(257, 5), b"ustar") => ("a tar archive", "unpack it"),
        None if is(part(0x8001, 5), b"CD001") => ("an ISO image", "mount it (-o loop)"),
        None if is(part(510, 2), b"\x55\xaa") => ("an image of a disk", "mount it (-o loop)"),
        None => return None,
    };
    Some(format!("this is {kind}, not a kit: {how}, and name the folder sftunnel-kit-... in it"))
}

/// Recognises an armored bundle that was changed in a way not explained here.
fn armored(path: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(limits::BUNDLE).read_to_end(&mut start).ok()?;
    let is_one = decode::lossy(&start).to_ascii_uppercase().contains("AGE ENCRYPTED FILE");
    is_one.then(|| {
        "this is a bundle as text, but not all of it came as it was: copy it again, from the line BEGIN to the line END, with nothing in between".to_owned()
    })
}

/// Describes how a program that took a file of ours for text has changed it; `None` if none did.
pub fn changed_as_text(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\xef\xbb\xbf") {
        Some("begins with a byte order mark, which an editor or a transfer has added")
    } else if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        Some("was made UTF-16 by an editor or a transfer")
    } else if bytes.contains(&b'\r') {
        Some(
            "has other line ends (CR) than it was made with: a transfer in text mode, or an editor",
        )
    } else {
        None
    }
}

/// Replaces each `\r\n` by `\n`.
pub(crate) fn without_carriage_returns(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
            kept.push(*byte);
        }
    }
    kept
}

/// Returns true for a path in a kit that file systems or other machines leave behind.
pub(crate) fn is_left_by_systems(path: &OsStr) -> bool {
    const NAMES: [&str; 16] = [
        "System Volume Information",
        "$RECYCLE.BIN",
        "RECYCLER",
        "Thumbs.db",
        "desktop.ini",
        ".DS_Store",
        ".Trashes",
        ".fseventsd",
        ".Spotlight-V100",
        ".TemporaryItems",
        ".DocumentRevisions-V100",
        ".apdisk",
        ".metadata_never_index",
        "__MACOSX",
        "lost+found",
        "TRANS.TBL",
    ];
    let path = path.to_string_lossy();
    let path = path.trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or(path);
    name.starts_with("._")
        || name.starts_with(".Trash-")
        || name.starts_with(".fuse_hidden")
        || NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
        || (name.starts_with("FSCK") && name.ends_with(".REC"))
        || (name.starts_with("FOUND.") && name.len() == 9)
}

/// Quotes a path for a shell, as many sticks have a blank in their name.
fn shown(path: &Path) -> String {
    shell_quote(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_editor_or_transfer_did_is_named() {
        for (bytes, word) in [
            (&b"\xef\xbb\xbf{}\n"[..], "byte order mark"),
            (b"\xff\xfe{\0}\0", "UTF-16"),
            (b"{\r\n}\r\n", "line ends"),
        ] {
            assert!(changed_as_text(bytes).unwrap().contains(word), "{word}");
        }
        assert_eq!(changed_as_text(b"{\n}\n"), None);
        assert_eq!(without_carriage_returns(b"\ra\r\nb\r\r\n\r"), b"\ra\nb\r\n\r");
    }

    #[test]
    fn names_of_bare_file_systems_are_known() {
        for name in
            ["KIT.JSON", "KIT.JSO", "KIT~1.JSO", "KIT.JSO;1", "KIT.JSON;1", "Kit.json", "kit~1.jso"]
                .into_iter()
                .chain(["SHA256SU", "SHA256SU.;1", "SHA256~1", "SHA256SUMS.;1", "sha256sums"])
        {
            assert!(is_shortened(name), "{name}");
        }
        for name in ["kit.json", "SHA256SUMS", "kit.json.txt", "KITTEN.JPG", "bundles"] {
            assert!(!is_shortened(name), "{name}");
        }
    }

    #[test]
    fn what_systems_leave_is_told_apart_from_strangers() {
        for name in
            ["._kit.json", "bundles/._x", "System Volume Information/", "THUMBS.DB", "FSCK0001.REC"]
        {
            assert!(is_left_by_systems(OsStr::new(name)), "{name}");
        }
        for name in ["run-me.sh", "bin/sftunnel-install", ".profile", "FOUND.", "_"] {
            assert!(!is_left_by_systems(OsStr::new(name)), "{name}");
        }
    }
}
