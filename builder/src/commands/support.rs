//! `support`: one file without secrets for the colleague on the phone. Changes nothing; the one
//! program that it runs is `sftunnel_status.pl`, as `check` does.

use std::path::Path;

use cli::disk::box_kind::BoxKind;
use cli::say::failure::Failure;
use cli::say::monitoring::Thresholds;
use cli::say::report::Report;
use cli::say::terminal::Terminal;
use cli::support::{SupportArgs, SupportFile, Voice, listing, logs, machine};
use formats::cisco::facts::{BATCHES, CA, IMS_CONF, MESSAGES, PEERS, RENEWAL_LOG, SFTUNNEL};
use formats::cisco::ims_conf::ImsConf;
use formats::credentials::Certificate;
use formats::device::CredentialFile;
use formats::limits;

use crate::args::{CheckArgs, StatusArgs};
use crate::commands::check;
use crate::fmc::discover::{self, Newest};
use crate::fmc::error::Error;
use crate::fmc::status_source::{self, Answer};
use crate::keys::signing_key;
use crate::kit::installers;
use crate::{Context, PROGRAM};

/// The folder of the signing key.
const OWN: &str = "/var/sf/sftunnel-airgap";
/// Lines of a log.
const LINES: usize = 300;
/// Lines of FAILED_PUSH: three for each device.
const LIST: usize = 3000;
/// Seconds that the program which shows the tunnels may take.
const STATUS_TIMEOUT: u64 = 30;

pub(crate) fn run(args: &SupportArgs, context: &Context) -> Result<Report, Failure> {
    let root = &context.root;
    let mut file = SupportFile::new(PROGRAM, context.now);
    machine::add(&mut file, root, context.now, &["/", "/var/sf", BATCHES, "/var/log", "/var/tmp"]);
    let conf = root.read(Path::new(IMS_CONF), limits::IMS_CONF);
    let conf = conf.map(|bytes| ImsConf::parse(&bytes));
    let conf = conf.map_err(|error| format!("{}: {error}", root.outside(IMS_CONF).display()));
    let uuid = conf.as_ref().ok().and_then(|conf| conf.appliance_uuid.clone());
    file.part("box", Voice::Foreign, conf.map(|conf| identity(conf, BoxKind::of(root))));
    file.part("installers", Voice::Ours, installers());
    file.part("signer", Voice::Ours, signer(context));
    file.part("CA in use", Voice::Ours, authority(context));
    add_check(&mut file, context);
    file.part("batches", Voice::Ours, listing::folder(root, BATCHES, 2));
    file.part("FAILED_PUSH", Voice::Foreign, failed_push(context));
    let lines = |path, word| logs::last_lines(root, path, word, LINES, Voice::Foreign);
    file.part(RENEWAL_LOG, Voice::Foreign, lines(RENEWAL_LOG, ""));
    for path in MESSAGES {
        file.part(path, Voice::Foreign, lines(path, SFTUNNEL));
    }
    file.part("peer directories", Voice::Ours, listing::folder(root, PEERS, 3));
    file.part("state", Voice::Ours, listing::folder(root, OWN, 2));
    file.write(args, uuid.as_deref(), &context.terminal)
}

fn identity(conf: ImsConf, kind: BoxKind) -> String {
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
    format!(
        "UUID    {}\nmodel   {}\nversion {}\nkind    {kind:?}",
        or_unknown(conf.appliance_uuid),
        or_unknown(conf.model),
        or_unknown(conf.version)
    )
}

/// The programs beside this one.
fn installers() -> Result<String, String> {
    let found = installers::find(&[]).map_err(|error| Failure::from(error).in_a_line())?;
    let taken = found.taken.iter().map(|one| {
        let digest = one.sha256.map_or("unknown".to_owned(), |digest| digest.to_string());
        format!("{} {} sha256 {digest}", one.arch, one.path.display())
    });
    let left_out = found
        .left_out
        .iter()
        .map(|one| format!("left out ({}): {}: {}", one.reason, one.source.display(), one.message));
    let lines: Vec<String> = taken.chain(left_out).collect();
    Ok(if lines.is_empty() { "none beside this program".to_owned() } else { lines.join("\n") })
}

fn signer(context: &Context) -> Result<String, String> {
    let own = signing_key::own(&context.root);
    let own = own.ok_or("no key yet, or only root may read it")?;
    Ok(format!("{own}\n{}", own.spoken()))
}

fn authority(context: &Context) -> Result<String, String> {
    let shown = context.root.outside(CA).display().to_string();
    let pem = context.root.read(Path::new(CA), limits::PEM);
    let pem = pem.map_err(|error| format!("{shown}: {error}"))?;
    let ca = Certificate::as_found(&pem, CredentialFile::Ca);
    let ca = ca.map_err(|error| format!("{shown}: {error}"))?;
    let facts = ca.facts();
    Ok(format!(
        "subject    {}\nnot before {}\nnot after  {}\nsha256     {}",
        facts.subject, facts.not_before, facts.not_after, facts.fingerprint
    ))
}

/// `check`, and what the manager says of its tunnels, for which it is asked once.
fn add_check(file: &mut SupportFile, context: &Context) {
    let status = StatusArgs {
        status_file: None,
        status_program: None,
        no_status_program: false,
        status_timeout: STATUS_TIMEOUT,
    };
    let asked = status_source::ask(&status, context);
    let tunnels = tunnels(&asked);
    let thresholds = Thresholds { warning: 90, critical: 30 };
    let args = CheckArgs {
        thresholds,
        prometheus: None,
        html: None,
        plugin: false,
        receipts: Vec::new(),
        status,
    };
    let plain = Terminal { json: false, color: false, ..context.terminal };
    let checked = check::seen(&args, context, &plain, asked).map(|report| report.text);
    file.part("check", Voice::Ours, checked.map_err(|failure| failure.in_a_line()));
    file.part("tunnels", Voice::Foreign, tunnels);
}

fn tunnels(asked: &Result<Answer, Error>) -> Result<String, String> {
    match asked {
        Ok(Answer::Printed(output)) => {
            let cut = output.cut.as_deref().unwrap_or_default();
            Ok(format!("{}\n{cut}\n{}", output.path.display(), output.text))
        }
        Ok(Answer::Silent(why)) => Err(why.clone()),
        Ok(Answer::NotWanted) => Err("not asked".to_owned()),
        Err(_) => Err("the program that shows them cannot be asked".to_owned()),
    }
}

fn failed_push(context: &Context) -> Result<String, String> {
    match discover::newest(&context.root) {
        Newest::List(listing) | Newest::Older(listing) => {
            logs::last_lines(&context.root, &listing.path, "", LIST, Voice::Foreign)
        }
        Newest::None => Ok("there is none".to_owned()),
        Newest::Unreadable(error) => Err(Failure::from(error).in_a_line()),
    }
}
