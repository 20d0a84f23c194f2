//! The single decisions of `verify`.

use console::exit::Failure;
use console::terminal::Terminal;
use console::vouch::{Known, Verdict, refusal};
use formats::bundle::Vouch;
use formats::certificate::{CertificateFacts, Validity};
use formats::device::CredentialFile;
use formats::error::Reason;
use formats::kit::{BundleEntry, KitIndex};
use formats::manifest::{CredentialFacts, Manifest};
use formats::signature::Fingerprint;
use formats::text::printable;
use formats::timestamp::Timestamp;

/// Whom to trust, also after asking.
pub(super) struct Judge<'a> {
    known: Known,
    terminal: &'a Terminal,
    confirmed: Vec<Fingerprint>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(known: Known, terminal: &'a Terminal) -> Self {
        Self { known, terminal, confirmed: Vec::new() }
    }

    /// What the passphrase of the kit at hand vouches for; forgets the one before.
    pub(super) fn passphrase_vouches_for(&mut self, signer: Option<Fingerprint>) {
        self.known.passphrase = signer;
    }

    /// Applies the rules; asks once for each signer that nobody speaks for or against.
    pub(super) fn judge(&mut self, subject: &str, signer: Fingerprint) -> Result<Vouch, Failure> {
        match self.known.judge(signer) {
            Verdict::Vouched(vouch) => Ok(vouch),
            Verdict::Ask if self.confirmed.contains(&signer) => Ok(Vouch::Confirmed),
            Verdict::Ask if !self.terminal.json && self.terminal.can_ask() => {
                let question = format!(
                    "{} is signed by\n  {signer}\n  {}\nCompare it by phone with the team that made it. Is it theirs?",
                    printable(subject),
                    signer.spoken()
                );
                match self.terminal.confirm(&question) {
                    Ok(true) => {
                        self.confirmed.push(signer);
                        Ok(Vouch::Confirmed)
                    }
                    _ => Err(refusal(Verdict::Ask, subject, signer)),
                }
            }
            verdict => Err(refusal(verdict, subject, signer)),
        }
    }
}

/// Whether a bundle is the one that the kit's index describes.
pub(super) fn agrees_with_index(
    manifest: &Manifest,
    index: &KitIndex,
    entry: &BundleEntry,
) -> Result<(), Failure> {
    let differs = |what: &str, expected: &dyn std::fmt::Display, found: &dyn std::fmt::Display| {
        let message = format!("kit.json says {what} '{expected}', the bundle says '{found}'");
        Failure::refused(Reason::Damaged, message)
            .hint("the kit was put together wrongly: make it again")
    };
    let (listed, device) = (&entry.device, &manifest.device);
    if listed.uuid != device.uuid {
        return Err(differs("device", &listed.uuid, &device.uuid));
    }
    if listed.name != device.name {
        return Err(differs("device name", &listed.name.as_str(), &device.name.as_str()));
    }
    if index.manager.uuid != manifest.manager.uuid {
        return Err(differs("manager", &index.manager.uuid, &manifest.manager.uuid));
    }
    if index.batch != manifest.batch {
        return Err(differs("batch", &index.batch, &manifest.batch));
    }
    Ok(())
}

/// Whether both certificates are valid.
pub(super) fn is_valid(facts: &CredentialFacts, now: Timestamp) -> Result<(), Failure> {
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

    #[test]
    fn in_json_nobody_is_asked() {
        let terminal = Terminal::new(true, true, false);
        let failure = Judge::new(Known::default(), &terminal).judge("x", print()).unwrap_err();
        assert_eq!(failure.reason, Some(Reason::UnknownSigner));
    }

    #[test]
    fn one_kits_passphrase_says_nothing_about_the_next() {
        let terminal = Terminal::new(true, true, false);
        let mut judge = Judge::new(Known::default(), &terminal);
        let signer = print();
        judge.passphrase_vouches_for(Some(signer));
        assert_eq!(judge.judge("x", signer), Ok(Vouch::Passphrase));
        judge.passphrase_vouches_for(None);
        assert!(judge.judge("x", signer).is_err());
    }
}
