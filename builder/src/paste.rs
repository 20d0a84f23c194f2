//! The text that is pasted at root's prompt on a box that has nothing of ours.
//!
//! ```text
//! comments, and a here-document that takes    every line is harmless where it arrives alone
//!   #001 … check.sh                           names what is missing or damaged, until all is there
//!   #NNN … device.sh                          the clear script: decides, backs up, replaces, restarts
//!   #NNN … MAC, sealed files                  opened by the passphrase that is asked for on the box
//! a loop that starts check.sh, when that itself is whole
//! ```
//! `formats/FORMAT.md` specifies it, `installer/PROTOCOL.md` says what it promises and where that is less
//! than the installer's.

use cli::process::random;
use cli::say::version::VERSION;
use formats::checksum::Sha256;
use formats::device::DeviceName;
use formats::paste::{self, Content, PasteError, Salts, Sealed};
use formats::seal::Passphrase;

/// Sees to it that every line has come whole.
const CHECK: &str = include_str!("paste/check.sh");
/// Decides and acts on the box.
const DEVICE: &str = include_str!("paste/device.sh");
/// Longest line: a terminal of 80 columns shows it behind a prompt.
const COLUMNS: usize = 76;
/// Characters of a sealed line: whole groups of base64 that fit beside number and check value.
const SEALED: usize = 64;
/// Most lines that three digits can number.
const LINES: usize = 999;

/// Reasons why no text can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Seal(#[from] PasteError),
    #[error("no random numbers: {0}")]
    Random(#[from] std::io::Error),
    /// The files hold far more than certificates and a key.
    #[error("the files make {0} lines, and {LINES} is the most")]
    TooLong(usize),
}

/// Makes the text for one device.
pub(crate) fn text(
    content: &Content<'_>,
    name: &DeviceName,
    passphrase: &Passphrase,
) -> Result<String, Error> {
    let mut salts = Salts { seal: [0; paste::SALT], mac: [0; paste::SALT] };
    random::fill(&mut salts.seal)?;
    random::fill(&mut salts.mac)?;
    let name = plain(name.as_str());
    let script = script(content, &name, &salts);
    let sealed = paste::seal(content, passphrase, script.as_bytes(), salts)?;
    let lines = lines(&script, &sealed);
    if lines.len() > LINES {
        return Err(Error::TooLong(lines.len()));
    }
    let numbered = paste::numbered(lines.iter().map(String::as_str));
    Ok(framed(&numbered, content, &name))
}

/// The clear script, for this device alone.
fn script(content: &Content<'_>, name: &str, salts: &Salts) -> String {
    let salt: String = salts.mac.iter().map(|byte| format!("\\{byte:03o}")).collect();
    DEVICE
        .replace("@DEVICE@", content.device.as_str())
        .replace("@MANAGER@", content.manager.as_str())
        .replace("@NAME@", name)
        .replace("@SALT@", &salt)
        .replace("@VERSION@", VERSION)
}

/// All lines that are numbered, in their order.
fn lines(script: &str, sealed: &Sealed) -> Vec<String> {
    let base64 = formats::paste::base64(&sealed.bytes);
    let sealed_lines = base64.as_bytes().chunks(SEALED).map(String::from_utf8_lossy);
    let behind: Vec<String> = script
        .lines()
        .map(str::to_owned)
        .chain([sealed.mac.to_string()])
        .chain(sealed_lines.map(std::borrow::Cow::into_owned))
        .collect();
    let check = CHECK.lines().count();
    let mac = check + script.lines().count() + 1;
    let last = check + behind.len();
    // what the lines after these come to, numbered as they will be
    let filler = CHECK.lines().map(str::to_owned).chain(behind.iter().cloned());
    let filler: Vec<String> = filler.collect();
    let all = paste::numbered(filler.iter().map(String::as_str));
    let at = all.split_inclusive('\n').take(check).map(str::len).sum();
    let rest = all.get(at..).unwrap_or_default();
    let sum = format!("{:.16}", Sha256::of(rest.as_bytes()).to_string());
    let check = CHECK
        .replace("@SCRIPT@", &format!("{},{}", check + 1, mac - 1))
        .replace("@CHECK@", &check.to_string())
        .replace("@MAC@", &mac.to_string())
        .replace("@LAST@", &last.to_string())
        .replace("@SUM@", &sum);
    check.lines().map(str::to_owned).chain(behind).collect()
}

/// Puts around the numbered lines what takes them in and what starts them.
fn framed(numbered: &str, content: &Content<'_>, name: &str) -> String {
    let check = CHECK.lines().count();
    let text: String =
        numbered.split_inclusive('\n').take(check).filter_map(|line| line.get(9..)).collect();
    let sum = format!("{:.16}", Sha256::of(text.as_bytes()).to_string());
    format!(
        "# {}: new sftunnel certificates for {name},
# {}. Sealed: only the passphrase opens them.
# Paste all of this at root's prompt on that device, then press Enter.
# Where nothing goes on: press Ctrl-C, and paste all of it again.
unset HISTFILE; [ -z \"$BASH\" ] || set +o history
P=$(mktemp -d /dev/shm/p.XXXXXX || mktemp -d) && cat >\"$P/t\" <<':'
{numbered}:
:
g() {{ tr -d '\\r' <\"${{P:?paste it all again}}/$1\" | grep '^#[0-9]' |
LC_ALL=C sort -u | sed -n '1,{check}s/^.........//p' >\"$P/c\"
[ \"$(sha256sum <\"$P/c\" | cut -c1-16)\" = {sum} ]; }}; r=t; until g $r
do echo 'Paste lines 1-{check} again, then a line with : alone.'
sed '/^:/q' | tee \"$P/r\" >>\"$P/t\"; r=r; done; sh \"$P/c\" \"$P\"
",
        paste::FORMAT,
        content.device
    )
}

/// A name without what a shell, a line editor or a terminal might take for its own.
fn plain(name: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || " ._-".contains(*c);
    name.chars().map(|c| if is_plain(&c) { c } else { '-' }).take(COLUMNS / 3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_leave_room_for_number_and_check_value() {
        for line in CHECK.lines().chain(DEVICE.lines()) {
            let longest = line.replace("@SALT@", &"\\000".repeat(paste::SALT));
            assert!(longest.len() + 9 <= COLUMNS, "{} too long: {line}", longest.len());
            assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
            // bash would take it for a line of its history
            assert!(!line.contains('!'), "{line}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_comment() {
        assert_eq!(plain("Branch Office 7"), "Branch Office 7");
        assert_eq!(plain("x\n'; reboot !$(y)"), "x--- reboot ---y-");
    }
}
