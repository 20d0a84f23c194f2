//! The manager's certificate revocation list, of which only dates, issuer and length are used.

use std::fmt;

use openssl::x509::X509Crl;

use super::Certificate;
use super::certificate::{name_text, timestamp};
use super::pem::count_blocks;
use crate::error::{Reason, Reasoned};
use crate::limits;
use crate::timestamp::Timestamp;

/// A certificate revocation list.
pub struct RevocationList {
    crl: X509Crl,
    issuer: String,
    this_update: Timestamp,
    next_update: Option<Timestamp>,
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationList({:?}, {})", self.issuer, self.this_update)
    }
}

/// The file is not exactly one revocation list in PEM, or is larger than [`limits::CRL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("does not hold exactly one revocation list in PEM form")]
pub struct RevocationListError;

impl Reasoned for RevocationListError {
    fn reason(&self) -> Reason {
        Reason::BadCredentials
    }
}

impl RevocationList {
    /// Reads a PEM file that holds exactly one list; text around it is allowed.
    ///
    /// # Errors
    /// Returns [`RevocationListError`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, RevocationListError> {
        if pem.len() as u64 > limits::CRL || count_blocks(pem, "X509 CRL") != 1 {
            return Err(RevocationListError);
        }
        let crl = X509Crl::from_pem(pem).map_err(|_| RevocationListError)?;
        let issuer = name_text(crl.issuer_name());
        let this_update = timestamp(crl.last_update()).ok_or(RevocationListError)?;
        let next_update = crl.next_update().and_then(timestamp);
        Ok(Self { crl, issuer, this_update, next_update })
    }

    /// Issuer as `NAME=value, …`; foreign text.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Time of issue (`thisUpdate`).
    pub fn this_update(&self) -> Timestamp {
        self.this_update
    }

    /// Time by which the next list is due; `None` in lists that break RFC 5280.
    pub fn next_update(&self) -> Option<Timestamp> {
        self.next_update
    }

    /// Number of revoked certificates.
    pub fn revoked(&self) -> usize {
        self.crl.get_revoked().map_or(0, |revoked| revoked.len())
    }

    /// Returns true if `issuer` signed this list.
    pub fn is_issued_by(&self, issuer: &Certificate) -> bool {
        issuer.public_key().is_some_and(|key| self.crl.verify(&key).unwrap_or(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::CredentialFile;

    /// Made by `openssl ca -gencrl` for a CA `CN = ca`, on 2024-09-20 for 30 days.
    const PEM: &str = include_str!("crl-example.pem");

    #[test]
    fn a_lists_dates_are_read() {
        let list = RevocationList::from_pem(PEM.as_bytes()).unwrap();
        assert_eq!(list.issuer(), "CN=ca");
        let days = list.this_update().days_until(list.next_update().unwrap());
        assert_eq!((days, list.revoked()), (30, 0));
    }

    /// Another CA of that name revokes two certificates; the CA's certificate stands before the
    /// list.
    const REVOKED: &str = include_str!("crl-revoked.pem");

    #[test]
    fn a_list_is_of_the_ca_that_signed_it() {
        let issuer = Certificate::as_found(REVOKED.as_bytes(), CredentialFile::Ca).unwrap();
        let (other, list) =
            [PEM, REVOKED].map(|pem| RevocationList::from_pem(pem.as_bytes())).into();
        let (other, list) = (other.unwrap(), list.unwrap());
        assert_eq!((list.issuer(), other.issuer()), ("CN=ca", "CN=ca"));
        assert!(list.is_issued_by(&issuer) && !other.is_issued_by(&issuer));
        assert_eq!((list.revoked(), other.revoked()), (2, 0));
    }

    #[test]
    fn a_list_may_be_as_large_as_its_limit_and_no_larger() {
        let of_size = |size: u64| {
            let text = " ".repeat(usize::try_from(size).unwrap() - PEM.len() - 1);
            RevocationList::from_pem(format!("{text}\n{PEM}").as_bytes()).map(|_| ())
        };
        assert_eq!(of_size(limits::CRL), Ok(()));
        assert_eq!(of_size(limits::CRL + 1), Err(RevocationListError));
    }

    #[test]
    fn anything_else_is_none() {
        let two = PEM.repeat(2);
        for bad in ["", "nonsense", &two, PEM.get(..PEM.len() - 60).unwrap()] {
            assert!(RevocationList::from_pem(bad.as_bytes()).is_err());
        }
    }
}
