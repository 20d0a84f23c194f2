//! What this build is. `build.rs` beside this crate's manifest finds it out.

use formats::timestamp::Timestamp;

/// For people and logs: release, commit and its day, as `0.1.0 (abcdef123456 2026-11-21)`, less what is unknown.
pub const VERSION: &str = env!("SFTUNNEL_VERSION");

/// [`built`] in seconds since 1970; 0 when it is not known.
pub const BUILD_UNIX_TIME: i64 = match i64::from_str_radix(env!("SFTUNNEL_BUILD_UNIX_TIME"), 10) {
    Ok(time) => time,
    Err(_) => 0,
};

/// When the commit was made; where that is unknown, the day the version was prepared. No true
/// clock is earlier.
pub fn built() -> Timestamp {
    Timestamp::from_unix(BUILD_UNIX_TIME).unwrap_or(Timestamp::EPOCH)
}
