//! The work of a search, shared by its boxes. Work makes more work: no box is done before all are.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex};

/// Work to be done.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<Pending<T>>,
    changed: Condvar,
}

#[derive(Debug)]
struct Pending<T> {
    waiting: VecDeque<T>,
    in_hand: usize,
}

/// Guard for work in hand, which counts as done even after a panic.
struct InHand<'a, T>(&'a Queue<T>);

impl<T> Queue<T> {
    /// Makes a queue with this work.
    pub fn new(work: impl IntoIterator<Item = T>) -> Self {
        let waiting = work.into_iter().collect();
        Self { state: Mutex::new(Pending { waiting, in_hand: 0 }), changed: Condvar::new() }
    }

    /// Does one piece after the other, until nobody has any left. New work is done first, as it may
    /// be long and make more.
    pub fn work(&self, mut one: impl FnMut(T) -> Vec<T>) {
        while let Some(work) = self.take() {
            let in_hand = InHand(self);
            let more = one(work);
            let mut state = self.state.lock().unwrap();
            more.into_iter().rev().for_each(|work| state.waiting.push_front(work));
            drop(state);
            drop(in_hand);
        }
    }

    fn take(&self) -> Option<T> {
        let is_idle = |state: &mut Pending<T>| state.waiting.is_empty() && state.in_hand > 0;
        let mut state = self.changed.wait_while(self.state.lock().unwrap(), is_idle).unwrap();
        let work = state.waiting.pop_front()?;
        state.in_hand += 1;
        Some(work)
    }
}

impl<T> Drop for InHand<'_, T> {
    fn drop(&mut self) {
        if let Ok(mut state) = self.0.state.lock() {
            state.in_hand -= 1;
        }
        self.0.changed.notify_all();
    }
}
