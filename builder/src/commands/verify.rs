//! `verify`: whether a kit or bundle is whole, whose it is, and who vouches for it.

mod view;

use std::path::Path;

use cli::ask::signer::{Claim, SignerCheck};
use cli::ask::unlock::{Unlocked, Unlocker};
use cli::kit::checks;
use cli::kit::folder::KitFolder;
use cli::say::exit::{Exit, Failure};
use cli::say::report::Report;
use formats::bundle::SignedBundle;
use formats::bundle::manifest::Manifest;
use formats::error::{Reason, Reasoned};
use formats::kit::BundleEntry;
use formats::seal::Identities;
use formats::signature::Fingerprint;

use self::view::{BundleView, KitView, VerifyBody};
use crate::Context;
use crate::args::VerifyArgs;
use crate::keys::signing_key;
use crate::kit::device_result::Refusal;
use crate::kit::parallel::in_order;
use crate::kit::source::{Loose, Outside, device_of, is_folder, picked};

/// Runs it.
///
/// # Errors
/// Wrong usage. What is wrong with a kit or bundle is a result.
pub(crate) fn run(args: &VerifyArgs, context: &Context) -> Result<Report, Failure> {
    let opens = args.open.is_given() || args.ask;
    let unlocker = match opens {
        true => Some(Unlocker::new(&args.open, &args.paths, &context.terminal)?),
        false => None,
    };
    let own = signing_key::own(&context.root);
    let ask = (!context.terminal.json).then_some(&context.terminal);
    let check = SignerCheck::new(&args.signer, own, ask)?;
    let mut run = Run { args, context, unlocker, check, kits: Vec::new(), results: Vec::new() };
    for path in &args.paths {
        if is_folder(path) { run.kit(path)? } else { run.bundle(path)? }
    }
    let refused = |refusal: &Option<Refusal>| refusal.as_ref().map(|refusal| refusal.reason);
    let reason = run
        .kits
        .iter()
        .find_map(|kit| refused(&kit.refusal))
        .or_else(|| run.results.iter().find_map(|bundle| refused(&bundle.refusal)));
    let exit = if reason.is_some() { Exit::Refused } else { Exit::Done };
    let body = VerifyBody { opened: opens, kits: run.kits, results: run.results };
    let text = body.text();
    Ok(Report::for_terminal(&context.terminal, &body, text).ending(exit, reason))
}

struct Run<'a> {
    args: &'a VerifyArgs,
    context: &'a Context,
    unlocker: Option<Unlocker<'a>>,
    check: SignerCheck<'a>,
    kits: Vec<KitView>,
    results: Vec<BundleView>,
}

/// What is left of an opened bundle: no key.
struct Opened {
    manifest: Manifest,
    /// Subject and clock, which count only once somebody vouches for the bundle.
    further: Result<(), Failure>,
}

impl Run<'_> {
    fn kit(&mut self, path: &Path) -> Result<(), Failure> {
        let kit = match KitFolder::open(path) {
            Ok(kit) => kit,
            Err(failure) => {
                self.kits.push(KitView::unreadable(path, Refusal::of(failure)));
                return Ok(());
            }
        };
        let mut view = KitView::of(&kit);
        let entries = match picked(&kit, &self.args.device) {
            Ok(entries) => entries,
            Err(failure) if failure.is_usage() => return Err(failure),
            Err(failure) => {
                view.refuse(failure);
                self.kits.push(view);
                return Ok(());
            }
        };
        match self.judge_kit(&kit, &mut view) {
            Ok(unlocked) => {
                let results = self.kit_bundles(&kit, &entries, unlocked.as_ref())?;
                self.results.extend(results);
            }
            Err(failure) if failure.is_refusal() => view.refuse(failure),
            Err(failure) => return Err(failure),
        }
        self.kits.push(view);
        Ok(())
    }

    /// Everything about a kit but what is in its bundles.
    fn judge_kit(
        &mut self,
        kit: &KitFolder,
        view: &mut KitView,
    ) -> Result<Option<Unlocked>, Failure> {
        view.checked(kit.check_all()?);
        let identity = kit.identity()?;
        view.passphrase = Some(identity.is_some());
        let unlocked = match &mut self.unlocker {
            Some(unlocker) => Some(unlocker.unlock(identity.as_ref())?),
            None => None,
        };
        let vouched = unlocked.as_ref().and_then(|unlocked| unlocked.vouched_signer);
        let is_handed_off = !kit.index().handoffs.is_empty();
        let subject = format!("{}/kit.json", kit.path().display());
        // the passphrase speaks for the signer of the bundles, who then is somebody else
        let claim = Claim::of_index(kit, &subject, vouched.filter(|_| !is_handed_off));
        let judged = self.check.require(claim);
        view.vouched_by = Some(judged.map_err(|failure| match is_handed_off {
            true => failure.hint(HANDED_OFF),
            false => failure,
        })?);
        Ok(unlocked)
    }

    fn kit_bundles(
        &mut self,
        kit: &KitFolder,
        entries: &[BundleEntry],
        unlocked: Option<&Unlocked>,
    ) -> Result<Vec<BundleView>, Failure> {
        let identities = unlocked.map(|unlocked| &unlocked.identities);
        let progress = self.context.terminal.progress("verifying", entries.len());
        let opened = in_order(entries, progress, |entry| {
            Ok(kit
                .bundle(entry)
                .and_then(|bytes| self.open(&bytes, identities, Some((kit, entry)))))
        })?;
        let mut results = Vec::with_capacity(entries.len());
        for (entry, opened) in entries.iter().zip(opened) {
            let path = kit.path().join(&entry.file);
            let outside = Outside { path, size: entry.size, sha256: entry.sha256 };
            let view =
                BundleView::new(outside, Some(kit.path().to_owned()), Some(device_of(entry)));
            let passphrase = unlocked.and_then(|unlocked| unlocked.vouched_signer);
            results.push(self.judged(view, opened, passphrase)?);
        }
        Ok(results)
    }

    fn bundle(&mut self, path: &Path) -> Result<(), Failure> {
        let loose = match Loose::read(path) {
            Ok(loose) => loose,
            Err(failure) => {
                self.results.push(BundleView::unreadable(path, Refusal::of(failure)));
                return Ok(());
            }
        };
        let Some(unlocker) = &mut self.unlocker else {
            let message = format!("{} can be verified only when it is opened", path.display());
            return Err(Failure::usage(message)
                .hint("give --identity FILE, --passphrase-file FILE (in a passphrase kit) or --ask; `inspect` shows its outside"));
        };
        let view = BundleView::new(loose.outside(path), None, None);
        let unlocked = match unlocker.unlock(loose.kit_identity.as_ref()) {
            Err(failure) if failure.is_refusal() => {
                self.results.push(view.refused(failure));
                return Ok(());
            }
            other => other?,
        };
        let opened = self.open(&loose.bytes, Some(&unlocked.identities), None);
        let view = self.judged(view, opened, unlocked.vouched_signer)?;
        self.results.push(view);
        Ok(())
    }

    /// Opens a bundle and checks what needs no trust; nothing, without identities.
    fn open(
        &self,
        bytes: &[u8],
        identities: Option<&Identities>,
        listed: Option<(&KitFolder, &BundleEntry)>,
    ) -> Result<Option<Opened>, Failure> {
        let Some(identities) = identities else { return Ok(None) };
        let subject = "the bundle";
        let bundle = SignedBundle::open(bytes, identities)
            .map_err(|error| Failure::of(subject, &error).or_hint(hint(error.reason())))?;
        if let Some((kit, entry)) = listed {
            kit.require_described(entry, bundle.manifest())?;
        }
        let further =
            checks::names_its_device(&bundle).and_then(|()| match self.args.accept_clock {
                true => Ok(()),
                false => checks::is_valid(&bundle, self.context.now),
            });
        Ok(Some(Opened { manifest: bundle.manifest().clone(), further }))
    }

    fn judged(
        &mut self,
        mut view: BundleView,
        opened: Result<Option<Opened>, Failure>,
        passphrase: Option<Fingerprint>,
    ) -> Result<BundleView, Failure> {
        let opened = match opened {
            Ok(None) => return Ok(view),
            Ok(Some(opened)) => opened,
            Err(failure) => return Ok(view.refused(failure)),
        };
        view.opened(&opened.manifest);
        let claim = Claim::of_bundle(&opened.manifest, "the bundle", passphrase);
        match self.check.require(claim) {
            Ok(vouch) => {
                view.vouched_by = Some(vouch);
                if let Err(failure) = opened.further {
                    return Ok(view.refused(failure));
                }
                view.status = "verified";
                Ok(view)
            }
            Err(failure) if failure.is_refusal() => Ok(view.refused(failure)),
            Err(failure) => Err(failure),
        }
    }
}

const HANDED_OFF: &str = "this kit was handed off: kit.json is signed by the team that handed it off, the bundles by the one that built it. Ask both by phone and give --signer for each";

fn hint(reason: Reason) -> &'static str {
    match reason {
        Reason::CannotOpen => {
            "give the --identity that it was sealed for; --device picks the bundles that are yours"
        }
        _ => "copy it again from where it was made; if it is damaged there, make the kit again",
    }
}
