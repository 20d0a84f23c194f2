//! The box's own bundle in what is named.

use std::path::Path;

use cli::ask::unlock::{Unlocked, Unlocker};
use cli::kit::folder::KitFolder;
use cli::kit::source::{Source, open_sealed};
use cli::say::failure::Failure;
use formats::bundle::SignedBundle;
use formats::device::DeviceUuid;
use formats::kit::BundleEntry;

use crate::candidate::error::Error;

/// A bundle as it was found somewhere.
#[derive(Debug)]
pub(crate) struct Found<T> {
    /// The path, or `standard input`.
    pub origin: String,
    /// The bundle, or why it is refused.
    pub bundle: Result<T, Failure>,
}

/// Reads and opens a source: the box's own bundle in a kit, or a bundle.
pub(crate) fn open(
    path: &Path,
    device: &DeviceUuid,
    unlocker: &mut Unlocker<'_>,
) -> Result<(SignedBundle, Unlocked), Failure> {
    match Source::open(path)? {
        Source::Kit(kit) => {
            let entry = own_entry(&kit, device)?;
            let sealed = kit.bundle(entry)?;
            let unlocked = unlocker.unlock(kit.identity()?.as_ref())?;
            let bundle = open_sealed(&kit.origin(entry), &sealed, &unlocked.identities)?;
            // another box's bundle is told as that, whatever the index says of it
            require_device(&bundle, device)?;
            kit.check_bundle(entry, &bundle)?;
            Ok((bundle, unlocked))
        }
        Source::Bundle(file) => {
            let unlocked = unlocker.unlock(file.kit_identity.as_ref())?;
            let bundle = file.open(&unlocked.identities)?;
            require_device(&bundle, device)?;
            Ok((bundle, unlocked))
        }
    }
}

fn own_entry<'a>(kit: &'a KitFolder, device: &DeviceUuid) -> Result<&'a BundleEntry, Error> {
    kit.index().bundle_for(device).ok_or_else(|| Error::NoBundleInKit {
        kit: kit.path().to_owned(),
        device: device.clone(),
        made_for: kit.index().bundles.iter().map(|entry| entry.device.clone()).collect(),
    })
}

fn require_device(bundle: &SignedBundle, device: &DeviceUuid) -> Result<(), Error> {
    let made_for = &bundle.manifest().device;
    if made_for.uuid == *device {
        return Ok(());
    }
    Err(Error::OtherDevice { made_for: Box::new(made_for.clone()), device: device.clone() })
}
