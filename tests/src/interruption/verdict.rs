//! Conditions that must hold after an interruption, whatever its cause.

use serde_json::Value;

use super::fault::Fault;
use super::stand::{Files, Stand};
use super::trace::Call;
use crate::ran::Ran;

/// The live files before and after the change that is interrupted, and of the kits.
#[derive(Debug, Clone)]
pub struct Ends {
    /// Files at the beginning.
    pub old: Files,
    /// Files at the intended end.
    pub new: Files,
    /// Files after a later installation.
    pub installed: Files,
}

/// The end that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All files are old.
    Old,
    /// All files are new.
    New,
}

/// Reason words that fit an error of the system.
fn fitting(error: Option<&str>) -> &'static [&'static str] {
    match error {
        Some("ENOSPC" | "EDQUOT") => &["no-space"],
        Some("EROFS") => &["read-only"],
        // an attribute that is refused, and what is found out without any fault
        Some("EOPNOTSUPP") | None => &["cannot-replace"],
        Some("EPERM" | "EACCES") => &["cannot-replace", "not-permitted"],
        _ => &[],
    }
}

impl Ends {
    /// Returns the end that is live.
    ///
    /// # Errors
    /// Fails when it is neither.
    pub fn whole(&self, live: &Files) -> Result<End, String> {
        match live {
            live if *live == self.new => Ok(End::New),
            live if *live == self.old => Ok(End::Old),
            _ => Err(format!("the files are mixed: {}", self.shown(live))),
        }
    }

    /// Checks that every live file is an old or a new one, complete and present, even before
    /// recovery.
    ///
    /// # Errors
    /// Names the file that is not.
    pub fn each_is_whole(&self, live: &Files) -> Result<(), String> {
        let known =
            |m: usize, f: usize| live[m][f] == self.old[m][f] || live[m][f] == self.new[m][f];
        let every = (0..live.len()).all(|m| (0..3).all(|f| known(m, f)));
        if every { Ok(()) } else { Err(format!("a live file is neither: {}", self.shown(live))) }
    }

    /// Each live file in a word.
    pub fn shown(&self, live: &Files) -> String {
        let word = |m: usize, f: usize| match &live[m][f] {
            one if *one == self.new[m][f] => "new".to_owned(),
            one if *one == self.old[m][f] => "old".to_owned(),
            None => "absent".to_owned(),
            Some(node) => {
                let size = node.bytes.as_ref().map_or(0, Vec::len);
                format!("{size} bytes, {:o} {:?}", node.mode, node.owner)
            }
        };
        let words = (0..live.len()).flat_map(|m| (0..3).map(move |f| (m, f)));
        words.map(|(m, f)| word(m, f)).collect::<Vec<_>>().join(" / ")
    }

    /// Checks that exit code and JSON of a program that came to its own end are true, after a fault
    /// `at` a call or without one.
    ///
    /// # Errors
    /// Describes what is not true.
    pub fn code_is_true(
        &self,
        stand: &Stand<'_>,
        ran: &Ran,
        at: Option<(&Call, Fault)>,
        before: &Files,
    ) -> Result<(), String> {
        let error = at.and_then(|(_, fault)| fault.error());
        // room that cannot be given free takes nothing from a success; the next run does it
        let is_reserve = |call: &Call| {
            call.name == "unlinkat" && call.args.iter().any(|arg| arg == "\".reserve\"")
        };
        let keeps_room = error.is_some() && at.is_some_and(|(call, _)| is_reserve(call));
        let json: Value = serde_json::from_str(&ran.stdout)
            .map_err(|problem| format!("stdout is no JSON: {problem}\n{}", ran.output()))?;
        let code = ran.code().ok_or_else(|| format!("no exit code\n{}", ran.output()))?;
        let said = |what: &str| format!("exit {code}, but {what}\n{}", ran.output());
        if json["exit_code"] != code {
            return Err(said("the JSON has another"));
        }
        let live = stand.files();
        let reason = json["reason"].as_str();
        if reason.is_some_and(|reason| !fitting(error).contains(&reason)) {
            return Err(said(&format!("reason {reason:?} does not fit {error:?}")));
        }
        match code {
            0 => {
                let end = self.whole(&live)?;
                let says_new = match json["outcome"].as_str() {
                    Some("installed" | "rolled-back" | "all-new") => Some(true),
                    Some("all-old") => Some(false),
                    Some("nothing") => None,
                    other => return Err(said(&format!("outcome {other:?}"))),
                };
                if says_new.is_some_and(|new| new != (end == End::New)) {
                    return Err(said(&format!("the files are {end:?}")));
                }
                stand.runs_on_live_files().map_err(|why| said(&why))?;
                stand.is_tidy(keeps_room).map_err(|why| said(&why))
            }
            1 | 3 => {
                if code == 3 && reason.is_none() {
                    return Err(said("there is no reason"));
                }
                if live != *before {
                    return Err(said(&format!("the files changed: {}", self.shown(&live))));
                }
                Ok(())
            }
            5 => {
                if json["outcome"] != "unconfirmed" || live != self.new {
                    return Err(said("the files are not the new ones, kept without a proof"));
                }
                stand.is_tidy(keeps_room).map_err(|why| said(&why))
            }
            6 => {
                if live != self.old {
                    return Err(said("the files are not the old ones"));
                }
                stand.runs_on_live_files().map_err(|why| said(&why))
            }
            7 if json["next"].as_str().is_some_and(|next| !next.is_empty()) => Ok(()),
            7 => Err(said("it does not say what to do next")),
            _ => Err(said("that is none of those for this")),
        }
    }

    /// Runs `recover`, checks everything that must hold, then a later installation.
    ///
    /// # Errors
    /// Describes what does not hold.
    pub fn recovers(&self, stand: &Stand<'_>) -> Result<End, String> {
        self.each_is_whole(&stand.files())?;
        let ran = stand.run(&["recover", "--settle", "0", "--json"]).run();
        if ran.code() != Some(0) {
            return Err(format!("recover ended with {:?}\n{}", ran.code(), ran.output()));
        }
        let end = self.whole(&stand.files())?;
        self.code_is_true(stand, &ran, None, &self.old)?;
        let verified = stand.run(&["backups", "verify"]).run();
        if verified.code() != Some(0) {
            return Err(format!("a backup is damaged\n{}", verified.output()));
        }
        let log: Value = serde_json::from_str(&stand.run(&["log", "--json"]).run().stdout)
            .map_err(|problem| format!("log: {problem}"))?;
        let last = log["lines"].as_array().and_then(|lines| lines.last());
        if last.is_none_or(|line| line["command"] != "recover") {
            return Err(format!("the log does not end with the recovery: {log}"));
        }
        let later = stand.install().run();
        if later.code() != Some(0) || stand.files() != self.installed {
            return Err(format!("a later installation failed\n{}", later.output()));
        }
        stand.is_tidy(false).map_err(|why| format!("after a later installation: {why}"))?;
        stand.runs_on_live_files().map_err(|why| format!("after a later installation: {why}"))?;
        Ok(end)
    }
}
