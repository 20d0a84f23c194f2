//! Armored files as people hand them on: in a mail, out of a terminal, through a word processor.
//!
//! A file that age reads is left alone. Otherwise the text between the two marks is taken, without
//! what surrounds its lines (blanks, `>`, quote marks) and however these are broken, but only if
//! the result is base64 throughout. That is safe, as the content proves itself; without it such a
//! bundle would have to be sent again.

use std::borrow::Cow;
use std::io;

use age::armor::ArmoredReader;

use super::{ARMOR_BEGIN, BINARY_BEGIN, OpenError};
use crate::armor::{AGE, Cut, without_terminal};
use crate::decode;

/// Restores a sealed file to the form of age from one that a person copied. A file that cannot be
/// mended is returned as it is.
///
/// # Errors
/// Returns [`OpenError::TextMode`], [`OpenError::CutArmor`] or [`OpenError::TwoArmored`].
pub fn recovered(sealed: &[u8]) -> Result<Cow<'_, [u8]>, OpenError> {
    if sealed.starts_with(BINARY_BEGIN) || is_armor(sealed) {
        return Ok(Cow::Borrowed(sealed));
    }
    let text = decode::lossy(sealed);
    if text.starts_with("age-encryption.org/v1\n") {
        return Err(OpenError::TextMode);
    }
    let text = without_terminal(&text);
    let blocks = AGE.blocks(&text).map_err(|cut| match cut {
        Cut::NoEnd => OpenError::CutArmor,
        Cut::TwoBegin => OpenError::TwoArmored,
    })?;
    let body = match blocks.as_slice() {
        [] => return Ok(Cow::Borrowed(sealed)),
        [body] => body,
        _ => return Err(OpenError::TwoArmored),
    };
    let armored = |bytes: Vec<u8>| Cow::Owned(AGE.text(&bytes).into_bytes());
    Ok(body.bytes().map_or(Cow::Borrowed(sealed), armored))
}

fn is_armor(sealed: &[u8]) -> bool {
    let trimmed = sealed.trim_ascii_start();
    trimmed.starts_with(ARMOR_BEGIN)
        && io::copy(&mut ArmoredReader::new(trimmed), &mut io::sink()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::{Encoding, NewIdentity, seal};

    fn sealed(encoding: Encoding) -> Vec<u8> {
        seal(&[7; 300], &[NewIdentity::generate().recipient()], encoding).unwrap()
    }

    #[test]
    fn what_age_reads_is_left_alone() {
        let armored = String::from_utf8(sealed(Encoding::Armored)).unwrap();
        for file in [
            sealed(Encoding::Binary),
            armored.clone().into_bytes(),
            armored.replace('\n', "\r\n").into_bytes(),
            format!("\n {armored}\n").into_bytes(),
            b"something else".to_vec(),
            b"".to_vec(),
        ] {
            assert!(matches!(recovered(&file), Ok(Cow::Borrowed(same)) if same == file));
        }
    }

    #[test]
    fn armor_is_taken_out_of_what_people_put_around_it() {
        let armored = String::from_utf8(sealed(Encoding::Armored)).unwrap();
        let with = |before: &str, end: &str| -> String {
            armored.lines().map(|line| format!("{before}{line}{end}")).collect()
        };
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let bytes = |text: String| text.into_bytes();
        let one_line = armored.replace('\n', " ");
        let broken = |line: &str| match line.split_at_checked(40) {
            Some((one, two)) => format!("{one}\n{two}\n"),
            None => format!("{line}\n"),
        };
        let wrapped: String = armored.lines().map(broken).collect();
        for file in [
            bytes(format!("\u{feff}{armored}")),
            utf16(&armored),
            utf16(&format!("\u{feff}{}", with("", "\r\n"))),
            bytes(with("", "\r")),
            bytes(with("> ", "\n")),
            bytes(with(">> >", "\r\n")),
            bytes(with("\t  ", " \n")),
            bytes(with("\u{a0}", "\u{200b}\n")),
            bytes(format!("“{armored}”")),
            bytes(format!("root@fmc:~# cat x\n{armored}root@fmc:~# \n-- \nRegards")),
            bytes(armored.replace("-----", "—–-")),
            bytes(one_line),
            bytes(wrapped),
            bytes(armored.replace('\n', "\n\n")),
            bytes(armored.replace('=', "")),
            bytes(with("\u{1b}[32m", "\u{1b}[0m\r\n")),
            bytes(with("| ", " |\n")),
            bytes(armored.replacen('\n', "\n--More--(7%)\r            \r", 2)),
            bytes(armored.replacen('\n', "\n<--- More --->\r", 2)),
            bytes(armored.replace("AGE ENC", "AGE\u{a0}ENC")),
        ] {
            let found = recovered(&file).unwrap();
            assert_eq!(
                String::from_utf8_lossy(&found),
                armored,
                "{}",
                String::from_utf8_lossy(&file)
            );
        }
    }

    #[test]
    fn what_cannot_be_mended_says_why_or_stays_as_it_is() {
        let armored = String::from_utf8(sealed(Encoding::Armored)).unwrap();
        let cut = armored.split_once("-----END").unwrap().0;
        assert_eq!(recovered(cut.as_bytes()), Err(OpenError::CutArmor));
        assert_eq!(recovered(format!("{armored}{armored}").as_bytes()), Err(OpenError::TwoArmored));
        let mut text_mode = sealed(Encoding::Binary);
        text_mode.insert(BINARY_BEGIN.len() - 1, b'\r');
        assert_eq!(recovered(&text_mode), Err(OpenError::TextMode));
        let foreign = armored.replacen('\n', "\nVersion: 1\n", 2);
        assert!(matches!(recovered(foreign.as_bytes()), Ok(Cow::Borrowed(_))));
    }
}
