//! SHA-256, and files in the form that `sha256sum -c` reads.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use sha2::Digest;

use crate::as_text::{read_as_text, written_as_text};
use crate::error::{Reason, Reasoned};

/// A SHA-256 digest; shown and read as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256([u8; 32]);

/// Not 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256 of 64 lower-case hex digits")]
pub struct Sha256Error;

impl Sha256 {
    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Wraps a digest that was computed elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest as 32 raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(base16ct::lower::encode_str(&self.0, &mut [0; 64]).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = Sha256Error;

    fn from_str(text: &str) -> Result<Self, Sha256Error> {
        let mut bytes = [0; 32];
        let read = base16ct::lower::decode(text, &mut bytes).map_err(|_| Sha256Error)?;
        // the decoder accepts shorter ones as well
        if read.len() == bytes.len() { Ok(Self(bytes)) } else { Err(Sha256Error) }
    }
}

written_as_text!(Sha256);
read_as_text!(Sha256);

/// Passes bytes on to `inner` and hashes and counts them on the way.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: sha2::Sha256,
    size: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Wraps `inner`, with nothing hashed yet.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: sha2::Sha256::new(), size: 0 }
    }

    /// Returns `inner`, and the digest and number of all bytes written.
    pub fn finish(self) -> (W, Sha256, u64) {
        (self.inner, Sha256(self.hasher.finalize().into()), self.size)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The lines of a `SHA256SUMS`: digest, two blanks, relative path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sums(Vec<(Sha256, String)>);

/// Reasons to refuse a `SHA256SUMS`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumsError {
    /// Not `<64 hex digits>  <path>`.
    #[error("SHA256SUMS, line {line}: expected '<sha256>  <path>'")]
    Line {
        /// Line number, counted from 1.
        line: usize,
    },
    /// A path that leads out of the folder, is absolute, or is listed twice.
    #[error("SHA256SUMS, line {line}: the path is not a plain relative one, or is listed twice")]
    Path {
        /// Line number, counted from 1.
        line: usize,
    },
}

impl Reasoned for SumsError {
    fn reason(&self) -> Reason {
        Reason::BadFormat
    }
}

impl Sums {
    /// Adds a line. Paths are made by this program and contain no line break.
    pub fn push(&mut self, digest: Sha256, path: impl Into<String>) {
        self.0.push((digest, path.into()));
    }

    /// Sorts the lines by path.
    pub fn sort(&mut self) {
        self.0.sort_unstable_by(|(_, one), (_, other)| one.cmp(other));
    }

    /// The lines, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Sha256, &str)> {
        self.0.iter().map(|(digest, path)| (digest, path.as_str()))
    }

    /// Reads a whole file.
    ///
    /// # Errors
    /// Fails when a line is not exactly a digest and a plain relative path, or a path is listed
    /// twice.
    pub fn parse(bytes: &[u8]) -> Result<Self, SumsError> {
        let mut sums = Self::default();
        let mut seen = std::collections::HashSet::new();
        let Some(body) = bytes.strip_suffix(b"\n") else {
            return if bytes.is_empty() { Ok(sums) } else { Err(SumsError::Line { line: 1 }) };
        };
        for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
            let line_number = number + 1;
            let parsed = std::str::from_utf8(line)
                .ok()
                .and_then(|text| text.split_once("  "))
                .and_then(|(digest, path)| Some((digest.parse().ok()?, path)));
            let Some((digest, path)) = parsed else {
                return Err(SumsError::Line { line: line_number });
            };
            if !is_plain_relative(path) || !seen.insert(path.to_owned()) {
                return Err(SumsError::Path { line: line_number });
            }
            sums.push(digest, path);
        }
        Ok(sums)
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(digest, path)| writeln!(f, "{digest}  {path}"))
    }
}

/// Returns true if a path listed in a file names something below that file's own folder.
pub fn is_plain_relative(path: &str) -> bool {
    !path.is_empty()
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
        && !path.chars().any(|c| c.is_control() || c == '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_read_what_they_write() {
        let mut sums = Sums::default();
        sums.push(Sha256::of(b"a"), "cacert.pem");
        sums.push(Sha256::of(b"b"), "bundles/x y.age");
        assert_eq!(Sums::parse(sums.to_string().as_bytes()), Ok(sums.clone()));
        sums.sort();
        let sorted: Vec<_> = sums.iter().collect();
        let (a, b) = (Sha256::of(b"a"), Sha256::of(b"b"));
        assert_eq!(sorted, [(&b, "bundles/x y.age"), (&a, "cacert.pem")]);
    }

    #[test]
    fn sums_refuse_paths_that_lead_elsewhere() {
        let digest = Sha256::of(b"");
        for path in ["../x", "/etc/passwd", "a//b", "./a", "a\\b", ""] {
            assert!(Sums::parse(format!("{digest}  {path}\n").as_bytes()).is_err(), "{path}");
        }
        assert!(Sums::parse(format!("{digest}  a\n{digest}  a\n").as_bytes()).is_err());
        assert!(Sums::parse(format!("{digest}  a").as_bytes()).is_err(), "cut");
        assert!(Sums::parse(format!("{digest} *a\n").as_bytes()).is_err());
    }

    #[test]
    fn upper_case_and_short_digests_are_refused() {
        let digest = Sha256::of(b"abc").to_string();
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert!(digest.to_uppercase().parse::<Sha256>().is_err());
        assert!(digest.split_at(62).0.parse::<Sha256>().is_err());
    }

    #[test]
    fn every_byte_is_read_as_it_is_written() {
        for byte in 0..=255_u8 {
            let digest = Sha256::from_bytes([byte; 32]);
            let text = format!("{byte:02x}").repeat(32);
            assert_eq!((digest.to_string(), format!("{digest:?}")), (text.clone(), text.clone()));
            assert_eq!(text.parse(), Ok(digest));
            assert_eq!(digest.as_bytes(), &[byte; 32]);
            assert_eq!(serde_json::from_str::<Sha256>(&format!("\"{text}\"")).unwrap(), digest);
        }
        let digest = Sha256::from_bytes(std::array::from_fn(|at| at as u8));
        assert_eq!(digest.to_string().parse(), Ok(digest), "in their order");
        for (at, other) in [(0, "g"), (1, "/"), (62, ":"), (63, "`"), (30, " ")] {
            let mut text = digest.to_string();
            text.replace_range(at..=at, other);
            assert_eq!(text.parse::<Sha256>(), Err(Sha256Error), "{text}");
        }
        let text = digest.to_string();
        for other in [text.split_at(63).0, &format!("{text}0"), &format!("{text}00"), ""] {
            assert_eq!(other.parse::<Sha256>(), Err(Sha256Error), "{other}");
        }
    }

    /// A writer that accepts a few bytes at a time, as a pipe may.
    #[derive(Debug, Default)]
    struct Slow(Vec<u8>, usize);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(7);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.1 += 1;
            Ok(())
        }
    }

    #[test]
    fn what_is_hashed_on_the_way_is_what_arrives() {
        let all: Vec<u8> = (0..1000_u32).map(|at| at as u8).collect();
        let mut hashing = HashingWriter::new(Slow::default());
        hashing.write_all(&all).unwrap();
        hashing.flush().unwrap();
        let (Slow(arrived, flushed), digest, size) = hashing.finish();
        assert_eq!((arrived, flushed, size), (all.clone(), 1, 1000));
        assert_eq!(digest, Sha256::of(&all));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let digest = Sha256::of(b"");
        let good = format!("{digest}  a\n");
        let parsed = |text: &str| Sums::parse(text.as_bytes()).map(|sums| sums.iter().len());
        assert_eq!((parsed(""), parsed(&good)), (Ok(0), Ok(1)));
        assert_eq!(parsed("\n"), Err(SumsError::Line { line: 1 }));
        assert_eq!(parsed(&format!("{good}\n{good}")), Err(SumsError::Line { line: 2 }));
        assert_eq!(parsed(&format!("{good}{digest} b\n")), Err(SumsError::Line { line: 2 }));
        assert_eq!(parsed(&format!("{good}{good}")), Err(SumsError::Path { line: 2 }));
        let error = parsed(&format!("{good}{digest}  ../b\n")).unwrap_err();
        assert_eq!((&error, error.reason()), (&SumsError::Path { line: 2 }, Reason::BadFormat));
        let mut sums = Sums::default();
        sums.push(digest, "a b");
        assert_eq!(sums.iter().collect::<Vec<_>>(), [(&digest, "a b")]);
    }

    #[test]
    fn only_what_lies_below_is_plain_and_relative() {
        for good in ["a", "a/b", "bundles/x y.age", "...", ".a", "a..b"] {
            assert!(is_plain_relative(good), "{good}");
        }
        for bad in ["", "/", "/a", "a/", "a//b", ".", "./a", "a/.", "..", "a/..", "a\\b", "a\tb"] {
            assert!(!is_plain_relative(bad), "{bad}");
        }
    }
}
