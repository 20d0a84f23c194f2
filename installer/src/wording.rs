//! The words for every error of this program: what happened, and what to do next. The rooms keep
//! the facts.

pub(crate) mod appliance;
pub(crate) mod candidate;
pub(crate) mod change;
mod rehearsal;
