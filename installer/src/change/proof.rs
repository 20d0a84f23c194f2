//! What counts as the success of a transaction.

use std::time::Duration;

use formats::device::ManagerUuid;

use crate::appliance::service::{Interrupted, Unhealthy};
use crate::appliance::tunnel::{self, Waited};
use crate::change::Context;

/// The measure of success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// sftunnel runs on the new files.
    Running,
    /// And no tunnel of the managers of this run is seen down at the end of this time.
    Connected(Duration),
}

/// The reason a transaction is no success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unproved {
    #[error(transparent)]
    Unhealthy(#[from] Unhealthy),
    /// sftunnel runs, but a tunnel that the operator requires is down (`--require-connected`).
    #[error("sftunnel runs on the new files, but {}", .0.not_up())]
    NotConnected(Waited),
}

impl Unproved {
    /// The tunnels as last seen, where they were waited for.
    pub(crate) fn into_waited(self) -> Option<Waited> {
        match self {
            Self::Unhealthy(_) => None,
            Self::NotConnected(waited) => Some(waited),
        }
    }
}

impl Proof {
    /// Waits for what is required beyond a running sftunnel. Gives the tunnels, where they were
    /// waited for: each up, or not known to be down.
    pub(crate) fn wait(
        self,
        context: Context<'_>,
        managers: &[ManagerUuid],
    ) -> Result<Result<Option<Waited>, Unproved>, Interrupted> {
        let Self::Connected(limit) = self else { return Ok(Ok(None)) };
        let waited = tunnel::wait(context.host, managers, limit, context.signals);
        judged(waited, context.signals.pending()).map(|proved| proved.map(Some))
    }
}

/// A doubt is no reason to take a box apart that may work; a wait that was cut short proves nothing
/// either way.
fn judged(waited: Waited, is_interrupted: bool) -> Result<Result<Waited, Unproved>, Interrupted> {
    match (waited.all_up(), is_interrupted) {
        (true, _) => Ok(Ok(waited)),
        (false, true) => Err(Interrupted),
        (false, false) if waited.any_down() => Ok(Err(Unproved::NotConnected(waited))),
        (false, false) => Ok(Ok(waited)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appliance::tunnel::{Tunnel, TunnelState};

    #[test]
    fn only_a_tunnel_that_is_seen_down_refutes() {
        use TunnelState::{Down, Unknown, Up};
        let (proved, refuted) = (Ok(true), Ok(false));
        for (states, is_interrupted, expected) in [
            (&[Up, Up][..], false, proved),
            (&[Up, Up], true, proved),
            (&[Up, Unknown], false, proved),
            (&[Up, Unknown], true, Err(Interrupted)),
            (&[Up, Down], false, refuted),
            (&[Up, Down], true, Err(Interrupted)),
            (&[Unknown, Down], false, refuted),
        ] {
            let tunnels = states.iter().copied().map(Tunnel::in_state).collect();
            let found = judged(Waited { tunnels, seconds: 0 }, is_interrupted);
            assert_eq!(found.map(|proof| proof.is_ok()), expected, "{states:?} {is_interrupted}");
        }
    }
}
