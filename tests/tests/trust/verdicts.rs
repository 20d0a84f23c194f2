//! What OpenSSL refuses is refused: sets of many kinds, each judged by the `openssl` program of
//! this machine (`verify`, for both sides of a connection) and by ours.
//!
//! The kinds follow C2SP's x509-limbo. With `SFTUNNEL_LIMBO=limbo.json` every pair of an anchor
//! and a certificate of that file is judged as well; it is not kept here.

mod forms;

use std::fs;
use std::path::Path;

use formats::credentials::{Credentials, CredentialsError};
use formats::error::Reasoned;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use serde_json::Value;
use tests::tool;
use zeroize::Zeroizing;

use forms::{Issuer, rsa};

/// What the program says to a pair: nothing when it takes it for both sides. Dates are another
/// matter, and are left out.
fn refused_by_openssl(dir: &Path, ca: &[u8], certificate: &[u8]) -> Option<String> {
    let files = [("ca.pem", ca), ("certificate.pem", certificate)];
    files.iter().for_each(|(name, content)| fs::write(dir.join(name), content).unwrap());
    ["sslclient", "sslserver"].into_iter().find_map(|purpose| {
        let verify = ["verify", "-auth_level", "1", "-no-CApath", "-no-CAstore", "-no_check_time"];
        let run = tool("openssl", "openssl").args(verify).args(["-purpose", purpose]);
        let ran = run.args(["-CAfile", "ca.pem", "certificate.pem"]).cwd(dir).run();
        (ran.code() != Some(0)).then(|| ran.output())
    })
}

/// What we say to it. Without the certificate's own key, another stands for it: that it is
/// another is found out last.
fn refused_by_us(ca: &[u8], certificate: &[u8], key: &PKey<Private>) -> Option<CredentialsError> {
    let key = Zeroizing::new(key.private_key_to_pem_pkcs8().unwrap());
    let set = Credentials::new(ca.to_vec().into(), certificate.to_vec().into(), key);
    set.check().err().filter(|error| *error != CredentialsError::KeyMismatch)
}

#[test]
fn the_fmcs_own_forms_are_taken_by_both() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = Issuer::internal_ca();
    for (name, pem) in forms::of_the_fmc(&issuer) {
        assert_eq!(refused_by_openssl(dir.path(), &issuer.pem(), &pem), None, "{name}");
        assert_eq!(refused_by_us(&issuer.pem(), &pem, &issuer.device_key), None, "{name}");
    }
}

#[test]
fn whatever_openssl_refuses_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pairs = forms::pairs();
    let mut refused = 0;
    for (name, ca, certificate) in &pairs {
        let openssl = refused_by_openssl(dir.path(), ca, certificate);
        let ours = refused_by_us(ca, certificate, forms::device_key());
        assert!(
            ours.is_some() || openssl.is_none(),
            "{name} is taken, although OpenSSL refuses it: {openssl:?}"
        );
        refused += usize::from(openssl.is_some());
    }
    // a program that takes or refuses everything would prove nothing
    assert!(refused > 25 && refused < pairs.len(), "{refused} of {}", pairs.len());
}

#[test]
fn the_reason_is_openssls_own() {
    let reason = |wanted: &str| {
        let pairs = forms::pairs();
        let (_, ca, certificate) = pairs.iter().find(|(name, ..)| name == wanted).unwrap();
        let error = refused_by_us(ca, certificate, forms::device_key()).unwrap();
        (error.reason().word(), error.to_string())
    };
    let for_client = "OpenSSL refuses sftunnel-cert.pem for a TLS client: ";
    let cases = [
        ("key of 512 bits", "bad-credentials", "err 66:EE certificate key too weak"),
        ("SHA-1 under PSS", "weak-digest", "err 68:CA signature digest algorithm too weak"),
        ("unknown extension, critical", "bad-credentials", "err 34:unhandled critical extension"),
    ];
    for (name, word, text) in cases {
        let (found, message) = reason(name);
        assert_eq!(found, word, "{name}: {message}");
        assert!(message.contains(text) && message.starts_with(for_client), "{name}: {message}");
    }
    let (word, message) = reason("for servers only");
    assert_eq!(word, "bad-credentials");
    assert!(message.starts_with(for_client), "{message}");
    assert!(reason("for clients only").1.contains("for a TLS server: "));
}

#[test]
fn every_case_of_a_limbo_file_that_openssl_refuses_is_refused() {
    let Some(path) = std::env::var_os("SFTUNNEL_LIMBO") else { return };
    let limbo: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let key = rsa(2048);
    let (mut judged, mut refused, mut stricter) = (0, 0, Vec::new());
    for case in limbo["testcases"].as_array().unwrap() {
        let name = case["id"].as_str().unwrap();
        let texts = |field: &str| -> Vec<Vec<u8>> {
            let found = case[field].as_array().into_iter().flatten();
            found.map(|pem| pem.as_str().unwrap().as_bytes().to_vec()).collect()
        };
        let mut certificates = texts("untrusted_intermediates");
        certificates.push(case["peer_certificate"].as_str().unwrap().as_bytes().to_vec());
        for ca in texts("trusted_certs") {
            for certificate in &certificates {
                if X509::from_pem(&ca).is_err() || X509::from_pem(certificate).is_err() {
                    continue;
                }
                let openssl = refused_by_openssl(dir.path(), &ca, certificate);
                let ours = refused_by_us(&ca, certificate, &key);
                assert!(ours.is_some() || openssl.is_none(), "{name}: {openssl:?}");
                judged += 1;
                refused += usize::from(openssl.is_some());
                if let (Some(error), None) = (ours, openssl) {
                    stricter.push(format!("{name}: {error}"));
                }
            }
        }
    }
    tests::note(&format!(
        "x509-limbo: {judged} pairs, {refused} refused by OpenSSL and by us, {} by us alone: {stricter:#?}",
        stricter.len()
    ));
}
