//! Faults at a call, and runs with one of them.
//!
//! A kill and an error number are put in by `strace`. A short write cannot be: `strace` can
//! make a call *return* less, but then nothing at all is written. So the kernel is made to
//! write less: the process is stopped after the call before, its limit on the size of a file
//! (`RLIMIT_FSIZE`) is set to half of what is to be written, and lifted when it is stopped
//! again after the write. The bytes on disk and the returned count are then the kernel's own.

use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::stand::Stand;
use super::trace::{CALLS, Call, Step, Trace, descriptor};
use crate::ran::{Ran, Run, tool};

/// Fault at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process is killed as it enters the call; the call does not happen.
    Kill,
    /// The call does not happen and fails with this error.
    Error(&'static str),
    /// This signal, without its SIG, comes as the process enters the call.
    Signal(&'static str),
    /// Half of the bytes are written; the rest by the next call.
    Short,
    /// Half of the bytes are written, and the write of the rest fails with `EFBIG`.
    ShortThenFull,
}

impl Fault {
    /// Faults that apply to every call.
    pub const EVERYWHERE: [Self; 5] = [
        Self::Kill,
        Self::Error("EIO"),
        Self::Error("ENOSPC"),
        Self::Error("EROFS"),
        Self::Error("EINTR"),
    ];
    /// Faults that apply to writes.
    pub const WRITES: [Self; 2] = [Self::Short, Self::ShortThenFull];
    /// Signals by which operators end a program; as all have to mean the same, each call gets one
    /// of them.
    const STOPS: [Self; 3] = [Self::Signal("INT"), Self::Signal("TERM"), Self::Signal("QUIT")];

    /// Error that the program sees.
    pub fn error(self) -> Option<&'static str> {
        match self {
            Self::Kill | Self::Short | Self::Signal(_) => None,
            Self::Error(name) => Some(name),
            Self::ShortThenFull => Some("EFBIG"),
        }
    }

    /// Lists the faults that apply to a call.
    pub fn of(call: &Call) -> impl Iterator<Item = Self> {
        let writes = if call.name == "write" { &Self::WRITES[..] } else { &[] };
        let stop = Self::STOPS.into_iter().cycle().nth(call.nth % Self::STOPS.len());
        let errors = Self::refusals_of(&call.name).iter().copied().map(Self::Error);
        let everywhere = Self::EVERYWHERE.into_iter().chain(stop).chain([Self::Signal("HUP")]);
        everywhere.chain(errors).chain(writes.iter().copied())
    }

    /// Other refusals of a call of this name: a used-up quota; an immutable file (`chattr +i`) or
    /// folder, or a security module, which apply to root as well.
    fn refusals_of(call: &str) -> &'static [&'static str] {
        match call {
            "write" | "fallocate" => &["EDQUOT"],
            "mkdirat" => &["EDQUOT", "EACCES"],
            "openat" => &["EDQUOT", "EACCES", "EPERM"],
            "renameat" | "unlinkat" => &["EACCES", "EPERM"],
            "fchown" | "fchmod" => &["EPERM"],
            "fsetxattr" | "fremovexattr" => &["EPERM", "EACCES", "EOPNOTSUPP"],
            _ => &[],
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => write!(f, "killed"),
            Self::Error(name) => write!(f, "{name}"),
            Self::Signal(name) => write!(f, "SIG{name}"),
            Self::Short => write!(f, "short write"),
            Self::ShortThenFull => write!(f, "short write, EFBIG"),
        }
    }
}

/// Runs a program and records its calls.
pub fn record(stand: &Stand<'_>, run: Run) -> (Ran, Trace) {
    traced(stand, run, &[])
}

/// Runs a program with a fault at a call.
///
/// # Errors
/// Fails when the run came to another call there: the caller resets the box and tries again.
pub fn interrupted(stand: &Stand<'_>, run: Run, step: &Step, fault: Fault) -> Result<Ran, String> {
    let Step { call, before, .. } = step;
    let inject = |what: &str| format!("inject={}:{what}:when={}", call.name, call.nth);
    let (ran, trace) = match fault {
        Fault::Kill => traced(stand, run, &[&inject("signal=KILL")]),
        Fault::Error(name) => traced(stand, run, &[&inject(&format!("error={name}"))]),
        Fault::Signal(name) => traced(stand, run, &[&inject(&format!("signal={name}"))]),
        Fault::Short | Fault::ShortThenFull => {
            let before = before.as_ref().ok_or("a write is the first call")?;
            short(stand, run, before, call, fault)?
        }
    };
    let hit = match fault {
        Fault::Kill | Fault::Error(_) => trace.hit(),
        _ => trace.all.iter().find(|one| one.name == call.name && one.nth == call.nth),
    };
    let hit = hit.ok_or_else(|| format!("the fault was not reached: {}", ran.output()))?;
    if let Fault::Signal(name) = fault
        && !trace.signals.iter().any(|signal| signal == name)
    {
        return Err(format!("SIG{name} did not come: {}", ran.output()));
    }
    if hit.shape() != call.shape() {
        return Err(format!("the fault was at {} instead of {}", hit.shape(), call.shape()));
    }
    if matches!(fault, Fault::Short | Fault::ShortThenFull) && hit.returned >= call.returned {
        return Err(format!("the write was not short: {}", ran.output()));
    }
    Ok(ran)
}

fn traced(stand: &Stand<'_>, run: Run, injections: &[&str]) -> (Ran, Trace) {
    let file = stand.dir.join("trace");
    let _ = fs::remove_file(&file);
    let ran = under_strace(run, &file, injections).run();
    let text = String::from_utf8_lossy(&fs::read(&file).unwrap_or_default()).into_owned();
    (ran, Trace::parse(&text))
}

/// Runs below `strace`, without `-f`: pmtool and its children are left alone. The installer has one
/// thread.
fn under_strace(run: Run, file: &Path, injections: &[&str]) -> Run {
    tool("strace", "strace");
    let mut words = vec!["strace".to_owned(), "-y".into(), "-a0".into(), "-s100000".into()];
    words.extend([
        "-o".to_owned(),
        file.display().to_string(),
        "-e".into(),
        format!("trace={CALLS}"),
    ]);
    for injection in injections {
        words.extend(["-e".to_owned(), (*injection).to_owned()]);
    }
    run.under(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Runs a program whose write the kernel cuts short.
fn short(
    stand: &Stand<'_>,
    run: Run,
    before: &Call,
    call: &Call,
    fault: Fault,
) -> Result<(Ran, Trace), String> {
    if before.name == call.name {
        return Err("two writes in a row".to_owned());
    }
    let file = stand.dir.join("trace");
    let _ = fs::remove_file(&file);
    let last = if fault == Fault::Short { call.nth } else { call.nth + 1 };
    let stops = [
        format!("inject={}:signal=STOP:when={}", before.name, before.nth),
        format!("inject={}:signal=STOP:when={}..{last}", call.name, call.nth),
    ];
    let run = under_strace(run, &file, &[&stops[0], &stops[1]]);
    // beyond the limit comes a signal; a process that ignores it is told by EFBIG
    let started = run.under(&["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"]).start();
    let drive = || -> Result<(), String> {
        let pid = await_stop(started.pid(), &file, 1)?;
        let path = call.args.first().and_then(|arg| descriptor(arg)).ok_or("no descriptor")?.1;
        let there = fs::metadata(path).map_or(0, |found| found.len());
        let half = u64::try_from(call.returned.unwrap_or_default()).unwrap_or_default() / 2;
        limit(&pid, &(there + half).to_string())?;
        go_on(&pid)?;
        await_stop(started.pid(), &file, 2)?;
        if fault == Fault::ShortThenFull {
            go_on(&pid)?;
            await_stop(started.pid(), &file, 3)?;
        }
        limit(&pid, "unlimited")?;
        go_on(&pid)
    };
    let driven = drive();
    if driven.is_err() {
        started.signal("KILL");
    }
    let ran = started.wait();
    driven?;
    let text = String::from_utf8_lossy(&fs::read(&file).unwrap_or_default()).into_owned();
    Ok((ran, Trace::parse(&text)))
}

/// Waits until the process under this `strace` was stopped `times` times, and returns its id.
fn await_stop(strace: u32, trace: &Path, times: usize) -> Result<String, String> {
    let begun = Instant::now();
    loop {
        let children = fs::read_to_string(format!("/proc/{strace}/task/{strace}/children"));
        let pid = children.unwrap_or_default().split(' ').next().unwrap_or_default().to_owned();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start().chars().next();
        let text = fs::read(trace).unwrap_or_default();
        let stops = String::from_utf8_lossy(&text).matches("--- stopped by SIGSTOP ---").count();
        if state.is_some_and(|state| "tT".contains(state)) && stops == times {
            return Ok(pid);
        }
        if begun.elapsed() > Duration::from_secs(10) {
            return Err(format!("it was not stopped for the {times}. time, but {stops} times"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn limit(pid: &str, size: &str) -> Result<(), String> {
    succeed(Command::new("prlimit").args(["--pid", pid, &format!("--fsize={size}:unlimited")]))
}

fn go_on(pid: &str) -> Result<(), String> {
    succeed(Command::new("kill").args(["-CONT", pid]))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let done = command.status().map_err(|error| error.to_string())?;
    done.success().then_some(()).ok_or_else(|| format!("{command:?}: {done}"))
}
