//! The floor: the cryptography that a bundle cannot do without, in a bare loop on all cores,
//! over the same files held in memory. No planning, no packing, no compression, no output.
//! Built with the compiler, flags, libc and allocator of the program that it is compared with.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use formats::checksum::Sha256;
use formats::envelope::{self, Encoding, NewIdentity, Recipient};
use formats::signature::SigningKey;
use openssl::pkey::{PKey, Public};
use openssl::x509::X509;

use crate::Result;
use crate::measure::median;

/// About what a manifest has.
const MANIFEST: usize = 2300;
/// About what three files have after gzip.
const PACKED: usize = 4600;

struct Device {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// Runs it over every device below an FMC's root; gives the median of several runs, as for
/// the kits: on a noisy machine the fastest of some beside the median of others compares luck.
pub(crate) fn measure(root: &Path, count: usize) -> Result<Duration> {
    let mut devices = Vec::new();
    for entry in fs::read_dir(root.join("var/sf/peers"))? {
        let pushed = entry?.path().join("certs_pushed");
        if let (Ok(certificate), Ok(key)) =
            (fs::read(pushed.join("sftunnel-cert.pem")), fs::read(pushed.join("sftunnel-key.pem")))
        {
            devices.push(Device { certificate, key });
        }
    }
    let pem = fs::read(root.join("etc/sf/ca_root/cacert.pem"))?;
    let ca = X509::from_pem(&pem)?.public_key()?;
    let signer = SigningKey::generate()?;
    let recipient = NewIdentity::generate().recipient();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut times = Vec::new();
    for _ in 0..count.max(1) {
        let started = Instant::now();
        std::thread::scope(|scope| {
            let shares: Vec<_> = devices
                .chunks(devices.len().div_ceil(cores).max(1))
                .map(|share| {
                    scope.spawn(|| {
                        share.iter().try_for_each(|device| one(device, &ca, &signer, &recipient))
                    })
                })
                .collect();
            shares.into_iter().try_for_each(|share| share.join().map_err(|_| "a thread ended")?)
        })
        .map_err(|error: String| error)?;
        times.push(started.elapsed());
    }
    Ok(median(times))
}

/// Certificate read and its signature checked, key read, four files hashed, a manifest
/// signed, an age file sealed and hashed.
fn one(
    device: &Device,
    ca: &PKey<Public>,
    signer: &SigningKey,
    recipient: &Recipient,
) -> std::result::Result<(), String> {
    let work = || -> Result<()> {
        let certificate = X509::from_pem(&device.certificate)?;
        let key = PKey::private_key_from_pem(&device.key)?;
        if !certificate.verify(ca)? || !key.public_eq(&*certificate.public_key()?) {
            return Err("the lab's certificate is not the CA's".into());
        }
        let mut digests = [&device.certificate, &device.key].map(|file| Sha256::of(file)).to_vec();
        let manifest = vec![b'm'; MANIFEST];
        signer.sign(&manifest)?;
        let sealed =
            envelope::seal(&vec![b'p'; PACKED], std::slice::from_ref(recipient), Encoding::Binary)?;
        digests.push(Sha256::of(&sealed));
        std::hint::black_box(digests);
        Ok(())
    };
    work().map_err(|error| error.to_string())
}
