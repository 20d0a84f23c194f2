//! `paste`: prints a text that installs one device's credentials where it is pasted.

use std::path::Path;

use cli::ask::signer::SignerCheck;
use cli::ask::unlock::Unlocker;
use cli::kit::folder::KitFolder;
use cli::kit::validity::{is_after_this_program, is_valid, names_its_device};
use cli::say::failure::Failure;
use cli::say::report::Report;
use formats::bundle::manifest::{Device, Manager};
use formats::checksum::Sha256;
use formats::credentials::CheckedCredentials;
use formats::device::DeviceName;
use formats::error::Reason;
use formats::paste::Content;
use formats::seal::Passphrase;
use formats::text::printable;
use formats::trust::VouchedBundle;
use serde::Serialize;

use crate::Context;
use crate::args::PasteArgs;
use crate::device_result::DeviceRef;
use crate::fmc::collect::{Collected, Collector};
use crate::fmc::plan::Plan;
use crate::keys::passphrase::{self, PassphraseOrigin};
use crate::keys::{reveal, signing_key};
use crate::kit::inputs::{plan_of, rules};
use crate::kit::source::{open, picked};
use crate::paste;

/// The JSON of `paste`.
#[derive(Debug, Serialize)]
struct PasteBody {
    /// The device that the text is for.
    device: DeviceRef,
    /// The manager at the other end of its tunnel.
    manager: Manager,
    /// Origin of the passphrase: `generated` or `given`.
    passphrase: PassphraseOrigin,
    /// Number of lines.
    lines: usize,
    /// Number of bytes.
    size: usize,
    /// Digest of the text.
    sha256: Sha256,
    /// Things to know.
    warnings: Vec<String>,
    /// What is to be pasted.
    text: String,
}

/// The one device, with what it gets.
struct Chosen {
    device: Device,
    manager: Manager,
    files: PastedFiles,
    warnings: Vec<String>,
}

/// Where its files are from.
enum PastedFiles {
    Manager(Box<Collected>),
    Kit(Box<VouchedBundle>),
}

impl PastedFiles {
    fn credentials(&self) -> &CheckedCredentials {
        match self {
            Self::Manager(collected) => &collected.credentials,
            Self::Kit(bundle) => bundle.credentials(),
        }
    }
}

pub(crate) fn run(args: &PasteArgs, context: &Context) -> Result<Report, Failure> {
    let flags = args.passphrase.flags();
    let mut origin = passphrase::source(flags, false, &context.terminal, false)?;
    let named: Vec<String> = args.target.iter().chain(&args.source.device).cloned().collect();
    if !args.source.accept_clock {
        is_after_this_program(context.now)?;
    }
    let chosen = match &args.kit.kit {
        Some(kit) => from_kit(kit, args, &named, context)?,
        None => from_manager(args, &named, context)?,
    };
    let passphrase = passphrase::obtain(flags, &mut origin, &context.terminal)?;
    let passphrase = passphrase.ok_or_else(|| Failure::usage("no passphrase is given"))?;
    let text = text(&chosen, &passphrase, context)?;
    if origin == PassphraseOrigin::Generated {
        reveal::to_descriptor(&passphrase, flags)?;
        context.show_at_the_end(&passphrase, flags);
    }
    Ok(report(chosen, origin, text, context))
}

fn text(chosen: &Chosen, passphrase: &Passphrase, context: &Context) -> Result<String, Failure> {
    let content = Content {
        credentials: chosen.files.credentials(),
        device: &chosen.device.uuid,
        manager: &chosen.manager.uuid,
        created_at: context.now,
    };
    Ok(paste::text(&content, &chosen.device.name, passphrase)?)
}

fn report(chosen: Chosen, passphrase: PassphraseOrigin, text: String, context: &Context) -> Report {
    let Chosen { device, manager, warnings, .. } = chosen;
    let device = DeviceRef::of(&device);
    let (lines, sha256) = (text.lines().count(), Sha256::of(text.as_bytes()));
    for warning in &warnings {
        context.terminal.warn(warning);
    }
    context.terminal.note(&format!(
        "text for {}: {lines} lines, {} bytes\nSHA-256 {sha256}",
        device.shown(),
        text.len()
    ));
    let size = text.len();
    let body = PasteBody {
        device,
        manager,
        passphrase,
        lines,
        size,
        sha256,
        warnings,
        text: text.clone(),
    };
    Report::for_terminal(&context.terminal, &body, text).product()
}

/// The device of a list, or of the peers' folders.
fn from_manager(args: &PasteArgs, named: &[String], context: &Context) -> Result<Chosen, Failure> {
    let mut plan = plan_of(&args.source, named, context)?;
    let planned = match plan.devices.as_slice() {
        [planned] => planned,
        several => {
            return Err(none_or_several(&plan, several.iter().map(|planned| &planned.device.name)));
        }
    };
    let manager = plan.manager.take().ok_or_else(|| not_one(&[]))?;
    let rules = rules(&args.source, context);
    let collected = Collector::new(&context.root, &manager.uuid, &rules).collect(planned)?;
    let mut warnings = std::mem::take(&mut plan.warnings);
    warnings.extend(planned.notes.iter().chain(&collected.notes).cloned());
    let device = planned.device.clone();
    Ok(Chosen { device, manager, files: PastedFiles::Manager(Box::new(collected)), warnings })
}

/// Says why the only device was refused, or that one has to be named.
fn none_or_several<'a>(plan: &Plan, names: impl Iterator<Item = &'a DeviceName>) -> Failure {
    let names: Vec<&DeviceName> = names.collect();
    match plan.refused.first() {
        Some(first) if names.is_empty() => {
            Failure::refused(first.refusal.reason, &first.refusal.message).hint(&first.refusal.next)
        }
        _ => not_one(&names),
    }
}

fn not_one(names: &[&DeviceName]) -> Failure {
    const NAMED: usize = 8;
    let first: Vec<String> =
        names.iter().take(NAMED).map(|name| printable(name.as_str()).to_string()).collect();
    let more = if names.len() > NAMED { ", ..." } else { "" };
    Failure::refused(
        Reason::Ambiguous,
        format!("a text is for one device; here are {}: {}{more}", names.len(), first.join(", ")),
    )
    .hint("name one: sftunnel-bundle paste NAME")
}

/// The device of a kit, whose signer somebody vouches for.
fn from_kit(
    path: &Path,
    args: &PasteArgs,
    named: &[String],
    context: &Context,
) -> Result<Chosen, Failure> {
    let mut unlocker =
        Unlocker::new(&args.kit.open, std::slice::from_ref(&path.to_owned()), &context.terminal)?;
    let own = signing_key::own(&context.root);
    let may_ask = !context.terminal.json;
    let mut check = SignerCheck::new(&args.kit.signer, own, may_ask.then_some(&context.terminal))?;
    let kit = KitFolder::open(path)?;
    let entries = picked(&kit, named)?;
    let [entry] = entries.as_slice() else {
        return Err(not_one(&entries.iter().map(|entry| &entry.device.name).collect::<Vec<_>>()));
    };
    let sealed = kit.bundle(entry).map_err(|met| kit.whole_failure(met))?;
    let identity = kit.identity()?;
    let unlocked = unlocker.unlock(identity.as_ref()).map_err(|met| kit.whole_failure(met))?;
    let bundle = open(&kit, entry, &sealed, &unlocked.identities)?;
    names_its_device(&bundle)?;
    if !args.source.accept_clock {
        is_valid(&bundle, context.now)?;
    }
    let bundle = check.vouch(&entry.file, bundle, &[], unlocked.vouched_signer)?;
    let (device, manager) = (bundle.manifest().device.clone(), bundle.manifest().manager.clone());
    Ok(Chosen { device, manager, files: PastedFiles::Kit(Box::new(bundle)), warnings: Vec::new() })
}
