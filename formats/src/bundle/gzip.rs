//! The gzip layer: one member (RFC 1952) and nothing after it.
//!
//! The library's windows and tables hold what went through them, a private key included. They are
//! cleared before their memory is given back, which flate2's own gzip encoder and decoder do not
//! offer.

use std::cell::RefCell;
use std::io::{self, Write};

use flate2::bufread::{DeflateDecoder, GzDecoder};
use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use zeroize::Zeroizing;

use super::BundleError;
use crate::limits::{self, LimitError};

thread_local! {
    /// One compressor for each thread, as each has 300 KiB of tables. The level is the fast one:
    /// base64 of keys hardly compresses (a bundle is 5 % larger than at level 6).
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
}

/// Compresses what `write` writes into one member. Its header has no name and no time, so the same
/// content gives the same bytes.
pub(crate) fn gzip(
    write: impl FnOnce(&mut Member<'_>) -> io::Result<()>,
) -> io::Result<Zeroizing<Vec<u8>>> {
    // magic, deflate, no flags, no time, "fastest", unknown system
    const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
    DEFLATE.with_borrow_mut(|deflate| {
        let mut bytes = Zeroizing::new(Vec::with_capacity(FIRST));
        bytes.extend_from_slice(&HEADER);
        let mut member = Member { deflate, bytes, crc: Crc::new() };
        let ended = write(&mut member).and_then(|()| member.end());
        // clears the tables for the next bundle
        member.deflate.reset();
        ended.map(|()| member.bytes)
    })
}

/// Initial capacity: three files and a manifest of the usual sizes, compressed.
const FIRST: usize = 6 << 10;

/// Size of the trailer: a checksum and a length.
const TRAILER: usize = 8;

/// A gzip member under construction.
pub(crate) struct Member<'a> {
    deflate: &'a mut Compress,
    bytes: Zeroizing<Vec<u8>>,
    crc: Crc,
}

impl Member<'_> {
    /// Compresses some of `bytes`, or what the library held back, and returns how many bytes it
    /// took.
    fn deflate(&mut self, bytes: &[u8], flush: FlushCompress) -> io::Result<(usize, Status)> {
        self.make_room();
        let before = self.deflate.total_in();
        let status = self.deflate.compress_vec(bytes, &mut self.bytes, flush)?;
        let taken = usize::try_from(self.deflate.total_in() - before);
        Ok((taken.map_err(io::Error::other)?, status))
    }

    /// Makes room for a trailer at least. A vector that grows by itself would leave a copy that is
    /// never wiped.
    fn make_room(&mut self) {
        if self.bytes.capacity() - self.bytes.len() < TRAILER {
            let larger = Zeroizing::new(Vec::with_capacity(self.bytes.capacity() * 2));
            let full = std::mem::replace(&mut self.bytes, larger);
            self.bytes.extend_from_slice(&full);
        }
    }

    fn end(&mut self) -> io::Result<()> {
        while self.deflate(&[], FlushCompress::Finish)?.1 != Status::StreamEnd {}
        self.make_room();
        self.bytes.extend_from_slice(&self.crc.sum().to_le_bytes());
        self.bytes.extend_from_slice(&self.crc.amount().to_le_bytes());
        Ok(())
    }
}

impl Write for Member<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            let (taken, _) = self.deflate(bytes, FlushCompress::None)?;
            if taken > 0 || bytes.is_empty() {
                self.crc.update(bytes.get(..taken).unwrap_or(bytes));
                return Ok(taken);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the content of `member`; more than [`limits::TAR`] is a [`BundleError::Bomb`].
pub(super) fn gunzip(member: &[u8]) -> Result<Zeroizing<Vec<u8>>, BundleError> {
    let mut decoder = DeflateDecoder::new(after_header(member).ok_or(BundleError::Gzip)?);
    let read = limits::read_secret(&mut decoder, limits::TAR);
    // clears the window
    let trailer = decoder.reset(&[]);
    let bytes = read.map_err(|error| match error {
        LimitError::TooLarge { .. } => BundleError::Bomb,
        LimitError::Io(_) => BundleError::Gzip,
    })?;
    let mut crc = Crc::new();
    crc.update(&bytes);
    let expected = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
    // a second member, or anything else, would be content that some readers see and others do not
    if trailer == expected { Ok(bytes) } else { Err(BundleError::Gzip) }
}

/// Skips a member's header, whatever optional fields it has (RFC 1952, section 2.3). The library
/// reads it as soon as its decoder is made; the decoder itself could not be made empty afterwards.
fn after_header(member: &[u8]) -> Option<&[u8]> {
    let decoder = GzDecoder::new(member);
    decoder.header()?;
    Some(decoder.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::GzBuilder;
    use std::io::Read;

    fn by_the_library(member: &[u8]) -> Option<Vec<u8>> {
        let (mut decoder, mut bytes) = (GzDecoder::new(member), Vec::new());
        decoder.read_to_end(&mut bytes).ok()?;
        decoder.into_inner().is_empty().then_some(bytes)
    }

    #[test]
    fn every_header_and_every_changed_byte_is_judged_as_the_library_does() {
        let content = b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n";
        let builders = [
            GzBuilder::new(),
            GzBuilder::new().filename("name").comment("a remark").mtime(7),
            GzBuilder::new().extra("some").filename(""),
        ];
        let members = builders.into_iter().map(|builder| {
            let mut writer = builder.write(Vec::new(), Compression::fast());
            writer.write_all(content).unwrap();
            writer.finish().unwrap()
        });
        let mut members: Vec<_> = members.collect();
        let mut with_crc = members[1].clone();
        with_crc[3] |= 2;
        let end = with_crc.len() - after_header(&members[1]).unwrap().len();
        let mut crc = Crc::new();
        crc.update(&with_crc[..end]);
        with_crc.splice(end..end, crc.sum().to_le_bytes().into_iter().take(2));
        members.push(with_crc);
        members.push([&members[0][..], &members[0]].concat());
        let (mut taken, mut refused) = (0, 0);
        for member in members {
            for at in 0..member.len() {
                for change in [0, 1, 2, 4, 8, 16, 128, 255] {
                    let mut member = member.clone();
                    member[at] ^= change;
                    let found = gunzip(&member).ok().map(|bytes| Vec::clone(&bytes));
                    assert_eq!(found, by_the_library(&member), "byte {at} ^ {change}: {member:?}");
                    *if found.is_some() { &mut taken } else { &mut refused } += 1;
                }
                let found = gunzip(&member[..at]).ok().map(|bytes| Vec::clone(&bytes));
                assert_eq!(found, by_the_library(&member[..at]), "{at} bytes: {member:?}");
            }
        }
        assert!(taken > 300 && refused > 300, "{taken} taken, {refused} refused");
    }

    #[test]
    fn the_member_is_what_the_library_itself_writes_however_it_is_cut() {
        let random: Vec<u8> =
            (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for bytes in [&b""[..], b"a", &[7; 10_000], &random] {
            let mut encoder =
                GzBuilder::new().operating_system(255).write(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            let expected = encoder.finish().unwrap();
            for piece in [1_000_000, 512, 7] {
                let member = gzip(|member| {
                    bytes.chunks(piece).try_for_each(|piece| member.write_all(piece))
                });
                assert!(*member.unwrap() == expected, "{} bytes by {piece}", bytes.len());
            }
            assert!(*gunzip(&expected).unwrap() == bytes);
        }
    }

    #[test]
    fn what_fails_leaves_nothing_for_the_next() {
        let expected = gzip(|member| member.write_all(b"a")).unwrap();
        let failed = gzip(|member| {
            member.write_all(&[7; 9000])?;
            Err(io::Error::other("the caller's"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the caller's");
        assert!(*gzip(|member| member.write_all(b"a")).unwrap() == *expected);
    }

    #[test]
    fn it_grows_at_every_size() {
        let noise = |n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8;
        for size in (FIRST as u32 - 40..FIRST as u32 + 40).chain([0, 3 * FIRST as u32]) {
            let bytes: Vec<u8> = (0..size).map(noise).collect();
            let member = gzip(|member| member.write_all(&bytes)).unwrap();
            assert!(*gunzip(&member).unwrap() == bytes, "{size}");
        }
    }
}
