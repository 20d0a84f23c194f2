//! The steps of a run that must not be held up, told as they happen.
//!
//! A write to a terminal that somebody has stopped (Ctrl-S), or to a pipe that nobody reads, blocks.
//! So a thread of its own writes, and what is at work only hands over. The thread also counts the
//! seconds of a step, and answers signals while the work waits for something else.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::say::failure::Failure;
use crate::say::page::wrap;
use crate::say::report::ascii_json_line;
use crate::say::terminal::Terminal;

/// Time between two looks at clock and signals.
const LOOK: Duration = Duration::from_millis(100);
/// Time between two states of a counter: a line of 60 characters takes 60 ms at 9600 baud.
const COUNT: Duration = Duration::from_secs(1);
/// Time between two lines that say how long it takes, where no counter can be shown.
const STILL: Duration = Duration::from_secs(30);

/// A step that begins, for people and for programs.
#[derive(Debug, Clone)]
pub struct Begun {
    /// The word in JSON.
    pub step: &'static str,
    /// What has happened until now; sanitised, with its line ends. May be empty.
    pub text: String,
    /// What is waited for, and how long that may take.
    pub waits: Option<(&'static str, Duration)>,
    /// Further fields of the JSON object.
    pub fields: serde_json::Map<String, serde_json::Value>,
    /// The answer to a signal that would end the program.
    pub answer: String,
    /// The longest time until it ends then.
    pub ends_within: Option<Duration>,
}

/// A signal that arrived during the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// One that ends a program, by its name.
    End(&'static str),
    /// One that stops a program (Ctrl-Z).
    Stop,
}

/// What the thread asks the rest of the program for.
pub struct StepSources {
    /// Schema of the JSON objects.
    pub schema: &'static str,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// The signal that came since the last look.
    pub signal: Box<dyn Fn() -> Option<Key> + Send>,
}

/// An object of the events.
#[derive(Serialize)]
struct Event<'a> {
    schema: &'a str,
    event: &'a str,
    step: &'a str,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(flatten)]
    fields: Option<&'a serde_json::Map<String, serde_json::Value>>,
}

enum Message {
    Step(Begun),
    Prose(String),
    Rest(Sender<()>),
}

/// The teller, with its thread.
#[derive(Debug)]
pub struct Steps {
    sender: Sender<Message>,
    thread: JoinHandle<()>,
}

impl Steps {
    /// Begins to tell.
    ///
    /// # Errors
    /// Fails when no thread can be started.
    pub fn begin(terminal: Terminal, sources: StepSources) -> Result<Self, Failure> {
        let (sender, messages) = mpsc::channel();
        let writer = Writer {
            terminal,
            sources,
            step: None,
            began: Instant::now(),
            shown: Instant::now(),
            counter: false,
        };
        let thread = thread::Builder::new()
            .stack_size(128 * 1024)
            .spawn(move || writer.run(&messages))
            .map_err(|error| Failure::unexpected(format!("cannot start a thread: {error}")))?;
        Ok(Self { sender, thread })
    }

    /// A step begins. Never waits.
    pub fn tell(&self, told: Begun) {
        // a thread that is gone cannot tell
        let _ = self.sender.send(Message::Step(told));
    }

    /// Adds prose in its order. Never waits.
    pub fn prose(&self, text: String) {
        let _ = self.sender.send(Message::Prose(text));
    }

    /// The step is over, and no other begins yet. Waits until everything is told, for at most this
    /// time.
    pub fn rest(&self, limit: Duration) {
        let (done, told) = mpsc::channel();
        let _ = self.sender.send(Message::Rest(done));
        let _ = told.recv_timeout(limit);
    }

    /// Tells the rest and ends; waits for as long as the terminal does.
    pub fn end(self) {
        drop(self.sender);
        let _ = self.thread.join();
    }
}

struct Writer {
    terminal: Terminal,
    sources: StepSources,
    step: Option<Begun>,
    /// The beginning of the step.
    began: Instant,
    /// The time at which its seconds were shown last.
    shown: Instant,
    /// True while a counter stands at the terminal.
    counter: bool,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(LOOK) {
                Ok(Message::Step(told)) => self.begin(told),
                Ok(Message::Prose(text)) => self.prose(&text),
                Ok(Message::Rest(done)) => {
                    self.clear();
                    self.step = None;
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.clear(),
            }
            if let Some(key) = (self.sources.signal)() {
                self.answer(key);
            }
            self.count();
        }
    }

    fn begin(&mut self, told: Begun) {
        self.prose(&told.text);
        let limit = told.waits.map(|(_, limit)| limit.as_secs());
        self.event("step", &told, None, limit, None);
        (self.began, self.shown) = (Instant::now(), Instant::now());
        self.step = Some(told);
    }

    fn prose(&mut self, text: &str) {
        if !text.is_empty() {
            self.clear();
            self.terminal.prose(text);
        }
    }

    /// Takes the counter off the terminal.
    fn clear(&mut self) {
        if std::mem::take(&mut self.counter) {
            self.terminal.transient("\r\u{1b}[K");
        }
    }

    /// Says how long the step takes: as a counter, or now and then on a line of its own.
    fn count(&mut self) {
        let Some(told) = &self.step else { return };
        let Some((what, limit)) = told.waits else { return };
        let is_live = self.terminal.has_counter();
        if self.shown.elapsed() < if is_live { COUNT } else { STILL } {
            return;
        }
        self.shown = Instant::now();
        let seconds = self.began.elapsed().as_secs();
        let line = format!("{what}: {seconds} s of {}", limit.as_secs());
        if is_live {
            self.counter = true;
            self.terminal.transient(&format!("\r{line}\u{1b}[K"));
        } else {
            self.terminal.prose(&format!("{line}\n"));
            self.event("waiting", told, Some(seconds), Some(limit.as_secs()), None);
        }
    }

    fn answer(&mut self, key: Key) {
        let Some(told) = self.step.clone() else { return };
        let (name, text) = match key {
            Key::Stop => (
                "SIGTSTP",
                "Ctrl-Z does nothing now: the run goes on to its end. Wait for it.".to_owned(),
            ),
            Key::End(name) => {
                let shown = if name == "SIGINT" { "Ctrl-C" } else { name };
                let left = told.ends_within.map(|limit| limit.saturating_sub(self.began.elapsed()));
                let ends = left
                    .map(|left| format!(" It ends by itself in at most {} s.", left.as_secs() + 1))
                    .unwrap_or_default();
                (name, format!("{shown}: {}{ends}", told.answer))
            }
        };
        // the terminal has shown ^C somewhere
        let start = if self.terminal.has_counter() { "\r\u{1b}[K" } else { "\n" };
        if self.terminal.is_at_terminal() {
            self.terminal.transient(start);
        }
        self.counter = false;
        self.terminal.prose(&wrap("", 2, &text));
        self.event("signal", &told, None, None, Some((name, &text)));
    }

    fn event(
        &self,
        event: &str,
        told: &Begun,
        seconds: Option<u64>,
        limit_seconds: Option<u64>,
        signal: Option<(&str, &str)>,
    ) {
        if !self.terminal.json_lines {
            return;
        }
        let event = Event {
            schema: self.sources.schema,
            event,
            step: told.step,
            at: (self.sources.now)(),
            seconds,
            limit_seconds,
            signal: signal.map(|(name, _)| name),
            message: signal.map(|(_, text)| text),
            fields: (event == "step").then_some(&told.fields),
        };
        // a reader that is gone holds nothing up
        let _ = ascii_json_line(&event).and_then(|line| {
            use io::Write as _;
            let mut stdout = io::stdout().lock();
            stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())
        });
    }
}
