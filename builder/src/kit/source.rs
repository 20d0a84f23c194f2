//! The bundles of a kit that are asked for, as `inspect`, `verify` and `handoff` take them.

use cli::kit::folder::KitFolder;
use cli::say::failure::Failure;
use formats::bundle::SignedBundle;
use formats::device::{DeviceName, DeviceUuid};
use formats::error::Reason;
use formats::kit::BundleEntry;
use formats::seal::Identities;

use crate::device_result::DeviceRef;
use crate::fmc::by_name::{NameError, find_devices};

/// Picks the bundles of a kit that were asked for; all, when none was named.
pub(crate) fn picked(kit: &KitFolder, wanted: &[String]) -> Result<Vec<BundleEntry>, NameError> {
    let bundles = &kit.index().bundles;
    let known: Vec<(DeviceUuid, Option<DeviceName>)> = bundles
        .iter()
        .map(|entry| (entry.device.uuid.clone(), Some(entry.device.name.clone())))
        .collect();
    let uuids = find_devices(&known, wanted)?;
    let is_picked = |entry: &&BundleEntry| wanted.is_empty() || uuids.contains(&entry.device.uuid);
    Ok(bundles.iter().filter(is_picked).cloned().collect())
}

/// Opens a bundle of a kit that has been read; one that is sealed for others can be left out.
pub(crate) fn open(
    kit: &KitFolder,
    entry: &BundleEntry,
    sealed: &[u8],
    identities: &Identities,
) -> Result<SignedBundle, Failure> {
    kit.open_bundle(entry, sealed, identities).map_err(|failure| match failure.reason() {
        Some(Reason::CannotOpen) => failure.also_hint("--device picks the bundles that are yours"),
        _ => failure,
    })
}

/// The device of a kit's entry as results name it.
pub(crate) fn device_of(entry: &BundleEntry) -> DeviceRef {
    DeviceRef { uuid: entry.device.uuid.clone(), name: Some(entry.device.name.clone()) }
}
