//! Runs a program with a time limit that holds for its pipes and children as well.
//!
//! A program that leaves the pipe's other end to a child would keep a reader waiting for ever;
//! therefore reading stops at the end of the *program*, not of the pipe.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, Timespec, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use zeroize::Zeroizing;

use crate::process::hardening::with_limits_as_found;
use crate::process::signals::give_children_usual_signals;

/// Bytes of output that are kept; `pmtool status` prints some 50 KiB.
pub(crate) const OUTPUT: usize = 1024 * 1024;
/// Bytes that are read between two looks at the time: more than a pipe holds (at most 1 MiB, by
/// `pipe-max-size`), so that no output of an ended program is missed.
const AT_ONCE: usize = OUTPUT + 64 * 1024;
/// Time between two looks at a program whose end the kernel does not announce: before Linux 5.3,
/// and where a container forbids it.
const TICK: Duration = Duration::from_millis(5);

/// A program that ended by itself.
#[derive(Debug)]
pub struct Completed {
    /// Exit status of the program.
    pub status: ExitStatus,
    /// The first MiB of its standard output.
    pub output: Vec<u8>,
}

/// A program that did not end by itself.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("{0}")]
    Start(String),
    /// It was still running at the time limit, and was killed with its children.
    #[error("did not end within {} s and was killed", limit.as_secs())]
    TimeOut {
        /// Time limit that it had.
        limit: Duration,
        /// The first MiB of the output until then.
        output: Vec<u8>,
    },
    /// The system failed while waiting for it.
    #[error("{0}")]
    Wait(#[from] io::Error),
}

/// Treatment of a program's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Print {
    /// Kept, up to 1 MiB.
    Kept,
    /// Discarded. A daemon that the program starts may inherit its output, and a pipe would end it
    /// with SIGPIPE once we are gone.
    Dropped,
}

/// Runs a program in a process group of its own (so that a Ctrl-C at the terminal does not
/// interrupt it), with empty standard input, for at most `limit`.
pub fn run(
    program: &Path,
    arguments: &[&str],
    print: Print,
    limit: Duration,
) -> Result<Completed, CommandError> {
    give_children_usual_signals()?;
    let mut command = Command::new(std::path::absolute(program)?);
    for (name, _) in env::vars_os().filter(|(name, _)| is_our_own(name)) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        // a daemon whose working directory is the kit would keep the stick mounted
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(if print == Print::Kept { Stdio::piped() } else { Stdio::null() })
        .stderr(Stdio::null())
        .process_group(0)
        // its own: said aloud, it makes std fork. The library's posix_spawn gives signals their default
        // effect before the child has left the terminal's foreground, and a Ctrl-Z in that moment
        // stops the child for ever, and us with it
        .gid(rustix::process::getegid().as_raw());
    let mut child = with_limits_as_found(|| command.spawn())
        .map_err(|error| CommandError::Start(format!("{}: {error}", program.display())))?;
    let end = end_of(&child);
    let result = wait(&mut child, end, limit);
    if result.is_err() {
        kill(&mut child);
    }
    result
}

/// Gives the pidfd of a program, if the kernel has them.
fn end_of(child: &Child) -> Option<OwnedFd> {
    pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok()
}

/// Runs the operator's command with `/bin/sh -c`, and adds the first MiB of its standard output to
/// `output`. It has this program's terminal, environment and folder, an empty standard input, and
/// all the time that it wants: it may ask somebody.
///
/// # Errors
/// Fails when it cannot be started or waited for.
pub(crate) fn shell(command: &str, output: &mut Vec<u8>) -> io::Result<ExitStatus> {
    give_children_usual_signals()?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = with_limits_as_found(|| shell.spawn())?;
    let end = end_of(&child);
    // the time limit cannot come
    watch(&mut child, end, Duration::MAX, output)?.ok_or(io::ErrorKind::TimedOut.into())
}

/// Waits for a program; `end` is its pidfd, if the kernel has them.
fn wait(
    child: &mut Child,
    end: Option<OwnedFd>,
    limit: Duration,
) -> Result<Completed, CommandError> {
    let mut output = Vec::new();
    match watch(child, end, limit, &mut output)? {
        Some(status) => Ok(Completed { status, output }),
        None => Err(CommandError::TimeOut { limit, output }),
    }
}

/// Waits for a program and reads its output; `None` when it still runs at the limit.
fn watch(
    child: &mut Child,
    end: Option<OwnedFd>,
    limit: Duration,
    output: &mut Vec<u8>,
) -> io::Result<Option<ExitStatus>> {
    let started = Instant::now();
    let mut stdout = child.stdout.take().map(nonblocking).transpose()?;
    loop {
        // status first, then output, so that nothing in between is missed
        let status = child.try_wait()?;
        if let Some(pipe) = &mut stdout
            && drain(pipe, output)?
        {
            stdout = None;
        }
        if let Some(status) = status {
            return Ok(Some(status));
        }
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        let most = if end.is_some() { left } else { left.min(TICK) };
        await_any([end.as_ref().map(AsFd::as_fd), stdout.as_ref().map(AsFd::as_fd)], most)?;
    }
}

/// Sleeps until one of `sources` is readable, for at most `most`.
fn await_any(sources: [Option<BorrowedFd<'_>>; 2], most: Duration) -> io::Result<()> {
    let mut sources: Vec<_> =
        sources.iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    let most = Timespec::try_from(most).ok();
    match poll(&mut sources, most.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Returns true for a variable that a kit's `install.sh` sets for the installer.
fn is_our_own(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"SFTUNNEL_INSTALL_")
}

fn nonblocking<T: AsFd>(pipe: T) -> io::Result<T> {
    let flags = fcntl_getfl(&pipe)?;
    fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
    Ok(pipe)
}

/// Reads available output, up to [`AT_ONCE`], so that a program that never stops writing does not
/// prevent looks at the time. Returns true at the end of the pipe.
fn drain(pipe: &mut impl Read, output: &mut Vec<u8>) -> io::Result<bool> {
    let (mut chunk, mut taken) = (Zeroizing::new([0; 8192]), 0);
    while taken < AT_ONCE {
        match pipe.read(chunk.as_mut_slice()) {
            Ok(0) => return Ok(true),
            Ok(count) => {
                taken += count;
                let room = OUTPUT.saturating_sub(output.len());
                output.extend_from_slice(chunk.get(..count.min(room)).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn kill(child: &mut Child) {
    // it may have ended meanwhile, with nothing left to kill
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<Completed, CommandError> {
        run(Path::new("/bin/sh"), &["-c", script], Print::Kept, limit)
    }

    #[test]
    fn output_and_status_are_returned() {
        let finished = sh("echo hello; exit 3", Duration::from_secs(9)).unwrap();
        assert_eq!(
            (finished.output.as_slice(), finished.status.code()),
            (&b"hello\n"[..], Some(3))
        );
    }

    #[test]
    fn a_program_whose_end_is_not_announced_is_waited_for_as_well() {
        let spawn = |script| {
            Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap()
        };
        let mut child = spawn("sleep 0.1; echo hello; exec >&-; sleep 0.1; exit 3");
        let finished = wait(&mut child, None, Duration::from_secs(9)).unwrap();
        assert_eq!(
            (finished.output.as_slice(), finished.status.code()),
            (&b"hello\n"[..], Some(3))
        );
        let mut child = spawn("exec sleep 20");
        let error = wait(&mut child, None, Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, CommandError::TimeOut { .. }));
        kill(&mut child);
    }

    /// A wait costs voluntary context switches: none while nothing happens.
    #[test]
    fn waiting_for_a_program_wakes_nobody() {
        let mut child = Command::new("/bin/sh").args(["-c", "sleep 1"]).spawn().unwrap();
        let end = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let switches = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.unwrap().trim().parse::<u32>().unwrap()
        };
        let before = switches();
        wait(&mut child, Some(end), Duration::from_secs(9)).unwrap();
        assert!(switches() - before < 20, "{} switches", switches() - before);
    }

    #[test]
    fn a_child_that_keeps_the_pipe_holds_nobody_up() {
        let started = Instant::now();
        let finished = sh("sleep 20 & echo done", Duration::from_secs(9)).unwrap();
        assert_eq!(finished.output, b"done\n");
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let marker = std::env::temp_dir().join(format!("command-{}", std::process::id()));
        let script = format!("(sleep 1; touch {}) & sleep 20", marker.display());
        let error = sh(&script, Duration::from_millis(200)).unwrap_err();
        assert!(matches!(error, CommandError::TimeOut { .. }));
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!marker.exists());
    }

    #[test]
    fn a_daemon_that_is_left_behind_does_not_hold_a_pipe_of_ours() {
        let marker = std::env::temp_dir().join(format!("daemon-{}", std::process::id()));
        let script =
            format!("(sleep 0.3; echo out; echo err >&2; echo lives > {}) &", marker.display());
        run(Path::new("/bin/sh"), &["-c", &script], Print::Dropped, Duration::from_secs(9))
            .unwrap();
        std::thread::sleep(Duration::from_millis(900));
        assert_eq!(std::fs::read_to_string(&marker).unwrap(), "lives\n");
        std::fs::remove_file(marker).unwrap();
    }

    #[test]
    fn a_program_that_never_stops_writing_is_stopped_at_its_time_limit() {
        let started = Instant::now();
        let error = sh("exec cat /dev/zero", Duration::from_millis(300)).unwrap_err();
        assert!(matches!(error, CommandError::TimeOut { .. }));
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }

    #[test]
    fn what_was_printed_before_the_time_limit_is_kept() {
        let error = sh("echo first; sleep 20; echo last", Duration::from_secs(1)).unwrap_err();
        let CommandError::TimeOut { output, .. } = error else { panic!("{error:?}") };
        assert_eq!(output, b"first\n");
    }

    #[test]
    fn a_flood_of_output_is_cut() {
        let finished = sh("head -c 3000000 /dev/zero", Duration::from_secs(9)).unwrap();
        assert_eq!(finished.output.len(), OUTPUT);
    }
}
