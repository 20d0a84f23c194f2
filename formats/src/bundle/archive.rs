//! The tar inside a bundle: exactly six regular files in a fixed order, and nothing else.
//!
//! Readers of tar differ about every extension, which is how one archive can mean two
//! things. This one takes plain ustar headers only and compares each with the one it
//! expects: no other name, type, order, duplicate, PAX or GNU header, and nothing but zero
//! padding after the end.

use std::io;

use tar::{EntryType, Header};

use crate::error::{Reason, Reasoned};
use crate::limits;
use crate::timestamp::Timestamp;

/// Names of the entries, in their order, each with the most bytes it may have.
pub const ENTRIES: [(&str, u64); 6] = [
    ("manifest.json", limits::MANIFEST),
    ("manifest.json.sig", crate::signature::SIGNATURE_SIZE as u64),
    ("SHA256SUMS", limits::INNER_SUMS),
    ("cacert.pem", limits::PEM),
    ("sftunnel-cert.pem", limits::PEM),
    ("sftunnel-key.pem", limits::PEM),
];

const BLOCK: usize = 512;

/// Reasons to refuse an archive. Entries are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// It ends inside an entry, or before the two zero blocks of the end.
    #[error("the archive is cut off in entry {entry}")]
    Cut {
        /// The entry at fault.
        entry: usize,
    },
    /// The header's checksum is wrong.
    #[error("the header of entry {entry} is damaged")]
    Checksum {
        /// The entry at fault.
        entry: usize,
    },
    /// Not a plain ustar header of a regular file of root with mode 0600: a link, a device,
    /// a PAX or GNU extension, another owner.
    #[error("entry {entry} is not a plain file as this format has it ({what})")]
    NotPlain {
        /// The entry at fault.
        entry: usize,
        /// Header field that differs.
        what: &'static str,
    },
    /// Another name than the one that belongs here.
    #[error("entry {entry} is not '{expected}'")]
    Name {
        /// The entry at fault.
        entry: usize,
        /// The name that belongs here.
        expected: &'static str,
    },
    /// Another entry follows the sixth.
    #[error("there are more than six entries")]
    TooMany,
    /// A size beyond the limit of this entry.
    #[error("'{name}' is larger than {limit} bytes")]
    TooLarge {
        /// The entry at fault.
        name: &'static str,
        /// The most that is accepted.
        limit: u64,
    },
    /// Something other than zeros where padding belongs, or after the end.
    #[error("there is something after the end of entry {entry}")]
    Trailing {
        /// The entry at fault; 7 means after the last.
        entry: usize,
    },
}

impl Reasoned for ArchiveError {
    fn reason(&self) -> Reason {
        match self {
            Self::Cut { .. } | Self::Checksum { .. } | Self::Trailing { .. } => Reason::Damaged,
            Self::NotPlain { .. } | Self::Name { .. } | Self::TooMany => Reason::BadFormat,
            Self::TooLarge { .. } => Reason::TooLarge,
        }
    }
}

/// Writes the six entries straight to `sink`. The same contents and time give the same bytes.
///
/// # Errors
/// Fails when `sink` does, or when a header field cannot hold its value, which the limits exclude.
pub fn write(
    contents: [&[u8]; 6],
    created_at: Timestamp,
    mut sink: impl io::Write,
) -> io::Result<()> {
    const ZEROS: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
    for ((name, _), content) in ENTRIES.into_iter().zip(contents) {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::try_from(created_at.unix()).unwrap_or(0));
        header.set_size(content.len() as u64);
        header.set_cksum();
        // not by `tar::Builder`: it copies through a buffer on the stack, and nobody wipes that
        sink.write_all(header.as_bytes())?;
        sink.write_all(content)?;
        let padding = content.len().next_multiple_of(BLOCK) - content.len();
        sink.write_all(ZEROS.get(..padding).unwrap_or_default())?;
    }
    sink.write_all(&ZEROS)
}

/// Reads the six entries: their contents, borrowed from `bytes`.
///
/// # Errors
/// Returns the first difference found; see [`ArchiveError`].
pub fn read(bytes: &[u8]) -> Result<[&[u8]; 6], ArchiveError> {
    let mut rest = bytes;
    let mut contents = [&[][..]; 6];
    for (index, (content, (name, limit))) in contents.iter_mut().zip(ENTRIES).enumerate() {
        let entry = index + 1;
        let (block, after) =
            rest.split_first_chunk::<BLOCK>().ok_or(ArchiveError::Cut { entry })?;
        let size = check_header(block, entry, name, limit)?;
        let padded = size.next_multiple_of(BLOCK);
        let (data, after) = after.split_at_checked(padded).ok_or(ArchiveError::Cut { entry })?;
        let (data, padding) = data.split_at_checked(size).ok_or(ArchiveError::Cut { entry })?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(ArchiveError::Trailing { entry });
        }
        (*content, rest) = (data, after);
    }
    if rest.first_chunk().is_some_and(is_header) {
        return Err(ArchiveError::TooMany);
    }
    if rest.len() < 2 * BLOCK {
        return Err(ArchiveError::Cut { entry: ENTRIES.len() + 1 });
    }
    if rest.iter().any(|byte| *byte != 0) || !rest.len().is_multiple_of(BLOCK) {
        return Err(ArchiveError::Trailing { entry: ENTRIES.len() + 1 });
    }
    Ok(contents)
}

/// Returns true if a tar reader would take this block for another entry.
fn is_header(block: &[u8; BLOCK]) -> bool {
    *block != [0; BLOCK] && has_its_checksum(Header::from_byte_slice(block))
}

fn has_its_checksum(header: &Header) -> bool {
    let mut own = header.clone();
    own.set_cksum();
    matches!((own.cksum(), header.cksum()), (Ok(own), Ok(found)) if own == found)
}

fn check_header(
    block: &[u8; BLOCK],
    entry: usize,
    name: &'static str,
    limit: u64,
) -> Result<usize, ArchiveError> {
    let header = Header::from_byte_slice(block);
    let not_plain = |what| ArchiveError::NotPlain { entry, what };
    if !has_its_checksum(header) {
        return Err(ArchiveError::Checksum { entry });
    }
    let ustar = header.as_ustar().ok_or_else(|| not_plain("magic"))?;
    if header.entry_type() != EntryType::Regular || ustar.typeflag != [b'0'] {
        return Err(not_plain("type"));
    }
    let named = ustar.name.strip_prefix(name.as_bytes());
    if !named.is_some_and(|rest| rest.iter().all(|byte| *byte == 0)) || ustar.prefix != [0; 155] {
        return Err(ArchiveError::Name { entry, expected: name });
    }
    if ustar.linkname != [0; 100] {
        return Err(not_plain("link"));
    }
    if octal(&ustar.uid) != Some(0) || octal(&ustar.gid) != Some(0) {
        return Err(not_plain("owner"));
    }
    if octal(&ustar.mode) != Some(0o600) {
        return Err(not_plain("mode"));
    }
    let size = octal(&ustar.size).ok_or_else(|| not_plain("size"))?;
    if size > limit {
        return Err(ArchiveError::TooLarge { name, limit });
    }
    usize::try_from(size).map_err(|_| ArchiveError::TooLarge { name, limit })
}

/// A number as ustar has it: octal digits, ended by a blank or zero. GNU's base-256 and
/// signs are not taken.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?.trim_end_matches([' ', '\0']);
    let digits = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    if digits { u64::from_str_radix(text, 8).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(contents: [&[u8]; 6], time: Timestamp) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(contents, time, &mut bytes).unwrap();
        bytes
    }

    fn example() -> Vec<u8> {
        let time = Timestamp::from_unix(1_726_805_447).unwrap();
        written([b"{}", &[7; 64], b"sums", b"ca", b"cert", &[b'k'; 1700]], time)
    }

    /// Changes a header and mends its checksum.
    fn with_header(entry: usize, change: impl Fn(&mut Header)) -> Vec<u8> {
        let mut bytes = example();
        let block = &mut bytes[entry * 1024..entry * 1024 + 512];
        let mut header = Header::from_byte_slice(block).clone();
        change(&mut header);
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        bytes
    }

    #[test]
    fn reads_what_it_writes_and_zero_padding_is_harmless() {
        let mut bytes = example();
        assert_eq!(read(&bytes).unwrap()[3], b"ca");
        bytes.resize(bytes.len().next_multiple_of(10_240), 0);
        assert_eq!(read(&bytes).unwrap()[5].len(), 1700);
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = example();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn anything_appended_is_refused() {
        let bytes = example();
        for tail in [&b"x"[..], &[0; 100], &example()[..512]] {
            assert!(read(&[&bytes, tail].concat()).is_err());
        }
    }

    #[test]
    fn headers_that_mean_something_else_are_refused() {
        type Change<'a> = (&'a str, &'a dyn Fn(&mut Header));
        let changes: [Change<'_>; 10] = [
            ("link", &|h| h.set_entry_type(EntryType::Symlink)),
            ("hard link", &|h| h.set_entry_type(EntryType::Link)),
            ("pax", &|h| h.set_entry_type(EntryType::XHeader)),
            ("gnu long name", &|h| h.set_entry_type(EntryType::GNULongName)),
            ("old type flag", &|h| h.as_ustar_mut().unwrap().typeflag = [0]),
            ("traversal", &|h| h.as_ustar_mut().unwrap().name[..3].copy_from_slice(b"../")),
            ("name", &|h| h.set_path("manifest.json.sig2").unwrap()),
            ("prefix", &|h| h.as_ustar_mut().unwrap().prefix[0] = b'x'),
            ("owner", &|h| h.set_uid(1000)),
            ("set-uid", &|h| h.set_mode(0o4755)),
        ];
        for (what, change) in changes {
            assert!(read(&with_header(1, change)).is_err(), "{what}");
        }
        let huge = with_header(0, |h| h.set_size(limits::MANIFEST + 1));
        assert!(matches!(read(&huge), Err(ArchiveError::TooLarge { .. })));
        let base256 =
            with_header(0, |h| h.as_ustar_mut().unwrap().size = *b"\x80\0\0\0\0\0\0\0\0\0\0\x02");
        assert!(matches!(read(&base256), Err(ArchiveError::NotPlain { what: "size", .. })));
    }

    #[test]
    fn entries_in_another_order_are_refused() {
        let bytes = example();
        let swapped =
            [&bytes[..3072], &bytes[4096..5120], &bytes[3072..4096], &bytes[5120..]].concat();
        assert!(matches!(read(&swapped), Err(ArchiveError::Name { entry: 4, .. })));
    }

    #[test]
    fn what_is_wrong_is_told_by_entry() {
        let bytes = example();
        let last = bytes.len() - 1024;
        // less than the two zero blocks of the end, whole or not
        for tail in [0, 1, 511, 512, 513, 514, 600, 1023] {
            assert_eq!(read(&bytes[..last + tail]), Err(ArchiveError::Cut { entry: 7 }), "{tail}");
        }
        for tail in [1, 511, 600] {
            let more = [&bytes[..], &vec![0; tail]].concat();
            assert_eq!(read(&more), Err(ArchiveError::Trailing { entry: 7 }), "{tail}");
        }
        let seventh = [&bytes[..last], &bytes[..1024], &bytes[last..]].concat();
        assert_eq!(read(&seventh), Err(ArchiveError::TooMany));
        let mut padded = bytes.clone();
        padded[512 + 2] = 1;
        assert_eq!(read(&padded), Err(ArchiveError::Trailing { entry: 1 }));
        let mut header = bytes.clone();
        header[1024 + 4] ^= 1;
        assert_eq!(read(&header), Err(ArchiveError::Checksum { entry: 2 }));
        header[1024 + 148..1024 + 156].fill(b'x');
        assert_eq!(read(&header), Err(ArchiveError::Checksum { entry: 2 }));
        for size in [b"+0000000002\0", b"-0000000002\0", b"           \0", b"0000000008\0\0"] {
            let changed = with_header(0, |h| h.as_ustar_mut().unwrap().size = *size);
            let expected = Err(ArchiveError::NotPlain { entry: 1, what: "size" });
            assert_eq!(read(&changed), expected, "{size:?}");
        }
        let whole =
            written([b"", &[7; 64], &[1; 512], &[2; 1024], &[3; 511], &[4; 513]], Timestamp::EPOCH);
        assert_eq!(read(&whole).unwrap().map(<[u8]>::len), [0, 64, 512, 1024, 511, 513]);
    }
}
