//! `keygen`: an age identity, or a signing key.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use cli::disk::durable;
use cli::say::failure::Failure;
use cli::say::report::Report;
use formats::seal::NewIdentity;
use formats::signature::{Fingerprint, SigningKey, VerifyingKey};
use formats::text::printable_path;
use rustix::fs::Mode;
use serde::Serialize;

use crate::Context;
use crate::args::{IdentityArgs, SignerArgs};
use crate::keys::error::{KeyExists, SigningKeyError};

/// The JSON of `keygen identity`.
#[derive(Debug, Serialize)]
struct IdentityBody {
    /// `identity`.
    kind: &'static str,
    /// Path of the secret half.
    file: PathBuf,
    /// The public half, for `build --recipient`.
    recipient: String,
}

/// The JSON of `keygen signer`.
#[derive(Debug, Serialize)]
struct NewSignerBody {
    /// `signer`.
    kind: &'static str,
    /// Path of the private half, for `build --sign-key`.
    file: PathBuf,
    /// Path of the public half, for `--signer`.
    public_file: PathBuf,
    /// Standard base64 of the 32 raw bytes.
    public_key: VerifyingKey,
    /// Fingerprint to be told by phone, and for `--signer`.
    fingerprint: Fingerprint,
    /// The same as groups of hex digits, to be read aloud.
    spoken: String,
}

/// Makes an identity; refuses to overwrite one with `exists`.
pub(crate) fn identity(args: &IdentityArgs, context: &Context) -> Result<Report, Failure> {
    let identity = if args.post_quantum {
        NewIdentity::generate_post_quantum()
    } else {
        NewIdentity::generate()
    };
    let recipient = identity.recipient().to_string();
    let text = identity.file(&[format!("created: {}", context.now)]);
    write_new(&args.out, text.as_bytes(), 0o600)?;
    let shown = format!(
        "identity in {} (keep it secret)\nrecipient, for `build --recipient`:\n  {recipient}\n",
        printable_path(&args.out)
    );
    let body = IdentityBody { kind: "identity", file: args.out.clone(), recipient };
    Ok(Report::done(&body, shown).changed(true))
}

/// Makes a signing key; refuses to overwrite one with `exists`.
pub(crate) fn signer(args: &SignerArgs, _context: &Context) -> Result<Report, Failure> {
    let library = SigningKeyError::Library;
    let key = SigningKey::generate().map_err(library)?;
    let public_key = key.verifying_key().map_err(library)?;
    let public_file = beside(&args.out);
    if public_file.symlink_metadata().is_ok() {
        return Err(KeyExists(public_file).into());
    }
    write_new(&args.out, &key.to_pem().map_err(library)?, 0o600)?;
    write_new(&public_file, &public_key.to_pem().map_err(library)?, 0o644)?;
    let fingerprint = public_key.fingerprint();
    let (spoken, [one, two]) = (fingerprint.spoken(), fingerprint.spoken_lines());
    let text = format!(
        "signing key in {} (keep it secret), public half in {}\nfingerprint, to tell by phone:\n  {fingerprint}\n  {one}\n  {two}\n",
        printable_path(&args.out),
        printable_path(&public_file),
    );
    let file = args.out.clone();
    let body = NewSignerBody { kind: "signer", file, public_file, public_key, fingerprint, spoken };
    Ok(Report::done(&body, text).changed(true))
}

/// Names `x.pub.pem` beside `x.pem` or `x`.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or(OsStr::new("signing-key.pem"));
    let mut public = match (path.extension(), path.file_stem()) {
        (Some(extension), Some(stem)) if extension == "pem" => stem.to_owned(),
        _ => OsString::from(name),
    };
    public.push(".pub.pem");
    path.with_file_name(public)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let (directory, name) = durable::parent_of(path)?;
    durable::create(&directory, name, bytes, Mode::from(mode)).map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            KeyExists(path.to_owned()).into()
        } else {
            Failure::io(path.display(), &error)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_half_lies_beside() {
        assert_eq!(beside(Path::new("a/signer.pem")), Path::new("a/signer.pub.pem"));
        assert_eq!(beside(Path::new("signer")), Path::new("signer.pub.pem"));
    }
}
