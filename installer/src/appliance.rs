//! The box: its files, its state directory, sftunnel and the tunnels.

pub(crate) mod attributes;
pub(crate) mod error;
pub(crate) mod host;
pub(crate) mod peers;
pub(crate) mod run_log;
pub(crate) mod service;
pub(crate) mod sf_dir;
pub(crate) mod signals;
pub(crate) mod state;
pub(crate) mod tunnel;
pub(crate) mod under_way;
