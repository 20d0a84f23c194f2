//! Tests of the module above.

use super::identity::{SIGNER_LINE, signer_line};
use super::*;
use crate::signature::SigningKey;

mod vectors;

fn identities(new: &NewIdentity) -> Identities {
    match IdentityFile::parse(new.file(&[]).as_bytes()).unwrap() {
        IdentityFile::Plain(identities) => identities,
        IdentityFile::Protected(_) => panic!("not protected"),
    }
}

#[test]
fn opens_with_the_right_identity_only() {
    let (right, wrong) = (NewIdentity::generate(), NewIdentity::generate());
    for encoding in [Encoding::Binary, Encoding::Armored] {
        let sealed = seal(b"secret", &[right.recipient()], encoding).unwrap();
        assert_eq!(encoding_of(&sealed), Ok(encoding));
        assert_eq!(&**identities(&right).open(&sealed, 6).unwrap(), b"secret");
        assert_eq!(identities(&right).open(&sealed, 5), Err(OpenError::TooLarge { limit: 5 }));
        assert_eq!(identities(&wrong).open(&sealed, 6), Err(OpenError::NoMatch));
    }
}

#[test]
fn somebody_has_to_be_able_to_open_it_and_nobody_weaker_than_the_others() {
    let ordinary = NewIdentity::generate().recipient();
    let hybrid = || NewIdentity::generate_post_quantum().recipient();
    assert_eq!(seal(b"x", &[], Encoding::Binary).unwrap_err().to_string(), "no recipients");
    for mixed in [[ordinary.clone(), hybrid()], [hybrid(), ordinary.clone()]] {
        assert!(is_mixed(&mixed));
        let error = seal(b"x", &mixed, Encoding::Binary).unwrap_err();
        assert!(matches!(error, SealError::Mixed), "{error}");
        assert_eq!(error.reason(), Reason::BadFormat);
    }
    for alike in [[ordinary.clone(), ordinary], [hybrid(), hybrid()]] {
        assert!(!is_mixed(&alike));
        assert!(seal(b"x", &alike, Encoding::Binary).is_ok());
    }
    assert!(!is_mixed(&[]));
}

#[test]
fn what_is_no_age_file_of_this_version_is_told_from_a_damaged_one() {
    let new = NewIdentity::generate();
    for encoding in [Encoding::Binary, Encoding::Armored] {
        let sealed = seal(b"x", &[new.recipient()], encoding).unwrap();
        let cut = &sealed[..sealed.len() / 2];
        assert_eq!(identities(&new).open(cut, 9), Err(OpenError::Damaged), "{encoding:?}");
    }
    let begun = "-----BEGIN AGE ENCRYPTED FILE-----";
    let armored = |inside: &str| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(inside);
        format!("{begun}\n{text}\n-----END AGE ENCRYPTED FILE-----\n")
    };
    let later = "age-encryption.org/v9\n-> X25519 x\nx\n--- x\n";
    for other in ["", "PK\u{3}\u{4}", "age-encryption.org/v1", later, &armored(later)] {
        assert_eq!(encoding_of(other.as_bytes()), Err(OpenError::NotAge), "{other:?}");
    }
    let broken = "age-encryption.org/v1\n-> X25519\n";
    for damaged in [broken, begun, &armored(broken)] {
        assert_eq!(encoding_of(damaged.as_bytes()), Err(OpenError::Damaged), "{damaged:?}");
    }
}

#[test]
fn a_pasted_armor_may_have_blank_lines_and_carriage_returns() {
    let new = NewIdentity::generate();
    let sealed = seal(b"secret", &[new.recipient()], Encoding::Armored).unwrap();
    let pasted = format!("\r\n\n{}", String::from_utf8(sealed).unwrap().replace('\n', "\r\n"));
    assert_eq!(&**identities(&new).open(pasted.as_bytes(), 99).unwrap(), b"secret");
}

#[test]
fn every_changed_cut_or_added_byte_is_noticed() {
    let new = NewIdentity::generate();
    let identities = identities(&new);
    let sealed = seal(b"secret", &[new.recipient()], Encoding::Binary).unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(identities.open(&changed, 99).is_err(), "changed at {at}");
        assert!(identities.open(&sealed[..at], 99).is_err(), "cut at {at}");
    }
    assert_eq!(identities.open(&[&sealed[..], b"x"].concat(), 99), Err(OpenError::Damaged));
    // a stick that goes bad is not called another format
    for encoding in [Encoding::Binary, Encoding::Armored] {
        let mut sealed = seal(b"secret", &[new.recipient()], encoding).unwrap();
        for byte in &mut sealed[70..90] {
            *byte = b'A';
        }
        assert_eq!(identities.open(&sealed, 99), Err(OpenError::Damaged), "{encoding:?}");
    }
}

#[test]
fn a_protected_identity_carries_its_signer() {
    let signer = SigningKey::generate().unwrap().verifying_key().unwrap().fingerprint();
    let new = NewIdentity::generate();
    let passphrase = Passphrase::new("correct horse".into());
    let file = new.protect(&passphrase, signer).unwrap();
    let IdentityFile::Protected(protected) = IdentityFile::parse(&file).unwrap() else {
        panic!("plain")
    };
    let wrong = protected.open(&Passphrase::new("wrong".into()));
    assert_eq!(wrong.unwrap_err(), IdentityError::Open(OpenError::Passphrase));
    let opened = protected.open(&passphrase).unwrap();
    assert_eq!(opened.signer, Some(signer));
    let sealed = seal(b"x", &[new.recipient()], Encoding::Binary).unwrap();
    assert!(opened.identities.open(&sealed, 9).is_ok());
}

#[test]
fn an_identity_file_for_a_public_recipient_is_not_protected() {
    let new = NewIdentity::generate();
    let file = seal(new.file(&[]).as_bytes(), &[new.recipient()], Encoding::Binary).unwrap();
    assert_eq!(IdentityFile::parse(&file).unwrap_err(), IdentityError::NotPassphrase);
}

#[test]
fn two_signer_lines_vouch_for_nobody() {
    let signer = SigningKey::generate().unwrap().verifying_key().unwrap().fingerprint();
    let line = format!("{SIGNER_LINE}{signer}\n");
    assert_eq!(signer_line(line.as_bytes()), Some(signer));
    assert_eq!(signer_line(line.repeat(2).as_bytes()), None);
}

#[test]
fn secrets_are_not_taken_for_recipients() {
    let new = NewIdentity::generate();
    let secret = new.file(&[]).lines().last().unwrap().to_owned();
    assert_eq!(secret.parse::<Recipient>(), Err(RecipientError::Secret));
    let error = parse_recipients_file(format!("# x\n\n{secret}").as_bytes()).unwrap_err();
    assert_eq!((error.line, error.to_string().contains("AGE-SECRET")), (3, false));
}

#[test]
fn a_work_factor_that_would_stand_the_box_still_is_refused_at_once() {
    // the stanza is looked at before any MAC is, so made-up bytes will do
    let (salt, body, mac) = ("A".repeat(22), "A".repeat(43), "A".repeat(43));
    for factor in ["23", "31", "63"] {
        let header =
            format!("age-encryption.org/v1\n-> scrypt {salt} {factor}\n{body}\n--- {mac}\n");
        let file = [header.as_bytes(), &[0; 48]].concat();
        let IdentityFile::Protected(protected) = IdentityFile::parse(&file).unwrap() else {
            panic!("plain")
        };
        let begun = std::time::Instant::now();
        let error = protected.open(&Passphrase::new("x".into())).unwrap_err();
        assert_eq!(error, IdentityError::Open(OpenError::WorkFactor), "2^{factor}");
        assert!(begun.elapsed().as_secs() < 5, "2^{factor} was computed");
    }
}
