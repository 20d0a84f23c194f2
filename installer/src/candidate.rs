//! Sources judged against this box: what `verify`, `--dry-run` and `install` share.

pub(crate) mod checks;
pub(crate) mod error;
pub(crate) mod plan_text;
pub(crate) mod rehearsal;
pub(crate) mod source;

use cli::ask::signer::SignerCheck;
use cli::ask::unlock::Unlocker;
use cli::kit::source::origin;
use cli::kit::validity::names_its_device;
use cli::say::failure::Failure;
use cli::say::terminal::Terminal;
use formats::device::{CredentialFile, ManagerUuid};
use formats::error::Reason;
use formats::text::printable;
use formats::timestamp::Timestamp;
use formats::trust::{Vouch, VouchedBundle};
use serde::Serialize;

use crate::appliance::attributes::SFTUNNEL_ATTRIBUTES;
use crate::appliance::host::{Appliance, Host};
use crate::appliance::peers::{Live, LiveFile, LiveSet, PeerDir};
use crate::appliance::state::State;
use crate::args::Judge;
use crate::change::Change;
use crate::change::journal::{Pair, Remember};
use crate::change::obstacles;
use crate::change::records::{Installed, Signers};
use checks::Accept;
use error::Error;
use source::Found;

/// A bundle that may be installed here, with the place it goes to.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub bundle: VouchedBundle,
    pub change: Change,
    /// True when the same files are live already, with their installation completed.
    pub in_place: bool,
}

impl Accepted {
    /// The record to keep of it once it is installed.
    pub(crate) fn remember(&self) -> Remember {
        let manifest = self.bundle.manifest();
        Remember {
            manager: manifest.manager.uuid.clone(),
            bundle_id: Some(manifest.bundle_id),
            signer: Some(self.bundle.signer()),
            // a passphrase makes no pin: it vouches for this kit, not for the key. Of a pinned
            // signer the key may be learnt, where only its fingerprint was known
            pin: matches!(self.bundle.vouch(), Vouch::Named | Vouch::Confirmed | Vouch::Pinned),
            files: self.change.after.0.each_ref().map(Live::sha256),
            ca_not_before: Some(self.bundle.credentials().ca().facts().not_before),
            pair: Some(Pair::of(&self.bundle)),
        }
    }
}

/// Opens and judges every source.
///
/// Fails only for what concerns the whole run; what concerns one source is its own result.
pub(crate) fn judge(
    host: &Host,
    appliance: &Appliance,
    state: Option<&State>,
    args: &Judge,
    terminal: &Terminal,
    may_ask: bool,
) -> Result<Vec<Found<Accepted>>, Failure> {
    let ask = may_ask.then_some(terminal);
    let mut check = SignerCheck::new(args.signer.as_slice(), None, ask)?;
    let signers = Signers::read(state)?;
    let installed = Installed::read(state)?;
    let accept = Accept { clock: args.accept_clock, older: args.allow_older };
    let mut unlocker = Unlocker::new(&args.sources.open, &args.sources.sources, terminal)?;
    let mut seen: Vec<ManagerUuid> = Vec::new();
    let mut found = Vec::new();
    for path in &args.sources.sources {
        let origin = origin(path);
        let mut judged = || -> Result<Accepted, Failure> {
            terminal.detail(&format!("opening {}", printable(&origin)));
            let (signed, unlocked) = source::open(path, &appliance.uuid, &mut unlocker)?;
            let pinned = signers.of(&signed.manifest().manager.uuid);
            let bundle = check.vouch(&origin, signed, &pinned, unlocked.vouched_signer)?;
            terminal.detail(&format!("judging {} against this box", printable(&origin)));
            judge_one(host, bundle, &installed, host.now(), accept)
        };
        let bundle = judged().and_then(|accepted| {
            let manager = accepted.change.peer.manager.clone();
            if seen.contains(&manager) {
                return Err(Error::SecondBundle { origin: origin.clone(), manager }.into());
            }
            seen.push(manager);
            Ok(accepted)
        });
        // what the operator did wrong at the command line concerns the whole run
        if let Err(failure) = &bundle
            && failure.is_usage()
        {
            return Err(failure.clone());
        }
        found.push(Found { origin, bundle });
    }
    Ok(found)
}

fn judge_one(
    host: &Host,
    bundle: VouchedBundle,
    installed: &Installed,
    now: Timestamp,
    accept: Accept,
) -> Result<Accepted, Failure> {
    let manager = bundle.manifest().manager.uuid.clone();
    names_its_device(bundle.signed())?;
    checks::check_clock(&bundle, now, accept)?;
    let peer = PeerDir::open(host, &manager)?;
    let before = peer.read(host)?;
    checks::check_age(&bundle, &before, installed.of(&manager), accept)?;
    let after = wanted(&bundle, &before);
    let completed = installed.of(&manager).map(|set| set.files);
    let in_place = before.identities() == after.identities()
        && completed == Some(after.0.each_ref().map(Live::sha256));
    let change = Change { peer, before, after };
    if !in_place {
        checks::check_room(host, &change.peer)?;
        obstacles::require_none(host, &change)?;
    }
    Ok(Accepted { bundle, change, in_place })
}

/// The three files as they shall be: `644 root:root`, like sftunnel's own, with the extended
/// attributes of those whose place they take.
fn wanted(bundle: &VouchedBundle, before: &LiveSet) -> LiveSet {
    let files = bundle.credentials().files();
    let mut live = before.0.iter();
    LiveSet(CredentialFile::ALL.map(|file| {
        let bytes = zeroize::Zeroizing::new(files.file(file).to_vec());
        let sha256 = formats::checksum::Sha256::of(&bytes);
        let attributes = match live.next() {
            Some(Live::File(live)) => live.attributes.of_successor(),
            _ => SFTUNNEL_ATTRIBUTES,
        };
        Live::File(LiveFile { bytes, sha256, attributes })
    }))
}

/// One source's result in JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SourceResult {
    /// The path, or `standard input`.
    pub source: String,
    /// `accepted`, `in-place` or `refused`.
    pub status: &'static str,
    /// The reason word of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The message of a refusal: expected and found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The next step after a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The bundle, when it is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleResult>,
}

/// An accepted bundle in JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BundleResult {
    /// `bundle_id` of the manifest.
    pub bundle_id: formats::checksum::Sha256,
    pub manager: formats::bundle::manifest::Manager,
    pub device: formats::bundle::manifest::Device,
    /// The run of `generate_certs.pl`.
    pub batch: u64,
    pub created_at: Timestamp,
    pub signer: formats::signature::SignerEntry,
    /// The ground on which the signer is believed.
    pub vouched_by: Vouch,
    pub credentials: formats::bundle::manifest::CredentialFacts,
    pub files: Vec<FileResult>,
}

/// One file of the plan in JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FileResult {
    pub path: String,
    /// `replace`, `create`, `set-mode-and-owner`, `keep` or `remove`.
    pub action: &'static str,
    /// SHA-256 of what is there; absent when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<formats::checksum::Sha256>,
    /// SHA-256 of what will be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<formats::checksum::Sha256>,
    /// Octal mode that it will have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Owner that it will have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group that it will have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Names of the extended attributes that it will have, as far as they are known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extended: Vec<String>,
}

/// Describes what a change does to each file.
pub(crate) fn file_results(host: &Host, change: &Change) -> Vec<FileResult> {
    let folder = crate::appliance::peers::shown(host, &change.peer.manager);
    let pairs = CredentialFile::ALL.into_iter().zip(change.before.0.iter().zip(&change.after.0));
    pairs
        .map(|(file, (before, after))| FileResult {
            path: format!("{folder}/{file}"),
            action: match (before.identity(), after.identity()) {
                (before, after) if before == after => "keep",
                (None, _) => "create",
                (_, None) => "remove",
                (Some((old, _)), Some((new, _))) if old == new => "set-mode-and-owner",
                _ => "replace",
            },
            before: before.sha256(),
            after: after.sha256(),
            mode: after.identity().map(|(_, attributes)| format!("{:04o}", attributes.mode)),
            uid: after.identity().map(|(_, attributes)| attributes.uid),
            gid: after.identity().map(|(_, attributes)| attributes.gid),
            extended: after
                .identity()
                .and_then(|(_, attributes)| attributes.extended.as_ref())
                .map(|extended| extended.names().map(str::to_owned).collect())
                .unwrap_or_default(),
        })
        .collect()
}

/// The results of all sources in JSON.
pub(crate) fn results(host: &Host, found: &[Found<Accepted>]) -> Vec<SourceResult> {
    let one = |found: &Found<Accepted>| match &found.bundle {
        Ok(accepted) => {
            let manifest = accepted.bundle.manifest();
            SourceResult {
                source: found.origin.clone(),
                status: if accepted.in_place { "in-place" } else { "accepted" },
                reason: None,
                message: None,
                next: None,
                bundle: Some(BundleResult {
                    bundle_id: manifest.bundle_id,
                    manager: manifest.manager.clone(),
                    device: manifest.device.clone(),
                    batch: manifest.batch,
                    created_at: manifest.created_at,
                    signer: manifest.signer,
                    vouched_by: accepted.bundle.vouch(),
                    credentials: manifest.credentials.clone(),
                    files: file_results(host, &accepted.change),
                }),
            }
        }
        Err(failure) => SourceResult {
            source: found.origin.clone(),
            status: "refused",
            reason: failure.reason(),
            message: Some(failure.message().to_owned()),
            next: failure.next_step().map(str::to_owned),
            bundle: None,
        },
    };
    found.iter().map(one).collect()
}

/// The managers whose files these change.
pub(crate) fn managers(accepted: &[Accepted]) -> Vec<ManagerUuid> {
    accepted.iter().map(|one| one.change.peer.manager.clone()).collect()
}

/// All accepted, or one failure that names every refusal and carries the results.
///
/// The failure has the exit code and the reason of the first refusal.
pub(crate) fn require_all(
    host: &Host,
    found: Vec<Found<Accepted>>,
) -> Result<Vec<Accepted>, Failure> {
    let results = results(host, &found);
    let mut failures = found.iter().filter_map(|found| found.bundle.as_ref().err()).cloned();
    if let Some(first) = failures.next() {
        let rest = failures.map(|failure| match failure.reason() {
            Some(reason) => format!("also refused ({reason}): {}", failure.message()),
            None => failure.into_message(),
        });
        let message =
            std::iter::once(first.message().to_owned()).chain(rest).collect::<Vec<_>>().join("\n");
        let body = serde_json::json!({ "results": results });
        return Err(first.map_message(|_| message).body(&body));
    }
    Ok(found.into_iter().filter_map(|found| found.bundle.ok()).collect())
}
