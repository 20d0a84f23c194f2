//! MLKEM768-X25519, also called X-Wing: a key encapsulation that holds as long as either half
//! holds, and HPKE's base mode (RFC 9180) over it, with HKDF-SHA256 and ChaCha20-Poly1305.
//!
//! As draft-ietf-hpke-pq-03 and filippo.io/hpke-pq have it. The primitives are those that the
//! age crate stands on; what is here is how they are put together.

use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce};
use hkdf::Hkdf;
use ml_kem::array::Array;
use ml_kem::kem::{Decapsulate, DecapsulationKey, EncapsulationKey};
use ml_kem::{B32, EncapsulateDeterministic, EncodedSizeUser, KemCore, MlKem768, MlKem768Params};
use sha2::Sha256;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use sha3::{Digest, Sha3_256, Shake256};
use x25519_dalek::{PublicKey as CurvePoint, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

/// A private key as it is kept: both halves are derived from it.
pub(super) type Seed = Zeroizing<[u8; 32]>;
/// Randomness for one encapsulation: 32 bytes for each half.
pub(super) type Randomness = Zeroizing<[u8; 64]>;
type Shared = Zeroizing<[u8; 32]>;

/// An encapsulated key: ML-KEM's ciphertext, then an ephemeral X25519 share.
pub(super) const ENCAPSULATED: usize = 1088 + CURVE;
const ENCAPSULATION_KEY: usize = 1184;
const CURVE: usize = 32;

/// Between the two secrets and what is made of them, so that nothing else makes the same.
const LABEL: &[u8] = br"\.//^\";
/// HPKE's names for this KEM, HKDF-SHA256 and ChaCha20-Poly1305.
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";

/// Public key of the hybrid KEM.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PublicKey {
    lattice: EncapsulationKey<MlKem768Params>,
    curve: CurvePoint,
}

/// Private key of the hybrid KEM.
pub(super) struct PrivateKey {
    lattice: DecapsulationKey<MlKem768Params>,
    curve: StaticSecret,
    public: CurvePoint,
}

/// Secret bytes as ml-kem has them, which do not wipe themselves.
struct Wiped(B32);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl PublicKey {
    /// `None` for what is no key: another length, a number that ML-KEM does not have, a point
    /// of X25519 that would make its half known to everybody.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (lattice, curve) = bytes.split_at_checked(ENCAPSULATION_KEY)?;
        let curve = CurvePoint::from(<[u8; CURVE]>::try_from(curve).ok()?);
        let encoded = Array::try_from(lattice).ok()?;
        let key = EncapsulationKey::<MlKem768Params>::from_bytes(&encoded);
        // FIPS 203, 7.2: numbers beyond the modulus are read reduced, so they are seen here
        let is_reduced = key.as_bytes() == encoded;
        // any secret will do: each is a multiple of the order of the few points in question
        let is_point = StaticSecret::from([1; CURVE]).diffie_hellman(&curve).was_contributory();
        (is_reduced && is_point).then_some(Self { lattice: key, curve })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [self.lattice.as_bytes().as_slice(), self.curve.as_bytes()].concat()
    }

    /// A fresh shared secret, and what gives it to the holder of the private key.
    pub(super) fn encapsulate(&self, random: &Randomness) -> Option<(Shared, Vec<u8>)> {
        let (for_lattice, for_curve) = random.split_first_chunk::<32>()?;
        let ephemeral = StaticSecret::from(<[u8; CURVE]>::try_from(for_curve).ok()?);
        let m = Wiped((*for_lattice).into());
        let (ciphertext, lattice) = self.lattice.encapsulate_deterministic(&m.0).ok()?;
        let lattice = Wiped(lattice);
        let share = CurvePoint::from(&ephemeral);
        let curve = ephemeral.diffie_hellman(&self.curve);
        let shared = combined(&lattice.0, curve.as_bytes(), &share, &self.curve);
        let enc = [ciphertext.as_slice(), share.as_bytes()].concat();
        curve.was_contributory().then_some((shared, enc))
    }
}

impl PrivateKey {
    pub(super) fn from_seed(seed: &Seed) -> Self {
        let mut stream = Shake256::default().chain(**seed).finalize_xof();
        let mut next = || {
            let mut bytes = Zeroizing::new([0; 32]);
            stream.read(&mut *bytes);
            bytes
        };
        let (d, z, curve) = (next(), next(), next());
        let [d, z] = [d, z].map(|half| Wiped((*half).into()));
        let (lattice, _) = MlKem768::generate_deterministic(&d.0, &z.0);
        let curve = StaticSecret::from(*curve);
        let public = CurvePoint::from(&curve);
        Self { lattice, curve, public }
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey { lattice: self.lattice.encapsulation_key().clone(), curve: self.public }
    }

    /// `None` for what cannot be an encapsulated key. One for somebody else gives another
    /// secret, which opens nothing.
    pub(super) fn decapsulate(&self, enc: &[u8; ENCAPSULATED]) -> Option<Shared> {
        let (ciphertext, share) = enc.split_last_chunk::<CURVE>()?;
        let ciphertext = Array::try_from(ciphertext).ok()?;
        let share = CurvePoint::from(*share);
        let lattice = Wiped(self.lattice.decapsulate(&ciphertext).ok()?);
        let curve = self.curve.diffie_hellman(&share);
        let shared = combined(&lattice.0, curve.as_bytes(), &share, &self.public);
        curve.was_contributory().then_some(shared)
    }
}

fn combined(lattice: &[u8], curve: &[u8], share: &CurvePoint, public: &CurvePoint) -> Shared {
    let hash = Digest::chain_update(Sha3_256::new(), lattice);
    let hash = [curve, share.as_bytes(), public.as_bytes(), LABEL]
        .into_iter()
        .fold(hash, Digest::chain_update);
    Zeroizing::new(hash.finalize().into())
}

/// The key and nonce of HPKE's base mode, for one message.
pub(super) struct Sealer {
    key: Zeroizing<[u8; 32]>,
    nonce: [u8; 12],
}

impl Sealer {
    /// RFC 9180, 5.1, with mode 0 and no key shared beforehand.
    pub(super) fn new(shared: &Shared, info: &[u8]) -> Option<Self> {
        let (psk, _) = extract(&[], b"psk_id_hash", b"");
        let (info, _) = extract(&[], b"info_hash", info);
        let context = [&[0][..], &psk, &info].concat();
        let (_, secret) = extract(&**shared, b"secret", b"");
        let mut sealer = Self { key: Zeroizing::new([0; 32]), nonce: [0; 12] };
        expand(&secret, b"key", &context, &mut *sealer.key)?;
        expand(&secret, b"base_nonce", &context, &mut sealer.nonce)?;
        Some(sealer)
    }

    pub(super) fn seal(&self, plaintext: &[u8]) -> Option<Vec<u8>> {
        let cipher = ChaCha20Poly1305::new((&*self.key).into());
        cipher.encrypt(Nonce::from_slice(&self.nonce), plaintext).ok()
    }

    pub(super) fn open(&self, ciphertext: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let cipher = ChaCha20Poly1305::new((&*self.key).into());
        cipher.decrypt(Nonce::from_slice(&self.nonce), ciphertext).ok().map(Zeroizing::new)
    }
}

/// `LabeledExtract` of RFC 9180, section 4.
fn extract(salt: &[u8], label: &[u8], ikm: &[u8]) -> ([u8; 32], Hkdf<Sha256>) {
    let labeled = Zeroizing::new([b"HPKE-v1", SUITE, label, ikm].concat());
    let (bytes, hkdf) = Hkdf::<Sha256>::extract(Some(salt), &labeled);
    (bytes.into(), hkdf)
}

/// `LabeledExpand` of RFC 9180, section 4.
fn expand(secret: &Hkdf<Sha256>, label: &[u8], context: &[u8], out: &mut [u8]) -> Option<()> {
    let length = u16::try_from(out.len()).ok()?.to_be_bytes();
    let info = [&length[..], b"HPKE-v1", SUITE, label, context];
    secret.expand_multi_info(&info, out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(text.get(at..at + 2).unwrap(), 16).unwrap())
            .collect()
    }

    /// The vector of draft-ietf-hpke-pq for this KEM, HKDF-SHA256 and ChaCha20-Poly1305.
    fn vector() -> serde_json::Value {
        let file = include_str!("../../../../fixtures/hpke-pq/mlkem768-x25519.json");
        serde_json::from_str(file).unwrap()
    }

    fn field(name: &str) -> Vec<u8> {
        hex(vector()[name].as_str().unwrap())
    }

    fn seed() -> Seed {
        Zeroizing::new(field("skRm").try_into().unwrap())
    }

    #[test]
    fn the_published_vector_comes_out_both_ways() {
        let private = PrivateKey::from_seed(&seed());
        let public = PublicKey::from_bytes(&field("pkRm")).unwrap();
        assert!(private.public() == public && public.to_bytes() == field("pkRm"));

        let random = Zeroizing::new(field("ikmE").try_into().unwrap());
        let (sent, enc) = public.encapsulate(&random).unwrap();
        assert_eq!(enc, field("enc"));
        let received = private.decapsulate(&enc.try_into().unwrap()).unwrap();
        assert_eq!((&sent[..], &received[..]), (&field("shared_secret")[..], &sent[..]));

        let sealer = Sealer::new(&sent, &field("info")).unwrap();
        assert_eq!(
            (&sealer.key[..], &sealer.nonce[..]),
            (&field("key")[..], &field("base_nonce")[..])
        );
    }

    #[test]
    fn a_key_of_another_length_or_beyond_the_modulus_or_of_low_order_is_none() {
        let good = field("pkRm");
        assert!(PublicKey::from_bytes(&good[1..]).is_none());
        assert!(PublicKey::from_bytes(&[&good[..], &[0]].concat()).is_none());
        // the first number of ML-KEM is 12 bits; 0xfff is beyond 3328
        let mut large = good.clone();
        (large[0], large[1]) = (0xff, large[1] | 0x0f);
        assert!(PublicKey::from_bytes(&large).is_none());
        for low in [0, 1] {
            let mut order = good.clone();
            order[ENCAPSULATION_KEY..].fill(0);
            order[ENCAPSULATION_KEY] = low;
            assert!(PublicKey::from_bytes(&order).is_none());
        }
    }

    #[test]
    fn each_half_counts() {
        let private = PrivateKey::from_seed(&seed());
        let (sent, enc) = private.public().encapsulate(&Zeroizing::new([7; 64])).unwrap();
        for at in [0, 1087, 1088, ENCAPSULATED - 2] {
            let mut enc: [u8; ENCAPSULATED] = enc.clone().try_into().unwrap();
            enc[at] ^= 1;
            assert!(private.decapsulate(&enc).is_none_or(|other| other != sent), "at {at}");
        }
    }
}
