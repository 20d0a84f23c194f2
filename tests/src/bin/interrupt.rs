//! The whole search for a moment that loses something: `make interrupt`.
//!
//! Slow, so not part of `make test`, which runs a sample of the same.
//!
//! ```text
//! interrupt [HALF [ONE_IN [NAME]]]
//!   HALF     states (of the disk, after a power cut), calls (interrupted), or both
//!   ONE_IN   for trying things out: one case in so many
//!   NAME     only operations with this in their names
//! ```

#![allow(clippy::print_stdout, clippy::expect_used, clippy::indexing_slicing)]

use std::process::ExitCode;
use std::time::Instant;

use tests::interruption::again::Seen;
use tests::interruption::matrix::{self, Extent, Operation};
use tests::interruption::power;
use tests::interruption::stand::Scene;

struct Search {
    scenes: [Scene; 2],
    operations: Vec<Operation>,
    one_in: usize,
    boxes: usize,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let half = words.first().map_or("both", String::as_str);
    assert!(["states", "calls", "both"].contains(&half), "states, calls or both, not '{half}'");
    let one_in = words.get(1).map_or(1, |word| word.parse().expect("a number"));
    let named = words.get(2);
    let scenes = [Scene::new(1), Scene::new(2)];
    let mut operations = Operation::of_one_manager(&scenes[0]);
    operations.push(Operation::of_two_managers(&scenes[1]));
    operations.retain(|one| named.is_none_or(|word| one.name.contains(word)));
    // most of the time a box waits: for the disk, or for sftunnel
    let boxes = 3 * std::thread::available_parallelism().map_or(2, usize::from);
    let search = Search { scenes, operations, one_in, boxes };
    let good = [half == "calls" || search.states(), half == "states" || search.calls()];
    if good == [true; 2] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Search {
    fn scene(&self, operation: &Operation) -> &Scene {
        &self.scenes[usize::from(operation.is_of_two_managers())]
    }

    fn states(&self) -> bool {
        let begun = Instant::now();
        println!("Switched off: every state that a power cut may leave, booted and recovered.");
        println!("{}", power::HEADING);
        let mut states = power::Boots::default();
        for operation in &self.operations {
            let scene = self.scene(operation);
            let recorded = power::recordings(scene, operation);
            let tally = power::run(scene, &recorded, &power::MODELS, self.one_in, self.boxes);
            print!("{tally}");
            states.add(tally);
        }
        println!("{} s, {}\n", begun.elapsed().as_secs(), states.summary());
        states.failures.is_empty()
    }

    fn calls(&self) -> bool {
        let begun = Instant::now();
        println!("Interrupted: every call that changes a file, with every fault; then recovered.");
        println!("{}", matrix::HEADING);
        let extent = if self.one_in == 1 { Extent::Full } else { Extent::Sample(self.one_in) };
        let (mut cases, seen) = (matrix::Tally::default(), Seen::default());
        for operation in &self.operations {
            let boxes = if operation.is_in_vain() { self.boxes * 3 } else { self.boxes };
            let one = std::slice::from_ref(operation);
            let tally = matrix::run(self.scene(operation), one, extent, boxes, &seen);
            print!("{tally}");
            cases.add(tally);
        }
        println!("{} s, {}", begun.elapsed().as_secs(), cases.summary());
        println!("recover was begun from {} different states", seen.count());
        cases.failures.is_empty()
    }
}
