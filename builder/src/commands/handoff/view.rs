//! What `handoff` made, for people and JSON.

use std::fmt::Write as _;
use std::path::PathBuf;

use cli::kit::words::{self, count};
use cli::say::page::wrapped;
use formats::bundle::manifest::Manager;
use formats::checksum::Sha256;
use formats::kit::{Handoff, InstallerEntry, KitIndex};
use formats::signature::{Fingerprint, SignerEntry};
use formats::text::{printable, printable_path};
use formats::timestamp::Timestamp;
use formats::trust::Vouch;
use serde::Serialize;

use crate::commands::plan;
use crate::device_result::{DeviceResult, refusals_text, warnings_text};
use crate::keys::passphrase::PassphraseOrigin;
use crate::keys::signing_key::{Signer, SignerBody};
use crate::kit::writer::Written;

/// The JSON of `handoff`.
#[derive(Debug, Serialize)]
pub(super) struct HandoffBody {
    /// The kits that were made.
    pub kits: Vec<MadeKit>,
    /// Signer of their indexes, the team that hands off; null when no kit was made.
    pub signer: Option<SignerBody>,
    /// Origin of the new passphrase: `none`, `given`, `generated`, `asked`.
    pub passphrase: PassphraseOrigin,
    /// Number of bundles that are `handed-off`.
    pub handed_off: usize,
    /// Number of those that are `refused`.
    pub refused: usize,
    /// One for each bundle; with `--split` one for each recipient that it is sealed for.
    pub results: Vec<DeviceResult<HandedOff>>,
    /// Things to know about all of it.
    pub warnings: Vec<String>,
}

/// A kit that was made.
#[derive(Debug, Serialize)]
pub(super) struct MadeKit {
    pub path: PathBuf,
    /// The kit that it was made from.
    pub from: PathBuf,
    /// All bundles are for tunnels to this manager.
    pub manager: Manager,
    /// The run of `generate_certs.pl`.
    pub batch: u64,
    /// Time when the builder made the first kit.
    pub created_at: Timestamp,
    /// Signer of the first kit's index.
    pub built_by: Option<SignerEntry>,
    /// This handoff and those before it, the oldest first.
    pub handoffs: Vec<Handoff>,
    /// True if it holds `kit.identity.age`.
    pub has_passphrase: bool,
    /// Number of bundles that it holds.
    pub bundles: usize,
    /// The installers in it.
    pub installers: Vec<InstallerEntry>,
}

/// A bundle that was sealed anew; `status` is `handed-off`.
#[derive(Debug, Serialize)]
pub(super) struct HandedOff {
    pub path: PathBuf,
    pub size: u64,
    pub sha256: Sha256,
    /// The same as before: the inside is unchanged.
    pub bundle_id: Sha256,
    /// Its signer, whom a device has to accept.
    pub signer: Fingerprint,
    /// Grounds for trusting that signer here: `named`, `own`, `passphrase`, `confirmed`; null when
    /// nobody speaks for it, which stops a passphrase kit only.
    pub vouched_by: Option<Vouch>,
    /// Recipients that can open it now, beside the passphrase.
    pub recipients: Vec<String>,
}

impl MadeKit {
    pub(super) fn of(index: KitIndex, path: PathBuf, from: PathBuf, has_passphrase: bool) -> Self {
        Self {
            path,
            from,
            manager: index.manager,
            batch: index.batch,
            created_at: index.created_at,
            built_by: index.built_by,
            handoffs: index.handoffs,
            has_passphrase,
            bundles: index.bundles.len(),
            installers: index.installers,
        }
    }
}

impl HandedOff {
    pub(super) fn written(&self) -> Written {
        Written { size: self.size, sha256: self.sha256 }
    }
}

impl HandoffBody {
    pub(super) fn new(passphrase: PassphraseOrigin) -> Self {
        Self {
            kits: Vec::new(),
            signer: None,
            passphrase,
            handed_off: 0,
            refused: 0,
            results: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Completes it, once everything is sealed.
    pub(super) fn signed_by(&mut self, signer: Option<&Signer>) {
        self.signer = signer.filter(|_| !self.kits.is_empty()).map(SignerBody::of);
        self.handed_off = self.results.iter().filter(|result| result.facts.is_some()).count();
        self.refused = self.results.len() - self.handed_off;
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for kit in &self.kits {
            text.push_str(&self.kit_text(kit));
        }
        for (result, facts) in self.good() {
            if !self.kits.iter().any(|kit| facts.path.starts_with(&kit.path)) {
                let device = result.device.as_ref().map_or_else(String::new, |d| d.shown());
                let _ = writeln!(text, "{}\n  device       {device}", printable_path(&facts.path));
                text.push_str(&sealed_for(
                    PassphraseOrigin::None,
                    std::iter::once((device, facts)),
                ));
            }
        }
        if self.handed_off == 0 {
            text.push_str("nothing was handed off\n");
        } else {
            text.push_str(&self.to_tell());
        }
        for (result, _) in self.good() {
            let device = result.device.as_ref().map_or_else(String::new, |device| device.shown());
            for note in &result.notes {
                text.push_str(&wrapped("  note: ", &format!("{device}: {}", printable(note))));
            }
        }
        if self.refused > 0 {
            let _ = write!(text, "\nRefused: {}\n{}", self.refused, refusals_text(&self.results));
        }
        text.push_str(&warnings_text(&self.warnings));
        text
    }

    fn good(&self) -> impl Iterator<Item = (&DeviceResult<HandedOff>, &HandedOff)> {
        self.results.iter().filter_map(|result| Some((result, result.facts.as_ref()?)))
    }

    fn kit_text(&self, kit: &MadeKit) -> String {
        let mut text = format!(
            "{}\n  from         {}\n",
            printable_path(&kit.path),
            printable_path(&kit.from)
        );
        let _ = writeln!(text, "  manager      {}", kit.manager.uuid);
        let _ = writeln!(text, "  batch        {}, made {}", kit.batch, kit.created_at);
        text.push_str(&words::handoffs(kit.built_by, &kit.handoffs));
        let _ = writeln!(text, "  holds        {}", count(kit.bundles, "bundle"));
        let of_kit = self.good().filter(|(_, facts)| facts.path.starts_with(&kit.path));
        let devices = of_kit.map(|(result, facts)| {
            (result.device.as_ref().map_or_else(String::new, |device| device.shown()), facts)
        });
        text + &sealed_for(self.passphrase, devices)
    }

    /// Words what proves something only when it does not travel with the stick.
    fn to_tell(&self) -> String {
        let mut text = String::from("\nTell by phone, never on the stick\n");
        let mut signers: Vec<(Fingerprint, Option<Vouch>)> =
            self.good().map(|(_, facts)| (facts.signer, facts.vouched_by)).collect();
        signers.sort_by_key(|(signer, _)| *signer);
        signers.dedup_by_key(|(signer, _)| *signer);
        for (signer, vouch) in signers {
            let known = vouch
                .map_or("not confirmed here: compare it with the team that built it", words::vouch);
            let _ = writeln!(text, "  signer of the bundles, which a device must accept");
            text.push_str(&fingerprint_text(signer));
            let _ = writeln!(text, "    ({known})");
        }
        if let Some(signer) = &self.signer {
            let new = if signer.new { ", made just now" } else { "" };
            let _ = writeln!(text, "  your key, which signs kit.json only{new}");
            text.push_str(&fingerprint_text(signer.fingerprint));
        }
        let mut installers: Vec<&InstallerEntry> =
            self.kits.iter().flat_map(|kit| &kit.installers).collect();
        installers.sort_by(|one, two| one.arch.cmp(&two.arch));
        installers.dedup_by_key(|installer| installer.sha256);
        for installer in installers {
            let _ = writeln!(text, "  installer {}\n    {}", installer.arch, installer.sha256);
        }
        text
    }
}

fn fingerprint_text(fingerprint: Fingerprint) -> String {
    let [one, two] = fingerprint.spoken_lines();
    format!("    {fingerprint}\n    {one}\n    {two}\n")
}

fn sealed_for<'a>(
    passphrase: PassphraseOrigin,
    devices: impl Iterator<Item = (String, &'a HandedOff)>,
) -> String {
    let devices: Vec<(String, &[String])> =
        devices.map(|(device, facts)| (device, &*facts.recipients)).collect();
    let passphrase =
        (passphrase != PassphraseOrigin::None).then_some("the new passphrase (kit.identity.age)");
    plan::openers_text("\nWho can open it now\n", passphrase, &devices)
}
