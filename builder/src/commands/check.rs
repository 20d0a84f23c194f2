//! `check`: how long the certificates on the FMC last, and what to do next. The exit
//! codes are those of monitoring plugins: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. With `--plugin`
//! one line with performance data comes first, else the verdict in a sentence.

mod advice;
mod devices;
mod html;
mod prometheus;
mod state;
mod view;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use cli::disk::durable;
use cli::disk::root::{Root, is_absent};
use cli::say::failure::Failure;
use cli::say::monitoring::Thresholds;
use cli::say::report::Report;
use cli::say::terminal::Terminal;
use formats::cisco::facts::{BATCHES, CA, CRL, IMS_CONF, OWN_CERTIFICATE, PEERS, PUSHED};
use formats::cisco::failed_push::FailedPush;
use formats::cisco::ims_conf::ImsConf;
use formats::credentials::{Certificate, RevocationList};
use formats::device::{CredentialFile, DeviceName, DeviceUuid};
use formats::error::Reasoned;
use formats::limits::{self, LimitError};

use self::state::{Checked, Role, Subject};
use self::view::{CheckBody, Findings};
use crate::Context;
use crate::args::CheckArgs;
use crate::commands::receipts;
use crate::device_result::DeviceRef;
use crate::fmc::discover::{self, Newest};
use crate::fmc::error::{Error, WrongBox};
use crate::fmc::status_source::{self, Answer};

/// Checks the FMC. Only wrong usage is an error: anything that cannot be read or written is
/// UNKNOWN, unless something worse is known.
pub(crate) fn run(args: &CheckArgs, context: &Context) -> Result<Report, Failure> {
    seen(args, context, &context.terminal, status_source::ask(&args.status, context))
}

/// The same, with what the manager says of its tunnels: a report within another one asks once.
pub(crate) fn seen(
    args: &CheckArgs,
    context: &Context,
    terminal: &Terminal,
    asked: Result<Answer, Error>,
) -> Result<Report, Failure> {
    let thresholds = args.thresholds.checked()?;
    let mut look = Look::new(context, thresholds);
    look.manager();
    look.peers();
    // whatever is asked beside the certificates must not hide what they say
    let mut problems = Vec::new();
    let asked = asked.unwrap_or_else(|error| {
        let failure = Failure::from(error);
        problems.push(format!("the tunnels were not looked at: {}", failure.in_a_line()));
        Answer::Silent(failure.into_message())
    });
    let done = receipts::done(&args.receipts, context).unwrap_or_else(|failure| {
        problems.push(format!("the receipts were not read: {}", failure.in_a_line()));
        HashSet::new()
    });
    let (tunnels, devices) = look.devices(&asked, &done);
    let waiting = devices.iter().filter(|device| device.reached.is_waiting());
    let waiting: HashSet<_> = waiting.map(|device| &device.device.uuid).collect();
    state::mark_superseded(&mut look.found, &waiting);
    state::by_urgency(&mut look.found);
    let conf = context
        .root
        .read(Path::new(IMS_CONF), limits::IMS_CONF)
        .map(|bytes| ImsConf::parse(&bytes))
        .unwrap_or_default();
    let mut body = CheckBody::new(Findings {
        results: look.found,
        thresholds,
        now: context.now,
        conf,
        failed_push: look.failed_push,
        tunnels,
        devices,
        problems,
        wrong_box: WrongBox::look(&context.root),
    });
    if let Some(path) = &args.prometheus {
        let text = prometheus::text(&body);
        if let Err(failure) = durable::replace_at(path, text.as_bytes(), 0o644) {
            body.add_problem(format!("the figures were not written: {}", failure.in_a_line()));
        }
    }
    if let Some(path) = &args.html {
        match html::write(path, &body) {
            Ok(()) => body.html = Some(path.clone()),
            Err(failure) => {
                body.add_problem(format!("the page was not written: {}", failure.in_a_line()));
            }
        }
    }
    let text = body.text(terminal, args.plugin);
    Ok(Report::for_terminal(terminal, &body, text).monitoring(body.state))
}

struct Look<'a> {
    root: &'a Root,
    context: &'a Context,
    thresholds: Thresholds,
    names: HashMap<DeviceUuid, DeviceName>,
    addresses: HashMap<DeviceUuid, String>,
    /// Devices that the newest batch's FAILED_PUSH lists.
    listed: HashSet<DeviceUuid>,
    /// Devices that have a directory here.
    registered: Vec<DeviceRef>,
    failed_push: Option<view::FailedPushView>,
    ca: Option<Certificate>,
    found: Vec<Checked>,
}

impl<'a> Look<'a> {
    fn new(context: &'a Context, thresholds: Thresholds) -> Self {
        let mut found = Vec::new();
        let (listing, failed_push) = match discover::newest(&context.root) {
            Newest::List(listing) => {
                let view = view::FailedPushView::of(&listing, &context.root);
                found.extend(Checked::failed_push(&listing));
                (Some(listing), Some(view))
            }
            Newest::Older(listing) => (Some(listing), None),
            Newest::None => (None, None),
            Newest::Unreadable(error) => {
                let failure = Failure::from(error);
                let path = BATCHES;
                found.push(Subject::own(Role::FailedPush, path).unreadable(failure.in_a_line()));
                (None, None)
            }
        };
        let mut look = Self {
            root: &context.root,
            context,
            thresholds,
            names: HashMap::new(),
            addresses: HashMap::new(),
            listed: HashSet::new(),
            registered: Vec::new(),
            failed_push,
            ca: None,
            found,
        };
        let FailedPush { devices, problems, unusable, .. } =
            listing.map(|listing| listing.found).unwrap_or_default();
        if look.failed_push.is_some() {
            // whatever is wrong with their lines: it did not reach them
            look.listed.extend(unusable);
        }
        for problem in problems {
            if let (Some(uuid), Some(name)) = (problem.device, problem.name) {
                look.names.insert(uuid, name);
            }
        }
        for device in devices {
            if look.failed_push.is_some() {
                look.listed.insert(device.uuid.clone());
            }
            look.addresses.insert(device.uuid.clone(), device.address);
            look.names.insert(device.uuid, device.name);
        }
        look
    }

    /// Checks the manager's own files.
    fn manager(&mut self) {
        self.certificate(Subject::own(Role::Ca, CA), CredentialFile::Ca, true);
        let own = Subject::own(Role::Own, OWN_CERTIFICATE);
        self.certificate(own, CredentialFile::Certificate, true);
        let checked = match self.root.read(Path::new(CRL), limits::CRL) {
            Err(LimitError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => Subject::own(Role::Crl, CRL).unreadable(error.to_string()),
            Ok(pem) => match RevocationList::from_pem(&pem) {
                Err(error) => Subject::own(Role::Crl, CRL).unreadable(error.to_string()),
                Ok(list) => {
                    Checked::crl(CRL, &list, self.ca.as_ref(), self.context.now, self.thresholds)
                }
            },
        };
        self.found.push(checked);
    }

    fn peers(&mut self) {
        let names = match self.root.names(Path::new(PEERS)) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                let checked = Subject::own(Role::Peer, PEERS).unreadable(error.to_string());
                return self.found.push(checked);
            }
        };
        for name in names {
            let Some(uuid) = name.to_str().and_then(|name| name.parse::<DeviceUuid>().ok()) else {
                continue;
            };
            let device = DeviceRef { name: self.names.get(&uuid).cloned(), uuid };
            self.registered.push(device.clone());
            let directory = format!("{PEERS}/{}", name.to_string_lossy());
            let files = [
                (Role::Pushed, format!("{directory}/{PUSHED}/{}", CredentialFile::Certificate)),
                (Role::Peer, format!("{directory}/{}", CredentialFile::Certificate)),
            ];
            for (role, path) in files {
                let about = Subject { role, device: Some(device.clone()), path };
                self.certificate(about, CredentialFile::Certificate, false);
            }
            let path = format!("{directory}/{}", CredentialFile::Ca);
            let about = Subject { role: Role::PeerCa, device: Some(device), path };
            self.certificate(about, CredentialFile::Ca, false);
        }
    }

    fn certificate(&mut self, about: Subject, file: CredentialFile, required: bool) {
        let role = about.role;
        let read = self.root.read(Path::new(&about.path), limits::PEM);
        let certificate = match read {
            Err(LimitError::Io(error)) if !required && is_absent(&error) => {
                return;
            }
            Err(error) => {
                self.found.push(about.unreadable(error.to_string()));
                return;
            }
            Ok(pem) => Certificate::as_found(&pem, file),
        };
        match certificate {
            Err(error) => {
                let message = format!("{}: {error}", error.reason());
                self.found.push(about.unreadable(message));
            }
            Ok(certificate) => {
                let (now, thresholds) = (self.context.now, self.thresholds);
                let ca = self.ca.as_ref();
                let checked = Checked::certificate(about, &certificate, ca, now, thresholds);
                self.found.push(checked);
                if role == Role::Ca {
                    self.ca = Some(certificate);
                }
            }
        }
    }
}
