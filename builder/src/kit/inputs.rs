//! Everything that `plan` and `build` have in common before a device's file is read.

use cli::kit::validity::is_after_this_program;
use cli::say::failure::Failure;
use formats::bundle::manifest::Manager;
use formats::text::printable;
use formats::timestamp::Timestamp;

use crate::Context;
use crate::args::{BuildArgs, SourceArgs};
use crate::fmc::belief::Belief;
use crate::fmc::by_name;
use crate::fmc::collect::Rules;
use crate::fmc::discover::{self, Batches};
use crate::fmc::error::WrongBox;
use crate::fmc::peers;
use crate::fmc::plan::{self, Choice, Plan};
use crate::keys::passphrase;
use crate::keys::recipients::{Named, Recipients};
use crate::kit::error::Error;
use crate::kit::error::LeftOut;
use crate::kit::installers::{self, Installers};

/// A plan, and who and what else is needed to carry it out.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub plan: Plan,
    /// Recipients of each device, without the kit's own identity.
    pub recipients: Recipients,
    /// Origin of the kit's passphrase.
    pub passphrase: passphrase::PassphraseOrigin,
    /// Programs that travel along.
    pub installers: Installers,
    /// Checks of the devices' files.
    pub rules: Rules,
    /// Time that the kit will name.
    pub created_at: Timestamp,
}

/// Reads the command line's files and looks at the machine; fails for what refuses all devices at
/// once.
pub(crate) fn prepare(
    args: &BuildArgs,
    context: &Context,
    dry_run: bool,
) -> Result<Prepared, Failure> {
    let named = Named::load(&args.recipients)?;
    let passphrase =
        passphrase::source(args.passphrase.flags(), !named.is_empty(), &context.terminal, dry_run)?;
    let installers = match args.kit.no_installer {
        true => Installers::default(),
        false => installers::find(&args.kit.installer)?,
    };
    if !args.source.accept_clock {
        is_after_this_program(context.now)?;
    }
    let mut plan = plan_of(&args.source, &args.source.device, context)?;
    let recipients = recipients(named, &mut plan, passphrase)?;
    plan.warnings.extend(installers.left_out.iter().map(LeftOut::warning));
    if installers.taken.is_empty() && !args.kit.no_installer && plan.manager.is_some() {
        let failure = Failure::from(Error::NoInstaller(installers.left_out.clone()));
        if !dry_run {
            return Err(failure);
        }
        let next = failure.next_step().unwrap_or_default();
        plan.warnings.push(format!("{}, so build refuses: {next}", failure.message()));
    }
    let rules = rules(&args.source, context);
    let created_at = args.kit.created_at.unwrap_or(context.now);
    Ok(Prepared { plan, recipients, passphrase, installers, rules, created_at })
}

/// Checks of the devices' files, as the command line has them.
pub(crate) fn rules(source: &SourceArgs, context: &Context) -> Rules {
    Rules {
        now: context.now,
        accept_subject: source.accept_subject,
        accept_clock: source.accept_clock,
        accept_source: source.accept_source,
    }
}

/// Plans by the lists that the command line names, or by what lies at the manager.
pub(crate) fn plan_of(
    source: &SourceArgs,
    devices: &[String],
    context: &Context,
) -> Result<Plan, Failure> {
    let belief = Belief { root: &context.root, accept: source.accept_source };
    let explain = |failure| WrongBox::explain(&context.root, failure);
    let batches = Batches::look(belief)?;
    let asked = source.peers();
    let mut listings = match asked {
        Some(_) => Vec::new(),
        None => discover::listings(belief, &batches, &source.failed_push).map_err(explain)?,
    };
    let surroundings = discover::surroundings(&context.root, batches);
    let mut warnings = Vec::new();
    if let Some(asked) = asked {
        let (listing, known) =
            peers::listing(&context.root, &surroundings, asked).map_err(explain)?;
        listings.push(listing);
        warnings = known;
    }
    for listing in &listings {
        let path = printable(&listing.path);
        context.terminal.detail(&format!("reading {path} (batch {})", listing.batch));
    }
    let devices = by_name::expand(devices)?;
    let choice = Choice { devices: &devices, accept_stale: source.accept_stale };
    let mut plan = plan::plan(listings, &surroundings, &choice)?;
    plan.warnings.extend(warnings);
    plan.warnings.extend(WrongBox::look(&context.root).map(WrongBox::line));
    Ok(plan)
}

/// Finds the recipients of each planned device; every one needs some, where there is no passphrase.
fn recipients(
    named: Named,
    plan: &mut Plan,
    passphrase: passphrase::PassphraseOrigin,
) -> Result<Recipients, Failure> {
    let recipients = named.resolve(&std::mem::take(&mut plan.known))?;
    recipients.check_none_is_mixed(passphrase != passphrase::PassphraseOrigin::None)?;
    if passphrase == passphrase::PassphraseOrigin::None {
        let devices = || plan.devices.iter().map(|d| (&d.device.uuid, &d.device.name));
        recipients.check_all_have_one(devices())?;
        if let Some(warning) = recipients.unmapped_warning(devices()) {
            plan.warnings.push(warning);
        }
    }
    Ok(recipients)
}

impl Prepared {
    /// The kit's manager, and the name of its folder. `None` when no device is left; the caller
    /// then reports the refused ones.
    pub(crate) fn kit(&self) -> Option<(&Manager, String)> {
        let manager = self.plan.manager.as_ref()?;
        Some((manager, formats::kit::folder_name(&manager.uuid, self.plan.batch)))
    }
}
