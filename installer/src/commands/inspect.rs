//! `inspect`: shows the contents of a kit or bundle. Judges nothing, needs no box.

use cli::kit::inspect::Inspector;
use cli::say::failure::Failure;
use cli::say::report::Report;

use super::Session;
use crate::args::InspectArgs;

pub(crate) fn run(session: &Session, args: &InspectArgs) -> Result<Report, Failure> {
    let sources = &args.sources;
    let mut inspector = Inspector::new(&sources.open, &sources.sources, &session.terminal)?;
    for path in &sources.sources {
        inspector.look(path, |kit, look| Ok(kit.index().bundles.iter().map(look).collect()))?;
    }
    Ok(inspector.report(session.host.now()))
}
