//! The way from a fresh terminal to root's shell on the device, as a person goes it. Each place
//! has a type of its own; a place is left by the step that leads on from it.
//!
//! ```text
//! Arriving --login, password--> Chassis --connect ftd--> Cli --expert--> Shell --sudo su - --> Root
//!                 (each place may also be the first that shows)
//! ```
//!
//! What is not known is not answered: the visit stops with the last lines shown.

use std::time::Duration;

use super::error::Stop;
use super::line::Line;
use super::prompt::{Prompt, Refused};

/// A prompt counts once nothing has followed it for so long: a banner may end a line like one.
const QUIET: Duration = Duration::from_millis(400);
/// Time for the first sign of life, and for each answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Name and password of the account.
#[derive(Debug)]
pub(super) struct Account<'a> {
    pub(super) login: &'a str,
    pub(super) password: Option<&'a str>,
    /// The host that the way leads through: it is not told the device's password.
    pub(super) jump: Option<&'a str>,
}

impl Account<'_> {
    /// Returns true for a prompt of the host on the way, as ssh writes it.
    fn is_of_jump(&self, tail: &str) -> bool {
        let host = self.jump.map(|jump| jump.rsplit_once('@').map_or(jump, |(_, host)| host));
        let host = host.map(|host| host.split_once(':').map_or(host, |(host, _)| host));
        host.is_some_and(|host| tail.contains(&format!("@{host}'s password")))
    }
}

/// A terminal on which nothing was seen yet.
#[derive(Debug)]
pub(super) struct Arriving<'a> {
    line: Line,
    account: Account<'a>,
}

/// FXOS, of a chassis.
#[derive(Debug)]
struct Chassis<'a>(Arriving<'a>);

/// The FTD's own CLI.
#[derive(Debug)]
struct FtdCli<'a>(Arriving<'a>);

/// A user's shell.
#[derive(Debug)]
struct UserShell<'a>(Arriving<'a>);

/// AtRoot's shell.
#[derive(Debug)]
pub(super) struct AtRoot(pub(super) Line);

/// A visit that ended on its way, with the terminal that it ended at.
pub(super) type Lost = Box<(Line, Stop)>;

enum Stage<'a> {
    Chassis(Chassis<'a>),
    Cli(FtdCli<'a>),
    Shell(UserShell<'a>),
    Root(AtRoot),
}

impl<'a> Arriving<'a> {
    pub(super) fn at(line: Line, account: Account<'a>) -> Self {
        Self { line, account }
    }

    /// Goes all the way.
    pub(super) fn become_root(self) -> Result<AtRoot, Lost> {
        let mut place = self.log_in()?;
        // chassis, CLI, shell, root: three steps at most
        for _ in 0..3 {
            place = match place {
                Stage::Chassis(chassis) => chassis.connect()?,
                Stage::Cli(cli) => cli.expert()?,
                Stage::Shell(shell) => Stage::Root(shell.become_root()?),
                Stage::Root(root) => return Ok(root),
            };
        }
        match place {
            Stage::Root(root) => Ok(root),
            Stage::Chassis(Chassis(at)) | Stage::Cli(FtdCli(at)) | Stage::Shell(UserShell(at)) => {
                Err(at.unknown(ROOT))
            }
        }
    }

    /// Answers the questions for a name and a password, each once.
    fn log_in(mut self) -> Result<Stage<'a>, Lost> {
        const WANTED: &str = "a login or a prompt";
        let (mut after, mut named, mut proved, mut woken) = (0, false, false, false);
        loop {
            let found = prompt(&mut self.line, after, WANTED, if woken { PATIENCE } else { WAKE });
            let shown = match found {
                // a serial console shows its prompt when Enter is pressed
                Err(Stop::Silent { .. }) if !woken => {
                    woken = true;
                    if let Err(stop) = self.line.send(b"\r") {
                        return Err(Box::new((self.line, stop)));
                    }
                    continue;
                }
                Err(stop) => return Err(Box::new((self.line, stop))),
                Ok(shown) => shown,
            };
            let before = std::mem::replace(&mut after, self.line.screen.mark() + 1);
            let sent = match shown {
                Prompt::Name if !std::mem::replace(&mut named, true) => {
                    self.line.send_line(self.account.login)
                }
                Prompt::Password if !std::mem::replace(&mut proved, true) => self.send_password(),
                // asked again: the first answer was wrong
                Prompt::Name | Prompt::Password => {
                    Err(refusal(&self.line, before).unwrap_or_else(asked_again))
                }
                _ => return self.arrived(shown),
            };
            if let Err(stop) = sent {
                return Err(Box::new((self.line, stop)));
            }
        }
    }

    fn send_password(&mut self) -> Result<(), Stop> {
        if self.account.is_of_jump(&self.line.screen.tail()) {
            return Err(Stop::JumpPassword);
        }
        match self.account.password {
            Some(password) => self.line.send_secret("password", password),
            None => Err(Stop::NoPassword),
        }
    }

    /// Takes the place that a prompt shows, or stops.
    fn arrived(self, shown: Prompt) -> Result<Stage<'a>, Lost> {
        let stop = match shown {
            Prompt::Chassis => return Ok(Stage::Chassis(Chassis(self))),
            Prompt::Cli => return Ok(Stage::Cli(FtdCli(self))),
            Prompt::Shell => return Ok(Stage::Shell(UserShell(self))),
            Prompt::Root => return Ok(Stage::Root(AtRoot(self.line))),
            Prompt::NewPassword => Stop::NewPassword,
            Prompt::KeyPassphrase => Stop::KeyPassphrase,
            Prompt::HostKey => {
                let said = "ssh asks whether to trust the key of this host".to_owned();
                Stop::Refused { by: Refused::UnknownHostKey, said }
            }
            Prompt::Name | Prompt::Password => asked_again(),
        };
        Err(Box::new((self.line, stop)))
    }

    /// Types words and waits for what they lead to.
    fn go(mut self, words: &str, wanted: &'static str) -> Result<(Self, Prompt), Lost> {
        let after = self.line.screen.mark() + 1;
        let found = self
            .line
            .type_word(words)
            .and_then(|()| prompt(&mut self.line, after, wanted, PATIENCE));
        match found {
            Ok(shown) => Ok((self, shown)),
            Err(stop) => Err(Box::new((self.line, stop))),
        }
    }

    fn unknown(self, wanted: &'static str) -> Lost {
        let lines = self.line.screen.last_lines(8);
        Box::new((self.line, Stop::Unknown { wanted, lines }))
    }
}

impl<'a> Chassis<'a> {
    fn connect(self) -> Result<Stage<'a>, Lost> {
        let (at, shown) = self.0.go("connect ftd", "the prompt of the FTD's CLI")?;
        match shown {
            Prompt::Chassis => Err(at.unknown("the prompt of the FTD's CLI")),
            _ => at.arrived(shown),
        }
    }
}

impl<'a> FtdCli<'a> {
    fn expert(self) -> Result<Stage<'a>, Lost> {
        let (at, shown) = self.0.go("expert", "the prompt of a shell")?;
        match shown {
            Prompt::Cli | Prompt::Chassis => Err(at.unknown("the prompt of a shell")),
            _ => at.arrived(shown),
        }
    }
}

const ROOT: &str = "root's prompt";

impl UserShell<'_> {
    fn become_root(self) -> Result<AtRoot, Lost> {
        let (mut at, mut shown) = self.0.go("sudo su -", ROOT)?;
        let mut after = at.line.screen.mark();
        if shown == Prompt::Password {
            after += 1;
            let answered =
                at.send_password().and_then(|()| prompt(&mut at.line, after, ROOT, PATIENCE));
            shown = match answered {
                Ok(shown) => shown,
                Err(stop) => return Err(Box::new((at.line, as_sudo(stop)))),
            };
        }
        match (shown, refusal(&at.line, after.saturating_sub(2))) {
            // a name alone before the sign looks like FXOS; the next step asks who it is
            (Prompt::Root | Prompt::Chassis, _) => Ok(AtRoot(at.line)),
            (_, Some(stop)) => Err(Box::new((at.line, as_sudo(stop)))),
            (Prompt::Password, None) => Err(Box::new((at.line, as_sudo(asked_again())))),
            _ => Err(at.unknown(ROOT)),
        }
    }
}

/// The account's password is right by now, so it is sudo that says no.
fn as_sudo(stop: Stop) -> Stop {
    match stop {
        Stop::Refused { by: Refused::Login, said } => Stop::Refused { by: Refused::Sudo, said },
        other => other,
    }
}

fn asked_again() -> Stop {
    Stop::Refused { by: Refused::Login, said: "it asks for the password again".to_owned() }
}

/// Time before Enter is pressed on a terminal that shows nothing.
const WAKE: Duration = Duration::from_secs(25);

/// Waits for a prompt that nothing follows, after this number of lines.
fn prompt(
    line: &mut Line,
    after: usize,
    wanted: &'static str,
    patience: Duration,
) -> Result<Prompt, Stop> {
    let found = line.wait(wanted, patience, |screen, quiet| {
        let is_new = screen.mark() >= after && quiet >= QUIET;
        is_new.then(|| Prompt::of(&screen.tail())).flatten()
    });
    // the program has ended, or waits without a prompt: does a line say why?
    found.map_err(|stop| match stop {
        Stop::Broken { .. } | Stop::Silent { .. } => refusal(line, after).unwrap_or(stop),
        other => other,
    })
}

/// The line that says no. A banner may use the same words, so it counts only where the way ends.
fn refusal(line: &Line, after: usize) -> Option<Stop> {
    let (by, said) = Refused::among(line.screen.since(after))?;
    Some(Stop::Refused { by, said })
}
