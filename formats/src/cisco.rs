//! Cisco's boxes: their fixed paths and names, the list of devices not reached, settings, and the
//! output of status programs.

pub mod channels;
pub mod facts;
pub mod failed_push;
pub mod ims_conf;
