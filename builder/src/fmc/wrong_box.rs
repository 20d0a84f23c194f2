//! A box that is no manager: said in one sentence, with the program that is right there. Nothing is
//! refused for it, as the signs may deceive; where something is missing, this is the likely cause.

use cli::disk::box_kind::BoxKind;
use cli::disk::root::Root;

use crate::fmc::error::{Error, WrongBox};

impl WrongBox {
    /// Looks at the box; `None` on a manager, or where the kind cannot be told.
    pub(crate) fn look(root: &Root) -> Option<Self> {
        match BoxKind::of(root) {
            BoxKind::Manager | BoxKind::Unknown => None,
            BoxKind::Device => Some(Self::Device),
            BoxKind::Neither => Some(Self::Neither),
        }
    }

    /// Names the box as the cause of something that was not found.
    pub(crate) fn explain(root: &Root, error: Error) -> Error {
        match Self::look(root).filter(|_| error.is_absence()) {
            Some(here) => Error::WrongBox { here, error: Box::new(error) },
            None => error,
        }
    }
}
