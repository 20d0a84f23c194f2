//! Tests of the module above.

use super::identity::{SIGNER_LINE, signer_line};
use super::*;
use crate::signature::SigningKey;

mod people;
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
    // a file that a bad stick damaged is not called another format
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
    let error = parse_recipients_file(&format!("# x\n\n{secret}")).unwrap_err();
    assert_eq!((error.line, error.to_string().contains("AGE-SECRET")), (3, false));
}

/// An age file with one scrypt stanza, whose salt, body and MAC are made up.
fn with_work_factor(factor: &str) -> ProtectedIdentity {
    let (salt, body, mac) = ("A".repeat(22), "A".repeat(43), "A".repeat(43));
    let header = format!("age-encryption.org/v1\n-> scrypt {salt} {factor}\n{body}\n--- {mac}\n");
    match IdentityFile::parse(&[header.as_bytes(), &[0; 48]].concat()).unwrap() {
        IdentityFile::Protected(protected) => protected,
        IdentityFile::Plain(_) => panic!("plain"),
    }
}

#[test]
fn what_a_passphrase_costs_is_known_before_it_is_asked_for() {
    const MIB: u64 = 1024 * 1024;
    for (factor, memory) in [("1", 2048), ("18", 256 * MIB), ("20", 1024 * MIB)] {
        assert_eq!(with_work_factor(factor).memory(), Some(memory), "2^{factor}");
    }
    for refused in ["21", "63"] {
        assert_eq!(with_work_factor(refused).memory(), None, "2^{refused}");
    }
    let new = NewIdentity::generate();
    let signer = SigningKey::generate().unwrap().verifying_key().unwrap().fingerprint();
    let file = new.protect(&Passphrase::new("x".into()), signer).unwrap();
    let IdentityFile::Protected(protected) = IdentityFile::parse(&file).unwrap() else {
        panic!("plain")
    };
    assert_eq!(protected.memory(), Some(1024 << crate::limits::WORK_FACTOR_WRITTEN));
}

#[test]
fn a_line_that_is_no_identity_is_told_by_its_number() {
    let new = NewIdentity::generate();
    let error = IdentityFile::parse(format!("{}\nx\n", *new.file(&[])).as_bytes()).unwrap_err();
    assert_eq!(error, IdentityError::Line { line: 4 });
    assert_eq!(IdentityFile::parse(b"# nothing\n").unwrap_err(), IdentityError::Empty);
}

#[test]
fn a_work_factor_that_would_stand_the_box_still_is_refused_at_once() {
    // the stanza is read before any MAC is checked
    for factor in ["21", "31", "63"] {
        let protected = with_work_factor(factor);
        let begun = std::time::Instant::now();
        let error = protected.open(&Passphrase::new("x".into())).unwrap_err();
        assert_eq!(error, IdentityError::Open(OpenError::WorkFactor), "2^{factor}");
        assert!(begun.elapsed().as_secs() < 5, "2^{factor} was computed");
    }
}

#[test]
fn several_identities_open_what_any_of_them_opens() {
    let (first, second) = (NewIdentity::generate(), NewIdentity::generate());
    let mut both = identities(&first);
    let sealed = seal(b"secret", &[second.recipient()], Encoding::Binary).unwrap();
    assert_eq!(both.open(&sealed, 9), Err(OpenError::NoMatch));
    both.extend(identities(&second));
    assert_eq!(&**both.open(&sealed, 9).unwrap(), b"secret");
    let sealed = seal(b"other", &[first.recipient()], Encoding::Binary).unwrap();
    assert_eq!(&**both.open(&sealed, 9).unwrap(), b"other");
}

#[test]
fn a_passphrase_counts_characters_and_is_shown_where_asked() {
    let passphrase = Passphrase::new("Grüße".into());
    assert_eq!((passphrase.chars(), passphrase.expose()), (5, "Grüße"));
    assert_eq!(format!("{passphrase:?}"), "Passphrase(..)");
}

#[test]
fn what_is_no_identity_says_why_in_a_word() {
    let reasons = [
        (IdentityError::Open(OpenError::Passphrase), OpenError::Passphrase.reason()),
        (IdentityError::Open(OpenError::WorkFactor), OpenError::WorkFactor.reason()),
        (IdentityError::Empty, Reason::BadFormat),
    ];
    for (error, reason) in reasons {
        assert_eq!(error.reason(), reason, "{error}");
    }
    assert_ne!(OpenError::Passphrase.reason(), Reason::BadFormat);
}

/// Opens with an RSA key that OpenSSL wrote; the public half is in OpenSSH's form.
#[test]
fn an_ssh_key_without_a_passphrase_opens_at_once() {
    let key = openssl::rsa::Rsa::generate(2048).unwrap();
    let modulus = [&[0][..], &key.n().to_vec()].concat();
    let recipient = ssh_public("ssh-rsa", &[&key.e().to_vec(), &modulus]).parse().unwrap();
    let sealed = seal(b"secret", &[recipient], Encoding::Binary).unwrap();
    let IdentityFile::Plain(identities) =
        IdentityFile::parse(&key.private_key_to_pem().unwrap()).unwrap()
    else {
        panic!("protected")
    };
    assert_eq!(&**identities.open(&sealed, 9).unwrap(), b"secret");
}

/// An SSH public key: its name, and numbers in SSH's form (RFC 4251, section 5).
fn ssh_public(kind: &str, numbers: &[&[u8]]) -> String {
    use base64::prelude::{BASE64_STANDARD, Engine as _};
    let fields = [&[kind.as_bytes()], numbers].concat();
    let fields =
        fields.iter().map(|field| [&(field.len() as u32).to_be_bytes()[..], field].concat());
    format!("{kind} {} somebody@fmc", BASE64_STANDARD.encode(fields.collect::<Vec<_>>().concat()))
}

#[test]
fn each_kind_of_recipient_is_read_as_it_is_shown() {
    let [native, other] = [(); 2].map(|()| NewIdentity::generate().recipient());
    let hybrid = NewIdentity::generate_post_quantum().recipient();
    for recipient in [&native, &other, &hybrid] {
        assert_eq!(recipient.to_string().parse().as_ref(), Ok(recipient));
    }
    assert!(native != other && native != hybrid);
    assert!(hybrid.is_post_quantum() && !native.is_post_quantum());
    let file = format!("# a comment\n\n {native}\r\n{hybrid}\n");
    assert_eq!(parse_recipients_file(&file), Ok(vec![native, hybrid]));
}

#[test]
fn what_is_no_recipient_says_what_it_is_instead() {
    let rsa = |bits: usize| {
        let modulus = [&[0][..], &vec![0xff; bits / 8]].concat();
        ssh_public("ssh-rsa", &[&[1, 0, 1], &modulus]).parse::<Recipient>()
    };
    for bits in [2048, 4096] {
        assert!(matches!(rsa(bits), Ok(Recipient::Ssh(_))), "{bits} bits");
    }
    for bits in [1024, 8192] {
        assert_eq!(rsa(bits), Err(RecipientError::RsaSize), "{bits} bits");
    }
    let ecdsa = ssh_public("ecdsa-sha2-nistp256", &[b"nistp256", &[4; 65]]);
    assert_eq!(ecdsa.parse::<Recipient>(), Err(RecipientError::SshKind));
    for unknown in ["age1", "age1pq1", "age1x", "age1pqx", "somebody", "", "ssh-rsa", "ssh-rsa x"] {
        assert_eq!(unknown.parse::<Recipient>(), Err(RecipientError::Unknown), "{unknown:?}");
    }
    for secret in ["age-secret-key-1", "-----BEGIN OPENSSH PRIVATE KEY-----"] {
        assert_eq!(secret.parse::<Recipient>(), Err(RecipientError::Secret));
    }
    let error = parse_recipients_file("\nx").unwrap_err();
    assert_eq!((error.line, error.reason()), (2, Reason::BadFormat));
}

#[test]
fn a_post_quantum_identity_opens_what_is_sealed_to_it_and_nobody_else() {
    let [new, other] = [(); 2].map(|()| NewIdentity::generate_post_quantum());
    assert!(new.file(&[]).contains("\nAGE-SECRET-KEY-PQ-1"));
    for encoding in [Encoding::Binary, Encoding::Armored] {
        let sealed = seal(b"secret", &[new.recipient()], encoding).unwrap();
        assert_eq!(&**identities(&new).open(&sealed, 9).unwrap(), b"secret");
        assert_eq!(identities(&other).open(&sealed, 9), Err(OpenError::NoMatch));
    }
}
