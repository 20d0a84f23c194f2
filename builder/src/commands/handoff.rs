//! `handoff`: opens kits and bundles and seals their signed inside, unchanged, for the next
//! team. Nothing is written in clear.
//!
//! ```text
//! read recipients; open and check each kit's outside; open bundles named by themselves
//! find the devices that --device and the recipient map name
//! for each kit and each part of it: open, check, seal and write every bundle, on all cores;
//!     sign the new index; publish the new folder whole
//! ```
//!
//! Whom to trust is the device's question, so a signer that nobody knows is shown and passed
//! on. Only a passphrase kit speaks for a signer: that needs somebody who vouches here.

mod seal;
mod view;

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use cli::ask::signer::SignerCheck;
use cli::ask::unlock::{Unlocked, Unlocker};
use cli::kit::folder::KitFolder;
use cli::kit::source::{self, BundleFile};
use cli::say::failure::Failure;
use cli::say::report::Report;
use formats::bundle::SignedBundle;
use formats::checksum::Sha256;
use formats::device::{DeviceName, DeviceUuid};
use formats::kit::{self, BundleEntry};
use formats::seal::{Passphrase, Recipient};
use formats::signature::Fingerprint;

use self::seal::{Sealer, Share};
use self::view::{HandoffBody, MadeKit};
use crate::Context;
use crate::args::HandoffArgs;
use crate::device_result::{self, DeviceResult, Refusal, warn_when_quiet};
use crate::fmc::belief::Belief;
use crate::fmc::by_name::{expand, find_devices};
use crate::keys::passphrase::{self, PassphraseOrigin};
use crate::keys::recipients::{Named, Recipients};
use crate::keys::reveal;
use crate::keys::signing_key::{self, Signer};
use crate::kit::error::Error;

/// A kit, opened, and the bundles of it that were asked for.
struct SourceKit {
    folder: KitFolder,
    entries: Vec<BundleEntry>,
    unlocked: Unlocked,
}

/// A bundle by itself, opened.
struct SourceBundle {
    path: PathBuf,
    bundle: SignedBundle,
    vouched_signer: Option<Fingerprint>,
}

/// A kit that is not whole ends the run; what is wrong with one bundle is a result.
pub(crate) fn run(args: &HandoffArgs, context: &Context) -> Result<Report, Failure> {
    let named = Named::load(&args.recipients)?;
    let flags = args.passphrase.flags();
    let source = passphrase::source(flags, !named.is_empty(), &context.terminal, false)?;
    let own = signing_key::own(&context.root);
    let ask = (!context.terminal.json).then_some(&context.terminal);
    let mut unlocker = Unlocker::new(&args.open, &args.paths, &context.terminal)?;
    let mut run = HandoffRun {
        args,
        context,
        check: SignerCheck::new(&args.pick.signer, own, ask)?,
        body: HandoffBody::new(source),
        kits: Vec::new(),
        bundles: Vec::new(),
    };
    for path in &args.paths {
        match source::Source::open(path)? {
            source::Source::Kit(kit) => run.open_kit(*kit, &mut unlocker)?,
            source::Source::Bundle(bundle) => run.open_bundle(bundle, &mut unlocker)?,
        }
    }
    run.check_sources(source)?;
    let devices = run.devices();
    run.pick(&devices)?;
    let recipients = named.resolve(&devices)?;
    run.check_recipients(&recipients, source)?;
    let passphrase = run.passphrase(source)?;
    run.seal_all(&recipients, passphrase)?;
    let body = run.body;
    let (exit, reason) = device_result::exit(&body.results);
    let text = body.text();
    warn_when_quiet(&context.terminal, exit, &body.warnings);
    let report = Report::for_terminal(&context.terminal, &body, text).changed(true);
    Ok(report.ending(exit, reason))
}

struct HandoffRun<'a> {
    args: &'a HandoffArgs,
    context: &'a Context,
    check: SignerCheck<'a>,
    body: HandoffBody,
    kits: Vec<SourceKit>,
    bundles: Vec<SourceBundle>,
}

impl HandoffRun<'_> {
    /// A kit must be whole; then all of it is passed on.
    fn open_kit(&mut self, folder: KitFolder, unlocker: &mut Unlocker<'_>) -> Result<(), Failure> {
        // bundles are read when they are sealed, unless a kit would be made by then
        match self.args.result.split || self.args.paths.len() > 1 {
            true => folder.check_all()?,
            false => folder.check_all_but(&folder.index().bundles)?,
        };
        let identity = folder.identity()?;
        let unlocked =
            unlocker.unlock(identity.as_ref()).map_err(|met| folder.whole_failure(met))?;
        let entries = folder.index().bundles.clone();
        self.kits.push(SourceKit { folder, entries, unlocked });
        Ok(())
    }

    fn open_bundle(
        &mut self,
        file: BundleFile,
        unlocker: &mut Unlocker<'_>,
    ) -> Result<(), Failure> {
        let unlocked = unlocker.unlock(file.kit_identity.as_ref())?;
        match file.open(&unlocked.identities) {
            Ok(bundle) => {
                let (path, vouched_signer) = (file.path, unlocked.vouched_signer);
                self.bundles.push(SourceBundle { path, bundle, vouched_signer });
            }
            Err(failure) => {
                let refused = DeviceResult::refused(None, Refusal::of(failure), Vec::new());
                self.body.results.push(refused);
            }
        }
        Ok(())
    }

    /// Refuses what cannot be made of these.
    fn check_sources(&self, source: PassphraseOrigin) -> Result<(), Error> {
        if let (Some(bundle), true) = (self.bundles.first(), source != PassphraseOrigin::None) {
            return Err(Error::LoneBundle(bundle.path.clone()));
        }
        let mut names = Vec::new();
        for kit in &self.kits {
            let name = kit.new_name();
            if names.contains(&name) {
                return Err(Error::OneName(name));
            }
            if is_same(kit.folder.path(), &self.args.result.out.join(&name)) {
                return Err(Error::IntoItself(kit.folder.path().to_owned()));
            }
            names.push(name);
        }
        Ok(())
    }

    /// Every device there is, also those not picked.
    fn devices(&self) -> Vec<(DeviceUuid, DeviceName)> {
        let of_kits = self.kits.iter().flat_map(|kit| &kit.entries).map(|entry| {
            let device = &entry.device;
            (device.uuid.clone(), device.name.clone())
        });
        let of_bundles = self.bundles.iter().map(|source| {
            let device = &source.bundle.manifest().device;
            (device.uuid.clone(), device.name.clone())
        });
        let mut devices: Vec<_> = of_kits.chain(of_bundles).collect();
        // one device may have bundles of two managers
        devices.sort_by(|one, two| one.0.cmp(&two.0));
        devices.dedup_by(|one, two| one.0 == two.0);
        devices
    }

    /// Leaves only the devices that were asked for.
    fn pick(&mut self, devices: &[(DeviceUuid, DeviceName)]) -> Result<(), Failure> {
        let wanted = &self.args.pick.device;
        if wanted.is_empty() {
            return Ok(());
        }
        let known: Vec<_> =
            devices.iter().map(|(uuid, name)| (uuid.clone(), Some(name.clone()))).collect();
        let picked = find_devices(&known, &expand(wanted)?)?;
        for kit in &self.kits {
            let is_left_out = |entry: &&BundleEntry| !picked.contains(&entry.device.uuid);
            for entry in kit.entries.iter().filter(is_left_out) {
                kit.folder.bundle(entry).map_err(|met| kit.folder.whole_failure(met))?;
            }
        }
        for kit in &mut self.kits {
            kit.entries.retain(|entry| picked.contains(&entry.device.uuid));
        }
        self.kits.retain(|kit| !kit.entries.is_empty());
        self.bundles.retain(|source| picked.contains(&source.bundle.manifest().device.uuid));
        Ok(())
    }

    fn check_recipients(
        &mut self,
        recipients: &Recipients,
        source: PassphraseOrigin,
    ) -> Result<(), Failure> {
        let devices: Vec<_> = self
            .kits
            .iter()
            .flat_map(|kit| &kit.entries)
            .map(|entry| (&entry.device.uuid, &entry.device.name))
            .chain(self.bundles.iter().map(|source| {
                let device = &source.bundle.manifest().device;
                (&device.uuid, &device.name)
            }))
            .collect();
        recipients.check_none_is_mixed(source != PassphraseOrigin::None)?;
        if self.args.result.split {
            return recipients.check_all_are_mapped(devices.into_iter()).map_err(|error| Failure::from(error).hint("--split makes kits by the map: add them to it, or pick the others with --device"));
        }
        if source == PassphraseOrigin::None {
            recipients.check_all_have_one(devices.iter().copied())?;
            self.body.warnings.extend(recipients.unmapped_warning(devices.into_iter()));
        }
        Ok(())
    }

    fn passphrase(&mut self, source: PassphraseOrigin) -> Result<Option<Passphrase>, Failure> {
        let flags = self.args.passphrase.flags();
        let mut source = source;
        let passphrase = passphrase::obtain(flags, &mut source, &self.context.terminal)?;
        self.body.passphrase = source;
        let weak = passphrase.as_ref().and_then(|it| flags.weak_warning(it));
        self.body.warnings.extend(weak);
        Ok(passphrase)
    }

    fn seal_all(
        &mut self,
        recipients: &Recipients,
        passphrase: Option<Passphrase>,
    ) -> Result<(), Failure> {
        let (kits, bundles) = (std::mem::take(&mut self.kits), std::mem::take(&mut self.bundles));
        let signer = match kits.is_empty() {
            true => None,
            false => {
                let belief = Belief { root: &self.context.root, accept: false };
                Some(signing_key::load(belief, self.args.result.sign_key.as_deref())?)
            }
        };
        for source in &kits {
            let Some(signer) = &signer else { break };
            self.warn_of_unknown_index(source, signer);
            for share in self.shares(recipients, source.devices()) {
                self.seal_kit(source, &share, signer, recipients, passphrase.as_ref())
                    .map_err(|failure| self.with_what_stays(failure))?;
            }
        }
        for source in &bundles {
            let device = &source.bundle.manifest().device.uuid;
            for share in self.shares(recipients, std::iter::once(device)) {
                let result = self.seal_bundle(source, &share, recipients);
                let result = result.map_err(|failure| self.with_what_stays(failure))?;
                self.body.results.push(result);
            }
        }
        self.body.signed_by(signer.as_ref());
        Ok(())
    }

    /// All of a kit, or with `--split` what goes to each recipient of the map.
    fn shares<'d>(
        &self,
        recipients: &Recipients,
        devices: impl Iterator<Item = &'d DeviceUuid>,
    ) -> Vec<Share> {
        let out = &self.args.result.out;
        if !self.args.result.split {
            return vec![Share { out: out.clone(), only: None }];
        }
        let mut shares: Vec<Share> = Vec::new();
        for recipient in devices.flat_map(|device| recipients.mapped_to(device)) {
            if !shares.iter().any(|share| share.only.as_ref() == Some(recipient)) {
                let out = out.join(folder_of(recipient));
                shares.push(Share { out, only: Some(recipient.clone()) });
            }
        }
        shares
    }

    /// Seals a kit or a share of it.
    fn seal_kit(
        &mut self,
        source: &SourceKit,
        share: &Share,
        signer: &Signer,
        recipients: &Recipients,
        passphrase: Option<&Passphrase>,
    ) -> Result<(), Failure> {
        make_folder(share)?;
        let (context, args) = (self.context, self.args);
        let flags = args.passphrase.flags();
        let is_generated = self.body.passphrase == PassphraseOrigin::Generated;
        let generated = passphrase.filter(|_| is_generated);
        let is_first = self.body.kits.is_empty();
        let sealer = Sealer { context, args, recipients, share };
        let made = sealer.kit(source, &mut self.check, signer, passphrase, || match generated {
            Some(passphrase) if is_first => Ok(reveal::to_descriptor(passphrase, flags)?),
            _ => Ok(()),
        })?;
        if let (Some(_), Some(passphrase)) = (&made.kit, generated) {
            context.show_at_the_end(passphrase, flags);
        }
        self.body.kits.extend(made.kit);
        self.body.results.extend(made.results);
        self.body.warnings.extend(made.warnings);
        Ok(())
    }

    fn seal_bundle(
        &mut self,
        source: &SourceBundle,
        share: &Share,
        recipients: &Recipients,
    ) -> Result<DeviceResult<view::HandedOff>, Failure> {
        make_folder(share)?;
        let sealer = Sealer { context: self.context, args: self.args, recipients, share };
        sealer.bundle(source, &self.check)
    }

    /// The index's signature guards the installers, which run as root on the device.
    fn warn_of_unknown_index(&mut self, source: &SourceKit, own: &Signer) {
        let signer = source.folder.signer().fingerprint();
        let vouched = source.unlocked.vouched_signer;
        let claim = source.folder.claim(kit::INDEX, vouched);
        let is_known = signer == own.entry.fingerprint
            || matches!(self.check.without_asking(claim), Ok(Some(_)));
        if !is_known && !source.folder.index().installers.is_empty() {
            let path = source.folder.path().display();
            self.body.warnings.push(format!(
                "the signer of {path}/kit.json is not confirmed here ({signer}): compare the SHA-256 of the installers with the team that made them"
            ));
        }
    }

    fn with_what_stays(&self, failure: Failure) -> Failure {
        let made: Vec<String> =
            self.body.kits.iter().map(|kit: &MadeKit| kit.path.display().to_string()).collect();
        if made.is_empty() {
            return failure;
        }
        failure.map_message(|message| {
            format!("{message}\nalready made, and left there: {}", made.join(", "))
        })
    }
}

impl SourceKit {
    /// The name that the builder gave it, whatever it is called on this disk.
    fn new_name(&self) -> String {
        kit::folder_name(&self.folder.index().manager.uuid, self.folder.index().batch)
    }

    fn devices(&self) -> impl Iterator<Item = &DeviceUuid> {
        self.entries.iter().map(|entry| &entry.device.uuid)
    }
}

/// The folder for a recipient's share: safe on FAT and alike for the same recipient. The first
/// characters of `age1...` tell recipients apart, an SSH key's do not.
fn folder_of(recipient: &Recipient) -> String {
    const SHOWN: usize = 20;
    let text = recipient.to_string();
    match text.split_once(' ') {
        None => text.chars().take(SHOWN).collect(),
        Some((kind, key)) => {
            let digest = Sha256::of(key.as_bytes()).to_string();
            format!("{kind}-{}", digest.chars().take(16).collect::<String>())
        }
    }
}

fn make_folder(share: &Share) -> Result<(), Error> {
    if share.only.is_none() {
        return Ok(());
    }
    match DirBuilder::new().mode(0o700).create(&share.out) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(Error::Write { path: share.out.clone(), error })
        }
        _ => Ok(()),
    }
}

fn is_same(one: &Path, two: &Path) -> bool {
    match (one.metadata(), two.metadata()) {
        (Ok(one), Ok(two)) => (one.dev(), one.ino()) == (two.dev(), two.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipients_folder_is_safe_on_fat() {
        let age = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        let ssh =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";
        assert_eq!(folder_of(&age.parse().unwrap()), "age1ql3z7hjy54pw3hyw");
        let folder = folder_of(&ssh.parse().unwrap());
        assert!(folder.starts_with("ssh-ed25519-") && folder.len() == 28, "{folder}");
        assert!(folder.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{folder}");
    }
}
