//! The form of a credential file: optional text, one PEM block as OpenSSL writes it, and nothing
//! else.
//!
//! OpenSSL takes the first block of the kind that it looks for and ignores the rest. So a file with
//! more in it works, may carry what nobody meant to hand out (a private key in the file of a
//! certificate, which everybody may read), and may be read in two ways by two readers.

use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use super::CredentialsError;
use crate::device::CredentialFile;
use crate::limits;

const BEGIN: &[u8] = b"-----BEGIN ";
const DASHES: &[u8] = b"-----";
/// Characters in a line of a block, but for the last (RFC 7468, section 2).
const WIDTH: usize = 64;
/// The longest line of text that OpenSSL reads in one piece. To OpenSSL the rest is another line,
/// which may begin like a block.
const TEXT_LINE: usize = 253;
/// Marks of a private key, in PEM and as `openssl pkey -text` prints it.
const KEY_MARKS: [&[u8]; 2] = [b"PRIVATE KEY", b"Private-Key:"];
/// Lines before the secret numbers in that text, for RSA and other kinds of key.
const KEY_LINES: [&[u8]; 3] = [b"privateExponent:", b"prime1:", b"priv:"];
/// Longest run of base64 or hex digits that may be text. Longer ones are data that lost its first
/// and last line, or was encoded once more. A line of base64 has 64 digits, one of `xxd -p` 60.
const ENCODED: usize = 48;

/// Reasons why a file is not one block in the form that OpenSSL writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// There is no block.
    #[error("it holds no PEM block")]
    None,
    /// There is a second block, of any kind.
    #[error("it holds a second PEM block")]
    Second,
    /// The block is of another kind.
    #[error("its PEM block is of another kind")]
    Kind,
    /// The key is under a passphrase, which sftunnel does not have.
    #[error("the key is under a passphrase")]
    Encrypted,
    /// There is a NUL, which ends the text for some readers and not for others.
    #[error("it holds a NUL byte")]
    Nul,
    /// Text before the block looks like part of one or like something encoded, or its line is too
    /// long.
    #[error("line {line}, before the block, is no line of plain text")]
    Text {
        /// Line number, counted from 1.
        line: usize,
    },
    /// A line of the block has another form: not 64 characters of base64, blanks, a header.
    #[error("line {line} is not one that OpenSSL writes")]
    Line {
        /// Line number, counted from 1.
        line: usize,
    },
    /// The line that ends the block is missing.
    #[error("the PEM block has no end")]
    End,
    /// Something other than line ends follows the block.
    #[error("text follows the PEM block")]
    After,
    /// The base64 or its content is not one value, or not of that kind.
    #[error("the content of its PEM block is damaged")]
    Content,
}

/// Returns true if a file that is not meant for a key shows a private key anywhere.
pub(super) fn shows_private_key(file: &[u8]) -> bool {
    KEY_MARKS.iter().any(|mark| find(file, mark).is_some())
        || file.split(|byte| *byte == b'\n').any(|line| KEY_LINES.contains(&line.trim_ascii()))
}

/// Decodes the only block of a file in the strict form, whose label has to be one of `labels`.
/// Lines may end in CR LF, as OpenSSL reads them; only line ends may follow the last.
pub(super) fn sole_block(file: &[u8], labels: &[&str]) -> Result<Zeroizing<Vec<u8>>, PemError> {
    if file.contains(&0) {
        return Err(PemError::Nul);
    }
    let start = find(file, BEGIN).ok_or(PemError::None)?;
    let (text, block) = file.split_at_checked(start).ok_or(PemError::None)?;
    if block.get(BEGIN.len()..).is_some_and(|rest| find(rest, BEGIN).is_some()) {
        return Err(PemError::Second);
    }
    let lines_before = check_text(text)?;
    let mut lines = block.split(|byte| *byte == b'\n').map(without_return).zip(lines_before + 1..);
    let label = lines.next().and_then(|(line, _)| label(line)).ok_or(PemError::Kind)?;
    if label == b"ENCRYPTED PRIVATE KEY" {
        return Err(PemError::Encrypted);
    }
    if !labels.iter().any(|known| known.as_bytes() == label) {
        return Err(PemError::Kind);
    }
    let end = [b"-----END ", label, DASHES].concat();
    // as large as it can become: a buffer that moves leaves a copy behind
    let mut base64 = Zeroizing::new(Vec::with_capacity(block.len()));
    loop {
        let (line, number) = lines.next().ok_or(PemError::End)?;
        if line == end {
            break;
        }
        let is_whole = base64.len() % WIDTH == 0 && !line.is_empty() && line.len() <= WIDTH;
        if !is_whole || !line.iter().all(|byte| is_base64(*byte)) {
            return Err(PemError::Line { line: number });
        }
        base64.extend_from_slice(line);
    }
    if lines.any(|(line, _)| !line.is_empty()) {
        return Err(PemError::After);
    }
    let mut der = Zeroizing::new(vec![0; base64.len()]);
    let size = BASE64_STANDARD.decode_slice(&*base64, &mut der).map_err(|_| PemError::Content)?;
    der.truncate(size);
    if is_one_value(&der) { Ok(der) } else { Err(PemError::Content) }
}

/// Checks the text before a block and returns its number of lines.
fn check_text(text: &[u8]) -> Result<usize, PemError> {
    let lines = text.split(|byte| *byte == b'\n');
    let mut count = 0;
    for line in lines {
        count += 1;
        let is_text = line.len() <= TEXT_LINE && find(line, DASHES).is_none();
        if !is_text || line.split(is_no_digit).any(|word| word.len() >= ENCODED) {
            return Err(PemError::Text { line: count });
        }
    }
    match text.last() {
        None | Some(b'\n') => Ok(count - 1),
        // the block begins in the middle of a line, where OpenSSL does not see it
        Some(_) => Err(PemError::Text { line: count }),
    }
}

fn label(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(BEGIN)?.strip_suffix(DASHES)
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Returns true for bytes that are no base64 or hex digits. `=` is not a digit here, since texts
/// draw rules with it.
fn is_no_digit(byte: &u8) -> bool {
    !is_base64(*byte) || *byte == b'='
}

/// Returns true if DER is one SEQUENCE with nothing after it; OpenSSL ignores trailing bytes.
fn is_one_value(der: &[u8]) -> bool {
    let Some((0x30, rest)) = der.split_first().map(|(tag, rest)| (*tag, rest)) else {
        return false;
    };
    match rest.split_first() {
        Some((&short, content)) if short < 0x80 => content.len() == usize::from(short),
        Some((&long, rest)) if (0x81..=0x84).contains(&long) => {
            rest.split_at_checked(usize::from(long & 0x0f)).is_some_and(|(size, content)| {
                size.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)) == content.len()
            })
        }
        _ => false,
    }
}

fn find(all: &[u8], what: &[u8]) -> Option<usize> {
    all.windows(what.len()).position(|part| part == what)
}

/// Strictness about the form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The form that OpenSSL writes: required of everything packed and installed.
    Written,
    /// Any form that OpenSSL reads: accepted of files found live.
    Found,
}

pub(super) fn check_size(pem: &[u8], file: CredentialFile) -> Result<(), CredentialsError> {
    if pem.len() as u64 > limits::PEM {
        return Err(CredentialsError::TooLarge { file });
    }
    if pem.trim_ascii().is_empty() {
        return Err(CredentialsError::Empty { file });
    }
    Ok(())
}

pub(super) fn count_blocks(pem: &[u8], label: &str) -> usize {
    pem.split(|byte| *byte == b'\n')
        .filter_map(|line| line.trim_ascii().strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----"))
        .filter(|found| found.ends_with(label.as_bytes()))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::tests::checked_set;
    use crate::credentials::{Certificate, Credentials, CredentialsError};
    use crate::device::CredentialFile;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::rsa::Rsa;

    fn certificate_and_key() -> [String; 2] {
        let set = checked_set();
        [CredentialFile::Certificate, CredentialFile::Key]
            .map(|file| String::from_utf8(set.files().file(file).to_vec()).unwrap())
    }

    #[test]
    fn text_before_and_line_ends_are_all_that_may_surround_the_block() {
        let [pem, key] = certificate_and_key();
        let subject = format!("        Subject: {}\n", "title = InternalCA, ".repeat(11));
        assert!(subject.len() > 200);
        let rule = "=".repeat(72);
        let x509_text =
            format!("{rule}\nCertificate:\n    Data:\n        Version: 1 (0x0)\n{subject}{pem}");
        let crlf = format!("text\n{pem}").replace('\n', "\r\n");
        let (open, blank) = (pem.trim_end(), format!("{pem}\n\r\n\n"));
        for good in [&pem, &x509_text, &crlf, open, &blank, &format!("\n\n{pem}")] {
            Certificate::from_pem(good.as_bytes(), CredentialFile::Ca).unwrap();
        }
        for good in [&key, &format!("text\r\n{key}\n"), key.trim_end()] {
            sole_block(good.as_bytes(), &["PRIVATE KEY"]).unwrap();
        }
    }

    #[test]
    fn what_openssl_would_pass_over_is_refused() {
        let [pem, key] = certificate_and_key();
        let line = |number: usize| pem.lines().nth(number - 1).unwrap();
        let long = pem.replacen(&format!("{}\n", line(2)), line(2), 1);
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let of_width = |width: usize| {
            let lines: Vec<_> =
                base64.as_bytes().chunks(width).map(String::from_utf8_lossy).collect();
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            )
        };
        let of_content = |der: &[u8]| {
            let text = BASE64_STANDARD.encode(der);
            let lines: Vec<_> =
                text.as_bytes().chunks(WIDTH).map(String::from_utf8_lossy).collect();
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            )
        };
        let der = BASE64_STANDARD.decode(&base64).unwrap();
        assert_eq!((of_width(64), of_content(&der)), (pem.clone(), pem.clone()));
        // a length in more bytes than necessary: OpenSSL reads that, but writes it in fewer
        let wide = [&[0x30, 0x83, 0], &der[2..]].concat();
        let header = pem.replacen('\n', "\nProc-Type: 4,CLEAR\n\n", 1);
        // OpenSSL ends a line after 254 characters and takes the rest for the next
        let hidden = format!("{}-----BEGIN CERTIFICATE-----\n{pem}", "x".repeat(254));
        let at = |number| PemError::Line { line: number };
        let before = |number| PemError::Text { line: number };
        let bad = [
            (String::new(), PemError::None),
            ("nonsense".to_owned(), PemError::None),
            (pem.repeat(2), PemError::Second),
            (format!("{pem}-----BEGIN X509 CRL-----\n"), PemError::Second),
            (hidden, PemError::Second),
            (format!("{}\n{pem}", "x".repeat(254)), before(1)),
            (format!("text\n---- ----- ----\n{pem}"), before(2)),
            (format!("text\n {pem}"), before(2)),
            (format!("x{pem}"), before(1)),
            (format!("text\n{}\n{pem}", line(2)), before(2)),
            (format!("text {}\n{pem}", "0f".repeat(24)), before(1)),
            (pem.replace("CERTIFICATE", "X509 CERTIFICATE"), PemError::Kind),
            (pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE"), PemError::Kind),
            (pem.replacen("-----\n", "----- \n", 1), PemError::Kind),
            (pem.replacen("MII", "MII\0", 1), PemError::Nul),
            (format!("{pem}\0"), PemError::Nul),
            (long, at(2)),
            (of_width(76), at(2)),
            (of_width(63), at(3)),
            (of_width(10_000), at(2)),
            (pem.replacen('\n', "\n\n", 1), at(2)),
            (pem.replacen("\nMII", "\n MII", 1), at(2)),
            (pem.replacen("MII", "MI-", 1), at(2)),
            (header, at(2)),
            (pem.replacen("-----END", "----END", 1), at(pem.lines().count())),
            (pem.replacen("END CERTIFICATE", "END X", 1), at(pem.lines().count())),
            (pem.split("-----END").next().unwrap().trim_end().to_owned(), PemError::End),
            (format!("{pem}text"), PemError::After),
            (format!("{pem} \n"), PemError::After),
            (pem.replacen("MII", "MI=", 1), PemError::Content),
            (of_content(&[&der[..], b"tail"].concat()), PemError::Content),
            (of_content(&der[..der.len() - 1]), PemError::Content),
            (of_content(&wide), PemError::Content),
            (of_content(b""), at(2)),
            (of_content(b"\x30\x80\x00\x00"), PemError::Content),
            (of_content(&[0x30, 0x03, 1, 1, 0]), PemError::Content),
        ];
        for (text, problem) in bad {
            let error = Certificate::from_pem(text.as_bytes(), CredentialFile::Ca).unwrap_err();
            let found = match error {
                CredentialsError::NotPem { problem, .. } => problem,
                CredentialsError::Empty { .. } => Some(PemError::None),
                _ => None,
            };
            // a SEQUENCE that is no certificate is left to OpenSSL
            assert_eq!(found.unwrap_or(PemError::Content), problem, "{text}");
        }
        let of_key: String = key.lines().filter(|line| !line.starts_with('-')).collect();
        let with_tail =
            of_content(&[&BASE64_STANDARD.decode(of_key).unwrap()[..], b"tail"].concat());
        for (text, problem) in [
            (format!("{pem}{key}"), PemError::Second),
            (key.repeat(2), PemError::Second),
            (with_tail.replace("CERTIFICATE", "PRIVATE KEY"), PemError::Content),
            (pem, PemError::Kind),
            (key.replace("PRIVATE", "ENCRYPTED PRIVATE"), PemError::Encrypted),
        ] {
            assert_eq!(sole_block(text.as_bytes(), &["PRIVATE KEY"]).unwrap_err(), problem);
        }
    }

    #[test]
    fn a_private_key_is_seen_wherever_it_stands() {
        let [pem, key] = certificate_and_key();
        let shown = "Private-Key: (2048 bit, 2 primes)\nmodulus:\n    00:c4\n";
        let cut = "    priv:\n        00:c4\n";
        let bad = ["----BEGIN PRIVATE KEY----\n", shown, cut].map(|text| format!("{text}{pem}"));
        for text in [&format!("{pem}{key}"), &format!("{key}{pem}")].into_iter().chain(&bad) {
            let file = CredentialFile::Certificate;
            let error = Certificate::from_pem(text.as_bytes(), file).unwrap_err();
            assert_eq!(error, CredentialsError::PrivateKey { file });
        }
        // a live file is read as OpenSSL reads it, and passed on without the key
        let found = format!("{pem}{key}");
        let found = Certificate::as_found(found.as_bytes(), CredentialFile::Certificate).unwrap();
        assert_eq!(String::from_utf8(found.to_pem().unwrap()).unwrap(), pem);
    }

    #[test]
    fn a_set_is_strict_when_it_is_packed_and_lenient_where_it_is_found() {
        let set = checked_set();
        let file = |file| set.files().file(file).to_vec();
        let [ca, certificate, key] = CredentialFile::ALL.map(file);
        let pasted = [&certificate[..], &key].concat();
        for [ca, certificate, key] in [
            [&ca, &pasted, &key],
            [&[&ca[..], &key].concat(), &certificate, &key],
            [&ca, &certificate, &pasted],
        ] {
            let copy = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
            let set = || Credentials::new(copy(ca), copy(certificate), copy(key));
            set().check().unwrap_err();
            set().check_as_found().unwrap();
        }
    }

    #[test]
    fn older_forms_of_keys_are_keys() {
        let rsa = Rsa::generate(2048).unwrap().private_key_to_pem().unwrap();
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let ec = EcKey::generate(&group).unwrap().private_key_to_pem().unwrap();
        for key in [rsa, ec] {
            super::super::private_key::read(&key, super::Form::Written).unwrap();
        }
    }
}
