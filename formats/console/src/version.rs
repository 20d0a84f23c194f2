//! What this build is.

/// The version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// When its commit was made, in seconds since 1970; 0 when unknown.
pub const BUILD_UNIX_TIME: u64 = 0;
