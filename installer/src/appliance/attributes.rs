//! Owner, mode and extended attributes of a file, as found and as given to its successor.
//!
//! A rename puts another inode in the place of a live file, so everything that the old one carried
//! beside its bytes would go with it: an ACL that lets a daemon read the key, a SELinux label without
//! which sftunnel may not open it. `user.*`, `trusted.*`, `security.*` and the access ACL are kept.
//!
//! Not kept: `security.ima` and `security.evm`, which are digests of the old content, and what belongs
//! to one file system (`btrfs.*`, `system.nfs4_acl`). A file that takes the place of none gets what the
//! kernel gives it there: the label of its directory's policy, the directory's default ACL.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use formats::cisco::facts;
use rustix::fd::AsFd;
use rustix::fs::{
    Gid, Mode, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Most bytes of names and values together that are kept of one file; the kernel's own limit for one
/// value, and for a list of names (xattr(7)).
const LIMIT: usize = 64 * 1024;
/// The access ACL. While a file has one, the group bits of its mode are the ACL's mask (acl(5)).
const ACL: &str = "system.posix_acl_access";
/// Digests of the content that they were made for.
const OF_CONTENT: [&str; 2] = ["security.ima", "security.evm"];

/// Mode, owner and extended attributes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attributes {
    /// Permission bits, such as `0o644`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// `None` where nobody has said: those that the kernel gives a new file.
    pub extended: Option<Extended>,
}

/// What sftunnel's own files have (docs/facts.md): `644 root:root`.
pub(crate) const SFTUNNEL_ATTRIBUTES: Attributes =
    Attributes { mode: facts::MODE, uid: facts::OWNER, gid: facts::OWNER, extended: None };

impl Attributes {
    /// Those of a file that takes this one's place: sftunnel's own mode and owner. A file with an
    /// ACL keeps mode and group, as they are part of what the ACL says.
    pub(crate) fn of_successor(&self) -> Self {
        let extended = self.extended.clone();
        match extended.as_ref().is_some_and(Extended::has_acl) {
            true => Self { uid: SFTUNNEL_ATTRIBUTES.uid, extended, ..*self },
            false => Self { extended, ..SFTUNNEL_ATTRIBUTES },
        }
    }

    /// Whether mode and owner are as sftunnel's own files have them, or an ACL says otherwise.
    pub(crate) fn are_expected(&self) -> bool {
        *self == self.of_successor()
    }

    /// Gives them to a file whose extended attributes were [given](Extended::give) before, durably.
    pub(crate) fn settle(&self, file: &File) -> io::Result<()> {
        fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        if let Some(acl) = self.extended.as_ref().and_then(|extended| extended.0.get(ACL)) {
            // its mask was closed until now
            fsetxattr(file, ACL, acl, XattrFlags::empty())?;
        }
        // after the owner: a change of owner may clear mode bits
        fchmod(file, Mode::from_raw_mode(self.mode))?;
        file.sync_all()
    }
}

/// The extended attributes of a file that are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub(crate) struct Extended(BTreeMap<String, Vec<u8>>);

/// An extended attribute that a file could not be given.
#[derive(Debug, thiserror::Error)]
#[error("its extended attribute {name} could not be given to its successor: {error}")]
pub(crate) struct NotGiven {
    /// Which; foreign text.
    pub name: String,
    /// Why.
    pub error: io::Error,
}

impl Extended {
    /// Reads those of a file; none on a file system that has none.
    ///
    /// `InvalidData` beyond [`LIMIT`].
    pub(crate) fn of(file: impl AsFd) -> io::Result<Self> {
        // enough for the names that a file usually has, if any
        let mut buffer = vec![0; 256];
        let mut listed = flistxattr(&file, buffer.as_mut_slice());
        if listed == Err(Errno::RANGE) {
            buffer.resize(LIMIT, 0);
            listed = flistxattr(&file, buffer.as_mut_slice());
        }
        let length = match listed {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Self::default()),
            other => other.map_err(too_many)?,
        };
        let list = buffer.get(..length).unwrap_or_default().to_vec();
        let (mut found, mut total) = (BTreeMap::new(), 0);
        for name in list.split_inclusive(|byte| *byte == 0) {
            let Some(name) =
                CStr::from_bytes_with_nul(name).ok().and_then(|name| name.to_str().ok())
            else {
                return Err(invalid("the name of an extended attribute is no text"));
            };
            if !is_kept(name) {
                continue;
            }
            let length = match fgetxattr(&file, name, buffer.as_mut_slice()) {
                // removed since it was listed
                Err(Errno::NODATA) => continue,
                other => other.map_err(too_many)?,
            };
            total += name.len() + length;
            if total > LIMIT {
                return Err(too_many(Errno::RANGE));
            }
            found.insert(name.to_owned(), buffer.get(..length).unwrap_or_default().to_vec());
        }
        Ok(Self(found))
    }

    /// Whether the mode's group bits are a mask.
    fn has_acl(&self) -> bool {
        self.0.contains_key(ACL)
    }

    /// The names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Gives exactly these to a file that is still being made, and closes it to all but its owner
    /// whatever an ACL says.
    ///
    /// The error names the one that the system refused.
    pub(crate) fn give(&self, file: impl AsFd) -> Result<(), NotGiven> {
        let failed = |name: &str| {
            let name = name.to_owned();
            move |error: io::Error| NotGiven { name, error }
        };
        let found = Self::of(&file).map_err(failed("list"))?;
        if *self == found {
            return Ok(());
        }
        for (name, value) in self.0.iter().filter(|(name, value)| found.0.get(*name) != Some(value))
        {
            fsetxattr(&file, name.as_str(), value, XattrFlags::empty())
                .map_err(|error| failed(name)(error.into()))?;
        }
        for name in found.names().filter(|name| !self.0.contains_key(*name)) {
            match fremovexattr(&file, name) {
                // a label that the kernel gives every file there
                Err(_) if name.starts_with("security.") => {}
                Err(Errno::NODATA) => {}
                other => other.map_err(|error| failed(name)(error.into()))?,
            }
        }
        fchmod(&file, Mode::from_raw_mode(0o600)).map_err(|error| failed(ACL)(error.into()))
    }
}

fn is_kept(name: &str) -> bool {
    let of_a_namespace =
        ["user.", "trusted.", "security."].iter().any(|space| name.starts_with(space));
    (of_a_namespace || name == ACL) && !OF_CONTENT.contains(&name)
}

fn too_many(error: Errno) -> io::Error {
    match error {
        Errno::RANGE | Errno::TOOBIG => {
            invalid(&format!("its extended attributes take more than the limit of {LIMIT} bytes"))
        }
        other => other.into(),
    }
}

fn invalid(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

impl From<Extended> for BTreeMap<String, String> {
    fn from(extended: Extended) -> Self {
        extended.0.into_iter().map(|(name, value)| (name, STANDARD.encode(value))).collect()
    }
}

impl TryFrom<BTreeMap<String, String>> for Extended {
    type Error = String;

    fn try_from(texts: BTreeMap<String, String>) -> Result<Self, String> {
        let read = |(name, text): (String, String)| match STANDARD.decode(text) {
            Ok(value) if is_kept(&name) && !name.contains('\0') => Ok((name, value)),
            Ok(_) => Err("an extended attribute that is not kept".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        texts.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_content_or_the_file_system_is_not_kept() {
        for name in ["user.note", "trusted.x", "security.selinux", "security.capability", ACL] {
            assert!(is_kept(name), "{name}");
        }
        let left =
            ["security.ima", "security.evm", "system.nfs4_acl", "system.posix_acl_default", "x"];
        assert!(!left.into_iter().any(is_kept));
    }

    #[test]
    fn a_record_names_only_what_is_kept() {
        let read = |text: &str| serde_json::from_str::<Extended>(text);
        let kept = read(r#"{"security.selinux":"c2YA"}"#).unwrap();
        assert_eq!(serde_json::to_string(&kept).unwrap(), r#"{"security.selinux":"c2YA"}"#);
        for text in [r#"{"security.ima":""}"#, r#"{"user.\u0000":""}"#, r#"{"user.a":"?"}"#] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mode_and_group_stay_where_an_acl_counts() {
        let acl = Extended(BTreeMap::from([(ACL.to_owned(), vec![2, 0, 0, 0])]));
        let found = Attributes { mode: 0o640, uid: 7, gid: 9, extended: Some(acl) };
        assert_eq!(found.of_successor(), Attributes { uid: 0, ..found.clone() });
        let plain = Attributes { extended: Some(Extended::default()), ..found };
        let expected = Attributes { extended: Some(Extended::default()), ..SFTUNNEL_ATTRIBUTES };
        assert_eq!(plain.of_successor(), expected);
    }
}
