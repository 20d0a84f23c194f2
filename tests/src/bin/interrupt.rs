//! The whole search for a moment that loses something: `make interrupt`.
//!
//! Slow, so not part of `make test`, which runs a sample of the same.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::indexing_slicing)]

use std::process::ExitCode;
use std::time::Instant;

use tests::interruption::again::Seen;
use tests::interruption::matrix::{self, Extent, Operation};
use tests::interruption::power;
use tests::interruption::stand::Scene;

fn main() -> ExitCode {
    let begun = Instant::now();
    // for trying things out: one in so many, and only operations with this in their names
    let (one_in, named) = (std::env::args().nth(1), std::env::args().nth(2));
    let one_in = one_in.map_or(1, |word| word.parse().expect("a number: one case in so many"));
    let extent = if one_in == 1 { Extent::Full } else { Extent::Sample(one_in) };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let scenes = [Scene::new(1), Scene::new(2)];
    let mut operations = Operation::of_one_manager(&scenes[0]);
    operations.push(Operation::of_two_managers(&scenes[1]));
    operations.retain(|one| named.as_ref().is_none_or(|word| one.name.contains(word)));
    let scene = |operation: &Operation| &scenes[usize::from(operation.is_of_two_managers())];

    println!("Switched off: every state that a power cut may leave, booted and recovered.");
    println!("{}", power::HEADING);
    let mut states = power::Tally::default();
    for operation in &operations {
        let recorded = power::recordings(scene(operation), operation);
        let models = &power::MODELS;
        let tally = power::run(scene(operation), &recorded, models, one_in, cores * 3);
        print!("{tally}");
        states.add(tally);
    }
    println!("{} s, {}\n", begun.elapsed().as_secs(), states.summary());

    println!("Interrupted: every call that changes a file, with every fault; then recovered.");
    println!("{}", matrix::HEADING);
    let (mut cases, seen) = (matrix::Tally::default(), Seen::default());
    for operation in &operations {
        // most of the time a box waits: for the disk, or for sftunnel
        let boxes = if operation.is_in_vain() { cores * 9 } else { cores * 3 };
        let one = std::slice::from_ref(operation);
        let tally = matrix::run(scene(operation), one, extent, boxes, &seen);
        print!("{tally}");
        cases.add(tally);
    }
    println!("{} s, {}", begun.elapsed().as_secs(), cases.summary());
    println!("recover was begun from {} different states", seen.count());
    let is_good = states.failures.is_empty() && cases.failures.is_empty();
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
