//! Tests of the module above.

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use zeroize::Zeroizing;

use super::*;
use crate::device::{CredentialFile, DeviceUuid, ManagerUuid};
use crate::error::{Reason, Reasoned};
use crate::limits;
use crate::timestamp::Timestamp;
use openssl::bn::{BigNum, BigNumRef};
use openssl::ec::{EcGroup, EcKey};
use openssl::pkey::Private;
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509Builder, X509NameBuilder};

pub(crate) const DEVICE: &str = "c8d5d5c6-87c9-11ef-a993-b9831565bc4e";

fn rsa() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

fn name(entries: &[(&str, &str)]) -> openssl::x509::X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    entries.iter().for_each(|(key, value)| name.append_entry_by_text(key, value).unwrap());
    name.build()
}

/// Makes a certificate of version 1, as docs/facts.md describes the InternalCA.
fn certificate(
    subject: &[(&str, &str)],
    key: &PKey<Private>,
    issuer: &[(&str, &str)],
    signer: &PKey<Private>,
    digest: MessageDigest,
) -> Vec<u8> {
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(0).unwrap();
    builder.set_subject_name(&name(subject)).unwrap();
    builder.set_issuer_name(&name(issuer)).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(1_000_000_000).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(2_000_000_000).unwrap()).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.sign(signer, digest).unwrap();
    builder.build().to_pem().unwrap()
}

fn set(ca: &[u8], certificate: &[u8], key: &PKey<Private>) -> Credentials {
    let wiped = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    Credentials::new(wiped(ca), wiped(certificate), wiped(&key.private_key_to_pem_pkcs8().unwrap()))
}

const CA: &[(&str, &str)] = &[("CN", "ca")];

/// Makes a set that fits together, for [`DEVICE`].
pub(crate) fn checked_set() -> CheckedCredentials {
    let (ca_key, key) = (rsa(), rsa());
    let ca = certificate(CA, &ca_key, CA, &ca_key, MessageDigest::sha256());
    let own = certificate(&[("title", DEVICE)], &key, CA, &ca_key, MessageDigest::sha256());
    set(&ca, &own, &key).check().unwrap()
}

#[test]
fn a_version_1_ca_is_a_ca() {
    let (ca_key, key) = (rsa(), rsa());
    let ca = certificate(CA, &ca_key, CA, &ca_key, MessageDigest::sha256());
    let own = certificate(&[("title", DEVICE)], &key, CA, &ca_key, MessageDigest::sha256());
    let checked = set(&ca, &own, &key).check().unwrap();
    assert_eq!(checked.certificate().named_devices(), [DEVICE.parse().unwrap()]);
    let at = |unix| {
        checked.check_validity(Timestamp::from_unix(unix).unwrap()).map_err(|error| error.reason())
    };
    assert_eq!(at(999_999_999), Err(Reason::NotYetValid));
    assert_eq!((at(1_000_000_000), at(2_000_000_000)), (Ok(()), Ok(())));
    assert_eq!(at(2_000_000_001), Err(Reason::Expired));
}

/// Leaves dates to the check of the clock, which an operator may override.
#[test]
fn a_set_that_is_never_valid_as_a_whole_is_one_nevertheless() {
    let (ca_key, key) = (rsa(), rsa());
    let ca = certificate(CA, &ca_key, CA, &ca_key, MessageDigest::sha256());
    let mut builder = X509Builder::new().unwrap();
    builder.set_subject_name(&name(&[("title", DEVICE)])).unwrap();
    builder.set_issuer_name(&name(CA)).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(2_000_000_001).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(2_100_000_000).unwrap()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.sign(&ca_key, MessageDigest::sha256()).unwrap();
    let checked = set(&ca, &builder.build().to_pem().unwrap(), &key).check().unwrap();
    let at = |unix| checked.check_validity(Timestamp::from_unix(unix).unwrap()).unwrap_err();
    assert_eq!(at(2_000_000_000).reason(), Reason::NotYetValid);
    assert_eq!(at(2_000_000_001).reason(), Reason::Expired);
}

#[test]
fn a_ca_of_the_same_name_with_another_key_issued_nothing() {
    let (ca_key, other_key, key) = (rsa(), rsa(), rsa());
    let other = certificate(CA, &other_key, CA, &other_key, MessageDigest::sha256());
    let own = certificate(&[("CN", "x")], &key, CA, &ca_key, MessageDigest::sha256());
    assert_eq!(set(&other, &own, &key).check().unwrap_err(), CredentialsError::NotIssuedByCa);
}

#[test]
fn the_name_of_the_issuer_counts_as_well_as_the_signature() {
    let (ca_key, key) = (rsa(), rsa());
    let renamed =
        certificate(&[("CN", "b")], &ca_key, &[("CN", "b")], &ca_key, MessageDigest::sha256());
    let own = certificate(&[("CN", "x")], &key, CA, &ca_key, MessageDigest::sha256());
    assert_eq!(set(&renamed, &own, &key).check().unwrap_err(), CredentialsError::NotIssuedByCa);
}

#[test]
fn sha_1_and_md5_are_weak() {
    let (ca_key, key) = (rsa(), rsa());
    for digest in [MessageDigest::sha1(), MessageDigest::md5()] {
        let ca = certificate(CA, &ca_key, CA, &ca_key, MessageDigest::sha256());
        let own = certificate(&[("CN", "x")], &key, CA, &ca_key, digest);
        assert_eq!(set(&ca, &own, &key).check().unwrap_err().reason(), Reason::WeakDigest);
        let ca = certificate(CA, &ca_key, CA, &ca_key, digest);
        let own = certificate(&[("CN", "x")], &key, CA, &ca_key, MessageDigest::sha256());
        assert_eq!(set(&ca, &own, &key).check().unwrap_err().reason(), Reason::WeakDigest);
    }
}

/// Overwrites the name of the digest, as OpenSSL no longer signs with the two weak ones.
#[test]
fn every_weak_digest_is_known_by_its_name() {
    // sha256WithRSAEncryption; the last byte of the OID names the digest (RFC 8017, A.2.4)
    const OID: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    let key = rsa();
    let pem = certificate(CA, &key, CA, &key, MessageDigest::sha256());
    let der = X509::from_pem(&pem).unwrap().to_der().unwrap();
    let with = |last: u8| {
        let mut der = der.clone();
        let places: Vec<_> = der.windows(9).enumerate().filter(|(_, at)| *at == OID).collect();
        let places: Vec<_> = places.iter().map(|(at, _)| at + 8).collect();
        assert_eq!(places.len(), 2, "what is signed, and how");
        places.into_iter().for_each(|at| der[at] = last);
        let pem = X509::from_der(&der).unwrap().to_pem().unwrap();
        Certificate::from_pem(&pem, CredentialFile::Ca).unwrap().weak_digest()
    };
    let weak = [2, 3, 4, 5].map(with);
    assert_eq!(weak, [Some("MD2"), Some("MD4"), Some("MD5"), Some("SHA1")]);
    assert_eq!([11, 12, 13, 14].map(with), [None; 4], "SHA-256, SHA-384, SHA-512, SHA-224");
}

#[test]
fn whose_the_two_certificates_are_is_said_by_their_subjects() {
    const MANAGER: &str = "28e62b85-6a08-11ef-8e41-d2c2ff7e85de";
    const OTHER: &str = "f89e12b8-ac43-11ef-9f85-d397d1518ed9";
    let (ca_key, key) = (rsa(), rsa());
    let subject = [("CN", MANAGER), ("title", "InternalCA")];
    let ca = certificate(&subject, &ca_key, &subject, &ca_key, MessageDigest::sha256());
    let of = |device: &[(&str, &str)]| {
        let own = certificate(device, &key, &subject, &ca_key, MessageDigest::sha256());
        set(&ca, &own, &key).check().unwrap()
    };
    let checked = of(&[("CN", DEVICE)]);
    assert_eq!(checked.ca().common_names(), [MANAGER]);
    assert_eq!(checked.check_ca_subject(&MANAGER.parse().unwrap()), Ok(()));
    let expected: ManagerUuid = OTHER.parse().unwrap();
    let error = SubjectError::Ca { expected: expected.clone(), found: vec![MANAGER.to_owned()] };
    assert_eq!(checked.check_ca_subject(&expected), Err(error));

    let (device, other): (DeviceUuid, DeviceUuid) =
        (DEVICE.parse().unwrap(), OTHER.parse().unwrap());
    assert_eq!(checked.check_certificate_subject(&device), Ok(()));
    let error =
        SubjectError::Certificate { expected: other.clone(), found: vec![DEVICE.to_owned()] };
    assert_eq!(checked.check_certificate_subject(&other), Err(error));
    // a certificate that names no device may be anyone's
    assert_eq!(of(&[("CN", "sftunnel")]).check_certificate_subject(&other), Ok(()));
}

#[test]
fn a_ca_is_passed_on_as_it_was_read() {
    let key = rsa();
    let ca = certificate(CA, &key, CA, &key, MessageDigest::sha256());
    assert_eq!(Authority::check(&ca).unwrap().pem(), ca);
}

#[test]
fn a_file_may_be_as_large_as_its_limit_and_no_larger() {
    let key = rsa();
    let ca = certificate(CA, &key, CA, &key, MessageDigest::sha256());
    let file = CredentialFile::Certificate;
    let of_size = |size: u64| {
        let text = vec![b'\n'; usize::try_from(size).unwrap() - ca.len()];
        Certificate::from_pem(&[text, ca.clone()].concat(), file).map(|_| ())
    };
    assert_eq!(of_size(limits::PEM), Ok(()));
    assert_eq!(of_size(limits::PEM + 1), Err(CredentialsError::TooLarge { file }));
}

#[test]
fn a_key_with_any_number_changed_is_no_pair() {
    let ca_key = rsa();
    let ca = certificate(CA, &ca_key, CA, &ca_key, MessageDigest::sha256());
    let rsa = ca_key.rsa().unwrap();
    let numbers = [Some(rsa.d()), rsa.p(), rsa.q(), rsa.dmp1(), rsa.dmq1(), rsa.iqmp()]
        .map(|n| n.unwrap().to_owned().unwrap());
    let pair = |numbers: &[BigNum; 6]| {
        let own = |number: &BigNum| BigNumRef::to_owned(number).unwrap();
        let [d, p, q, dp, dq, qi] = numbers.each_ref().map(own);
        let (n, e) = (rsa.n().to_owned().unwrap(), rsa.e().to_owned().unwrap());
        let changed = Rsa::from_private_components(n, e, d, p, q, dp, dq, qi).unwrap();
        let certificate = Certificate::from_pem(&ca, CredentialFile::Ca).unwrap();
        private_key::belongs_to(&PKey::from_rsa(changed).unwrap(), &certificate)
    };
    assert!(pair(&numbers));
    for changed in 0..numbers.len() {
        let mut numbers = numbers.each_ref().map(|number| BigNumRef::to_owned(number).unwrap());
        numbers[changed].add_word(2).unwrap();
        assert!(!pair(&numbers), "number {changed}");
    }
}

#[test]
fn other_kinds_of_keys_are_proved_by_use() {
    let ca_key = rsa();
    let ca = certificate(CA, &ca_key, CA, &ca_key, MessageDigest::sha256());
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let ec = || PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let (key, other) = (ec(), ec());
    let own = certificate(&[("CN", "x")], &key, CA, &ca_key, MessageDigest::sha256());
    set(&ca, &own, &key).check().unwrap();
    assert_eq!(set(&ca, &own, &other).check().unwrap_err(), CredentialsError::KeyMismatch);

    // the public half is the right one, the private half is another's
    let [right, wrong] = [&key, &other].map(|key| key.ec_key().unwrap());
    let torn =
        EcKey::from_private_components(&group, wrong.private_key(), right.public_key()).unwrap();
    let torn = PKey::from_ec_key(torn).unwrap();
    let certificate = Certificate::from_pem(&own, CredentialFile::Certificate).unwrap();
    assert!(torn.public_eq(&certificate.public_key().unwrap()));
    assert!(!private_key::belongs_to(&torn, &certificate));
    assert!(private_key::belongs_to(&key, &certificate));
}

#[test]
fn a_key_that_signs_without_a_digest_is_proved_as_well() {
    let ca_key = rsa();
    let key = PKey::generate_ed25519().unwrap();
    let own = certificate(&[("CN", "x")], &key, CA, &ca_key, MessageDigest::sha256());
    let certificate = Certificate::from_pem(&own, CredentialFile::Certificate).unwrap();
    assert!(private_key::belongs_to(&key, &certificate));
    assert!(!private_key::belongs_to(&PKey::generate_ed25519().unwrap(), &certificate));
}

#[test]
fn files_that_are_not_one_pem_each_are_refused() {
    let key = rsa();
    let ca = certificate(CA, &key, CA, &key, MessageDigest::sha256());
    let pem = key.private_key_to_pem_pkcs8().unwrap();
    let sealed = key
        .private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_128_cbc(), b"secret")
        .unwrap();
    assert!(
        Certificate::from_pem(&[b"text before\n", &ca[..]].concat(), CredentialFile::Ca).is_ok()
    );
    for bad in
        [&b""[..], b"\n \n", b"nonsense", &[&ca[..], &ca].concat(), &pem, &ca[..ca.len() - 40]]
    {
        let error = Certificate::from_pem(bad, CredentialFile::Ca).unwrap_err();
        assert_eq!(error.reason(), Reason::BadCredentials);
    }
    for bad in [&b""[..], &sealed, &ca, &[&pem[..], &pem].concat()] {
        assert_eq!(
            private_key::read(bad, pem::Form::Written).unwrap_err().reason(),
            Reason::BadCredentials
        );
    }
}
