//! How long an OpenSSH private key makes its passphrase be tried: the rounds of bcrypt, read
//! before the first of them is spent.
//!
//! The file (OpenSSH's `PROTOCOL.key`): base64 of `openssh-key-v1\0`, then strings with their
//! length in four bytes before them: cipher, name of the KDF, options of the KDF (a string of
//! salt, and the rounds as four bytes).

use base64::prelude::{BASE64_STANDARD, Engine};

const BEGIN: &[u8] = b"-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &[u8] = b"-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The rounds; `None` when it is no OpenSSH key with bcrypt.
pub(super) fn of(pem: &[u8]) -> Option<u32> {
    let rest = pem.strip_prefix(BEGIN)?;
    let body = rest.get(..rest.windows(END.len()).position(|window| window == END)?)?;
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    let (_cipher, rest) = string(bytes.strip_prefix(MAGIC)?)?;
    let (kdf, rest) = string(rest)?;
    let (options, _) = string(rest)?;
    let (_salt, rounds) = string(options)?;
    if kdf != b"bcrypt" {
        return None;
    }
    rounds.try_into().ok().map(u32::from_be_bytes)
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::super::{IdentityError, IdentityFile};
    use super::*;
    use crate::limits::BCRYPT_ROUNDS_READ;

    fn string(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    /// A key as `ssh-keygen -t ed25519` writes it, of which nothing can be decrypted.
    fn key(kdf: &str, rounds: u32) -> String {
        let options = [string(&[7; 16]), rounds.to_be_bytes().to_vec()].concat();
        let public = [string(b"ssh-ed25519"), string(&[9; 32])].concat();
        let blob = [
            MAGIC.to_vec(),
            string(b"aes256-ctr"),
            string(kdf.as_bytes()),
            string(&options),
            1u32.to_be_bytes().to_vec(),
            string(&public),
            string(&[0; 144]),
        ];
        let text = BASE64_STANDARD.encode(blob.concat());
        let lines: Vec<_> = text.as_bytes().chunks(70).map(String::from_utf8_lossy).collect();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}\n{}\n{}\n", text(BEGIN), lines.join("\n"), text(END))
    }

    #[test]
    fn the_rounds_are_read_before_any_is_spent() {
        for rounds in [1, 16, BCRYPT_ROUNDS_READ, u32::MAX] {
            assert_eq!(of(key("bcrypt", rounds).as_bytes()), Some(rounds));
        }
        assert_eq!(of(key("argon", 16).as_bytes()), None);
        assert_eq!(of(b"-----BEGIN OPENSSH PRIVATE KEY-----\n"), None);
    }

    #[test]
    fn more_rounds_than_the_limit_are_too_large() {
        let parse = |rounds| IdentityFile::parse(key("bcrypt", rounds).as_bytes());
        assert!(matches!(parse(BCRYPT_ROUNDS_READ), Ok(IdentityFile::Protected(_))));
        for rounds in [BCRYPT_ROUNDS_READ + 1, u32::MAX] {
            assert_eq!(parse(rounds).unwrap_err(), IdentityError::Rounds { rounds });
        }
    }

    #[test]
    fn a_key_cut_anywhere_has_no_rounds_or_the_same() {
        let whole = key("bcrypt", 16);
        for end in 0..whole.len() {
            let found = of(&whole.as_bytes()[..end]);
            assert!(found.is_none_or(|rounds| rounds == 16), "cut at {end}: {found:?}");
        }
    }
}
