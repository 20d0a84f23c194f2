//! One device, from the first connection to the receipt.

use std::collections::HashMap;
use std::fs::File;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cli::say::terminal::Terminal;
use formats::device::DeviceUuid;
use formats::error::Reason;
use formats::receipt::{SignedReceipt, file_name};
use formats::signature::Fingerprint;
use formats::text::{printable, shell_quote};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::dialogue::{Account, Arriving};
use super::error::Stop;
use super::line::Line;
use super::shell::{RootShell, Typed};
use super::transcript::{Transcript, tell};
use super::upload::upload;

/// Connections that are made for one device.
const CONNECTIONS: u32 = 3;
/// Time between two of them.
const PAUSE: Duration = Duration::from_secs(2);
/// Time of the installer: pmtool's own stop limit is 300 s, and scrypt, settling and the tunnel
/// come on top.
const INSTALLING: Duration = Duration::from_secs(600);

/// A device that is to be visited.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) uuid: DeviceUuid,
    /// Its name for people, sanitised.
    pub(crate) name: String,
    /// The command that gives a terminal.
    pub(crate) command: Vec<String>,
    pub(crate) login: String,
    pub(crate) password: Option<Zeroizing<String>>,
    pub(crate) jump: Option<String>,
    /// The bundle, as it is in the kit.
    pub(crate) bundle: Vec<u8>,
    /// Signer of the bundle, whom this side trusts.
    pub(crate) signer: Fingerprint,
}

/// What all visits of a run have in common.
pub(crate) struct Luggage<'a> {
    pub(crate) terminal: &'a Terminal,
    /// Programs by architecture.
    pub(crate) installers: HashMap<String, Vec<u8>>,
    /// The kit's own identity, locked with the passphrase.
    pub(crate) identity: Option<Vec<u8>>,
    /// Passphrase or identity that opens the bundles over there.
    pub(crate) secret: Zeroizing<String>,
    pub(crate) limit: Duration,
    pub(crate) only_check: bool,
}

/// A visit that came to its end.
#[derive(Debug, Default)]
pub(crate) struct Visited {
    /// Outcome of the installer, in its word; `status` for a look only.
    pub(crate) outcome: String,
    /// State of the tunnel, where the installer saw one.
    pub(crate) tunnel: Option<String>,
    /// What `status` says, in a line.
    pub(crate) status: Option<String>,
    /// Receipts, by file name.
    pub(crate) receipts: Vec<(String, Vec<u8>)>,
    pub(crate) seconds: u64,
    pub(crate) connections: u32,
    pub(crate) notes: Vec<String>,
}

/// Visits a device. A line that breaks is taken up again.
pub(crate) fn visit(
    target: &Target,
    luggage: &Luggage<'_>,
    mut transcript: impl FnMut(u32) -> Option<File>,
) -> Result<Visited, Stop> {
    let begun = Instant::now();
    for number in 1..=CONNECTIONS {
        let left = luggage.limit.saturating_sub(begun.elapsed());
        let record = Transcript::to(transcript(number));
        let this = Visit { target, luggage };
        match this.once(left, record) {
            Err(stop) if stop.is_broken_line() && number < CONNECTIONS && !left.is_zero() => {
                tell(luggage.terminal, &target.name, "the line broke; connecting again");
                std::thread::sleep(PAUSE);
            }
            Err(Stop::TimeOut { lines, .. }) => {
                return Err(Stop::TimeOut { seconds: luggage.limit.as_secs(), lines });
            }
            Err(stop) => return Err(stop),
            Ok(visited) => {
                let seconds = begun.elapsed().as_secs();
                return Ok(Visited { seconds, connections: number, ..visited });
            }
        }
    }
    Err(Stop::TimeOut { seconds: luggage.limit.as_secs(), lines: Vec::new() })
}

struct Visit<'a> {
    target: &'a Target,
    luggage: &'a Luggage<'a>,
}

impl Visit<'_> {
    fn once(&self, limit: Duration, record: Transcript) -> Result<Visited, Stop> {
        self.tell("connecting");
        let line = Line::open(&self.target.command, limit, record)?;
        let password = self.target.password.as_deref().map(String::as_str);
        let account =
            Account { login: &self.target.login, password, jump: self.target.jump.as_deref() };
        let root = Arriving::at(line, account).become_root();
        let mut shell = match root.and_then(RootShell::begin) {
            Ok(shell) => shell,
            Err(lost) => {
                let (line, stop) = *lost;
                line.close();
                return Err(stop);
            }
        };
        let done = self.at_root(&mut shell);
        if done.is_err() {
            shell.line.remark("(stopped here)");
        }
        shell.line.close();
        done
    }

    fn tell(&self, step: &str) {
        tell(self.luggage.terminal, &self.target.name, step);
    }

    fn at_root(&self, shell: &mut RootShell) -> Result<Visited, Stop> {
        let folder = self.folder(shell)?;
        let done = self.in_folder(shell, &folder);
        match &done {
            // the next connection goes on with what is there
            Err(stop) if stop.is_broken_line() => return done,
            Err(Stop::TimeOut { .. }) => return done,
            _ => {}
        }
        let removed = shell.small(&format!("cd / && rm -rf {folder}"));
        let mut visited = done?;
        if !removed.is_ok_and(|done| done.status == 0) {
            visited.notes.push(format!("{folder} is left on the device: remove it"));
        }
        Ok(visited)
    }

    /// Makes a private folder from which programs may run, or finds that of a broken line.
    fn folder(&self, shell: &mut RootShell) -> Result<String, Stop> {
        let name = format!(".sftunnel-deliver-{}", self.target.uuid.short());
        let command = format!(
            "umask 077; for p in {FOLDERS}; do d=$p/{name}; \
             if mkdir -m 700 $d || {{ [ -d $d ] && [ ! -L $d ] && [ -O $d ]; }}; then \
             if chmod 700 $d && printf '#!/bin/sh\\n' > $d/x && chmod 700 $d/x && $d/x; \
             then rm -f $d/x; echo \"folder $d\"; break; else rm -rf $d; fi; fi; done 2>/dev/null"
        );
        let done = shell.small(&command)?;
        let found = done.last().strip_prefix("folder ").filter(|path| path.ends_with(&name));
        found.map(str::to_owned).ok_or(Stop::NoFolder { tried: FOLDERS })
    }

    fn in_folder(&self, shell: &mut RootShell, folder: &str) -> Result<Visited, Stop> {
        let arch = shell.must("uname -m", "uname -m")?.last().trim().to_owned();
        let Some(installer) = self.luggage.installers.get(&arch) else {
            return Err(Stop::NoInstaller { arch });
        };
        self.upload(shell, folder, "sftunnel-install", "700", installer)?;
        if self.luggage.only_check {
            return self.check(shell, folder);
        }
        self.upload(shell, folder, BUNDLE, "600", &self.target.bundle)?;
        if let Some(identity) = &self.luggage.identity {
            self.upload(shell, folder, IDENTITY, "600", identity)?;
        }
        self.install(shell, folder)
    }

    fn upload(
        &self,
        shell: &mut RootShell,
        folder: &str,
        name: &str,
        mode: &str,
        content: &[u8],
    ) -> Result<(), Stop> {
        let mut told = 0;
        upload(shell, folder, name, mode, content, |percent| {
            if percent >= told + 25 && percent < 100 {
                told = percent;
                self.tell(&format!("{name}: {percent} % sent"));
            }
        })
    }

    fn check(&self, shell: &mut RootShell, folder: &str) -> Result<Visited, Stop> {
        let command = format!("{folder}/sftunnel-install status --plugin 2>&1");
        let done = shell.run(&command, INSTALLING)?;
        let line = done.lines.first().map(|line| printable(line).to_string());
        Ok(Visited { outcome: "status".to_owned(), status: line, ..Visited::default() })
    }

    fn install(&self, shell: &mut RootShell, folder: &str) -> Result<Visited, Stop> {
        self.tell("installing");
        let signer = shell_quote(&self.target.signer.to_string());
        let identity = match self.luggage.identity {
            Some(_) => format!("--identity {IDENTITY}"),
            None => String::new(),
        };
        let command = format!(
            "cd {folder} && mkdir -p receipts && ./sftunnel-install install {BUNDLE} {identity} \
             --signer {signer} --yes --json --receipt-out receipts > out.json 2> err.txt"
        );
        let done = shell.start(&command)?.finish(INSTALLING, |tail| {
            let asks = tail.ends_with(':') && ASKS.iter().any(|word| tail.contains(word));
            asks.then_some(Typed { what: "passphrase or identity", secret: &self.luggage.secret })
        })?;
        let report = self.report(shell, done.status)?;
        let mut visited = Visited {
            outcome: report.outcome.clone().unwrap_or_default(),
            tunnel: report.tunnel(),
            ..Visited::default()
        };
        self.fetch_receipts(shell, &mut visited)?;
        match done.status {
            0 => Ok(visited),
            exit => Err(Stop::Installer {
                exit,
                reason: report.reason(),
                message: report.message.or(report.why).unwrap_or_default(),
                next: report.next.unwrap_or_default(),
                receipts: visited.receipts,
            }),
        }
    }

    fn report(&self, shell: &mut RootShell, status: u8) -> Result<Told, Stop> {
        let bytes = fetch(shell, "out.json")?;
        if let Ok(report) = serde_json::from_slice(&bytes) {
            return Ok(report);
        }
        let said = shell.small("tail -n 3 err.txt")?.lines.join("; ");
        Err(Stop::Remote { what: "the installer", said: format!("exit {status}: {said}") })
    }

    fn fetch_receipts(&self, shell: &mut RootShell, visited: &mut Visited) -> Result<(), Stop> {
        let mut listed = shell.small("ls receipts/*.json 2>/dev/null")?.lines;
        if listed.is_empty() {
            // installed before, over a line that broke: the newest that the device kept
            let kept = format!("ls -t {KEPT_RECEIPTS}/*.json 2>/dev/null | head -n 1");
            listed = shell.small(&kept)?.lines;
        }
        for path in listed.iter().take(MOST_RECEIPTS) {
            let bytes = fetch(shell, &shell_quote(path))?;
            match SignedReceipt::open(&bytes) {
                Ok(receipt) if receipt.claim().device == self.target.uuid => {
                    visited.receipts.push((file_name(receipt.claim()), bytes));
                }
                Ok(_) => visited.notes.push("a receipt is another device's: left out".to_owned()),
                Err(error) => visited.notes.push(format!("a receipt did not arrive: {error}")),
            }
        }
        Ok(())
    }
}

/// Brings a small file over.
fn fetch(shell: &mut RootShell, path: &str) -> Result<Vec<u8>, Stop> {
    let done =
        shell.unrecorded(&format!("{{ base64 2>/dev/null || openssl base64; }} < {path}"))?;
    Ok(STANDARD.decode(done.lines.concat()).unwrap_or_default())
}

/// The installer's own copies of its receipts (installer/PROTOCOL.md, "State on the box").
const KEPT_RECEIPTS: &str = "/var/sf/sftunnel-airgap/receipts";
/// Receipts of one installation: one for each manager.
const MOST_RECEIPTS: usize = 4;
/// Places for a private folder; those that only root can write first.
const FOLDERS: &str = "/var/sf /ngfw/var/sf /root /var/tmp";
const BUNDLE: &str = "bundle.tar.gz.age";
const IDENTITY: &str = "kit.identity.age";
/// Words of the installer's own hidden prompts.
const ASKS: [&str; 2] = ["assphrase", "AGE-SECRET-KEY"];

/// The fields of the installer's JSON that count here. They are foreign: read, and shown sanitised.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    outcome: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    why: Option<String>,
    next: Option<String>,
    tunnels: Option<Vec<TunnelSeen>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TunnelSeen {
    state: Option<String>,
}

impl Told {
    fn reason(&self) -> Option<Reason> {
        let word = self.reason.as_deref()?;
        Reason::ALL.iter().copied().find(|reason| reason.word() == word)
    }

    fn tunnel(&self) -> Option<String> {
        let state = self.tunnels.as_ref()?.first()?.state.as_ref()?;
        Some(printable(state).to_string())
    }
}
