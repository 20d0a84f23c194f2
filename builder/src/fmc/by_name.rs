//! Devices found by what an operator typed: a name, a UUID or its beginning, a pattern, a file of
//! these.

use std::collections::HashSet;
use std::path::Path;

use cli::disk::input;
use cli::say::failure::Failure;
use formats::decode::tidy;
use formats::device::{DeviceName, DeviceUuid};
use formats::limits;
use wildmatch::WildMatch;

/// Fewest characters of a UUID that are taken for its beginning.
const UUID_BEGINNING: usize = 4;

/// Reasons why a name stands for no one device.
#[derive(Debug)]
pub(crate) enum NameError {
    /// Several devices have it.
    Shared { name: String, first: DeviceUuid, second: DeviceUuid },
    /// Several UUIDs begin like this.
    ShortUuid { text: String, of: Near },
    /// No device has it.
    Unknown { name: String, near: Near },
}

/// Names to offer in the place of one that no device has.
#[derive(Debug)]
pub(crate) struct Near {
    /// True if they are alike; else they are the first of all.
    pub is_close: bool,
    /// The first eight of them.
    pub names: Vec<String>,
    /// Number of those that do not.
    pub more: usize,
}

/// Replaces each `@FILE` of `--device` by the file's lines. Blank ones and comments are left out.
pub(crate) fn expand(wanted: &[String]) -> Result<Vec<String>, Failure> {
    let mut expanded = Vec::with_capacity(wanted.len());
    for text in wanted {
        let Some(path) = text.strip_prefix('@').map(Path::new) else {
            expanded.push(text.clone());
            continue;
        };
        let bytes = input::read(path, limits::DEVICE_LIST)?;
        let list = input::decode(path.display(), &bytes)?;
        let lines = list.lines().map(str::trim).filter(|line| !line.is_empty());
        let before = expanded.len();
        expanded.extend(lines.filter(|line| !line.starts_with('#')).map(str::to_owned));
        if expanded.len() == before {
            let message = format!("{}: expected a device on each line, found none", path.display());
            return Err(Failure::usage(message));
        }
    }
    Ok(expanded)
}

/// Finds the devices that were asked for, each by [`find_device`], or all that a pattern matches.
/// A text that stands for none is an error.
pub(crate) fn find_devices(
    known: &[(DeviceUuid, Option<DeviceName>)],
    wanted: &[String],
) -> Result<HashSet<DeviceUuid>, NameError> {
    let mut found = HashSet::new();
    for text in wanted {
        match find_device(known, text) {
            Err(NameError::Unknown { .. }) if is_pattern(text) => {
                let matching = matching(known, text);
                if matching.is_empty() {
                    return Err(unknown(known, text));
                }
                found.extend(matching);
            }
            device => drop(found.insert(device?)),
        }
    }
    Ok(found)
}

/// Returns true for a text with `*` (any characters, also none) or `?` (exactly one).
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Finds the devices whose name or UUID a pattern matches; where none does, those whose name is
/// [`alike`] one that does.
pub(crate) fn matching(
    known: &[(DeviceUuid, Option<DeviceName>)],
    pattern: &str,
) -> Vec<DeviceUuid> {
    let fitting = |fits: &dyn Fn(&str) -> bool| -> Vec<DeviceUuid> {
        let is = |(uuid, name): &&(DeviceUuid, Option<DeviceName>)| {
            fits(uuid.as_str()) || name.as_ref().is_some_and(|name| fits(name.as_str()))
        };
        known.iter().filter(is).map(|(uuid, _)| uuid.clone()).collect()
    };
    let exact = WildMatch::new(pattern);
    let found = fitting(&|text| exact.matches(text));
    if !found.is_empty() {
        return found;
    }
    let pattern = WildMatch::new(&alike(pattern));
    fitting(&|text| pattern.matches(&alike(text)))
}

/// Finds the device that has this name or UUID, or the only one whose name is [`alike`], or the only
/// one whose UUID begins like this.
pub(crate) fn find_device(
    known: &[(DeviceUuid, Option<DeviceName>)],
    text: &str,
) -> Result<DeviceUuid, NameError> {
    let is = |(uuid, name): &&(DeviceUuid, Option<DeviceName>)| {
        text.parse().as_ref() == Ok(uuid) || name.as_ref().is_some_and(|name| name.as_str() == text)
    };
    let is_alike = |(_, name): &&(DeviceUuid, Option<DeviceName>)| {
        name.as_ref().is_some_and(|name| alike(name.as_str()) == alike(text))
    };
    let mut found: Vec<_> = known.iter().filter(is).collect();
    if found.is_empty() {
        found = known.iter().filter(is_alike).collect();
    }
    let mut found = found.into_iter().map(|(uuid, _)| uuid.clone());
    match (found.next(), found.next()) {
        (Some(uuid), None) => Ok(uuid),
        (Some(first), Some(second)) => {
            Err(NameError::Shared { name: text.to_owned(), first, second })
        }
        (None, _) => by_beginning(known, text),
    }
}

fn by_beginning(
    known: &[(DeviceUuid, Option<DeviceName>)],
    text: &str,
) -> Result<DeviceUuid, NameError> {
    let beginning = text.to_lowercase();
    if beginning.len() < UUID_BEGINNING {
        return Err(unknown(known, text));
    }
    let found: Vec<&DeviceUuid> =
        known.iter().map(|(uuid, _)| uuid).filter(|u| u.as_str().starts_with(&beginning)).collect();
    match found.as_slice() {
        [] => Err(unknown(known, text)),
        [uuid] => Ok((*uuid).clone()),
        several => {
            let of = Near::shown(true, several.iter().map(|uuid| uuid.as_str()).collect());
            Err(NameError::ShortUuid { text: text.to_owned(), of })
        }
    }
}

fn unknown(known: &[(DeviceUuid, Option<DeviceName>)], text: &str) -> NameError {
    NameError::Unknown { name: text.to_owned(), near: Near::of(known, text) }
}

/// Reduces a name to what it has in common with those that people take for the same.
fn alike(name: &str) -> String {
    tidy(name).to_lowercase()
}

impl Near {
    fn of(known: &[(DeviceUuid, Option<DeviceName>)], text: &str) -> Self {
        let lower = text.to_lowercase();
        let start: String = lower.chars().take(4).collect();
        let is_close = |name: &&str| {
            let name = name.to_lowercase();
            name.contains(&lower) || lower.contains(&name) || name.starts_with(&start)
        };
        let all = known
            .iter()
            .map(|(uuid, name)| name.as_ref().map_or(uuid.as_str(), DeviceName::as_str));
        let close: Vec<&str> = all.clone().filter(is_close).collect();
        let is_close = !close.is_empty();
        Self::shown(is_close, if is_close { close } else { all.collect() })
    }

    fn shown(is_close: bool, names: Vec<&str>) -> Self {
        const SHOWN: usize = 8;
        let more = names.len().saturating_sub(SHOWN);
        let names = names.into_iter().take(SHOWN).map(str::to_owned).collect();
        Self { is_close, names, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_devices_is_read_as_windows_leaves_it() {
        let path = std::env::temp_dir().join(format!("devices-{}", std::process::id()));
        let wanted = ["first".to_owned(), format!("@{}", path.display())];
        std::fs::write(&path, "\u{feff}# site A\r\nBSNS-1 \r\n\r\nBSNS-2*").unwrap();
        assert_eq!(expand(&wanted).unwrap(), ["first", "BSNS-1", "BSNS-2*"]);
        std::fs::write(&path, "# none\n").unwrap();
        assert!(expand(&wanted).unwrap_err().is_usage());
        std::fs::remove_file(&path).unwrap();
        let reason = expand(&wanted).unwrap_err().reason();
        assert_eq!(reason, Some(formats::error::Reason::NotFound));
    }
}
