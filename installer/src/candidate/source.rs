//! The box's own bundle in what is named.

use std::path::Path;

use cli::ask::unlock::{Unlocked, Unlocker};
use cli::kit::folder::KitFolder;
use cli::kit::source::{Source, open_sealed};
use cli::say::exit::Failure;
use formats::bundle::SignedBundle;
use formats::device::DeviceUuid;
use formats::error::Reason;
use formats::kit::BundleEntry;
use formats::text::named;

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

fn own_entry<'a>(kit: &'a KitFolder, device: &DeviceUuid) -> Result<&'a BundleEntry, Failure> {
    kit.index().bundle_for(device).ok_or_else(|| {
        let shown = kit.path().display();
        let message = format!("{shown} holds no bundle for this box, {device}; it is for {}", devices_of(kit));
        Failure::refused(Reason::WrongDevice, message)
            .hint("take the kit that was made for this site; a re-imaged box has a new UUID and needs a new kit")
    })
}

fn devices_of(kit: &KitFolder) -> String {
    let bundles = &kit.index().bundles;
    let mut names: Vec<_> =
        bundles.iter().take(5).map(|entry| named(entry.device.name.as_str(), 40)).collect();
    if bundles.len() > 5 {
        names.push(format!("{} more", bundles.len().saturating_sub(5)));
    }
    names.join(", ")
}

fn require_device(bundle: &SignedBundle, device: &DeviceUuid) -> Result<(), Failure> {
    let made_for = &bundle.manifest().device;
    if made_for.uuid == *device {
        return Ok(());
    }
    let message = format!(
        "the bundle is for device {} ({}), this box is {device}",
        made_for.uuid,
        named(made_for.name.as_str(), 40)
    );
    Err(Failure::refused(Reason::WrongDevice, message)
        .hint("take the bundle of this box; a re-imaged box has a new UUID and needs a new bundle"))
}
