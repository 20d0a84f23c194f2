//! Every operation, at every call that changes a file, with every fault.
//!
//! First the operation is recorded. Then there is one run for each call and fault; what is left
//! is recovered and judged. Where a kill left something new, [`again`](super::again) goes on.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::again::{Cut, Kills, Seen};
use super::fault::{Fault, interrupted, record};
use super::queue::Queue;
use super::stand::{Scene, Stand};
use super::trace::Step;
use super::tree::Tree;
use super::verdict::{End, Ends};
use crate::ran::{Ran, Run};

/// A command to interrupt.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Name in the report.
    pub name: &'static str,
    start: Tree,
    kind: Kind,
    ends: Ends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Install,
    Rollback,
    /// sftunnel does not come up on the new files.
    Undone,
    /// The same, and the new files stay, because the operator said so.
    Kept,
}

/// Part of the matrix that is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The whole matrix.
    Full,
    /// A kill wherever something new is left, and of all other cases one in so many.
    Sample(usize),
}

/// Results of a search.
#[derive(Debug, Default)]
pub struct Tally {
    /// Numbers of all old and all new, by operation and fault.
    pub ends: BTreeMap<(String, String), [usize; 2]>,
    /// Broken promises, each with its case.
    pub failures: Vec<String>,
}

impl Operation {
    /// State of the box at the beginning.
    pub fn start(&self) -> &Tree {
        &self.start
    }

    /// The two possible ends.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Puts the box to its beginning.
    pub fn prepare(&self, stand: &Stand<'_>) {
        stand.misbehave("none");
        // a case may have left sftunnel down
        if stand.runs_on_live_files().is_err() {
            stand.boot();
        }
        stand.put(&self.start);
        if self.is_in_vain() {
            stand.misbehave("no-start-new");
        }
    }

    /// Returns true for one transaction for two managers.
    pub fn is_of_two_managers(&self) -> bool {
        self.ends.old.len() == 2
    }

    /// Returns true if sftunnel does not come up on the new files; most of the time is then spent
    /// waiting for it.
    pub fn is_in_vain(&self) -> bool {
        matches!(self.kind, Kind::Undone | Kind::Kept)
    }

    /// The exit code when nothing goes wrong.
    pub fn code(&self) -> i32 {
        match self.kind {
            Kind::Install | Kind::Rollback => 0,
            Kind::Undone => 6,
            Kind::Kept => 5,
        }
    }

    /// End when nothing goes wrong.
    pub fn end(&self) -> End {
        if self.kind == Kind::Undone { End::Old } else { End::New }
    }

    /// Makes the run.
    pub fn run(&self, stand: &Stand<'_>) -> Run {
        let install = || stand.install().args(["--restart-timeout", "1"]);
        match self.kind {
            Kind::Install => stand.install(),
            Kind::Rollback => {
                stand.run(&["rollback", "--yes", "--no-wait", "--json", "--settle", "0"])
            }
            Kind::Undone => install(),
            Kind::Kept => install().args(["--no-rollback"]),
        }
    }

    /// `recover`, where it was cut off.
    pub fn recover(&self, stand: &Stand<'_>) -> Run {
        let run = stand.run(&["recover", "--settle", "0", "--json"]);
        if self.is_in_vain() { run.args(["--restart-timeout", "1"]) } else { run }
    }

    /// Starts sftunnel like an operator who asked for files without a proof, and has them, or who
    /// is told to start it by hand. While there is a journal, that is left to `recover`.
    pub fn see_to_sftunnel(&self, stand: &Stand<'_>, ran: &Ran) {
        let is_told = self.kind == Kind::Kept
            || ran.code() == Some(7) && ran.output().contains("start sftunnel by hand");
        if is_told && !stand.has_journal() && stand.runs_on_live_files().is_err() {
            stand.boot();
        }
    }

    /// All operations with one manager, and how long they are.
    pub fn of_one_manager(scene: &Scene) -> Vec<Self> {
        let stand = Stand::new(scene, 900);
        let (first, old, new) = (stand.capture(), stand.files(), scene.new_files());
        let go = |run: Run| run.run().expect(0);
        let ends = |old: &_, new: &_| Ends {
            old: Clone::clone(old),
            new: Clone::clone(new),
            installed: scene.new_files(),
        };
        go(stand.install());
        let installed = stand.capture();
        go(stand.run(&["rollback", "--yes", "--no-wait", "--settle", "0"]));
        let again = stand.capture();
        let mut without_key = first.clone();
        without_key.0.retain(|path, _| !path.ends_with("sftunnel-key.pem"));
        stand.put(&without_key);
        let partial = stand.files();
        go(stand.install());
        let installed_from_partial = stand.capture();
        let of =
            |name, start: &Tree, kind, ends: Ends| Self { name, start: start.clone(), kind, ends };
        vec![
            of("first installation", &first, Kind::Install, ends(&old, &new)),
            of("rollback", &installed, Kind::Rollback, ends(&new, &old)),
            of("installation after a rollback", &again, Kind::Install, ends(&old, &new)),
            of("installation, one file absent", &without_key, Kind::Install, ends(&partial, &new)),
            of(
                "rollback, one file to be absent",
                &installed_from_partial,
                Kind::Rollback,
                ends(&new, &partial),
            ),
            of("installation that is undone", &first, Kind::Undone, ends(&old, &new)),
            of("installation without a rollback", &first, Kind::Kept, ends(&old, &new)),
        ]
    }

    /// The first installation for two managers, as one transaction.
    pub fn of_two_managers(scene: &Scene) -> Self {
        let stand = Stand::new(scene, 901);
        let new = scene.new_files();
        let ends = Ends { old: stand.files(), new: new.clone(), installed: new };
        Self {
            name: "installation for two managers",
            start: stand.capture(),
            kind: Kind::Install,
            ends,
        }
    }
}

/// Runs the matrix of these operations on so many boxes at once; what `seen` holds is not gone
/// into again.
pub fn run(
    scene: &Scene,
    operations: &[Operation],
    extent: Extent,
    boxes: usize,
    seen: &Seen,
) -> Tally {
    let stand = Stand::new(scene, 902);
    let mut work: Vec<Work<'_>> = Vec::new();
    let mut tally = Tally::default();
    for operation in operations {
        operation.prepare(&stand);
        let (ran, trace) = record(&stand, operation.run(&stand));
        if ran.code() != Some(operation.code()) {
            tally.failures.push(format!("{}: {}", operation.name, ran.output()));
            continue;
        }
        let steps = trace.steps(&stand.dir);
        // step 15 of PROTOCOL.md, the first after the journal
        let commit = steps.iter().position(|step| step.call.name == "fchown").unwrap_or(0);
        work.extend(steps.into_iter().enumerate().map(|(index, step)| {
            Work::Call(Job { operation, index, step, is_before_commit: index < commit })
        }));
    }
    let calls = work.len();
    let (queue, begun, tally) = (Queue::new(work), AtomicUsize::new(0), Mutex::new(tally));
    std::thread::scope(|scope| {
        for number in 0..boxes {
            let (queue, begun, tally) = (&queue, &begun, &tally);
            scope.spawn(move || {
                let worker = Worker::new(Stand::new(scene, number), extent, tally, seen);
                queue.work(|work| match work {
                    Work::Call(job) => {
                        super::say_progress(begun.fetch_add(1, Ordering::SeqCst), calls);
                        worker.at(&job)
                    }
                    Work::Recovery(operation, kills) => {
                        let cuts = worker.recovery_after(operation, &kills);
                        cuts.into_iter().map(Work::Cut).collect()
                    }
                    Work::Cut(cut) => {
                        let further = worker.cut(&cut).into_iter();
                        further.map(|kills| Work::Recovery(cut.operation, kills)).collect()
                    }
                });
            });
        }
    });
    tally.into_inner().unwrap()
}

/// Work for a free box.
enum Work<'a> {
    /// All faults at a call.
    Call(Job<'a>),
    /// `recover` after these kills.
    Recovery(&'a Operation, Kills),
    /// All faults at a call of that.
    Cut(Cut<'a>),
}

/// One call of an operation.
struct Job<'a> {
    operation: &'a Operation,
    index: usize,
    step: Step,
    is_before_commit: bool,
}

/// A thread with its box.
pub(super) struct Worker<'a> {
    pub(super) stand: Stand<'a>,
    pub(super) extent: Extent,
    pub(super) tally: &'a Mutex<Tally>,
    pub(super) seen: &'a Seen,
    /// Pause between a kill and the next run.
    pub(super) pause: Cell<Duration>,
}

impl<'w> Worker<'w> {
    pub(super) fn new(
        stand: Stand<'w>,
        extent: Extent,
        tally: &'w Mutex<Tally>,
        seen: &'w Seen,
    ) -> Self {
        Self { stand, extent, tally, seen, pause: Cell::default() }
    }

    /// These steps on its box.
    pub(super) fn here(&self, steps: &[Step]) -> Kills {
        steps.iter().map(|step| step.rebased(&self.stand.dir)).collect()
    }

    /// Runs all cases at one call, and returns the recovery of the state that a kill there leaves,
    /// if that is new.
    fn at<'a>(&self, job: &Job<'a>) -> Vec<Work<'a>> {
        let (operation, stand) = (job.operation, &self.stand);
        let step = &job.step.rebased(&stand.dir);
        let record = || {
            operation.prepare(stand);
            record(stand, operation.run(stand)).1.steps(&stand.dir)
        };
        for fault in Fault::of(&step.call) {
            let case = format!("{}: {fault} at {}", operation.name, step.call.shown());
            if self.is_wanted(&case, fault == Fault::Kill && step.is_new_state) {
                let what = (case.as_str(), operation.name, fault);
                self.case(what, (job.index, step), record, |step| {
                    self.direct(operation, step, fault, job.is_before_commit).map(Some)
                });
            }
        }
        let wanted = format!("recover {} {}", operation.name, step.call.shown());
        if step.is_new_state && self.is_wanted(&wanted, false) {
            return vec![Work::Recovery(operation, vec![step.clone()])];
        }
        Vec::new()
    }

    pub(super) fn is_wanted(&self, case: &str, always: bool) -> bool {
        let digest = openssl::sha::sha256(case.as_bytes());
        let number = usize::from(digest[0]) << 8 | usize::from(digest[1]);
        match self.extent {
            Extent::Full => true,
            Extent::Sample(one_in) => always || number % one_in == 0,
        }
    }

    /// Runs a case and counts it. Where it came to another call it is recorded and run again:
    /// each look at sftunnel opens files, too, and it may take one look more or less; and what
    /// was left lying about has the name of what is made now, or of a second ago. `None`: there
    /// was nothing to judge.
    pub(super) fn case(
        &self,
        (case, name, fault): (&str, &str, Fault),
        (index, step): (usize, &Step),
        record: impl Fn() -> Vec<Step>,
        mut run: impl FnMut(&Step) -> Result<Option<End>, Missed>,
    ) {
        let mut result = run(step);
        for tenths in 0..12 {
            if !matches!(result, Err(Missed::Call(_))) {
                break;
            }
            self.pause.set(Duration::from_millis(100 * tenths));
            let again = record();
            let same = again.get(index).filter(|one| one.call.shape() == step.call.shape());
            result = run(same.unwrap_or(step));
        }
        self.pause.take();
        let mut tally = self.tally.lock().unwrap();
        match result {
            Ok(None) => {}
            Ok(Some(end)) => {
                let ends = tally.ends.entry((name.to_owned(), fault.to_string())).or_default();
                ends[usize::from(end == End::New)] += 1;
            }
            Err(Missed::Call(why) | Missed::Promise(why)) => {
                tally.failures.push(format!("{case}: {why}"));
            }
        }
    }

    /// The operation with a fault, then what follows.
    fn direct(
        &self,
        operation: &Operation,
        step: &Step,
        fault: Fault,
        is_before_commit: bool,
    ) -> Result<End, Missed> {
        let stand = &self.stand;
        operation.prepare(stand);
        let ran = interrupted(stand, operation.run(stand), step, fault).map_err(Missed::Call)?;
        let judged = match (fault, ran.code()) {
            (Fault::Kill, _) => Ok(()),
            // at rest it is ended by the signal itself
            (Fault::Signal(_), None) if is_before_commit => Ok(()),
            // a terminal that goes away does not stop an installation half-way
            (Fault::Signal("HUP"), code) if !is_before_commit && code != Some(operation.code()) => {
                Err(format!("SIGHUP after the commit: exit {code:?}\n{}", ran.output()))
            }
            _ => operation.ends.code_is_true(
                stand,
                &ran,
                Some((&step.call, fault)),
                &operation.ends.old,
            ),
        };
        if is_before_commit && matches!(ran.code(), Some(1 | 3)) {
            let count = |tree: &Tree| tree.0.keys().filter(|path| is_backup(path)).count();
            if count(&stand.capture()) != count(&operation.start) {
                return Err(Missed::Promise("a backup of nothing was left".to_owned()));
            }
        }
        stand.misbehave("none");
        operation.see_to_sftunnel(stand, &ran);
        let end = judged.and_then(|()| operation.ends.recovers(stand)).map_err(Missed::Promise)?;
        match (ran.code(), end) {
            (Some(code @ (0 | 5)), End::Old) => {
                Err(Missed::Promise(format!("exit {code} was not durable")))
            }
            _ => Ok(end),
        }
    }
}

fn is_backup(path: &Path) -> bool {
    path.parent().is_some_and(|parent| parent.ends_with("sftunnel-airgap/backups"))
}

pub(super) enum Missed {
    /// The fault was not where it was meant to be.
    Call(String),
    /// A promise of PROTOCOL.md was not kept.
    Promise(String),
}

impl Tally {
    /// All old and all new, of all cases that ended as they should.
    pub fn both(&self) -> [usize; 2] {
        self.ends.values().fold([0, 0], |sum, ends| [sum[0] + ends[0], sum[1] + ends[1]])
    }

    /// Formats the totals.
    pub fn summary(&self) -> String {
        let ([old, new], failures) = (self.both(), self.failures.len());
        format!("{} cases: {old} all old, {new} all new, {failures} failed", old + new + failures)
    }

    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        self.ends.extend(other.ends);
        self.failures.extend(other.failures);
    }
}

/// Heading above the lines of a [`Tally`].
pub const HEADING: &str = "OPERATION                                            FAULT               CASES  ALL OLD  ALL NEW";

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, fault), [old, new]) in &self.ends {
            writeln!(f, "{name:<52} {fault:<18} {:>6} {old:>8} {new:>8}", old + new)?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(f, "FAILED {failure}"))
    }
}
