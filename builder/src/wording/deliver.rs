//! Sentences about devices that were not visited to the end.

use cli::say::failure::Failure;
use formats::error::Reason;

use crate::deliver::error::Stop;
use crate::deliver::prompt::Refused;

const SEE: &str = "log in by hand to see what stands there; --transcripts DIR keeps what was shown";
const AGAIN: &str =
    "run this again: it goes on where it ended, and what is interrupted is finished";

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Command { words, error } => {
                let program = words.first().map_or("", String::as_str);
                Failure::io(program, &error)
                    .or_hint("install OpenSSH's client, or name another way with --via")
            }
            Stop::Refused { by, said } => refused(by, &said),
            Stop::KeyPassphrase => login("the SSH key asks for its passphrase")
                .hint("add the key to an agent (`ssh-add`), and run this again"),
            Stop::JumpPassword => login("the jump host asks for a password")
                .hint("use a key for the jump host (`ssh-add`); only the device gets the device's password"),
            Stop::NewPassword => login("the device demands a new password")
                .hint("log in by hand, set it, and run this again"),
            Stop::NoPassword => login("the device asks for a password, and none was given").hint(
                "run this at a terminal, or give --password-file, or fill the table's column",
            ),
            Stop::Unknown { wanted, lines } => {
                unknown(format!("expected {wanted}, found something that is not known"), &lines)
            }
            Stop::Silent { wanted, seconds, lines } => {
                unknown(format!("expected {wanted}, found none for {seconds} s"), &lines)
            }
            Stop::TimeOut { seconds, lines } => {
                let message = with_lines(format!("not done after {seconds} s"), &lines);
                Failure::refused(Reason::LineLost, message).hint(
                    "--time-limit SECONDS gives it longer; a slow line takes half an hour; run this again to go on",
                )
            }
            Stop::Broken { lines } => Failure::refused(
                Reason::LineLost,
                with_lines("the connection ended".to_owned(), &lines),
            )
            .hint(AGAIN),
            Stop::Remote { what, said } => {
                let full = said.contains("No space left") || said.contains("quota");
                let reason = if full { Reason::NoSpace } else { Reason::RemoteFailed };
                Failure::refused(reason, format!("{what} failed on the device: {said}"))
                    .hint(if full { "make room on the device, and run this again" } else { SEE })
            }
            Stop::NoFolder { tried } => Failure::refused(
                Reason::NotPermitted,
                format!("the device has no folder from which a program may run; tried {tried}"),
            )
            .hint("see `mount` there for noexec and read-only; make room, or remount one of them"),
            Stop::NoInstaller { arch } => {
                Failure::refused(Reason::NotFound, format!("the kit has no installer for '{arch}'"))
                    .hint("build the kit with --installer FILE for it")
            }
            Stop::Garbled { file } => {
                Failure::refused(Reason::Damaged, format!("{file} arrived changed three times"))
                    .hint("the line changes what is sent; use another way to the device")
            }
            Stop::Installer { exit, reason, message, next, .. } => {
                let failure = Failure::refused(
                    reason.unwrap_or(Reason::RemoteFailed),
                    format!("the installer ended with exit code {exit}: {message}"),
                );
                if next.is_empty() { failure.hint(SEE) } else { failure.hint(next) }
            }
        }
    }
}

fn refused(by: Refused, said: &str) -> Failure {
    let said = format!("the far side says: {said}");
    match by {
        Refused::ChangedHostKey => Failure::refused(Reason::HostKey, format!("the host key has changed; {said}"))
            .hint("find out why, from the device's console; then `ssh-keygen -R ADDRESS`, and log in once by hand"),
        Refused::UnknownHostKey => Failure::refused(Reason::HostKey, format!("the host key is not known; {said}"))
            .hint("log in once by hand and compare the key with the device's console"),
        Refused::Login => login(&said).hint("check name and password by hand; some devices lock an account after three wrong ones"),
        Refused::Sudo => Failure::refused(Reason::LoginRefused, format!("the account may not become root; {said}"))
            .hint("use the device's admin account"),
        Refused::Unreachable => Failure::refused(Reason::Unreachable, said)
            .hint("check the address and the network; else carry the kit there on a stick"),
    }
}

fn login(message: &str) -> Failure {
    Failure::refused(Reason::LoginRefused, message)
}

fn unknown(message: String, lines: &[String]) -> Failure {
    Failure::refused(Reason::UnknownPrompt, with_lines(message, lines)).hint(SEE)
}

fn with_lines(message: String, lines: &[String]) -> String {
    lines.iter().fold(message, |message, line| format!("{message}\n| {line}"))
}
