//! One run of a program: started, ended within a time limit, judged.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;

/// No run of these tests takes longer, also on a machine that compiles meanwhile.
const LIMIT: Duration = Duration::from_secs(120);

/// A compiled program: from `SFTUNNEL_BIN_DIR`, or beside the test binary.
pub fn program(name: &str) -> PathBuf {
    let dir = std::env::var_os("SFTUNNEL_BIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let exe = std::env::current_exe().expect("the test's own path");
        let dir = exe.parent().expect("a folder");
        if dir.ends_with("deps") { dir.parent().expect("a folder").into() } else { dir.into() }
    });
    let path = fs::canonicalize(dir.join(name)).unwrap_or_else(|_| dir.join(name));
    assert!(path.is_file(), "{} is missing: run `cargo build --workspace`", path.display());
    path
}

/// A tool of the system. Its absence fails the test: a check that is skipped checks nothing.
pub fn tool(name: &str, package: &str) -> Run {
    let on_path = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()));
    assert!(on_path, "'{name}' is needed for this test: apt-get install {package}");
    Run::new(name)
}

/// The `rage` crate's program, as `tools/rage` has built it.
pub fn rage() -> Run {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/rage");
    let found = Command::new(script).arg("--no-build").output().expect("tools/rage");
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    // at the terminal, also where there is a program for it
    let program = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    Run::new("env").arg("PINENTRY_PROGRAM=").arg(program)
}

/// Says on which of two ways a test went, also when it succeeds (the test runner keeps nothing
/// of this back).
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "note: {text}");
}

/// The commands that a program's `--help` lists.
pub fn listed_commands(help: &str) -> Vec<String> {
    let list = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = list.lines().take_while(|line| line.starts_with("  "));
    // a line that begins further in goes on with what a command is for
    let names = lines.filter(|line| !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

/// Waits until it is so, or fails.
#[track_caller]
pub fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it did not come to that");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The PID of a running program: its path, or the end of that, and a word among its own.
pub fn running(program: &Path, word: &OsStr) -> Option<u32> {
    let is_it = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0).map(OsStr::from_bytes);
        words.next().is_some_and(|path| Path::new(path).ends_with(program))
            && words.any(|it| it == word)
    };
    let names = fs::read_dir("/proc").unwrap().flatten().map(|item| item.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).find(is_it)
}

/// A program about to be run.
#[derive(Debug)]
pub struct Run {
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Option<Vec<u8>>,
    cwd: PathBuf,
    secrets: Vec<String>,
    tree: Option<PathBuf>,
}

impl Run {
    /// Prepares a run of this program.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            words: vec![program.as_ref().to_owned()],
            environment: Vec::new(),
            stdin: None,
            cwd: PathBuf::from("/"),
            secrets: Vec::new(),
            tree: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.words.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.words.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Runs it by another program, which gets this one and its arguments: `strace`, `unshare`.
    #[must_use]
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.words.splice(0..0, wrapper.iter().map(OsString::from));
        self
    }

    /// Runs it below `strace`, which does this at calls of that name: `signal=KILL:when=2`,
    /// `error=EIO:when=4`. Without `-f`: pmtool and its children are left alone.
    #[must_use]
    pub fn injected(self, call: &str, what: &str) -> Self {
        self.injected_and_traced(call, what, Path::new("/dev/null"))
    }

    /// Like [`Run::injected`], and records the calls in a file.
    #[must_use]
    pub fn injected_and_traced(self, call: &str, what: &str, trace: &Path) -> Self {
        tool("strace", "strace");
        let (calls, inject) = (format!("trace={call}"), format!("inject={call}:{what}"));
        let trace = trace.to_str().expect("a path in UTF-8");
        self.under(&["strace", "-qq", "-o", trace, "-e", &calls, "-e", &inject])
    }

    /// Runs like a program that is started in a container from outside.
    #[must_use]
    pub fn in_a_namespace(self) -> Self {
        self.under(&["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"])
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Sets the standard input, which is empty otherwise.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = Some(bytes.into());
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = dir.into();
        self
    }

    /// Adds texts that must not appear in its output.
    #[must_use]
    pub fn secrets(mut self, secrets: &[String]) -> Self {
        self.secrets.extend_from_slice(secrets);
        self
    }

    /// Sets the folder that a failing test lists.
    #[must_use]
    pub fn tree(mut self, dir: impl Into<PathBuf>) -> Self {
        self.tree = Some(dir.into());
        self
    }

    /// The command line for a shell.
    pub fn line(&self) -> String {
        // a script among the words keeps its line ends
        let quoted = |word: &OsString| {
            let word = word.to_string_lossy();
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+".contains(c);
            match word.is_empty() || !word.chars().all(is_plain) {
                true => format!("'{}'", word.replace('\'', "'\\''")),
                false => word.into_owned(),
            }
        };
        self.words().iter().map(quoted).collect::<Vec<_>>().join(" ")
    }

    /// Returns the words of the command line.
    pub fn words(&self) -> &[OsString] {
        &self.words
    }

    /// Starts it. Output goes to files: what a program leaves behind may hold on to a pipe.
    pub fn start(self) -> Started {
        let input = file_of(self.stdin.as_deref().unwrap_or_default());
        let (stdout, stderr) = (file_of(b""), file_of(b""));
        // in a session of its own there is no terminal to ask at, wherever the tests are run
        let mut command = Command::new("setsid");
        command.args(&self.words).current_dir(&self.cwd);
        command.env_remove("NO_COLOR").env("TERM", "xterm").env("LC_ALL", "C");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::from(input));
        command.stdout(stdout.try_clone().expect("a descriptor"));
        command.stderr(stderr.try_clone().expect("a descriptor"));
        signals_as_usual();
        let child = command.spawn().expect("setsid, of util-linux");
        Started { child, stdout, stderr, run: self, begun: Instant::now() }
    }

    /// Runs it to its end.
    pub fn run(self) -> Ran {
        self.start().wait()
    }
}

/// A shell without jobs has its background ignore SIGINT and SIGQUIT, and `nohup` SIGHUP: tests that
/// are run so are to find the same as others. What is handled here is at its default in a child.
pub(crate) fn signals_as_usual() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = Arc::new(AtomicBool::new(true));
        for signal in [SIGHUP, SIGINT, SIGQUIT, SIGTERM] {
            flag::register_conditional_default(signal, Arc::clone(&usual)).expect("a signal");
        }
    });
}

/// A running program.
#[derive(Debug)]
pub struct Started {
    child: Child,
    stdout: File,
    stderr: File,
    run: Run,
    begun: Instant,
}

impl Started {
    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, by its name without SIG.
    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -{name} {}", self.pid());
    }

    /// Returns true if it is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Ran {
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break Some(status);
            }
            if self.begun.elapsed() > LIMIT {
                let _ = self.child.kill();
                let _ = self.child.wait();
                break None;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let took = self.begun.elapsed();
        let (stdout, stderr) = (content(&mut self.stdout), content(&mut self.stderr));
        let ran = Ran { run: self.run, status, stdout, stderr, took };
        if ran.status.is_none() {
            ran.fail(&format!("it did not end within {} s", LIMIT.as_secs()));
        }
        ran.require_no_secret();
        ran
    }
}

/// A program that has ended.
#[derive(Debug)]
pub struct Ran {
    run: Run,
    status: Option<ExitStatus>,
    /// Output as text.
    pub stdout: String,
    /// Output as text.
    pub stderr: String,
    /// Time from start to end.
    pub took: Duration,
}

impl Ran {
    /// The exit code; `None` when a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.and_then(|status| status.code())
    }

    /// Fails unless it ended with this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        if self.code() != Some(code) {
            self.fail(&format!("expected exit code {code}"));
        }
        self
    }

    /// Both outputs, one after the other.
    pub fn output(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Returns true if the outputs hold this text, wherever lines were wrapped in it.
    fn holds(&self, text: &str) -> bool {
        let output = self.output();
        let words: Vec<&str> = output.split_whitespace().collect();
        output.contains(text) || words.join(" ").contains(text)
    }

    /// Fails unless one of the outputs holds this text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        if !self.holds(text) {
            self.fail(&format!("expected '{text}' in its output"));
        }
        self
    }

    /// Fails when one of the outputs holds this text.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        if self.holds(text) {
            self.fail(&format!("expected no '{text}' in its output"));
        }
        self
    }

    /// Standard output as one JSON object.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value @ Value::Object(_)) => value,
            other => self.fail(&format!("expected one JSON object on stdout, found {other:?}")),
        }
    }

    /// Standard output as `T`, which is to deny unknown fields.
    #[track_caller]
    pub fn typed<T: serde::de::DeserializeOwned>(&self) -> T {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => self.fail(&format!("not a {}: {error}", std::any::type_name::<T>())),
        }
    }

    /// Fails the test with everything there is to know.
    #[track_caller]
    pub fn fail(&self, why: &str) -> ! {
        let words: Vec<_> =
            self.run.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let ended = self.status.map_or("killed by the test".to_owned(), |s| s.to_string());
        let listing = self.run.tree.as_deref().map_or_else(String::new, listing);
        panic!(
            "{why}\n--- cwd: {}\n--- command: {}\n--- ended: {ended} after {:.1} s\n--- stdout:\n{}\n--- stderr:\n{}\n--- tree:\n{listing}",
            self.run.cwd.display(),
            words.join(" "),
            self.took.as_secs_f64(),
            self.stdout,
            self.stderr,
        )
    }

    #[track_caller]
    fn require_no_secret(&self) {
        let output = self.output();
        let found = self.run.secrets.iter().any(|secret| output.contains(secret.as_str()));
        let pem = output.contains("PRIVATE KEY-----");
        let identity = output.match_indices("AGE-SECRET-KEY-1").any(|(at, text)| {
            output[at + text.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())
        });
        if found || pem || identity {
            // not `fail`: a secret is not for the log of the tests either
            panic!("a secret came out of {:?}", self.run.words);
        }
    }
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).and_then(|()| file.rewind()).expect("a temporary file");
    file
}

fn content(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0)).expect("a temporary file");
    std::io::Read::read_to_end(file, &mut bytes).expect("a temporary file");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every path below a folder, with type, mode and owner.
fn listing(dir: &Path) -> String {
    let snapshot = lab::snapshot(dir).map(|found| found.0).unwrap_or_default();
    let shown = snapshot.iter().filter(|(path, _)| !path.starts_with("lab/lab-only"));
    shown.map(|(path, entry)| format!("{entry}  {}\n", path.display())).collect()
}
