//! The results of `receipts` for people, JSON and spreadsheets.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cli::kit::words::count;
use cli::say::page::{Page, Table, wrapped};
use formats::bundle::manifest::Manager;
use formats::checksum::Sha256;
use formats::device::{DeviceUuid, ManagerUuid};
use formats::receipt::{Claim, Outcome};
use formats::signature::Fingerprint;
use formats::text::{printable, printable_path};
use formats::timestamp::Timestamp;
use formats::trust::Vouch;
use serde::Serialize;

use super::standing::{CheckedClaim, Proof, Standing, When};
use crate::device_result::{DeviceRef, Refusal, warnings_text};
use crate::fmc::status_source::{StatusOrigin, TunnelsView};
use crate::fmc::tunnel_status::{Seen, Tunnel};

/// The JSON of `receipts`.
#[derive(Debug, Serialize)]
pub(super) struct ReceiptsBody {
    pub checked_at: Timestamp,
    /// The kits whose devices are looked for.
    pub kits: Vec<KitView>,
    /// The CAs that receipts may be from, the one in use first.
    pub ca: Vec<AuthorityView>,
    /// The tunnels, by sftunnel_status.pl.
    pub tunnels: TunnelsView,
    /// The number of devices that are `done`.
    pub done: usize,
    /// The number of those whose tunnel was seen up after the claim.
    pub confirmed: usize,
    pub rolled_back: usize,
    pub outstanding: usize,
    pub unverified: usize,
    /// One for each device of the kits and each manager.
    pub results: Vec<DeviceView>,
    /// One for each receipt, whichever device it is about.
    pub receipts: Vec<ReceiptView>,
    /// The page that was written; null when none was requested.
    pub html: Option<PathBuf>,
    /// Remarks that concern no single device.
    pub warnings: Vec<String>,
}

/// One kit's entry in the JSON.
#[derive(Debug, Serialize)]
pub(super) struct KitView {
    pub path: PathBuf,
    /// The manager of all its bundles.
    pub manager: Manager,
    /// The run of `generate_certs.pl`.
    pub batch: u64,
    pub created_at: Timestamp,
    /// The signer of its index, and so of the list of devices.
    pub signer: Fingerprint,
    /// The reason to trust that signer: `named`, `own`; null when nobody speaks for it.
    pub vouched_by: Option<Vouch>,
    /// The number of devices that it is for.
    pub devices: usize,
}

/// One CA's entry in the JSON.
#[derive(Debug, Serialize)]
pub(super) struct AuthorityView {
    pub path: PathBuf,
    /// SHA-256 over its DER form.
    pub fingerprint: Sha256,
    /// First second of its validity.
    pub not_before: Timestamp,
    /// True for the one in use.
    pub current: bool,
}

/// One device's entry in the JSON.
#[derive(Debug, Serialize)]
pub(super) struct DeviceView {
    pub device: DeviceRef,
    /// The manager at the other end of its tunnel.
    pub manager: ManagerUuid,
    /// The kit that lists it.
    pub kit: PathBuf,
    /// `done`, `rolled-back`, `outstanding`, `unverified`.
    pub status: Standing,
    /// The fault of its last claim, with `unverified`.
    #[serde(flatten)]
    pub refusal: Option<Refusal>,
    /// `up`, `down` or `unknown`; null when nobody was asked.
    pub tunnel: Option<Tunnel>,
    /// The time of an `up` against the last claim: `now`, `after`, `before`, `undated`; else null.
    pub seen: Option<When>,
    /// True when it is done and the tunnel was seen up after the claim.
    pub confirmed: bool,
    /// The outcome of its last claim: `installed`, `rolled-back`, `restored`; null without one.
    pub outcome: Option<Outcome>,
    /// The evidence that the claim is the device's: `current-ca`, `older-ca`, `earlier-receipt`.
    pub proof: Option<Proof>,
    /// The time of that outcome, by the device's clock.
    pub ended_at: Option<Timestamp>,
    /// SHA-256 (DER) of the certificate that is live since.
    pub certificate: Option<Sha256>,
    /// The bundle that was installed.
    pub bundle_id: Option<Sha256>,
    /// The signer of that bundle.
    pub signer: Option<Fingerprint>,
    /// The device's backup of what was there before.
    pub backup: Option<String>,
    /// The number of receipts about it.
    pub claims: usize,
}

/// One receipt's entry in the JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct ReceiptView {
    pub path: PathBuf,
    /// `verified` or `refused`.
    pub status: &'static str,
    /// The reason of `refused`.
    #[serde(flatten)]
    pub refusal: Option<Refusal>,
    /// The device that it says it is from; null when it cannot be read.
    pub device: Option<DeviceUuid>,
    /// The manager of the tunnel that it is about.
    pub manager: Option<ManagerUuid>,
    /// The outcome that it claims.
    pub outcome: Option<Outcome>,
    /// The time of that outcome, by the device's clock.
    pub ended_at: Option<Timestamp>,
    /// The evidence that it is the device's.
    pub proof: Option<Proof>,
    /// True when one of the kits is for that device and manager.
    pub listed: bool,
}

impl Default for ReceiptsBody {
    fn default() -> Self {
        Self {
            checked_at: Timestamp::EPOCH,
            kits: Vec::new(),
            ca: Vec::new(),
            tunnels: TunnelsView::default(),
            done: 0,
            confirmed: 0,
            rolled_back: 0,
            outstanding: 0,
            unverified: 0,
            results: Vec::new(),
            receipts: Vec::new(),
            html: None,
            warnings: Vec::new(),
        }
    }
}

impl DeviceView {
    pub(super) fn new(
        device: DeviceRef,
        manager: ManagerUuid,
        kit: &Path,
        status: Standing,
        last: Option<&CheckedClaim>,
    ) -> Self {
        let claim = last.map(|last| &last.claim);
        Self {
            device,
            manager,
            kit: kit.to_owned(),
            status,
            refusal: last.and_then(|last| last.proof.clone().err()),
            tunnel: None,
            seen: None,
            confirmed: false,
            outcome: claim.map(|claim| claim.outcome),
            proof: last.and_then(|last| last.proof.as_ref().ok().copied()),
            ended_at: claim.map(|claim| claim.ended_at),
            certificate: claim.map(|claim| claim.certificate_after),
            bundle_id: claim.and_then(|claim| claim.bundle_id),
            signer: claim.and_then(|claim| claim.signer),
            backup: claim.map(|claim| claim.backup.clone()),
            claims: 0,
        }
    }

    /// Takes what was seen of its tunnel.
    pub(super) fn see(&mut self, seen: Seen, source: StatusOrigin, claim: Option<&Claim>) {
        self.tunnel = Some(seen.tunnel);
        self.seen = When::of(seen, source, claim);
        self.confirmed = self.status == Standing::Done && self.seen.is_some_and(When::is_since);
    }

    /// The tunnel in a word or two.
    pub(super) fn tunnel_text(&self) -> &'static str {
        match (self.tunnel, self.seen) {
            (None, _) => "",
            (Some(Tunnel::Up), _) if self.confirmed => "up since",
            (Some(Tunnel::Up), Some(When::Before)) if self.ended_at.is_some() => "up before",
            (Some(Tunnel::Up), Some(When::Undated)) => "up, undated",
            (Some(tunnel), _) => tunnel.word(),
        }
    }

    pub(super) fn name(&self) -> String {
        let name = self.device.name.as_ref().map_or("", |name| name.as_str());
        printable(name).to_string()
    }
}

impl ReceiptView {
    pub(super) fn unreadable(path: PathBuf, refusal: Refusal) -> Self {
        Self { path, status: "refused", refusal: Some(refusal), ..Self::default() }
    }

    pub(super) fn of(path: PathBuf, checked: &CheckedClaim, listed: bool) -> Self {
        let (claim, proof) = (&checked.claim, checked.proof.as_ref().ok().copied());
        Self {
            path,
            status: if proof.is_some() { "verified" } else { "refused" },
            refusal: checked.proof.clone().err(),
            device: Some(claim.device.clone()),
            manager: Some(claim.manager.clone()),
            outcome: Some(claim.outcome),
            ended_at: Some(claim.ended_at),
            proof,
            listed,
        }
    }
}

impl Standing {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::RolledBack => "rolled back",
            Self::Outstanding => "outstanding",
            Self::Unverified => "unverified",
        }
    }
}

impl ReceiptsBody {
    pub(super) fn count(&mut self) {
        let of = |status| self.results.iter().filter(|device| device.status == status).count();
        (self.done, self.rolled_back) = (of(Standing::Done), of(Standing::RolledBack));
        (self.outstanding, self.unverified) = (of(Standing::Outstanding), of(Standing::Unverified));
        self.confirmed = self.results.iter().filter(|device| device.confirmed).count();
        let of = |tunnel| self.results.iter().filter(|d| d.tunnel == Some(tunnel)).count();
        let (up, down, unknown) = (of(Tunnel::Up), of(Tunnel::Down), of(Tunnel::Unknown));
        (self.tunnels.up, self.tunnels.down, self.tunnels.unknown) = (up, down, unknown);
        for kit in self.kits.iter().filter(|kit| kit.vouched_by.is_none()) {
            self.warnings.push(format!(
                "the signer of {}/kit.json is not confirmed here ({}), so its list of devices may be forged: compare the signer by phone and give --signer",
                kit.path.display(),
                kit.signer
            ));
        }
    }

    /// Number of devices, whether they are listed or not.
    pub(super) fn devices(&self) -> usize {
        self.done + self.rolled_back + self.outstanding + self.unverified
    }

    /// `3 of 5 devices done, 1 rolled back, 1 outstanding`.
    pub(super) fn summary(&self) -> String {
        let mut text = format!("{} of {} done", self.done, count(self.devices(), "device"));
        if self.tunnels.source.is_some() {
            let _ = write!(text, " ({} with the tunnel seen up)", self.confirmed);
        }
        let others = [
            (self.rolled_back, "rolled back"),
            (self.outstanding, "outstanding"),
            (self.unverified, "with a last claim that does not verify"),
        ];
        for (number, what) in others.into_iter().filter(|(number, _)| *number > 0) {
            let _ = write!(text, ", {number} {what}");
        }
        text
    }

    /// The lines of the text that must be told also where the text is not shown.
    pub(super) fn not_to_overlook(&self) -> impl Iterator<Item = String> {
        let refusals = self.receipts.iter().filter_map(|receipt| {
            let refusal = receipt.refusal.as_ref()?;
            let path = receipt.path.display();
            Some(format!("{path}: refused ({}): {}", refusal.reason, refusal.message))
        });
        let note = self.tunnels.note_text().map(|note| format!("tunnels {note}"));
        self.warnings.iter().cloned().chain(refusals).chain(note)
    }

    pub(super) fn text(&self) -> String {
        let mut page = Page::default();
        let _ = writeln!(page, "{}", self.summary());
        let tunnels = [self.tunnels.heading(), self.tunnels.note_text()];
        tunnels.iter().flatten().for_each(|line| page.note("  tunnels ", line));
        if !self.results.is_empty() {
            let headings = ["device", "UUID", "state", "when (its clock)", "tunnel"];
            let columns = headings.len() - usize::from(self.tunnels.source.is_none());
            let mut table =
                Table::with_headings(headings.get(..columns).unwrap_or(&headings)).flexible(&[0]);
            for device in &self.results {
                let cells = [
                    device.name(),
                    device.device.uuid.short().to_owned(),
                    device.status.word().to_owned(),
                    device.ended_at.map_or_else(String::new, |time| time.to_string()),
                    device.tunnel_text().to_owned(),
                ];
                table.row(cells.into_iter().take(columns));
            }
            let _ = write!(page, "\n{}", table.text());
        }
        let refused: Vec<_> =
            self.receipts.iter().filter(|receipt| receipt.refusal.is_some()).collect();
        if !refused.is_empty() {
            let _ = writeln!(page, "\nDo not verify: {}", count(refused.len(), "receipt"));
        }
        for receipt in refused {
            page.push(&wrapped("  ", &printable_path(&receipt.path)));
            let Some(refusal) = &receipt.refusal else { continue };
            page.note("    ", &format!("refused ({}): {}", refusal.reason, refusal.message));
            page.notes("    next: ", &refusal.next);
        }
        let others = self.receipts.iter().filter(|r| !r.listed && r.refusal.is_none()).count();
        if others > 0 {
            let are = if others == 1 { "is" } else { "are" };
            let _ = writeln!(
                page,
                "\n{} {are} about devices that these kits are not for",
                count(others, "receipt")
            );
        }
        page.push(&warnings_text(&self.warnings));
        if let Some(html) = &self.html {
            let _ = writeln!(page, "\npage for the change ticket: {}", printable_path(html));
        }
        page.push("\nA receipt is a claim by a holder of the device's key, which the FMC is, too.\nThe tunnel seen up at the FMC is the proof (sftunnel_status.pl).\n");
        if self.results.iter().any(|d| matches!(d.seen, Some(When::Before | When::Undated))) {
            page.push("Output from before the claim, or without a time, proves nothing: leave\n--status-file out on the FMC, or save it anew.\n");
        }
        page.text()
    }

    /// RFC 4180, one line for each device.
    pub(super) fn csv(&self) -> String {
        let mut text =
            "device,uuid,manager,status,tunnel,confirmed,ended_at,certificate_sha256,bundle_id,signer,reason\r\n"
                .to_owned();
        for device in &self.results {
            let optional = |value: Option<&dyn std::fmt::Display>| {
                value.map_or_else(String::new, ToString::to_string)
            };
            let cells = [
                device.name(),
                device.device.uuid.to_string(),
                device.manager.to_string(),
                device.status.word().replace(' ', "-"),
                device.tunnel.map_or("", Tunnel::word).to_owned(),
                device.confirmed.to_string(),
                optional(device.ended_at.as_ref().map(|value| value as _)),
                optional(device.certificate.as_ref().map(|value| value as _)),
                optional(device.bundle_id.as_ref().map(|value| value as _)),
                optional(device.signer.as_ref().map(|value| value as _)),
                optional(device.refusal.as_ref().map(|refusal| &refusal.reason as _)),
            ];
            let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

/// A spreadsheet takes a cell that begins with one of these for a formula, and names are
/// foreign text.
fn csv_cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    let text = format!("{guard}{text}");
    if text.contains([',', ';', '"', '\'', ' ']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_a_cell() {
        assert_eq!(csv_cell("ftd-1"), "ftd-1");
        assert_eq!(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_cell("=HYPERLINK(1)"), "\"'=HYPERLINK(1)\"");
    }
}
