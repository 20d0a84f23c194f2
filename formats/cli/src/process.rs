//! This process and those it starts: limits, memory, signals, time limits.

pub mod command;
pub mod hardening;
pub mod memory;
pub mod signals;
