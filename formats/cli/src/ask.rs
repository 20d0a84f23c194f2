//! Questions at the terminal: passphrases, identities, and who vouches for a signer.

pub mod hidden_input;
pub mod signer;
pub mod unlock;
