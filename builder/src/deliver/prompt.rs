//! What the last line of a terminal asks for. Pure; the words are those of OpenSSH, login(1),
//! sudo, the FTD's CLI and FXOS (docs/facts.md).

/// Something that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prompt {
    /// `login:`, `Username:`
    Name,
    /// `Password:`, `admin@10.0.0.1's password:`, `[sudo] password for admin:`
    Password,
    /// A new password is demanded before anything else.
    NewPassword,
    /// An SSH key is locked; its passphrase is not ours to type.
    KeyPassphrase,
    /// OpenSSH does not know the host's key.
    HostKey,
    /// `firepower#`, of FXOS.
    Chassis,
    /// `> `, of the FTD's CLI.
    Cli,
    /// `admin@ftd:~$`
    Shell,
    /// `root@ftd:~#`
    Root,
}

impl Prompt {
    /// Reads the unfinished last line of a terminal.
    pub(super) fn of(tail: &str) -> Option<Self> {
        let line = tail.trim();
        let lower = line.to_ascii_lowercase();
        let ends = |words: &[&str]| words.iter().any(|word| lower.ends_with(word));
        if ends(&["(yes/no)?", "(yes/no/[fingerprint])?"]) && lower.contains("continue connecting")
        {
            return Some(Self::HostKey);
        }
        if let Some(question) = lower.strip_suffix(':') {
            return match question.trim_end() {
                asked if asked.starts_with("enter passphrase for key") => Some(Self::KeyPassphrase),
                asked if is_new_password(asked) => Some(Self::NewPassword),
                asked if asked.contains("password") => Some(Self::Password),
                asked if asked.ends_with("login") || asked.ends_with("username") => {
                    Some(Self::Name)
                }
                _ => None,
            };
        }
        match line.chars().last()? {
            '>' if line == ">" => Some(Self::Cli),
            '$' => Some(Self::Shell),
            '#' if is_a_shells(line) || line == "#" => Some(Self::Root),
            '#' if is_a_chassis(line) => Some(Self::Chassis),
            _ => None,
        }
    }
}

fn is_new_password(asked: &str) -> bool {
    ["new password", "current password", "current unix password", "(current) unix password"]
        .iter()
        .any(|words| asked.contains(words))
}

/// `name@host:folder#`, `bash-4.3#`, `-bash-5.2#`.
fn is_a_shells(line: &str) -> bool {
    let before = line.trim_start_matches('-');
    before.contains('@') || before.starts_with("bash-") || before.starts_with("sh-")
}

/// `firepower#`, `FP4145-A /ssa #`: one name, and perhaps the place in FXOS's tree.
fn is_a_chassis(line: &str) -> bool {
    let before = line.trim_end_matches('#').trim_end();
    let mut words = before.split(' ');
    let is_name = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_.*".contains(c))
    };
    words.next().is_some_and(is_name) && words.all(|word| word.starts_with('/'))
}

/// A line that ends the way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The host's key is not the one that is known.
    ChangedHostKey,
    /// The host's key is not known.
    UnknownHostKey,
    /// Name or password are wrong.
    Login,
    /// The account may not become root.
    Sudo,
    /// There is no connection.
    Unreachable,
}

impl Refused {
    /// Finds the first such line.
    pub(super) fn among<'a>(lines: impl Iterator<Item = &'a str>) -> Option<(Self, String)> {
        let mut found = None;
        for line in lines {
            if let Some(refused) = Self::of(line) {
                // ssh tells the changed key first, and at the end only that it failed
                found.get_or_insert((refused, line.trim().to_owned()));
            }
        }
        found
    }

    fn of(line: &str) -> Option<Self> {
        const SIGNS: [(&str, Refused); 21] = [
            ("remote host identification has changed", Refused::ChangedHostKey),
            ("host key verification failed", Refused::UnknownHostKey),
            ("host key is known for", Refused::UnknownHostKey),
            ("permission denied", Refused::Login),
            ("login incorrect", Refused::Login),
            ("authentication failed", Refused::Login),
            ("too many authentication failures", Refused::Login),
            ("access denied", Refused::Login),
            ("is not in the sudoers file", Refused::Sudo),
            ("incorrect password attempt", Refused::Sudo),
            ("sorry, try again", Refused::Sudo),
            ("is not allowed to execute", Refused::Sudo),
            ("connection refused", Refused::Unreachable),
            ("connection timed out", Refused::Unreachable),
            ("operation timed out", Refused::Unreachable),
            ("no route to host", Refused::Unreachable),
            ("network is unreachable", Refused::Unreachable),
            ("could not resolve hostname", Refused::Unreachable),
            ("name or service not known", Refused::Unreachable),
            ("connection closed by", Refused::Unreachable),
            ("connection reset by", Refused::Unreachable),
        ];
        let lower = line.to_ascii_lowercase();
        SIGNS.iter().find(|(sign, _)| lower.contains(sign)).map(|(_, refused)| *refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_prompts_are_known() {
        for (line, prompt) in [
            ("firepower login:", Some(Prompt::Name)),
            ("Username:", Some(Prompt::Name)),
            ("Password:", Some(Prompt::Password)),
            ("admin@10.0.0.1's password:", Some(Prompt::Password)),
            ("[sudo] password for admin:", Some(Prompt::Password)),
            ("(current) UNIX password:", Some(Prompt::NewPassword)),
            ("Enter new password:", Some(Prompt::NewPassword)),
            ("Enter passphrase for key '/home/op/.ssh/id_ed25519':", Some(Prompt::KeyPassphrase)),
            (
                "Are you sure you want to continue connecting (yes/no/[fingerprint])?",
                Some(Prompt::HostKey),
            ),
            (">", Some(Prompt::Cli)),
            ("admin@firepower:~$", Some(Prompt::Shell)),
            ("root@firepower:/home/admin#", Some(Prompt::Root)),
            ("bash-4.3#", Some(Prompt::Root)),
            ("-bash-5.2#", Some(Prompt::Root)),
            ("firepower#", Some(Prompt::Chassis)),
            ("FP4145-A /ssa #", Some(Prompt::Chassis)),
            ("Copyright 2004-2023, Cisco and/or its affiliates:", None),
            ("Cisco Firepower 1120 v7.2.5 (build 208) #", None),
            ("please wait...", None),
            ("<html>", None),
        ] {
            assert_eq!(Prompt::of(line), prompt, "{line}");
        }
    }

    #[test]
    fn the_first_reason_is_told() {
        let lines = [
            "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @",
            "Host key verification failed.",
        ];
        let (refused, line) = Refused::among(lines.into_iter()).unwrap();
        assert_eq!(refused, Refused::ChangedHostKey);
        assert!(line.contains("CHANGED"));
        assert_eq!(Refused::among(["Welcome"].into_iter()), None);
    }
}
