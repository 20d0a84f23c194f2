//! What a box opens with nothing but a shell and `openssl`: three files sealed under a generated
//! passphrase, and lines that arrive whole or are named. `FORMAT.md` has `sftunnel-paste/1`.
//!
//! The passphrase has 96 bits, so PBKDF2 only has to be slow enough not to help. Encrypt, then MAC,
//! each under a salt of its own. The MAC is HMAC-SHA-256 whose key is the key stream of AES-256-CTR:
//! so a shell can use it and never has it in an argument list.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkcs5::pbkdf2_hmac;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use openssl::symm::{Cipher, encrypt};
use zeroize::Zeroizing;

use crate::bundle::gzip::gzip;
use crate::checksum::Sha256;
use crate::credentials::CheckedCredentials;
use crate::device::{CredentialFile, DeviceUuid, ManagerUuid};
use crate::seal::Passphrase;
use crate::timestamp::Timestamp;

/// The format's name; the first line of what is sealed.
pub const FORMAT: &str = "sftunnel-paste/1";
/// Rounds of PBKDF2-HMAC-SHA-256, as OWASP has them for SHA-256 (2023).
pub const ROUNDS: usize = 600_000;
/// Bytes of a salt, as `openssl enc` reads it.
pub const SALT: usize = 8;
/// Mark that `openssl enc` puts before the salt.
const SALTED: &[u8; SALT] = b"Salted__";
/// Size of an AES-256 key, and of the counter block after it.
const KEY: usize = 32;
const IV: usize = 16;
/// SHA-256's block, and so the longest key that HMAC takes as it is.
const BLOCK: usize = 64;

/// Salts of one text; never used twice.
#[derive(Debug, Clone, Copy)]
pub struct Salts {
    /// Of the encryption.
    pub seal: [u8; SALT],
    /// Of the MAC.
    pub mac: [u8; SALT],
}

/// The files of one text, and whose they are.
#[derive(Debug)]
pub struct Content<'a> {
    /// The three files.
    pub credentials: &'a CheckedCredentials,
    /// The device that they belong on.
    pub device: &'a DeviceUuid,
    /// Manager at the other end of the tunnel.
    pub manager: &'a ManagerUuid,
    /// The time by the clock of who makes the text.
    pub created_at: Timestamp,
}

/// A reason why a text cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum PasteError {
    /// Only a generated passphrase is long enough for what anybody may record and try at leisure.
    #[error("not a generated passphrase of six words")]
    Weak,
    /// The files could not be packed.
    #[error("packing failed: {0}")]
    Pack(#[from] std::io::Error),
    /// The cryptographic library failed; no detail, it could name key material.
    #[error("the cryptographic library failed")]
    Library,
}

impl From<ErrorStack> for PasteError {
    fn from(_: ErrorStack) -> Self {
        Self::Library
    }
}

/// Files that only the passphrase opens.
#[derive(Debug)]
pub struct Sealed {
    /// What `openssl enc -d` reads: mark, salt, ciphertext.
    pub bytes: Vec<u8>,
    /// Over the clear script and these bytes.
    pub mac: Sha256,
}

/// Seals the content. The MAC covers `script` as well, which opens it on the box.
///
/// # Errors
/// See [`PasteError`].
pub fn seal(
    content: &Content<'_>,
    passphrase: &Passphrase,
    script: &[u8],
    salts: Salts,
) -> Result<Sealed, PasteError> {
    if !passphrase.is_generated() {
        return Err(PasteError::Weak);
    }
    let letters = letters(passphrase);
    let clear = gzip(|member| member.write_all(&plaintext(content)))?;
    let mut bytes = [&SALTED[..], &salts.seal].concat();
    bytes.extend(key_stream_over(&letters, &salts.seal, &clear)?);
    let key = Zeroizing::new(key_stream_over(&letters, &salts.mac, &[0; BLOCK])?);
    let mut signer = Signer::new(MessageDigest::sha256(), &*PKey::hmac(&key)?)?;
    signer.update(script)?;
    signer.update(&bytes)?;
    let mac: [u8; 32] = signer.sign_to_vec()?.try_into().map_err(|_| PasteError::Library)?;
    Ok(Sealed { bytes, mac: Sha256::from_bytes(mac) })
}

/// The sealed bytes as text.
pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// The passphrase as it counts: without hyphens, so that any spelling of it is the same.
fn letters(passphrase: &Passphrase) -> Zeroizing<Vec<u8>> {
    let canonical = passphrase.canonical();
    let mut letters = Zeroizing::new(Vec::with_capacity(canonical.expose().len()));
    letters.extend(canonical.expose().bytes().filter(u8::is_ascii_lowercase));
    letters
}

/// `openssl enc -aes-256-ctr -pbkdf2` without its header.
fn key_stream_over(letters: &[u8], salt: &[u8], bytes: &[u8]) -> Result<Vec<u8>, ErrorStack> {
    let mut derived = Zeroizing::new([0; KEY + IV]);
    pbkdf2_hmac(letters, salt, ROUNDS, MessageDigest::sha256(), &mut *derived)?;
    let (key, iv) = derived.split_at(KEY);
    encrypt(Cipher::aes_256_ctr(), key, Some(iv), bytes)
}

/// Five lines of facts, then the three files one after the other.
fn plaintext(content: &Content<'_>) -> Zeroizing<Vec<u8>> {
    let Content { credentials, device, manager, created_at } = content;
    let (ca, certificate) = (credentials.ca().facts(), credentials.certificate().facts());
    let from = ca.not_before.max(certificate.not_before).unix();
    let to = ca.not_after.min(certificate.not_after).unix();
    let files = CredentialFile::ALL.map(|file| ended(credentials.files().file(file)));
    let rows = files.each_ref().map(|file| file.iter().filter(|byte| **byte == b'\n').count());
    let [of_ca, of_certificate, of_key] = rows;
    let facts = format!(
        "format {FORMAT}\ndevice {device}\nmanager {manager}\ntimes {} {from} {to}\nrows {of_ca} {of_certificate} {of_key}\n",
        created_at.unix()
    );
    let size = facts.len() + files.iter().map(|file| file.len()).sum::<usize>();
    let mut text = Zeroizing::new(Vec::with_capacity(size));
    text.extend_from_slice(facts.as_bytes());
    files.iter().for_each(|file| text.extend_from_slice(file));
    text
}

/// The file as a shell hands it on: with one line feed at its end.
fn ended(file: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut ended = Zeroizing::new(Vec::with_capacity(file.len() + 1));
    ended.extend_from_slice(file.trim_ascii_end());
    ended.push(b'\n');
    ended
}

/// Numbers lines from 001: `#`, number, check value, text. A shell that gets one by itself takes it for a
/// comment.
pub fn numbered<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.zip(1..).fold(String::new(), |mut text, (line, number): (&str, usize)| {
        let check = Sha256::of(format!("{number:03} {line}").as_bytes()).to_string();
        let _ = writeln!(text, "#{number:03} {check:.3} {line}");
        text
    })
}

#[cfg(test)]
mod tests;
