//! A run at a terminal: `script` of util-linux gives the pseudo-terminal.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::ran::{Run, signals_as_usual};

const LIMIT: Duration = Duration::from_secs(60);

/// A program at a terminal.
#[derive(Debug)]
pub struct Pty {
    child: Child,
    keyboard: Option<ChildStdin>,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    seen: usize,
}

impl Pty {
    /// Starts a program at a terminal of its own.
    pub fn start(run: Run) -> Self {
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--return", "--command"]);
        // some shells replace themselves by the last command and some do not; Ctrl-C is for the
        // program alone
        command.arg(format!("exec {}", run.line())).arg("/dev/null");
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        signals_as_usual();
        let mut child = command.spawn().expect("'script' is needed: apt-get install bsdutils");
        let (keyboard, output) = (child.stdin.take(), child.stdout.take());
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&screen);
        let mut output = output.expect("a pipe");
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(size @ 1..) = output.read(&mut buffer) {
                shared.lock().unwrap().extend_from_slice(&buffer[..size]);
            }
        });
        Self { child, keyboard, screen, reader, seen: 0 }
    }

    /// All that has been shown so far.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Waits until this text has been shown, after what was waited for before.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        let begun = Instant::now();
        loop {
            let screen = self.screen();
            if let Some(at) = screen.get(self.seen..).and_then(|new| new.find(text)) {
                self.seen += at + text.len();
                return;
            }
            if begun.elapsed() > LIMIT {
                let _ = self.child.kill();
                panic!("expected '{text}' on the screen, found:\n{screen}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Presses these keys.
    pub fn press(&mut self, keys: &str) {
        let keyboard = self.keyboard.as_mut().expect("a keyboard");
        keyboard.write_all(keys.as_bytes()).expect("a terminal");
        keyboard.flush().expect("a terminal");
    }

    /// Waits for the end; gives the exit code and all that was shown.
    #[track_caller]
    pub fn end(mut self) -> (i32, String) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                // what was written last is still on its way
                while !self.reader.is_finished() && begun.elapsed() < LIMIT {
                    std::thread::sleep(Duration::from_millis(5));
                }
                return (status.code().unwrap_or(-1), self.screen());
            }
            if begun.elapsed() > LIMIT {
                let _ = self.child.kill();
                panic!("it did not end:\n{}", self.screen());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Closes the terminal, as a lost connection does, and waits until it is gone.
    pub fn hang_up(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }
}
