//! A kit's signed index: the check of bundles against it, and the claim of its signer.

use formats::bundle::SignedBundle;
use formats::kit::BundleEntry;
use formats::seal::Identities;
use formats::signature::Fingerprint;

use crate::ask::signer::Claim;
use crate::kit::folder::KitFolder;
use crate::kit::source::open_sealed;
use crate::say::failure::Failure;

impl KitFolder {
    /// Opens the bytes that [`KitFolder::bundle`] has read, and compares the bundle with the index.
    ///
    /// # Errors
    /// Like [`open_sealed`] and [`KitFolder::check_bundle`].
    pub fn open_bundle(
        &self,
        entry: &BundleEntry,
        sealed: &[u8],
        identities: &Identities,
    ) -> Result<SignedBundle, Failure> {
        let bundle = open_sealed(&self.origin(entry), sealed, identities)?;
        self.check_bundle(entry, &bundle)?;
        Ok(bundle)
    }

    /// Checks that a bundle is the one that the index describes: its device, name, manager, host
    /// name, batch and time.
    ///
    /// # Errors
    /// Returns `damaged` for another bundle.
    pub fn check_bundle(&self, entry: &BundleEntry, bundle: &SignedBundle) -> Result<(), Failure> {
        self.index().check_bundle(entry, bundle.manifest()).map_err(|error| {
            Failure::of(self.origin(entry), &error)
                .or_hint("have the kit made anew: it was put together from parts")
        })
    }

    /// Path of a bundle, for messages.
    pub fn origin(&self, entry: &BundleEntry) -> String {
        self.path().join(&entry.file).display().to_string()
    }

    /// Makes the claim of the index's signer, which makes no bundle installable.
    pub fn claim<'a>(&'a self, subject: &'a str, passphrase: Option<Fingerprint>) -> Claim<'a> {
        let (manager, signer) = (&self.index().manager.uuid, self.signer().fingerprint());
        Claim { subject, manager, signer, pinned: &[], passphrase }
    }
}
