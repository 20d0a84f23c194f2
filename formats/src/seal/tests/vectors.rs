//! The age test vectors of C2SP/CCTV (`fixtures/cctv-age`) through the reader that bundles
//! and `kit.identity.age` go through. Each is a file with its verdict in its head.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use super::super::identity::decrypt_protected;
use super::super::*;
use crate::checksum::Sha256;

/// The largest content of any vector.
const LIMIT: u64 = 258 * 64 * 1024;

/// Vectors whose result differs here, each with the reason.
const OTHERWISE: [(&str, &str); 2] =
    [("stanza_missing_body", BETA), ("stanza_missing_final_line", BETA)];
/// Their headers are authenticated all the same: the MAC is over the bytes as they stand.
const BETA: &str = "the age crate still reads stanzas as age's beta wrote them, without a last \
    short line, where age itself refuses them";

struct Vector {
    name: String,
    facts: BTreeMap<String, Vec<String>>,
    file: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/cctv-age"));
    let names = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
    let is_vector =
        |path: &PathBuf| path.extension().is_none() && !path.ends_with(".gitattributes");
    names.filter(is_vector).map(|path| Vector::read(&path)).collect()
}

impl Vector {
    fn read(path: &std::path::Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let end = bytes.windows(2).position(|two| two == b"\n\n").unwrap();
        let mut facts = BTreeMap::<_, Vec<String>>::new();
        for line in std::str::from_utf8(&bytes[..end]).unwrap().lines() {
            let (key, value) = line.split_once(": ").unwrap();
            facts.entry(key.to_owned()).or_default().push(value.to_owned());
        }
        let mut file = bytes[end + 2..].to_vec();
        if let Some(method) = facts.get("compressed") {
            assert_eq!(method, &["zlib"]);
            let mut whole = Vec::new();
            flate2::read::ZlibDecoder::new(&file[..]).read_to_end(&mut whole).unwrap();
            file = whole;
        }
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Self { name, facts, file }
    }

    fn all(&self, key: &str) -> &[String] {
        self.facts.get(key).map_or(&[], Vec::as_slice)
    }

    /// Opens the vector like a bundle, or like an identity file if a passphrase opens it.
    fn opened(&self) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        if let [passphrase, ..] = self.all("passphrase") {
            IdentityFile::parse(&self.file)?;
            return Ok(decrypt_protected(&self.file, &Passphrase::new(passphrase.clone()))?);
        }
        // two are empty files and name none
        let lines = match self.all("identity") {
            [] => NewIdentity::generate().file(&[]).to_string(),
            lines => lines.join("\n"),
        };
        match IdentityFile::parse(lines.as_bytes())? {
            IdentityFile::Plain(identities) => Ok(identities.open(&self.file, LIMIT)?),
            IdentityFile::Protected(_) => panic!("{}", self.name),
        }
    }
}

/// Returns true if `error` is a right answer to a file of this verdict.
fn fits(verdict: &str, error: &IdentityError) -> bool {
    use IdentityError::{NotPassphrase, Open};
    match verdict {
        // a file without an scrypt stanza is not protected by a passphrase
        "no match" => {
            matches!(error, NotPassphrase | Open(OpenError::NoMatch | OpenError::Passphrase))
        }
        "HMAC failure" | "payload failure" => *error == Open(OpenError::Damaged),
        "armor failure" => matches!(error, Open(OpenError::Damaged | OpenError::NotAge)),
        "header failure" => matches!(
            error,
            NotPassphrase | Open(OpenError::Damaged | OpenError::NotAge | OpenError::WorkFactor)
        ),
        _ => false,
    }
}

#[test]
fn every_age_vector_of_cctv_ends_as_it_says() {
    let vectors = vectors();
    assert!(vectors.len() >= 143, "only {} vectors", vectors.len());
    let mut wrong = Vec::new();
    for vector in &vectors {
        let [verdict] = vector.all("expect") else { panic!("{}", vector.name) };
        let opened = vector.opened();
        let as_told = match &opened {
            Ok(content) => {
                verdict == "success"
                    && vector.all("payload") == [Sha256::of(content).to_string()]
                    && !vector.all("payload").is_empty()
            }
            Err(error) => fits(verdict, error),
        };
        if as_told == OTHERWISE.iter().any(|(name, _)| *name == vector.name) {
            let found = opened.map(|content| content.len());
            wrong.push(format!("{}: {verdict}, found {found:?}", vector.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}
