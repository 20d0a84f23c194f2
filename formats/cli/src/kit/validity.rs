//! Checks of an opened bundle and of the clock that both programs make before they trust its dates.

use formats::bundle::SignedBundle;
use formats::credentials::ValidityError;
use formats::error::{Reason, Reasoned};
use formats::timestamp::Timestamp;

use crate::say::failure::Failure;
use crate::say::version;

const SET_THE_CLOCK: &str = "set the clock (NTP, or `date -u -s`). If you know that only the clock is wrong, --accept-clock goes on";

/// Checks that the certificate names the bundle's device, or none.
///
/// # Errors
/// Returns `wrong-subject`, which nobody may accept: sftunnel would take the box for another.
pub fn names_its_device(bundle: &SignedBundle) -> Result<(), Failure> {
    bundle.check_certificate_subject().map_err(|error| {
        Failure::of("sftunnel-cert.pem", &error).hint("have a new kit made from the right files")
    })
}

/// Checks that both certificates are valid.
///
/// # Errors
/// Returns `expired` or `not-yet-valid`, with both times.
pub fn is_valid(bundle: &SignedBundle, now: Timestamp) -> Result<(), Failure> {
    bundle.check_validity(now).map_err(|error| {
        let message = format!("{error}; sftunnel itself would refuse it as well");
        Failure::refused(error.reason(), message).hint(match error {
            ValidityError::NotYetValid { .. } => SET_THE_CLOCK,
            ValidityError::Expired { .. } => {
                "make new certificates on the manager (generate_certs.pl), and a new kit from them"
            }
        })
    })
}

/// Checks that the clock is not before an `event` that happened at `time`.
///
/// # Errors
/// Returns `clock-behind`.
pub fn is_after(now: Timestamp, event: &str, time: Timestamp) -> Result<(), Failure> {
    if now >= time {
        return Ok(());
    }
    let message = format!("the clock says {now}, but {event} at {time}: the clock is behind");
    Err(Failure::refused(Reason::ClockBehind, message).hint(SET_THE_CLOCK))
}

/// Checks that the clock is not before this program was made.
///
/// # Errors
/// Returns `clock-behind`.
pub fn is_after_this_program(now: Timestamp) -> Result<(), Failure> {
    is_after(now, "this program was made", version::built())
}
