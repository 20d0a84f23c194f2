//! Files over the terminal: compressed, as base64, piece by piece, each compared by its digest.
//!
//! A line that breaks leaves the pieces that arrived; the next connection goes on behind them.

use std::io::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use formats::checksum::Sha256;

use super::error::Stop;
use super::shell::RootShell;

/// Bytes in a piece: small enough that a slow line shows progress, large enough that the answers
/// do not count.
const PIECE: usize = 48 * 1024;
/// Characters in a line of base64, as `openssl base64` wants them.
const COLUMNS: usize = 76;
/// Times that a piece is sent.
const TRIES: usize = 3;
/// Time after which a piece that was sent and is not confirmed has lost bytes.
const CONFIRM: Duration = Duration::from_secs(10);

/// Brings `content` to `folder/name` with this mode. `progress` is told the percentage.
pub(super) fn upload(
    shell: &mut RootShell,
    folder: &str,
    name: &str,
    mode: &str,
    content: &[u8],
    mut progress: impl FnMut(usize),
) -> Result<(), Stop> {
    let path = format!("{folder}/{name}");
    let digest = Sha256::of(content).to_string();
    if digest_of(shell, &path)? == digest {
        return Ok(());
    }
    let packed = gzip(content);
    let part = format!("{path}.part");
    let mut sent = arrived(shell, &part, &packed)?;
    while let Some(rest) = packed.get(sent..).filter(|rest| !rest.is_empty()) {
        let piece = rest.get(..PIECE).unwrap_or(rest);
        send_piece(shell, &part, sent, piece)?;
        sent += piece.len();
        progress(sent * 100 / packed.len());
    }
    let unpack = format!(
        "gzip -dc < {part} > {path}.new && chmod {mode} {path}.new && mv -f {path}.new {path} && rm -f {part}"
    );
    shell.must("unpacking what was sent", &format!("{{ {unpack}; }} 2>&1"))?;
    match digest_of(shell, &path)? == digest {
        true => Ok(()),
        false => Err(Stop::Garbled { file: name.to_owned() }),
    }
}

/// Number of bytes that an earlier connection left and that are right; the rest is cut off.
fn arrived(shell: &mut RootShell, part: &str, packed: &[u8]) -> Result<usize, Stop> {
    let size = shell.small(&format!("wc -c 2>/dev/null < {part}"))?;
    let size: usize = size.last().trim().parse().unwrap_or(0);
    let whole = size - size % PIECE;
    if let Some(start) = packed.get(..whole).filter(|start| !start.is_empty()) {
        cut(shell, part, whole)?;
        if digest_of(shell, part)? == Sha256::of(start).to_string() {
            return Ok(whole);
        }
    }
    shell.must("making a file", &format!("{{ : > {part}; }} 2>&1"))?;
    Ok(0)
}

fn cut(shell: &mut RootShell, part: &str, size: usize) -> Result<(), Stop> {
    let command = format!("{{ head -c {size} {part} > {part}2 && mv -f {part}2 {part}; }} 2>&1");
    shell.must("cutting a file", &command).map(drop)
}

fn send_piece(shell: &mut RootShell, part: &str, sent: usize, piece: &[u8]) -> Result<(), Stop> {
    let text = in_lines(piece);
    let digest = Sha256::of(piece).to_string();
    for _ in 0..TRIES {
        // not canonical: no line of the terminal's own is too long, none is edited
        let command = format!(
            "stty -icanon -echo; echo ready; head -c {} | {{ base64 -d 2>/dev/null || openssl base64 -d; }} >> {part}; stty icanon; tail -c +{} {part} | sha256sum",
            text.len(),
            sent + 1,
        );
        let mut running = shell.start(&format!("{{ {command}; }} 2>&1"))?;
        running.await_line("ready")?;
        running.send(text.as_bytes())?;
        let done = loop {
            match running.ended_within(CONFIRM)? {
                Some(done) => break done,
                // bytes were lost, and `head` waits for them: blank lines make them up
                None => running.send(&[b'\n'; 1024])?,
            }
        };
        if done.last().starts_with(&digest) {
            return Ok(());
        }
        if let Some(said) = done.lines.iter().find(|line| is_complaint(line)) {
            return Err(Stop::Remote { what: "writing what was sent", said: said.clone() });
        }
        cut(shell, part, sent)?;
    }
    Err(Stop::Garbled { file: part.to_owned() })
}

fn is_complaint(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["no space left", "read-only", "not found", "quota"].iter().any(|sign| line.contains(sign))
}

fn digest_of(shell: &mut RootShell, path: &str) -> Result<String, Stop> {
    let done = shell.small(&format!("sha256sum 2>/dev/null < {path}"))?;
    Ok(done.last().split(' ').next().unwrap_or_default().to_owned())
}

fn in_lines(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    let mut lines = String::with_capacity(text.len() + text.len() / COLUMNS + 1);
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(COLUMNS));
        lines.push_str(line);
        lines.push('\n');
        rest = after;
    }
    lines
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    // a vector takes everything
    let _ = packer.write_all(content);
    packer.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_openssl_wants_them() {
        let text = in_lines(&[7; 1000]);
        assert!(text.lines().all(|line| line.len() <= COLUMNS) && text.ends_with('\n'));
        assert_eq!(STANDARD.decode(text.replace('\n', "")).unwrap(), [7; 1000]);
    }
}
