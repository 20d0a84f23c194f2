//! The files of a kit that people read: `README.txt`, also in other languages, and `install.sh`.

use formats::kit::{self, KitIndex, TextEntry};

use crate::kit::error::Error;
use crate::kit::writer::KitWriter;

/// Picks the program for the box, copies it to a private place and runs it.
const INSTALL_SCRIPT: &str = include_str!("../texts/install.sh");

/// Writes them all; gives the entries of those that the index lists.
pub(crate) fn write(writer: &KitWriter, index: &KitIndex) -> Result<[TextEntry; 2], Error> {
    for (file, text) in kit::TRANSLATIONS {
        writer.file(file, text.as_bytes(), 0o644)?;
    }
    Ok([
        writer.text(kit::README, readme(index).as_bytes(), 0o644)?,
        writer.text(kit::INSTALL_SCRIPT, INSTALL_SCRIPT.as_bytes(), 0o755)?,
    ])
}

/// The boxes that programs for these architectures run on, in words.
pub(crate) fn runs_on<'a>(architectures: impl Iterator<Item = &'a str>) -> String {
    let has: Vec<&str> = architectures.collect();
    match (has.contains(&"x86_64"), has.contains(&"aarch64")) {
        (true, true) => "x86_64, aarch64".to_owned(),
        (true, false) => "x86_64, so not on a Secure Firewall 1200 (aarch64)".to_owned(),
        (false, true) => "aarch64, so on a Secure Firewall 1200 only".to_owned(),
        (false, false) => "none: no installer is in it".to_owned(),
    }
}

/// The text of `README.txt` for a kit whose index lists everything but the texts.
fn readme(index: &KitIndex) -> String {
    let manager = &index.manager;
    let host = match manager.hostname.shown(40).as_str() {
        "" => String::new(),
        shown => format!("{shown}\n"),
    };
    let opening = if index.texts.iter().any(|text| text.file == kit::IDENTITY) {
        "It asks for the passphrase, which comes by phone and not with this folder."
    } else {
        "It asks for your identity (AGE-SECRET-KEY-1...); or add --identity FILE."
    };
    include_str!("../texts/README.txt")
        .replace("{kit}", &kit::folder_name(&manager.uuid, index.batch))
        .replace("{manager}", manager.uuid.as_str())
        .replace("{host}", &host)
        .replace("{batch}", &index.batch.to_string())
        .replace("{created_at}", &index.created_at.to_string())
        .replace("{runs_on}", &runs_on(index.installers.iter().map(|one| one.arch.as_str())))
        .replace("{bundles}", &index.bundles.len().to_string())
        .replace("{opening}", opening)
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::bundle::manifest::Manager;
    use formats::kit::InstallerEntry;
    use formats::signature::{SignerEntry, SigningKey};
    use formats::timestamp::Timestamp;

    #[test]
    fn the_readme_fits_a_console() {
        let sha256 = formats::checksum::Sha256::of(b"");
        let identity = TextEntry { file: kit::IDENTITY.to_owned(), size: 0, sha256 };
        let both = kit::ARCHITECTURES.map(|arch| {
            let file = kit::installer_file(arch);
            InstallerEntry { arch: arch.to_owned(), file, size: 0, sha256 }
        });
        let key = SigningKey::generate().unwrap();
        for (texts, installers) in [
            (vec![identity.clone()], &both[..]),
            (vec![], &both[..1]),
            (vec![identity], &both[1..]),
            (vec![], &[]),
        ] {
            let has_passphrase = !texts.is_empty();
            let text = readme(&KitIndex {
                format: kit::FORMAT.to_owned(),
                manager: Manager {
                    uuid: "cdb123c8-4347-11ef-aca1-f3aa241412a1".parse().unwrap(),
                    hostname: "fmc of the example".parse().unwrap(),
                },
                batch: 1_726_805_447,
                source: None,
                created_at: Timestamp::from_unix(1_726_805_447).unwrap(),
                signer: SignerEntry::of(key.verifying_key().unwrap()),
                built_by: None,
                handoffs: Vec::new(),
                bundles: Vec::new(),
                installers: installers.to_vec(),
                texts,
            });
            assert!(!text.replace("\\u{1b}", "").contains(['{', '\u{1b}']), "{text}");
            assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
            assert!(text.lines().count() <= 20, "{text}");
            assert_eq!(text.contains("asks for the passphrase"), has_passphrase, "{text}");
            let says = |arch: &str| {
                text.lines().any(|line| line.contains("runs on") && line.contains(arch))
            };
            assert_eq!(says("none"), installers.is_empty(), "{text}");
            assert!(installers.iter().all(|one| says(&one.arch)), "{text}");
        }
    }
}
