//! One device's credentials for one manager, sealed: age → gzip → tar of six entries.
//!
//! Reading goes through types, each made only by the check before it:
//! sealed bytes → [`SignedBundle`] (opened, and the signature fits the key that the bundle
//! itself names) → [`VouchedBundle`](crate::trust::VouchedBundle) (somebody vouches for that
//! key). Only the last gives the credentials away.

pub mod archive;
pub(crate) mod gzip;
pub mod manifest;

use std::io;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::checksum::{Sha256, Sums, SumsError};
use crate::credentials::{
    CheckedCredentials, Credentials, CredentialsError, SubjectError, ValidityError,
};
use crate::device::{CredentialFile, PeerPath};
use crate::error::{Reason, Reasoned};
use crate::json;
use crate::limits;
use crate::seal::{self, Encoding, Identities, OpenError, Recipient, SealError};
use crate::signature::{Fingerprint, SignatureError, SignerEntry, SigningKey, VerifyingKey};
use crate::timestamp::Timestamp;
use archive::ArchiveError;
use gzip::{gunzip, gzip};
use manifest::{CredentialFacts, Device, FileEntry, Manager, Manifest, ManifestError, Tool};

/// Content of a bundle to be made; the key that signs it is passed separately.
#[derive(Debug)]
pub struct Content<'a> {
    /// The three credential files.
    pub credentials: &'a CheckedCredentials,
    /// Source path of each file, in the order of [`CredentialFile::ALL`].
    pub sources: [&'a str; 3],
    /// Manager at the other end of the tunnel.
    pub manager: Manager,
    /// Device that the files belong on.
    pub device: Device,
    /// Unix time of the run of `generate_certs.pl`.
    pub batch: u64,
    /// Current time, by the manager's clock.
    pub created_at: Timestamp,
    /// Name and version of the program that makes the bundle.
    pub tool: Tool,
}

/// Reasons why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SealBundleError {
    /// A name or path is so long that the manifest passes its limit.
    #[error("the manifest {0}")]
    Manifest(#[from] limits::LimitError),
    /// The manifest could not be signed.
    #[error("signing failed: {0}")]
    Signature(#[from] SignatureError),
    /// The archive could not be written.
    #[error("packing failed: {0}")]
    Pack(#[from] io::Error),
    /// The archive could not be encrypted.
    #[error("encrypting failed: {0}")]
    Seal(#[from] SealError),
}

impl Reasoned for SealBundleError {
    fn reason(&self) -> Reason {
        match self {
            Self::Manifest(error) => error.reason(),
            Self::Signature(error) => error.reason(),
            Self::Pack(_) => Reason::BadFormat,
            Self::Seal(error) => error.reason(),
        }
    }
}

/// The signed inside of a bundle: the gzip of its tar. A handoff passes it on unchanged.
pub struct Inner(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inner(..)")
    }
}

impl Inner {
    /// Packs and signs the content. The same content and key give the same bytes.
    ///
    /// # Errors
    /// See [`SealBundleError`].
    pub fn pack(content: &Content<'_>, key: &SigningKey) -> Result<Self, SealBundleError> {
        let manifest = manifest_of(content, SignerEntry::of(key.verifying_key()?));
        let files = content.credentials.files();
        let manifest_bytes = manifest.to_bytes()?;
        let signature = key.sign(&manifest_bytes)?;
        let sums = inner_sums(&content.credentials.digests()).to_string();
        let [ca, certificate, private_key] = CredentialFile::ALL.map(|file| files.file(file));
        let contents =
            [&manifest_bytes[..], &signature, sums.as_bytes(), ca, certificate, private_key];
        Ok(Self(gzip(|member| archive::write(contents, content.created_at, member))?))
    }

    /// Encrypts the archive to `recipients`.
    ///
    /// # Errors
    /// See [`SealError`].
    pub fn seal(&self, recipients: &[Recipient], encoding: Encoding) -> Result<Vec<u8>, SealError> {
        seal::seal(&self.0, recipients, encoding)
    }
}

fn manifest_of(content: &Content<'_>, signer: SignerEntry) -> Manifest {
    let files = content.credentials.files();
    let digests = content.credentials.digests();
    let entries = CredentialFile::ALL.into_iter().zip(content.sources).zip(digests);
    Manifest {
        format: manifest::FORMAT.to_owned(),
        bundle_id: manifest::bundle_id(&content.device.uuid, &content.manager.uuid, &digests),
        created_at: content.created_at,
        batch: content.batch,
        manager: content.manager.clone(),
        device: content.device.clone(),
        credentials: CredentialFacts::of(content.credentials),
        files: entries
            .map(|((file, source), sha256)| FileEntry {
                name: file.name().to_owned(),
                size: files.file(file).len() as u64,
                sha256,
                source: source.to_owned(),
                destination: PeerPath { manager: content.manager.uuid.clone(), file }.to_string(),
            })
            .collect(),
        signer,
        tool: content.tool.clone(),
    }
}

fn inner_sums(digests: &[Sha256; 3]) -> Sums {
    let mut sums = Sums::default();
    for (file, digest) in CredentialFile::ALL.into_iter().zip(digests) {
        sums.push(*digest, file.name());
    }
    sums
}

/// Reasons to refuse a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The age layer does not open.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The gzip layer is damaged, or something follows it.
    #[error("its gzip layer is damaged, or something follows it")]
    Gzip,
    /// The tar would be larger than [`limits::TAR`].
    #[error("it unpacks to more than {} bytes", limits::TAR)]
    Bomb,
    /// The tar layer is not as this format has it.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// The manifest names no signer in the form of this format.
    #[error("its manifest names no signer")]
    NoSigner,
    /// The signature does not fit.
    #[error("{0}")]
    Signature(#[from] SignatureError),
    /// The manifest is not valid.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// The inner SHA256SUMS cannot be read.
    #[error("{0}")]
    Sums(#[from] SumsError),
    /// A file is not the one that the signed manifest lists.
    #[error("{0} is not the file that manifest.json lists")]
    OtherFile(CredentialFile),
    /// The inner SHA256SUMS lists something else than the three files.
    #[error("its SHA256SUMS does not list the three files that are in it")]
    OtherSums,
    /// The three files are not a usable set.
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
    /// The certificates are others than the signed manifest describes.
    #[error("its certificates are not the ones that manifest.json describes")]
    OtherCertificates,
}

impl Reasoned for BundleError {
    fn reason(&self) -> Reason {
        match self {
            Self::Open(error) => error.reason(),
            Self::Gzip | Self::OtherFile(_) | Self::OtherSums | Self::OtherCertificates => {
                Reason::Damaged
            }
            Self::Bomb => Reason::TooLarge,
            Self::Archive(error) => error.reason(),
            Self::NoSigner => Reason::BadFormat,
            Self::Signature(_) => Reason::BadSignature,
            Self::Manifest(error) => error.reason(),
            Self::Sums(error) => error.reason(),
            Self::Credentials(error) => error.reason(),
        }
    }

    fn needs_later_release(&self) -> bool {
        matches!(self, Self::Manifest(error) if error.needs_later_release())
    }
}

/// An opened bundle whose signature fits the key that it names. Nothing is said yet about trust in
/// that key.
#[derive(Debug)]
pub struct SignedBundle {
    inner: Inner,
    manifest: Manifest,
    signer: VerifyingKey,
    credentials: CheckedCredentials,
}

/// The part of a manifest that names the key of its signature.
#[derive(Deserialize)]
struct SignerOnly {
    signer: SignerEntry,
}

impl SignedBundle {
    /// Opens the bytes of a bundle file and checks everything that needs no knowledge of
    /// this box, of the time, or of whom to trust.
    ///
    /// # Errors
    /// Returns the first fault found. The signature is checked before anything else in the manifest
    /// is believed.
    pub fn open(sealed: &[u8], identities: &Identities) -> Result<Self, BundleError> {
        let compressed = identities.open(sealed, limits::TAR)?;
        let tar = gunzip(&compressed)?;
        let [manifest_bytes, signature, sums, ca, certificate, key] = archive::read(&tar)?;

        // a later format may name its signer, or be signed, in another way
        json::require_format(manifest_bytes, manifest::FORMAT).map_err(ManifestError::from)?;
        let claimed: SignerOnly =
            json::object(manifest_bytes).map_err(|_| BundleError::NoSigner)?;
        let signer = claimed.signer.check()?;
        signer.verify(manifest_bytes, signature)?;

        let manifest = Manifest::parse(manifest_bytes)?;
        let copy = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        let credentials = Credentials::new(copy(ca), copy(certificate), copy(key));
        check_files(&manifest, sums, &credentials)?;
        let credentials = credentials.check()?;
        if CredentialFacts::of(&credentials) != manifest.credentials {
            return Err(BundleError::OtherCertificates);
        }
        Ok(Self { inner: Inner(compressed), manifest, signer, credentials })
    }

    /// The signed manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The key that signed it.
    pub fn signer(&self) -> VerifyingKey {
        self.signer
    }

    /// Fingerprint of the key that signed it.
    pub fn fingerprint(&self) -> Fingerprint {
        self.signer.fingerprint()
    }

    /// Checks that the certificate may be that of the device that the bundle is for.
    ///
    /// # Errors
    /// See [`CheckedCredentials::check_certificate_subject`]. Final.
    pub fn check_certificate_subject(&self) -> Result<(), SubjectError> {
        self.credentials.check_certificate_subject(&self.manifest.device.uuid)
    }

    /// Checks that both certificates are valid at `now`.
    ///
    /// # Errors
    /// See [`CheckedCredentials::check_validity`].
    pub fn check_validity(&self, now: Timestamp) -> Result<(), ValidityError> {
        self.credentials.check_validity(now)
    }

    /// The signed inside, which can be encrypted to other recipients.
    pub fn inner(&self) -> &Inner {
        &self.inner
    }

    /// The three files; outside of this crate only once somebody vouches for the bundle.
    pub(crate) fn credentials(&self) -> &CheckedCredentials {
        &self.credentials
    }
}

fn check_files(
    manifest: &Manifest,
    sums: &[u8],
    credentials: &Credentials,
) -> Result<(), BundleError> {
    let digests = credentials.digests();
    let listed = manifest.digests()?;
    for ((file, entry), (found, expected)) in
        CredentialFile::ALL.into_iter().zip(&manifest.files).zip(digests.iter().zip(listed))
    {
        if *found != expected || entry.size != credentials.file(file).len() as u64 {
            return Err(BundleError::OtherFile(file));
        }
    }
    if Sums::parse(sums)? != inner_sums(&digests) {
        return Err(BundleError::OtherSums);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
