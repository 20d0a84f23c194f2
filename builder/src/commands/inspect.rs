//! `inspect`: what a kit or bundle says of itself. Shows, never judges whom to trust.

use std::fmt::Write as _;
use std::path::PathBuf;

use cli::ask::unlock::Unlocker;
use cli::kit::folder::{KitFolder, KitIdentity};
use cli::kit::words::{self, count};
use cli::say::exit::{Exit, Failure};
use cli::say::page::{Table, shortened, wrapped};
use cli::say::report::Report;
use formats::bundle::SignedBundle;
use formats::bundle::manifest::{Manager, Manifest};
use formats::kit::{Handoff, InstallerEntry};
use formats::seal::{Encoding, Identities};
use formats::signature::SignerEntry;
use formats::text::{named, printable, printable_path};
use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::Context;
use crate::args::InspectArgs;
use crate::kit::device_result::{DeviceRef, Refusal};
use crate::kit::parallel::in_order;
use crate::kit::source::{Loose, Outside, device_of, is_folder, picked};

/// The JSON of `inspect`.
#[derive(Debug, Serialize)]
struct InspectBody {
    /// The kits, in the order of the command line.
    kits: Vec<KitView>,
    /// The bundles: each kit's, then those named by themselves.
    bundles: Vec<BundleView>,
}

/// A kit, as its signed index describes it. Nobody has vouched for the signer.
#[derive(Debug, Serialize)]
struct KitView {
    /// The folder.
    path: PathBuf,
    /// All bundles are for tunnels to this manager.
    manager: Manager,
    /// The run of `generate_certs.pl`.
    batch: u64,
    /// When it was made.
    created_at: Timestamp,
    /// Who signed the index.
    signer: SignerEntry,
    /// Who signed the first kit's index, when this one was handed off since.
    built_by: Option<SignerEntry>,
    /// The handoffs since, the oldest first, as the signer of the index says.
    handoffs: Vec<Handoff>,
    /// Whether it holds `kit.identity.age`.
    passphrase: bool,
    /// How many bundles it holds.
    bundles: usize,
    /// The installers that it holds.
    installers: Vec<InstallerEntry>,
}

/// A bundle.
#[derive(Debug, Serialize)]
struct BundleView {
    /// The file.
    #[serde(flatten)]
    outside: Outside,
    /// `age`, or `age-armor` for the text form.
    encoding: &'static str,
    /// The device, where the kit's index or the opened manifest tells.
    device: Option<DeviceRef>,
    /// What it says of itself; null when it was not opened.
    manifest: Option<Manifest>,
    /// Why it could not be read or opened; absent when it could, or nothing was given to
    /// open it with.
    #[serde(flatten)]
    problem: Option<Refusal>,
}

/// Runs it.
///
/// # Errors
/// When something named cannot be read at all.
pub(crate) fn run(args: &InspectArgs, context: &Context) -> Result<Report, Failure> {
    let mut unlocker = match args.open.is_given() {
        true => Some(Unlocker::new(&args.open, &args.paths, &context.terminal)?),
        false => None,
    };
    let mut body = InspectBody { kits: Vec::new(), bundles: Vec::new() };
    for path in &args.paths {
        if is_folder(path) {
            let kit = KitFolder::open(path)?;
            let identities = unlock(&mut unlocker, kit.identity()?.as_ref())?;
            body.bundles.extend(kit_bundles(&kit, args, context, identities.as_ref())?);
            body.kits.push(kit_view(&kit)?);
        } else {
            let loose = Loose::read(path)?;
            let identities = unlock(&mut unlocker, loose.kit_identity.as_ref())?;
            let outside = loose.outside(path);
            let bytes = Ok(loose.bytes);
            body.bundles.push(bundle_view(outside, None, bytes, identities.as_ref()));
        }
    }
    let first = body.bundles.iter().find_map(|bundle| bundle.problem.as_ref());
    let (exit, reason) = match first {
        None => (Exit::Done, None),
        Some(problem) => (Exit::Refused, Some(problem.reason)),
    };
    let text = text(&body);
    Ok(Report::for_terminal(&context.terminal, &body, text).ending(exit, reason))
}

fn unlock(
    unlocker: &mut Option<Unlocker<'_>>,
    kit_identity: Option<&KitIdentity>,
) -> Result<Option<Identities>, Failure> {
    let Some(unlocker) = unlocker else { return Ok(None) };
    Ok(Some(unlocker.unlock(kit_identity)?.identities))
}

fn kit_view(kit: &KitFolder) -> Result<KitView, Failure> {
    let index = kit.index();
    Ok(KitView {
        path: kit.path().to_owned(),
        manager: index.manager.clone(),
        batch: index.batch,
        created_at: index.created_at,
        signer: index.signer,
        built_by: index.built_by,
        handoffs: index.handoffs.clone(),
        passphrase: kit.identity()?.is_some(),
        bundles: index.bundles.len(),
        installers: index.installers.clone(),
    })
}

fn kit_bundles(
    kit: &KitFolder,
    args: &InspectArgs,
    context: &Context,
    identities: Option<&Identities>,
) -> Result<Vec<BundleView>, Failure> {
    let entries = picked(kit, &args.device)?;
    let progress = context.terminal.progress("reading", entries.len());
    in_order(&entries, progress, |entry| {
        let path = kit.path().join(&entry.file);
        let outside = Outside { path, size: entry.size, sha256: entry.sha256 };
        Ok(bundle_view(outside, Some(device_of(entry)), kit.bundle(entry), identities))
    })
}

fn bundle_view(
    outside: Outside,
    device: Option<DeviceRef>,
    bytes: Result<Vec<u8>, Failure>,
    identities: Option<&Identities>,
) -> BundleView {
    let encoding = match bytes.as_ref().map(|bytes| formats::seal::encoding_of(bytes)) {
        Ok(Ok(Encoding::Armored)) => "age-armor",
        _ => "age",
    };
    let opened = bytes.and_then(|bytes| match identities {
        None => Ok(None),
        Some(identities) => {
            let opened = SignedBundle::open(&bytes, identities);
            let opened = opened.map_err(|error| Failure::of(outside.path.display(), &error))?;
            Ok(Some(opened.manifest().clone()))
        }
    });
    let (manifest, problem) = match opened {
        Ok(manifest) => (manifest, None),
        Err(failure) => (None, Some(Refusal::of(failure))),
    };
    let named = |manifest: &Manifest| DeviceRef {
        uuid: manifest.device.uuid.clone(),
        name: Some(manifest.device.name.clone()),
    };
    let device = manifest.as_ref().map(named).or(device);
    BundleView { outside, encoding, device, manifest, problem }
}

fn text(body: &InspectBody) -> String {
    let mut text = String::new();
    for kit in &body.kits {
        text.push_str(&kit_text(kit));
        let of_kit: Vec<&BundleView> =
            body.bundles.iter().filter(|b| b.outside.path.starts_with(&kit.path)).collect();
        let mut table = Table::with_headings(&["device", "UUID", "bytes", "SHA-256"]);
        for bundle in of_kit {
            let Some(device) = &bundle.device else { continue };
            let name = device.name.as_ref().map_or("", |name| name.as_str());
            table.row([
                shortened(&printable(name).to_string(), 22),
                device.uuid.short().to_owned(),
                bundle.outside.size.to_string(),
                shortened(&bundle.outside.sha256.to_string(), 19),
            ]);
        }
        let _ = write!(text, "{}", table.text());
    }
    for bundle in &body.bundles {
        let in_kit = body.kits.iter().any(|kit| bundle.outside.path.starts_with(&kit.path));
        if in_kit && bundle.manifest.is_none() && bundle.problem.is_none() {
            continue;
        }
        text.push_str(&bundle_text(bundle));
    }
    text
}

fn kit_text(kit: &KitView) -> String {
    let archs: Vec<&str> = kit.installers.iter().map(|entry| entry.arch.as_str()).collect();
    let archs = if archs.is_empty() { "none".to_owned() } else { archs.join(", ") };
    let opened = if kit.passphrase { "a passphrase (kit.identity.age)" } else { "an identity" };
    format!(
        "kit {}\n  manager      {}\n  batch        {}\n  made         {}\n{}  signer       {}\n               (not vouched for: `verify` judges)\n  opened by    {opened}\n  installers   {archs}\n  holds        {}\n",
        printable_path(&kit.path),
        words::manager(&kit.manager),
        kit.batch,
        kit.created_at,
        words::handoffs(kit.built_by, &kit.handoffs),
        kit.signer.fingerprint,
        count(kit.bundles, "bundle"),
    )
}

fn bundle_text(bundle: &BundleView) -> String {
    let form = if bundle.encoding == "age" { "an age file" } else { "an age file, as text" };
    let mut text = wrapped("\nbundle ", &printable_path(&bundle.outside.path));
    let _ = writeln!(text, "  {form}, {} bytes", bundle.outside.size);
    let _ = writeln!(text, "  SHA-256      {}", bundle.outside.sha256);
    if let Some(problem) = &bundle.problem {
        let _ = writeln!(text, "  problem      {}", problem.reason);
        text.push_str(&wrapped("    ", &printable(&problem.message).to_string()));
    } else if let Some(manifest) = &bundle.manifest {
        text.push_str(&manifest_text(manifest));
    } else {
        text.push_str("  not opened: give --identity FILE or --passphrase-file FILE\n");
    }
    text
}

fn manifest_text(manifest: &Manifest) -> String {
    let Manifest { device, manager, credentials, .. } = manifest;
    let mut text = String::new();
    let name = named(device.name.as_str(), 40);
    let _ = writeln!(text, "  device       {name} {}", device.address.shown(24));
    let _ = writeln!(text, "               {}", device.uuid);
    let _ = writeln!(text, "  manager      {} {}", manager.uuid, manager.hostname.shown(28));
    let _ = writeln!(text, "  batch        {}, made {}", manifest.batch, manifest.created_at);
    let _ = writeln!(text, "  bundle id    {}", manifest.bundle_id);
    let _ = writeln!(text, "  signer       {}", manifest.signer.fingerprint);
    text.push_str("               (not vouched for: `verify` judges)\n");
    for (what, facts) in [("CA", &credentials.ca), ("certificate", &credentials.certificate)] {
        text.push_str(&wrapped(&format!("  {what:<11}  "), &printable(&facts.subject).to_string()));
        let _ = writeln!(text, "               {} to {}", facts.not_before, facts.not_after);
        let _ = writeln!(text, "               serial {}", printable(&facts.serial));
    }
    for file in &manifest.files {
        let _ = writeln!(text, "  {:<17}  {} bytes", printable(&file.name), file.size);
        text.push_str(&wrapped("    from ", &printable(&file.source).to_string()));
        text.push_str(&wrapped("    to   ", &printable(&file.destination).to_string()));
    }
    text
}
