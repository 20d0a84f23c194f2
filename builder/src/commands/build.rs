//! `build`: makes a kit.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;

use cli::say::exit::Failure;
use cli::say::report::Report;
use formats::bundle::manifest::Manager;
use formats::error::Reason;
use formats::kit::{self, InstallerEntry, KitIndex, TextEntry};
use formats::seal::{Encoding, NewIdentity, Passphrase};
use formats::text::printable;
use formats::timestamp::Timestamp;
use serde::Serialize;

use super::{kit_heading, plan, warn_when_quiet, warnings_text};
use crate::Context;
use crate::args::BuildArgs;
use crate::fmc::belief::Belief;
use crate::fmc::collect::Authorities;
use crate::fmc::plan::PlannedDevice;
use crate::keys::passphrase::{self, Source};
use crate::keys::signing_key::{self, Signer, SignerBody};
use crate::kit::contents::{self, Bundled, Sealing, Shared};
use crate::kit::device_result::{self, DeviceResult, refusals_text, wrapped};
use crate::kit::inputs::{Prepared, prepare};
use crate::kit::installers::{Installer, LeftOut};
use crate::kit::texts::{self, ReadmeFacts};
use crate::kit::writer::{self, KitWriter, Published};

/// The JSON of `build`.
#[derive(Debug, Serialize)]
struct BuildBody {
    /// The kit's folder; null when none was made.
    kit: Option<PathBuf>,
    /// The kit's manager; null when no device is left.
    manager: Option<Manager>,
    /// The run of `generate_certs.pl` (its unix time).
    batch: u64,
    /// What the kit says of when it was made.
    created_at: Timestamp,
    /// Where the devices come from: `failed-push`, or `peers`.
    source: crate::fmc::plan::Source,
    /// The FAILED_PUSH files that were read, the newest first; none without a list.
    failed_push: Vec<String>,
    /// Who vouches for the kit and its bundles; null when none was made.
    signer: Option<SignerBody>,
    /// Where the passphrase is from: `none`, `given`, `generated`, `asked`.
    passphrase: Source,
    /// How many devices are `bundled`.
    bundled: usize,
    /// How many results are `refused`.
    refused: usize,
    /// One for each device, and for each line that names none.
    results: Vec<DeviceResult<Bundled>>,
    /// The installers in the kit.
    installers: Vec<InstallerEntry>,
    /// Those beside this program that are not in it.
    installers_left_out: Vec<LeftOut>,
    /// Things to know about all of it.
    warnings: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// Whatever refuses all devices at once, and whatever keeps the kit from being written.
pub(crate) fn run(args: &BuildArgs, context: &Context) -> Result<Report, Failure> {
    if args.kit.dry_run {
        return plan::run(args, context);
    }
    let mut prepared = prepare(args, context, false)?;
    let Some((manager, name)) = prepared.kit().map(|(manager, name)| (manager.clone(), name))
    else {
        let results = contents::refused_only(&prepared.plan);
        return Ok(report(context, prepared, None, results));
    };
    writer::check_place(&args.kit.out, &name, args.kit.force)?;
    let belief = Belief { root: &context.root, accept: args.source.accept_source };
    let signer = signing_key::load(belief, args.kit.sign_key.as_deref())?;
    prepared.plan.warnings.extend(signer.doubt.clone());
    let locked = lock(args, &mut prepared, context)?;
    let writer = KitWriter::create(&args.kit.out, &name, args.kit.force)?;
    let devices = std::mem::take(&mut prepared.plan.devices);
    let run = Run { args, context, prepared: &prepared, manager: &manager, name: &name };
    match run.make(&writer, &signer, locked, devices) {
        Ok((Some(mut kit), results)) => {
            prepared.plan.warnings.append(&mut kit.warnings);
            Ok(report(context, prepared, Some((kit, signer)), results))
        }
        Ok((None, results)) => {
            writer.discard();
            Ok(report(context, prepared, None, results))
        }
        Err(failure) => {
            writer.discard();
            Err(failure)
        }
    }
}

/// The identity of a passphrase kit and what locks it.
struct Locked {
    identity: NewIdentity,
    passphrase: Passphrase,
}

/// Gets the passphrase, where there is one, and makes the kit's own identity a recipient.
fn lock(
    args: &BuildArgs,
    prepared: &mut Prepared,
    context: &Context,
) -> Result<Option<Locked>, Failure> {
    let source = prepared.passphrase;
    let Some(passphrase) = passphrase::obtain(&args.passphrase, source, &context.terminal)? else {
        return Ok(None);
    };
    if let Some(weakness) = passphrase::weakness(&passphrase) {
        prepared.plan.warnings.push(format!(
            "the passphrase is weak: {weakness}; whoever finds the stick can try at leisure. --generate-passphrase makes a strong one"
        ));
    }
    let identity = prepared.recipients.identity_beside();
    prepared.recipients.add_for_all(identity.recipient());
    Ok(Some(Locked { identity, passphrase }))
}

type Results = Vec<DeviceResult<Bundled>>;

struct Kit {
    path: PathBuf,
    installers: Vec<InstallerEntry>,
    warnings: Vec<String>,
}

struct Run<'a> {
    args: &'a BuildArgs,
    context: &'a Context,
    prepared: &'a Prepared,
    manager: &'a Manager,
    name: &'a str,
}

impl Run<'_> {
    /// Fills and publishes the kit; none when every device is refused.
    fn make(
        &self,
        writer: &KitWriter,
        signer: &Signer,
        locked: Option<Locked>,
        devices: Vec<PlannedDevice>,
    ) -> Result<(Option<Kit>, Results), Failure> {
        let fingerprint = signer.entry.fingerprint;
        // scrypt takes as long as hundreds of bundles, so it runs beside them
        let protecting = locked.map(|locked| {
            thread::spawn(move || {
                let sealed = locked.identity.protect(&locked.passphrase, fingerprint);
                sealed.map(|sealed| (sealed, locked.passphrase))
            })
        });
        let results = self.bundle_all(writer, signer, devices)?;
        let bundles = results.iter().filter(|result| result.facts.is_some()).count();
        if bundles == 0 {
            return Ok((None, results));
        }
        let (passphrase, installers) = writer.flush_beside(|| {
            let mut texts = Vec::new();
            let passphrase = match protecting.map(thread::JoinHandle::join) {
                None => None,
                Some(Ok(Ok((identity, passphrase)))) => {
                    texts.push(writer.text(kit::IDENTITY, &identity, 0o644)?);
                    Some(passphrase)
                }
                Some(_) => {
                    return Err(Failure::unexpected("the kit's identity could not be locked"));
                }
            };
            let installers = copy_installers(writer, &self.prepared.installers.taken)?;
            let readme = ReadmeFacts {
                kit: self.name,
                manager: self.manager,
                batch: self.prepared.plan.batch,
                created_at: self.prepared.created_at,
                bundles,
                has_passphrase: passphrase.is_some(),
                installers: &installers,
            };
            texts.extend(texts::write(writer, &readme)?);
            self.write_index(writer, signer, &results, &installers, texts)?;
            Ok((passphrase, installers))
        })?;
        signer.keep(&self.context.root)?;
        if let (Some(passphrase), Source::Generated) = (&passphrase, self.prepared.passphrase) {
            passphrase::reveal(passphrase, &self.args.passphrase, &self.context.terminal)?;
        }
        let Published { path, warnings } = writer.commit()?;
        Ok((Some(Kit { path, installers, warnings }), results))
    }

    fn bundle_all(
        &self,
        writer: &KitWriter,
        signer: &Signer,
        devices: Vec<PlannedDevice>,
    ) -> Result<Results, Failure> {
        let prepared = self.prepared;
        let shared = Shared {
            root: &self.context.root,
            manager: self.manager,
            rules: &prepared.rules,
            recipients: &prepared.recipients,
            authorities: Authorities::default(),
        };
        let armor = self.args.kit.armor;
        let sealing = Sealing {
            key: &signer.key,
            batch: prepared.plan.batch,
            created_at: prepared.created_at,
            encoding: if armor { Encoding::Armored } else { Encoding::Binary },
            writer,
        };
        let progress = self.context.terminal.progress("sealing", devices.len());
        contents::bundle_all(devices, &prepared.plan, &shared, &sealing, progress)
    }

    fn write_index(
        &self,
        writer: &KitWriter,
        signer: &Signer,
        results: &Results,
        installers: &[InstallerEntry],
        texts: Vec<TextEntry>,
    ) -> Result<(), Failure> {
        let index = KitIndex {
            format: kit::FORMAT.to_owned(),
            manager: self.manager.clone(),
            batch: self.prepared.plan.batch,
            source: match self.prepared.plan.source {
                crate::fmc::plan::Source::FailedPush => None,
                crate::fmc::plan::Source::Peers => Some(kit::Source::Peers),
            },
            created_at: self.prepared.created_at,
            signer: signer.entry,
            built_by: None,
            handoffs: Vec::new(),
            bundles: contents::entries(results),
            installers: installers.to_vec(),
            texts,
        };
        let (bytes, signature) =
            index.sign(&signer.key).map_err(|error| Failure::of(kit::INDEX, &error))?;
        drop(index);
        writer.file(kit::INDEX, &bytes, 0o644)?;
        writer.file(kit::INDEX_SIGNATURE, &signature, 0o644)?;
        Ok(())
    }
}

fn copy_installers(
    writer: &KitWriter,
    installers: &[Installer],
) -> Result<Vec<InstallerEntry>, Failure> {
    let copy = |installer: &Installer| {
        let file = kit::installer_file(installer.arch);
        let written = writer.installer(&file, &installer.file)?;
        let (size, sha256) = (written.size, written.sha256);
        if installer.sha256.is_some_and(|expected| expected != sha256) {
            let message = format!("{} was changed while it was read", installer.path.display());
            return Err(Failure::refused(Reason::UnknownInstaller, message)
                .hint("find out who writes there, or name it with --installer"));
        }
        Ok(InstallerEntry { arch: installer.arch.to_owned(), file, size, sha256 })
    };
    installers.iter().map(copy).collect()
}

fn report(
    context: &Context,
    prepared: Prepared,
    made: Option<(Kit, Signer)>,
    results: Results,
) -> Report {
    let (exit, reason) = device_result::exit(&results);
    let (text, changed) = (text(&prepared, made.as_ref(), &results), made.is_some());
    warn_when_quiet(&context.terminal, exit, &prepared.plan.warnings);
    let bundled = results.iter().filter(|result| result.facts.is_some()).count();
    let (kit, signer) = made.unzip();
    let signer = signer.as_ref().map(SignerBody::of);
    let (kit, installers) = kit.map_or((None, Vec::new()), |kit| (Some(kit.path), kit.installers));
    let body = BuildBody {
        kit,
        manager: prepared.plan.manager,
        batch: prepared.plan.batch,
        created_at: prepared.created_at,
        source: prepared.plan.source,
        failed_push: prepared.plan.failed_push,
        signer,
        passphrase: prepared.passphrase,
        bundled,
        refused: results.len() - bundled,
        results,
        installers,
        installers_left_out: prepared.installers.left_out,
        warnings: prepared.plan.warnings,
    };
    Report::for_terminal(&context.terminal, &body, text).changed(changed).ending(exit, reason)
}

fn text(prepared: &Prepared, made: Option<&(Kit, Signer)>, results: &Results) -> String {
    let mut text = match made {
        Some((kit, _)) => format!("{}\n", printable(&kit.path.display().to_string())),
        None => "no kit was made\n".to_owned(),
    };
    text.push_str(&kit_heading(prepared, prepared.plan.manager.as_ref()));
    let good: Vec<_> = results.iter().filter(|result| result.facts.is_some()).collect();
    if let Some((kit, signer)) = made {
        let _ = writeln!(text, "  bundles      {}", good.len());
        if prepared.passphrase != Source::None {
            let _ = writeln!(text, "  opened by    the passphrase (kit.identity.age)");
        }
        text.push_str(&to_tell(kit, signer));
    }
    for result in good {
        let device = result.device.as_ref().map_or_else(String::new, |device| device.shown());
        for note in &result.notes {
            text.push_str(&wrapped("  note: ", &format!("{device}: {}", printable(note))));
        }
    }
    let refusals = refusals_text(results);
    if !refusals.is_empty() {
        let number = results.iter().filter(|result| result.refusal.is_some()).count();
        let _ = write!(text, "\nRefused: {number}\n{refusals}");
    }
    text.push_str(&warnings_text(&prepared.plan.warnings));
    if made.is_some() {
        text.push_str(NEXT);
    }
    text
}

/// What proves something only when it does not travel with the stick.
fn to_tell(kit: &Kit, signer: &Signer) -> String {
    let mut text = String::from("\nTell by phone, never on the stick\n");
    let new = if signer.is_new() { ", made just now" } else { "" };
    let fingerprint = signer.entry.fingerprint;
    let _ = writeln!(text, "  signer{new}\n    {fingerprint}");
    let [one, two] = fingerprint.spoken_lines();
    let _ = writeln!(text, "    {one}\n    {two}");
    for installer in &kit.installers {
        let _ = writeln!(text, "  installer {}\n    {}", installer.arch, installer.sha256);
    }
    text
}

const NEXT: &str = "
Next
  copy the whole folder, and in the copy: sha256sum -c SHA256SUMS
  on each device, as root, in the copy:   sh install.sh --dry-run, then
                                          sh install.sh
";
