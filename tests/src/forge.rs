//! Bundles that the builder would not make: an honest one, taken apart, changed and sealed anew
//! with knowledge of the format.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use formats::bundle::archive;
use formats::bundle::manifest::bundle_id;
use formats::checksum::Sha256;
use formats::device::CredentialFile;
use formats::limits;
use formats::seal::{self, Encoding, IdentityFile};
use formats::signature::{SignerEntry, SigningKey};
use formats::timestamp::Timestamp;
use serde_json::{Value, json};

/// The six entries of a bundle's tar, open to any change.
#[derive(Debug, Clone)]
pub struct Forge {
    /// Entries in the order of [`archive::ENTRIES`].
    pub entries: [Vec<u8>; 6],
    recipient: String,
}

impl Forge {
    /// Opens an honest bundle.
    pub fn open(sealed: &[u8], identity: &str, recipient: &str) -> Self {
        let Ok(IdentityFile::Plain(identities)) = IdentityFile::parse(identity.as_bytes()) else {
            panic!("an identity file without a passphrase is needed");
        };
        let compressed = identities.open(sealed, limits::TAR).unwrap();
        let mut tar = Vec::new();
        GzDecoder::new(&compressed[..]).read_to_end(&mut tar).unwrap();
        let entries = archive::read(&tar).unwrap().map(<[u8]>::to_vec);
        Self { entries, recipient: recipient.to_owned() }
    }

    /// Parses the manifest.
    pub fn manifest(&self) -> Value {
        serde_json::from_slice(&self.entries[0]).unwrap()
    }

    /// Changes the manifest. The signature no longer fits; see [`Forge::sign`].
    #[must_use]
    pub fn edit(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut manifest = self.manifest();
        change(&mut manifest);
        self.entries[0] = serde_json::to_vec_pretty(&manifest).unwrap();
        self
    }

    /// Replaces a file, and its digest and size everywhere.
    #[must_use]
    pub fn put(mut self, file: CredentialFile, content: &[u8]) -> Self {
        let at = CredentialFile::ALL.iter().position(|other| *other == file).unwrap();
        self.entries[3 + at] = content.to_vec();
        let digests = [3, 4, 5].map(|entry| Sha256::of(&self.entries[entry]));
        let lines = digests.iter().zip(CredentialFile::ALL);
        self.entries[2] =
            lines.map(|(digest, file)| format!("{digest}  {file}\n")).collect::<String>().into();
        self.edit(|manifest| {
            manifest["files"][at]["sha256"] = json!(Sha256::of(content));
            manifest["files"][at]["size"] = json!(content.len());
        })
        .identified()
    }

    /// Sets the `bundle_id` that follows from the manifest.
    #[must_use]
    pub fn identified(self) -> Self {
        self.edit(|manifest| {
            let uuid = |of: &str| manifest[of]["uuid"].as_str().unwrap().to_owned();
            let (device, manager) = (uuid("device"), uuid("manager"));
            let digests = [0, 1, 2].map(|at: usize| {
                serde_json::from_value::<Sha256>(manifest["files"][at]["sha256"].clone()).unwrap()
            });
            let id = bundle_id(&device.parse().unwrap(), &manager.parse().unwrap(), &digests);
            manifest["bundle_id"] = json!(id);
        })
    }

    /// Replaces the manager everywhere.
    #[must_use]
    pub fn for_manager(self, uuid: &str) -> Self {
        self.edit(|manifest| {
            manifest["manager"]["uuid"] = json!(uuid);
            for file in manifest["files"].as_array_mut().unwrap() {
                let name = file["name"].as_str().unwrap().to_owned();
                file["destination"] = json!(format!("/var/sf/peers/{uuid}/{name}"));
            }
        })
        .identified()
    }

    /// Names this key as the signer and signs with it.
    #[must_use]
    pub fn sign(self, key: &SigningKey) -> Self {
        let entry = json!(SignerEntry::of(key.verifying_key().unwrap()));
        let mut forge = self.edit(|manifest| manifest["signer"] = entry);
        forge.entries[1] = key.sign(&forge.entries[0]).unwrap().to_vec();
        forge
    }

    /// Packs the entries into a tar.
    pub fn tar(&self) -> Vec<u8> {
        let contents = self.entries.each_ref().map(Vec::as_slice);
        let mut tar = Vec::new();
        archive::write(contents, Timestamp::EPOCH, &mut tar).unwrap();
        tar
    }

    /// Seals the entries like a bundle.
    pub fn seal(&self) -> Vec<u8> {
        self.seal_tar(&self.tar())
    }

    /// Seals any tar for the same reader.
    pub fn seal_tar(&self, tar: &[u8]) -> Vec<u8> {
        self.seal_bytes(&gzip(tar))
    }

    /// Seals any bytes for the same reader.
    pub fn seal_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        seal::seal(bytes, &[self.recipient.parse().unwrap()], Encoding::Binary).unwrap()
    }
}

/// Compresses bytes into one gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
