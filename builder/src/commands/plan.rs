//! `plan`: what `build` would do, down to reading and checking every file. Writes nothing.

use std::fmt::Write as _;
use std::path::PathBuf;

use cli::kit::words::{self, count};
use cli::say::failure::Failure;
use cli::say::page::{Table, wrapped};
use cli::say::report::Report;
use formats::bundle::manifest::Manager;
use formats::checksum::Sha256;
use formats::device::{CredentialFile, Label};
use formats::text::printable;
use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::Context;
use crate::args::BuildArgs;
use crate::device_result::{self, DeviceResult, refusals_text, warnings_text};
use crate::fmc::belief::Belief;
use crate::fmc::collect::Collector;
use crate::fmc::plan::{self, PlannedDevice};
use crate::keys::passphrase::PassphraseOrigin;
use crate::keys::signing_key;
use crate::kit::error::LeftOut;
use crate::kit::inputs::{Prepared, prepare};
use crate::kit::parallel::in_order;
use crate::kit::replace::Place;
use crate::kit::texts::runs_on;

/// The JSON of `plan`, and of `build --dry-run`.
#[derive(Debug, Serialize)]
struct PlanBody {
    /// Path that the kit would have; null when no device is left.
    kit: Option<PathBuf>,
    /// The kit's manager; null when no device is left.
    manager: Option<Manager>,
    /// The run of `generate_certs.pl` (its unix time).
    batch: u64,
    /// Origin of the devices: `failed-push`, or `peers`.
    source: plan::DeviceOrigin,
    /// The FAILED_PUSH files that were read, the newest first; none without a list.
    failed_push: Vec<String>,
    /// The time by this machine's clock that the checks were made at.
    checked_at: Timestamp,
    /// Origin that `build` will have the passphrase from.
    passphrase: PassphraseOrigin,
    /// Number of devices that are `ready`.
    ready: usize,
    /// Number of results that are `refused`.
    refused: usize,
    /// One for each device, and for each line that names none.
    results: Vec<DeviceResult<Ready>>,
    /// The installers that would travel along.
    installers: Vec<PlannedInstaller>,
    /// Those beside this program that would not.
    installers_left_out: Vec<LeftOut>,
    /// Things to know about all of it.
    warnings: Vec<String>,
}

/// A device whose files are good; `status` is `ready`.
#[derive(Debug, Serialize)]
struct Ready {
    /// Its address as FAILED_PUSH has it; may be empty, or no address at all.
    address: Label,
    /// Number of the three files that FAILED_PUSH lists.
    files_listed: usize,
    /// Paths of `cacert.pem`, `sftunnel-cert.pem` and `sftunnel-key.pem`.
    sources: [String; 3],
    /// The bundle's path in the kit.
    file: String,
    /// The bundle's id: the same for the same content.
    bundle_id: Sha256,
    /// Last second of the device's certificate.
    certificate_not_after: Timestamp,
    /// Last second of the CA.
    ca_not_after: Timestamp,
    /// Whole days that are left of it.
    ca_days_left: i64,
    /// Recipients that will be able to open the bundle, beside the passphrase.
    recipients: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PlannedInstaller {
    /// `x86_64` or `aarch64`.
    arch: &'static str,
    source: PathBuf,
}

pub(crate) fn run(args: &BuildArgs, context: &Context) -> Result<Report, Failure> {
    let mut prepared = prepare(args, context, true)?;
    let kit = prepared.kit().map(|(_, name)| (args.kit.out.join(&name), name));
    if let Some((_, name)) = &kit
        && let Err(error) = Place::check(&args.kit.out, name, args.kit.force)
    {
        let failure = Failure::from(error);
        prepared.plan.warnings.push(format!(
            "{}: {}",
            failure.message(),
            failure.next_step().unwrap_or_default()
        ));
    }
    let belief = Belief { root: &context.root, accept: args.source.accept_source };
    prepared.plan.warnings.extend(signing_key::look(belief, args.kit.sign_key.as_deref())?);
    let results = check(&prepared, context)?;
    let (exit, reason) = device_result::exit(&results);
    let text = text(&prepared, kit.as_ref().map(|(_, name)| name.as_str()), &results);
    let refused = results.iter().filter(|result| result.refusal.is_some()).count();
    let body = PlanBody {
        kit: kit.map(|(path, _)| path).filter(|_| refused < results.len()),
        manager: prepared.plan.manager,
        batch: prepared.plan.batch,
        source: prepared.plan.source,
        failed_push: prepared.plan.failed_push,
        checked_at: context.now,
        passphrase: prepared.passphrase,
        ready: results.len() - refused,
        refused,
        results,
        installers: prepared
            .installers
            .taken
            .into_iter()
            .map(|installer| PlannedInstaller { arch: installer.arch, source: installer.path })
            .collect(),
        installers_left_out: prepared.installers.left_out,
        warnings: prepared.plan.warnings,
    };
    Ok(Report::for_terminal(&context.terminal, &body, text).ending(exit, reason))
}

fn check(prepared: &Prepared, context: &Context) -> Result<Vec<DeviceResult<Ready>>, Failure> {
    let plan = &prepared.plan;
    let mut results = match &plan.manager {
        None => Vec::new(),
        Some(manager) => {
            let collector = Collector::new(&context.root, &manager.uuid, &prepared.rules);
            let progress = context.terminal.progress("checking", plan.devices.len());
            in_order(&plan.devices, progress, |planned| {
                Ok(check_device(planned, prepared, &collector))
            })?
        }
    };
    results.extend(plan.refusals());
    Ok(results)
}

fn check_device(
    planned: &PlannedDevice,
    prepared: &Prepared,
    collector: &Collector<'_>,
) -> DeviceResult<Ready> {
    let collected = match collector.collect(planned) {
        Ok(collected) => collected,
        Err(failure) => return planned.refused(failure),
    };
    let recipients = prepared.recipients.of(&planned.device.uuid);
    let ca_not_after = collected.credentials.ca().facts().not_after;
    let facts = Ready {
        address: planned.device.address.clone(),
        files_listed: planned.sources.len(),
        file: planned.bundle_file(),
        bundle_id: collected.bundle_id,
        certificate_not_after: collected.credentials.certificate().facts().not_after,
        ca_not_after,
        ca_days_left: prepared.rules.now.days_left(ca_not_after),
        recipients: recipients.iter().map(ToString::to_string).collect(),
        sources: collected.sources,
    };
    planned.good("ready", facts, collected.notes)
}

fn text(prepared: &Prepared, kit: Option<&str>, results: &[DeviceResult<Ready>]) -> String {
    let any = results.iter().any(|result| result.facts.is_some());
    let mut text = match kit.filter(|_| any) {
        Some(name) => format!("{name} would be made\n"),
        None => "no kit would be made\n".to_owned(),
    };
    text.push_str(&heading(prepared));
    let archs = prepared.installers.taken.iter().map(|installer| installer.arch);
    let _ = writeln!(text, "  runs on      {}", runs_on(archs));
    let ready: Vec<_> = results
        .iter()
        .filter_map(|r| Some((r.device.as_ref()?, r.facts.as_ref()?, &r.notes)))
        .collect();
    if !ready.is_empty() {
        let headings = ["device", "UUID", "address", "files", "valid to", "CA days"];
        let mut table = Table::with_headings(&headings).flexible(&[0, 2]);
        for (device, facts, _) in &ready {
            let name = device.name.as_ref().map_or("", |name| name.as_str());
            table.row([
                printable(name).to_string(),
                device.uuid.short().to_owned(),
                facts.address.as_str().to_owned(),
                format!("{}/{}", facts.files_listed, CredentialFile::ALL.len()),
                facts.certificate_not_after.date(),
                facts.ca_days_left.to_string(),
            ]);
        }
        let _ = write!(text, "\nReady: {}\n{}", count(ready.len(), "device"), table.text());
        for (device, _, notes) in &ready {
            for note in *notes {
                let note = format!("{}: {}", device.shown(), printable(note));
                text.push_str(&wrapped("  note: ", &note));
            }
        }
        let readers: Vec<(String, &[String])> =
            ready.iter().map(|(device, facts, _)| (device.shown(), &*facts.recipients)).collect();
        let heading = "\nWho will be able to open them\n";
        text.push_str(&openers_text(heading, prepared.passphrase.described(), &readers));
    }
    let refusals = refusals_text(results);
    if !refusals.is_empty() {
        let _ = write!(text, "\nRefused: {}\n{refusals}", results.len() - ready.len());
    }
    text.push_str(&warnings_text(&prepared.plan.warnings));
    text
}

/// Names the origin of the devices, and their manager.
pub(super) fn heading(prepared: &Prepared) -> String {
    let plan = &prepared.plan;
    let mut text = String::new();
    if let Some(manager) = &plan.manager {
        let _ = writeln!(text, "  manager      {}", words::manager(manager));
    }
    let day = i64::try_from(plan.batch).ok().and_then(|batch| Timestamp::from_unix(batch).ok());
    let day = day.map_or_else(String::new, |day| format!(" ({day})"));
    let _ = writeln!(text, "  batch        {}{day}", plan.batch);
    if plan.source == plan::DeviceOrigin::Peers {
        text.push_str("  from         the devices' folders in /var/sf/peers, without a list\n");
    }
    for file in &plan.failed_push {
        let _ = writeln!(text, "  from         {}", printable(file));
    }
    text
}

/// Lists each recipient once, with the devices whose bundles it opens.
pub(super) fn openers_text(
    heading: &str,
    passphrase: Option<&str>,
    devices: &[(String, &[String])],
) -> String {
    const NAMED: usize = 6;
    let mut openers: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut position = std::collections::HashMap::new();
    for (device, recipients) in devices {
        for recipient in *recipients {
            let at = *position.entry(recipient.as_str()).or_insert_with(|| {
                openers.push((recipient, Vec::new()));
                openers.len() - 1
            });
            if let Some((_, opened)) = openers.get_mut(at) {
                opened.push(device);
            }
        }
    }
    let mut text = heading.to_owned();
    if let Some(passphrase) = passphrase {
        text.push_str(&wrapped("  ", &format!("{passphrase}: all")));
    }
    for (recipient, opened) in openers {
        let what = if opened.len() == devices.len() {
            "all".to_owned()
        } else if opened.len() > NAMED {
            count(opened.len(), "device")
        } else {
            opened.join(", ")
        };
        let recipient = printable(recipient).to_string();
        text.push_str(&wrapped("  ", &format!("{}: {what}", in_the_middle(&recipient))));
    }
    text
}

/// Long recipients (SSH keys) are cut in the middle: kind and comment say most.
fn in_the_middle(text: &str) -> String {
    const WHOLE: usize = 64;
    if text.len() <= WHOLE || !text.is_ascii() {
        return text.to_owned();
    }
    let (start, end) = (text.get(..28).unwrap_or(text), text.get(text.len() - 28..).unwrap_or(""));
    format!("{start}...{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipient_stands_once_with_its_devices() {
        let (all, one) = (["x".to_owned(), "y".to_owned()], ["x".to_owned()]);
        let devices = [("a".to_owned(), &all[..]), ("b".to_owned(), &one[..])];
        let text = openers_text("Who\n", None, &devices);
        assert_eq!(text, "Who\n  x: all\n  y: a\n");
    }

    #[test]
    fn ssh_keys_are_shortened() {
        let key = format!("ssh-ed25519 {} someone@example", "A".repeat(68));
        let short = in_the_middle(&key);
        assert!(short.len() < 64 && short.ends_with("someone@example"), "{short}");
    }
}
