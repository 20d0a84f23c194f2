//! `deliver`: goes to the devices of a kit that a terminal reaches, and installs there.
//!
//! ```text
//! check the kit; open every bundle here, so that a wrong passphrase is found before anybody is
//! visited; match devices and table; show who is visited how, and ask
//! visit: some at a time, each with its own limit; receipts go into the kit as they come
//! ```

mod view;

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Duration;

use cli::ask::hidden_input::HiddenInput;
use cli::ask::question;
use cli::ask::signer::SignerCheck;
use cli::ask::unlock::{self, Unlocker};
use cli::disk::durable;
use cli::disk::input;
use cli::kit::folder::KitFolder;
use cli::say::exit::Exit;
use cli::say::failure::Failure;
use cli::say::report::Report;
use formats::checksum::Sha256;
use formats::error::Reason;
use formats::kit::{BundleEntry, RECEIPTS};
use formats::limits;
use formats::seal::Passphrase;
use formats::text::printable;
use rustix::fs::Mode;
use zeroize::Zeroizing;

use self::view::{DeliverBody, Delivered, Planned};
use crate::Context;
use crate::args::DeliverArgs;
use crate::commands::receipts;
use crate::deliver::error::Stop;
use crate::deliver::inventory::Inventory;
use crate::deliver::visit::{Luggage, Target, Visited, visit};
use crate::deliver::way;
use crate::device_result::{self, DeviceResult, Refusal};
use crate::keys::signing_key;
use crate::kit::parallel::in_order_by;
use crate::kit::source::{device_of, open, picked};

pub(crate) fn run(args: &DeliverArgs, context: &Context) -> Result<Report, Failure> {
    let inventory = match &args.reach.inventory {
        Some(path) => Inventory::read(path)?,
        None => Inventory::default(),
    };
    let kit = KitFolder::open(&args.kit)?;
    let entries = picked(&kit, &args.pick.device)?;
    kit.check_all_but(&entries)?;
    let mut opened = OpenedKit::of(args, context, &kit, entries)?;
    let others = inventory.others(|row| {
        opened.bundles.iter().any(|bundle| row.is_of(&bundle.entry, &bundle.address))
    });
    opened.skip_done(args, &kit)?;
    let planned = plan(args, &inventory, &opened)?;
    let mut body = DeliverBody::new(&kit, planned, opened.done.clone(), others);
    if args.visits.dry_run {
        let text = body.plan_text() + "\nDry run: no device was visited.\n";
        return Ok(Report::for_terminal(&context.terminal, &body, text));
    }
    confirm(args, context, &body)?;
    let password = password(args, context, &inventory, &opened)?;
    let luggage = luggage(args, context, &kit, &opened)?;
    let targets = targets(args, &inventory, opened, password)?;
    let records = Records::open(args, &kit)?;
    body.results = visit_all(args, &targets, &luggage, &records)?;
    let (exit, reason) = device_result::exit(&body.results);
    let exit =
        if exit == Exit::Refused && !body.done_before.is_empty() { Exit::Partly } else { exit };
    let text = body.text();
    Ok(Report::for_terminal(&context.terminal, &body, text).changed(true).ending(exit, reason))
}

/// A bundle, opened here.
struct OpenedBundle {
    entry: BundleEntry,
    sealed: Vec<u8>,
    address: String,
    signer: formats::signature::Fingerprint,
}

/// The kit's bundles and the secret that opens them.
struct OpenedKit {
    bundles: Vec<OpenedBundle>,
    secret: Zeroizing<String>,
    identity: Option<Vec<u8>>,
    ca: Option<formats::credentials::Certificate>,
    /// Devices that are done by their receipts.
    done: Vec<crate::device_result::DeviceRef>,
}

impl OpenedKit {
    fn of(
        args: &DeliverArgs,
        context: &Context,
        kit: &KitFolder,
        entries: Vec<BundleEntry>,
    ) -> Result<Self, Failure> {
        let sources = [args.kit.clone()];
        let mut unlocker = Unlocker::new(&args.open, &sources, &context.terminal)?;
        let identity = kit.identity()?;
        let unlocked = unlocker.unlock(identity.as_ref())?;
        let secret = match (unlocker.opened_with(), &identity) {
            (Some(passphrase), Some(_)) => Zeroizing::new(passphrase.expose().to_owned()),
            _ => identity_line(args)?,
        };
        let ask = (!context.terminal.json).then_some(&context.terminal);
        let own = signing_key::own(&context.root);
        let mut check = SignerCheck::new(&args.pick.signer, own, ask)?;
        let (mut bundles, mut ca) = (Vec::new(), None);
        for entry in entries {
            let sealed = kit.bundle(&entry)?;
            let bundle = open(kit, &entry, &sealed, &unlocked.identities)?;
            let bundle = check.vouch(&entry.file, bundle, &[], unlocked.vouched_signer)?;
            let address = bundle.manifest().device.address.as_str().to_owned();
            let signer = bundle.signer().fingerprint();
            ca.get_or_insert_with(|| bundle.credentials().ca().clone());
            bundles.push(OpenedBundle { entry, sealed, address, signer });
        }
        let identity = identity.map(|identity| identity.bytes);
        Ok(Self { bundles, secret, identity, ca, done: Vec::new() })
    }

    /// Leaves out the devices that are done by the receipts in the kit.
    fn skip_done(&mut self, args: &DeliverArgs, kit: &KitFolder) -> Result<(), Failure> {
        let Some(ca) = self.ca.clone() else { return Ok(()) };
        if args.visits.again || args.visits.only_check {
            return Ok(());
        }
        let done: HashSet<_> = receipts::done_under(kit.path(), ca)?;
        let is_done = |bundle: &OpenedBundle| done.contains(&bundle.entry.device.uuid);
        self.done = self
            .bundles
            .iter()
            .filter(|one| is_done(one))
            .map(|one| device_of(&one.entry))
            .collect();
        self.bundles.retain(|bundle| !is_done(bundle));
        Ok(())
    }
}

/// The identity that is pasted over there, from the file of `--identity`.
fn identity_line(args: &DeliverArgs) -> Result<Zeroizing<String>, Failure> {
    let no_line = || {
        Failure::usage("the devices have to open the bundles, and only a passphrase or an AGE-SECRET-KEY can be typed there")
            .hint("make a passphrase kit (`build`, `handoff --generate-passphrase`), or give --identity FILE with an AGE-SECRET-KEY-1...")
    };
    let [path] = &args.open.identity[..] else { return Err(no_line()) };
    let bytes = input::read_secret(path, limits::KEY_FILE)?;
    let text = input::decode(path.display(), &bytes)?;
    let line = text.lines().map(str::trim).find(|line| line.starts_with("AGE-SECRET-KEY-"));
    line.map(|line| Zeroizing::new(line.to_owned())).ok_or_else(no_line)
}

fn plan(
    args: &DeliverArgs,
    inventory: &Inventory,
    opened: &OpenedKit,
) -> Result<Vec<Planned>, Failure> {
    let one = |bundle: &OpenedBundle| {
        let command = way_to(args, inventory, bundle)?.command;
        Ok(Planned { device: device_of(&bundle.entry), command })
    };
    opened.bundles.iter().map(one).collect()
}

/// How one device is reached.
struct Way {
    command: Vec<String>,
    login: String,
    jump: Option<String>,
}

/// The command for a device, and its account.
fn way_to(
    args: &DeliverArgs,
    inventory: &Inventory,
    bundle: &OpenedBundle,
) -> Result<Way, Failure> {
    let row = inventory.row(&bundle.entry, &bundle.address);
    let login = row.and_then(|row| row.login.as_deref()).unwrap_or(&args.reach.login);
    let address = row.map_or(bundle.address.as_str(), |row| &row.address);
    let jump = row.and_then(|row| row.jump.as_deref()).or(args.reach.jump.as_deref());
    let via = row.and_then(|row| row.via.as_deref()).or(args.reach.via.as_deref());
    let command = way::command(via, login, address, jump)?;
    Ok(Way { command, login: login.to_owned(), jump: jump.map(str::to_owned) })
}

fn confirm(args: &DeliverArgs, context: &Context, body: &DeliverBody) -> Result<(), Failure> {
    if body.planned.is_empty() || args.visits.yes {
        return Ok(());
    }
    context.terminal.note(&body.plan_text());
    let number = body.planned.len();
    let question = match args.visits.only_check {
        true => format!("Log in to {number} devices and look?"),
        false => format!("Log in to {number} devices and install?"),
    };
    match question::confirm(&context.terminal, &question) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::refused(Reason::NotConfirmed, "no device was visited")),
        Err(_) => Err(Failure::refused(Reason::NotConfirmed, "there is no terminal to ask at")
            .hint("--yes goes on without the question; --dry-run shows the plan")),
    }
}

/// The password of devices whose row has none: from a file, or asked for once.
fn password(
    args: &DeliverArgs,
    context: &Context,
    inventory: &Inventory,
    opened: &OpenedKit,
) -> Result<Option<Passphrase>, Failure> {
    if let Some(path) = &args.reach.password_file {
        let bytes = input::read_secret(path, limits::KEY_FILE)?;
        return unlock::passphrase(&bytes).map(Some);
    }
    let has_own = |bundle: &OpenedBundle| {
        inventory.row(&bundle.entry, &bundle.address).is_some_and(|row| row.password.is_some())
    };
    if opened.bundles.iter().all(has_own) || !context.terminal.can_ask() {
        return Ok(None);
    }
    let typed = HiddenInput::begin()?.ask("Password of the account on the devices: ")?;
    Ok((typed.chars() > 0).then_some(typed))
}

fn luggage<'a>(
    args: &DeliverArgs,
    context: &'a Context,
    kit: &KitFolder,
    opened: &OpenedKit,
) -> Result<Luggage<'a>, Failure> {
    let mut installers = HashMap::new();
    for entry in &kit.index().installers {
        let mut program = Vec::new();
        let limit = entry.size.saturating_add(1);
        kit.installer(entry)?
            .take(limit)
            .read_to_end(&mut program)
            .map_err(|error| Failure::io(kit.path().join(&entry.file).display(), &error))?;
        if Sha256::of(&program) != entry.sha256 {
            return Err(kit.damaged(&entry.file, formats::kit::INDEX));
        }
        installers.insert(entry.arch.clone(), program);
    }
    Ok(Luggage {
        terminal: &context.terminal,
        installers,
        identity: opened.identity.clone(),
        secret: opened.secret.clone(),
        limit: Duration::from_secs(args.visits.time_limit),
        only_check: args.visits.only_check,
    })
}

fn targets(
    args: &DeliverArgs,
    inventory: &Inventory,
    opened: OpenedKit,
    password: Option<Passphrase>,
) -> Result<Vec<(crate::device_result::DeviceRef, Target)>, Failure> {
    let common = password.map(|password| Zeroizing::new(password.expose().to_owned()));
    let one = |bundle: OpenedBundle| {
        let Way { command, login, jump } = way_to(args, inventory, &bundle)?;
        let row = inventory.row(&bundle.entry, &bundle.address);
        let own = row.and_then(|row| row.password.clone());
        let device = device_of(&bundle.entry);
        let target = Target {
            uuid: bundle.entry.device.uuid.clone(),
            name: printable(bundle.entry.device.name.as_str()).to_string(),
            command,
            login,
            jump,
            password: own.or_else(|| common.clone()),
            bundle: bundle.sealed,
            signer: bundle.signer,
        };
        Ok((device, target))
    };
    opened.bundles.into_iter().map(one).collect()
}

/// Where records of the visits go.
struct Records {
    receipts: rustix::fd::OwnedFd,
    transcripts: Option<rustix::fd::OwnedFd>,
}

impl Records {
    fn open(args: &DeliverArgs, kit: &KitFolder) -> Result<Self, Failure> {
        let receipts = folder(&kit.path().join(RECEIPTS))?;
        let transcripts = args.visits.transcripts.as_deref().map(folder).transpose()?;
        Ok(Self { receipts, transcripts })
    }

    /// A new transcript of a device; one that is there already is left.
    fn transcript(&self, target: &Target, connection: u32) -> Option<File> {
        let folder = self.transcripts.as_ref()?;
        let name = format!("{}-{connection}.txt", target.uuid);
        let _ = durable::remove(folder, OsStr::new(&name));
        durable::create_only(folder, name.as_str(), Mode::from(0o600)).ok()
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Option<String> {
        match durable::create(&self.receipts, OsStr::new(name), bytes, Mode::from(0o644)) {
            Ok(()) => None,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
            Err(error) => Some(format!("the receipt {name} could not be kept here: {error}")),
        }
    }
}

fn folder(path: &Path) -> Result<rustix::fd::OwnedFd, Failure> {
    let flags = rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let made = fs::DirBuilder::new().mode(0o700).create(path);
    let made = made.or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    });
    made.and_then(|()| Ok(rustix::fs::open(path, flags, Mode::empty())?))
        .map_err(|error| Failure::io(path.display(), &error))
}

fn visit_all(
    args: &DeliverArgs,
    targets: &[(crate::device_result::DeviceRef, Target)],
    luggage: &Luggage<'_>,
    records: &Records,
) -> Result<Vec<DeviceResult<Delivered>>, Failure> {
    let progress = luggage.terminal.progress("done", targets.len());
    in_order_by(args.visits.jobs.into(), targets, progress, |(device, target)| {
        let visited = visit(target, luggage, |number| records.transcript(target, number));
        Ok(result(device.clone(), visited, records))
    })
}

fn result(
    device: crate::device_result::DeviceRef,
    visited: Result<Visited, Stop>,
    records: &Records,
) -> DeviceResult<Delivered> {
    let (receipts, mut notes) = match &visited {
        Ok(visited) => (visited.receipts.clone(), visited.notes.clone()),
        Err(Stop::Installer { receipts, .. }) => (receipts.clone(), Vec::new()),
        Err(_) => (Vec::new(), Vec::new()),
    };
    notes.extend(receipts.iter().filter_map(|(name, bytes)| records.keep(name, bytes)));
    let names = receipts.into_iter().map(|(name, _)| name).collect();
    match visited {
        Ok(visited) => {
            let status = if visited.status.is_some() { "checked" } else { "delivered" };
            DeviceResult::good(device, status, Delivered::of(visited, names), notes)
        }
        Err(stop) => DeviceResult::refused(Some(device), Refusal::of(stop), notes),
    }
}
