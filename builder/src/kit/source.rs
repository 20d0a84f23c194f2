//! Kits and bundles that the operator names, for `inspect` and `verify`.

use std::path::{Path, PathBuf};

use cli::disk::input::{self, STDIN};
use cli::kit::folder::{KitFolder, KitIdentity, identity_around, is_kit};
use cli::kit::not_a_kit;
use cli::say::exit::Failure;
use formats::checksum::Sha256;
use formats::device::{DeviceName, DeviceUuid};
use formats::error::Reason;
use formats::kit::BundleEntry;
use formats::seal::encoding_of;
use serde::Serialize;

use crate::fmc::plan::find_device;
use crate::kit::device_result::DeviceRef;

/// A bundle by itself.
#[derive(Debug)]
pub(crate) struct Loose {
    /// The file as it is.
    pub bytes: Vec<u8>,
    /// `kit.identity.age` of the kit that it lies in, where it does.
    pub kit_identity: Option<KitIdentity>,
}

/// What is known of a bundle file from the outside.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outside {
    /// The file; `-` for standard input.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Of the sealed file.
    pub sha256: Sha256,
}

/// Whether it is to be taken for a kit. A folder that is none is an error of the kit's.
pub(crate) fn is_folder(path: &Path) -> bool {
    path.as_os_str() != STDIN && (path.is_dir() || is_kit(path))
}

impl Loose {
    /// Reads a bundle file, or standard input for `-`.
    ///
    /// # Errors
    /// `not-found`, `too-large`, `bad-format` for something else than an age file; those of the kit
    /// that it lies in.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let what_to_name = || {
            let known = (path.as_os_str() != STDIN).then(|| not_a_kit::explain(path)).flatten();
            known.unwrap_or_else(|| NAME_ONE.to_owned())
        };
        let bytes = input::read_bundle(path).map_err(|failure| match failure.reason() {
            Some(Reason::TooLarge) => failure.or_hint(what_to_name()),
            _ => failure,
        })?;
        encoding_of(&bytes)
            .map_err(|error| Failure::of(path.display(), &error).hint(what_to_name()))?;
        Ok(Self { bytes, kit_identity: identity_around(path)? })
    }

    /// What is known from the outside.
    pub(crate) fn outside(&self, path: &Path) -> Outside {
        let (size, sha256) = (self.bytes.len() as u64, Sha256::of(&self.bytes));
        Outside { path: path.to_owned(), size, sha256 }
    }
}

const NAME_ONE: &str =
    "name a kit's folder or a .tar.gz.age file; copy it again if it should be one";

/// The bundles of a kit that were asked for; all, when none was named.
///
/// # Errors
/// `not-found` for a device that the kit is not for.
pub(crate) fn picked(kit: &KitFolder, wanted: &[String]) -> Result<Vec<BundleEntry>, Failure> {
    let bundles = &kit.index().bundles;
    let known: Vec<(DeviceUuid, Option<DeviceName>)> = bundles
        .iter()
        .map(|entry| (entry.device.uuid.clone(), Some(entry.device.name.clone())))
        .collect();
    let mut uuids = Vec::new();
    for text in wanted {
        uuids.push(find_device(&known, text)?);
    }
    let is_picked = |entry: &&BundleEntry| wanted.is_empty() || uuids.contains(&entry.device.uuid);
    Ok(bundles.iter().filter(is_picked).cloned().collect())
}

/// The device of a kit's entry as results name it.
pub(crate) fn device_of(entry: &BundleEntry) -> DeviceRef {
    DeviceRef { uuid: entry.device.uuid.clone(), name: Some(entry.device.name.clone()) }
}
