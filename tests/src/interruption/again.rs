//! `recover` cut off at each of its own calls, then the recovery of that, and so on until
//! nothing new is left behind.
//!
//! The first time, that is done wherever a kill of the operation left something new. What a
//! killed `recover` leaves is gone into when it is nothing that was seen before, where *seen* is
//! what the next `recover` can go by: goal and phase of the journal, whether sftunnel is still
//! the process of before, which of the live files are old, new or absent, and what lies about
//! under dot names. There are a hundred or so of these, so the search comes to an end.

use std::collections::HashSet;
use std::sync::Mutex;

use super::fault::{Fault, interrupted, record};
use super::matrix::{Extent, Missed, Operation, Tally, Worker};
use super::stand::{Files, Scene, Stand};
use super::trace::{Call, Step};
use super::verdict::End;
use crate::ran::Ran;

/// Calls and states that need not be searched again.
#[derive(Debug, Default)]
pub struct Seen {
    /// Sequences of calls by which `recover` works.
    ways: Mutex<HashSet<Vec<String>>>,
    /// Beginnings of a `recover`.
    states: Mutex<HashSet<String>>,
}

impl Seen {
    fn is_new_way(&self, steps: &[Step]) -> bool {
        let way = steps.iter().map(|step| step.call.name.clone()).collect();
        self.ways.lock().unwrap().insert(way)
    }

    fn is_new_state(&self, state: String) -> bool {
        self.states.lock().unwrap().insert(state)
    }

    /// Number of different beginnings of a `recover`.
    pub fn count(&self) -> usize {
        self.states.lock().unwrap().len()
    }
}

/// The operation killed at the first step, `recover` at each of the others.
pub(super) type Kills = Vec<Step>;

/// One call of a `recover` that follows these kills.
pub(super) struct Cut<'a> {
    pub(super) operation: &'a Operation,
    kills: Kills,
    index: usize,
    inner: Step,
    is_new_way: bool,
}

/// Searches `recover` after these kills, and everything that follows.
pub fn after(scene: &Scene, operation: &Operation, kills: &[Step], extent: Extent) -> Tally {
    let (tally, seen) = (Mutex::default(), Seen::default());
    let worker = Worker::new(Stand::new(scene, 904), extent, &tally, &seen);
    for cut in worker.recovery_after(operation, kills) {
        worker.cut(&cut);
    }
    drop(worker);
    tally.into_inner().unwrap()
}

impl Worker<'_> {
    /// `recover` after these kills, to be cut off at each of its calls.
    pub(super) fn recovery_after<'a>(
        &self,
        operation: &'a Operation,
        kills: &[Step],
    ) -> Vec<Cut<'a>> {
        let (stand, kills) = (&self.stand, self.here(kills));
        let left = || self.left_by(operation, &kills);
        // each look at sftunnel opens files, too, and it may take one look more or less
        let left = (0..12).fold(left(), |last, _| last.or_else(|_| left()));
        if let Err(Missed::Call(why) | Missed::Promise(why)) = left {
            let failure = format!("{}, killed at {}: {why}", operation.name, places(&kills));
            self.tally.lock().unwrap().failures.push(failure);
            return Vec::new();
        }
        let is_new = self.seen.is_new_state(found(operation, stand));
        // until sftunnel is to be started, it is an installation like any other
        if operation.is_in_vain() && kills.len() == 1 && !is_new {
            return Vec::new();
        }
        let steps = record(stand, operation.recover(stand)).1.steps(&stand.dir);
        let is_new_way = self.seen.is_new_way(&steps);
        let cut =
            |(index, inner)| Cut { operation, kills: kills.clone(), index, inner, is_new_way };
        steps.into_iter().enumerate().map(cut).collect()
    }

    /// Runs all cases at one of its calls, and returns those that lead to something new. Errors and
    /// signals are tried only on a way that was not seen before.
    pub(super) fn cut(&self, cut: &Cut<'_>) -> Vec<Kills> {
        let Cut { operation, index, is_new_way, .. } = *cut;
        let (stand, kills) = (&self.stand, self.here(&cut.kills));
        let inner = &cut.inner.rebased(&stand.dir);
        let is_first = kills.len() == 1;
        let name =
            format!("recovery{} of: {}", if is_first { "" } else { " again" }, operation.name);
        let left = || self.left_by(operation, &kills);
        let mut further = Vec::new();
        // a kill elsewhere leaves the same as at the call before
        let kill = inner.is_new_state.then_some(Fault::Kill);
        let others = Fault::of(&inner.call).filter(|fault| *fault != Fault::Kill && is_new_way);
        for fault in kill.into_iter().chain(others) {
            let case = format!(
                "{}, killed at {}: recover {fault} at {}",
                operation.name,
                places(&kills),
                inner.call.shown()
            );
            if !self.is_wanted(&case, false) {
                continue;
            }
            let record = || match left() {
                Ok(()) => record(stand, operation.recover(stand)).1.steps(&stand.dir),
                Err(_) => Vec::new(),
            };
            self.case((&case, &name, fault), (index, inner), record, |inner| {
                left()?;
                let before = stand.files();
                let run = operation.recover(stand);
                let ran = interrupted(stand, run, inner, fault).map_err(Missed::Call)?;
                let is_new =
                    fault == Fault::Kill && self.seen.is_new_state(found(operation, stand));
                if is_new {
                    further.push([&kills[..], std::slice::from_ref(inner)].concat());
                } else if fault == Fault::Kill && !is_first {
                    return Ok(None);
                }
                self.judged(operation, &ran, (&inner.call, fault), &before)
                    .map(Some)
                    .map_err(Missed::Promise)
            });
        }
        further
    }

    /// Brings the box into the state that these kills leave.
    fn left_by(&self, operation: &Operation, kills: &[Step]) -> Result<(), Missed> {
        let stand = &self.stand;
        operation.prepare(stand);
        let mut run = operation.run(stand);
        for kill in kills {
            interrupted(stand, run, kill, Fault::Kill).map_err(Missed::Call)?;
            run = operation.recover(stand);
        }
        std::thread::sleep(self.pause.get());
        Ok(())
    }

    /// Judges a `recover` with a fault, and the `recover` after it.
    fn judged(
        &self,
        operation: &Operation,
        ran: &Ran,
        at: (&Call, Fault),
        before: &Files,
    ) -> Result<End, String> {
        let (stand, ends) = (&self.stand, operation.ends());
        match (at.1, ran.code()) {
            (Fault::Kill, _) => {}
            // at rest it is ended by the signal itself
            (Fault::Signal(_), None) if stand.files() == *before => {}
            _ => ends.code_is_true(stand, ran, Some(at), before)?,
        }
        stand.misbehave("none");
        operation.see_to_sftunnel(stand, ran);
        ends.recovers(stand)
    }
}

fn places(kills: &[Step]) -> String {
    let places: Vec<_> = kills.iter().map(|step| step.call.shown()).collect();
    places.join(", again at ")
}

/// Describes everything on which the next `recover` depends.
fn found(operation: &Operation, stand: &Stand<'_>) -> String {
    let found = stand.as_found(operation.ends());
    let starts_nothing = operation.is_in_vain() && found.starts_with("install restart");
    found + if starts_nothing { ", which does not start" } else { "" }
}
