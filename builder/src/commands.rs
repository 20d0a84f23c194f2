//! One file for each command.

pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod deliver;
pub(crate) mod handoff;
mod html;
pub(crate) mod inspect;
pub(crate) mod keygen;
pub(crate) mod paste;
pub(crate) mod plan;
pub(crate) mod receipts;
pub(crate) mod support;
pub(crate) mod verify;
