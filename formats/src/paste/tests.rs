//! Tests of the module above; what is sealed is opened by the system's `openssl`, as on a box.

use std::io::Write as _;
use std::process::{Command, Stdio};

use flate2::read::GzDecoder;
use std::io::Read as _;

use super::*;
use crate::credentials::tests::{DEVICE, checked_set};

const MANAGER: &str = "cdb123c8-4347-11ef-aca1-f3aa241412a1";
const SALTS: Salts = Salts { seal: *b"12345678", mac: *b"abcdefgh" };

fn passphrase() -> Passphrase {
    Passphrase::generated(b"sixwordsof16")
}

fn openssl(args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}");
    output.stdout
}

fn unlocked(salted: &[u8]) -> Vec<u8> {
    let letters = passphrase().canonical().expose().replace('-', "");
    let pass = format!("pass:{letters}");
    let args = ["enc", "-d", "-aes-256-ctr", "-pbkdf2", "-iter", "600000", "-md", "sha256"];
    openssl(&[&args[..], &["-pass", &pass]].concat(), salted)
}

fn digest(parts: &[&[u8]]) -> Vec<u8> {
    openssl(&["dgst", "-sha256", "-binary"], &parts.concat())
}

fn sealed(credentials: &CheckedCredentials) -> Sealed {
    let (device, manager) = (DEVICE.parse().unwrap(), MANAGER.parse().unwrap());
    let created_at = Timestamp::from_unix(1_500_000_000).unwrap();
    let content = Content { credentials, device: &device, manager: &manager, created_at };
    seal(&content, &passphrase(), b"the script", SALTS).unwrap()
}

#[test]
fn openssl_opens_what_is_sealed() {
    let credentials = checked_set();
    let clear = unlocked(&sealed(&credentials).bytes);
    let mut text = String::new();
    GzDecoder::new(&clear[..]).read_to_string(&mut text).unwrap();
    let facts: Vec<&str> = text.lines().take(5).collect();
    let [first, device, manager, times, rows] = facts[..] else { panic!("{text}") };
    assert_eq!(first, "format sftunnel-paste/1");
    assert_eq!(device, format!("device {DEVICE}"));
    assert_eq!(manager, format!("manager {MANAGER}"));
    assert_eq!(times, "times 1500000000 1000000000 2000000000");
    let rows: Vec<usize> = rows.split(' ').skip(1).map(|number| number.parse().unwrap()).collect();
    assert_eq!(text.lines().count(), 5 + rows.iter().sum::<usize>());
    let mut lines = text.split_inclusive('\n').skip(5);
    for (file, rows) in CredentialFile::ALL.into_iter().zip(rows) {
        let found: String = lines.by_ref().take(rows).collect();
        assert_eq!(found.as_bytes(), credentials.files().file(file));
    }
}

#[test]
fn its_mac_is_hmac_under_the_key_stream_of_the_second_salt() {
    let sealed = sealed(&checked_set());
    let pad = |byte| unlocked(&[&b"Salted__"[..], &SALTS.mac, &[byte; BLOCK]].concat());
    let inner = digest(&[&pad(0x36), b"the script", &sealed.bytes]);
    assert_eq!(digest(&[&pad(0x5c), &inner]), sealed.mac.as_bytes());
    let other = digest(&[&pad(0x36), b"the scripT", &sealed.bytes]);
    assert_ne!(digest(&[&pad(0x5c), &other]), sealed.mac.as_bytes());
}

#[test]
fn a_passphrase_that_somebody_made_up_is_not_taken() {
    let credentials = checked_set();
    let (device, manager) = (DEVICE.parse().unwrap(), MANAGER.parse().unwrap());
    let created_at = Timestamp::from_unix(0).unwrap();
    let content =
        Content { credentials: &credentials, device: &device, manager: &manager, created_at };
    let made_up = Passphrase::new("correct horse battery staple".to_owned());
    assert!(matches!(seal(&content, &made_up, b"", SALTS), Err(PasteError::Weak)));
}

#[test]
fn every_line_is_a_comment_with_its_number() {
    let lines = ["echo 'x'; reboot", ""];
    let text = numbered(lines.into_iter());
    // printf %s "001 echo 'x'; reboot" | sha256sum
    assert_eq!(text, "#001 1f5 echo 'x'; reboot\n#002 0e0 \n");
}
