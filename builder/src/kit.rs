//! Making a kit, and reading one that is named.

pub(crate) mod contents;
pub(crate) mod error;
pub(crate) mod inputs;
pub(crate) mod installers;
pub(crate) mod parallel;
pub(crate) mod replace;
pub(crate) mod source;
pub(crate) mod texts;
pub(crate) mod writer;
