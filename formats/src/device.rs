//! Devices and managers: UUIDs, names, and the three files of a peer directory.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::as_text::{read_as_text, written_as_text};
use crate::cisco::facts;
use crate::limits;
use crate::text::{is_printable, named};

/// The text is not a UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID of the form c8d5d5c6-87c9-11ef-a993-b9831565bc4e")]
pub struct UuidError;

/// The characters of a UUID, without an allocation: a run has tens of thousands of them.
type UuidText = [u8; 36];

/// Reads and lower-cases text of the form 8-4-4-4-12; any version, any variant (docs/facts.md).
fn parse_uuid(text: &str) -> Result<UuidText, UuidError> {
    let well_formed = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    let mut characters: UuidText = text.as_bytes().try_into().map_err(|_| UuidError)?;
    characters.make_ascii_lowercase();
    if well_formed { Ok(characters) } else { Err(UuidError) }
}

macro_rules! uuid_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(UuidText);

        impl $name {
            /// The UUID as 36 lower-case characters.
            pub fn as_str(&self) -> &str {
                // parse_uuid lets only hex digits and hyphens through
                std::str::from_utf8(&self.0).unwrap_or_default()
            }

            /// The first eight characters, enough to tell a few apart on a screen.
            pub fn short(&self) -> &str {
                self.as_str().get(..8).unwrap_or_default()
            }
        }

        impl FromStr for $name {
            type Err = UuidError;

            fn from_str(text: &str) -> Result<Self, UuidError> {
                parse_uuid(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            /// Accepts lower case only: our own files have a single way to write a UUID.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let uuid: Self = text.parse().map_err(de::Error::custom)?;
                if uuid.as_str() != text {
                    return Err(de::Error::custom("a UUID stands here in lower case"));
                }
                Ok(uuid)
            }
        }
    };
}

uuid_type! {
    /// The UUID of a device (an FTD, or the other FMC of a pair).
    DeviceUuid
}
uuid_type! {
    /// The UUID of a manager (an FMC).
    ManagerUuid
}

/// A device's name as the manager knows it; foreign text, to be printed with
/// [`crate::text::printable`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeviceName(Arc<str>);

/// A name that is empty, longer than [`limits::NAME`], or of several lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a device's name has 1 to {} bytes in one line", limits::NAME)]
pub struct NameError;

impl DeviceName {
    /// The name as FAILED_PUSH gives it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Turns the name into a part of a file name. The stick is FAT, so everything outside
    /// `[A-Za-z0-9._-]` becomes `-`. A `-` or `.` in front, which would make an option or a hidden
    /// file of it, becomes `_`. At most [`limits::FILE_STEM`] characters are kept, so that the
    /// whole name fits an ISO image with Joliet.
    pub fn file_stem(&self) -> String {
        let mut stem = self.plain(limits::FILE_STEM);
        if stem.starts_with(['-', '.']) {
            stem.replace_range(..1, "_");
        }
        stem
    }

    fn plain(&self, most: usize) -> String {
        let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        self.0.chars().take(most).map(|c| if safe(c) { c } else { '-' }).collect()
    }
}

impl FromStr for DeviceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_one = (1..=limits::NAME).contains(&text.len()) && !text.contains(['\n', '\r']);
        is_one.then(|| Self(text.into())).ok_or(NameError)
    }
}

impl Serialize for DeviceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A host name or an address, for people: at most [`limits::NAME`] bytes that
/// [`crate::text::printable`] shows as they are; may be empty. Still foreign text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Label(String);

/// A host name or address that is too long, or does not show as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a host name or address has at most {} bytes, all of them printable", limits::NAME)]
pub struct LabelError;

impl Label {
    /// Makes a label of any text, without what a label cannot hold.
    pub fn cleaned(text: &str) -> Self {
        let mut label = String::new();
        for c in text.trim().chars().filter(|c| is_printable(c.encode_utf8(&mut [0; 4]))) {
            if label.len() + c.len_utf8() > limits::NAME {
                break;
            }
            label.push(c);
        }
        Self(label)
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Formats the label for use among our own words, like [`named`]; empty if the label is.
    pub fn shown(&self, columns: usize) -> String {
        if self.0.is_empty() { String::new() } else { named(&self.0, columns) }
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        let fits = text.len() <= limits::NAME && is_printable(text);
        fits.then(|| Self(text.to_owned())).ok_or(LabelError)
    }
}

read_as_text!(DeviceName, Label);

/// The file name of a device's bundle inside a kit.
pub fn bundle_file_name(name: &DeviceName, uuid: &DeviceUuid) -> String {
    format!("{}_{uuid}.tar.gz.age", name.file_stem())
}

/// The file name in older kits: the stem has up to 100 characters, and its first is kept.
pub fn older_bundle_file_name(name: &DeviceName, uuid: &DeviceUuid) -> String {
    format!("{}_{uuid}.tar.gz.age", name.plain(100))
}

/// One of the three files that are always used as one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CredentialFile {
    /// The certificate of the manager's CA.
    Ca,
    /// The certificate of the device.
    Certificate,
    /// The private key of the device.
    Key,
}

impl CredentialFile {
    /// All three, in the order of the bundle.
    pub const ALL: [CredentialFile; 3] = [Self::Ca, Self::Certificate, Self::Key];

    /// The file's name in a peer directory (docs/facts.md).
    pub fn name(self) -> &'static str {
        match self {
            Self::Ca => "cacert.pem",
            Self::Certificate => "sftunnel-cert.pem",
            Self::Key => "sftunnel-key.pem",
        }
    }

    /// Finds the file by its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file| file.name() == name)
    }
}

impl fmt::Display for CredentialFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A checked destination: `/var/sf/peers/<manager UUID>/<one of the three names>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerPath {
    /// Manager that the peer directory is for.
    pub manager: ManagerUuid,
    /// File in that directory.
    pub file: CredentialFile,
}

/// The path is not a place where this program may write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not /var/sf/peers/<manager UUID>/ and one of the three file names")]
pub struct PeerPathError;

impl FromStr for PeerPath {
    type Err = PeerPathError;

    /// Accepts doubled slashes, and `/ngfw/var/sf/…`, which is the same place (docs/facts.md).
    fn from_str(text: &str) -> Result<Self, PeerPathError> {
        let rest = text.strip_prefix('/').ok_or(PeerPathError)?;
        let mut parts = rest.split('/').filter(|part| !part.is_empty()).peekable();
        parts.next_if(|part| facts::NGFW.strip_prefix('/') == Some(*part));
        for expected in facts::PEERS.split('/').skip(1) {
            parts.next_if_eq(&expected).ok_or(PeerPathError)?;
        }
        let manager = parts.next().and_then(|part| part.parse().ok()).ok_or(PeerPathError)?;
        let file = parts.next().and_then(CredentialFile::from_name).ok_or(PeerPathError)?;
        match parts.next() {
            None if !text.ends_with('/') => Ok(Self { manager, file }),
            _ => Err(PeerPathError),
        }
    }
}

impl PeerPath {
    /// Returns true if `text` is only the beginning of a destination, as of a line that was cut
    /// off.
    pub fn is_beginning(text: &str) -> bool {
        const UUID: &str = "00000000-0000-0000-0000-000000000000";
        let text =
            text.strip_prefix(facts::NGFW).filter(|rest| rest.starts_with('/')).unwrap_or(text);
        let whole = format!("{}/{UUID}", facts::PEERS);
        let (start, name) = text.split_at_checked(whole.len()).unwrap_or((text, ""));
        // `0` stands for any hex digit
        let digits = |part: &str| part.replace(|c: char| c.is_ascii_hexdigit(), "0");
        let is_name = |file: CredentialFile| {
            format!("/{file}").starts_with(name) && name.len() <= file.name().len()
        };
        digits(&whole).starts_with(&digits(start)) && CredentialFile::ALL.into_iter().any(is_name)
    }
}

impl fmt::Display for PeerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", facts::PEERS, self.manager, self.file)
    }
}

written_as_text!(PeerPath);

#[cfg(test)]
mod tests {
    use super::*;

    const MANAGER: &str = "cdb123c8-4347-11ef-aca1-f3aa241412a1";

    #[test]
    fn uuids_compare_without_regard_to_case() {
        let upper: ManagerUuid = MANAGER.to_uppercase().parse().unwrap();
        assert_eq!(upper.as_str(), MANAGER);
        for bad in
            ["", "cdb123c8-4347-11ef-aca1-f3aa241412a", "cdb123c8_4347-11ef-aca1-f3aa241412a1"]
        {
            assert!(bad.parse::<ManagerUuid>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_three_files_of_a_peer_directory_are_destinations() {
        for good in ["/var/sf/peers/U/cacert.pem", "/ngfw/var/sf/peers//U/sftunnel-key.pem"] {
            let path: PeerPath = good.replace('U', MANAGER).parse().unwrap();
            assert_eq!(path.manager.as_str(), MANAGER);
        }
        for bad in [
            "var/sf/peers/U/cacert.pem",
            "/var/sf/peers/U/cacert.pem/",
            "/var/sf/peers/U/../U/cacert.pem",
            "/var/sf/peers/U/./cacert.pem",
            "/var/sf/peers/U/cacert.pem.backup",
            "/var/sf/peers/cacert.pem",
            "/ngfw/ngfw/var/sf/peers/U/cacert.pem",
            "/etc/passwd",
            "/var/sf/peers/U/",
        ] {
            assert!(bad.replace('U', MANAGER).parse::<PeerPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_beginnings_of_destinations_are_beginnings() {
        let whole = format!("/var/sf/peers/{MANAGER}/sftunnel-key.pem");
        for end in 1..whole.len() {
            assert!(PeerPath::is_beginning(whole.split_at(end).0), "cut at {end}");
        }
        for other in
            [&whole, "/etc/passwd", "/var/sf/peers/x", &format!("/var/sf/peers/{MANAGER}/key")]
        {
            assert!(!PeerPath::is_beginning(other), "{other}");
        }
    }

    #[test]
    fn file_names_survive_fat() {
        let name: DeviceName = "Zürich: site/1 *?".parse().unwrap();
        assert_eq!(name.file_stem(), "Z-rich--site-1--");
        for (name, stem) in [("-rf", "_rf"), (".hidden", "_hidden"), ("é", "_"), ("a-.", "a-.")] {
            assert_eq!(name.parse::<DeviceName>().unwrap().file_stem(), stem);
        }
    }

    #[test]
    fn a_uuid_is_hexadecimal_with_four_hyphens_and_written_in_lower_case() {
        let uuid: DeviceUuid = MANAGER.parse().unwrap();
        assert_eq!((uuid.to_string(), uuid.short()), (MANAGER.to_owned(), "cdb123c8"));
        for at in 0..36 {
            let mut other = MANAGER.to_owned();
            other.replace_range(at..=at, if [8, 13, 18, 23].contains(&at) { "a" } else { "-" });
            assert!(other.parse::<DeviceUuid>().is_err(), "{other}");
        }
        let json = format!("\"{MANAGER}\"");
        assert_eq!(serde_json::to_string(&uuid).unwrap(), json);
        assert_eq!(serde_json::from_str::<DeviceUuid>(&json).unwrap(), uuid);
        assert!(serde_json::from_str::<DeviceUuid>(&json.to_uppercase()).is_err());
    }

    #[test]
    fn a_name_has_one_to_so_many_bytes() {
        let long = |length| "x".repeat(length).parse::<DeviceName>();
        assert_eq!((long(0), long(limits::NAME + 1)), (Err(NameError), Err(NameError)));
        let (one, most) = (long(1).unwrap(), long(limits::NAME).unwrap());
        assert_eq!((one.as_str(), most.as_str().len()), ("x", limits::NAME));
        assert_eq!(serde_json::to_string(&one).unwrap(), "\"x\"");
        assert_eq!(serde_json::from_str::<DeviceName>("\"x\"").unwrap(), one);
        assert!(serde_json::from_str::<DeviceName>("\"\"").is_err());
        let uuid = MANAGER.parse().unwrap();
        let file = format!("{}_{MANAGER}.tar.gz.age", "x".repeat(16));
        assert_eq!((bundle_file_name(&most, &uuid), file.len()), (file, 64), "Joliet's limit");
        let file = format!("{}_{MANAGER}.tar.gz.age", "x".repeat(100));
        assert_eq!(older_bundle_file_name(&most, &uuid), file);
    }

    #[test]
    fn a_destination_is_written_one_way() {
        for file in CredentialFile::ALL {
            let text = format!("/var/sf/peers/{MANAGER}/{file}");
            let path: PeerPath = text.replacen("/var", "/ngfw/var", 1).parse().unwrap();
            assert_eq!((path.file, path.to_string()), (file, text.clone()));
            assert_eq!(serde_json::to_string(&path).unwrap(), format!("\"{text}\""));
            assert_eq!(CredentialFile::from_name(file.name()), Some(file));
        }
        assert_eq!(CredentialFile::from_name("cacert.pem.backup"), None);
    }
}
