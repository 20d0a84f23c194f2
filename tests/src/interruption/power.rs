//! A box that was switched off: every state of its disk, booted and recovered.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::disk::{Model, Recording, State};
use super::fault::{Fault, interrupted, record};
use super::matrix::Operation;
use super::stand::{Scene, Stand};
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
    /// What is live when it has ended.
    end: End,
}

/// How often what was seen.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    tried: usize,
    different: usize,
    booted: usize,
    old: usize,
    new: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Tally {
    counts: BTreeMap<(String, &'static str), Count>,
    /// What did not hold.
    pub failures: Vec<String>,
}

/// Records the operation, and `recover` after a kill between its renames.
///
/// In another boot: what is recorded names the boot, and whoever recovers comes after a new one.
pub fn recordings<'a>(scene: &Scene, operation: &'a Operation) -> Vec<Recorded<'a>> {
    let stand = Stand::new(scene, 903);
    let boot = scene.world.write("boot-id", "00000000-0000-4000-8000-000000000000\n");
    let bind =
        format!("mount --bind '{}' /proc/sys/kernel/random/boot_id && exec \"$@\"", boot.display());
    let in_another_boot = |run: Run| run.under(&["unshare", "-m", "sh", "-c", &bind, "sh"]);
    let recorded = |name: String, run: Run, code: i32, end: End| {
        let start = stand.capture();
        let (ran, trace) = record(&stand, in_another_boot(run));
        let ran = ran.expect(code);
        let recording = Recording::new(&start, &trace, &stand.dir);
        if recording.end() != stand.capture() {
            ran.fail("the recorded calls do not make what the run made");
        }
        (Recorded { name, operation, recording, end }, trace)
    };
    operation.prepare(&stand);
    let run = operation.run(&stand);
    let (whole, trace) =
        recorded(operation.name.to_owned(), run, operation.code(), operation.end());
    let steps = trace.steps(&stand.dir);
    // of an installation that is undone, the last is that of the way back
    let mut between = steps.iter().filter(|step| step.call.shape().ends_with(" sftunnel-cert.pem"));
    let between = between.rfind(|step| step.call.name == "renameat").expect("a rename");
    operation.prepare(&stand);
    let run = in_another_boot(operation.run(&stand));
    interrupted(&stand, run, between, Fault::Kill).expect("the kill");
    let recover = operation.recover(&stand);
    let (recovery, _) = recorded(format!("recovery of: {}", operation.name), recover, 0, End::Old);
    vec![whole, recovery]
}

/// Boots one in so many of the different states that each model leaves.
pub fn run(
    scene: &Scene,
    recorded: &[Recorded<'_>],
    models: &[(&'static str, Model)],
    one_in: usize,
    boxes: usize,
) -> Tally {
    let mut tally = Tally::default();
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
                while let Some((one, word, state)) = jobs.get(next.fetch_add(1, Ordering::SeqCst)) {
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

impl Tally {
    /// All old and all new, of all states that ended as they should.
    pub fn both(&self) -> [usize; 2] {
        self.counts.values().fold([0, 0], |sum, count| [sum[0] + count.old, sum[1] + count.new])
    }

    /// The sums.
    pub fn summary(&self) -> String {
        let ([old, new], failures) = (self.both(), self.failures.len());
        let tried: usize = self.counts.values().map(|count| count.tried).sum();
        let booted = old + new + failures;
        format!(
            "{tried} states tried, {booted} different ones booted: {old} all old, {new} all new, {failures} failed"
        )
    }

    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.counts.extend(other.counts);
        self.failures.extend(other.failures);
    }
}

/// What stands above the lines of a [`Tally`].
pub const HEADING: &str = "OPERATION                                    MODEL     TRIED DIFFERENT   BOOTED  ALL OLD  ALL NEW";

impl fmt::Display for Tally {
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
