//! Who may open which bundle: flags, recipients files, the recipient map.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use cli::disk::input;
use formats::csv;
use formats::device::{DeviceName, DeviceUuid};
use formats::limits;
use formats::seal::{NewIdentity, Recipient, is_mixed, parse_recipients_file};

use crate::args::RecipientArgs;
use crate::fmc::by_name::{find_device, is_pattern, matching};
use crate::keys::error::{FileError, MapLineError, RecipientsError, Unmapped};

/// Recipients as given; the map's devices are still text.
#[derive(Debug, Default)]
pub(crate) struct Named {
    for_all: Vec<Recipient>,
    map: Vec<MapLine>,
    map_file: String,
}

/// Recipients of each device.
#[derive(Debug, Default)]
pub(crate) struct Recipients {
    for_all: Vec<Recipient>,
    of_device: HashMap<DeviceUuid, Vec<Recipient>>,
}

#[derive(Debug)]
pub(crate) struct MapLine {
    number: usize,
    device: String,
    recipient: Recipient,
}

impl Named {
    /// Reads flags and files, up to the first thing that is no recipient. A secret key given by
    /// mistake is not shown.
    pub(crate) fn load(args: &RecipientArgs) -> Result<Self, RecipientsError> {
        let mut named = Self::default();
        for text in &args.recipient {
            add(&mut named.for_all, text.parse().map_err(RecipientsError::Flag)?);
        }
        for path in &args.recipients_file {
            let text = input::decode(path.display(), &input::read(path, limits::KEY_FILE)?)?;
            let recipients = match parse_recipients_file(&text) {
                Ok(recipients) if recipients.is_empty() => Err(FileError::Empty),
                Ok(recipients) => Ok(recipients),
                Err(error) => Err(FileError::List(error)),
            };
            let recipients = recipients.map_err(|error| in_file(path, error))?;
            recipients.into_iter().for_each(|recipient| add(&mut named.for_all, recipient));
        }
        if let Some(path) = &args.recipient_map {
            named.map_file = path.display().to_string();
            let text = input::decode(path.display(), &input::read(path, limits::FAILED_PUSH)?)?;
            named.map = parse_map(&text).map_err(|error| in_file(path, error))?;
        }
        Ok(named)
    }

    /// Returns true if no recipient is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.for_all.is_empty() && self.map.is_empty() && self.map_file.is_empty()
    }

    /// Finds the map's devices among those that FAILED_PUSH names; every line has to be for one.
    pub(crate) fn resolve(
        self,
        known: &[(DeviceUuid, DeviceName)],
    ) -> Result<Recipients, RecipientsError> {
        let mut of_device = HashMap::<DeviceUuid, Vec<Recipient>>::new();
        let mut seen = HashSet::new();
        let known: Vec<_> =
            known.iter().map(|(uuid, name)| (uuid.clone(), Some(name.clone()))).collect();
        // a map of a thousand lines must not search a thousand names for each
        let mut by_text = HashMap::<&str, Vec<&DeviceUuid>>::new();
        for (uuid, name) in &known {
            by_text.entry(uuid.as_str()).or_default().push(uuid);
            if let Some(name) = name {
                by_text.entry(name.as_str()).or_default().push(uuid);
            }
        }
        for line in self.map {
            let devices = match by_text.get(line.device.as_str()).map(Vec::as_slice) {
                Some([uuid]) => Ok(vec![(*uuid).clone()]),
                // a device that is really called so has gone before
                None if is_pattern(&line.device) => match matching(&known, &line.device) {
                    found if found.is_empty() => {
                        Err(MapLineError::NoneFits { pattern: line.device.clone() })
                    }
                    found => Ok(found),
                },
                _ => find_device(&known, &line.device)
                    .map(|uuid| vec![uuid])
                    .map_err(MapLineError::Name),
            };
            let devices = devices.map_err(|error| {
                let (file, line) = (self.map_file.clone(), line.number);
                RecipientsError::MapLine { file, line, error: Box::new(error) }
            })?;
            for uuid in devices {
                // a map may have a device on every line: its list is not searched for each
                if seen.insert((uuid.clone(), line.recipient.to_string())) {
                    of_device.entry(uuid).or_default().push(line.recipient.clone());
                }
            }
        }
        Ok(Recipients { for_all: self.for_all, of_device })
    }
}

impl Recipients {
    /// Those of one device, each once.
    pub(crate) fn of(&self, device: &DeviceUuid) -> Vec<Recipient> {
        let own = self.of_device.get(device).into_iter().flatten();
        let own = own.filter(|recipient| !self.for_all.contains(recipient));
        self.for_all.iter().chain(own).cloned().collect()
    }

    /// Those of every device of `only`'s part, when a kit is split by recipient.
    pub(crate) fn of_part(&self, only: &Recipient) -> Vec<Recipient> {
        let mut all = self.for_all.clone();
        add(&mut all, only.clone());
        all
    }

    /// Those that the map gives to this device alone, each once.
    pub(crate) fn mapped_to(&self, device: &DeviceUuid) -> &[Recipient] {
        self.of_device.get(device).map_or(&[], Vec::as_slice)
    }

    /// Warns when there is a map and also recipients for all: a device missing in the map is
    /// no error, but only the recipients for all (escrow, say) could open their bundles.
    pub(crate) fn unmapped_warning<'a>(
        &self,
        devices: impl Iterator<Item = (&'a DeviceUuid, &'a DeviceName)>,
    ) -> Option<String> {
        if self.of_device.is_empty() {
            return None;
        }
        self.without_map(devices).map(|devices| {
            format!("the recipient map does not name {devices}: only the recipients for all devices can open those bundles")
        })
    }

    fn without_map<'a>(
        &self,
        devices: impl Iterator<Item = (&'a DeviceUuid, &'a DeviceName)>,
    ) -> Option<Unmapped> {
        const SHOWN: usize = 8;
        let (mut number, mut names) = (0, Vec::new());
        for (_, name) in devices.filter(|(uuid, _)| !self.of_device.contains_key(uuid)) {
            number += 1;
            if number <= SHOWN {
                names.push(name.as_str().to_owned());
            }
        }
        (number > 0).then_some(Unmapped { number, names })
    }

    /// A kit's own identity, for those with the passphrase: of the kind that may stand beside
    /// the others.
    pub(crate) fn identity_beside(&self) -> NewIdentity {
        let mut all = self.for_all.iter().chain(self.of_device.values().flatten());
        if all.any(Recipient::is_post_quantum) {
            NewIdentity::generate_post_quantum()
        } else {
            NewIdentity::generate()
        }
    }

    /// Refuses mixtures: post-quantum recipients cannot stand beside others in one file, and a kit
    /// with a passphrase has an identity that stands beside all of them.
    pub(crate) fn check_none_is_mixed(&self, passphrase: bool) -> Result<(), RecipientsError> {
        let all = || self.of_device.values();
        let everybody: Vec<Recipient> =
            self.for_all.iter().chain(all().flatten()).cloned().collect();
        let is_device_mixed = |own: &Vec<Recipient>| is_mixed(&[&self.for_all[..], own].concat());
        if is_mixed(&self.for_all)
            || all().any(is_device_mixed)
            || (passphrase && is_mixed(&everybody))
        {
            return Err(RecipientsError::Mixed);
        }
        Ok(())
    }

    /// Checks that every device has a recipient.
    pub(crate) fn check_all_have_one<'a>(
        &self,
        devices: impl Iterator<Item = (&'a DeviceUuid, &'a DeviceName)>,
    ) -> Result<(), RecipientsError> {
        if !self.for_all.is_empty() {
            return Ok(());
        }
        self.check_all_are_mapped(devices)
    }

    /// Checks that every device has a recipient of its own in the map.
    pub(crate) fn check_all_are_mapped<'a>(
        &self,
        devices: impl Iterator<Item = (&'a DeviceUuid, &'a DeviceName)>,
    ) -> Result<(), RecipientsError> {
        self.without_map(devices).map_or(Ok(()), |devices| Err(RecipientsError::Missing(devices)))
    }
}

fn add(list: &mut Vec<Recipient>, recipient: Recipient) {
    if !list.contains(&recipient) {
        list.push(recipient);
    }
}

fn in_file(path: &Path, error: FileError) -> RecipientsError {
    RecipientsError::File { path: path.to_owned(), error }
}

/// The table of devices and recipients; its heading, where there is one, may name the columns in
/// another order, and others beside them.
pub(crate) fn parse_map(text: &str) -> Result<Vec<MapLine>, FileError> {
    let is_recipient = |cell: &String| cell.parse::<Recipient>().is_ok();
    let rows =
        csv::rows(text, |cells| columns(cells).is_some() || cells.get(1).is_some_and(is_recipient));
    let heading = rows.first().and_then(|row| columns(&row.cells));
    let mut map = Vec::new();
    for csv::Row { line: number, cells } in rows.into_iter().skip(heading.iter().count()) {
        let (device, recipient) = match (heading, cells.as_slice()) {
            (Some((device, recipient)), cells) => {
                (cells.get(device), cells.get(recipient).cloned())
            }
            // a comma in the comment of an SSH key; of anything else no recipient comes out
            (None, [device, recipient @ ..]) => {
                let recipient = recipient.join(",");
                (Some(device), Some(recipient.trim_end_matches(',').to_owned()))
            }
            (None, []) => (None, None),
        };
        let (Some(device), Some(recipient)) = (device, recipient) else {
            return Err(FileError::Columns { line: number });
        };
        if device.is_empty() || recipient.is_empty() {
            return Err(FileError::Columns { line: number });
        }
        let recipient =
            recipient.parse().map_err(|error| FileError::Recipient { line: number, error })?;
        map.push(MapLine { number, device: device.clone(), recipient });
    }
    if map.is_empty() { Err(FileError::Empty) } else { Ok(map) }
}

/// Finds the columns of devices and recipients in a heading.
fn columns(cells: &[String]) -> Option<(usize, usize)> {
    let of = |name: &str| cells.iter().position(|cell| cell.eq_ignore_ascii_case(name));
    Some((of("device")?, of("recipient")?))
}

#[cfg(test)]
mod tests {
    use cli::say::failure::Failure;

    use super::*;
    use wildmatch::WildMatch;

    const A: &str = "aaaaaaaa-87c9-11ef-a993-b9831565bc4e";
    const B: &str = "bbbbbbbb-87c9-11ef-a993-b9831565bc4e";

    fn known() -> Vec<(DeviceUuid, DeviceName)> {
        vec![
            (A.parse().unwrap(), "ftd a".parse().unwrap()),
            (B.parse().unwrap(), "Site B, \"rack\" 3".parse().unwrap()),
        ]
    }

    fn resolve(map: &str) -> Result<Recipients, String> {
        let map = parse_map(map.trim_start_matches('\u{feff}')).map_err(|e| e.to_string())?;
        let named = Named { for_all: Vec::new(), map, map_file: "map.csv".into() };
        named.resolve(&known()).map_err(|error| Failure::from(error).into_message())
    }

    fn age() -> String {
        NewIdentity::generate().recipient().to_string()
    }

    #[test]
    fn a_map_names_devices_by_name_or_uuid_several_times() {
        let (one, two, three) = (age(), age(), age());
        let map = format!(
            "\u{feff}# sites\r\nDevice,Recipient\r\n\nftd a , {one}\r\n{A},{two}\n{A},{two}\n\"Site B, \"\"rack\"\" 3\",\"{three}\"\n"
        );
        let recipients = resolve(&map).unwrap();
        let of = |uuid: &str| -> Vec<String> {
            recipients.of(&uuid.parse().unwrap()).iter().map(ToString::to_string).collect()
        };
        assert_eq!(of(A), [one, two]);
        assert_eq!(of(B), [three]);
    }

    #[test]
    fn unknown_devices_and_bad_lines_are_errors_with_their_line() {
        let error = resolve(&format!("# x\nftd z,{}\n", age())).unwrap_err();
        assert!(error.starts_with("map.csv, line 2: there is no device 'ftd z'"), "{error}");
        assert!(resolve("ftd a\n").unwrap_err().starts_with("line 1"));
        assert!(resolve("ftd a,age1nonsense\n").unwrap_err().starts_with("line 1: expected age1"));
        assert_eq!(resolve("# nothing\n").unwrap_err(), "holds no recipient");
    }

    #[test]
    fn globs_fit_names_and_uuids() {
        for (pattern, text) in
            [("*", ""), ("a*", "a"), ("*-?", "ftd-1"), ("a*b*c", "axbxbc"), ("?é*", "xéy")]
        {
            assert!(WildMatch::new(pattern).matches(text), "{pattern} {text}");
        }
        for (pattern, text) in [("?", ""), ("a*b", "abc"), ("A*", "abc"), ("", "a"), ("a", "ab")] {
            assert!(!WildMatch::new(pattern).matches(text), "{pattern} {text}");
        }
        let (one, two) = (age(), age());
        let recipients = resolve(&format!("ftd*,{one}\n????????-87c9-*,{two}\n")).unwrap();
        let number = |uuid: &str| recipients.of(&uuid.parse().unwrap()).len();
        assert_eq!((number(A), number(B)), (2, 1));
        let error = resolve(&format!("x*,{one}\n")).unwrap_err();
        assert_eq!(error, "map.csv, line 1: no device's name or UUID fits 'x*'");
    }

    #[test]
    fn post_quantum_recipients_stand_beside_no_others() {
        let (old, new) = (age(), NewIdentity::generate_post_quantum().recipient().to_string());
        let check = |map: &str, passphrase| resolve(map).unwrap().check_none_is_mixed(passphrase);
        let each = format!("{A},{old}\n{B},{new}\n");
        assert!(check(&each, false).is_ok(), "a file for one device has one kind");
        assert!(check(&each, true).is_err(), "the passphrase is for both");
        assert!(check(&format!("{A},{old}\n{A},{new}\n"), false).is_err());
        assert!(check(&format!("{A},{new}\n{B},{new}\n"), true).is_ok());
        let mut recipients = resolve(&format!("{A},{new}\n")).unwrap();
        assert!(recipients.identity_beside().recipient().is_post_quantum());
        add(&mut recipients.for_all, old.parse().unwrap());
        assert!(recipients.check_none_is_mixed(false).is_err());
    }

    #[test]
    fn a_device_without_recipient_is_an_error() {
        let known = known();
        let devices = || known.iter().map(|(uuid, name)| (uuid, name));
        let mut recipients = resolve(&format!("{A},{}\n", age())).unwrap();
        let failure = Failure::from(recipients.check_all_have_one(devices()).unwrap_err());
        assert_eq!(failure.message(), "1 devices have no recipient: 'Site B, \"rack\" 3'");
        add(&mut recipients.for_all, NewIdentity::generate().recipient());
        let warning = recipients.unmapped_warning(devices()).unwrap();
        assert!(
            warning.contains("'Site B, \"rack\" 3'") && !warning.contains("ftd a"),
            "{warning}"
        );
        assert!(recipients.check_all_have_one(devices()).is_ok());
    }
}
