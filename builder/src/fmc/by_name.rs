//! A device found by the name or UUID that an operator typed.

use formats::decode::tidy;
use formats::device::{DeviceName, DeviceUuid};

/// Reasons why a name stands for no one device.
#[derive(Debug)]
pub(crate) enum NameError {
    /// Several devices have it.
    Shared { name: String, first: DeviceUuid, second: DeviceUuid },
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

/// Finds the device that has this name or UUID, or the only one whose name is [`alike`].
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
        (None, _) => Err(NameError::Unknown { name: text.to_owned(), near: Near::of(known, text) }),
    }
}

/// Reduces a name to what it has in common with those that people take for the same.
pub(crate) fn alike(name: &str) -> String {
    tidy(name).to_lowercase()
}

impl Near {
    fn of(known: &[(DeviceUuid, Option<DeviceName>)], text: &str) -> Self {
        const SHOWN: usize = 8;
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
        let names = if is_close { close } else { all.collect() };
        let more = names.len().saturating_sub(SHOWN);
        let names = names.into_iter().take(SHOWN).map(str::to_owned).collect();
        Self { is_close, names, more }
    }
}
