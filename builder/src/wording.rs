//! The sentences of the rooms' errors: message, next step, exit code and reason word.

mod fmc;
mod keys;
mod kit;

/// Tells what a flag made pass.
pub(crate) fn accepted(flag: &str, what: impl std::fmt::Display) -> String {
    format!("accepted with {flag}: {what}")
}
