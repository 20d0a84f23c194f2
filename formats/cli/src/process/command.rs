//! Runs a program with a time limit, whatever it does with its pipes and children.
//!
//! A program that forks and leaves a child with the pipe's other end would keep a reader
//! waiting for ever; therefore the end of the *program* ends the reading, not the end of
//! the pipe.

use std::env;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::fd::AsFd;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::disk::ownership::{Foreign, foreign};
use crate::disk::root::Root;
use crate::process::hardening::with_limits_as_found;
use crate::process::signals::give_children_usual_signals;

/// As much output as is kept; `pmtool status` prints some 50 KiB.
const OUTPUT: usize = 1024 * 1024;
/// As much as is read between two looks at the time: more than a pipe holds (at most 1 MiB, by
/// `pipe-max-size`), so that of a program that has ended nothing is missed.
const AT_ONCE: usize = OUTPUT + 64 * 1024;
/// Between two looks at the program.
const TICK: Duration = Duration::from_millis(5);

/// A program that ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// The first MiB of its standard output.
    pub output: Vec<u8>,
}

/// A program that did not.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("{0}")]
    Start(String),
    /// It was still running at the time limit, and was killed with its children.
    #[error("did not end within {} s and was killed", limit.as_secs())]
    TimeOut {
        /// How long it had.
        limit: Duration,
        /// What it had printed by then; the first MiB.
        output: Vec<u8>,
    },
    /// The system failed while waiting for it.
    #[error("{0}")]
    Wait(#[from] io::Error),
}

/// Whether what a program prints is of interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Print {
    /// Kept, up to a MiB.
    Kept,
    /// Goes nowhere. A daemon that the program starts may inherit where it goes, and would die
    /// of a pipe whose other end goes away with us.
    Dropped,
}

/// Why a program is not run.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// Its place could not be looked at.
    #[error("{}: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is not a regular file that may be run.
    #[error("{} is not a program", path.display())]
    NoProgram {
        /// Where.
        path: PathBuf,
    },
    /// Somebody else owns it or may write to it, or to something on the way to it.
    #[error("{0}")]
    Foreign(Foreign),
}

/// Where a program really lies, if nobody but root and this user can put another one in its
/// place ([`crate::disk::ownership`]): for programs that are run without having been asked for.
///
/// # Errors
/// [`Untrusted`].
pub fn trusted(program: &Path) -> Result<PathBuf, Untrusted> {
    let io = |error| Untrusted::Io { path: program.to_owned(), error };
    let whole = std::path::absolute(program).map_err(io)?;
    let root = Root::open(Path::new("/")).map_err(io)?;
    let passed = root.look_on_the_way(&whole).map_err(io)?;
    if let Some(foreign) = foreign(&root, &passed) {
        return Err(Untrusted::Foreign(foreign));
    }
    match passed.last() {
        Some(end) if end.is_file() && end.mode & 0o111 != 0 => Ok(end.path.clone()),
        _ => Err(Untrusted::NoProgram { path: whole }),
    }
}

/// Runs a program in a process group of its own (so that a Ctrl-C at the terminal does not
/// reach it half-way), with nothing on its standard input, for at most `limit`.
pub fn run(
    program: &Path,
    arguments: &[&str],
    print: Print,
    limit: Duration,
) -> Result<Finished, CommandError> {
    give_children_usual_signals()?;
    let mut command = Command::new(std::path::absolute(program)?);
    for (name, _) in env::vars_os().filter(|(name, _)| is_our_own(name)) {
        command.env_remove(name);
    }
    command
        .args(arguments)
        // a daemon in the folder of a kit would keep the stick from being unmounted
        .current_dir("/")
        .stdin(nowhere())
        .stdout(if print == Print::Kept { Stdio::piped() } else { nowhere() })
        .stderr(nowhere())
        .process_group(0);
    let mut child = with_limits_as_found(|| command.spawn())
        .map_err(|error| CommandError::Start(format!("{}: {error}", program.display())))?;
    let result = wait(&mut child, limit);
    if result.is_err() {
        kill(&mut child);
    }
    result
}

fn wait(child: &mut Child, limit: Duration) -> Result<Finished, CommandError> {
    let started = Instant::now();
    drop(child.stdin.take());
    let mut stdout = child.stdout.take().map(nonblocking).transpose()?;
    let mut stderr = child.stderr.take().map(nonblocking).transpose()?;
    let mut output = Vec::new();
    loop {
        // first whether it has ended, then what it wrote: nothing is missed in between
        let status = child.try_wait()?;
        if let Some(pipe) = &mut stdout
            && drain(pipe, &mut output)?
        {
            stdout = None;
        }
        if let Some(pipe) = &mut stderr
            && drain(pipe, &mut Vec::new())?
        {
            stderr = None;
        }
        if let Some(status) = status {
            return Ok(Finished { status, output });
        }
        if started.elapsed() >= limit {
            return Err(CommandError::TimeOut { limit, output });
        }
        std::thread::sleep(TICK);
    }
}

/// A variable by which a kit's `install.sh` speaks to the installer.
fn is_our_own(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"SFTUNNEL_INSTALL_")
}

/// `/dev/null`, or a pipe that is read and dropped where a bare root has none.
fn nowhere() -> Stdio {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null");
    null.map_or_else(|_| Stdio::piped(), Stdio::from)
}

fn nonblocking<T: AsFd>(pipe: T) -> io::Result<T> {
    let flags = fcntl_getfl(&pipe)?;
    fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
    Ok(pipe)
}

/// Reads what is there, up to [`AT_ONCE`]: a program that never stops writing must not keep
/// from looking at the time. True at the end of the pipe.
fn drain(pipe: &mut impl Read, output: &mut Vec<u8>) -> io::Result<bool> {
    let (mut chunk, mut taken) = ([0; 8192], 0);
    while taken < AT_ONCE {
        match pipe.read(&mut chunk) {
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
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(group) = group {
        // it may have ended meanwhile; then there is nothing to kill
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<Finished, CommandError> {
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

    #[test]
    fn a_program_that_others_could_replace_is_not_trusted() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt;
        let dir = std::env::temp_dir().join(format!("trusted-{}", std::process::id()));
        let folder = dir.join("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let (program, link) = (folder.join("p"), dir.join("link"));
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::os::unix::fs::symlink("bin/p", &link).unwrap();
        let mode = |path: &Path, mode| set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let (sound, loose) = (0o755, 0o775);
        mode(&dir, sound);
        mode(&folder, sound);
        mode(&program, sound);
        assert_eq!(trusted(&link).unwrap(), program.canonicalize().unwrap());
        for path in [&program, &folder, &dir] {
            mode(path, loose);
            assert!(matches!(trusted(&link), Err(Untrusted::Foreign(_))), "{path:?}");
            mode(path, sound);
        }
        mode(&program, 0o644);
        assert!(matches!(trusted(&program), Err(Untrusted::NoProgram { .. })));
        assert!(matches!(trusted(&folder), Err(Untrusted::NoProgram { .. })));
        assert!(matches!(trusted(&dir.join("absent")), Err(Untrusted::Io { .. })));
        if rustix::process::geteuid().is_root() {
            mode(&program, sound);
            std::os::unix::fs::chown(&program, Some(12345), None).unwrap();
            assert!(matches!(
                trusted(&program),
                Err(Untrusted::Foreign(Foreign { uid: 12345, .. }))
            ));
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
