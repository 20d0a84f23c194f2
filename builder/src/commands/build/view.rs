//! What `build` made, for people and JSON.

use std::fmt::Write as _;
use std::path::PathBuf;

use cli::say::page::wrapped;
use cli::say::report::Report;
use formats::bundle::manifest::Manager;
use formats::checksum::Sha256;
use formats::kit::InstallerEntry;
use formats::text::printable;
use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::Context;
use crate::commands::plan;
use crate::device_result::{self, DeviceResult, refusals_text, warn_when_quiet, warnings_text};
use crate::fmc::plan::DeviceOrigin;
use crate::keys::passphrase;
use crate::keys::signing_key::{Signer, SignerBody};
use crate::kit::error::LeftOut;
use crate::kit::inputs::Prepared;
use crate::kit::writer::Written;

/// The JSON of `build`.
#[derive(Debug, Serialize)]
struct BuildBody {
    /// The kit's folder; null when none was made.
    kit: Option<PathBuf>,
    /// The kit's manager; null when no device is left.
    manager: Option<Manager>,
    /// The run of `generate_certs.pl` (its unix time).
    batch: u64,
    /// Time of making that the kit names.
    created_at: Timestamp,
    /// Origin of the devices: `failed-push`, or `peers`.
    source: DeviceOrigin,
    /// The FAILED_PUSH files that were read, the newest first; none without a list.
    failed_push: Vec<String>,
    /// Signer of the kit and its bundles; null when none was made.
    signer: Option<SignerBody>,
    /// Origin of the passphrase: `none`, `given`, `generated`, `asked`.
    passphrase: passphrase::PassphraseOrigin,
    /// Number of devices that are `bundled`.
    bundled: usize,
    /// Number of results that are `refused`.
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

/// A device whose bundle is in the kit; `status` is `bundled`.
#[derive(Debug, Serialize)]
pub(super) struct Bundled {
    /// The bundle's path in the kit.
    pub file: String,
    pub size: u64,
    pub sha256: Sha256,
    /// The same for the same content, whoever may open it.
    pub bundle_id: Sha256,
    /// Last second of the device's certificate.
    pub certificate_not_after: Timestamp,
    /// Last second of the CA.
    pub ca_not_after: Timestamp,
}

impl Bundled {
    pub(super) fn written(&self) -> Written {
        Written { size: self.size, sha256: self.sha256 }
    }
}

pub(super) type Results = Vec<DeviceResult<Bundled>>;

/// The kit that was made.
pub(super) struct Kit {
    pub(super) path: PathBuf,
    pub(super) installers: Vec<InstallerEntry>,
    pub(super) signer: Signer,
}

pub(super) fn report(
    context: &Context,
    prepared: Prepared,
    kit: Option<Kit>,
    results: Results,
) -> Report {
    let (exit, reason) = device_result::exit(&results);
    let (text, changed) = (text(&prepared, kit.as_ref(), &results), kit.is_some());
    warn_when_quiet(&context.terminal, exit, &prepared.plan.warnings);
    let bundled = results.iter().filter(|result| result.facts.is_some()).count();
    let signer = kit.as_ref().map(|kit| SignerBody::of(&kit.signer));
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

fn text(prepared: &Prepared, kit: Option<&Kit>, results: &Results) -> String {
    let mut text = match kit {
        Some(kit) => format!("{}\n", printable(&kit.path.display().to_string())),
        None => "no kit was made\n".to_owned(),
    };
    text.push_str(&plan::heading(prepared));
    let good: Vec<_> = results.iter().filter(|result| result.facts.is_some()).collect();
    if let Some(kit) = kit {
        let _ = writeln!(text, "  bundles      {}", good.len());
        if prepared.passphrase != passphrase::PassphraseOrigin::None {
            let _ = writeln!(text, "  opened by    the passphrase (kit.identity.age)");
        }
        text.push_str(&to_tell(kit));
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
    if kit.is_some() {
        text.push_str(NEXT);
    }
    text
}

/// Words what proves something only when it does not travel with the stick.
fn to_tell(kit: &Kit) -> String {
    let mut text = String::from("\nTell by phone, never on the stick\n");
    let new = if kit.signer.is_new() { ", made just now" } else { "" };
    let fingerprint = kit.signer.entry.fingerprint;
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
