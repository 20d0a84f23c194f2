//! Questions to the operator: passphrases, identities, and trust in a signer.

pub mod hidden_input;
pub mod signer;
pub mod unlock;
