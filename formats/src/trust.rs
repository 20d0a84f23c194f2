//! The rules by which a bundle becomes installable: SECURITY.md, "Who vouches for it".
//!
//! [`TrustInputs::vouch`] applies them and is the only way to a [`VouchedBundle`].

use crate::bundle::SignedBundle;
use crate::bundle::manifest::Manifest;
use crate::credentials::CheckedCredentials;
use crate::signature::{Fingerprint, VerifyingKey};

/// Source of the trust in a bundle's signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Vouch {
    /// Named on the command line.
    Named,
    /// The operator's own signing key lies on this machine.
    Own,
    /// Pinned on the device for this manager by an earlier success.
    Pinned,
    /// Vouched for by the passphrase that opened `kit.identity.age`.
    Passphrase,
    /// Confirmed at the terminal.
    Confirmed,
}

/// Everything that may vouch for a signer, for one manager.
#[derive(Debug, Clone, Default)]
pub struct TrustInputs {
    /// Signers named by the operator; if there are any, no others count.
    pub named: Vec<Fingerprint>,
    /// Signers pinned for this manager; if there are any, no others count.
    pub pinned: Vec<Fingerprint>,
    /// Signing key that lies on this machine (on the FMC).
    pub own: Option<Fingerprint>,
    /// Signer that the passphrase just given vouches for.
    pub passphrase: Option<Fingerprint>,
    /// Signers that a person has confirmed for this manager in this run.
    pub confirmed: Vec<Fingerprint>,
}

/// A bundle whose signer somebody vouches for: the only one that gives its credentials away.
#[derive(Debug)]
pub struct VouchedBundle {
    signed: SignedBundle,
    vouch: Vouch,
}

/// Verdict of the rules about one signer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The signer is trusted, for this reason.
    Vouched(Vouch),
    /// Nothing speaks for it or against it: a person may confirm it at the terminal.
    Ask,
    /// `named` holds other signers only.
    OtherNamed,
    /// `pinned` holds other signers only.
    OtherPinned,
    /// The passphrase vouches for another signer.
    OtherVouched,
}

impl TrustInputs {
    /// Applies the rules to a signer, in their order.
    pub fn judge(&self, signer: Fingerprint) -> Verdict {
        if !self.named.is_empty() {
            let is_named = self.named.contains(&signer);
            return if is_named { Verdict::Vouched(Vouch::Named) } else { Verdict::OtherNamed };
        }
        if !self.pinned.is_empty() {
            let is_pinned = self.pinned.contains(&signer);
            return if is_pinned { Verdict::Vouched(Vouch::Pinned) } else { Verdict::OtherPinned };
        }
        if self.own == Some(signer) {
            return Verdict::Vouched(Vouch::Own);
        }
        match self.passphrase {
            Some(vouched) if vouched == signer => Verdict::Vouched(Vouch::Passphrase),
            // the kit's makers named its signer; another one needs an explanation
            Some(_) => Verdict::OtherVouched,
            None if self.confirmed.contains(&signer) => Verdict::Vouched(Vouch::Confirmed),
            None => Verdict::Ask,
        }
    }

    /// Makes a bundle installable when somebody vouches for the key that signed it.
    ///
    /// # Errors
    /// Returns the verdict when it is not [`Verdict::Vouched`].
    pub fn vouch(&self, bundle: SignedBundle) -> Result<VouchedBundle, Verdict> {
        match self.judge(bundle.fingerprint()) {
            Verdict::Vouched(vouch) => Ok(VouchedBundle { signed: bundle, vouch }),
            verdict => Err(verdict),
        }
    }
}

impl VouchedBundle {
    /// The bundle as it was opened.
    pub fn signed(&self) -> &SignedBundle {
        &self.signed
    }

    /// The signed manifest.
    pub fn manifest(&self) -> &Manifest {
        self.signed.manifest()
    }

    /// The key that signed it.
    pub fn signer(&self) -> VerifyingKey {
        self.signed.signer()
    }

    /// Reason why that key is trusted.
    pub fn vouch(&self) -> Vouch {
        self.vouch
    }

    /// The three credential files.
    pub fn credentials(&self) -> &CheckedCredentials {
        self.signed.credentials()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SigningKey;

    fn prints() -> (Fingerprint, Fingerprint) {
        let print = || SigningKey::generate().unwrap().verifying_key().unwrap().fingerprint();
        (print(), print())
    }

    #[test]
    fn a_named_signer_is_the_only_one_that_counts() {
        let (a, b) = prints();
        let inputs = TrustInputs {
            named: vec![a],
            pinned: vec![b],
            own: Some(b),
            passphrase: Some(b),
            confirmed: vec![b],
        };
        assert_eq!(inputs.judge(a), Verdict::Vouched(Vouch::Named));
        assert_eq!(inputs.judge(b), Verdict::OtherNamed);
    }

    #[test]
    fn of_several_named_signers_each_counts() {
        let (a, b) = prints();
        let inputs = TrustInputs { named: vec![a, b], ..TrustInputs::default() };
        for signer in [a, b] {
            assert_eq!(inputs.judge(signer), Verdict::Vouched(Vouch::Named));
        }
    }

    #[test]
    fn a_passphrase_never_overrides_a_pin() {
        let (a, b) = prints();
        let inputs = TrustInputs {
            pinned: vec![a],
            passphrase: Some(b),
            own: Some(b),
            confirmed: vec![b],
            ..TrustInputs::default()
        };
        assert_eq!(inputs.judge(a), Verdict::Vouched(Vouch::Pinned));
        assert_eq!(inputs.judge(b), Verdict::OtherPinned);
    }

    #[test]
    fn a_passphrase_vouches_for_one_signer_only() {
        let (a, b) = prints();
        let inputs =
            TrustInputs { passphrase: Some(a), confirmed: vec![b], ..TrustInputs::default() };
        assert_eq!(inputs.judge(a), Verdict::Vouched(Vouch::Passphrase));
        assert_eq!(inputs.judge(b), Verdict::OtherVouched);
    }

    #[test]
    fn a_person_confirms_only_whom_nobody_speaks_for_or_against() {
        let (a, b) = prints();
        assert_eq!(TrustInputs::default().judge(a), Verdict::Ask);
        let inputs = TrustInputs { confirmed: vec![a], ..TrustInputs::default() };
        assert_eq!(inputs.judge(a), Verdict::Vouched(Vouch::Confirmed));
        assert_eq!(inputs.judge(b), Verdict::Ask);
    }
}
