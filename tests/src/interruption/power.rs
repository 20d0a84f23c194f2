//! A box that was switched off: every state of its disk, booted and recovered.
//!
//! A run that follows one that was killed builds on what that one did, of which nothing need be
//! durable yet; so its recording begins with the killed one's calls.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::disk::{Model, Recording, State};
use super::fault::{Fault, interrupted, record};
use super::matrix::Operation;
use super::stand::{Scene, Stand};
use super::trace::{Step, Trace};
use super::verdict::End;
use crate::ran::Run;

/// The kinds of file system, as they are shown.
pub const MODELS: [(&str, Model); 3] =
    [("ext4", Model::Ext4), ("xfs", Model::Xfs), ("weakest", Model::Weakest)];

/// A run whose calls were written down.
#[derive(Debug)]
pub struct Recorded<'a> {
    name: String,
    operation: &'a Operation,
    recording: Recording,
    /// End that is live after the run.
    end: End,
}

/// Numbers of cases by result.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    tried: usize,
    different: usize,
    booted: usize,
    old: usize,
    new: usize,
}

/// Results of the boots after power cuts.
#[derive(Debug, Default)]
pub struct Boots {
    counts: BTreeMap<(String, &'static str), Count>,
    /// Broken promises.
    pub failures: Vec<String>,
}

/// Records the operation, and what may follow when it is killed: `recover` after a kill between
/// the renames, another `recover` after that one was killed before its sync, and the operation
/// itself after a kill that came as soon as there was a state directory.
///
/// Each run is in another boot: records name the boot, and a recovery comes after a new one.
pub fn recordings<'a>(scene: &Scene, operation: &'a Operation) -> Vec<Recorded<'a>> {
    use Which::{Operation, Recover};
    let recorder = Recorder::new(scene, operation);
    let name = operation.name;
    let (whole, steps) = recorder.record(name.to_owned(), &[], Operation);
    // of an installation that is undone, the last is that of the way back
    let between = steps.iter().rfind(|step| is(step, "renameat", " sftunnel-cert.pem"));
    let between = (Operation, between.expect("a rename"));

    let (recovery, of_recovery) =
        recorder.record(format!("recovery of: {name}"), &[between], Recover);
    let renamed = of_recovery.iter().rposition(|step| is(step, "renameat", ".pem"));
    let synced = &of_recovery[renamed.expect("a rename") + 1];
    assert_eq!(synced.call.name, "fsync", "{}", synced.call.shown());

    let killed = [between, (Recover, synced)];
    let (second, _) = recorder.record(format!("second recovery of: {name}"), &killed, Recover);

    let mut recorded = vec![whole, recovery, second];
    if let Some(made) = steps.iter().position(|step| is(step, "mkdirat", "sftunnel-airgap")) {
        let killed = [(Operation, &steps[made + 1])];
        recorded.push(recorder.record(format!("second {name}"), &killed, Operation).0);
    }
    recorded
}

/// Returns true for a call of this name on a path with this end.
fn is(step: &Step, name: &str, end: &str) -> bool {
    step.call.name == name && step.call.shape().ends_with(end)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Operation,
    Recover,
}

struct Recorder<'a, 'o> {
    stand: Stand<'a>,
    operation: &'o Operation,
    boot: PathBuf,
}

impl<'a, 'o> Recorder<'a, 'o> {
    fn new(scene: &'a Scene, operation: &'o Operation) -> Self {
        let boot = scene.world.write("boot-id", "00000000-0000-4000-8000-000000000000\n");
        Self { stand: Stand::new(scene, 903), operation, boot }
    }

    /// Makes a run in another boot.
    fn run(&self, which: Which) -> Run {
        let run = match which {
            Which::Operation => self.operation.run(&self.stand),
            Which::Recover => self.operation.recover(&self.stand),
        };
        let boot = self.boot.display();
        let bind = format!("mount --bind '{boot}' /proc/sys/kernel/random/boot_id && exec \"$@\"");
        run.under(&["unshare", "-m", "sh", "-c", &bind, "sh"])
    }

    /// Records a run, from the operation's beginning and after these were killed.
    fn record(
        &self,
        name: String,
        killed: &[(Which, &Step)],
        which: Which,
    ) -> (Recorded<'o>, Vec<Step>) {
        let Self { stand, operation, .. } = self;
        operation.prepare(stand);
        let start = stand.capture();
        let cut = |(which, step): &(Which, &Step)| {
            interrupted(stand, self.run(*which), step, Fault::Kill).expect("the kill");
            let text = fs::read(stand.dir.join("trace")).expect("what strace wrote");
            Trace::parse(&String::from_utf8_lossy(&text))
        };
        let killed: Vec<_> = killed.iter().map(cut).collect();
        let (ran, trace) = record(stand, self.run(which));
        let (code, end) = match which {
            Which::Operation => (operation.code(), operation.end()),
            Which::Recover => (0, End::Old),
        };
        let ran = ran.expect(code);
        let recording = Recording::new(&start, &killed, &trace, &stand.dir);
        if recording.end() != stand.capture() {
            ran.fail("the recorded calls do not make what the run made");
        }
        let steps = trace.steps(&stand.dir);
        (Recorded { name, operation, recording, end }, steps)
    }
}

/// Boots one in so many of the different states that each model leaves.
pub fn run(
    scene: &Scene,
    recorded: &[Recorded<'_>],
    models: &[(&'static str, Model)],
    one_in: usize,
    boxes: usize,
) -> Boots {
    let mut tally = Boots::default();
    let mut jobs: Vec<(&Recorded<'_>, &'static str, State)> = Vec::new();
    for one in recorded {
        for (word, model) in models {
            let (states, tried) = one.recording.states(*model);
            let count = tally.counts.entry((one.name.clone(), word)).or_default();
            (count.tried, count.different) = (tried, states.len());
            let wanted = |state: &State| {
                state.ended || usize::from(state.tree.digest()[0]).is_multiple_of(one_in)
            };
            jobs.extend(states.into_iter().filter(wanted).map(|state| (one, *word, state)));
        }
    }
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(tally));
    std::thread::scope(|scope| {
        for number in 0..boxes {
            let (next, tally, jobs) = (&next, &tally, &jobs);
            scope.spawn(move || {
                let stand = Stand::new(scene, number);
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    let Some((one, word, state)) = jobs.get(at) else { break };
                    super::say_progress(at, jobs.len());
                    let result = boot(&stand, one, state);
                    let mut tally = tally.lock().unwrap();
                    match result {
                        Ok(end) => {
                            let count = tally.counts.entry((one.name.clone(), word)).or_default();
                            count.booted += 1;
                            *if end == End::New { &mut count.new } else { &mut count.old } += 1;
                        }
                        Err(why) => {
                            let listing: Vec<_> = state
                                .tree
                                .0
                                .iter()
                                .map(|(path, node)| {
                                    format!(
                                        "  {} {:?}",
                                        path.display(),
                                        node.bytes.as_ref().map(Vec::len)
                                    )
                                })
                                .collect();
                            tally.failures.push(format!(
                                "{}, {word}: {why}\n{}",
                                one.name,
                                listing.join("\n")
                            ));
                        }
                    }
                }
            });
        }
    });
    tally.into_inner().unwrap()
}

fn boot(stand: &Stand<'_>, one: &Recorded<'_>, state: &State) -> Result<End, String> {
    stand.put(&state.tree);
    stand.boot();
    let end = one.operation.ends().recovers(stand)?;
    if state.ended && end != one.end {
        return Err(format!("it had ended with {:?} live, and that is lost", one.end));
    }
    Ok(end)
}

impl Boots {
    /// All old and all new, of all states that ended as they should.
    pub fn both(&self) -> [usize; 2] {
        self.counts.values().fold([0, 0], |sum, count| [sum[0] + count.old, sum[1] + count.new])
    }

    /// Formats the totals.
    pub fn summary(&self) -> String {
        let ([old, new], failures) = (self.both(), self.failures.len());
        let tried: usize = self.counts.values().map(|count| count.tried).sum();
        let booted = old + new + failures;
        format!(
            "{tried} states tried, {booted} different ones booted: {old} all old, {new} all new, {failures} failed"
        )
    }

    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        self.counts.extend(other.counts);
        self.failures.extend(other.failures);
    }
}

/// Heading above the lines of a [`Boots`].
pub const HEADING: &str = "OPERATION                                    MODEL     TRIED DIFFERENT   BOOTED  ALL OLD  ALL NEW";

impl fmt::Display for Boots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, model), Count { tried, different, booted, old, new }) in &self.counts {
            writeln!(
                f,
                "{name:<44} {model:<8} {tried:>6} {different:>9} {booted:>8} {old:>8} {new:>8}"
            )?;
        }
        self.failures.iter().try_for_each(|failure| writeln!(f, "FAILED {failure}"))
    }
}
