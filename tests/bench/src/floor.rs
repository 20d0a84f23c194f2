//! The floor: the same cryptography as in the kit, in a bare loop on all cores, over the same
//! files held in memory. No planning, no manifest, no packing, no compression, no file.
//! Built with the compiler, flags, libc and allocator of the program that it is compared with.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use formats::bundle::manifest::bundle_id;
use formats::checksum::Sha256;
use formats::credentials::{Authority, Credentials};
use formats::device::{DeviceUuid, ManagerUuid};
use formats::seal::{self, Encoding, NewIdentity, Recipient};
use formats::signature::SigningKey;
use zeroize::Zeroizing;

use crate::Result;

/// Typical size of a manifest.
const MANIFEST: usize = 2600;
/// Typical size of three files after gzip.
const PACKED: usize = 4600;

struct Device {
    uuid: DeviceUuid,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// State that all devices share.
struct Fleet {
    manager: ManagerUuid,
    authority: Authority,
    signer: SigningKey,
    recipient: Recipient,
}

/// Runs the loop once over every device below an FMC's root.
pub(crate) fn measure(root: &Path) -> Result<Duration> {
    let mut devices = Vec::new();
    for entry in fs::read_dir(root.join("var/sf/peers"))? {
        let entry = entry?;
        let pushed = entry.path().join("certs_pushed");
        let name = entry.file_name();
        if let (Ok(uuid), Ok(certificate), Ok(key)) = (
            name.to_string_lossy().parse(),
            fs::read(pushed.join("sftunnel-cert.pem")),
            fs::read(pushed.join("sftunnel-key.pem")),
        ) {
            devices.push(Device { uuid, certificate, key });
        }
    }
    let authority = Authority::check(&fs::read(root.join("etc/sf/ca_root/cacert.pem"))?)?;
    let fleet = Fleet {
        manager: "cdb123c8-4347-11ef-aca1-f3aa241412a1".parse()?,
        authority,
        signer: SigningKey::generate()?,
        recipient: NewIdentity::generate().recipient(),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let started = Instant::now();
    std::thread::scope(|scope| {
        let shares: Vec<_> = devices
            .chunks(devices.len().div_ceil(cores).max(1))
            .map(|share| scope.spawn(|| share.iter().try_for_each(|device| fleet.one(device))))
            .collect();
        shares.into_iter().try_for_each(|share| share.join().map_err(|_| "a thread ended")?)
    })
    .map_err(|error: String| error)?;
    Ok(started.elapsed())
}

impl Fleet {
    /// Reads and hashes the three files, proves them to be one set, signs a manifest, and seals and
    /// hashes an age file.
    fn one(&self, device: &Device) -> std::result::Result<(), String> {
        let work = || -> Result<()> {
            let copy = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
            let files = [self.authority.pem(), &device.certificate, &device.key].map(copy);
            let [ca, certificate, key] = files;
            let checked = Credentials::new(ca, certificate, key).check_under(&self.authority)?;
            let id = bundle_id(&device.uuid, &self.manager, &checked.digests());
            self.signer.sign(&vec![b'm'; MANIFEST])?;
            let recipients = std::slice::from_ref(&self.recipient);
            let sealed = seal::seal(&vec![b'p'; PACKED], recipients, Encoding::Binary)?;
            std::hint::black_box((id, Sha256::of(&sealed)));
            Ok(())
        };
        work().map_err(|error| error.to_string())
    }
}
