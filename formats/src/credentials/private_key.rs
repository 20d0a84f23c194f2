//! The private key: read without ever asking for a passphrase, and proved to be the one that its
//! certificate is for.

use openssl::bn::{BigNum, BigNumContext, BigNumContextRef, BigNumRef};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private, Public};
use openssl::rsa::Rsa;
use openssl::sign::{Signer, Verifier};

use super::pem::{self, Form, check_size, count_blocks};
use super::{Certificate, CredentialsError};
use crate::device::CredentialFile;

/// Labels of an unencrypted key's block: PKCS#8, as the FMC writes it, and the older forms.
const LABELS: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];

/// Reads exactly one unencrypted private key in PEM.
pub(super) fn read(file: &[u8], form: Form) -> Result<PKey<Private>, CredentialsError> {
    let not_pem = |problem| CredentialsError::NotPem {
        file: CredentialFile::Key,
        expected: "unencrypted private key",
        problem,
    };
    check_size(file, CredentialFile::Key)?;
    match form {
        Form::Written => drop(pem::sole_block(file, &LABELS).map_err(|why| not_pem(Some(why)))?),
        Form::Found if count_blocks(file, "PRIVATE KEY") == 1 => {}
        Form::Found => return Err(not_pem(None)),
    }
    // an encrypted key must not make OpenSSL ask at the terminal
    PKey::private_key_from_pem_callback(file, |_| Ok(0)).map_err(|_| not_pem(None))
}

/// Compares the public halves, then proves that the private one belongs to them: a key file whose
/// private part alone is damaged is of no use to sftunnel.
pub(super) fn belongs_to(key: &PKey<Private>, certificate: &Certificate) -> bool {
    let Some(public) = certificate.public_key() else { return false };
    if !key.public_eq(&public) {
        return false;
    }
    match key.rsa() {
        Ok(rsa) => is_consistent_rsa(&rsa).unwrap_or(false),
        Err(_) => is_proved_by_use(key, &public).unwrap_or(false),
    }
}

/// Checks the relations of RFC 8017, section 3.2, between the eight numbers of an RSA private key.
/// They are exact, and take a fiftieth of the time of a signature; that n is the product of two
/// primes follows from the certificate, which the CA signed.
fn is_consistent_rsa(key: &Rsa<Private>) -> Result<bool, ErrorStack> {
    let (Some(p), Some(q), Some(dp), Some(dq), Some(q_inverse)) =
        (key.p(), key.q(), key.dmp1(), key.dmq1(), key.iqmp())
    else {
        return Ok(false);
    };
    let mut context = BigNumContext::new_secure()?;
    let one = BigNum::from_u32(1)?;
    let is_inverse =
        |a: &BigNumRef, b: &BigNumRef, modulus: &BigNumRef, context: &mut BigNumContextRef| {
            let mut product = BigNum::new_secure()?;
            product.mod_mul(a, b, modulus, context)?;
            Ok::<bool, ErrorStack>(product == one)
        };
    let (mut p1, mut q1, mut n) = (BigNum::new_secure()?, BigNum::new_secure()?, BigNum::new()?);
    p1.checked_sub(p, &one)?;
    q1.checked_sub(q, &one)?;
    n.checked_mul(p, q, &mut context)?;
    Ok(n == *key.n()
        && is_inverse(key.e(), key.d(), &p1, &mut context)?
        && is_inverse(key.e(), key.d(), &q1, &mut context)?
        && is_inverse(key.e(), dp, &p1, &mut context)?
        && is_inverse(key.e(), dq, &q1, &mut context)?
        && is_inverse(q_inverse, q, p, &mut context)?)
}

/// Proves a key of another kind by a signature that the certificate's key verifies.
fn is_proved_by_use(key: &PKey<Private>, public: &PKey<Public>) -> Result<bool, ErrorStack> {
    const CHALLENGE: &[u8] = b"sftunnel-airgap: does this key belong to this certificate?";
    if key.id() == Id::EC {
        let digest = MessageDigest::sha256();
        let signature = Signer::new(digest, key)?.sign_oneshot_to_vec(CHALLENGE)?;
        return Verifier::new(digest, public)?.verify_oneshot(&signature, CHALLENGE);
    }
    let signature = Signer::new_without_digest(key)?.sign_oneshot_to_vec(CHALLENGE)?;
    Verifier::new_without_digest(public)?.verify_oneshot(&signature, CHALLENGE)
}
