//! Who vouches for a signer. The rules of SECURITY.md, in one pure function.

use std::path::Path;

use formats::bundle::Vouch;
use formats::device::ManagerUuid;
use formats::error::Reason;
use formats::limits;
use formats::signature::{Fingerprint, VerifyingKey};

use crate::disk::input;
use crate::say::exit::Failure;
use crate::say::terminal::Terminal;

/// A signer as the operator names it with `--signer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedSigner(pub Fingerprint);

impl NamedSigner {
    /// Takes a fingerprint in either form, or the path of a public key file.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(argument: &str) -> Result<Self, Failure> {
        if Fingerprint::is_meant_by(argument) {
            let parsed = Fingerprint::from_person(argument).map(Self);
            return parsed.map_err(|error| Failure::usage(format!("--signer: {error}")));
        }
        let bytes = input::read(Path::new(argument), limits::KEY_FILE).map_err(|failure| {
            let failure = failure.preceded_by("--signer");
            let hex = argument.chars().filter(|c| !c.is_whitespace());
            match failure.reason() {
                // digits that were cut short, or whose blanks the shell has split
                Some(Reason::NotFound) if hex.clone().all(|c| c.is_ascii_hexdigit()) => {
                    Failure::usage(format!(
                        "--signer '{argument}': a fingerprint has 64 hex digits, this has {}, and there is no such file",
                        hex.count()
                    ))
                    .hint("give all 64 in one pair of quotes")
                }
                _ => failure.or_hint(
                    "give a fingerprint (SHA256:... or its 64 hex digits), or a file with the Ed25519 public key",
                ),
            }
        })?;
        let key = VerifyingKey::from_file(&bytes).map_err(|error| {
            Failure::usage(format!("--signer {argument}: {error}"))
                .hint("give a fingerprint (SHA256:... or its 64 hex digits), or a file with the Ed25519 public key")
        })?;
        Ok(Self(key.fingerprint()))
    }
}

/// Everything that may speak for a signer, for one manager.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Named by the operator: then only that one counts.
    pub named: Option<NamedSigner>,
    /// Pinned for this manager: then only these count.
    pub pinned: Vec<Fingerprint>,
    /// The signing key that lies on this machine (on the FMC).
    pub own: Option<Fingerprint>,
    /// What the passphrase that was just given vouches for.
    pub passphrase: Option<Fingerprint>,
}

/// What the rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Trusted, and why.
    Vouched(Vouch),
    /// Nobody speaks for it or against it: a person may confirm it at the terminal.
    Ask,
    /// Somebody else is named.
    OtherNamed,
    /// Somebody else is pinned.
    OtherPinned,
    /// The passphrase vouches for somebody else.
    OtherVouched,
}

impl Known {
    /// Applies the rules, in their order.
    pub fn judge(&self, signer: Fingerprint) -> Verdict {
        if let Some(NamedSigner(named)) = self.named {
            return if named == signer {
                Verdict::Vouched(Vouch::Named)
            } else {
                Verdict::OtherNamed
            };
        }
        if !self.pinned.is_empty() {
            let known = self.pinned.contains(&signer);
            return if known { Verdict::Vouched(Vouch::Pinned) } else { Verdict::OtherPinned };
        }
        if self.own == Some(signer) {
            return Verdict::Vouched(Vouch::Own);
        }
        match self.passphrase {
            Some(vouched) if vouched == signer => Verdict::Vouched(Vouch::Passphrase),
            // whoever made the kit said who signs it; another signature needs an explanation
            Some(_) => Verdict::OtherVouched,
            None => Verdict::Ask,
        }
    }
}

/// The refusal for a verdict that is not [`Verdict::Vouched`].
pub fn refusal(verdict: Verdict, subject: &str, signer: Fingerprint) -> Failure {
    let why = match verdict {
        Verdict::OtherNamed => "is signed by another key than the one named with --signer",
        Verdict::OtherPinned => "is signed by another key than the one pinned for this manager",
        Verdict::OtherVouched => {
            "is signed by another key than the one that the passphrase vouches for"
        }
        Verdict::Ask | Verdict::Vouched(_) => "is signed by a key that nobody has vouched for yet",
    };
    let failure = Failure::refused(Reason::UnknownSigner, format!("{subject} {why}: {signer}"));
    failure.hint(match verdict {
        Verdict::OtherPinned => {
            "ask the team that made it by phone whether they have a new signing key; if so, give --signer with its fingerprint"
        }
        _ => "ask the team that made it for the fingerprint by phone; if it is this one, give --signer with it",
    })
}

/// Asks a person at the terminal about a signer that nobody speaks for or against.
///
/// What made the bundle or kit made everything in it but the fingerprint, so the question holds
/// nothing else of it: names and hosts could say what they like, and look like lines of ours.
///
/// # Errors
/// `unknown-signer`, unless the answer is yes.
pub fn confirm(
    terminal: &Terminal,
    subject: &str,
    manager: &ManagerUuid,
    signer: Fingerprint,
) -> Result<Vouch, Failure> {
    if !terminal.can_ask() {
        return Err(refusal(Verdict::Ask, subject, signer));
    }
    let [one, two] = signer.spoken_lines();
    let question = format!(
        "\nThis, for manager {manager}, is signed by\n  {signer}\n\
         or, to be read aloud,\n  {one}\n  {two}\n\
         Nobody has vouched for that key yet. Compare it, all of it, with the\n\
         fingerprint that the team who made it tells you by phone.\nIs it the same?"
    );
    match terminal.confirm(&question) {
        Ok(true) => Ok(Vouch::Confirmed),
        Ok(false) => {
            let message = format!("{subject}: its signer {signer} was not confirmed");
            Err(Failure::refused(Reason::UnknownSigner, message))
        }
        Err(error) => Err(Failure::io("the terminal", &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::signature::SigningKey;

    fn print() -> Fingerprint {
        SigningKey::generate().unwrap().verifying_key().unwrap().fingerprint()
    }

    #[test]
    fn what_names_no_signer_says_what_it_was_taken_for() {
        let parse = |text: &str| NamedSigner::parse(text).unwrap_err();
        let cut = parse("e4ba 468d");
        assert_eq!(cut.exit_code(), crate::say::exit::Exit::Usage);
        assert!(cut.message().contains("has 64 hex digits, this has 8,"), "{}", cut.message());
        let file = parse("no/such.pem");
        assert_eq!(file.reason(), Some(Reason::NotFound));
        assert!(file.message().starts_with("--signer: no/such.pem: "), "{}", file.message());
        assert!(file.next_step().is_some_and(|next| next.starts_with("give a fingerprint")));
    }

    /// A key that was changed at the other end is asked for otherwise than one that is new here.
    #[test]
    fn another_key_than_the_pinned_one_has_a_next_step_of_its_own() {
        let hint = |verdict| refusal(verdict, "x", print()).next_step().unwrap().to_owned();
        assert!(hint(Verdict::OtherPinned).contains("whether they have a new signing key"));
        for verdict in [Verdict::Ask, Verdict::OtherNamed, Verdict::OtherVouched] {
            assert!(hint(verdict).contains("for the fingerprint by phone"));
        }
    }

    #[test]
    fn a_named_signer_is_the_only_one_that_counts() {
        let (a, b) = (print(), print());
        let known = Known {
            named: Some(NamedSigner(a)),
            pinned: vec![b],
            own: Some(b),
            passphrase: Some(b),
        };
        assert_eq!(known.judge(a), Verdict::Vouched(Vouch::Named));
        assert_eq!(known.judge(b), Verdict::OtherNamed);
    }

    #[test]
    fn a_passphrase_never_overrides_a_pin() {
        let (a, b) = (print(), print());
        let known =
            Known { pinned: vec![a], passphrase: Some(b), own: Some(b), ..Known::default() };
        assert_eq!(known.judge(a), Verdict::Vouched(Vouch::Pinned));
        assert_eq!(known.judge(b), Verdict::OtherPinned);
    }

    #[test]
    fn a_passphrase_vouches_for_one_signer_only() {
        let (a, b) = (print(), print());
        let known = Known { passphrase: Some(a), ..Known::default() };
        assert_eq!(known.judge(a), Verdict::Vouched(Vouch::Passphrase));
        assert_eq!(known.judge(b), Verdict::OtherVouched);
        assert_eq!(Known::default().judge(a), Verdict::Ask);
    }
}
