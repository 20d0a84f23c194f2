//! The single decisions about an opened bundle, for `verify` and `handoff`.

use cli::ask::vouch::{Known, NamedSigner, Verdict, confirm, refusal};
use cli::say::exit::Failure;
use cli::say::terminal::Terminal;
use formats::bundle::manifest::CredentialFacts;
use formats::bundle::{SignedBundle, Vouch};
use formats::credentials::{CertificateFacts, Validity};
use formats::device::{CredentialFile, ManagerUuid};
use formats::error::Reason;
use formats::signature::Fingerprint;
use formats::timestamp::Timestamp;

/// Whom to trust, also after asking.
pub(crate) struct Judge<'a> {
    /// `--signer`, which may be repeated: a kit that was handed off has two signers.
    named: Vec<NamedSigner>,
    known: Known,
    terminal: &'a Terminal,
    confirmed: Vec<Fingerprint>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(
        named: &[String],
        known: Known,
        terminal: &'a Terminal,
    ) -> Result<Self, Failure> {
        let named = named.iter().map(|text| NamedSigner::parse(text)).collect::<Result<_, _>>()?;
        Ok(Self { named, known, terminal, confirmed: Vec::new() })
    }

    fn verdict(&self, signer: Fingerprint) -> Verdict {
        let same = |named: &&NamedSigner| named.0 == signer;
        let named = self.named.iter().find(same).or(self.named.first()).copied();
        Known { named, ..self.known.clone() }.judge(signer)
    }

    /// What the passphrase of the kit at hand vouches for; forgets the one before.
    pub(crate) fn passphrase_vouches_for(&mut self, signer: Option<Fingerprint>) {
        self.known.passphrase = signer;
    }

    /// Applies the rules and asks nobody: nothing, when nobody speaks for or against it.
    ///
    /// # Errors
    /// `unknown-signer` when somebody speaks against it.
    pub(crate) fn without_asking(
        &self,
        subject: &str,
        signer: Fingerprint,
    ) -> Result<Option<Vouch>, Failure> {
        match self.verdict(signer) {
            Verdict::Vouched(vouch) => Ok(Some(vouch)),
            Verdict::Ask if self.confirmed.contains(&signer) => Ok(Some(Vouch::Confirmed)),
            Verdict::Ask => Ok(None),
            verdict => Err(refusal(verdict, subject, signer)),
        }
    }

    /// Applies the rules; asks once for each signer that nobody speaks for or against.
    pub(crate) fn judge(
        &mut self,
        subject: &str,
        manager: &ManagerUuid,
        signer: Fingerprint,
    ) -> Result<Vouch, Failure> {
        match self.verdict(signer) {
            Verdict::Vouched(vouch) => Ok(vouch),
            Verdict::Ask if self.confirmed.contains(&signer) => Ok(Vouch::Confirmed),
            Verdict::Ask if !self.terminal.json => {
                let vouch = confirm(self.terminal, subject, manager, signer)?;
                self.confirmed.push(signer);
                Ok(vouch)
            }
            verdict => Err(refusal(verdict, subject, signer)),
        }
    }
}

/// Whether the certificate names the bundle's device, or none.
///
/// # Errors
/// `wrong-subject`, which nothing accepts: the device would refuse it as well.
pub(crate) fn names_its_device(bundle: &SignedBundle) -> Result<(), Failure> {
    bundle.check_certificate_subject().map_err(|error| {
        Failure::of("sftunnel-cert.pem", &error).hint("have the kit made anew from the right files")
    })
}

/// Whether both certificates are valid.
pub(crate) fn is_valid(facts: &CredentialFacts, now: Timestamp) -> Result<(), Failure> {
    let both = [(CredentialFile::Ca, &facts.ca), (CredentialFile::Certificate, &facts.certificate)];
    for (file, facts) in both {
        let CertificateFacts { not_before, not_after, .. } = facts;
        let (reason, what, when) = match facts.at(now) {
            Validity::Valid => continue,
            Validity::Expired => (Reason::Expired, "expired at", not_after),
            Validity::NotYet => (Reason::NotYetValid, "becomes valid at", not_before),
        };
        let message = format!("{file} {what} {when}; the clock says {now}");
        return Err(Failure::refused(reason, message)
            .hint("check the clock (--accept-clock goes on), or make a new batch and kit"));
    }
    Ok(())
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

    #[test]
    fn in_json_nobody_is_asked() {
        let terminal = Terminal::new(true, true, false);
        let mut judge = Judge::new(&[], Known::default(), &terminal).unwrap();
        let failure = judge.judge("x", &manager(), print()).unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::UnknownSigner));
    }

    #[test]
    fn one_kits_passphrase_says_nothing_about_the_next() {
        let terminal = Terminal::new(true, true, false);
        let mut judge = Judge::new(&[], Known::default(), &terminal).unwrap();
        let signer = print();
        judge.passphrase_vouches_for(Some(signer));
        assert_eq!(judge.judge("x", &manager(), signer), Ok(Vouch::Passphrase));
        judge.passphrase_vouches_for(None);
        assert!(judge.judge("x", &manager(), signer).is_err());
    }

    #[test]
    fn of_several_named_signers_each_counts_and_no_other() {
        let terminal = Terminal::new(true, true, false);
        let (one, two, other) = (print(), print(), print());
        let named = [one.to_string(), two.to_string()];
        let known = Known { own: Some(other), ..Known::default() };
        let judge = Judge::new(&named, known, &terminal).unwrap();
        for signer in [one, two] {
            assert_eq!(judge.without_asking("x", signer), Ok(Some(Vouch::Named)));
        }
        let failure = judge.without_asking("x", other).unwrap_err();
        assert_eq!(failure.reason(), Some(Reason::UnknownSigner));
    }
}
