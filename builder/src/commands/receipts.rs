//! `receipts`: what devices say was done, against the manager's CA and its tunnels.
//!
//! A receipt is a claim by a holder of the device's key, and the manager that made the key
//! holds it too. The tunnel seen up at the manager is the proof.

mod html;
mod remembered;
mod standing;
mod view;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use cli::ask::paste::{self, Paste};
use cli::ask::signer::SignerCheck;
use cli::disk::input;
use cli::kit::folder::{KitFolder, is_called_a_receipt};
use cli::kit::locate::is_kit;
use cli::say::exit::Exit;
use cli::say::failure::Failure;
use cli::say::report::Report;
use formats::armor;
use formats::checksum::Sha256;
use formats::cisco::facts::{BATCHES, CA, FAILED_PUSH};
use formats::cisco::failed_push::FailedPush;
use formats::credentials::Certificate;
use formats::device::{CredentialFile, DeviceUuid, ManagerUuid};
use formats::error::{Reason, Reasoned};
use formats::limits;
use formats::receipt::{self, Outcome, ReceiptError, SignedReceipt};

use self::remembered::Store;
use self::standing::{Authority, CheckedClaim, Standing, check_claims, last};
use self::view::{AuthorityView, DeviceView, KitView, ReceiptView, ReceiptsBody};
use crate::Context;
use crate::args::ReceiptsArgs;
use crate::device_result::{DeviceRef, Refusal};
use crate::fmc::belief::Belief;
use crate::fmc::status_source::{self, Answer, Output, TunnelsView};
use crate::fmc::tunnel_status::{self, Names, Seen, Tunnel};
use crate::keys::signing_key;

/// Two receipts for each bundle of the largest kit, and as many again for rollbacks.
const MOST_RECEIPTS: usize = 4 * limits::KIT_BUNDLES;

/// Checks receipts against kits, CAs and tunnels. A fault of a receipt is a result, not an error.
pub(crate) fn run(args: &ReceiptsArgs, context: &Context) -> Result<Report, Failure> {
    let mut gathered = Gathered::default();
    for path in &args.paths {
        gathered.add(path)?;
    }
    if gathered.kits.is_empty() && gathered.files.is_empty() {
        let paths: Vec<_> = args.paths.iter().map(|path| path.display().to_string()).collect();
        let message = format!("{}: there is no kit and no receipt", paths.join(", "));
        return Err(Failure::refused(Reason::NotFound, message).hint(
            "name the kit's own folder (sftunnel-kit-...), or one with receipt_*.json files",
        ));
    }
    gathered.add_remembered(context);
    let (authorities, views) = authorities(&args.ca, context)?;
    let mut body = ReceiptsBody {
        checked_at: context.now,
        kits: gathered.kit_views(args, context)?,
        ca: views,
        ..ReceiptsBody::default()
    };
    let (checked, verified) = gathered.check(&authorities, &mut body);
    if !args.no_remember {
        body.warnings.extend(remember(&verified, context));
    }
    let asked = status_source::ask(&args.status, context)?;
    let addresses = addresses(&gathered.kits, context);
    let names = gathered.names(&addresses);
    body.tunnels = TunnelsView::of(&asked);
    let seen = match &asked {
        Answer::Printed(output) => Some((output, tunnel_status::read(&output.text, &names).of)),
        Answer::Silent(_) | Answer::NotWanted => None,
    };
    body.results = gathered.devices(&checked, seen.as_ref());
    body.warnings.extend(gathered.warnings(&asked, &body.results));
    body.count();
    if let Some(path) = &args.html {
        html::write(path, &body)?;
        body.html = Some(path.clone());
    }
    if args.outstanding {
        body.results.retain(|device| device.status != Standing::Done);
    }
    let refused = body.receipts.iter().find_map(|receipt| Some(receipt.refusal.as_ref()?.reason));
    let exit = if refused.is_some() { Exit::Refused } else { Exit::Done };
    if args.csv || context.terminal.quiet && exit == Exit::Done {
        body.not_to_overlook().for_each(|line| context.terminal.warn(&line));
    }
    let text = if args.csv { body.csv() } else { body.text() };
    Ok(Report::for_terminal(&context.terminal, &body, text).ending(exit, refused))
}

/// Finds the devices that receipts show to run on credentials of the CA in use.
/// What is remembered here counts with those that are named; a damaged one is told, and no more.
pub(crate) fn done(paths: &[PathBuf], context: &Context) -> Result<HashSet<DeviceUuid>, Failure> {
    let mut gathered = Gathered::default();
    for path in paths {
        gathered.add(path)?;
    }
    gathered.add_remembered(context);
    gathered.damaged.iter().for_each(|damaged| context.terminal.warn(damaged));
    if gathered.files.is_empty() {
        return Ok(HashSet::new());
    }
    let authorities = match authorities(&[], context) {
        Ok((authorities, _)) => authorities,
        // nothing was asked for, and a CA that cannot be read is told as such
        Err(_) if paths.is_empty() => return Ok(HashSet::new()),
        Err(failure) => return Err(failure),
    };
    Ok(gathered.done(&authorities))
}

/// Finds the devices whose receipts in a kit show them to run on credentials of this CA.
pub(crate) fn done_under(kit: &Path, ca: Certificate) -> Result<HashSet<DeviceUuid>, Failure> {
    let mut gathered = Gathered::default();
    gathered.add(kit)?;
    let authority = Authority { certificate: ca, is_current: true };
    Ok(gathered.done(&[authority]))
}

/// A receipt that is pasted: as text, or the file as it is, which ends with a brace.
const RECEIPT: Paste =
    Paste { noun: "receipt", armor: armor::RECEIPT, ends: |line| line.trim_end() == "}" };

fn refusal(error: &ReceiptError) -> Refusal {
    let hint = match error.reason() {
        Reason::BadFormat => "name a receipt_*.json; copy it again if it should be one",
        Reason::Damaged => "copy it again, from its BEGIN line to its END line",
        _ => "copy it again from the device; if it is the same there, look at the device",
    };
    Refusal::of(Failure::refused(error.reason(), error).hint(hint))
}

/// Keeps receipts that were verified for later runs. Gives what to say when that does not work; a
/// machine that is no FMC has no place for them.
fn remember(verified: &[(Sha256, Vec<u8>)], context: &Context) -> Option<String> {
    if verified.is_empty() {
        return None;
    }
    let kept = Store::open(&context.root).and_then(|mut store| {
        verified.iter().try_for_each(|(claim, bytes)| store.keep(*claim, bytes))
    });
    match kept {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(format!(
            "the receipts are not remembered on this machine ({error}): give check the kit with --receipts, or run this as root on the FMC"
        )),
        Ok(()) => None,
    }
}

/// Digest of what a receipt claims: saved anew it is the same receipt, as who signed it is in the
/// claim.
fn digest(receipt: &SignedReceipt) -> Option<Sha256> {
    serde_json::to_vec(receipt.claim()).ok().map(|claim| Sha256::of(&claim))
}

/// Claims by device and manager.
type Claims = HashMap<(DeviceUuid, ManagerUuid), Vec<CheckedClaim>>;

/// A file that may be a receipt.
struct FoundReceipt {
    path: PathBuf,
    opened: Result<SignedReceipt, Refusal>,
    /// What was read; empty when it is from an earlier run, not from the command line.
    bytes: Vec<u8>,
}

/// Kits and receipt files, before any is checked.
#[derive(Default)]
struct Gathered {
    kits: Vec<KitFolder>,
    /// Each claim or unreadable content once, by its digest: a courier's copy is no second receipt.
    files: BTreeMap<Sha256, FoundReceipt>,
    /// Remembered ones that are not whole, in words.
    damaged: Vec<String>,
    found: usize,
}

impl Gathered {
    fn done(mut self, authorities: &[Authority]) -> HashSet<DeviceUuid> {
        let (checked, _) = self.check(authorities, &mut ReceiptsBody::default());
        let is_done =
            |claims: &Vec<CheckedClaim>| Standing::after(last(claims.iter())) == Standing::Done;
        let done = checked.into_iter().filter(|(_, claims)| is_done(claims));
        done.map(|((device, _), _)| device).collect()
    }

    fn warnings(&self, asked: &Answer, results: &[DeviceView]) -> Vec<String> {
        let mut warnings = self.damaged.clone();
        if let Answer::Printed(output) = asked
            && results.iter().all(|device| device.tunnel == Some(Tunnel::Unknown))
        {
            warnings.push(format!(
                "{} shows none of these devices, by UUID, name or address: every tunnel is unknown",
                output.path.display()
            ));
        }
        if self.kits.is_empty() {
            warnings.push(
                "no kit is named, so the list of devices is not known: name the kit's folder as well".to_owned(),
            );
        }
        warnings
    }

    fn add(&mut self, path: &Path) -> Result<(), Failure> {
        if is_kit(path) {
            self.kits.push(KitFolder::open(path)?);
            let beside = path.join(formats::kit::RECEIPTS);
            if beside.is_dir() { self.add_folder(&beside) } else { Ok(()) }
        } else if path.is_dir() {
            self.add_folder(path)
        } else {
            self.add_file(path)
        }
    }

    /// Files called as devices call them; a folder may hold other things.
    fn add_folder(&mut self, path: &Path) -> Result<(), Failure> {
        let entries =
            std::fs::read_dir(path).map_err(|error| Failure::io(path.display(), &error))?;
        let mut names: Vec<_> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name()))
            .filter(|name| is_called_a_receipt(name))
            .collect();
        names.sort();
        for name in names {
            self.add_file(&path.join(name))?;
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), Failure> {
        self.found += 1;
        if self.found > MOST_RECEIPTS {
            let message = format!("there are more than {MOST_RECEIPTS} receipts");
            return Err(Failure::refused(Reason::TooLarge, message)
                .hint("name fewer folders, and run this once for each"));
        }
        let bytes = match paste::read(path, &RECEIPT, limits::RECEIPT) {
            Ok(bytes) => bytes,
            // a name on the command line that is not there is a slip
            Err(failure) if failure.reason() == Some(Reason::NotFound) => return Err(failure),
            Err(failure) => {
                let key = Sha256::of(path.as_os_str().as_encoded_bytes());
                let opened = Err(Refusal::of(failure));
                let path = path.to_owned();
                self.files.insert(key, FoundReceipt { path, opened, bytes: Vec::new() });
                return Ok(());
            }
        };
        for found in receipt::found_in(&bytes) {
            let bytes = found.as_deref().unwrap_or(&bytes).to_owned();
            let opened = found.and_then(|found| SignedReceipt::from_person(&found));
            let key = opened.as_ref().ok().and_then(digest).unwrap_or_else(|| Sha256::of(&bytes));
            let opened = opened.map_err(|error| refusal(&error));
            let path = path.to_owned();
            self.files.entry(key).or_insert(FoundReceipt { path, opened, bytes });
        }
        Ok(())
    }

    /// Adds what earlier runs kept, after what the command line names.
    fn add_remembered(&mut self, context: &Context) {
        for (path, bytes) in remembered::read(&context.root) {
            let opened = match &bytes {
                Ok(bytes) => SignedReceipt::from_person(bytes).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            let keyed = opened.map(|receipt| (digest(&receipt), receipt));
            match keyed {
                Ok((Some(key), receipt)) => {
                    let found = FoundReceipt { path, opened: Ok(receipt), bytes: Vec::new() };
                    self.files.entry(key).or_insert(found);
                }
                Ok((None, _)) => {}
                Err(error) => self.damaged.push(format!(
                    "{}: a remembered receipt is damaged and does not count ({error}). Remove it, and read the device's receipt again with `receipts`",
                    path.display()
                )),
            }
        }
    }

    fn kit_views(&self, args: &ReceiptsArgs, context: &Context) -> Result<Vec<KitView>, Failure> {
        let own = signing_key::own(&context.root);
        let check = SignerCheck::new(&args.signer, own, None)?;
        let view = |kit: &KitFolder| {
            let index = kit.index();
            let claim = kit.claim("kit.json", None);
            KitView {
                path: kit.path().to_owned(),
                manager: index.manager.clone(),
                batch: index.batch,
                created_at: index.created_at,
                signer: claim.signer,
                vouched_by: check.without_asking(claim).ok().flatten(),
                devices: index.bundles.len(),
            }
        };
        Ok(self.kits.iter().map(view).collect())
    }

    /// Checks the receipts and lists each file; gives the claims by device and manager, and what of
    /// the command line verifies, with the digest of its claim.
    fn check(
        &mut self,
        authorities: &[Authority],
        body: &mut ReceiptsBody,
    ) -> (Claims, Vec<(Sha256, Vec<u8>)>) {
        let (mut origins, mut signed) = (Vec::new(), Vec::new());
        for (key, found) in std::mem::take(&mut self.files) {
            let FoundReceipt { path, opened, bytes } = found;
            match opened {
                Ok(receipt) => {
                    origins.push((path, key, bytes));
                    signed.push(receipt);
                }
                Err(refusal) => body.receipts.push(ReceiptView::unreadable(path, refusal)),
            }
        }
        let (mut by_device, mut verified) = (Claims::new(), Vec::new());
        for (origin, checked) in origins.into_iter().zip(check_claims(signed, authorities)) {
            let (path, key, bytes) = origin;
            let is_remembered = bytes.is_empty();
            let claim = &checked.claim;
            if is_remembered && checked.proof.is_err() && claim.outcome == Outcome::Installed {
                // from before the CA was renewed
                continue;
            }
            let is_listed = self.kits.iter().any(|kit| {
                kit.index().manager.uuid == claim.manager
                    && kit.index().bundle_for(&claim.device).is_some()
            });
            let device = (claim.device.clone(), claim.manager.clone());
            if !is_remembered && checked.proof.is_ok() {
                verified.push((key, bytes));
            }
            if !is_remembered || is_listed && checked.proof.is_ok() {
                body.receipts.push(ReceiptView::of(path, &checked, is_listed));
            }
            by_device.entry(device).or_default().push(checked);
        }
        body.receipts.sort_by(|one, two| one.path.cmp(&two.path));
        (by_device, verified)
    }

    /// Every device of the kits, each once for each manager.
    fn listed(&self) -> Vec<(&KitFolder, DeviceRef)> {
        let mut seen = HashSet::new();
        let mut listed = Vec::new();
        for kit in &self.kits {
            for entry in &kit.index().bundles {
                let uuid = &entry.device.uuid;
                if seen.insert((uuid, &kit.index().manager.uuid)) {
                    let name = Some(entry.device.name.clone());
                    listed.push((kit, DeviceRef { uuid: uuid.clone(), name }));
                }
            }
        }
        listed
    }

    fn names<'a>(&'a self, addresses: &'a HashMap<DeviceUuid, String>) -> Names<'a> {
        let mut names = Names::default();
        for entry in self.kits.iter().flat_map(|kit| &kit.index().bundles) {
            let uuid = &entry.device.uuid;
            let address = addresses.get(uuid).map(String::as_str);
            names.add(uuid, address, Some(entry.device.name.as_str()));
        }
        names
    }

    fn devices(
        &self,
        checked: &Claims,
        seen: Option<&(&Output, HashMap<&DeviceUuid, Seen>)>,
    ) -> Vec<DeviceView> {
        let view = |(kit, device): (&KitFolder, DeviceRef)| {
            let manager = kit.index().manager.uuid.clone();
            let claims = checked.get(&(device.uuid.clone(), manager.clone()));
            let last = last(claims.into_iter().flatten());
            let mut view =
                DeviceView::new(device, manager, kit.path(), Standing::after(last), last);
            view.claims = claims.map_or(0, Vec::len);
            if let Some((output, seen)) = seen {
                let seen = seen.get(&view.device.uuid).copied().unwrap_or_default();
                view.see(seen, output.source, last.map(|checked| &checked.claim));
            }
            view
        };
        self.listed().into_iter().map(view).collect()
    }
}

/// The CAs that receipts may be from; the one in use first.
fn authorities(
    named: &[PathBuf],
    context: &Context,
) -> Result<(Vec<Authority>, Vec<AuthorityView>), Failure> {
    let mut pems = Vec::new();
    match context.root.read(Path::new(CA), limits::PEM) {
        Ok(pem) => pems.push((context.root.outside(CA), pem)),
        Err(limits::LimitError::Io(error))
            if error.kind() == std::io::ErrorKind::NotFound && !named.is_empty() => {}
        Err(error) => {
            return Err(input::of_limit(&context.root.outside(CA), &error)
                .or_hint("run this as root on the FMC, or name its CA with --ca FILE"));
        }
    }
    for path in named {
        pems.push((path.clone(), input::read(path, limits::PEM)?));
    }
    let (mut authorities, mut views) = (Vec::new(), Vec::new());
    for (path, pem) in pems {
        let certificate = Certificate::as_found(&pem, CredentialFile::Ca)
            .map_err(|error| Failure::of(path.display(), &error))?;
        let is_current = authorities.is_empty();
        views.push(AuthorityView {
            path,
            fingerprint: certificate.facts().fingerprint,
            not_before: certificate.facts().not_before,
            current: is_current,
        });
        authorities.push(Authority { certificate, is_current });
    }
    Ok((authorities, views))
}

/// The devices' addresses, where the FAILED_PUSH of the kits' batches is still there: a kit
/// itself tells them only to who opens it.
fn addresses(kits: &[KitFolder], context: &Context) -> HashMap<DeviceUuid, String> {
    let read = |kit: &KitFolder| {
        let path = format!("{BATCHES}/{}/{FAILED_PUSH}", kit.index().batch);
        let belief = Belief { root: &context.root, accept: false };
        let list = BufReader::new(belief.open(Path::new(&path)).ok()?.file);
        Some(FailedPush::read(list, limits::FAILED_PUSH).ok()?.devices)
    };
    let devices = kits.iter().filter_map(read).flatten();
    devices.map(|device| (device.uuid, device.address)).collect()
}
