//! Output for the operator and for monitoring: exit codes, failures, reports, tables, colour.

pub mod exit;
pub mod failure;
pub mod monitoring;
pub mod page;
pub mod prometheus;
pub mod report;
pub mod steps;
pub mod terminal;
pub mod usage;
pub mod version;
