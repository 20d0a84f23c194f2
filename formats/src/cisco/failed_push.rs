//! `FAILED_PUSH`: the devices that `generate_certs.pl` could not reach.
//!
//! One file a line, separated by blanks (docs/facts.md, from Cisco's guide): `FTD_UUID FTD_NAME
//! FTD_IP SOURCE_PATH_ON_FMC DESTINATION_PATH_ON_FTD`. Names may contain blanks, so the UUID is
//! read from the left and the two paths and the address from the right. The last line may be cut
//! off.

use std::collections::{BTreeSet, HashMap};
use std::io::{BufRead, Read};
use std::sync::Arc;

use crate::decode;
use crate::device::{CredentialFile, DeviceName, DeviceUuid, ManagerUuid, PeerPath};
use crate::error::{Reason, Reasoned};
use crate::limits::{self, LimitError};

/// A parsed file: each device once, in the order of first mention.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailedPush {
    /// Devices all of whose lines can be read.
    pub devices: Vec<ListedDevice>,
    /// Lines that cannot be read or contradict earlier ones; at most the first
    /// [`limits::FAILED_PUSH_PROBLEMS`] of them.
    pub problems: Vec<Problem>,
    /// Number of further problems that were not kept.
    pub more_problems: usize,
    /// Number of problems, kept or not, that belong to no known device.
    pub nobodys: usize,
    /// Devices that have a problem. None of these is in [`FailedPush::devices`].
    pub unusable: BTreeSet<DeviceUuid>,
}

/// A device as its lines describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDevice {
    /// UUID of the device.
    pub uuid: DeviceUuid,
    /// Name of the device.
    pub name: DeviceName,
    /// Address, host name or placeholder (`DONTRESOLVE`); may be empty; never needed.
    pub address: String,
    /// Manager whose peer directory on the device the files are for.
    pub manager: ManagerUuid,
    /// Paths of the listed files on the manager; one to three of them.
    pub sources: Sources,
}

/// Paths of a device's listed files. Equal neighbours share one allocation, as the CA's path is the
/// same for every device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sources([Option<Arc<str>>; 3]);

impl Sources {
    /// Makes the paths of all three files, in the order of [`CredentialFile::ALL`].
    pub fn new(paths: [String; 3]) -> Self {
        Self(paths.map(|path| Some(path.into())))
    }

    /// Path of one file, if it is listed.
    pub fn get(&self, file: CredentialFile) -> Option<&str> {
        let (_, path) = CredentialFile::ALL.into_iter().zip(&self.0).find(|(f, _)| *f == file)?;
        path.as_deref()
    }

    /// Number of listed files.
    pub fn len(&self) -> usize {
        self.0.iter().flatten().count()
    }

    /// Returns true if no file is listed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn slot(&mut self, file: CredentialFile) -> Option<&mut Option<Arc<str>>> {
        CredentialFile::ALL.into_iter().zip(&mut self.0).find(|(f, _)| *f == file).map(|(_, s)| s)
    }
}

/// A line that cannot be used, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line number, counted from 1.
    pub line: usize,
    /// Device that the line is about, if that much can be read. It is not in
    /// [`FailedPush::devices`].
    pub device: Option<DeviceUuid>,
    /// Name of that device, if an earlier line gives it.
    pub name: Option<DeviceName>,
    /// Reason why the line cannot be used.
    pub error: LineError,
}

/// Reasons why a line cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The first word is not a UUID.
    #[error("the first word is not a device's UUID")]
    NoUuid,
    /// The line has too few words.
    #[error("expected 'UUID NAME ADDRESS SOURCE DESTINATION', the line is cut")]
    Cut,
    /// The name is longer than any real one.
    #[error("the device's name is longer than {} bytes", limits::NAME)]
    Name,
    /// The line has more bytes than [`limits::FAILED_PUSH_LINE`].
    #[error("the line is longer than {} bytes", limits::FAILED_PUSH_LINE)]
    TooLong,
    /// The destination is not one of the three files of a peer directory.
    #[error(
        "the destination '{found}' is not /var/sf/peers/<manager UUID>/<cacert|sftunnel-cert|sftunnel-key>.pem"
    )]
    Destination {
        /// Destination found; foreign text.
        found: String,
    },
    /// Two lines give one file different sources, or one device two managers.
    #[error("contradicts line {earlier}, which names another {what} for the same device")]
    Contradiction {
        /// The line that was read first.
        earlier: usize,
        /// Contradiction: `source` or `manager`.
        what: &'static str,
    },
}

impl Reasoned for LineError {
    fn reason(&self) -> Reason {
        match self {
            Self::Destination { .. } => Reason::WrongDestination,
            _ => Reason::BadFailedPush,
        }
    }
}

struct Line<'a> {
    uuid: DeviceUuid,
    name: DeviceName,
    address: &'a str,
    source: &'a str,
    destination: PeerPath,
}

impl FailedPush {
    /// Reads a whole file line by line; its text is not kept in memory. Lines that cannot be used
    /// become [`FailedPush::problems`], and their devices are left out of [`FailedPush::devices`].
    ///
    /// # Errors
    /// Fails when the file cannot be read, or has more than `limit` bytes.
    pub fn read(reader: impl BufRead, limit: u64) -> Result<Self, LimitError> {
        let mut reader = reader.take(limit.saturating_add(1));
        let mut found = Parser::default();
        let mut raw = Vec::new();
        let mut size = 0;
        for line in 1.. {
            raw.clear();
            let read = reader.read_until(b'\n', &mut raw)?;
            if read == 0 {
                break;
            }
            size += read as u64;
            if size > limit {
                return Err(LimitError::TooLarge { limit });
            }
            if line == 1 && is_utf16(&raw) {
                reader.read_to_end(&mut raw)?;
                return match raw.len() as u64 > limit {
                    true => Err(LimitError::TooLarge { limit }),
                    false => Ok(Self::parse(&raw)),
                };
            }
            found.raw_line(&raw);
        }
        Ok(found.finish())
    }

    /// Like [`FailedPush::read`], from memory; never fails.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut found = Parser::default();
        let lines = |bytes: &[u8], found: &mut Parser| {
            bytes.split_inclusive(|byte| *byte == b'\n').for_each(|raw| found.raw_line(raw));
        };
        match bytes.split_inclusive(|byte| *byte == b'\n').next().is_some_and(is_utf16) {
            true => lines(decode::lossy(bytes).as_bytes(), &mut found),
            false => lines(bytes, &mut found),
        }
        found.finish()
    }
}

impl FailedPush {
    fn problem(&mut self, problem: Problem) {
        match &problem.device {
            Some(device) => drop(self.unusable.insert(device.clone())),
            None => self.nobodys += 1,
        }
        if self.problems.len() < limits::FAILED_PUSH_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more_problems += 1;
        }
    }
}

/// Detects the start of a copy made by Windows PowerShell's `>`: UTF-16.
fn is_utf16(first: &[u8]) -> bool {
    matches!(first, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=0x7f, ..] | [1..=0x7f, 0, ..])
}

/// State of the reader after some lines of the file.
#[derive(Default)]
struct Parser {
    found: FailedPush,
    /// Number of lines read so far.
    lines: usize,
    /// Index of each device in `found`, and its first line.
    position: HashMap<DeviceUuid, (usize, usize)>,
    recent: Sources,
}

impl Parser {
    /// Reads a line up to its LF, or several if CR ends the lines of a copy.
    fn raw_line(&mut self, raw: &[u8]) {
        let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
        let end = raw.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1);
        for part in raw.get(..end).unwrap_or_default().split(|byte| *byte == b'\r') {
            self.lines += 1;
            self.line(self.lines, part);
        }
    }

    fn line(&mut self, line: usize, raw: &[u8]) {
        // an editor of Windows begins a file with U+FEFF
        let mark = if line == 1 { &b"\xef\xbb\xbf"[..] } else { b"" };
        let raw = raw.strip_prefix(mark).unwrap_or(raw);
        let text = String::from_utf8_lossy(raw);
        let text = text.trim_start();
        let text = text.trim_end_matches(|c: char| c.is_whitespace() || decode::is_unseen(c));
        if text.is_empty() {
            return;
        }
        let found = &mut self.found;
        let parsed = match parse_line(text) {
            Ok(parsed) => parsed,
            Err((device, error)) => {
                return found.problem(Problem { line, device, name: None, error });
            }
        };
        let (at, earlier) = *self.position.entry(parsed.uuid.clone()).or_insert_with(|| {
            found.devices.push(ListedDevice::new(&parsed));
            (found.devices.len() - 1, line)
        });
        let Some(device) = found.devices.get_mut(at) else { return };
        if let Err(what) = device.add(&parsed, &mut self.recent) {
            let error = LineError::Contradiction { earlier, what };
            found.problem(Problem { line, device: Some(parsed.uuid), name: None, error });
        }
    }

    /// Leaves out the devices with problems.
    fn finish(self) -> FailedPush {
        let Self { mut found, position, .. } = self;
        for problem in &mut found.problems {
            let at = problem.device.as_ref().and_then(|device| position.get(device));
            let device = at.and_then(|(at, _)| found.devices.get(*at));
            problem.name = device.map(|device| device.name.clone());
        }
        let FailedPush { devices, unusable, .. } = &mut found;
        devices.retain(|device| !unusable.contains(&device.uuid));
        found
    }
}

impl ListedDevice {
    fn new(line: &Line<'_>) -> Self {
        Self {
            uuid: line.uuid.clone(),
            name: line.name.clone(),
            address: line.address.to_owned(),
            manager: line.destination.manager.clone(),
            sources: Sources::default(),
        }
    }

    fn add(&mut self, line: &Line<'_>, recent: &mut Sources) -> Result<(), &'static str> {
        if self.manager != line.destination.manager {
            return Err("manager");
        }
        let file = line.destination.file;
        let (Some(known), Some(recent)) = (self.sources.slot(file), recent.slot(file)) else {
            return Ok(());
        };
        match known {
            // the same line twice is harmless
            Some(known) if is_same_path(known, line.source) => Ok(()),
            Some(_) => Err("source"),
            None => {
                let shared = recent.take().filter(|recent| **recent == *line.source);
                let path = shared.unwrap_or_else(|| line.source.into());
                (*known, *recent) = (Some(Arc::clone(&path)), Some(path));
                Ok(())
            }
        }
    }
}

fn parse_line(text: &str) -> Result<Line<'_>, (Option<DeviceUuid>, LineError)> {
    let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let uuid: DeviceUuid = first.parse().map_err(|_| (None, LineError::NoUuid))?;
    let fail = |error| (Some(uuid.clone()), error);
    if text.len() > limits::FAILED_PUSH_LINE {
        return Err(fail(LineError::TooLong));
    }
    let (rest, destination) = last_word(rest).ok_or_else(|| fail(LineError::Cut))?;
    let (rest, source) = last_word(rest).ok_or_else(|| fail(LineError::Cut))?;
    if !source.starts_with('/') || !destination.starts_with('/') {
        return Err(fail(LineError::Cut));
    }
    // with one word left it is the name: the address may be empty (docs/facts.md, a guess)
    let (name, address) = last_word(rest).ok_or_else(|| fail(LineError::Cut))?;
    let (name, address) = if name.is_empty() { (address, "") } else { (name, address) };
    let name = name.parse().map_err(|_| fail(LineError::Name))?;
    let destination = destination.parse().map_err(|_| {
        fail(match PeerPath::is_beginning(destination) {
            true => LineError::Cut,
            false => LineError::Destination { found: destination.to_owned() },
        })
    })?;
    Ok(Line { uuid, name, address, source, destination })
}

/// Compares absolute paths without resolving links: `//` and `/./` equal `/`.
/// The real file writes `certs_pushed//` (docs/facts.md).
fn is_same_path(one: &str, two: &str) -> bool {
    fn steps(path: &str) -> impl Iterator<Item = &str> {
        path.split('/').filter(|step| !matches!(*step, "" | "."))
    }
    steps(one).eq(steps(two))
}

/// Splits off the last word; `None` when there is none.
fn last_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    match text.rsplit_once(char::is_whitespace) {
        Some((rest, word)) => Some((rest.trim_end(), word)),
        None if text.is_empty() => None,
        None => Some(("", text)),
    }
}

#[cfg(test)]
mod tests;
