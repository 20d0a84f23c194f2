//! Tells the compiler which commit this is and when it was made.
//!
//! Both come from the environment (`SOURCE_DATE_EPOCH`, `SFTUNNEL_COMMIT`) if a packager set it,
//! else from git, else they are unknown. The time of the build itself is never used, so that the
//! same sources give the same bytes.

use std::env;
use std::path::Path;
use std::process::Command;

use time::OffsetDateTime;

/// Path of the workspace from this package.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The day this version was prepared, 2026-11-21: the lower bound for clocks if no commit is known,
/// as in a source archive. To be moved with the version.
const PREPARED: u64 = 1_795_219_200;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let (git_time, git_commit) = last_commit().unwrap_or_default();
    let time = given("SOURCE_DATE_EPOCH").unwrap_or(git_time).parse().unwrap_or(PREPARED);
    let commit = given("SFTUNNEL_COMMIT").unwrap_or(git_commit);

    let known: Vec<String> =
        [commit.clone(), date(time)].into_iter().filter(|part| !part.is_empty()).collect();
    let mut version = env!("CARGO_PKG_VERSION").to_owned();
    if !known.is_empty() {
        version.push_str(&format!(" ({})", known.join(" ")));
    }
    println!("cargo::rustc-env=SFTUNNEL_VERSION={version}");
    println!("cargo::rustc-env=SFTUNNEL_BUILD_UNIX_TIME={time}");
}

fn given(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Time and short hash of the last commit; `None` outside a clone, or when git is missing or
/// refuses.
fn last_commit() -> Option<(String, String)> {
    let dot_git = Path::new(WORKSPACE).join(".git");
    if !dot_git.exists() {
        // an unpacked archive; a repository above it is not ours
        return None;
    }
    // files that a commit or a checkout changes; only existing ones, as cargo takes a missing one
    // for changed
    for path in ["HEAD", "refs/heads", "packed-refs"] {
        let path = git(&["rev-parse", "--git-path", path])?;
        let path = Path::new(WORKSPACE).join(path);
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    let line = git(&["log", "-1", "--abbrev=12", "--format=%ct %h"])?;
    let (time, commit) = line.split_once(' ')?;
    Some((time.to_owned(), commit.to_owned()))
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(WORKSPACE).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The day in UTC, as `2026-11-21`; empty for an unknown time.
fn date(unix_time: u64) -> String {
    let known = i64::try_from(unix_time).ok().filter(|seconds| *seconds != 0);
    let time = known.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.map(|time| time.date().to_string()).unwrap_or_default()
}
