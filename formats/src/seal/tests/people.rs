//! Keys as they come out of mails, terminals and other people's editors.

use super::super::*;
use super::ssh_public;

/// Returns `text` in each of the forms that copying may give it.
fn written(text: &str) -> Vec<Vec<u8>> {
    let each = |before: &str, after: &str| -> String {
        text.lines().map(|line| format!("{before}{line}{after}")).collect()
    };
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let mut all = vec![utf16(text), utf16(&format!("\u{feff}{}", each("", "\r\n")))];
    all.extend(
        [
            format!("\u{feff}{text}"),
            each("", "\r\n"),
            each("", "\r"),
            each("  ", " \t\n"),
            each("\u{a0}", "\u{a0}\u{200b}\n"),
            each("> ", "\n"),
            each("\"", "\"\n"),
            each("“", "”\n"),
        ]
        .map(String::into_bytes),
    );
    all
}

#[track_caller]
fn opens(file: &[u8], sealed: &[u8]) {
    match IdentityFile::from_person(file) {
        Ok(IdentityFile::Plain(identities)) => {
            assert_eq!(&**identities.open(sealed, 9).unwrap(), b"secret");
        }
        other => panic!("{other:?}: {}", String::from_utf8_lossy(file)),
    }
}

#[test]
fn an_identity_is_read_whatever_was_done_to_its_text() {
    for new in [NewIdentity::generate(), NewIdentity::generate_post_quantum()] {
        let sealed = seal(b"secret", &[new.recipient()], Encoding::Binary).unwrap();
        let file = new.file(&["made by somebody".to_owned()]);
        let key = file.lines().last().unwrap();
        let (half, rest) = key.split_at(40);
        let other = NewIdentity::generate().file(&[]);
        for text in [
            file.to_string(),
            key.to_lowercase(),
            key.replace("SECRET", "Secret"),
            format!("{half}\n{rest}"),
            format!("{}{half}\n\n{rest}\n{}", *other, *other),
        ] {
            for file in written(&text) {
                opens(&file, &sealed);
            }
        }
        // the strict reader still refuses it
        assert!(IdentityFile::parse(format!("\"{key}\"").as_bytes()).is_err());
    }
}

#[test]
fn an_ssh_key_is_read_whatever_was_done_to_its_text() {
    let key = openssl::rsa::Rsa::generate(2048).unwrap();
    let modulus = [&[0][..], &key.n().to_vec()].concat();
    let recipient = ssh_public("ssh-rsa", &[&key.e().to_vec(), &modulus]).parse().unwrap();
    let sealed = seal(b"secret", &[recipient], Encoding::Binary).unwrap();
    let pem = String::from_utf8(key.private_key_to_pem().unwrap()).unwrap();
    for file in written(&pem) {
        opens(&file, &sealed);
    }
}

#[test]
fn a_protected_identity_is_read_whatever_was_done_to_its_text() {
    let signer = crate::signature::SigningKey::generate().unwrap().verifying_key().unwrap();
    let (new, passphrase) = (NewIdentity::generate(), Passphrase::new("x".into()));
    let file = new.protect(&passphrase, signer.fingerprint()).unwrap();
    for file in written(std::str::from_utf8(&file).unwrap()) {
        let found = IdentityFile::from_person(&file);
        assert!(matches!(found, Ok(IdentityFile::Protected(_))), "{found:?}");
    }
}

#[test]
fn what_is_no_identity_says_what_it_is_instead() {
    let error = |file: &[u8]| IdentityFile::from_person(file).unwrap_err();
    let new = NewIdentity::generate();
    let public = format!("# mine\n{}", new.recipient());
    assert_eq!(error(public.as_bytes()), IdentityError::Public { line: 2 });
    assert_eq!(error(b"# x\n\nno key"), IdentityError::Line { line: 3 });
    assert_eq!(
        error(b"\xfc"),
        IdentityError::NotText(crate::decode::NotText::Encoding { line: 1 })
    );
    assert_eq!(error("\u{feff}# nothing".as_bytes()), IdentityError::Empty);
    let cut = new.file(&[]).trim_end().len() - 1;
    let file = new.file(&[]);
    assert_eq!(error(&file.as_bytes()[..cut]), IdentityError::Line { line: 2 });
}

#[test]
fn recipients_are_read_whatever_was_done_to_their_text() {
    let [one, two] =
        [NewIdentity::generate(), NewIdentity::generate_post_quantum()].map(|new| new.recipient());
    let (long, short) = (two.to_string(), one.to_string());
    let (half, rest) = long.split_at(700);
    for text in [
        format!("{short}\n{long}\n"),
        format!("{}\n{half}\n{rest}\n", short.to_uppercase()),
        format!("# site\n{}\n\n{half}\n{rest}", short.replace("age1", "Age1")),
        format!("{short},\n{long};\n"),
    ] {
        for file in written(&text) {
            let text = crate::decode::text(&file).unwrap();
            assert_eq!(parse_recipients_file(&text), Ok(vec![one.clone(), two.clone()]));
        }
    }
}

#[test]
fn a_passphrase_opens_what_was_sealed_with_another_spelling_of_it() {
    let signer = crate::signature::SigningKey::generate().unwrap().verifying_key().unwrap();
    let new = NewIdentity::generate();
    for (sealed_with, typed) in
        [("Gr\u{fc}n", "Gru\u{308}n"), ("Gru\u{308}n", "Gr\u{fc}n"), ("x", " x ")]
    {
        let file = new.protect(&Passphrase::new(sealed_with.into()), signer.fingerprint()).unwrap();
        let IdentityFile::Protected(file) = IdentityFile::parse(&file).unwrap() else { panic!() };
        assert!(file.open(&Passphrase::new(typed.into())).is_ok(), "{typed}");
        let wrong = file.open(&Passphrase::new("y".into())).unwrap_err();
        assert_eq!(wrong, IdentityError::Open(OpenError::Passphrase));
    }
}
