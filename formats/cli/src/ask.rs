//! Questions to the operator: yes or no, passphrases, identities, and trust in a signer.

pub mod hidden_input;
pub mod paste;
pub mod question;
pub mod signer;
pub mod unlock;
