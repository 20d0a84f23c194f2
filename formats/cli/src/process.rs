//! This process and those that it starts: limits, memory, random bytes, signals, time limits.

pub mod command;
pub mod hardening;
pub mod memory;
pub mod random;
pub mod signals;
