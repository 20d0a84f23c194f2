//! Files replaced as one transaction, undone, and finished after an interruption.

pub(crate) mod backup;
pub(crate) mod held_space;
pub(crate) mod journal;
pub(crate) mod obstacles;
pub(crate) mod receipts;
pub(crate) mod records;
pub(crate) mod recover;
pub(crate) mod stage;
pub(crate) mod transaction;
pub(crate) mod undo;
