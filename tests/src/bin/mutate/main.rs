//! `make mutants`: changes each guard of the installer in a copy, and runs the journeys with the
//! resulting program.
//!
//! cargo-mutants lists the changes. Its own runs judge a package by the package's tests; the
//! installer's are over the lab, in another package, and start a program. So: clones of the last
//! commit, each change applied in one of them as a patch, the program built, and the tests of this
//! tree run with it. A change that no test notices is a survivor.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod asked;

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use serde_json::Value;
use tests::interruption::queue::Queue;

/// Time limit in seconds, beyond any run of these tests with a working program.
const LIMIT: &str = "900";

struct Mutant {
    file: String,
    name: String,
    diff: String,
}

/// Result of a change.
#[derive(PartialEq)]
enum Outcome {
    Unviable,
    /// Noticed by this test.
    Noticed(String),
    Survives,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unviable => f.write_str("does not compile"),
            Self::Noticed(test) => write!(f, "noticed by {test}"),
            Self::Survives => f.write_str("SURVIVES"),
        }
    }
}

fn main() -> ExitCode {
    // for a part of it: only changes with one of these words in their names
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut mutants = list();
    mutants.retain(|mutant| {
        words.is_empty() || words.iter().any(|word| mutant.name.contains(word.as_str()))
    });
    let work = tempfile::tempdir().expect("a folder");
    // copies, so that this tree may be worked in meanwhile
    let suite = work.path().join("suite");
    fs::copy(built_suite(), &suite).expect("a copy");
    // the tests wait more than they compute
    let count = thread::available_parallelism().map_or(1, usize::from) + 2;
    let first = Bench::new(&work.path().join("0"), "0", &suite, None);
    let others = (1..count).map(|at| {
        let name = at.to_string();
        Bench::new(&work.path().join(&name), &name, &suite, Some(&first))
    });
    let others: Vec<Bench> = others.collect();
    let benches = || others.iter().chain([&first]);
    // tests that fail anyway would notice everything
    let filters = mutants.iter().flat_map(|mutant| asked::of(&mutant.file));
    let filters: BTreeSet<&str> = filters.copied().collect();
    on_all(benches(), &Queue::new(filters), |bench, filter: &str| {
        assert_eq!(bench.noticing(filter), None, "{filter} fails without a change");
    });
    assert!(first.own_tests_pass(), "the package's own tests fail without a change");

    let (total, done) = (mutants.len(), AtomicUsize::new(0));
    let outcomes = Mutex::new(Vec::new());
    on_all(benches(), &Queue::new(&mutants), |bench, mutant: &Mutant| {
        let begun = Instant::now();
        let outcome = bench.outcome(mutant);
        let (at, took) = (done.fetch_add(1, Ordering::SeqCst) + 1, begun.elapsed().as_secs());
        println!("{at}/{total} {} ({took} s): {outcome}", mutant.name);
        outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((outcome, mutant));
    });
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let count = |of: &Outcome| outcomes.iter().filter(|(outcome, _)| outcome == of).count();
    let (unviable, survived) = (count(&Outcome::Unviable), count(&Outcome::Survives));
    println!(
        "{total} changes: {} noticed, {unviable} did not compile, {survived} survived",
        total - unviable - survived
    );
    for (_, mutant) in outcomes.iter().filter(|(outcome, _)| *outcome == Outcome::Survives) {
        println!("survived: {}", mutant.name);
    }
    ExitCode::SUCCESS
}

/// Lets every bench work until nothing is left.
fn on_all<'a, T: Send>(
    benches: impl Iterator<Item = &'a Bench>,
    queue: &Queue<T>,
    work: impl Fn(&Bench, T) + Sync,
) {
    let work = &work;
    thread::scope(|scope| {
        for bench in benches {
            scope.spawn(move || {
                queue.work(|one| {
                    work(bench, one);
                    Vec::new()
                });
            });
        }
    });
}

fn list() -> Vec<Mutant> {
    let mut command = Command::new("cargo");
    command.args(["mutants", "--list", "--json", "--diff", "-p", "installer", "-p", "cli"]);
    command.args(["--exclude-re", "impl.*(Display|Debug|Serialize)", "-f", "installer/src/**"]);
    // what the installer replaces files with
    command.args(["-p", "cli", "-f", "formats/cli/src/disk/durable.rs"]);
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

/// Builds the tests and returns their program.
fn built_suite() -> PathBuf {
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--locked", "-p", "tests", "--test", "tests", "--no-run"]);
    command.args(["--message-format", "json"]).stderr(Stdio::inherit());
    let output = command.output().expect("cargo");
    let text = String::from_utf8(output.stdout).expect("text");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    // this package's programs are built, and listed, along with it
    let mut suites = lines.filter(|line| line["target"]["kind"][0] == "test");
    let suite = suites.find_map(|line| Some(PathBuf::from(line["executable"].as_str()?)));
    suite.expect("a program")
}

/// Folder in which a changed program is built and tried.
struct Bench {
    suite: PathBuf,
    copy: PathBuf,
    target: PathBuf,
    programs: PathBuf,
}

impl Bench {
    /// Makes a bench with its own clone and everything that another one, or this tree, has compiled
    /// already.
    fn new(work: &Path, name: &str, suite: &Path, compiled: Option<&Self>) -> Self {
        let target = fs::canonicalize("target").expect("target").join("mutate").join(name);
        let (copy, programs) = (work.join("copy"), work.join("bin"));
        fs::create_dir_all(&programs).expect("a folder");
        succeed(Command::new("git").args(["clone", "-q", "."]).arg(&copy));
        if !target.exists() {
            fs::create_dir_all(target.join("debug")).expect("a folder");
            let from = compiled.map_or(Path::new("target"), |other| &other.target).join("debug");
            for part in [".fingerprint", "build", "deps"] {
                succeed(
                    Command::new("cp").arg("-a").arg(from.join(part)).arg(target.join("debug")),
                );
            }
        }
        let own = std::env::current_exe().expect("the program's own path");
        let own = own.parent().expect("a folder");
        for name in ["sftunnel-bundle", "lab", "pmtool", "sftunneld", "sftunnel-status-brief"] {
            fs::copy(own.join(name), programs.join(name)).expect("a copy");
        }
        let changed = target.join("debug/sftunnel-install");
        symlink(changed, programs.join("sftunnel-install")).expect("a link");
        let bench = Self { suite: suite.to_owned(), copy, target, programs };
        assert!(bench.build(), "the unchanged program does not build");
        bench
    }

    /// Makes a cargo command for the changed package, in the copy.
    fn cargo(&self, what: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", LIMIT, "cargo"]);
        command.current_dir(&self.copy).env("CARGO_TARGET_DIR", &self.target);
        // our own code is built again for each change: the libraries stay as they are
        command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "0").env("CARGO_PROFILE_DEV_DEBUG", "false");
        command.args([what, "--quiet", "--locked", "-p", "installer"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn build(&self) -> bool {
        self.cargo("build").arg("--bins").status().expect("timeout").success()
    }

    fn outcome(&self, mutant: &Mutant) -> Outcome {
        patch(&self.copy, mutant, &[]);
        let outcome = if !self.build() {
            Outcome::Unviable
        } else {
            self.noticed_by(&mutant.file).map_or(Outcome::Survives, Outcome::Noticed)
        };
        patch(&self.copy, mutant, &["-R"]);
        outcome
    }

    /// Finds the first test that fails. The quickest run first, the others only if these notice
    /// nothing, and the package's own tests, which have to be built, before the last.
    fn noticed_by(&self, file: &str) -> Option<String> {
        let (last, first) = asked::of(file).split_last().expect("a filter");
        let journeys = |filters: &[&str]| filters.iter().find_map(|filter| self.noticing(filter));
        let own = || (!self.own_tests_pass()).then(|| "the package's own tests".to_owned());
        journeys(first).or_else(own).or_else(|| journeys(&[last]))
    }

    fn own_tests_pass(&self) -> bool {
        self.cargo("test").arg("--lib").status().expect("timeout").success()
    }

    /// Finds a test that fails, and fails again when run alone: beside the other benches a test may
    /// fail for lack of time, which is not due to the change.
    fn noticing(&self, filter: &str) -> Option<String> {
        let mut passed_alone = Vec::new();
        loop {
            let skipped = passed_alone.iter().flat_map(|name: &String| ["--skip", name.as_str()]);
            let failed = self.failing([filter].into_iter().chain(skipped))?;
            let is_a_test = failed.starts_with(filter);
            if !is_a_test || self.failing([failed.as_str(), "--exact"]).is_some() {
                return Some(failed);
            }
            passed_alone.push(failed);
        }
    }

    /// Finds the first failing test, which ends the run. Processes of the lab end with it, as the
    /// run has its own process namespace and files.
    fn failing<'a>(&self, which: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let scratch = tempfile::tempdir().expect("a folder");
        // tests run a program as somebody else, too
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", LIMIT, "unshare", "--pid", "--fork"]);
        command.args(["--kill-child=KILL", "--mount-proc"]).arg(&self.suite).args(which);
        command.current_dir("tests").env("SFTUNNEL_BIN_DIR", &self.programs);
        command.env("TMPDIR", scratch.path()).env("RUST_BACKTRACE", "0");
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("timeout");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let failed = lines.map_while(Result::ok).find_map(|line| {
            Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned())
        });
        if failed.is_some() {
            // `timeout` leads a group of its own
            succeed(Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]));
        }
        let status = child.wait().expect("a program");
        failed.or_else(|| (!status.success()).then(|| format!("the tests as a whole ({status})")))
    }
}

/// Applies the change. The file is named explicitly, as the diff's second name is the change in
/// words.
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
