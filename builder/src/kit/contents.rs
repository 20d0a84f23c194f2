//! All devices of a plan, on all cores: read, check, and for a build pack, seal and write.

use cli::disk::root::Root;
use cli::say::exit::Failure;
use cli::say::terminal::Progress;
use formats::bundle::manifest::{self, Manager, Tool};
use formats::bundle::{Content, Inner};
use formats::checksum::Sha256;
use formats::credentials::CheckedCredentials;
use formats::device::{CredentialFile, Label, bundle_file_name};
use formats::error::{Reason, Reasoned};
use formats::kit::{BundleEntry, DeviceEntry};
use formats::limits;
use formats::seal::Encoding;
use formats::signature::SigningKey;
use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::fmc::collect::{Authorities, Collected, Rules, collect};
use crate::fmc::plan::{Plan, PlannedDevice};
use crate::keys::recipients::Recipients;
use crate::kit::device_result::{DeviceResult, Refusal};
use crate::kit::parallel::{in_order, in_runs};
use crate::kit::writer::{KitWriter, Written};

/// A device whose files are good; `status` is `ready`.
#[derive(Debug, Serialize)]
pub(crate) struct Ready {
    /// Its address as FAILED_PUSH has it; may be empty, or no address at all.
    pub address: Label,
    /// How many of the three files FAILED_PUSH lists.
    pub files_listed: usize,
    /// Where `cacert.pem`, `sftunnel-cert.pem` and `sftunnel-key.pem` lie.
    pub sources: [String; 3],
    /// The bundle's path in the kit.
    pub file: String,
    /// The bundle's id: the same for the same content.
    pub bundle_id: Sha256,
    /// Last second of the device's certificate.
    pub certificate_not_after: Timestamp,
    /// Last second of the CA.
    pub ca_not_after: Timestamp,
    /// Whole days that are left of it.
    pub ca_days_left: i64,
    /// Who will be able to open the bundle, beside the passphrase.
    pub recipients: Vec<String>,
}

/// A device whose bundle is in the kit; `status` is `bundled`.
#[derive(Debug, Serialize)]
pub(crate) struct Bundled {
    /// The bundle's path in the kit.
    pub file: String,
    /// Its bytes.
    pub size: u64,
    /// Of them.
    pub sha256: Sha256,
    /// The same for the same content, whoever may open it.
    pub bundle_id: Sha256,
    /// Last second of the device's certificate.
    pub certificate_not_after: Timestamp,
    /// Last second of the CA.
    pub ca_not_after: Timestamp,
}

/// What every device of a run shares.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    /// Below which paths lie.
    pub root: &'a Root,
    /// The kit's manager.
    pub manager: &'a Manager,
    /// What is checked.
    pub rules: &'a Rules,
    /// Who may open what.
    pub recipients: &'a Recipients,
    /// The CAs that were read so far.
    pub authorities: Authorities,
}

/// What a build needs beyond that.
#[derive(Debug)]
pub(crate) struct Sealing<'a> {
    /// The key that vouches.
    pub key: &'a SigningKey,
    /// The run of `generate_certs.pl`.
    pub batch: u64,
    /// What the bundles will say.
    pub created_at: Timestamp,
    /// Binary or text.
    pub encoding: Encoding,
    /// Where they go.
    pub writer: &'a KitWriter,
}

/// Reads and checks every device's files.
///
/// # Errors
/// Nothing that concerns one device only.
pub(crate) fn check_all(
    plan: &Plan,
    shared: &Shared<'_>,
    progress: Progress,
) -> Result<Vec<DeviceResult<Ready>>, Failure> {
    let mut results = in_order(&plan.devices, progress, |planned| Ok(shared.check(planned)))?;
    results.extend(already_refused(plan));
    Ok(results)
}

/// Reads, checks, packs, seals and writes these devices of the plan. They are given up: what
/// their results need is in the results, and a fleet's plan takes as much memory again.
///
/// # Errors
/// What concerns the kit: no space, most likely.
pub(crate) fn bundle_all(
    devices: Vec<PlannedDevice>,
    plan: &Plan,
    shared: &Shared<'_>,
    sealing: &Sealing<'_>,
    progress: Progress,
) -> Result<Vec<DeviceResult<Bundled>>, Failure> {
    let mut results = in_runs(&devices, RUN, progress, |run| shared.bundle(run, sealing))?;
    drop(devices);
    results.extend(already_refused(plan));
    Ok(results)
}

/// The results of a plan that has no device left.
pub(crate) fn refused_only<F>(plan: &Plan) -> Vec<DeviceResult<F>> {
    already_refused(plan).collect()
}

/// So many neighbours take each step together, as what a step needs of code and tables is then
/// in the processor's caches: a tenth faster than one device after the other.
const RUN: usize = 16;

fn already_refused<F>(plan: &Plan) -> impl Iterator<Item = DeviceResult<F>> {
    plan.refused.iter().map(|refused| {
        let (device, notes) = (refused.device.clone(), refused.notes.clone());
        DeviceResult::refused(device, refused.refusal.clone(), notes)
    })
}

/// The bundles' entries for the kit's index.
pub(crate) fn entries(results: &[DeviceResult<Bundled>]) -> Vec<BundleEntry> {
    let entry = |result: &DeviceResult<Bundled>| {
        let (device, facts) = (result.device.as_ref()?, result.facts.as_ref()?);
        let device = DeviceEntry { uuid: device.uuid.clone(), name: device.name.clone()? };
        Some(BundleEntry::new(device, facts.size, facts.sha256))
    };
    results.iter().filter_map(entry).collect()
}

impl Shared<'_> {
    fn collect(&self, planned: &PlannedDevice) -> Result<Collected, Failure> {
        collect(self.root, planned, &self.manager.uuid, self.rules, &self.authorities)
    }

    fn check(&self, planned: &PlannedDevice) -> DeviceResult<Ready> {
        let collected = match self.collect(planned) {
            Ok(collected) => collected,
            Err(failure) => return refused(planned, failure),
        };
        let recipients = self.recipients.of(&planned.device.uuid);
        let ca_not_after = collected.credentials.ca().facts().not_after;
        let facts = Ready {
            address: planned.device.address.clone(),
            files_listed: planned.sources.len(),
            file: bundle_file(planned),
            bundle_id: self.bundle_id(planned, &collected.credentials),
            certificate_not_after: collected.credentials.certificate().facts().not_after,
            ca_not_after,
            ca_days_left: self.rules.now.days_left(ca_not_after),
            recipients: recipients.iter().map(ToString::to_string).collect(),
            sources: collected.sources,
        };
        DeviceResult::good(planned.device_ref(), "ready", facts, notes(planned, collected.notes))
    }

    fn bundle(
        &self,
        devices: &[PlannedDevice],
        sealing: &Sealing<'_>,
    ) -> Result<Vec<DeviceResult<Bundled>>, Failure> {
        let collected: Vec<_> = devices.iter().map(|planned| self.collect(planned)).collect();
        let packed: Vec<_> = devices
            .iter()
            .zip(collected)
            .map(|(planned, collected)| self.pack(planned, collected?, sealing))
            .collect();
        let sealed: Vec<_> = devices
            .iter()
            .zip(packed)
            .map(|(planned, packed)| self.seal(planned, packed?, sealing))
            .collect();
        let written = devices.iter().zip(sealed).map(|(planned, sealed)| match sealed {
            Ok(sealed) => write(planned, sealed, sealing),
            Err(failure) => Ok(refused(planned, failure)),
        });
        written.collect()
    }

    fn pack(
        &self,
        planned: &PlannedDevice,
        collected: Collected,
        sealing: &Sealing<'_>,
    ) -> Result<Draft<Inner>, Failure> {
        let Collected { credentials, sources, notes } = collected;
        let content = Content {
            credentials: &credentials,
            sources: sources.each_ref().map(String::as_str),
            manager: self.manager.clone(),
            device: planned.device.clone(),
            batch: sealing.batch,
            created_at: sealing.created_at,
            tool: Tool {
                name: crate::PROGRAM.to_owned(),
                version: cli::say::version::VERSION.to_owned(),
            },
        };
        let inner = Inner::pack(&content, sealing.key)
            .map_err(|error| Failure::refused(error.reason(), &error))?;
        Ok(Draft {
            content: inner,
            bundle_id: self.bundle_id(planned, &credentials),
            certificate_not_after: credentials.certificate().facts().not_after,
            ca_not_after: credentials.ca().facts().not_after,
            notes,
        })
    }

    fn seal(
        &self,
        planned: &PlannedDevice,
        packed: Draft<Inner>,
        sealing: &Sealing<'_>,
    ) -> Result<Draft<Vec<u8>>, Failure> {
        let sealed = packed
            .content
            .seal(&self.recipients.of(&planned.device.uuid), sealing.encoding)
            .map_err(|error| Failure::refused(error.reason(), &error))?;
        if sealed.len() as u64 > limits::BUNDLE {
            let message = format!("the bundle would be larger than {} bytes", limits::BUNDLE);
            return Err(Failure::refused(Reason::TooLarge, message).hint("give fewer recipients"));
        }
        Ok(packed.with(sealed))
    }

    fn bundle_id(&self, planned: &PlannedDevice, credentials: &CheckedCredentials) -> Sha256 {
        manifest::bundle_id(&planned.device.uuid, &self.manager.uuid, &credentials.digests())
    }
}

/// A bundle on its way into the kit, in one form or the next, and what results say of it.
struct Draft<T> {
    content: T,
    bundle_id: Sha256,
    certificate_not_after: Timestamp,
    ca_not_after: Timestamp,
    notes: Vec<String>,
}

impl<T> Draft<T> {
    fn with<U>(self, content: U) -> Draft<U> {
        let Self { content: _, bundle_id, certificate_not_after, ca_not_after, notes } = self;
        Draft { content, bundle_id, certificate_not_after, ca_not_after, notes }
    }
}

fn write(
    planned: &PlannedDevice,
    sealed: Draft<Vec<u8>>,
    sealing: &Sealing<'_>,
) -> Result<DeviceResult<Bundled>, Failure> {
    let Draft { content, bundle_id, certificate_not_after, ca_not_after, notes: more } = sealed;
    let file = bundle_file(planned);
    let Written { size, sha256 } = sealing.writer.bundle(&file, &content)?;
    let facts = Bundled { file, size, sha256, bundle_id, certificate_not_after, ca_not_after };
    Ok(DeviceResult::good(planned.device_ref(), "bundled", facts, notes(planned, more)))
}

fn bundle_file(planned: &PlannedDevice) -> String {
    let name = bundle_file_name(&planned.device.name, &planned.device.uuid);
    format!("{}/{name}", formats::kit::BUNDLES)
}

fn refused<F>(planned: &PlannedDevice, failure: Failure) -> DeviceResult<F> {
    let notes = planned.notes.clone();
    DeviceResult::refused(Some(planned.device_ref()), Refusal::of(failure), notes)
}

fn notes(planned: &PlannedDevice, more: Vec<String>) -> Vec<String> {
    let mut notes = planned.notes.clone();
    notes.extend(more);
    notes
}

/// How many of the three files there are to list.
pub(crate) const FILES: usize = CredentialFile::ALL.len();
