//! Tests of the index: what is read, what contradicts itself, what an older kit looks like.

use super::*;

fn index() -> (KitIndex, SigningKey) {
    let key = SigningKey::generate().unwrap();
    let uuid = "cdb123c8-4347-11ef-aca1-f3aa241412a1".parse().unwrap();
    let index = KitIndex {
        format: FORMAT.to_owned(),
        manager: Manager { uuid, hostname: Default::default() },
        batch: 1,
        source: None,
        created_at: Timestamp::EPOCH,
        signer: SignerEntry::of(key.verifying_key().unwrap()),
        built_by: None,
        handoffs: Vec::new(),
        bundles: Vec::new(),
        installers: Vec::new(),
        texts: Vec::new(),
    };
    (index, key)
}

fn tool() -> Tool {
    Tool { name: "x".into(), version: "1".into() }
}

fn reopened(index: &KitIndex, key: &SigningKey) -> Result<KitIndex, KitError> {
    let (bytes, signature) = index.sign(key).unwrap();
    KitIndex::open(&bytes, &signature).map(|(index, _)| index)
}

#[test]
fn handoffs_lead_from_the_builder_to_the_signer() {
    let (mut index, builder) = index();
    let bytes = index.sign(&builder).unwrap().0;
    assert!(!String::from_utf8(bytes).unwrap().contains("handoff"), "absent before the first");
    let keys = [SigningKey::generate().unwrap(), SigningKey::generate().unwrap()];
    for key in &keys {
        let signer = SignerEntry::of(key.verifying_key().unwrap());
        index.hand_off(Timestamp::EPOCH, signer, tool());
        assert_eq!(reopened(&index, key).as_ref(), Ok(&index));
    }
    let names = |key: &SigningKey| SignerEntry::of(key.verifying_key().unwrap());
    assert_eq!(index.built_by, Some(names(&builder)));
    assert_eq!(
        index.handoffs.iter().map(|h| h.signer).collect::<Vec<_>>(),
        keys.each_ref().map(names)
    );
}

#[test]
fn handoffs_that_do_not_lead_to_the_signer_are_refused() {
    let (fresh, builder) = index();
    let other = SignerEntry::of(SigningKey::generate().unwrap().verifying_key().unwrap());
    let changes: [fn(&mut KitIndex, SignerEntry); 4] = [
        |index, other| index.built_by = Some(other),
        |index, other| {
            index.handoffs.push(Handoff { at: Timestamp::EPOCH, signer: other, tool: tool() });
        },
        |index, other| {
            let own = index.signer;
            index.hand_off(Timestamp::EPOCH, other, tool());
            index.signer = own;
        },
        |index, _| {
            let own = index.signer;
            (0..=limits::HANDOFFS).for_each(|_| index.hand_off(Timestamp::EPOCH, own, tool()));
        },
    ];
    for change in changes {
        let mut index = fresh.clone();
        change(&mut index, other);
        assert_eq!(reopened(&index, &builder), Err(KitError::Handoffs));
    }
}

fn with_entries(index: &KitIndex) -> KitIndex {
    let mut index = index.clone();
    for uuid in ["c8d5d5c6-87c9-11ef-a993-b9831565bc4e", "c8d5d5c6-87c9-11ef-a993-b9831565bc4f"] {
        let device = DeviceEntry { uuid: uuid.parse().unwrap(), name: "box".parse().unwrap() };
        index.bundles.push(BundleEntry::new(device, 9, Sha256::of(b"x")));
    }
    for arch in ARCHITECTURES {
        let file = installer_file(arch);
        let entry = InstallerEntry { arch: arch.into(), file, size: 9, sha256: Sha256::of(b"x") };
        index.installers.push(entry);
    }
    for file in TEXTS {
        let text = TextEntry { file: file.into(), size: 9, sha256: Sha256::of(b"x") };
        index.texts.push(text);
    }
    index
}

#[test]
fn an_index_finds_each_device_its_bundle_and_lists_nothing_twice() {
    let (fresh, key) = index();
    assert_eq!(reopened(&fresh, &key).as_ref(), Ok(&fresh));
    let index = with_entries(&fresh);
    assert_eq!(reopened(&index, &key).as_ref(), Ok(&index));
    for entry in &index.bundles {
        assert_eq!(index.bundle_for(&entry.device.uuid), Some(entry));
    }
    let stranger = "c8d5d5c6-87c9-11ef-a993-b9831565bc50".parse().unwrap();
    assert_eq!(index.bundle_for(&stranger), None);

    let refused = |change: fn(&mut KitIndex)| {
        let mut index = index.clone();
        change(&mut index);
        let error = reopened(&index, &key).unwrap_err();
        (error.reason(), error)
    };
    let twice = |error: &KitError| matches!(error, KitError::Twice { .. });
    let name = |error: &KitError| matches!(error, KitError::FileName { .. });
    let (reason, error) = refused(|index| index.bundles.push(index.bundles[0].clone()));
    assert!(twice(&error) && reason == Reason::BadFormat, "{error}");
    let (_, error) = refused(|index| index.installers.push(index.installers[0].clone()));
    assert!(twice(&error), "{error}");
    for file in ["kit.json", "bundles/../x", "/etc/shadow", "bundles/other.tar.gz.age"] {
        let mut changed = index.clone();
        changed.bundles[1].file = file.into();
        assert!(name(&reopened(&changed, &key).unwrap_err()), "{file}");
        let mut changed = index.clone();
        changed.installers[1].file = file.into();
        assert!(name(&reopened(&changed, &key).unwrap_err()), "{file}");
    }
    let (_, error) = refused(|index| {
        index.installers[0].arch = "mips".into();
        index.installers[0].file = installer_file("mips");
    });
    assert!(name(&error), "{error}");
    let (_, error) = refused(|index| index.texts.push(index.texts[0].clone()));
    assert!(twice(&error), "{error}");
    for file in ["kit.json", "SHA256SUMS", "bin/x", "../install.sh", "/etc/shadow"] {
        let mut changed = index.clone();
        changed.texts[1].file = file.into();
        assert!(name(&reopened(&changed, &key).unwrap_err()), "{file}");
    }
    // of before there were texts, and with the longer names of before
    let mut older = index.clone();
    older.texts.clear();
    let bytes = older.sign(&key).unwrap().0;
    assert!(!String::from_utf8(bytes).unwrap().contains("texts"));
    let long = "x".repeat(40);
    older.bundles[0].device.name = long.parse().unwrap();
    let uuid = older.bundles[0].device.uuid.clone();
    older.bundles[0].file = format!("bundles/{long}_{uuid}.tar.gz.age");
    assert_eq!(reopened(&older, &key).as_ref(), Ok(&older));
    // the signature's own refusal
    let (bytes, mut signature) = index.sign(&key).unwrap();
    signature[0] ^= 1;
    assert_eq!(KitIndex::open(&bytes, &signature).unwrap_err().reason(), Reason::BadSignature);
    let (reason, _) = refused(|index| index.format = "sftunnel-kit/2".into());
    assert_eq!(reason, Reason::BadFormat);
}

#[test]
fn an_index_has_one_form() {
    let (index, key) = index();
    let bytes = String::from_utf8(index.sign(&key).unwrap().0).unwrap();
    let opened = |text: &str| {
        KitIndex::open(text.as_bytes(), &key.sign(text.as_bytes()).unwrap()).map(|_| ())
    };
    assert_eq!(opened(&bytes), Ok(()));
    let manager = "cdb123c8-4347-11ef-aca1-f3aa241412a1";
    let list = format!(r#"["{manager}",""]"#);
    let mut value: serde_json::Value = serde_json::from_str(&bytes).unwrap();
    value["manager"] = serde_json::from_str(&list).unwrap();
    let as_list = value.to_string();
    let null = |field: &str| bytes.replacen('{', &format!(r#"{{"{field}":null,"#), 1);
    let twice = bytes.replacen('{', r#"{"batch":2,"#, 1);
    for changed in [as_list, null("built_by"), null("source"), twice] {
        let error = opened(&changed).unwrap_err();
        assert!(matches!(error, KitError::Json(JsonError::Syntax { .. })), "{changed}");
    }
}

#[test]
fn names_in_a_kit_are_fixed() {
    let manager = "cdb123c8-4347-11ef-aca1-f3aa241412a1".parse().unwrap();
    assert_eq!(folder_name(&manager, 17), "sftunnel-kit-cdb123c8-17");
    assert_eq!(installer_file("aarch64"), "bin/sftunnel-install-aarch64");
}

#[test]
fn an_index_lists_as_many_bundles_as_its_limit_and_no_more() {
    let (mut index, key) = index();
    for number in 0..limits::KIT_BUNDLES {
        let uuid = format!("c8d5d5c6-87c9-11ef-a993-{number:012x}").parse().unwrap();
        let device = DeviceEntry { uuid, name: "box".parse().unwrap() };
        index.bundles.push(BundleEntry::new(device, 9, Sha256::of(b"x")));
    }
    assert!(reopened(&index, &key).is_ok());
    let uuid = "c8d5d5c6-87c9-11ef-a993-ffffffffffff".parse().unwrap();
    let device = DeviceEntry { uuid, name: "box".parse().unwrap() };
    index.bundles.push(BundleEntry::new(device, 9, Sha256::of(b"x")));
    let error = reopened(&index, &key).unwrap_err();
    assert_eq!((error.reason(), error), (Reason::TooLarge, KitError::TooMany));
}
