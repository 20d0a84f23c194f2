//! `inspect` in both programs: shows the statements of kits and bundles about themselves, and makes
//! no verdict on their signers.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use formats::bundle::SignedBundle;
use formats::bundle::manifest::{Manager, Manifest};
use formats::checksum::Sha256;
use formats::error::Reason;
use formats::kit::{BundleEntry, DeviceEntry, Handoff, InstallerEntry, Source as From, TextEntry};
use formats::seal::{Encoding, Identities, encoding_of};
use formats::signature::SignerEntry;
use formats::text::{named, printable, printable_path};
use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::ask::unlock::{OpenArgs, Unlocker};
use crate::kit::folder::KitFolder;
use crate::kit::source::{BundleFile, Source};
use crate::kit::words::{self, count};
use crate::say::exit::Exit;
use crate::say::failure::Failure;
use crate::say::page::{Table, wrapped};
use crate::say::report::Report;
use crate::say::terminal::Terminal;

/// An inspection of the named sources, with the secrets that were given.
#[derive(Debug)]
pub struct Inspector<'a> {
    terminal: &'a Terminal,
    unlocker: Option<Unlocker<'a>>,
    found: Inspection,
}

/// JSON of `inspect`.
#[derive(Debug, Default, Serialize)]
struct Inspection {
    /// Kits, in the order of the command line.
    kits: Vec<IndexView>,
    /// Bundles: those of each kit, then those named by themselves.
    bundles: Vec<BundleView>,
}

/// A kit, as its signed index describes it. Nobody has vouched for the signer.
#[derive(Debug, Serialize)]
struct IndexView {
    path: PathBuf,
    manager: Manager,
    batch: u64,
    /// Source of the list of devices; absent when a FAILED_PUSH listed them.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<From>,
    created_at: Timestamp,
    /// Signer of the index.
    signer: SignerEntry,
    /// Signer of the first kit's index, if this one was handed off since.
    built_by: Option<SignerEntry>,
    /// Handoffs since, the oldest first, as the signer of the index states them.
    handoffs: Vec<Handoff>,
    /// True if it holds `kit.identity.age`.
    passphrase: bool,
    /// Number of bundles.
    bundles: usize,
    installers: Vec<InstallerEntry>,
    /// Other files that the index covers.
    texts: Vec<TextEntry>,
}

/// A bundle, opened or not.
#[derive(Debug, Serialize)]
pub struct BundleView {
    path: PathBuf,
    size: u64,
    sha256: Sha256,
    /// `age`, or `age-armor` for the text form.
    encoding: &'static str,
    /// Device, if the kit's index or the opened manifest tells.
    device: Option<DeviceEntry>,
    /// Signed manifest; null when the bundle was not opened.
    manifest: Option<Manifest>,
    /// Reason why it could not be read or opened; absent when it could, or no secret was given.
    #[serde(flatten)]
    problem: Option<Unusable>,
    #[serde(skip)]
    in_kit: bool,
}

/// A reason for which every device would refuse a bundle.
#[derive(Debug, Serialize)]
struct Unusable {
    reason: Reason,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<'a> Inspector<'a> {
    /// Reads the secrets that are named, and asks for none.
    ///
    /// # Errors
    /// Like [`Unlocker::new`].
    pub fn new(
        open: &'a OpenArgs,
        sources: &[PathBuf],
        terminal: &'a Terminal,
    ) -> Result<Self, Failure> {
        let unlocker = match open.is_given() {
            true => Some(Unlocker::new(open, sources, terminal)?),
            false => None,
        };
        Ok(Self { terminal, unlocker, found: Inspection::default() })
    }

    /// Inspects one source. Of a kit, `each` applies the given function to every wanted entry.
    ///
    /// # Errors
    /// Fails when the source cannot be read at all, or the passphrase does not open it.
    pub fn look(
        &mut self,
        path: &Path,
        each: impl FnOnce(
            &KitFolder,
            &(dyn Fn(&BundleEntry) -> BundleView + Sync),
        ) -> Result<Vec<BundleView>, Failure>,
    ) -> Result<(), Failure> {
        let source = Source::open(path)?;
        let kit_identity = source.kit_identity()?;
        let unlocked = match &mut self.unlocker {
            Some(unlocker) => Some(unlocker.unlock(kit_identity.as_ref())?),
            None => None,
        };
        let identities = unlocked.as_ref().map(|unlocked| &unlocked.identities);
        match source {
            Source::Kit(kit) => {
                let look = |entry: &BundleEntry| BundleView::of_entry(&kit, entry, identities);
                self.found.bundles.extend(each(&kit, &look)?);
                self.found.kits.push(IndexView::of(&kit, kit_identity.is_some()));
            }
            Source::Bundle(bundle) => {
                self.found.bundles.push(BundleView::of_file(bundle, identities));
            }
        }
        Ok(())
    }

    /// Makes the report: a refusal if a bundle is not sound.
    pub fn report(self, now: Timestamp) -> Report {
        let reason = self.found.bundles.iter().find_map(BundleView::unsound);
        let exit = if reason.is_some() { Exit::Refused } else { Exit::Done };
        let text = self.found.text(now);
        Report::for_terminal(self.terminal, &self.found, text).ending(exit, reason)
    }
}

impl IndexView {
    fn of(kit: &KitFolder, passphrase: bool) -> Self {
        let index = kit.index();
        Self {
            path: kit.path().to_owned(),
            manager: index.manager.clone(),
            batch: index.batch,
            source: index.source,
            created_at: index.created_at,
            signer: index.signer,
            built_by: index.built_by,
            handoffs: index.handoffs.clone(),
            passphrase,
            bundles: index.bundles.len(),
            installers: index.installers.clone(),
            texts: index.texts.clone(),
        }
    }
}

impl BundleView {
    fn of_entry(kit: &KitFolder, entry: &BundleEntry, identities: Option<&Identities>) -> Self {
        let view = Self {
            path: kit.path().join(&entry.file),
            size: entry.size,
            sha256: entry.sha256,
            encoding: "age",
            device: Some(entry.device.clone()),
            manifest: None,
            problem: None,
            in_kit: true,
        };
        match kit.bundle(entry) {
            Ok(sealed) => {
                view.with(&sealed, identities.map(|all| kit.open_bundle(entry, &sealed, all)))
            }
            Err(failure) => view.refused(failure),
        }
    }

    fn of_file(bundle: BundleFile, identities: Option<&Identities>) -> Self {
        let opened = identities.map(|identities| bundle.open(identities));
        let view = Self {
            path: bundle.path,
            size: bundle.sealed.len() as u64,
            sha256: Sha256::of(&bundle.sealed),
            encoding: "age",
            device: None,
            manifest: None,
            problem: None,
            in_kit: false,
        };
        view.with(&bundle.sealed, opened)
    }

    fn with(mut self, sealed: &[u8], opened: Option<Result<SignedBundle, Failure>>) -> Self {
        if let Ok(Encoding::Armored) = encoding_of(sealed) {
            self.encoding = "age-armor";
        }
        match opened {
            None => self,
            Some(Ok(bundle)) => {
                let manifest = bundle.manifest().clone();
                let (uuid, name) = (manifest.device.uuid.clone(), manifest.device.name.clone());
                Self { device: Some(DeviceEntry { uuid, name }), manifest: Some(manifest), ..self }
            }
            Some(Err(failure)) => self.refused(failure),
        }
    }

    fn refused(self, failure: Failure) -> Self {
        let problem = Unusable {
            // an I/O error without a word of its own
            reason: failure.reason().unwrap_or(Reason::CannotRead),
            message: failure.message().to_owned(),
            next: failure.next_step().map(str::to_owned),
        };
        Self { problem: Some(problem), ..self }
    }

    /// Returns true if it was sealed for others: a kit may have several recipients.
    fn is_for_others(&self) -> bool {
        let reason = self.problem.as_ref().map(|problem| problem.reason);
        self.in_kit && reason == Some(Reason::CannotOpen)
    }

    fn unsound(&self) -> Option<Reason> {
        self.problem.as_ref().filter(|_| !self.is_for_others()).map(|problem| problem.reason)
    }
}

impl Inspection {
    fn text(&self, now: Timestamp) -> String {
        let mut text = String::new();
        for kit in &self.kits {
            let of_kit = |bundle: &&BundleView| bundle.path.starts_with(&kit.path);
            let bundles: Vec<_> = self.bundles.iter().filter(of_kit).collect();
            text.push_str(&kit_text(kit, &bundles));
        }
        for bundle in &self.bundles {
            let is_told = bundle.manifest.is_some() || bundle.unsound().is_some();
            if !bundle.in_kit || is_told {
                text.push_str(&bundle_text(bundle, now));
            }
        }
        text
    }
}

fn kit_text(kit: &IndexView, bundles: &[&BundleView]) -> String {
    let archs: Vec<&str> = kit.installers.iter().map(|entry| entry.arch.as_str()).collect();
    let archs = if archs.is_empty() { "none".to_owned() } else { archs.join(", ") };
    let opened = if kit.passphrase { "a passphrase (kit.identity.age)" } else { "an identity" };
    let mut text = format!(
        "kit {}\n  manager      {}\n  batch        {}\n  made         {}\n{}  signer       {}\n               (not confirmed: `verify` checks it)\n  opened by    {opened}\n  installers   {archs}\n  holds        {}\n",
        printable_path(&kit.path),
        words::manager(&kit.manager),
        kit.batch,
        kit.created_at,
        words::handoffs(kit.built_by, &kit.handoffs),
        kit.signer.fingerprint,
        count(kit.bundles, "bundle"),
    );
    let others = bundles.iter().filter(|bundle| bundle.is_for_others()).count();
    if others > 0 {
        let _ = writeln!(text, "  not opened   {}: sealed for others", count(others, "bundle"));
    }
    let mut table = Table::with_headings(&["device", "UUID", "bytes"]).flexible(&[0]);
    for bundle in bundles {
        let Some(device) = &bundle.device else { continue };
        table.row([
            printable(device.name.as_str()).to_string(),
            device.uuid.to_string(),
            bundle.size.to_string(),
        ]);
    }
    text + &table.text()
}

fn bundle_text(bundle: &BundleView, now: Timestamp) -> String {
    let form = if bundle.encoding == "age" { "an age file" } else { "an age file, as text" };
    let mut text = wrapped("\nbundle ", &printable_path(&bundle.path));
    let _ = writeln!(text, "  {form}, {} bytes", bundle.size);
    let _ = writeln!(text, "  SHA-256      {}", bundle.sha256);
    if let Some(problem) = &bundle.problem {
        let _ = writeln!(text, "  problem      {}", problem.reason);
        text.push_str(&wrapped("    ", &printable(&problem.message).to_string()));
    } else if let Some(manifest) = &bundle.manifest {
        text.push_str(&manifest_text(manifest, now));
    } else {
        text.push_str("  not opened: give --identity FILE or --passphrase-file FILE\n");
    }
    text
}

fn manifest_text(manifest: &Manifest, now: Timestamp) -> String {
    let Manifest { device, manager, credentials, .. } = manifest;
    let mut text = String::new();
    let name = named(device.name.as_str(), 40);
    let _ = writeln!(text, "  device       {name} {}", device.address.shown(24));
    let _ = writeln!(text, "               {}", device.uuid);
    let _ = writeln!(text, "  manager      {}", words::manager(manager));
    let _ = writeln!(text, "  batch        {}, made {}", manifest.batch, manifest.created_at);
    let _ = writeln!(text, "  bundle id    {}", manifest.bundle_id);
    let _ = writeln!(text, "  signer       {}", manifest.signer.fingerprint);
    text.push_str("               (not confirmed: `verify` checks it)\n");
    for (what, facts) in [("CA", &credentials.ca), ("certificate", &credentials.certificate)] {
        let subject = printable(&facts.subject).to_string();
        text.push_str(&wrapped(&format!("  {what:<11}  "), &subject));
        let _ = writeln!(text, "               {}", words::validity(facts, now));
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
