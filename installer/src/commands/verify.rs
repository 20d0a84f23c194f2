//! `verify`: everything that an installation would check, and nothing that it would change.

use cli::kit::folder::{CheckedFiles, KitFolder};
use cli::kit::locate::is_kit;
use cli::say::failure::Failure;
use cli::say::page::wrap;
use cli::say::report::Report;
use serde::Serialize;

use super::Session;
use super::interrupted::interrupted_note;
use crate::appliance::state::State;
use crate::args::VerifyArgs;
use crate::candidate::checks;
use crate::candidate::error::DroppedPeer;
use crate::candidate::plan_text;
use crate::candidate::rehearsal::{self, Rehearsal};
use crate::candidate::{self, SourceResult};

/// The JSON of `verify`.
#[derive(Debug, Serialize)]
struct VerifyReport {
    /// Files of kits that were compared with `SHA256SUMS`.
    files_checked: usize,
    /// One for each kit: the files that were compared, and those that lie beside them.
    kits: Vec<CheckedFiles>,
    /// One for each source.
    results: Vec<SourceResult>,
    /// Other managers whose tunnels would not come back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<DroppedPeer>,
    /// One rehearsal for each manager, with `--rehearse`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rehearsals: Vec<Rehearsal>,
    /// A run that was interrupted and is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    interrupted_run: Option<String>,
}

pub(crate) fn run(session: &Session, args: &VerifyArgs) -> Result<Report, Failure> {
    let Session { host, terminal } = session;
    let state = State::open(host)?;
    let mut checked = Vec::new();
    let appliance = host.appliance();
    for path in args.judge.sources.sources.iter().filter(|path| is_kit(path)) {
        let kit = KitFolder::open(path)?;
        // the box's own bundle is read when it is judged
        let own = appliance.as_ref().ok().and_then(|box_| kit.index().bundle_for(&box_.uuid));
        checked.push(kit.check_all_but(own.map_or(&[], std::slice::from_ref))?);
    }
    let appliance = appliance?;
    let found =
        candidate::judge(host, &appliance, state.as_ref(), &args.judge, terminal, !terminal.json)?;
    let results = candidate::results(host, &found);
    let accepted = candidate::require_all(host, found)?;
    host.pmtool()?;
    let dropped = checks::dropped_peers(host, &candidate::managers(&accepted), host.now())?;
    let rehearsals = match args.judge.rehearse.as_slice() {
        [] => Vec::new(),
        hosts => rehearsal::run(host, &accepted, hosts)?,
    };
    let files_checked: usize = checked.iter().map(|kit| kit.files).sum();
    let mut text = plan_text::appliance(&appliance);
    for one in &accepted {
        text.push_str(&plan_text::bundle(one, host.now()));
    }
    text.push_str(&rehearsal::text(&rehearsals));
    if files_checked > 0 {
        text.push_str(&format!(
            "\nThe kit's {files_checked} files are as SHA256SUMS lists them.\n"
        ));
    }
    for remark in checked.iter().flat_map(CheckedFiles::remarks) {
        text.push_str(&wrap("Note: ", 6, &remark));
    }
    let (interrupted_run, note) = interrupted_note(state.as_ref());
    text.push_str(&note);
    text.push_str(&plan_text::drops(terminal, &dropped));
    text.push_str("Verified: this box would accept it. Nothing was changed.\n");
    let kits = checked;
    let report =
        VerifyReport { files_checked, kits, results, dropped, rehearsals, interrupted_run };
    Ok(Report::done(&report, text))
}
