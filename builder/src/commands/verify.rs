//! `verify`: checks that a kit or bundle is whole, and tells whose it is and who vouches for it.

mod view;

use std::path::Path;

use cli::ask::signer::{Claim, SignerCheck};
use cli::ask::unlock::{Unlocked, Unlocker};
use cli::kit::folder::KitFolder;
use cli::kit::source::{BundleFile, Source, is_folder};
use cli::kit::validity;
use cli::say::exit::Exit;
use cli::say::failure::Failure;
use cli::say::report::Report;
use formats::bundle::SignedBundle;
use formats::checksum::Sha256;
use formats::device::ManagerUuid;
use formats::kit::{self, BundleEntry};
use formats::signature::Fingerprint;
use formats::trust::Vouch;

use self::view::{BundleVerdict, KitVerdict, VerifyBody};
use crate::Context;
use crate::args::VerifyArgs;
use crate::device_result::Refusal;
use crate::fmc::by_name::expand;
use crate::keys::signing_key;
use crate::kit::parallel::in_order;
use crate::kit::source::{device_of, open, picked};

/// Verifies kits and bundles. A fault of one is a result; only wrong usage is an error.
pub(crate) fn run(args: &VerifyArgs, context: &Context) -> Result<Report, Failure> {
    let opens = args.open.is_given() || args.ask;
    let unlocker = match opens {
        true => Some(Unlocker::new(&args.open, &args.paths, &context.terminal)?),
        false => None,
    };
    let own = signing_key::own(&context.root);
    let ask = (!context.terminal.json).then_some(&context.terminal);
    let check = SignerCheck::new(&args.signer, own, ask)?;
    let wanted = expand(&args.device)?;
    let mut run =
        VerifyRun { args, context, wanted, unlocker, check, kits: Vec::new(), results: Vec::new() };
    for path in &args.paths {
        match Source::open(path) {
            Ok(Source::Kit(kit)) => run.kit(&kit)?,
            Ok(Source::Bundle(bundle)) => run.bundle(&bundle)?,
            Err(failure) => run.unreadable(path, failure),
        }
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

struct VerifyRun<'a> {
    args: &'a VerifyArgs,
    context: &'a Context,
    /// `--device`, with the files that it names read.
    wanted: Vec<String>,
    unlocker: Option<Unlocker<'a>>,
    check: SignerCheck<'a>,
    kits: Vec<KitVerdict>,
    results: Vec<BundleVerdict>,
}

/// The facts of an opened bundle that are judged later; no key, as there may be thousands.
struct Opened {
    manager: ManagerUuid,
    signer: Fingerprint,
    /// Subject and clock, which count only once somebody vouches for the bundle.
    further: Result<(), Failure>,
}

/// A bundle that was read as listed, and opened where something opens it.
type Read = (BundleVerdict, Result<Option<Opened>, Failure>);

impl VerifyRun<'_> {
    fn unreadable(&mut self, path: &Path, failure: Failure) {
        let refusal = Refusal::of(failure);
        match is_folder(path) {
            true => self.kits.push(KitVerdict::unreadable(path, refusal)),
            false => self.results.push(BundleVerdict::unreadable(path, refusal)),
        }
    }

    fn kit(&mut self, kit: &KitFolder) -> Result<(), Failure> {
        let mut view = KitVerdict::of(kit);
        match self.judge_kit(kit, &mut view) {
            Ok(results) => self.results.extend(results),
            Err(failure) if failure.is_refusal() => view.refuse(failure),
            Err(failure) => return Err(failure),
        }
        self.kits.push(view);
        Ok(())
    }

    /// The kit's files, each read once, before anybody is asked about its signer; then its bundles.
    fn judge_kit(
        &mut self,
        kit: &KitFolder,
        view: &mut KitVerdict,
    ) -> Result<Vec<BundleVerdict>, Failure> {
        let entries = picked(kit, &self.wanted)?;
        view.checked(kit.check_all_but(&entries)?);
        let identity = kit.identity()?;
        view.passphrase = Some(identity.is_some());
        let unlocked = match &mut self.unlocker {
            // what is damaged is said before what does not open
            Some(unlocker) => {
                Some(unlocker.unlock(identity.as_ref()).map_err(|met| kit.whole_failure(met))?)
            }
            None => None,
        };
        let read = self.read_bundles(kit, &entries, unlocked.as_ref())?;
        let vouched = unlocked.and_then(|unlocked| unlocked.vouched_signer);
        view.vouched_by = Some(self.index_signer(kit, vouched)?);
        read.into_iter().map(|(view, opened)| self.judged(view, opened, vouched)).collect()
    }

    fn read_bundles(
        &self,
        kit: &KitFolder,
        entries: &[BundleEntry],
        unlocked: Option<&Unlocked>,
    ) -> Result<Vec<Read>, Failure> {
        let progress = self.context.terminal.progress("verifying", entries.len());
        let read = in_order(entries, progress, |entry| {
            let sealed = kit.bundle(entry)?;
            let outside = (kit.path().join(&entry.file), entry.size, entry.sha256);
            let view =
                BundleVerdict::new(outside, Some(kit.path().to_owned()), Some(device_of(entry)));
            Ok(match unlocked {
                Some(unlocked) => {
                    self.opened(view, open(kit, entry, &sealed, &unlocked.identities))
                }
                None => (view, Ok(None)),
            })
        });
        read.map_err(|met| kit.whole_failure(met))
    }

    fn index_signer(
        &mut self,
        kit: &KitFolder,
        passphrase: Option<Fingerprint>,
    ) -> Result<Vouch, Failure> {
        let is_handed_off = !kit.index().handoffs.is_empty();
        let subject = format!("{}/{}", kit.path().display(), kit::INDEX);
        // the passphrase speaks for the signer of the bundles, who then is somebody else
        let claim = kit.claim(&subject, passphrase.filter(|_| !is_handed_off));
        self.check.require(claim).map_err(|failure| match is_handed_off {
            true => failure.hint(HANDED_OFF),
            false => failure,
        })
    }

    fn bundle(&mut self, file: &BundleFile) -> Result<(), Failure> {
        let Some(unlocker) = &mut self.unlocker else {
            let message = format!("{} can be verified only when it is opened", file.path.display());
            return Err(Failure::usage(message)
                .hint("give --identity FILE, --passphrase-file FILE (in a passphrase kit) or --ask; `inspect` shows its outside"));
        };
        let outside = (file.path.clone(), file.sealed.len() as u64, Sha256::of(&file.sealed));
        let view = BundleVerdict::new(outside, None, None);
        let unlocked = match unlocker.unlock(file.kit_identity.as_ref()) {
            Err(failure) if failure.is_refusal() => {
                self.results.push(view.refused(failure));
                return Ok(());
            }
            other => other?,
        };
        let (view, opened) = self.opened(view, file.open(&unlocked.identities));
        let view = self.judged(view, opened, unlocked.vouched_signer)?;
        self.results.push(view);
        Ok(())
    }

    /// Checks what needs no trust.
    fn opened(&self, mut view: BundleVerdict, opened: Result<SignedBundle, Failure>) -> Read {
        let bundle = match opened {
            Ok(bundle) => bundle,
            Err(failure) => return (view, Err(failure)),
        };
        let further =
            validity::names_its_device(&bundle).and_then(|()| match self.args.accept_clock {
                true => Ok(()),
                false => validity::is_valid(&bundle, self.context.now),
            });
        let manifest = bundle.manifest();
        view.opened(manifest);
        let (manager, signer) = (manifest.manager.uuid.clone(), bundle.fingerprint());
        (view, Ok(Some(Opened { manager, signer, further })))
    }

    fn judged(
        &mut self,
        mut view: BundleVerdict,
        opened: Result<Option<Opened>, Failure>,
        passphrase: Option<Fingerprint>,
    ) -> Result<BundleVerdict, Failure> {
        let Opened { manager, signer, further } = match opened {
            Ok(None) => return Ok(view),
            Ok(Some(opened)) => opened,
            Err(failure) => return Ok(view.refused(failure)),
        };
        let subject = view.path.display().to_string();
        let claim = Claim { subject: &subject, manager: &manager, signer, pinned: &[], passphrase };
        match self.check.require(claim) {
            Ok(vouch) => {
                view.vouched_by = Some(vouch);
                if let Err(failure) = further {
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
