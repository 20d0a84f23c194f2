//! An attacker with an honest kit, its parts and the signing key, who makes other kits of them.

use std::fs;
use std::path::{Path, PathBuf};

use formats::device::CredentialFile;
use formats::kit::KitIndex;
use formats::signature::{SignerEntry, SigningKey};

use serde_json::Value;

use crate::refused::{install_refused, refused};
use crate::{Forge, Kit, Run, World};

/// A device, its kit, and its honest bundle taken apart.
pub struct Forger {
    /// The lab with the device.
    pub world: World,
    /// The kit as its builder made it.
    pub kit: Kit,
    /// Its bundle for the first device.
    pub honest: Forge,
    /// The key that both are signed with.
    pub key: SigningKey,
}

impl Forger {
    /// Makes a forger with one device.
    #[expect(clippy::new_without_default, reason = "a lab is not built by the way")]
    pub fn new() -> Self {
        let world = World::new(1);
        let kit = world.kit(&[]);
        let sealed = fs::read(kit.bundle(world.ftd(1))).unwrap();
        let honest = Forge::open(&sealed, &world.identity(), &world.recipient());
        let key = world.signing_key();
        Self { world, kit, honest, key }
    }

    /// The parts of the honest bundle, to be changed.
    pub fn forge(&self) -> Forge {
        self.honest.clone()
    }

    /// Fails unless both programs refuse these bytes as a bundle.
    #[track_caller]
    pub fn is_refused(&self, sealed: &[u8], reason: &str) {
        let file = self.world.write("forged.tar.gz.age", sealed);
        install_refused(&self.world, self.world.ftd(1), &file, reason);
        let args = ["verify", "--identity", "identity.txt", "forged.tar.gz.age"];
        refused(self.world.bundle(&args), reason);
        fs::remove_file(file).unwrap();
    }

    /// Fails unless the device refuses these bytes; the builder does not know the box.
    #[track_caller]
    pub fn is_refused_here(&self, sealed: &[u8], reason: &str) {
        let file = self.world.write("forged.tar.gz.age", sealed);
        install_refused(&self.world, self.world.ftd(1), &file, reason);
    }

    /// A copy of the kit, to be changed.
    pub fn copy(&self) -> PathBuf {
        let copy = self.world.out().join("kit");
        Run::new("cp").arg("-r").arg(&self.kit.path).arg(&copy).run().expect(0);
        copy
    }

    /// Fails unless both programs refuse a kit.
    #[track_caller]
    pub fn kit_is_refused(&self, kit: &Path, reason: &str) {
        install_refused(&self.world, self.world.ftd(1), kit, reason);
        refused(self.world.bundle(&["verify", "--identity", "identity.txt"]).arg(kit), reason);
    }
}

/// Changes the index of a kit and signs it with `key`, with checksums that fit.
pub fn reindexed(kit: &Path, key: &SigningKey, change: impl FnOnce(&mut KitIndex)) {
    let mut index: KitIndex =
        serde_json::from_slice(&fs::read(kit.join("kit.json")).unwrap()).unwrap();
    change(&mut index);
    index.signer = SignerEntry::of(key.verifying_key().unwrap());
    let (bytes, signature) = index.sign(key).unwrap();
    fs::write(kit.join("kit.json"), bytes).unwrap();
    fs::write(kit.join("kit.json.sig"), signature).unwrap();
    let sums = "find . -type f ! -name SHA256SUMS | sed 's,^./,,' | sort | xargs -d '\\n' sha256sum > ../sums; mv ../sums SHA256SUMS";
    Run::new("sh").args(["-ec", sums]).cwd(kit).run().expect(0);
}

/// Changes a header of a tar, with a checksum that fits.
pub fn with_header(tar: &[u8], entry: usize, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut tar = tar.to_vec();
    let mut at = 0;
    for _ in 0..entry {
        let size = std::str::from_utf8(&tar[at + 124..at + 135]).unwrap();
        at += 512 + usize::from_str_radix(size, 8).unwrap().next_multiple_of(512);
    }
    let header = &mut tar[at..at + 512];
    change(header);
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar
}

/// Flags for the time of a forged bundle, which has to be that of the index.
pub const FORGED_AT: [&str; 2] = ["--created-at", "2026-01-02T03:04:05Z"];

/// Makes a bundle for the first device with the certificate and key of the second, signed by the
/// right key.
pub fn with_the_certificate_of_another_device(world: &World) -> Vec<u8> {
    let kit = world.kit(&FORGED_AT);
    let open = |number: usize| {
        let sealed = fs::read(kit.bundle(world.ftd(number))).unwrap();
        Forge::open(&sealed, &world.identity(), &world.recipient())
    };
    let (mine, theirs) = (open(1), open(2));
    let described = theirs.manifest()["credentials"].clone();
    mine.put(CredentialFile::Certificate, &theirs.entries[4])
        .put(CredentialFile::Key, &theirs.entries[5])
        .edit(|m| m["credentials"] = described)
        .sign(&world.signing_key())
        .seal()
}

/// Changes the record of a backup, and makes the checksums fit again.
pub fn forge_backup(backup: &Path, change: impl FnOnce(&mut Value)) {
    let path = backup.join("backup.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut record);
    fs::write(path, record.to_string()).unwrap();
    let sums =
        "find . -type f ! -name SHA256SUMS -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum";
    let sums = Run::new("sh").args(["-c", sums]).cwd(backup).run().expect(0);
    fs::write(backup.join("SHA256SUMS"), sums.stdout).unwrap();
}
