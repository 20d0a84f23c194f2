//! The manager's own files: which devices, from which list, with which sources.

pub(crate) mod belief;
pub(crate) mod by_name;
pub(crate) mod collect;
pub(crate) mod discover;
pub(crate) mod error;
pub(crate) mod peers;
pub(crate) mod plan;
pub(crate) mod status_source;
pub(crate) mod tunnel_status;
pub(crate) mod wrong_box;
