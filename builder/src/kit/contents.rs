//! Fills a kit, in one way for `build` and `handoff`. They differ in where a bundle's signed
//! inside comes from, and in what the index says of who made the kit.
//!
//! ```text
//! seal and write each bundle                               (the caller, on all cores)
//! complete: kit.identity.age, installers, README.txt, install.sh, kit.json and its signature
//! ```

use cli::say::failure::Failure;
use cli::say::version::VERSION;
use formats::bundle::Inner;
use formats::bundle::manifest::Tool;
use formats::kit::{self, BundleEntry, DeviceEntry, InstallerEntry, KitIndex};
use formats::limits;
use formats::seal::{Encoding, NewIdentity, Recipient};
use formats::signature::SigningKey;

use crate::device_result::DeviceResult;
use crate::kit::error::Error;
use crate::kit::texts;
use crate::kit::writer::{KitWriter, Written};

/// Seals a bundle's inside for its recipients, and for the kit's own identity where a passphrase
/// opens that. A failure concerns this bundle alone.
pub(crate) fn seal(
    inner: &Inner,
    mut recipients: Vec<Recipient>,
    identity: Option<&NewIdentity>,
    armor: bool,
) -> Result<Vec<u8>, Error> {
    recipients.extend(identity.map(NewIdentity::recipient));
    let encoding = if armor { Encoding::Armored } else { Encoding::Binary };
    let sealed = inner.seal(&recipients, encoding).map_err(Error::Seal)?;
    if sealed.len() as u64 > limits::BUNDLE {
        return Err(Error::BundleTooLarge);
    }
    Ok(sealed)
}

/// Makes the bundles' entries for the index; `written` picks the file's size and digest out of a
/// device's facts.
pub(crate) fn entries<F>(
    results: &[DeviceResult<F>],
    written: impl Fn(&F) -> Written,
) -> Vec<BundleEntry> {
    let entry = |result: &DeviceResult<F>| {
        let (device, facts) = (result.device.as_ref()?, result.facts.as_ref()?);
        let device = DeviceEntry { uuid: device.uuid.clone(), name: device.name.clone()? };
        let Written { size, sha256 } = written(facts);
        Some(BundleEntry::new(device, size, sha256))
    };
    results.iter().filter_map(entry).collect()
}

/// Writes everything beside the bundles, while these go to the disk, and gives `index` back with
/// what it lists of that.
pub(crate) fn complete(
    writer: &KitWriter,
    mut index: KitIndex,
    key: &SigningKey,
    identity: impl FnOnce() -> Result<Option<Vec<u8>>, Failure>,
    installers: impl FnOnce() -> Result<Vec<InstallerEntry>, Failure>,
) -> Result<KitIndex, Failure> {
    writer.flush_beside(|| {
        if let Some(identity) = identity()? {
            index.texts.push(writer.text(kit::IDENTITY, &identity, 0o644)?);
        }
        index.installers = installers()?;
        let texts = texts::write(writer, &index)?;
        index.texts.extend(texts);
        let (bytes, signature) = index.sign(key).map_err(Error::Index)?;
        writer.file(kit::INDEX, &bytes, 0o644)?;
        writer.file(kit::INDEX_SIGNATURE, &signature, 0o644)?;
        Ok(index)
    })
}

/// This program, as manifests and handoffs name it.
pub(crate) fn this_program() -> Tool {
    Tool { name: crate::PROGRAM.to_owned(), version: VERSION.to_owned() }
}
