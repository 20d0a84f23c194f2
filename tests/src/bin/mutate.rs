//! Each guard of the installer changed in a copy, and the journeys run with the program that
//! comes of it: `make mutants`.
//!
//! cargo-mutants lists the changes. Its own runs judge a package by the package's tests; the
//! installer's are over the lab, in another package, and start a program. So: one clone of the
//! last commit, each change applied there as a patch, the program built, and the tests of this
//! tree run with it. What no test notices is a survivor.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use serde_json::Value;

/// Which tests meet the guards of a file. Everything that a file is answerable for has to be
/// noticed by these, so a survivor is also told when another test would notice it.
const TESTS: [(&str, &[&str]); 13] = [
    ("installer/src/atomic_file.rs", &["journey::", "interruption::", "races::"]),
    ("installer/src/backup.rs", &["journey::", "manual::", "interruption::"]),
    ("installer/src/journal.rs", &["interruption::", "health::"]),
    ("installer/src/judged.rs", &["journey::", "refusals::", "pairs::"]),
    ("installer/src/peers.rs", &["refusals::", "manual::", "races::", "journey::"]),
    ("installer/src/preflight.rs", &["refusals::", "clock::", "room::"]),
    ("installer/src/records.rs", &["journey::", "refusals::", "interruption::"]),
    ("installer/src/recovery.rs", &["interruption::", "health::"]),
    ("installer/src/reserve.rs", &["room::"]),
    ("installer/src/service.rs", &["health::", "journey::"]),
    ("installer/src/sources.rs", &["refusals::", "hostile::", "vouching::", "terminal::"]),
    ("installer/src/state.rs", &["refusals::", "tampering::", "interruption::"]),
    ("installer/src/transaction.rs", &["health::", "interruption::", "journey::"]),
];
/// No run of these tests takes longer with a program that works; in seconds.
const LIMIT: &str = "900";

struct Mutant {
    file: String,
    name: String,
    diff: String,
}

fn main() -> ExitCode {
    // for a part of it: only changes with one of these words in their names
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut mutants = list();
    mutants.retain(|mutant| {
        words.is_empty() || words.iter().any(|word| mutant.name.contains(word.as_str()))
    });
    let work = tempfile::tempdir().expect("a folder");
    let copy = work.path().join("copy");
    succeed(Command::new("git").args(["clone", "-q", "."]).arg(&copy));
    let target = fs::canonicalize("target").expect("target").join("mutate");
    let bench = Bench { suite: suite(), programs: programs(work.path(), &target) };
    assert!(build(&copy, &target), "the unchanged program does not build");
    // tests that fail anyway would notice everything
    let files: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
    for file in files {
        assert!(!bench.notices(file), "{file}: its tests fail without a change");
    }

    let (mut noticed, mut unviable, mut survivors) = (0, 0, Vec::new());
    for (at, mutant) in mutants.iter().enumerate() {
        let begun = Instant::now();
        patch(&copy, mutant, &[]);
        let outcome = if !build(&copy, &target) {
            unviable += 1;
            "does not compile"
        } else if bench.notices(&mutant.file) {
            noticed += 1;
            "noticed"
        } else {
            survivors.push(&mutant.name);
            "SURVIVES"
        };
        patch(&copy, mutant, &["-R"]);
        let (count, took) = (mutants.len(), begun.elapsed().as_secs());
        println!("{}/{count} {outcome}: {} ({took} s)", at + 1, mutant.name);
    }
    println!(
        "{} changes: {noticed} noticed, {unviable} did not compile, {} survived",
        mutants.len(),
        survivors.len()
    );
    for name in &survivors {
        println!("survived: {name}");
    }
    ExitCode::SUCCESS
}

fn list() -> Vec<Mutant> {
    let mut command = Command::new("cargo");
    command.args(["mutants", "--list", "--json", "--diff", "-p", "installer"]);
    command.args(["--exclude-re", "impl.*(Display|Debug|Serialize)"]);
    for (file, _) in TESTS {
        command.args(["-f", file]);
    }
    let output = command.stderr(Stdio::inherit()).output().expect("cargo mutants");
    let all: Vec<Value> = serde_json::from_slice(&output.stdout).expect("a list of changes");
    let text = |one: &Value, field: &str| one[field].as_str().expect(field).to_owned();
    all.iter()
        .map(|one| Mutant {
            file: text(one, "file"),
            name: text(one, "name"),
            diff: text(one, "diff"),
        })
        .collect()
}

/// A folder with the changed installer and everything else as this tree has it.
fn programs(work: &Path, target: &Path) -> PathBuf {
    let dir = work.join("bin");
    fs::create_dir(&dir).expect("a folder");
    let own = std::env::current_exe().expect("the program's own path");
    let own = own.parent().expect("a folder");
    for name in ["sftunnel-bundle", "lab", "pmtool", "sftunneld", "sftunnel-status-brief"] {
        symlink(own.join(name), dir.join(name)).expect("a link");
    }
    symlink(target.join("debug/sftunnel-install"), dir.join("sftunnel-install")).expect("a link");
    dir
}

fn build(copy: &Path, target: &Path) -> bool {
    let mut command = Command::new("cargo");
    command.current_dir(copy).env("CARGO_TARGET_DIR", target);
    command.args(["build", "--quiet", "--locked", "-p", "installer", "--bins"]);
    command.stderr(Stdio::null()).status().expect("cargo").success()
}

/// The tests, without `cargo` around them.
fn suite() -> PathBuf {
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--locked", "-p", "tests", "--test", "tests", "--no-run"]);
    command.args(["--message-format", "json"]).stderr(Stdio::inherit());
    let output = command.output().expect("cargo");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut built = lines.filter_map(|line| Some(PathBuf::from(line["executable"].as_str()?)));
    built.next_back().expect("a program")
}

/// Where a changed program is tried.
struct Bench {
    suite: PathBuf,
    programs: PathBuf,
}

impl Bench {
    /// The quickest tests first; the others only when these notice nothing.
    fn notices(&self, file: &str) -> bool {
        let (_, filters) = TESTS.iter().find(|(of, _)| *of == file).expect("one of the files");
        filters.iter().any(|filter| self.fails(filter))
    }

    /// Whether one of these tests fails; the first one ends it. What runs in the lab then ends
    /// with it, as all of it has a process namespace, and files, of its own.
    fn fails(&self, filter: &str) -> bool {
        let scratch = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", LIMIT, "unshare", "--pid", "--fork"]);
        command.args(["--kill-child=KILL", "--mount-proc"]).arg(&self.suite).arg(filter);
        command.current_dir("tests").env("SFTUNNEL_BIN_DIR", &self.programs);
        command.env("TMPDIR", scratch.path()).env("RUST_BACKTRACE", "0");
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("timeout");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let failed = lines.map_while(Result::ok).any(|line| line.ends_with("... FAILED"));
        if failed {
            // `timeout` leads a group of its own
            succeed(Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]));
        }
        let status = child.wait().expect("a program");
        failed || !status.success()
    }
}

/// The file is named, as the diff's second name is the change in words.
fn patch(copy: &Path, mutant: &Mutant, options: &[&str]) {
    let mut command = Command::new("patch");
    command.current_dir(copy).arg("-s").args(options).arg(&mutant.file).stdin(Stdio::piped());
    let mut child = command.spawn().expect("patch");
    child.stdin.take().expect("a pipe").write_all(mutant.diff.as_bytes()).expect("a patch");
    assert!(child.wait().expect("patch").success(), "it does not fit:\n{}", mutant.diff);
}

fn succeed(command: &mut Command) {
    assert!(command.status().expect("a program").success(), "{command:?}");
}
