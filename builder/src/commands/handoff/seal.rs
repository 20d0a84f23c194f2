//! One kit, or one bundle, sealed anew.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use cli::ask::signer::{Claim, SignerCheck};
use cli::disk::durable;
use cli::kit::checks::names_its_device;
use cli::say::exit::Failure;
use cli::say::terminal::Terminal;
use formats::bundle::manifest::Tool;
use formats::bundle::{BundleError, Inner, SignedBundle};
use formats::checksum::Sha256;
use formats::credentials::Validity;
use formats::device::bundle_file_name;
use formats::error::{Reason, Reasoned};
use formats::kit::{self, BundleEntry, DeviceEntry, InstallerEntry, KitIndex, TextEntry};
use formats::limits;
use formats::seal::{Encoding, NewIdentity, Passphrase, Recipient};
use formats::signature::Fingerprint;
use formats::timestamp::Timestamp;
use formats::trust::Vouch;
use rustix::fs::Mode;

use super::view::{HandedOff, KitView};
use super::{SourceBundle, SourceKit, of_one_bundle};
use crate::Context;
use crate::args::HandoffArgs;
use crate::keys::recipients::Recipients;
use crate::keys::signing_key::Signer;
use crate::kit::device_result::{DeviceRef, DeviceResult};
use crate::kit::parallel::in_order;
use crate::kit::source::device_of;
use crate::kit::texts::{self, ReadmeFacts};
use crate::kit::writer::{KitWriter, Published};

/// Where to, and with `--split` for whom alone.
pub(super) struct Part {
    pub(super) out: PathBuf,
    pub(super) only: Option<Recipient>,
}

/// Seals one kit, or a part of it.
pub(super) struct Sealer<'a> {
    pub(super) context: &'a Context,
    pub(super) args: &'a HandoffArgs,
    pub(super) source: &'a SourceKit,
    pub(super) recipients: &'a Recipients,
    pub(super) part: &'a Part,
}

/// What came of it; no kit, when every bundle was refused.
pub(super) struct Made {
    pub(super) kit: Option<KitView>,
    pub(super) results: Vec<DeviceResult<HandedOff>>,
    /// What did not go as it should, although the kit stands.
    pub(super) warnings: Vec<String>,
}

/// The new kit's identity and who vouches for the one signer of its bundles.
struct Vouched {
    sealed: Vec<u8>,
    vouch: Vouch,
}

impl Part {
    fn recipients(&self, all: &Recipients, bundle: &SignedBundle) -> Vec<Recipient> {
        match &self.only {
            Some(only) => all.of_part(only),
            None => all.of(&bundle.manifest().device.uuid),
        }
    }
}

impl Sealer<'_> {
    /// Makes the kit. `reveal` shows a generated passphrase, right before the kit is there.
    pub(super) fn kit(
        &self,
        check: &mut SignerCheck<'_>,
        signer: &Signer,
        passphrase: Option<&Passphrase>,
        reveal: impl Fn(&Passphrase) -> Result<(), Failure>,
    ) -> Result<Made, Failure> {
        let writer =
            KitWriter::create(&self.part.out, &self.source.new_name(), self.args.result.force)?;
        let made = self.fill(&writer, check, signer, passphrase).and_then(|made| {
            let Some(kit) = made.kit else { return Ok((false, made)) };
            if let Some(passphrase) = passphrase {
                reveal(passphrase)?;
            }
            let Published { path, warnings } = writer.commit()?;
            Ok((true, Made { kit: Some(KitView { path, ..kit }), warnings, ..made }))
        });
        match made {
            Ok((true, made)) => Ok(made),
            Ok((false, made)) => {
                writer.discard();
                Ok(made)
            }
            Err(failure) => {
                writer.discard();
                Err(failure)
            }
        }
    }

    fn fill(
        &self,
        writer: &KitWriter,
        check: &mut SignerCheck<'_>,
        signer: &Signer,
        passphrase: Option<&Passphrase>,
    ) -> Result<Made, Failure> {
        let identity = passphrase.map(|_| self.recipients.identity_beside());
        let mut results = self.bundles(writer, check, identity.as_ref())?;
        let bundles = entries(&results);
        if bundles.is_empty() {
            return Ok(Made { kit: None, results, warnings: Vec::new() });
        }
        let mut texts = Vec::new();
        if let (Some(identity), Some(passphrase)) = (&identity, passphrase) {
            let vouched = self.protect(check, &results, identity, passphrase)?;
            texts.push(writer.text(kit::IDENTITY, &vouched.sealed, 0o644)?);
            for facts in results.iter_mut().filter_map(|result| result.facts.as_mut()) {
                facts.vouched_by = Some(vouched.vouch);
            }
        }
        let installers = self.copy_installers(writer)?;
        let old = self.source.folder.index();
        let readme = ReadmeFacts {
            kit: &self.source.new_name(),
            manager: &old.manager,
            batch: old.batch,
            created_at: old.created_at,
            bundles: bundles.len(),
            has_passphrase: identity.is_some(),
            installers: &installers,
        };
        texts.extend(texts::write(writer, &readme)?);
        let index = self.index(signer, bundles, installers, texts);
        let (bytes, signature) =
            index.sign(&signer.key).map_err(|error| Failure::of(kit::INDEX, &error))?;
        writer.file(kit::INDEX, &bytes, 0o644)?;
        writer.file(kit::INDEX_SIGNATURE, &signature, 0o644)?;
        signer.keep(&self.context.root)?;
        let view = KitView::of(index, self.source.folder.path(), identity.is_some());
        Ok(Made { kit: Some(view), results, warnings: Vec::new() })
    }

    fn bundles(
        &self,
        writer: &KitWriter,
        check: &SignerCheck<'_>,
        identity: Option<&NewIdentity>,
    ) -> Result<Vec<DeviceResult<HandedOff>>, Failure> {
        let is_of_part = |entry: &&BundleEntry| match &self.part.only {
            None => true,
            Some(only) => self.recipients.mapped_to(&entry.device.uuid).contains(only),
        };
        let entries: Vec<&BundleEntry> = self.source.entries.iter().filter(is_of_part).collect();
        let progress = self.terminal().progress("sealing", entries.len());
        in_order(&entries, progress, |entry| {
            let opened = match self.open(entry, check) {
                Ok(opened) => opened,
                Err(failure) => {
                    let refusal = of_one_bundle(failure)?;
                    return Ok(DeviceResult::refused(Some(device_of(entry)), refusal, Vec::new()));
                }
            };
            let (bundle, vouch) = opened;
            let mut recipients = self.part.recipients(self.recipients, &bundle);
            recipients.extend(identity.map(NewIdentity::recipient));
            let sealed = match sealed(bundle.inner(), &recipients, self.args) {
                Ok(sealed) => sealed,
                Err(failure) => {
                    let refusal = of_one_bundle(failure)?;
                    return Ok(DeviceResult::refused(Some(device_of(entry)), refusal, Vec::new()));
                }
            };
            // a kit of before may have a longer name for it
            let file = entry.device.bundle_file();
            let written = writer.bundle(&file, &sealed)?;
            let path = self.part.out.join(self.source.new_name()).join(&file);
            let outside = (path, written.size, written.sha256);
            // the kit's own identity is not a recipient that anybody knows
            recipients.truncate(recipients.len() - usize::from(identity.is_some()));
            Ok(good(&bundle, outside, vouch, &recipients, self.context.now))
        })
    }

    fn open(
        &self,
        entry: &BundleEntry,
        check: &SignerCheck<'_>,
    ) -> Result<(SignedBundle, Option<Vouch>), Failure> {
        let bytes = self.source.folder.bundle(entry)?;
        let bundle = SignedBundle::open(&bytes, &self.source.unlocked.identities)
            .map_err(|error| Failure::of(&entry.file, &error).or_hint(hint(&error)))?;
        self.source.folder.require_described(entry, bundle.manifest())?;
        let passphrase = self.source.unlocked.vouched_signer;
        let claim = Claim::of_bundle(bundle.manifest(), &entry.file, passphrase);
        let vouch = check.without_asking(claim)?;
        names_its_device(&bundle)?;
        Ok((bundle, vouch))
    }

    /// A passphrase speaks for one signer, and only for one that somebody vouches for here.
    fn protect(
        &self,
        check: &mut SignerCheck<'_>,
        results: &[DeviceResult<HandedOff>],
        identity: &NewIdentity,
        passphrase: &Passphrase,
    ) -> Result<Vouched, Failure> {
        let subject = format!("{} (its bundles)", self.source.folder.path().display());
        let signer = only_signer(&subject, results)?;
        let vouched = self.source.unlocked.vouched_signer;
        let of_index = Claim::of_index(&self.source.folder, &subject, vouched);
        let vouch = check.require(Claim { signer, ..of_index })?;
        let sealed = identity
            .protect(passphrase, signer)
            .map_err(|_| Failure::unexpected("the kit's identity could not be locked"))?;
        Ok(Vouched { sealed, vouch })
    }

    /// Copies the programs; what is written is what the index lists.
    fn copy_installers(&self, writer: &KitWriter) -> Result<Vec<InstallerEntry>, Failure> {
        let folder = &self.source.folder;
        let copy = |entry: &InstallerEntry| {
            let written = writer.installer(&entry.file, folder.installer(entry)?)?;
            if (written.size, written.sha256) != (entry.size, entry.sha256) {
                return Err(folder.damaged(&entry.file, kit::INDEX));
            }
            Ok(entry.clone())
        };
        folder.index().installers.iter().map(copy).collect()
    }

    /// The old index with the new bundles, and this handoff in it.
    fn index(
        &self,
        signer: &Signer,
        bundles: Vec<BundleEntry>,
        installers: Vec<InstallerEntry>,
        texts: Vec<TextEntry>,
    ) -> KitIndex {
        let old = self.source.folder.index();
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
            installers,
            texts,
        };
        let version = cli::say::version::VERSION.to_owned();
        let tool = Tool { name: crate::PROGRAM.to_owned(), version };
        index.hand_off(self.context.now, signer.entry, tool);
        index
    }

    fn terminal(&self) -> &Terminal {
        &self.context.terminal
    }
}

/// Seals a bundle by itself into a new file.
///
/// # Errors
/// When it cannot be written. What is wrong with the bundle is its result.
pub(super) fn bundle(
    source: &SourceBundle,
    part: &Part,
    recipients: &Recipients,
    check: &SignerCheck<'_>,
    args: &HandoffArgs,
    now: Timestamp,
) -> Result<DeviceResult<HandedOff>, Failure> {
    let device = &source.bundle.manifest().device;
    let subject = source.path.display().to_string();
    let recipients = part.recipients(recipients, &source.bundle);
    let claim = Claim::of_bundle(source.bundle.manifest(), &subject, source.vouched_signer);
    let sealed = check.without_asking(claim).and_then(|vouch| {
        names_its_device(&source.bundle)?;
        Ok((sealed(source.bundle.inner(), &recipients, args)?, vouch))
    });
    let (sealed, vouch) = match sealed {
        Ok(sealed) => sealed,
        Err(failure) => {
            let device = DeviceRef { uuid: device.uuid.clone(), name: Some(device.name.clone()) };
            return Ok(DeviceResult::refused(Some(device), of_one_bundle(failure)?, Vec::new()));
        }
    };
    let name = bundle_file_name(&device.name, &device.uuid);
    write(&part.out, &name, &sealed, args.result.force)?;
    let outside = (part.out.join(name), sealed.len() as u64, Sha256::of(&sealed));
    Ok(good(&source.bundle, outside, vouch, &recipients, now))
}

fn write(out: &Path, name: &str, bytes: &[u8], force: bool) -> Result<(), Failure> {
    let path = out.join(name);
    let dir = crate::kit::writer::open_out(out)?;
    let (name, mode) = (OsStr::new(name), Mode::from(0o600));
    let written = match force {
        true => durable::replace(&dir, name, bytes, mode),
        false => durable::create(&dir, name, bytes, mode),
    };
    written.map_err(|error| {
        let failure = Failure::io(path.display(), &error);
        match failure.reason() {
            Some(Reason::Exists) => {
                failure.or_hint("--force replaces it; or choose another --out DIR")
            }
            _ => failure.or_hint("choose another place with --out DIR"),
        }
    })
}

fn sealed(inner: &Inner, recipients: &[Recipient], args: &HandoffArgs) -> Result<Vec<u8>, Failure> {
    let encoding = if args.result.armor { Encoding::Armored } else { Encoding::Binary };
    let sealed = inner
        .seal(recipients, encoding)
        .map_err(|error| Failure::refused(error.reason(), &error))?;
    if sealed.len() as u64 > limits::BUNDLE {
        let message = format!("the bundle would be larger than {} bytes", limits::BUNDLE);
        return Err(Failure::refused(Reason::TooLarge, message).hint("give fewer recipients"));
    }
    Ok(sealed)
}

fn good(
    bundle: &SignedBundle,
    (path, size, sha256): (PathBuf, u64, Sha256),
    vouched_by: Option<Vouch>,
    recipients: &[Recipient],
    now: Timestamp,
) -> DeviceResult<HandedOff> {
    let manifest = bundle.manifest();
    let mut notes = Vec::new();
    let ends =
        [("CA", &manifest.credentials.ca), ("certificate", &manifest.credentials.certificate)];
    for (what, facts) in ends.into_iter().filter(|(_, facts)| facts.at(now) == Validity::Expired) {
        notes.push(format!("its {what} expired at {}", facts.not_after));
    }
    let facts = HandedOff {
        path,
        size,
        sha256,
        bundle_id: manifest.bundle_id,
        signer: bundle.fingerprint(),
        vouched_by,
        recipients: recipients.iter().map(ToString::to_string).collect(),
    };
    let device = &manifest.device;
    let device = DeviceRef { uuid: device.uuid.clone(), name: Some(device.name.clone()) };
    DeviceResult::good(device, "handed-off", facts, notes)
}

/// The bundles' entries for the new index.
fn entries(results: &[DeviceResult<HandedOff>]) -> Vec<BundleEntry> {
    let entry = |result: &DeviceResult<HandedOff>| {
        let (device, facts) = (result.device.as_ref()?, result.facts.as_ref()?);
        let device = DeviceEntry { uuid: device.uuid.clone(), name: device.name.clone()? };
        Some(BundleEntry::new(device, facts.size, facts.sha256))
    };
    results.iter().filter_map(entry).collect()
}

/// The one key that all bundles are signed with.
fn only_signer(subject: &str, results: &[DeviceResult<HandedOff>]) -> Result<Fingerprint, Failure> {
    let mut signers: Vec<Fingerprint> =
        results.iter().filter_map(|result| Some(result.facts.as_ref()?.signer)).collect();
    signers.sort();
    signers.dedup();
    match signers.as_slice() {
        [signer] => Ok(*signer),
        several => {
            let list: String = several.iter().map(|signer| format!("\n{signer}")).collect();
            let message = format!(
                "{subject}: signed with {} keys, and a passphrase can vouch for one only{list}",
                several.len()
            );
            Err(Failure::refused(Reason::UnknownSigner, message).hint(
                "--signer takes the bundles of one signer only; or seal for recipients, where no signer is vouched for",
            ))
        }
    }
}

/// What to do about a bundle that cannot be opened.
pub(super) fn hint(error: &BundleError) -> &'static str {
    match error.reason() {
        Reason::CannotOpen => {
            "give the --identity that it was sealed for; --device picks the bundles that are yours"
        }
        Reason::BadSignature => "do not pass it on; find out who changed it",
        _ => "copy it again from where it was made; if it is damaged there, ask for a new one",
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
        assert_eq!(only_signer("x", &[handed(one), handed(one)]), Ok(one));
        let failure = only_signer("x", &[handed(one), handed(two)]).unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::UnknownSigner));
    }
}
