//! `build`: makes a kit.

mod view;

use std::thread;

use cli::say::failure::Failure;
use cli::say::report::Report;
use formats::bundle::manifest::Manager;
use formats::bundle::{Content, Inner};
use formats::error::Reasoned;
use formats::kit::{self, BundleEntry, KitIndex};
use formats::seal::{NewIdentity, Passphrase};

use self::view::{Bundled, Kit, Results};
use crate::Context;
use crate::args::BuildArgs;
use crate::commands::plan;
use crate::device_result::DeviceResult;
use crate::fmc::belief::Belief;
use crate::fmc::collect::{Collected, Collector};
use crate::fmc::plan::{DeviceOrigin, PlannedDevice};
use crate::keys::passphrase;
use crate::keys::reveal;
use crate::keys::signing_key::{self, Signer};
use crate::kit::contents;
use crate::kit::error::Error;
use crate::kit::inputs::{Prepared, prepare};
use crate::kit::parallel::in_order;
use crate::kit::replace::Place;
use crate::kit::writer::{KitWriter, Published, Written};

pub(crate) fn run(args: &BuildArgs, context: &Context) -> Result<Report, Failure> {
    if args.kit.dry_run {
        return plan::run(args, context);
    }
    let mut prepared = prepare(args, context, false)?;
    let Some((manager, name)) = prepared.kit().map(|(manager, name)| (manager.clone(), name))
    else {
        let results = prepared.plan.refusals().collect();
        return Ok(view::report(context, prepared, None, results));
    };
    Place::check(&args.kit.out, &name, args.kit.force)?;
    let belief = Belief { root: &context.root, accept: args.source.accept_source };
    let signer = signing_key::load(belief, args.kit.sign_key.as_deref())?;
    prepared.plan.warnings.extend(signer.doubt.clone());
    let passphrase =
        passphrase::obtain(args.passphrase.flags(), &mut prepared.passphrase, &context.terminal)?;
    prepared
        .plan
        .warnings
        .extend(passphrase.as_ref().and_then(|it| args.passphrase.flags().weak_warning(it)));
    let writer = KitWriter::create(&args.kit.out, &name, args.kit.force)?;
    let devices = std::mem::take(&mut prepared.plan.devices);
    let build = Build { args, context, prepared: &prepared, manager: &manager, signer: &signer };
    let (made, results) = build.make(writer, passphrase.as_ref(), devices)?;
    let kit = made.map(|(installers, Published { path, warnings })| {
        prepared.plan.warnings.extend(warnings);
        Kit { path, installers, signer }
    });
    Ok(view::report(context, prepared, kit, results))
}

/// Things that every device of a kit shares.
struct Build<'a> {
    args: &'a BuildArgs,
    context: &'a Context,
    prepared: &'a Prepared,
    manager: &'a Manager,
    signer: &'a Signer,
}

/// The installers of a kit that was published, if one was.
type PublishedKit = Option<(Vec<kit::InstallerEntry>, Published)>;

impl Build<'_> {
    /// Fills and publishes the kit; makes none when every device is refused.
    fn make(
        &self,
        writer: KitWriter,
        passphrase: Option<&Passphrase>,
        devices: Vec<PlannedDevice>,
    ) -> Result<(PublishedKit, Results), Failure> {
        let prepared = self.prepared;
        let identity = passphrase.map(|_| prepared.recipients.identity_beside());
        let signer = self.signer.entry.fingerprint;
        let mut results = Vec::new();
        let made = thread::scope(|scope| {
            // scrypt takes as long as hundreds of bundles, so it runs beside them
            let locking = identity.as_ref().zip(passphrase).map(|(identity, passphrase)| {
                scope.spawn(move || identity.protect(passphrase, signer))
            });
            writer.publish(|writer| {
                results = self.bundles(writer, identity.as_ref(), devices)?;
                let bundles = contents::entries(&results, Bundled::written);
                if bundles.is_empty() {
                    return Ok(None);
                }
                let locked = || match locking.map(thread::ScopedJoinHandle::join) {
                    None => Ok(None),
                    Some(Ok(Ok(locked))) => Ok(Some(locked)),
                    Some(_) => Err(Error::IdentityNotLocked.into()),
                };
                let installers =
                    || prepared.installers.taken.iter().map(|one| Ok(one.copy(writer)?)).collect();
                let index = self.index(bundles);
                let index =
                    contents::complete(writer, index, &self.signer.key, locked, installers)?;
                self.signer.keep(&self.context.root)?;
                if let Some(passphrase) = self.generated(passphrase) {
                    reveal::to_descriptor(passphrase, self.args.passphrase.flags())?;
                }
                Ok(Some(index.installers))
            })
        })?;
        if let (Some(_), Some(passphrase)) = (&made, self.generated(passphrase)) {
            self.context.show_at_the_end(passphrase, self.args.passphrase.flags());
        }
        Ok((made, results))
    }

    /// The passphrase, if it was made here and nobody knows it yet.
    fn generated<'p>(&self, passphrase: Option<&'p Passphrase>) -> Option<&'p Passphrase> {
        passphrase.filter(|_| self.prepared.passphrase == passphrase::PassphraseOrigin::Generated)
    }

    /// Collects, packs, seals and writes the devices. They are given up: what their results need
    /// is in the results, and a fleet's plan takes as much memory again.
    fn bundles(
        &self,
        writer: &KitWriter,
        identity: Option<&NewIdentity>,
        devices: Vec<PlannedDevice>,
    ) -> Result<Results, Failure> {
        let rules = &self.prepared.rules;
        let collector = Collector::new(&self.context.root, &self.manager.uuid, rules);
        let progress = self.context.terminal.progress("sealing", devices.len());
        let mut results = in_order(&devices, progress, |planned| {
            self.bundle(planned, &collector, writer, identity)
        })?;
        drop(devices);
        results.extend(self.prepared.plan.refusals());
        Ok(results)
    }

    fn bundle(
        &self,
        planned: &PlannedDevice,
        collector: &Collector<'_>,
        writer: &KitWriter,
        identity: Option<&NewIdentity>,
    ) -> Result<DeviceResult<Bundled>, Failure> {
        let recipients = self.prepared.recipients.of(&planned.device.uuid);
        let sealed = collector.collect(planned).map_err(Failure::from).and_then(|collected| {
            let inner = self.pack(planned, &collected)?;
            Ok((contents::seal(&inner, recipients, identity, self.args.kit.armor)?, collected))
        });
        let (sealed, collected) = match sealed {
            Ok(sealed) => sealed,
            Err(failure) => return Ok(planned.refused(failure)),
        };
        let file = planned.bundle_file();
        let Written { size, sha256 } = writer.bundle(&file, &sealed)?;
        let Collected { credentials, bundle_id, notes, .. } = collected;
        let certificate_not_after = credentials.certificate().facts().not_after;
        let ca_not_after = credentials.ca().facts().not_after;
        let facts = Bundled { file, size, sha256, bundle_id, certificate_not_after, ca_not_after };
        Ok(planned.good("bundled", facts, notes))
    }

    fn pack(&self, planned: &PlannedDevice, collected: &Collected) -> Result<Inner, Failure> {
        let content = Content {
            credentials: &collected.credentials,
            sources: collected.sources.each_ref().map(String::as_str),
            manager: self.manager.clone(),
            device: planned.device.clone(),
            batch: self.prepared.plan.batch,
            created_at: self.prepared.created_at,
            tool: contents::this_program(),
        };
        Inner::pack(&content, &self.signer.key)
            .map_err(|error| Failure::refused(error.reason(), &error))
    }

    fn index(&self, bundles: Vec<BundleEntry>) -> KitIndex {
        KitIndex {
            format: kit::FORMAT.to_owned(),
            manager: self.manager.clone(),
            batch: self.prepared.plan.batch,
            source: match self.prepared.plan.source {
                DeviceOrigin::FailedPush => None,
                DeviceOrigin::Peers => Some(kit::Source::Peers),
            },
            created_at: self.prepared.created_at,
            signer: self.signer.entry,
            built_by: None,
            handoffs: Vec::new(),
            bundles,
            installers: Vec::new(),
            texts: Vec::new(),
        }
    }
}
