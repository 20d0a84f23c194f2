//! The two files of a kit that people read: `README.txt` and `install.sh`.

use cli::say::exit::Failure;
use formats::bundle::manifest::Manager;
use formats::kit::{self, InstallerEntry, TextEntry};
use formats::timestamp::Timestamp;

use crate::kit::writer::KitWriter;

/// Picks the program for the box, copies it to a private place and runs it.
const INSTALL_SCRIPT: &str = include_str!("../texts/install.sh");

/// What `README.txt` depends on.
#[derive(Debug)]
pub(crate) struct ReadmeFacts<'a> {
    /// The folder's name.
    pub kit: &'a str,
    /// Whose tunnels.
    pub manager: &'a Manager,
    /// The run of `generate_certs.pl`.
    pub batch: u64,
    /// When the kit was made.
    pub created_at: Timestamp,
    /// How many bundles.
    pub bundles: usize,
    /// Whether it holds `kit.identity.age`.
    pub has_passphrase: bool,
    /// The programs in it.
    pub installers: &'a [InstallerEntry],
}

/// Writes both; gives their entries for the index.
///
/// # Errors
/// Those of the writer.
pub(crate) fn write(
    writer: &KitWriter,
    facts: &ReadmeFacts<'_>,
) -> Result<[TextEntry; 2], Failure> {
    Ok([
        writer.text(kit::README, readme(facts).as_bytes(), 0o644)?,
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

/// The text of `README.txt`.
fn readme(facts: &ReadmeFacts<'_>) -> String {
    let host = match facts.manager.hostname.shown(40).as_str() {
        "" => String::new(),
        shown => format!("{shown}\n"),
    };
    let opening = if facts.has_passphrase {
        "It asks for the passphrase, which comes by phone and not with this folder."
    } else {
        "It asks for your identity (AGE-SECRET-KEY-1...); or add --identity FILE."
    };
    include_str!("../texts/README.txt")
        .replace("{kit}", facts.kit)
        .replace("{manager}", facts.manager.uuid.as_str())
        .replace("{host}", &host)
        .replace("{batch}", &facts.batch.to_string())
        .replace("{created_at}", &facts.created_at.to_string())
        .replace("{runs_on}", &runs_on(facts.installers.iter().map(|one| one.arch.as_str())))
        .replace("{bundles}", &facts.bundles.to_string())
        .replace("{opening}", opening)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_fits_a_console() {
        let manager = Manager {
            uuid: "cdb123c8-4347-11ef-aca1-f3aa241412a1".parse().unwrap(),
            hostname: "fmc of the example".parse().unwrap(),
        };
        let sha256 = formats::checksum::Sha256::of(b"");
        let both = kit::ARCHITECTURES.map(|arch| {
            let file = kit::installer_file(arch);
            InstallerEntry { arch: arch.to_owned(), file, size: 0, sha256 }
        });
        for (has_passphrase, installers) in
            [(true, &both[..]), (false, &both[..1]), (true, &both[1..]), (false, &[])]
        {
            let text = readme(&ReadmeFacts {
                kit: "sftunnel-kit-cdb123c8-1726805447",
                manager: &manager,
                batch: 1_726_805_447,
                created_at: Timestamp::from_unix(1_726_805_447).unwrap(),
                bundles: 3,
                has_passphrase,
                installers,
            });
            assert!(!text.replace("\\u{1b}", "").contains(['{', '\u{1b}']), "{text}");
            assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
            assert!(text.lines().count() <= 12, "{text}");
            let says = |arch: &str| {
                text.lines().any(|line| line.contains("runs on") && line.contains(arch))
            };
            assert_eq!(says("none"), installers.is_empty(), "{text}");
            assert!(installers.iter().all(|one| says(&one.arch)), "{text}");
        }
    }
}
