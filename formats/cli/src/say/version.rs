//! What this build is. `build.rs` beside this crate's manifest finds it out.

/// For people and logs: release, commit and its day, as `0.1.0 (abcdef123456 2026-11-21)`, less what is unknown.
pub const VERSION: &str = env!("SFTUNNEL_VERSION");

/// The commit's short hash; empty when unknown.
pub const COMMIT: &str = env!("SFTUNNEL_COMMIT");

/// When the commit was made, in seconds since 1970; where it is unknown, the day the version was prepared. No true clock is earlier than this.
pub const BUILD_UNIX_TIME: u64 = match u64::from_str_radix(env!("SFTUNNEL_BUILD_UNIX_TIME"), 10) {
    Ok(time) => time,
    Err(_) => 0,
};
