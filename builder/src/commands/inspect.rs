//! `inspect`: shows the contents of a kit or bundle, and never judges whom to trust.

use cli::kit::inspect::Inspector;
use cli::say::failure::Failure;
use cli::say::report::Report;

use crate::Context;
use crate::args::InspectArgs;
use crate::fmc::by_name::expand;
use crate::kit::parallel::in_order;
use crate::kit::source::picked;

pub(crate) fn run(args: &InspectArgs, context: &Context) -> Result<Report, Failure> {
    let wanted = expand(&args.device)?;
    let mut inspector = Inspector::new(&args.open, &args.paths, &context.terminal)?;
    for path in &args.paths {
        inspector.look(path, |kit, look| {
            let entries = picked(kit, &wanted)?;
            let progress = context.terminal.progress("reading", entries.len());
            in_order(&entries, progress, |entry| Ok(look(entry)))
        })?;
    }
    Ok(inspector.report(context.now))
}
