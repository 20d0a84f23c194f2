//! Who may open a kit, and the key that vouches for it.

pub(crate) mod error;
pub(crate) mod passphrase;
pub(crate) mod recipients;
pub(crate) mod reveal;
pub(crate) mod signing_key;
