//! The kind of a box: manager or device. No single file tells: a device can have `/etc/sf/ca_root`
//! like a manager, and a manager of a pair has the other's files like a device (docs/facts.md). So
//! several signs are weighed. A tie, or one weak sign alone, is [`BoxKind::Unknown`], on which
//! nothing may be based that must not rest on a guess.

use std::ffi::OsStr;
use std::path::Path;

use formats::cisco::facts::{BATCHES, CA, IMS_CONF, NGFW_SF, PEERS, PUSHED};
use formats::cisco::ims_conf::ImsConf;
use formats::credentials::Certificate;
use formats::device::{CredentialFile, DeviceUuid};
use formats::limits::{self, LimitError};

use crate::disk::root::{Root, is_absent};

/// Number of peer directories to look into: a device has one for each manager.
const PEERS_SEEN: usize = 16;
/// Weight of the model's name; every other sign weighs one.
const MODEL: usize = 2;

/// The kind of box that a program runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoxKind {
    /// An FMC, even one that is a device of another.
    Manager,
    /// An FTD.
    Device,
    /// Another machine, with no sign of either.
    Neither,
    /// The signs are too few or contradict each other.
    Unknown,
}

/// Signs seen on a box.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signs {
    /// Value of `MODEL` in `ims.conf`.
    pub model: Option<String>,
    /// True if the InternalCA in use names this very box. A device's copy names its manager.
    pub has_own_ca: bool,
    /// True if `generate_certs.pl` has left its folders.
    pub has_renewals: bool,
    /// True if `/ngfw` exists, where a device has its own files.
    pub has_ngfw: bool,
    /// True if a peer's directory holds that peer's CA, as on a device whose manager the peer is.
    pub has_managers_ca: bool,
    /// True if the box uses no InternalCA of its own: there is none, or it is a peer's. Beside a
    /// manager's CA that is a second sign of a device; alone it is none.
    pub lacks_own_ca: bool,
    /// True if none of the usual files exists.
    pub is_bare: bool,
}

impl Signs {
    /// Weighs the signs.
    pub fn kind(&self) -> BoxKind {
        let model = self.model.as_deref().unwrap_or_default().to_ascii_lowercase();
        let says = |words: &str| MODEL * usize::from(model.contains(words));
        let manager = says("management center").max(says("defense center"))
            + usize::from(self.has_own_ca)
            + usize::from(self.has_renewals);
        let device = says("threat defense")
            + usize::from(self.has_ngfw)
            + usize::from(self.has_managers_ca)
            + usize::from(self.has_managers_ca && self.lacks_own_ca);
        match manager.cmp(&device) {
            _ if self.is_bare && manager + device == 0 => BoxKind::Neither,
            std::cmp::Ordering::Greater if manager >= 2 => BoxKind::Manager,
            std::cmp::Ordering::Less if device >= 2 => BoxKind::Device,
            _ => BoxKind::Unknown,
        }
    }
}

impl BoxKind {
    /// Finds the kind of the box below `root`.
    pub fn of(root: &Root) -> Self {
        signs(root).kind()
    }
}

/// Looks for signs. A file that cannot be read is none.
pub fn signs(root: &Root) -> Signs {
    let conf = root.read(Path::new(IMS_CONF), limits::IMS_CONF);
    let is_bare = matches!(&conf, Err(LimitError::Io(error)) if is_absent(error))
        && root.open_dir(Path::new(PEERS)).is_err_and(|error| is_absent(&error));
    let conf = conf.map(|bytes| ImsConf::parse(&bytes)).unwrap_or_default();
    let own = conf.appliance_uuid.and_then(|text| text.parse::<DeviceUuid>().ok());
    let peers = root.names(Path::new(PEERS)).unwrap_or_default();
    let is_peer = |name: &str| name.parse::<DeviceUuid>().is_ok();
    let peers: Vec<&str> = peers
        .iter()
        .filter_map(|name| name.to_str().filter(|name| is_peer(name)))
        .take(PEERS_SEEN)
        .collect();
    let is_dir = |path: &str| root.open_dir(Path::new(path)).is_ok();
    let has_pair = |peer: &&str| is_dir(&format!("{PEERS}/{peer}/{PUSHED}"));
    let has_its_ca = |peer: &&str| {
        let path = format!("{PEERS}/{peer}/{}", CredentialFile::Ca);
        peer.parse().is_ok_and(|uuid| names(root, &path, &uuid))
    };
    let is_gone = || match root.read(Path::new(CA), limits::PEM) {
        Ok(_) => peers.iter().any(|peer| peer.parse().is_ok_and(|uuid| names(root, CA, &uuid))),
        Err(LimitError::Io(error)) => is_absent(&error),
        Err(_) => false,
    };
    Signs {
        model: conf.model,
        lacks_own_ca: is_gone(),
        has_own_ca: own.is_some_and(|own| names(root, CA, &own)),
        has_renewals: has_batches(root) || peers.iter().any(has_pair),
        has_ngfw: is_dir(NGFW_SF),
        has_managers_ca: peers.iter().any(has_its_ca),
        is_bare,
    }
}

/// Returns true if the CN of the CA at `path` is this UUID.
fn names(root: &Root, path: &str, uuid: &DeviceUuid) -> bool {
    let pem = root.read(Path::new(path), limits::PEM).ok();
    let ca = pem.and_then(|pem| Certificate::from_pem(&pem, CredentialFile::Ca).ok());
    let is_it = |name: &String| name.parse().as_ref() == Ok(uuid);
    ca.is_some_and(|ca| ca.common_names().iter().any(is_it))
}

fn has_batches(root: &Root) -> bool {
    let is_number = |name: &OsStr| {
        name.to_str()
            .is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()))
    };
    root.names(Path::new(BATCHES)).is_ok_and(|names| names.iter().any(|name| is_number(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FMC: &str = "Secure Firewall Management Center for VMware";
    const FTD: &str = "Cisco Firepower 1120 Threat Defense";

    fn of(model: &str, change: fn(&mut Signs)) -> BoxKind {
        let model = Some(model.to_owned()).filter(|model| !model.is_empty());
        let mut signs = Signs { model, ..Signs::default() };
        change(&mut signs);
        signs.kind()
    }

    #[test]
    fn a_device_with_a_ca_stays_a_device_and_a_paired_manager_a_manager() {
        assert_eq!(of(FMC, |_| {}), BoxKind::Manager);
        assert_eq!(of("Cisco Defense Center 1500", |_| {}), BoxKind::Manager);
        assert_eq!(of(FTD, |_| {}), BoxKind::Device);
        let with_ca = |signs: &mut Signs| (signs.has_own_ca, signs.has_managers_ca) = (true, true);
        assert_eq!(of(FTD, with_ca), BoxKind::Device);
        assert_eq!(of(FMC, with_ca), BoxKind::Manager);
    }

    #[test]
    fn without_a_model_two_signs_are_needed_and_a_tie_is_unknown() {
        assert_eq!(of("", |signs| signs.has_own_ca = true), BoxKind::Unknown);
        assert_eq!(of("", |signs| signs.has_ngfw = true), BoxKind::Unknown);
        let two = |signs: &mut Signs| (signs.has_ngfw, signs.has_managers_ca) = (true, true);
        assert_eq!(of("Firepower 9300", two), BoxKind::Device);
        let two = |signs: &mut Signs| (signs.has_own_ca, signs.has_renewals) = (true, true);
        assert_eq!(of("x", two), BoxKind::Manager);
        let copied = |signs: &mut Signs| (signs.has_managers_ca, signs.lacks_own_ca) = (true, true);
        assert_eq!(of("x", copied), BoxKind::Device);
        assert_eq!(of(FMC, copied), BoxKind::Unknown);
        assert_eq!(of("x", |signs| signs.lacks_own_ca = true), BoxKind::Unknown);
        let tie = |signs: &mut Signs| (signs.has_own_ca, signs.has_ngfw) = (true, true);
        assert_eq!(of("x", tie), BoxKind::Unknown);
    }

    #[test]
    fn only_a_machine_without_any_of_it_is_neither() {
        assert_eq!(of("", |signs| signs.is_bare = true), BoxKind::Neither);
        assert_eq!(of("", |_| {}), BoxKind::Unknown);
        let one = |signs: &mut Signs| (signs.is_bare, signs.has_renewals) = (true, true);
        assert_eq!(of("", one), BoxKind::Unknown);
    }
}
