//! A kit's bundles against its signed index: in both programs, in everything that both say.

use formats::bundle::SignedBundle;
use formats::kit::BundleEntry;
use formats::seal::Identities;

use crate::kit::folder::KitFolder;
use crate::kit::source::open_sealed;
use crate::say::exit::Failure;

impl KitFolder {
    /// Opens the bytes that [`KitFolder::bundle`] has read, and checks that the bundle is the one
    /// that the index describes: its device, name, manager, host name, batch and time.
    ///
    /// # Errors
    /// Those of [`open_sealed`]; `damaged` for another bundle.
    pub fn open_bundle(
        &self,
        entry: &BundleEntry,
        sealed: &[u8],
        identities: &Identities,
    ) -> Result<SignedBundle, Failure> {
        let origin = self.path().join(&entry.file).display().to_string();
        let bundle = open_sealed(&origin, sealed, identities)?;
        self.index().check_bundle(entry, bundle.manifest()).map_err(|error| {
            Failure::of(origin, &error)
                .or_hint("have the kit made anew: it was put together from parts")
        })?;
        Ok(bundle)
    }
}
