//! Trust in a signer: the rules of [`formats::trust`], and a question at the terminal where they
//! leave it open.

use std::path::Path;

use formats::bundle::SignedBundle;
use formats::bundle::manifest::Manifest;
use formats::device::ManagerUuid;
use formats::error::Reason;
use formats::limits;
use formats::signature::{Fingerprint, VerifyingKey};
use formats::trust::{TrustInputs, Verdict, Vouch, VouchedBundle};

use crate::ask::question;
use crate::disk::input;
use crate::say::failure::Failure;
use crate::say::terminal::Terminal;

/// A signature to be judged, with everything about it that differs within a run.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Name of the signed thing, for messages.
    pub subject: &'a str,
    /// Manager that it is for.
    pub manager: &'a ManagerUuid,
    /// Key that signed it.
    pub signer: Fingerprint,
    /// Signers pinned for this manager.
    pub pinned: &'a [Fingerprint],
    /// Signer that the passphrase which opened it vouches for.
    pub passphrase: Option<Fingerprint>,
}

impl<'a> Claim<'a> {
    /// Makes the claim of a bundle.
    pub fn of_bundle(
        bundle: &'a Manifest,
        subject: &'a str,
        passphrase: Option<Fingerprint>,
    ) -> Self {
        let (manager, signer) = (&bundle.manager.uuid, bundle.signer.fingerprint);
        Self { subject, manager, signer, pinned: &[], passphrase }
    }
}

/// The signers trusted in this run, and the terminal to ask at about others.
#[derive(Debug)]
pub struct SignerCheck<'a> {
    named: Vec<Fingerprint>,
    own: Option<Fingerprint>,
    ask: Option<&'a Terminal>,
    confirmed: Vec<(ManagerUuid, Fingerprint)>,
}

impl<'a> SignerCheck<'a> {
    /// Reads each `--signer`, and takes the signing key of this machine and the terminal.
    ///
    /// # Errors
    /// Returns a usage error for a `--signer` of no known form.
    pub fn new(
        named: &[String],
        own: Option<Fingerprint>,
        ask: Option<&'a Terminal>,
    ) -> Result<Self, Failure> {
        let named =
            named.iter().map(|argument| named_signer(argument)).collect::<Result<_, _>>()?;
        Ok(Self { named, own, ask, confirmed: Vec::new() })
    }

    fn inputs(&self, claim: Claim<'_>) -> TrustInputs {
        let of_manager = self.confirmed.iter().filter(|(manager, _)| manager == claim.manager);
        TrustInputs {
            named: self.named.clone(),
            pinned: claim.pinned.to_vec(),
            own: self.own,
            passphrase: claim.passphrase,
            confirmed: of_manager.map(|(_, signer)| *signer).collect(),
        }
    }

    /// Applies the rules without a question: `None` if nothing speaks for or against the signer.
    ///
    /// # Errors
    /// Returns `unknown-signer` when something speaks against it.
    pub fn without_asking(&self, claim: Claim<'_>) -> Result<Option<Vouch>, Failure> {
        match self.inputs(claim).judge(claim.signer) {
            Verdict::Vouched(vouch) => Ok(Some(vouch)),
            Verdict::Ask => Ok(None),
            verdict => Err(refusal(verdict, claim)),
        }
    }

    /// Applies the rules, and asks once for each signer of a manager that they leave open.
    ///
    /// # Errors
    /// Returns `unknown-signer`.
    pub fn require(&mut self, claim: Claim<'_>) -> Result<Vouch, Failure> {
        if let Some(vouch) = self.without_asking(claim)? {
            return Ok(vouch);
        }
        match self.ask {
            Some(terminal) if terminal.can_ask() => confirm(terminal, claim)?,
            _ => return Err(refusal(Verdict::Ask, claim)),
        }
        self.confirmed.push((claim.manager.clone(), claim.signer));
        Ok(Vouch::Confirmed)
    }

    /// Makes a bundle installable if [`SignerCheck::require`] trusts its signer.
    ///
    /// # Errors
    /// Returns `unknown-signer`.
    pub fn vouch(
        &mut self,
        subject: &str,
        bundle: SignedBundle,
        pinned: &[Fingerprint],
        passphrase: Option<Fingerprint>,
    ) -> Result<VouchedBundle, Failure> {
        let (manager, signer) = (bundle.manifest().manager.uuid.clone(), bundle.fingerprint());
        let claim = Claim { subject, manager: &manager, signer, pinned, passphrase };
        self.require(claim)?;
        self.inputs(claim).vouch(bundle).map_err(|verdict| refusal(verdict, claim))
    }
}

/// Reads a fingerprint in either form, or the public key file of that path.
fn named_signer(argument: &str) -> Result<Fingerprint, Failure> {
    if Fingerprint::is_meant_by(argument) {
        return Fingerprint::from_person(argument)
            .map_err(|error| Failure::usage(format!("--signer: {error}")));
    }
    let bytes = input::read(Path::new(argument), limits::KEY_FILE).map_err(|failure| {
        let failure = failure.preceded_by("--signer");
        let hex = argument.chars().filter(|c| !c.is_whitespace());
        match failure.reason() {
            // digits that were cut off, or split by the shell at their blanks
            Some(Reason::NotFound) if hex.clone().all(|c| c.is_ascii_hexdigit()) => {
                Failure::usage(format!(
                    "--signer '{argument}': a fingerprint has 64 hex digits, this has {}, and there is no such file",
                    hex.count()
                ))
                .hint("give all 64 in one pair of quotes")
            }
            _ => failure.or_hint(A_SIGNER),
        }
    })?;
    let key = VerifyingKey::from_file(&bytes)
        .map_err(|error| Failure::usage(format!("--signer {argument}: {error}")).hint(A_SIGNER))?;
    Ok(key.fingerprint())
}

const A_SIGNER: &str =
    "give a fingerprint (SHA256:... or its 64 hex digits), or a file with the Ed25519 public key";

fn refusal(verdict: Verdict, claim: Claim<'_>) -> Failure {
    let why = match verdict {
        Verdict::OtherNamed => "is signed by another key than the one named with --signer",
        Verdict::OtherPinned => "is signed by another key than the one pinned for this manager",
        Verdict::OtherVouched => {
            "is signed by another key than the one that the passphrase confirms"
        }
        Verdict::Ask | Verdict::Vouched(_) => "is signed by a key that is not confirmed yet",
    };
    let Claim { subject, signer, .. } = claim;
    let failure = Failure::refused(Reason::UnknownSigner, format!("{subject} {why}: {signer}"));
    failure.hint(match verdict {
        Verdict::OtherPinned => {
            "phone the team that made it: do they have a new signing key? If so, give --signer with its fingerprint"
        }
        _ => "phone the team that made it, and compare the fingerprint. If it is this one, give --signer with it",
    })
}

/// Asks a person at the terminal about a signer of which nothing else is known.
///
/// The maker of a bundle or kit chose everything in it but the fingerprint, so the question shows
/// nothing else of it: names and hosts could contain anything, even lines that look like ours.
fn confirm(terminal: &Terminal, claim: Claim<'_>) -> Result<(), Failure> {
    let Claim { subject, manager, signer, .. } = claim;
    let [one, two] = signer.spoken_lines();
    let question = format!(
        "\nThis, for manager {manager}, is signed by\n  {signer}\n\
         or, to read aloud,\n  {one}\n  {two}\n\
         This key is not confirmed yet. Compare it, all of it, with the\n\
         fingerprint that the team who made it tells you by phone.\nIs it the same?"
    );
    match question::confirm(terminal, &question) {
        Ok(true) => Ok(()),
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

    fn manager() -> ManagerUuid {
        "cdb123c8-4347-11ef-aca1-f3aa241412a1".parse().unwrap()
    }

    fn claim(manager: &ManagerUuid, signer: Fingerprint) -> Claim<'_> {
        Claim { subject: "x", manager, signer, pinned: &[], passphrase: None }
    }

    #[test]
    fn what_names_no_signer_says_what_it_was_taken_for() {
        let parse = |text: &str| named_signer(text).unwrap_err();
        let cut = parse("e4ba 468d");
        assert_eq!(cut.exit_code(), crate::say::exit::Exit::Usage);
        assert!(cut.message().contains("has 64 hex digits, this has 8,"), "{}", cut.message());
        let file = parse("no/such.pem");
        assert_eq!(file.reason(), Some(Reason::NotFound));
        assert!(file.message().starts_with("--signer: no/such.pem: "), "{}", file.message());
        let hint = file.next_step().unwrap();
        assert!(hint.starts_with("give a fingerprint"), "{hint}");
    }

    /// The question about a key that has changed differs from that about a new one.
    #[test]
    fn another_key_than_the_pinned_one_has_a_next_step_of_its_own() {
        let (manager, signer) = (manager(), print());
        let hint = |verdict| {
            refusal(verdict, claim(&manager, signer)).next_step().unwrap_or_default().to_owned()
        };
        assert!(hint(Verdict::OtherPinned).contains("do they have a new signing key"));
        for verdict in [Verdict::Ask, Verdict::OtherNamed, Verdict::OtherVouched] {
            assert!(hint(verdict).contains("compare the fingerprint"));
        }
    }

    #[test]
    fn without_anybody_to_ask_an_open_question_is_a_refusal() {
        let (manager, signer) = (manager(), print());
        let mut check = SignerCheck::new(&[], None, None).unwrap();
        let claim = claim(&manager, signer);
        assert_eq!(check.without_asking(claim), Ok(None));
        let failure = check.require(claim).unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::UnknownSigner));
    }

    #[test]
    fn one_kits_passphrase_says_nothing_about_the_next() {
        let (manager, signer) = (manager(), print());
        let mut check = SignerCheck::new(&[], None, None).unwrap();
        let next = claim(&manager, signer);
        let first = Claim { passphrase: Some(signer), ..next };
        assert_eq!(check.require(first), Ok(Vouch::Passphrase));
        assert!(check.require(next).is_err());
    }

    #[test]
    fn a_person_confirms_a_signer_for_one_manager() {
        let (one, other, signer) = (manager(), "8d07463a-6e0f-11ef-8c3a-a9f8f2c3a3a1", print());
        let other: ManagerUuid = other.parse().unwrap();
        let mut check = SignerCheck::new(&[], None, None).unwrap();
        check.confirmed.push((one.clone(), signer));
        assert_eq!(check.without_asking(claim(&one, signer)), Ok(Some(Vouch::Confirmed)));
        assert_eq!(check.without_asking(claim(&other, signer)), Ok(None));
    }

    #[test]
    fn of_several_named_signers_each_counts_and_no_other() {
        let (manager, one, two, other) = (manager(), print(), print(), print());
        let named = [one.to_string(), two.to_string()];
        let check = SignerCheck::new(&named, Some(other), None).unwrap();
        for signer in [one, two] {
            assert_eq!(check.without_asking(claim(&manager, signer)), Ok(Some(Vouch::Named)));
        }
        let failure = check.without_asking(claim(&manager, other)).unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::UnknownSigner));
    }
}
