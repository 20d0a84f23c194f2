//! What Cisco's boxes write: the list of devices not reached, their settings, their status programs.

pub mod channels;
pub mod facts;
pub mod failed_push;
pub mod ims_conf;
