//! Sentences about a text that cannot be made.

use cli::say::failure::Failure;
use formats::error::Reason;
use formats::paste::PasteError;

use crate::paste::Error;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Seal(PasteError::Weak) => Failure::usage(
                "the passphrase of a text has to be a generated one: six words of five letters",
            )
            .hint("leave it out, and one is made; or take the one of another text or kit"),
            Error::TooLong(_) => Failure::refused(Reason::TooLarge, &error)
                .hint("take what stands before each PEM block out of the files"),
            Error::Seal(_) | Error::Random(_) => Failure::unexpected(&error),
        }
    }
}
