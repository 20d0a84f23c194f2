//! Tests of keys, signatures and fingerprints, and of the forms in which people hand them on.

use super::*;

#[test]
fn signs_and_verifies_and_nothing_else_verifies() {
    let key = SigningKey::from_pem(&SigningKey::generate().unwrap().to_pem().unwrap()).unwrap();
    let public = key.verifying_key().unwrap();
    let mut signature = key.sign(b"message").unwrap();
    public.verify(b"message", &signature).unwrap();
    assert_eq!(public.verify(b"massage", &signature), Err(SignatureError::Mismatch));
    assert_eq!(public.verify(b"message", &signature[..63]), Err(SignatureError::Mismatch));
    signature[9] ^= 1;
    assert_eq!(public.verify(b"message", &signature), Err(SignatureError::Mismatch));
}

#[test]
fn keys_and_fingerprints_read_what_they_write() {
    let public = SigningKey::generate().unwrap().verifying_key().unwrap();
    assert_eq!(VerifyingKey::from_file(&public.to_pem().unwrap()), Ok(public));
    assert_eq!(VerifyingKey::from_file(format!("{public}\n").as_bytes()), Ok(public));
    let pem = String::from_utf8(public.to_pem().unwrap()).unwrap();
    for text in [
        format!("\u{feff}{pem}"),
        format!("> {}", pem.trim_end().replace('\n', "\r> ")),
        format!("“{}\u{a0}”", pem.replace('\n', " \r\n  ")),
        format!("\"{public}\"\r\n"),
    ] {
        assert_eq!(VerifyingKey::from_file(text.as_bytes()), Ok(public), "{text}");
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(VerifyingKey::from_file(&utf16), Ok(public), "{text}");
    }
    let print = public.fingerprint();
    assert_eq!(print.to_string().parse(), Ok(print));
    assert_eq!(print.to_string().len(), 7 + 43);
    assert!("SHA256:abc".parse::<Fingerprint>().is_err());
    assert_eq!(print.spoken().replace(' ', ""), print.0.to_string());
}

#[test]
fn a_fingerprint_read_aloud_is_taken_as_people_type_it() {
    let print = SigningKey::generate().unwrap().verifying_key().unwrap().fingerprint();
    let spoken = print.spoken();
    let lines = print.spoken_lines();
    assert_eq!(lines.each_ref().map(|line| line.len()), [39, 39]);
    let typed = [
        spoken.clone(),
        spoken.to_ascii_uppercase(),
        spoken.replace(' ', ""),
        format!("  {}\r\n\t{}\n", lines[0], lines[1]),
        print.to_string(),
        format!(" {print}\n"),
        format!("\"{print}\""),
        format!("“{spoken}”,"),
        spoken.replace(' ', ":"),
        spoken.to_ascii_uppercase().replace(' ', "-"),
        spoken.replace(' ', "\u{a0}"),
        format!("sha256:{}", spoken.replace(' ', "")),
        print.to_string().replace("SHA256", "Sha256") + "=",
        print.to_string().replacen(':', ":\u{200b}\n", 1),
    ];
    for text in typed {
        assert!(Fingerprint::is_meant_by(&text), "{text}");
        assert_eq!(Fingerprint::from_person(&text), Ok(print), "{text}");
    }
    for lost in [print.to_string().to_lowercase(), print.to_string().to_uppercase()] {
        assert_eq!(Fingerprint::from_person(&lost), Err(SignatureError::LostCase));
    }
    let short = spoken.split_at(spoken.len() - 1).0;
    assert_eq!(Fingerprint::from_person(short), Err(SignatureError::NotSpoken(63)));
    let long = format!("{spoken} 0");
    assert_eq!(Fingerprint::from_person(&long), Err(SignatureError::NotSpoken(65)));
    // the files keep to one form
    assert!(spoken.parse::<Fingerprint>().is_err());
    for file in ["deadbeef", "./signer.pem", "", &format!("{spoken}.pem")] {
        assert!(!Fingerprint::is_meant_by(file), "{file}");
    }
}

#[test]
fn the_fingerprint_is_over_the_raw_key() {
    // RFC 8032, 7.1, test 1
    let key: VerifyingKey = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".parse().unwrap();
    assert_eq!(key.fingerprint(), Fingerprint(Sha256::of(&key.0)));
    let other = Fingerprint(Sha256::of(b""));
    assert!(SignerEntry { public_key: key, fingerprint: other }.check().is_err());
}

/// The eight points of small order, computed from the curve's equation.
const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
];

/// Returns the error for a key given as base64, in JSON, and as the file that openssl would write.
fn refused(raw: &[u8; 32]) -> SignatureError {
    let text = BASE64_STANDARD.encode(raw);
    let error = text.parse::<VerifyingKey>().unwrap_err();
    let pem = PKey::public_key_from_raw_bytes(raw, Id::ED25519).unwrap();
    let pem = pem.public_key_to_pem().unwrap();
    assert_eq!(VerifyingKey::from_file(&pem), Err(error.clone()));
    assert!(serde_json::from_value::<VerifyingKey>(text.into()).is_err());
    error
}

#[test]
fn keys_of_small_order_are_refused() {
    for hex in SMALL_ORDER {
        let raw: Sha256 = hex.parse().unwrap();
        assert_eq!(refused(raw.as_bytes()), SignatureError::Unsound, "{hex}");
    }
}

#[test]
fn a_key_has_one_encoding() {
    let bytes = |first, middle, last| {
        let mut raw = [middle; 32];
        (raw[0], raw[31]) = (first, last);
        raw
    };
    // y from p = 2^255 - 19 on, with either sign
    for first in 0xed..=0xff {
        for last in [0x7f, 0xff] {
            let error = refused(&bytes(first, 0xff, last));
            assert!(matches!(error, SignatureError::Unsound | SignatureError::NotAKey));
        }
    }
    // y = 1 and y = -1 with the sign of an x that is 0
    refused(&bytes(0x01, 0, 0x80));
    refused(&bytes(0xec, 0xff, 0xff));
    // y = 3 is a key, y = p + 3 the same point
    let key = BASE64_STANDARD.encode(bytes(3, 0, 0));
    assert!(key.parse::<VerifyingKey>().is_ok());
    assert_eq!(refused(&bytes(0xed + 3, 0xff, 0x7f)), SignatureError::Unsound);
}

#[test]
fn keys_of_another_kind_are_no_signers() {
    // X25519 has 32 raw bytes as well
    let other = PKey::generate_x25519().unwrap();
    let public = other.public_key_to_pem().unwrap();
    assert_eq!(VerifyingKey::from_file(&public), Err(SignatureError::NotAKey));
    let private = other.private_key_to_pem_pkcs8().unwrap();
    assert_eq!(SigningKey::from_pem(&private).unwrap_err(), SignatureError::NotAKey);
}
