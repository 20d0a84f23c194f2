//! A function for each parser of foreign bytes. None may panic on any input; where a parser
//! promises more, that is asserted as well.
//!
//! The fuzzer calls them (`tools/fuzz`), and so does the ordinary test `fuzz_corpus` with every
//! input that was worth keeping.

use std::hint::black_box;
use std::io::BufReader;
use std::sync::LazyLock;

use formats::bundle::archive;
use formats::bundle::manifest::Manifest;
use formats::checksum::{Sha256, Sums};
use formats::cisco::failed_push::FailedPush;
use formats::cisco::ims_conf::ImsConf;
use formats::credentials::{Certificate, Credentials, CredentialsError, RevocationList};
use formats::device::CredentialFile;
use formats::error::Reasoned;
use formats::kit::KitIndex;
use formats::receipt::SignedReceipt;
use formats::seal::{IdentityFile, encoding_of, parse_recipients_file, recovered};
use formats::signature::{SignerEntry, SigningKey, VerifyingKey};
use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyParam;
use openssl::x509::{
    X509, X509Builder, X509Crl, X509Extension, X509Name, X509PurposeId, X509StoreContext,
};

/// A target's name and its function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target; each has a folder of this name in `corpus/`.
pub const TARGETS: [Target; 18] = [
    ("age_file", age_file),
    ("archive", archive),
    ("certificate", certificate),
    ("chain", chain),
    ("credential_file", credential_file),
    ("failed_push", failed_push),
    ("ims_conf", ims_conf),
    ("journal", journal),
    ("kit_index", kit_index),
    ("manifest", manifest),
    ("pmtool_status", pmtool_status),
    ("private_key", private_key),
    ("receipt", receipt),
    ("recipient_map", recipient_map),
    ("records", records),
    ("socket_table", socket_table),
    ("status_brief", status_brief),
    ("tunnel_status", tunnel_status),
];

/// FAILED_PUSH. Read in small pieces it gives the same as read at once, and lists no more than
/// three files for any device.
pub fn failed_push(data: &[u8]) {
    let whole = FailedPush::parse(data);
    let limit = data.len() as u64;
    let pieces =
        FailedPush::read(BufReader::with_capacity(7, data), limit).expect("within its limit");
    assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
    for device in &whole.devices {
        assert!(device.sources.len() <= 3);
        black_box((device.uuid.short(), device.name.file_stem()));
    }
    for problem in &whole.problems {
        black_box((problem.error.to_string(), problem.error.reason()));
    }
}

/// `manifest.json`. An accepted one is written and read again without loss.
pub fn manifest(data: &[u8]) {
    match Manifest::parse(data) {
        Ok(manifest) => {
            if let Ok(bytes) = manifest.to_bytes() {
                assert_eq!(Manifest::parse(&bytes), Ok(manifest));
            }
        }
        Err(error) => drop(black_box((error.to_string(), error.reason()))),
    }
}

/// `kit.json`, signed by a key of our own so that the reader goes beyond the signature.
pub fn kit_index(data: &[u8]) {
    static KEY: LazyLock<(SigningKey, VerifyingKey)> = LazyLock::new(|| {
        let key = SigningKey::generate().expect("a key");
        let public = key.verifying_key().expect("its public half");
        (key, public)
    });
    let (key, public) = &*KEY;
    assert!(KitIndex::open(data, &[0; 64]).is_err(), "taken without a signature");
    let Ok(mut index) = serde_json::from_slice::<serde_json::Value>(data) else { return };
    if let Some(fields) = index.as_object_mut() {
        let entry = serde_json::to_value(SignerEntry::of(*public)).expect("JSON");
        fields.insert("signer".to_owned(), entry);
    }
    let bytes = index.to_string().into_bytes();
    let signature = key.sign(&bytes).expect("a signature");
    match KitIndex::open(&bytes, &signature) {
        Ok((index, _)) => {
            let files = index.bundles.iter().map(|entry| &entry.file);
            for file in files.chain(index.installers.iter().map(|entry| &entry.file)) {
                assert!(!file.starts_with('/') && !file.split('/').any(|part| part == ".."));
            }
        }
        Err(error) => drop(black_box((error.to_string(), error.reason()))),
    }
}

/// The tar in a bundle. The entries of an accepted one lie in the given bytes, in this order.
pub fn archive(data: &[u8]) {
    match archive::read(data) {
        Ok(contents) => {
            let total: usize = contents.iter().map(|content| content.len()).sum();
            assert!(total + 8 * 512 <= data.len());
        }
        Err(error) => drop(black_box((error.to_string(), error.reason()))),
    }
}

/// PEM files: certificate, CRL, key, SHA256SUMS and the public key of a signer, which all are
/// files that somebody may name.
pub fn certificate(data: &[u8]) {
    match Certificate::from_pem(data, CredentialFile::Ca) {
        Ok(certificate) => {
            black_box(format!("{:?}", certificate.facts()));
            black_box((certificate.common_names(), certificate.named_devices()));
            black_box((certificate.weak_digest(), certificate.is_issued_by(&certificate)));
            black_box(certificate.verify_pss(b"message", &[0; 256]));
        }
        Err(error) => drop(black_box((error.to_string(), error.reason()))),
    }
    let copy = || data.to_vec().into();
    if let Err(error) = Credentials::new(copy(), copy(), copy()).check() {
        black_box((error.to_string(), error.reason()));
    }
    black_box(RevocationList::from_pem(data).is_ok());
    black_box((VerifyingKey::from_file(data).is_ok(), SigningKey::from_pem(data).is_ok()));
    black_box(Sums::parse(data).is_ok());
}

/// Input for `--identity`, a recipients file and the head of a bundle.
pub fn age_file(data: &[u8]) {
    black_box(encoding_of(data).is_ok());
    black_box(IdentityFile::parse(data).map_err(|error| error.to_string()).is_ok());
    black_box(IdentityFile::from_person(data).map_err(|error| error.to_string()).is_ok());
    black_box(recovered(data).is_ok());
    let Ok(text) = formats::decode::text(data) else { return };
    match parse_recipients_file(&text) {
        Ok(recipients) => {
            for recipient in recipients {
                assert_eq!(recipient.to_string().parse(), Ok(recipient));
            }
        }
        Err(error) => drop(black_box((error.to_string(), error.reason()))),
    }
}

/// The settings in `/etc/sf/ims.conf`.
pub fn ims_conf(data: &[u8]) {
    black_box(format!("{:?}", ImsConf::parse(data)));
}

/// A receipt that a courier brings.
pub fn receipt(data: &[u8]) {
    match SignedReceipt::open(data) {
        Ok(receipt) => drop(black_box(formats::receipt::file_name(receipt.claim()))),
        Err(error) => drop(black_box((error.to_string(), error.reason()))),
    }
}

/// The output of `pmtool status`.
pub fn pmtool_status(data: &[u8]) {
    let shown = installer::untrusted::pmtool_status(data);
    assert!(!shown.contains(char::is_control), "{shown:?}");
}

/// The installer's journal, with the checksum that makes it one.
pub fn journal(data: &[u8]) {
    black_box(installer::untrusted::journal(data));
    let sealed = [data, format!("\n{}\n", Sha256::of(data)).as_bytes()].concat();
    black_box(installer::untrusted::journal(&sealed));
}

const ONE: &str = "cdb123c8-4347-11ef-aca1-f3aa241412a1";
const OTHER: &str = "c8d5d5c6-87c9-11ef-a993-b9831565bc4e";

/// The output of `sftunnel-status-brief`, on a box with one manager and on one with two. Only
/// `connected to` means up.
pub fn status_brief(data: &[u8]) {
    let managers = [ONE, OTHER].map(|uuid| uuid.parse().expect("a UUID"));
    for managers in [&managers[..1], &managers] {
        let said = installer::untrusted::status_brief(data, managers);
        let connected = String::from_utf8_lossy(data).contains("connected to '");
        assert!(connected || !said.starts_with("Connected"), "{said}");
    }
}

/// `/proc/net/tcp`, the kernel's own or a file that somebody mounted there.
pub fn socket_table(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n').count();
    assert!(installer::untrusted::socket_table(data).is_none_or(|found| found < lines));
}

/// `backup.json`, `installed` and `signers` on the box. No record is two of them.
pub fn records(data: &[u8]) {
    let kinds = installer::untrusted::records(data);
    assert!(kinds.iter().filter(|is_one| **is_one).count() <= 1, "{kinds:?}");
}

/// The file of `--recipient-map`.
pub fn recipient_map(data: &[u8]) {
    match builder::untrusted::recipient_map(data) {
        Ok(lines) => assert!(lines > 0 && lines <= data.len()),
        Err(problem) => assert!(!problem.is_empty()),
    }
}

/// A saved `sftunnel_status.pl`. A name that two devices have tells nothing.
pub fn tunnel_status(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let device = |uuid: &str| uuid.parse().expect("a UUID");
    let devices = [("FTD-1", device(ONE)), ("10.0.0.1", device(ONE)), ("FTD-2", device(OTHER))];
    let up = builder::untrusted::tunnel_status(&text, &devices);
    assert!(up == 0 || text.to_ascii_lowercase().contains("connected to"));
    let same = [("FTD-1", device(ONE)), ("FTD-1", device(OTHER))];
    assert_eq!(builder::untrusted::tunnel_status(&text, &same), 0);
}

/// A key beside a good CA and certificate, which only their own key fits.
pub fn private_key(data: &[u8]) {
    static SET: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| good_set().expect("a CA"));
    let [ca, certificate] = &*SET;
    let set = Credentials::new(ca.clone().into(), certificate.clone().into(), data.to_vec().into());
    let error = set.check().expect_err("a key that nobody has");
    assert!(!matches!(error, CredentialsError::NotIssuedByCa), "{error}");
    black_box((error.to_string(), error.reason()));
}

/// The file of a certificate to be packed. An accepted one is exactly what OpenSSL reads there,
/// with nothing else that it could read, and stays the same when written anew.
pub fn credential_file(data: &[u8]) {
    let Ok(certificate) = Certificate::from_pem(data, CredentialFile::Ca) else { return };
    let all = X509::stack_from_pem(data).expect("OpenSSL reads it, too");
    let [read] = all.as_slice() else { panic!("{} certificates for OpenSSL", all.len()) };
    let der = read.to_der().expect("DER");
    assert_eq!(Sha256::of(&der), certificate.facts().fingerprint);
    assert!(PKey::private_key_from_pem_callback(data, |_| Ok(0)).is_err(), "a private key");
    assert!(X509Crl::from_pem(data).is_err(), "a list");
    let written = certificate.to_pem().expect("PEM");
    let again = Certificate::from_pem(&written, CredentialFile::Ca).expect("its own form");
    assert_eq!(again.facts(), certificate.facts());
}

/// Arbitrary extensions in a certificate, or in its CA, with signatures that fit. OpenSSL accepts
/// whatever is accepted here, for either side of a connection.
///
/// The first byte selects certificate or CA, and the version; then come extensions, each with the
/// index of an OID, a critical flag, a length and its content.
pub fn chain(data: &[u8]) {
    static KEYS: LazyLock<[PKey<Private>; 2]> = LazyLock::new(|| {
        let key = || PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
        [key(), key()]
    });
    let [ca_key, key] = &*KEYS;
    let Some((how, extensions)) = data.split_first() else { return };
    let (of_ca, of_device) =
        if how & 1 == 1 { (extensions, &[][..]) } else { (&[][..], extensions) };
    let version = i32::from(how >> 1 & 3);
    let ca = extended(ONE, version, of_ca, ca_key, ca_key);
    let device = extended(OTHER, version, of_device, key, ca_key);
    let (Ok(ca), Ok(device)) = (ca, device) else { return };
    let pem = |x509: &X509| x509.to_pem().expect("PEM").into();
    let key = key.private_key_to_pem_pkcs8().expect("PEM").into();
    match Credentials::new(pem(&ca), pem(&device), key).check() {
        Err(error) => drop(black_box((error.to_string(), error.reason()))),
        Ok(_) => {
            for purpose in [X509PurposeId::SSL_CLIENT, X509PurposeId::SSL_SERVER] {
                assert!(openssl_takes(&ca, &device, purpose).expect("a verdict"));
            }
        }
    }
}

fn extended(
    subject: &str,
    version: i32,
    mut extensions: &[u8],
    key: &PKey<Private>,
    signer: &PKey<Private>,
) -> Result<X509, ErrorStack> {
    const OIDS: [&str; 12] = [
        "2.5.29.19",
        "2.5.29.15",
        "2.5.29.37",
        "2.5.29.17",
        "2.5.29.30",
        "2.5.29.35",
        "2.5.29.14",
        "2.5.29.32",
        "2.5.29.36",
        "2.16.840.1.113730.1.1",
        "1.3.6.1.5.5.7.1.14",
        "1.2.3.4",
    ];
    let mut builder = named(subject, key)?;
    builder.set_version(version)?;
    while let [oid, critical, size, rest @ ..] = extensions {
        let (content, rest) = rest.split_at(rest.len().min(usize::from(*size)));
        let oid = Asn1Object::from_str(OIDS[usize::from(*oid) % OIDS.len()])?;
        let content = Asn1OctetString::new_from_bytes(content)?;
        builder.append_extension(X509Extension::new_from_der(
            &oid,
            critical & 1 == 1,
            &content,
        )?)?;
        extensions = rest;
    }
    builder.sign(signer, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// Builds a certificate issued by [`ONE`], for ten days.
fn named(subject: &str, key: &PKey<Private>) -> Result<X509Builder, ErrorStack> {
    let name = |text: &str| {
        let mut name = X509Name::builder()?;
        name.append_entry_by_text("CN", text)?;
        Ok::<_, ErrorStack>(name.build())
    };
    let mut builder = X509::builder()?;
    builder.set_subject_name(&*name(subject)?)?;
    builder.set_issuer_name(&*name(ONE)?)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(10)?)?;
    Ok(builder)
}

fn openssl_takes(ca: &X509, device: &X509, purpose: X509PurposeId) -> Result<bool, ErrorStack> {
    let mut how = X509VerifyParam::new()?;
    how.set_purpose(purpose)?;
    how.set_auth_level(1);
    let mut store = X509StoreBuilder::new()?;
    store.add_cert(ca.clone())?;
    store.set_param(&how)?;
    let none = Stack::new()?;
    X509StoreContext::new()?.init(&store.build(), device, &none, |context| context.verify_cert())
}

/// Makes a CA and a certificate that it issued.
fn good_set() -> Result<[Vec<u8>; 2], ErrorStack> {
    let (ca, own) = (PKey::from_rsa(Rsa::generate(2048)?)?, PKey::from_rsa(Rsa::generate(2048)?)?);
    let issued = |subject, key| extended(subject, 0, &[], key, &ca)?.to_pem();
    Ok([issued(ONE, &ca)?, issued(OTHER, &own)?])
}
