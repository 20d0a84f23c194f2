//! A kit's signed index: the bundles against it, in everything that both say, and who signed it.

use formats::bundle::SignedBundle;
use formats::kit::BundleEntry;
use formats::seal::Identities;
use formats::signature::Fingerprint;

use crate::ask::signer::Claim;
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
    /// The claim of who signed the index, which makes no bundle installable.
    pub fn claim<'a>(&'a self, subject: &'a str, passphrase: Option<Fingerprint>) -> Claim<'a> {
        let (manager, signer) = (&self.index().manager.uuid, self.signer().fingerprint());
        Claim { subject, manager, signer, pinned: &[], passphrase }
    }
}
