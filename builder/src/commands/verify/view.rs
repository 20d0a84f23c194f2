//! The results of `verify` for people and JSON.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use cli::kit::folder::{CheckedFiles, KitFolder};
use cli::kit::words::{self, count};
use cli::say::failure::Failure;
use cli::say::page::wrapped;
use formats::bundle::manifest::{Manager, Manifest};
use formats::checksum::Sha256;
use formats::error::Reason;
use formats::kit::Handoff;
use formats::signature::{Fingerprint, SignerEntry};
use formats::text::{printable, printable_path};
use formats::timestamp::Timestamp;
use formats::trust::Vouch;
use serde::Serialize;

use crate::device_result::{DeviceRef, Refusal};

/// The JSON of `verify`.
#[derive(Debug, Serialize)]
pub(super) struct VerifyBody {
    /// True when something was given to open bundles with; without, only the outside of kits
    /// is verified.
    pub opened: bool,
    /// The kits, in the order of the command line.
    pub kits: Vec<KitVerdict>,
    /// The bundles: each kit's, and those named by themselves.
    pub results: Vec<BundleVerdict>,
}

/// One kit's entry in the JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct KitVerdict {
    pub path: PathBuf,
    /// `verified` or `refused`.
    pub status: &'static str,
    /// The reason of `refused`.
    #[serde(flatten)]
    pub refusal: Option<Refusal>,
    /// The manager of all its bundles; null when the index cannot be read.
    pub manager: Option<Manager>,
    /// The run of `generate_certs.pl`.
    pub batch: Option<u64>,
    pub created_at: Option<Timestamp>,
    /// The signer of the index.
    pub signer: Option<Fingerprint>,
    /// The signer of the first kit's index, when this one was handed off since.
    pub built_by: Option<SignerEntry>,
    /// The handoffs since, the oldest first, as the signer of the index says.
    pub handoffs: Vec<Handoff>,
    /// The reason to trust that signer: `named`, `own`, `passphrase`, `confirmed`.
    pub vouched_by: Option<Vouch>,
    /// True when it holds `kit.identity.age`.
    pub passphrase: Option<bool>,
    /// Files that SHA256SUMS lists, all of them as listed.
    pub files: Option<usize>,
    /// The size of these files together.
    pub bytes: Option<u64>,
    /// True when the signed index covers the scripts and texts as well.
    pub texts_signed: Option<bool>,
    /// Files and folders in it that belong to no kit.
    pub not_listed: Vec<String>,
    /// Files and folders that file systems and other machines leave behind.
    pub left_by_systems: Vec<String>,
    /// These three facts in words.
    #[serde(skip)]
    pub remarks: Vec<String>,
}

/// One bundle's entry in the JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct BundleVerdict {
    /// The file; size and digest are null when it cannot be read.
    pub path: PathBuf,
    pub size: Option<u64>,
    /// The digest of the sealed file.
    pub sha256: Option<Sha256>,
    /// The kit that it lies in; null for a bundle named by itself.
    pub kit: Option<PathBuf>,
    /// The device, where the kit's index or the opened manifest tells.
    pub device: Option<DeviceRef>,
    /// `verified`; `unopened`: as the kit's signed index lists it, its inside not looked
    /// at; or `refused`.
    pub status: &'static str,
    /// The reason of `refused`.
    #[serde(flatten)]
    pub refusal: Option<Refusal>,
    /// An identifier that is the same for the same content.
    pub bundle_id: Option<Sha256>,
    /// The signer of the bundle.
    pub signer: Option<Fingerprint>,
    /// The reason to trust that signer: `named`, `own`, `passphrase`, `confirmed`.
    pub vouched_by: Option<Vouch>,
    /// Last second of the device's certificate.
    pub certificate_not_after: Option<Timestamp>,
    /// Last second of the CA.
    pub ca_not_after: Option<Timestamp>,
}

impl KitVerdict {
    pub(super) fn of(kit: &KitFolder) -> Self {
        let index = kit.index();
        Self {
            path: kit.path().to_owned(),
            status: "verified",
            manager: Some(index.manager.clone()),
            batch: Some(index.batch),
            created_at: Some(index.created_at),
            signer: Some(kit.signer().fingerprint()),
            built_by: index.built_by,
            handoffs: index.handoffs.clone(),
            ..Self::default()
        }
    }

    pub(super) fn unreadable(path: &Path, refusal: Refusal) -> Self {
        Self { path: path.to_owned(), status: "refused", refusal: Some(refusal), ..Self::default() }
    }

    pub(super) fn checked(&mut self, checked: CheckedFiles) {
        (self.files, self.bytes) = (Some(checked.files), Some(checked.bytes));
        self.texts_signed = Some(checked.texts_signed);
        self.remarks = checked.remarks();
        (self.not_listed, self.left_by_systems) = (checked.not_listed, checked.left_by_systems);
    }

    pub(super) fn refuse(&mut self, failure: Failure) {
        (self.status, self.refusal) = ("refused", Some(Refusal::of(failure)));
    }
}

impl BundleVerdict {
    pub(super) fn new(
        (path, size, sha256): (PathBuf, u64, Sha256),
        kit: Option<PathBuf>,
        device: Option<DeviceRef>,
    ) -> Self {
        Self {
            path,
            size: Some(size),
            sha256: Some(sha256),
            kit,
            device,
            status: "unopened",
            ..Self::default()
        }
    }

    pub(super) fn unreadable(path: &Path, refusal: Refusal) -> Self {
        let (path, refusal) = (path.to_owned(), Some(refusal));
        Self { path, status: "refused", refusal, ..Self::default() }
    }

    pub(super) fn refused(mut self, failure: Failure) -> Self {
        (self.status, self.refusal) = ("refused", Some(Refusal::of(failure)));
        self
    }

    pub(super) fn opened(&mut self, manifest: &Manifest) {
        let (uuid, name) = (manifest.device.uuid.clone(), Some(manifest.device.name.clone()));
        self.device = Some(DeviceRef { uuid, name });
        self.bundle_id = Some(manifest.bundle_id);
        self.signer = Some(manifest.signer.fingerprint);
        self.certificate_not_after = Some(manifest.credentials.certificate.not_after);
        self.ca_not_after = Some(manifest.credentials.ca.not_after);
    }
}

impl VerifyBody {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for kit in &self.kits {
            text.push_str(&kit_text(kit));
            let bundles: Vec<&BundleVerdict> =
                self.results.iter().filter(|b| b.kit.as_ref() == Some(&kit.path)).collect();
            text.push_str(&bundles_text(&bundles));
        }
        for bundle in self.results.iter().filter(|bundle| bundle.kit.is_none()) {
            text.push_str(&loose_text(bundle));
        }
        text
    }
}

fn kit_text(kit: &KitVerdict) -> String {
    let mut text = format!("{}: {}\n", printable_path(&kit.path), kit.status);
    if let Some(manager) = &kit.manager {
        let _ = writeln!(text, "  manager      {}", manager.uuid);
    }
    if let (Some(batch), Some(created_at)) = (kit.batch, kit.created_at) {
        let _ = writeln!(text, "  batch        {batch}, made {created_at}");
    }
    text.push_str(&words::handoffs(kit.built_by, &kit.handoffs));
    if let (Some(files), Some(bytes)) = (kit.files, kit.bytes) {
        let _ = writeln!(text, "  checksums    {files} files, {bytes} bytes, all as listed");
    }
    for remark in &kit.remarks {
        text.push_str(&wrapped("  note: ", remark));
    }
    text.push_str(&signer_text(kit.signer, kit.vouched_by, kit.refusal.as_ref()));
    text.push_str(&refusal_text(kit.refusal.as_ref()));
    text
}

fn bundles_text(bundles: &[&BundleVerdict]) -> String {
    let of = |status: &str| bundles.iter().filter(|bundle| bundle.status == status).count();
    let mut text = String::new();
    let (verified, unopened) = (of("verified"), of("unopened"));
    if verified > 0 {
        let _ = writeln!(
            text,
            "  opened       {}, signature and content good",
            count(verified, "bundle")
        );
    }
    if unopened > 0 {
        let _ = writeln!(
            text,
            "  not opened   {}: only the outside is verified",
            count(unopened, "bundle")
        );
        text.push_str("               (--identity, --passphrase-file or --ask opens them)\n");
    }
    for bundle in bundles.iter().filter(|bundle| bundle.refusal.is_some()) {
        let device = bundle.device.as_ref().map_or_else(String::new, DeviceRef::shown);
        let _ = writeln!(text, "  {device}: refused");
        text.push_str(&refusal_text(bundle.refusal.as_ref()));
    }
    text
}

fn loose_text(bundle: &BundleVerdict) -> String {
    let mut text = format!("{}: {}\n", printable_path(&bundle.path), bundle.status);
    if let Some(device) = &bundle.device {
        let _ = writeln!(text, "  device       {}", device.shown());
    }
    if let (Some(certificate), Some(ca)) = (bundle.certificate_not_after, bundle.ca_not_after) {
        let _ = writeln!(text, "  valid to     {certificate}, its CA to {ca}");
    }
    text.push_str(&signer_text(bundle.signer, bundle.vouched_by, bundle.refusal.as_ref()));
    text.push_str(&refusal_text(bundle.refusal.as_ref()));
    text
}

fn signer_text(
    signer: Option<Fingerprint>,
    vouch: Option<Vouch>,
    refusal: Option<&Refusal>,
) -> String {
    let Some(signer) = signer else { return String::new() };
    let why = match vouch {
        Some(vouch) => words::vouch(vouch),
        None if refusal.is_some_and(|refusal| refusal.reason == Reason::UnknownSigner) => {
            "not confirmed"
        }
        None => "not judged",
    };
    format!("  signer       {signer}\n               ({why})\n")
}

fn refusal_text(refusal: Option<&Refusal>) -> String {
    let Some(refusal) = refusal else { return String::new() };
    let mut text = String::new();
    // the line breaks are ours
    for (at, line) in refusal.message.lines().enumerate() {
        let line = printable(line);
        text.push_str(&match at {
            0 => wrapped("    ", &format!("refused ({}): {line}", refusal.reason)),
            _ => wrapped("      ", &line.to_string()),
        });
    }
    for line in refusal.next.lines() {
        text.push_str(&wrapped("    next: ", &printable(line).to_string()));
    }
    text
}
