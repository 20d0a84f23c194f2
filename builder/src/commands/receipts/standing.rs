//! The standing of each device by its claims. Pure.
//!
//! The device's clock may jump, so the order of claims is that of the device's backups, each
//! action having made one; the last claim counts. An installation is signed with the new key,
//! so the manager's CA shows whose it is. A rollback is signed with the *old* key: the old CA
//! (`--ca`) shows whose it is, or a verified installation of the same device, which names the
//! certificate that was live before it.

use std::collections::HashSet;

use cli::say::failure::Failure;
use formats::checksum::Sha256;
use formats::credentials::Certificate;
use formats::device::{DeviceUuid, ManagerUuid};
use formats::error::Reason;
use formats::receipt::{Claim, Outcome, SignedReceipt};
use serde::Serialize;

use crate::device_result::Refusal;
use crate::fmc::status_source::StatusOrigin;
use crate::fmc::tunnel_status::{Seen, Tunnel};

/// A CA that a receipt may be from.
#[derive(Debug)]
pub(super) struct Authority {
    pub(super) certificate: Certificate,
    /// The one in use, which an installation must be under.
    pub(super) is_current: bool,
}

/// Evidence that a claim is the device's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Proof {
    /// The CA in use signed its certificate.
    CurrentCa,
    /// Another CA, named with `--ca`, did.
    OlderCa,
    /// A verified installation names its certificate as the one before.
    EarlierReceipt,
}

/// A device's progress, by its receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Standing {
    /// The new files are live.
    Done,
    /// The old files are live again.
    RolledBack,
    /// There is no receipt that says anything else.
    Outstanding,
    /// Its last claim does not verify.
    Unverified,
}

impl Standing {
    /// The standing that a device's last claim leaves it in.
    pub(super) fn after(last: Option<&CheckedClaim>) -> Self {
        let Some(CheckedClaim { claim, proof }) = last else { return Self::Outstanding };
        match (proof, claim.outcome) {
            (Err(_), _) => Self::Unverified,
            // a rollback of a rollback puts them back: what is live counts, not how it came there
            (Ok(Proof::CurrentCa), _) => Self::Done,
            // what is installed is from before the last renewal
            (Ok(_), Outcome::Installed) => Self::Outstanding,
            (Ok(_), Outcome::RolledBack | Outcome::Restored) => Self::RolledBack,
        }
    }
}

/// A claim, and the proof that it is the device's or why there is none.
#[derive(Debug)]
pub(super) struct CheckedClaim {
    pub(super) claim: Claim,
    pub(super) proof: Result<Proof, Refusal>,
}

/// Checks every receipt: first by the CAs, then the rest by what is verified.
pub(super) fn check_claims(
    receipts: Vec<SignedReceipt>,
    authorities: &[Authority],
) -> Vec<CheckedClaim> {
    let mut first: Vec<(SignedReceipt, Result<Proof, Refusal>)> = receipts
        .into_iter()
        .map(|receipt| {
            let proof = by_ca(&receipt, authorities);
            (receipt, proof)
        })
        .collect();
    let before: HashSet<(DeviceUuid, ManagerUuid, Sha256)> = first
        .iter()
        .filter(|(receipt, proof)| proof.is_ok() && receipt.claim().outcome == Outcome::Installed)
        .filter_map(|(receipt, _)| {
            let claim = receipt.claim();
            Some((claim.device.clone(), claim.manager.clone(), claim.certificate_before?))
        })
        .collect();
    for (receipt, proof) in &mut first {
        let claim = receipt.claim();
        let key = (claim.device.clone(), claim.manager.clone(), claim.certificate_after);
        if proof.is_err() && claim.outcome != Outcome::Installed && before.contains(&key) {
            *proof = Ok(Proof::EarlierReceipt);
        }
    }
    first
        .into_iter()
        .map(|(receipt, proof)| CheckedClaim { claim: receipt.claim().clone(), proof })
        .collect()
}

fn by_ca(receipt: &SignedReceipt, authorities: &[Authority]) -> Result<Proof, Refusal> {
    let mut refusal = None;
    for authority in authorities {
        let ca = &authority.certificate;
        match receipt.check_issuer(ca) {
            Ok(()) if receipt.claim().ca_after == ca.facts().fingerprint => {
                let current = authority.is_current;
                return Ok(if current { Proof::CurrentCa } else { Proof::OlderCa });
            }
            Ok(()) => {
                let message = "the certificate is from this CA, but the claim names another one";
                refusal = Some(Failure::refused(Reason::NotIssuedByCa, message));
            }
            Err(error) => {
                refusal.get_or_insert(Failure::of("the receipt", &error));
            }
        }
    }
    let failure = refusal.unwrap_or_else(|| {
        Failure::refused(Reason::NotIssuedByCa, "there is no CA to compare it with")
    });
    let hint = match receipt.claim().outcome {
        Outcome::Installed => {
            "look at the device; if the CA was renewed again since, give the one of that time with --ca FILE"
        }
        Outcome::RolledBack | Outcome::Restored => {
            "it says that the old files are live again and is signed with the old key: give the old CA with --ca FILE (cacert.pem in the peer directory of the device), and look at the device"
        }
    };
    Err(Refusal::of(failure.hint(hint)))
}

/// Finds the last of one device's claims for one manager, which is the one that counts.
pub(super) fn last<'a>(claims: impl Iterator<Item = &'a CheckedClaim>) -> Option<&'a CheckedClaim> {
    claims.max_by_key(|checked| (sequence(&checked.claim), checked.claim.ended_at))
}

/// The time at which a tunnel was seen up, against the device's last claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum When {
    /// Now, and the claim is there already.
    Now,
    /// The saved output holds a time after it.
    After,
    /// It holds only times before it: it says nothing of what came since.
    Before,
    /// It holds no time; that of the file is the time of a copy.
    Undated,
}

impl When {
    /// `None` for a tunnel that was not seen up. The time of a file proves nothing, as a copy is
    /// newer than what it holds; times in the output do, by the manager's clock.
    pub(super) fn of(seen: Seen, source: StatusOrigin, claim: Option<&Claim>) -> Option<Self> {
        if seen.tunnel != Tunnel::Up {
            return None;
        }
        let begun = claim.map(|claim| claim.started_at);
        Some(match (source, seen.alive_at, claim.map(|claim| claim.ended_at)) {
            // it stands from before the claim, so it tells nothing of what was done then
            (StatusOrigin::Program, ..)
                if seen.started_at.zip(begun).is_some_and(|(t, c)| t < c) =>
            {
                Self::Before
            }
            (StatusOrigin::Program, ..) => Self::Now,
            (StatusOrigin::File, Some(alive), Some(ended)) if alive < ended => Self::Before,
            (StatusOrigin::File, Some(_), Some(_)) => Self::After,
            (StatusOrigin::File, _, _) => Self::Undated,
        })
    }

    /// Seen after what was done, so that it speaks for it.
    pub(super) fn is_since(self) -> bool {
        matches!(self, Self::Now | Self::After)
    }
}

/// The number that the device's backups begin with.
fn sequence(claim: &Claim) -> u64 {
    claim.backup.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use formats::timestamp::Timestamp;

    fn checked(
        backup: &str,
        ended: i64,
        outcome: Outcome,
        proof: Result<Proof, ()>,
    ) -> CheckedClaim {
        let uuid = "c8d5d5c6-87c9-11ef-a993-b9831565bc4e";
        let time = Timestamp::from_unix(ended).unwrap();
        let claim = Claim {
            device: uuid.parse().unwrap(),
            manager: uuid.parse().unwrap(),
            outcome,
            bundle_id: None,
            signer: None,
            certificate_before: None,
            certificate_after: Sha256::of(b""),
            ca_after: Sha256::of(b""),
            started_at: time,
            ended_at: time,
            backup: backup.into(),
            program: String::new(),
        };
        let refusal = || Refusal::of(Failure::refused(Reason::NotIssuedByCa, "x"));
        CheckedClaim { claim, proof: proof.map_err(|()| refusal()) }
    }

    fn stands(claims: &[CheckedClaim]) -> Standing {
        Standing::after(last(claims.iter()))
    }

    #[test]
    fn the_last_backup_counts_whatever_the_clock_says() {
        let ca = Ok(Proof::CurrentCa);
        let installed = || checked("0001-x", 100, Outcome::Installed, ca);
        let rolled_back = checked("0002-x", 5, Outcome::RolledBack, Ok(Proof::EarlierReceipt));
        assert_eq!(stands(&[]), Standing::Outstanding);
        assert_eq!(stands(&[installed()]), Standing::Done);
        assert_eq!(stands(&[installed(), rolled_back]), Standing::RolledBack);
        let again = checked("0010-x", 1, Outcome::Installed, ca);
        let rolled_back = checked("0009-x", 500, Outcome::Restored, Ok(Proof::OlderCa));
        assert_eq!(stands(&[again, rolled_back]), Standing::Done);
    }

    #[test]
    fn a_rollback_to_the_files_of_the_ca_in_use_leaves_the_device_done() {
        let installed = || checked("0001-x", 1, Outcome::Installed, Ok(Proof::CurrentCa));
        let back = || checked("0002-x", 2, Outcome::RolledBack, Ok(Proof::OlderCa));
        let forth = checked("0003-x", 3, Outcome::RolledBack, Ok(Proof::CurrentCa));
        assert_eq!(stands(&[installed(), back()]), Standing::RolledBack);
        assert_eq!(stands(&[installed(), back(), forth]), Standing::Done);
        let restored = checked("0002-x", 2, Outcome::Restored, Ok(Proof::CurrentCa));
        assert_eq!(stands(&[installed(), restored]), Standing::Done);
    }

    #[test]
    fn a_last_claim_that_does_not_verify_is_not_passed_over() {
        let installed = checked("0001-x", 1, Outcome::Installed, Ok(Proof::CurrentCa));
        let forged = checked("0002-x", 2, Outcome::RolledBack, Err(()));
        assert_eq!(stands(&[installed, forged]), Standing::Unverified);
    }

    #[test]
    fn an_installation_under_an_older_ca_is_not_this_one() {
        let older = checked("0001-x", 1, Outcome::Installed, Ok(Proof::OlderCa));
        assert_eq!(stands(&[older]), Standing::Outstanding);
    }
}
