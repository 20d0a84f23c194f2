//! The two files of a kit that people read: `README.txt` and `install.sh`.

use formats::manifest::Manager;
use formats::timestamp::Timestamp;

/// Picks the program for the box, copies it to a private place and runs it.
pub(crate) const INSTALL_SCRIPT: &str = include_str!("texts/install.sh");

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
}

/// The text of `README.txt`.
pub(crate) fn readme(facts: &ReadmeFacts<'_>) -> String {
    let host = match facts.manager.hostname.shown(40).as_str() {
        "" => String::new(),
        shown => format!("{shown}\n"),
    };
    let opening = if facts.has_passphrase {
        "It asks for the passphrase, which comes by phone and not with this folder."
    } else {
        "It asks for your identity (AGE-SECRET-KEY-1...); or add --identity FILE."
    };
    include_str!("texts/README.txt")
        .replace("{kit}", facts.kit)
        .replace("{manager}", facts.manager.uuid.as_str())
        .replace("{host}", &host)
        .replace("{batch}", &facts.batch.to_string())
        .replace("{created_at}", &facts.created_at.to_string())
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
        for has_passphrase in [true, false] {
            let text = readme(&ReadmeFacts {
                kit: "sftunnel-kit-cdb123c8-1726805447",
                manager: &manager,
                batch: 1_726_805_447,
                created_at: Timestamp::from_unix(1_726_805_447).unwrap(),
                bundles: 3,
                has_passphrase,
            });
            assert!(!text.replace("\\u{1b}", "").contains(['{', '\u{1b}']), "{text}");
            assert!(text.lines().all(|line| line.chars().count() < 80), "{text}");
            assert!(text.lines().count() <= 11, "{text}");
        }
    }
}
