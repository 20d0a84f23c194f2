//! `inspect`: what a kit or bundle holds. Judges nothing, needs no box.

use std::path::Path;

use cli::ask::unlock::Unlocker;
use cli::disk::input::STDIN;
use cli::kit::folder::{KitFolder, identity_around, is_kit};
use cli::kit::words;
use cli::say::exit::{Exit, Failure};
use cli::say::page::{Table, wrap};
use cli::say::report::Report;
use formats::bundle::manifest::Manifest;
use formats::checksum::Sha256;
use formats::error::Reason;
use formats::kit::KitIndex;
use formats::text::{named, printable};
use serde::Serialize;

use super::Session;
use crate::args::InspectArgs;
use crate::candidate::source;

/// `sftunnel-install.inspect/1`.
#[derive(Debug, Serialize)]
struct InspectReport {
    /// One for each source.
    results: Vec<Inspected>,
}

/// One source.
#[derive(Debug, Serialize)]
struct Inspected {
    /// The path, or `standard input`.
    source: String,
    /// `kit` or `bundle`.
    kind: &'static str,
    /// The index of a kit; its signature fits the key that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    kit: Option<KitIndex>,
    /// Size of a bundle file.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    /// SHA-256 of a bundle file.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
    /// The manifests that could be opened; their signatures fit the keys that they name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    manifests: Vec<Manifest>,
    /// The bundles that could be opened, or should have been, and are not sound.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

/// A bundle of a kit that would be refused wherever it goes.
#[derive(Debug, Serialize)]
struct Problem {
    /// The bundle, in the kit.
    file: String,
    /// Why.
    reason: Reason,
    /// What was expected and what was found.
    message: String,
}

/// Runs it.
///
/// # Errors
/// The reason of whatever is wrong with a source.
pub(crate) fn run(session: &Session, args: &InspectArgs) -> Result<Report, Failure> {
    let open = &args.sources.open;
    let mut unlocker = match open.is_given() {
        true => Some(Unlocker::new(open, &args.sources.sources, &session.terminal)?),
        false => None,
    };
    let mut results = Vec::new();
    let mut text = String::new();
    for path in &args.sources.sources {
        let inspected = if path.as_os_str() != STDIN && is_kit(path) {
            inspect_kit(path, unlocker.as_mut())?
        } else {
            inspect_bundle(path, unlocker.as_mut())?
        };
        text.push_str(&describe(session, &inspected));
        results.push(inspected);
    }
    let mut problems = results.iter().flat_map(|inspected| &inspected.problems);
    let reason = problems.next().map(|problem| problem.reason);
    let exit = if reason.is_some() { Exit::Refused } else { Exit::Done };
    Ok(Report::done(&InspectReport { results }, text).ending(exit, reason))
}

fn inspect_kit(path: &Path, unlocker: Option<&mut Unlocker<'_>>) -> Result<Inspected, Failure> {
    let kit = KitFolder::open(path)?;
    let identity = kit.identity()?;
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    if let Some(unlocker) = unlocker {
        let unlocked = unlocker.unlock(identity.as_ref())?;
        for entry in &kit.index().bundles {
            let opened = kit.bundle(entry).and_then(|sealed| {
                let bundle = source::open_sealed(&entry.file, &sealed, &unlocked)?;
                kit.require_described(entry, bundle.manifest())?;
                Ok(bundle.manifest().clone())
            });
            match opened {
                Ok(manifest) => manifests.push(manifest),
                Err(failure) => match failure.reason() {
                    // a kit for several recipients: what this identity does not open is not shown
                    Some(Reason::CannotOpen) => {}
                    Some(reason) => {
                        let message = failure.into_message();
                        problems.push(Problem { file: entry.file.clone(), reason, message });
                    }
                    None => return Err(failure),
                },
            }
        }
    }
    let index = Some(kit.index().clone());
    Ok(Inspected {
        source: source::origin(path),
        kind: "kit",
        kit: index,
        size: None,
        sha256: None,
        manifests,
        problems,
    })
}

fn inspect_bundle(path: &Path, unlocker: Option<&mut Unlocker<'_>>) -> Result<Inspected, Failure> {
    let sealed = source::read_bundle(path)?;
    let source = source::origin(path);
    let identity = identity_around(path)?;
    let mut manifests = Vec::new();
    if let Some(unlocker) = unlocker {
        let unlocked = unlocker.unlock(identity.as_ref())?;
        manifests.push(source::open_sealed(&source, &sealed, &unlocked)?.manifest().clone());
    }
    let (size, sha256) = (Some(sealed.len() as u64), Some(Sha256::of(&sealed)));
    let problems = Vec::new();
    Ok(Inspected { source, kind: "bundle", kit: None, size, sha256, manifests, problems })
}

fn describe(session: &Session, inspected: &Inspected) -> String {
    let mut text = format!(
        "{} {}\n",
        if inspected.kind == "kit" { "Kit   " } else { "Bundle" },
        printable(&inspected.source)
    );
    if let Some(index) = &inspected.kit {
        text.push_str(&format!(
            "Manager   {}  {}\nMade      {} from batch {}\nSigner    {}\n          nobody was asked whether that key is to be trusted\n",
            index.manager.uuid,
            index.manager.hostname.shown(30),
            index.created_at,
            index.batch,
            index.signer.fingerprint
        ));
        let mut table = Table::with_headings(&["device", "UUID", "bytes"]);
        for entry in &index.bundles {
            let name = named(entry.device.name.as_str(), 60);
            table.row([name, entry.device.uuid.to_string(), entry.size.to_string()]);
        }
        text.push_str(&table.text());
    }
    if let (Some(size), Some(sha256)) = (inspected.size, inspected.sha256) {
        text.push_str(&format!("Size      {size} bytes\nSHA-256   {sha256}\n"));
        if inspected.manifests.is_empty() {
            text.push_str("It is sealed: --identity FILE, or the passphrase of its kit, shows what is in it.\n");
        }
    }
    for Problem { reason, message, .. } in &inspected.problems {
        text.push_str(&wrap("\nProblem   ", 10, &format!("({reason}) {}", printable(message))));
    }
    let now = session.host.now();
    for manifest in &inspected.manifests {
        text.push_str(&format!(
            "\nDevice    {}  {}\nManager   {}\nBundle id {}\nSigner    {}\nCA        {}\nCert      {}\n{}",
            manifest.device.uuid,
            named(manifest.device.name.as_str(), 60),
            manifest.manager.uuid,
            manifest.bundle_id,
            manifest.signer.fingerprint,
            words::validity(&manifest.credentials.ca, now),
            words::validity(&manifest.credentials.certificate, now),
            wrap("          ", 10, &printable(&manifest.credentials.certificate.subject).to_string()),
        ));
    }
    text
}
