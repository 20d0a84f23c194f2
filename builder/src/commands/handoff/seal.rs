//! One kit, or one bundle, sealed anew.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use cli::ask::signer::{Claim, SignerCheck};
use cli::disk::durable;
use cli::kit::validity::names_its_device;
use cli::say::failure::Failure;
use formats::bundle::SignedBundle;
use formats::checksum::Sha256;
use formats::credentials::Validity;
use formats::device::bundle_file_name;
use formats::kit::{self, BundleEntry, InstallerEntry, KitIndex};
use formats::seal::{NewIdentity, Passphrase, Recipient};
use formats::signature::Fingerprint;
use formats::timestamp::Timestamp;
use formats::trust::Vouch;
use rustix::fs::Mode;

use super::view::{HandedOff, MadeKit};
use super::{SourceBundle, SourceKit};
use crate::Context;
use crate::args::HandoffArgs;
use crate::device_result::{DeviceRef, DeviceResult, Refusal};
use crate::keys::recipients::Recipients;
use crate::keys::signing_key::Signer;
use crate::kit::contents;
use crate::kit::error::{Error, Occupant};
use crate::kit::parallel::in_order;
use crate::kit::replace::open_out;
use crate::kit::source::{device_of, open};
use crate::kit::writer::{KitWriter, Published, Written};

/// A directory for kits, with `--split` for one recipient alone.
pub(super) struct Share {
    pub(super) out: PathBuf,
    pub(super) only: Option<Recipient>,
}

/// Seals what goes into one share.
pub(super) struct Sealer<'a> {
    pub(super) context: &'a Context,
    pub(super) args: &'a HandoffArgs,
    pub(super) recipients: &'a Recipients,
    pub(super) share: &'a Share,
}

/// A kit's results; no kit, when every bundle was refused.
pub(super) struct SealedKit {
    pub(super) kit: Option<MadeKit>,
    pub(super) results: Vec<DeviceResult<HandedOff>>,
    /// Mishaps that leave the kit whole.
    pub(super) warnings: Vec<String>,
}

impl Sealer<'_> {
    /// Makes the kit. `reveal` hands a generated passphrase over, right before the kit is there.
    pub(super) fn kit(
        &self,
        source: &SourceKit,
        check: &mut SignerCheck<'_>,
        signer: &Signer,
        passphrase: Option<&Passphrase>,
        reveal: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<SealedKit, Failure> {
        let writer =
            KitWriter::create(&self.share.out, &source.new_name(), self.args.result.force)?;
        let identity = passphrase.map(|_| self.recipients.identity_beside());
        let mut results = Vec::new();
        let made = writer.publish(|writer| {
            results = self.bundles(source, writer, check, identity.as_ref())?;
            let bundles = contents::entries(&results, HandedOff::written);
            if bundles.is_empty() {
                return Ok(None);
            }
            let locked = match identity.as_ref().zip(passphrase) {
                None => None,
                Some((identity, passphrase)) => {
                    Some(lock(source, check, &mut results, identity, passphrase)?)
                }
            };
            let index = source.index(bundles, self.context.now, signer);
            let installers = || source.copy_installers(writer);
            let index = contents::complete(writer, index, &signer.key, || Ok(locked), installers)?;
            signer.keep(&self.context.root)?;
            reveal()?;
            Ok(Some(index))
        })?;
        let (kit, warnings) = made.map_or((None, Vec::new()), |(index, published)| {
            let Published { path, warnings } = published;
            let from = source.folder.path().to_owned();
            (Some(MadeKit::of(index, path, from, identity.is_some())), warnings)
        });
        Ok(SealedKit { kit, results, warnings })
    }

    fn bundles(
        &self,
        source: &SourceKit,
        writer: &KitWriter,
        check: &SignerCheck<'_>,
        identity: Option<&NewIdentity>,
    ) -> Result<Vec<DeviceResult<HandedOff>>, Failure> {
        let is_of_share = |entry: &&BundleEntry| match &self.share.only {
            None => true,
            Some(only) => self.recipients.mapped_to(&entry.device.uuid).contains(only),
        };
        let entries: Vec<&BundleEntry> = source.entries.iter().filter(is_of_share).collect();
        let progress = self.context.terminal.progress("sealing", entries.len());
        let kit = self.share.out.join(source.new_name());
        in_order(&entries, progress, |entry| {
            let folder = &source.folder;
            let read = folder.bundle(entry).map_err(|met| folder.whole_failure(met))?;
            let sealed = source
                .open(entry, &read, check)
                .and_then(|(bundle, vouch)| Ok((self.seal(&bundle, identity)?, bundle, vouch)));
            let (sealed, bundle, vouch) = match sealed {
                Ok(sealed) => sealed,
                Err(failure) => return refused(device_of(entry), failure),
            };
            // a kit of before may have a longer name for it
            let file = entry.device.bundle_file();
            let written = writer.bundle(&file, &sealed)?;
            Ok(self.handed_off(&bundle, kit.join(&file), written, vouch))
        })
    }

    /// Seals a bundle by itself into a new file. What is wrong with the bundle is its result.
    pub(super) fn bundle(
        &self,
        source: &SourceBundle,
        check: &SignerCheck<'_>,
    ) -> Result<DeviceResult<HandedOff>, Failure> {
        let (bundle, subject) = (&source.bundle, source.path.display().to_string());
        let claim = Claim::of_bundle(bundle.manifest(), &subject, source.vouched_signer);
        let sealed = check.without_asking(claim).and_then(|vouch| {
            names_its_device(bundle)?;
            Ok((self.seal(bundle, None)?, vouch))
        });
        let device = &bundle.manifest().device;
        let (sealed, vouch) = match sealed {
            Ok(sealed) => sealed,
            Err(failure) => return refused(DeviceRef::of(device), failure),
        };
        let name = bundle_file_name(&device.name, &device.uuid);
        write(&self.share.out, &name, &sealed, self.args.result.force)?;
        let written = Written { size: sealed.len() as u64, sha256: Sha256::of(&sealed) };
        Ok(self.handed_off(bundle, self.share.out.join(name), written, vouch))
    }

    fn recipients(&self, bundle: &SignedBundle) -> Vec<Recipient> {
        match &self.share.only {
            Some(only) => self.recipients.of_part(only),
            None => self.recipients.of(&bundle.manifest().device.uuid),
        }
    }

    fn seal(
        &self,
        bundle: &SignedBundle,
        identity: Option<&NewIdentity>,
    ) -> Result<Vec<u8>, Failure> {
        let armor = self.args.result.armor;
        Ok(contents::seal(bundle.inner(), self.recipients(bundle), identity, armor)?)
    }

    fn handed_off(
        &self,
        bundle: &SignedBundle,
        path: PathBuf,
        Written { size, sha256 }: Written,
        vouched_by: Option<Vouch>,
    ) -> DeviceResult<HandedOff> {
        let manifest = bundle.manifest();
        let ends =
            [("CA", &manifest.credentials.ca), ("certificate", &manifest.credentials.certificate)];
        let expired =
            ends.into_iter().filter(|(_, facts)| facts.at(self.context.now) == Validity::Expired);
        let notes = expired
            .map(|(what, facts)| format!("its {what} expired at {}", facts.not_after))
            .collect();
        let facts = HandedOff {
            path,
            size,
            sha256,
            bundle_id: manifest.bundle_id,
            signer: bundle.fingerprint(),
            vouched_by,
            recipients: self.recipients(bundle).iter().map(ToString::to_string).collect(),
        };
        DeviceResult::good(DeviceRef::of(&manifest.device), "handed-off", facts, notes)
    }
}

impl SourceKit {
    fn open(
        &self,
        entry: &BundleEntry,
        read: &[u8],
        check: &SignerCheck<'_>,
    ) -> Result<(SignedBundle, Option<Vouch>), Failure> {
        let bundle = open(&self.folder, entry, read, &self.unlocked.identities)?;
        let passphrase = self.unlocked.vouched_signer;
        let claim = Claim::of_bundle(bundle.manifest(), &entry.file, passphrase);
        let vouch = check.without_asking(claim)?;
        names_its_device(&bundle)?;
        Ok((bundle, vouch))
    }

    /// Copies the programs; what is written is what the index lists.
    fn copy_installers(&self, writer: &KitWriter) -> Result<Vec<InstallerEntry>, Failure> {
        let copy = |entry: &InstallerEntry| {
            let copied = writer.installer(&entry.arch, self.folder.installer(entry)?)?;
            if copied == *entry {
                Ok(copied)
            } else {
                Err(self.folder.damaged(&entry.file, kit::INDEX))
            }
        };
        self.folder.index().installers.iter().map(copy).collect()
    }

    /// The old index with the new bundles, and this handoff in it.
    fn index(&self, bundles: Vec<BundleEntry>, now: Timestamp, signer: &Signer) -> KitIndex {
        let old = self.folder.index();
        let mut index = KitIndex {
            format: kit::FORMAT.to_owned(),
            manager: old.manager.clone(),
            batch: old.batch,
            source: old.source,
            created_at: old.created_at,
            signer: old.signer,
            built_by: old.built_by,
            handoffs: old.handoffs.clone(),
            bundles,
            installers: Vec::new(),
            texts: Vec::new(),
        };
        index.hand_off(now, signer.entry, contents::this_program());
        index
    }
}

/// Locks the new kit's identity. A passphrase speaks for one signer, and only for one that
/// somebody vouches for here.
fn lock(
    source: &SourceKit,
    check: &mut SignerCheck<'_>,
    results: &mut [DeviceResult<HandedOff>],
    identity: &NewIdentity,
    passphrase: &Passphrase,
) -> Result<Vec<u8>, Failure> {
    let subject = format!("{} (its bundles)", source.folder.path().display());
    let signer = only_signer(results).map_err(|signers| Error::SeveralSigners {
        kit: source.folder.path().to_owned(),
        signers,
    })?;
    let of_index = source.folder.claim(&subject, source.unlocked.vouched_signer);
    let vouch = check.require(Claim { signer, ..of_index })?;
    for facts in results.iter_mut().filter_map(|result| result.facts.as_mut()) {
        facts.vouched_by = Some(vouch);
    }
    Ok(identity.protect(passphrase, signer).map_err(|_| Error::IdentityNotLocked)?)
}

/// A failure that concerns one bundle is its result; any other ends the run.
fn refused<F>(device: DeviceRef, failure: Failure) -> Result<DeviceResult<F>, Failure> {
    if !failure.is_refusal() {
        return Err(failure);
    }
    Ok(DeviceResult::refused(Some(device), Refusal::of(failure), Vec::new()))
}

fn write(out: &Path, name: &str, bytes: &[u8], force: bool) -> Result<(), Error> {
    let path = out.join(name);
    let dir = open_out(out)?;
    let (name, mode) = (OsStr::new(name), Mode::from(0o600));
    let written = match force {
        true => durable::replace(&dir, name, bytes, mode),
        false => durable::create(&dir, name, bytes, mode),
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists { path, occupant: Occupant::Bundle },
        _ => Error::Write { path, error },
    })
}

/// The one key that all bundles are signed with; an error are all of several.
fn only_signer(results: &[DeviceResult<HandedOff>]) -> Result<Fingerprint, Vec<Fingerprint>> {
    let mut signers: Vec<Fingerprint> =
        results.iter().filter_map(|result| Some(result.facts.as_ref()?.signer)).collect();
    signers.sort();
    signers.dedup();
    match signers.as_slice() {
        [signer] => Ok(*signer),
        _ => Err(signers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::signature::SigningKey;

    fn handed(signer: Fingerprint) -> DeviceResult<HandedOff> {
        let facts = HandedOff {
            path: PathBuf::new(),
            size: 0,
            sha256: Sha256::of(b""),
            bundle_id: Sha256::of(b""),
            signer,
            vouched_by: None,
            recipients: Vec::new(),
        };
        let uuid = "c8d5d5c6-87c9-11ef-a993-b9831565bc4e".parse().unwrap();
        DeviceResult::good(DeviceRef { uuid, name: None }, "handed-off", facts, Vec::new())
    }

    #[test]
    fn a_passphrase_speaks_for_one_signer_only() {
        let print = || SigningKey::generate().unwrap().verifying_key().unwrap().fingerprint();
        let (one, two) = (print(), print());
        assert_eq!(only_signer(&[handed(one), handed(one)]), Ok(one));
        assert_eq!(only_signer(&[handed(one), handed(two)]).unwrap_err().len(), 2);
    }
}
