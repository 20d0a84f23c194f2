//! From kits and bundles to bundles whose signer somebody vouches for.
//!
//! Each file is read once into memory; what is verified is what is installed.

use std::path::Path;

use cli::ask::unlock::{Unlocked, Unlocker};
use cli::disk::input::{self, STDIN};
use cli::kit::folder::{KitFolder, identity_around, is_kit};
use cli::kit::not_a_kit;
use cli::say::exit::Failure;
use formats::bundle::{BundleError, SignedBundle};
use formats::device::DeviceUuid;
use formats::error::Reason;
use formats::seal::{OpenError, encoding_of};
use formats::text::named;

/// A bundle as it was found somewhere.
#[derive(Debug)]
pub(crate) struct Found<T> {
    /// The path, or `standard input`.
    pub origin: String,
    /// The bundle, or why it is refused.
    pub bundle: Result<T, Failure>,
}

/// Reads a source: the box's own bundle in a kit, or a bundle.
///
/// # Errors
/// The reason of whatever is wrong with it.
pub(crate) fn open(
    path: &Path,
    device: &DeviceUuid,
    unlocker: &mut Unlocker<'_>,
) -> Result<(SignedBundle, Unlocked), Failure> {
    if path.as_os_str() != STDIN && is_kit(path) {
        return open_from_kit(&KitFolder::open(path)?, device, unlocker);
    }
    let sealed = read_bundle(path)?;
    let unlocked = unlocker.unlock(identity_around(path)?.as_ref())?;
    let bundle = open_sealed(&origin(path), &sealed, &unlocked)?;
    require_device(&bundle, device)?;
    Ok((bundle, unlocked))
}

/// Reads a bundle's file.
///
/// # Errors
/// As [`input::read_bundle`]; with what to name in place of something else.
pub(crate) fn read_bundle(path: &Path) -> Result<Vec<u8>, Failure> {
    let sealed = input::read_bundle(path).map_err(|failure| match failure.reason() {
        Some(Reason::BadFormat | Reason::TooLarge) => failure.or_hint(what_to_name(path)),
        _ => failure,
    })?;
    encoding_of(&sealed)
        .map_err(|error| Failure::of(origin(path), &error).hint(what_to_name(path)))?;
    Ok(sealed)
}

fn what_to_name(path: &Path) -> String {
    let known = (path.as_os_str() != STDIN).then(|| not_a_kit::explain(path)).flatten();
    known.unwrap_or_else(|| NAME_ONE.to_owned())
}

const NAME_ONE: &str = "name a bundle file (*.tar.gz.age) or a kit folder (it holds kit.json)";

fn open_from_kit(
    kit: &KitFolder,
    device: &DeviceUuid,
    unlocker: &mut Unlocker<'_>,
) -> Result<(SignedBundle, Unlocked), Failure> {
    let shown = kit.path().display();
    let entry = kit.index().bundle_for(device).ok_or_else(|| {
        let message = format!("{shown} holds no bundle for this box, {device}; it is for {}", devices_of(kit));
        Failure::refused(Reason::WrongDevice, message)
            .hint("take the kit that was made for this site; a re-imaged box has a new UUID and needs a new kit")
    })?;
    let sealed = kit.bundle(entry)?;
    let unlocked = unlocker.unlock(kit.identity()?.as_ref())?;
    let origin = kit.path().join(&entry.file).display().to_string();
    let bundle = open_sealed(&origin, &sealed, &unlocked)?;
    require_device(&bundle, device)?;
    kit.require_described(entry, bundle.manifest())?;
    Ok((bundle, unlocked))
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

/// Opens the bytes of a bundle file.
///
/// # Errors
/// The reason of whatever is wrong with it, with a hint.
pub(crate) fn open_sealed(
    origin: &str,
    sealed: &[u8],
    unlocked: &Unlocked,
) -> Result<SignedBundle, Failure> {
    SignedBundle::open(sealed, &unlocked.identities).map_err(|error| {
        let hint = match &error {
            BundleError::Open(OpenError::NoMatch) => {
                "give the identity (--identity) or the kit's passphrase that it was sealed for; if that is certain, the file was changed: copy it again"
            }
            BundleError::Open(OpenError::NotAge) => NAME_ONE,
            BundleError::Signature(_) => "do not use it; have it made anew, and find out who changed it",
            BundleError::Manifest(_) => "use an installer of the version that made the kit",
            _ => "copy it again from where it was made, or have it made anew",
        };
        Failure::of(origin, &error).or_hint(hint)
    })
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

/// A source's path for messages.
pub(crate) fn origin(path: &Path) -> String {
    if path.as_os_str() == STDIN { "standard input".to_owned() } else { path.display().to_string() }
}
