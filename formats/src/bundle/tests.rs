//! Tests of the module above: each guard met alone, with everything around it as it should be.

use super::*;
use crate::credentials::tests::{DEVICE, checked_set};
use crate::trust::{TrustInputs, Verdict, Vouch};

/// One set, its signer and its reader.
struct Case {
    credentials: CheckedCredentials,
    key: SigningKey,
    identities: Identities,
    recipient: Recipient,
}

impl Case {
    fn new() -> Self {
        let identity = seal::NewIdentity::generate();
        let file = identity.file(&[]);
        let Ok(seal::IdentityFile::Plain(identities)) = seal::IdentityFile::parse(file.as_bytes())
        else {
            panic!("a plain identity")
        };
        Self {
            credentials: checked_set(),
            key: SigningKey::generate().unwrap(),
            identities,
            recipient: identity.recipient(),
        }
    }

    fn content(&self) -> Content<'_> {
        Content {
            credentials: &self.credentials,
            sources: ["/a", "/b", "/c"],
            manager: Manager {
                uuid: "cdb123c8-4347-11ef-aca1-f3aa241412a1".parse().unwrap(),
                hostname: "fmc".parse().unwrap(),
            },
            device: Device {
                uuid: DEVICE.parse().unwrap(),
                name: "box".parse().unwrap(),
                address: Default::default(),
            },
            batch: 1,
            created_at: Timestamp::EPOCH,
            tool: Tool { name: "x".into(), version: "1".into() },
        }
    }

    fn manifest(&self) -> Manifest {
        manifest_of(&self.content(), SignerEntry::of(self.key.verifying_key().unwrap()))
    }

    fn sums(&self) -> String {
        inner_sums(&self.credentials.files().digests()).to_string()
    }

    /// Signs and seals a manifest as it is, right or wrong, and opens the result.
    fn opened(
        &self,
        manifest: &Manifest,
        sums: &str,
        files: [&[u8]; 3],
    ) -> Result<SignedBundle, BundleError> {
        let bytes = manifest.to_bytes().unwrap();
        let signature = self.key.sign(&bytes).unwrap();
        let [ca, certificate, key] = files;
        let contents = [&bytes[..], &signature, sums.as_bytes(), ca, certificate, key];
        let member = gzip(|member| archive::write(contents, Timestamp::EPOCH, member));
        let sealed =
            Inner(member.unwrap()).seal(std::slice::from_ref(&self.recipient), Encoding::Binary);
        SignedBundle::open(&sealed.unwrap(), &self.identities)
    }

    fn files(&self) -> [&[u8]; 3] {
        CredentialFile::ALL.map(|file| self.credentials.files().file(file))
    }

    fn refused(&self, change: impl FnOnce(&mut Manifest)) -> BundleError {
        let mut manifest = self.manifest();
        change(&mut manifest);
        self.opened(&manifest, &self.sums(), self.files()).unwrap_err()
    }
}

fn other_signer() -> Fingerprint {
    SigningKey::generate().unwrap().verifying_key().unwrap().fingerprint()
}

#[test]
fn a_manifest_has_one_form() {
    let bytes = Case::new().manifest().to_bytes().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(Manifest::parse(text.as_bytes()).is_ok());
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["tool"] = serde_json::json!([value["tool"]["name"], value["tool"]["version"]]);
    let twice = text.replacen('{', r#"{"batch":2,"#, 1);
    for changed in [value.to_string(), twice] {
        let error = Manifest::parse(changed.as_bytes()).unwrap_err();
        assert!(matches!(error, ManifestError::Json(_)), "{changed}: {error}");
    }
}

#[test]
fn what_is_packed_is_what_is_opened() {
    let case = Case::new();
    let inner = Inner::pack(&case.content(), &case.key).unwrap();
    let sealed = inner.seal(std::slice::from_ref(&case.recipient), Encoding::Binary).unwrap();
    let bundle = SignedBundle::open(&sealed, &case.identities).unwrap();
    assert_eq!(bundle.manifest(), &case.manifest());
    assert_eq!(bundle.fingerprint(), case.key.verifying_key().unwrap().fingerprint());
    assert_eq!(bundle.manifest().credentials, CredentialFacts::of(&case.credentials));
    assert!(*bundle.inner().0 == *inner.0);
    let others = TrustInputs { named: vec![other_signer()], ..TrustInputs::default() };
    let again = SignedBundle::open(&sealed, &case.identities).unwrap();
    assert_eq!(others.vouch(again).unwrap_err(), Verdict::OtherNamed);
    let signer = TrustInputs { named: vec![bundle.fingerprint()], ..TrustInputs::default() };
    let vouched = signer.vouch(bundle).unwrap();
    assert_eq!(vouched.credentials().files().digests(), case.credentials.files().digests());
    assert_eq!(
        (vouched.vouch(), vouched.signer()),
        (Vouch::Named, case.key.verifying_key().unwrap())
    );
    // a bundle that is passed on has the same inside
    let sealed =
        Inner::seal(&inner, std::slice::from_ref(&case.recipient), Encoding::Armored).unwrap();
    assert!(SignedBundle::open(&sealed, &case.identities).is_ok());
}

#[test]
fn each_file_is_compared_with_manifest_and_sums() {
    let case = Case::new();
    for (at, file) in CredentialFile::ALL.into_iter().enumerate() {
        let longer = [case.files()[at], b"\n"].concat();
        let mut files = case.files();
        files[at] = &longer;
        let error = case.opened(&case.manifest(), &case.sums(), files).unwrap_err();
        assert_eq!(error, BundleError::OtherFile(file));
        let error = case.refused(|manifest| manifest.files[at].size += 1);
        assert_eq!(error, BundleError::OtherFile(file));
        // the sums: another digest, another name
        let digest = case.credentials.files().digests()[at].to_string();
        let sums = case.sums().replace(&digest, &Sha256::of(b"x").to_string());
        let error = case.opened(&case.manifest(), &sums, case.files()).unwrap_err();
        assert_eq!(error, BundleError::OtherSums);
        let sums = case.sums().replace(file.name(), "other.pem");
        let error = case.opened(&case.manifest(), &sums, case.files()).unwrap_err();
        assert_eq!(error, BundleError::OtherSums);
    }
    let error = case.opened(&case.manifest(), "", case.files()).unwrap_err();
    assert_eq!(error.reason(), Reason::Damaged);
    assert!(case.opened(&case.manifest(), &case.sums(), case.files()).is_ok());
}

#[test]
fn a_signed_manifest_that_says_something_else_is_refused() {
    let case = Case::new();
    let reason = |change: fn(&mut Manifest)| case.refused(change).reason();
    assert!(case.refused(|m| m.format = "sftunnel-bundle/2".into()).needs_later_release());
    assert!(!case.refused(|m| m.format = "sftunnel-bundle/x".into()).needs_later_release());
    assert_eq!(reason(|m| m.format = "sftunnel-bundle/2".into()), Reason::BadFormat);
    assert_eq!(reason(|m| m.bundle_id = Sha256::of(b"x")), Reason::BadFormat);
    assert_eq!(reason(|m| m.files.truncate(2)), Reason::BadFormat);
    assert_eq!(reason(|m| m.files[1].name = "cacert.pem".into()), Reason::BadFormat);
    assert_eq!(reason(|m| m.files.swap(1, 2)), Reason::BadFormat);
    let elsewhere = |m: &mut Manifest| m.files[2].destination = "/etc/shadow".into();
    assert!(matches!(
        case.refused(elsewhere),
        BundleError::Manifest(ManifestError::Destination { file: CredentialFile::Key, .. })
    ));
    assert_eq!(reason(elsewhere), Reason::WrongDestination);
    let described = |m: &mut Manifest| m.credentials.ca.serial = "FF".into();
    assert_eq!(case.refused(described), BundleError::OtherCertificates);
}

#[test]
fn a_manifest_may_be_as_large_as_its_limit_and_no_larger() {
    let mut manifest = Case::new().manifest();
    let room = usize::try_from(limits::MANIFEST).unwrap() - manifest.to_bytes().unwrap().len();
    manifest.files[0].source = "x".repeat(room + manifest.files[0].source.len());
    assert_eq!(manifest.to_bytes().unwrap().len() as u64, limits::MANIFEST);
    manifest.files[0].source.push('x');
    assert!(manifest.to_bytes().is_err());
}
