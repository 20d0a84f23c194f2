//! Version, commit and time of this build, as `build.rs` of this crate finds them out.

use formats::timestamp::Timestamp;

/// Release, commit and its day for people and logs, such as `0.1.0 (abcdef123456 2026-11-21)`,
/// without the parts that are unknown.
pub const VERSION: &str = env!("SFTUNNEL_VERSION");

/// [`built`] in seconds since 1970; 0 when it is not known.
pub const BUILD_UNIX_TIME: i64 = match i64::from_str_radix(env!("SFTUNNEL_BUILD_UNIX_TIME"), 10) {
    Ok(time) => time,
    Err(_) => 0,
};

/// Time of the commit, or the day the version was prepared if that is unknown. A correct clock
/// cannot be earlier.
pub fn built() -> Timestamp {
    Timestamp::from_unix(BUILD_UNIX_TIME).unwrap_or(Timestamp::EPOCH)
}
