//! Everything that is checked against this box before a plan is made.

use std::cmp::Ordering;

use cli::disk::box_kind::BoxKind;
use cli::kit::validity::{is_after, is_after_this_program, is_valid};
use cli::say::failure::Failure;
use formats::credentials::ValidityError;
use formats::device::{CredentialFile, ManagerUuid};
use formats::timestamp::Timestamp;
use formats::trust::VouchedBundle;
use rustix::fs::fstatvfs;

use crate::appliance::host::Host;
use crate::appliance::peers::{self, LiveSet, PeerDir};
use crate::candidate::error::{Age, DroppedPeer, Error, Than};
use crate::change::journal::Pair;
use crate::change::records::InstalledSet;

/// Refusals that the operator waives.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Accept {
    /// `--accept-clock`.
    pub clock: bool,
    /// `--allow-older`.
    pub older: bool,
}

/// Upper bound on the staged files, backup and records of one peer directory, in bytes.
pub(crate) const SPACE: u64 = 1024 * 1024;
pub(crate) const INODES: u64 = 16;

/// Checks a bundle against the box's clock.
///
/// Refuses with `clock-behind`, `not-yet-valid` or `expired`.
pub(crate) fn check_clock(
    bundle: &VouchedBundle,
    now: Timestamp,
    accept: Accept,
) -> Result<(), Error> {
    if accept.clock {
        return Ok(());
    }
    is_after_this_program(now)
        .and_then(|()| is_after(now, "the bundle was made", bundle.manifest().created_at))
        .map_err(|behind| match bundle.credentials().check_validity(now) {
            Err(ValidityError::NotYetValid { not_before, .. }) => {
                Error::ClockBehind { behind, not_before }
            }
            _ => Error::Shared(behind),
        })?;
    Ok(is_valid(bundle.signed(), now)?)
}

/// Checks that the bundle's CA is not older than the one in use for the same manager, or than one
/// that this program installed for it before; and under the same CA, that the pair is not.
///
/// Refuses with `older-than-installed`.
pub(crate) fn check_age(
    bundle: &VouchedBundle,
    live: &LiveSet,
    installed: Option<&InstalledSet>,
    accept: Accept,
) -> Result<(), Error> {
    if accept.older {
        return Ok(());
    }
    let (ca, pair) = (bundle.credentials().ca().facts().not_before, Pair::of(bundle));
    let of_ca = |than, other| Err(Error::Older { new: Age::Ca(ca), than, other: Age::Ca(other) });
    let of_certificate = |than, other| {
        let (new, other) = (Age::Certificate(pair.not_before), Age::Certificate(other));
        Err(Error::Older { new, than, other })
    };
    if let Some(in_use) = live.ca_facts().map(|facts| facts.not_before) {
        if ca < in_use {
            return of_ca(Than::InUse, in_use);
        }
        let device = &bundle.manifest().device.uuid;
        match live.certificate_of(device) {
            Some(live) if ca == in_use && pair.not_before < live => {
                return of_certificate(Than::InUse, live);
            }
            _ => {}
        }
    }
    let Some(earlier) = installed else { return Ok(()) };
    match (earlier.newest_ca, earlier.newest_pair) {
        (Some(newest), _) if ca < newest => of_ca(Than::Installed, newest),
        (Some(newest), Some(before)) if ca == newest && pair.bundle_id != before.bundle_id => {
            match pair.not_before.cmp(&before.not_before) {
                Ordering::Less => of_certificate(Than::Installed, before.not_before),
                Ordering::Equal if pair.batch < before.batch => {
                    let (new, other) = (Age::Batch(pair.batch), Age::Batch(before.batch));
                    Err(Error::Older { new, than: Than::Installed, other })
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Checks that a peer directory has room for the staged files. Another writer may still take it:
/// staging, which comes before the first live change, finds out for certain.
///
/// Refuses with `no-space`.
pub(crate) fn check_room(host: &Host, peer: &PeerDir) -> Result<(), Error> {
    let folder = peers::shown(host, &peer.manager);
    let stat = fstatvfs(&peer.dir)
        .map_err(|error| Error::Room { folder: folder.clone(), error: error.into() })?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if free < SPACE || (stat.f_files > 0 && stat.f_favail < INODES) {
        return Err(Error::NoRoom { folder, bytes: free, inodes: stat.f_favail });
    }
    Ok(())
}

/// Returns true on a manager that is no device of another one: no box to install on.
pub(crate) fn is_lone_manager(host: &Host) -> bool {
    host.kind() == BoxKind::Manager && !has_manager(host)
}

/// Returns true if a peer's CA is here, which makes this box a device of that peer. A manager keeps
/// only its devices' certificates and keys.
fn has_manager(host: &Host) -> bool {
    let Ok(mut peers) = PeerDir::all(host) else { return true };
    peers.any(|(_, peer)| peer.map_or(true, |peer| peer.has(CredentialFile::Ca)))
}

/// Finds the managers whose tunnels a restart would drop and whose credentials cannot bring them
/// back (docs/facts.md: a restart interrupts every manager's tunnel).
pub(crate) fn dropped_peers(
    host: &Host,
    changed: &[ManagerUuid],
    now: Timestamp,
) -> Result<Vec<DroppedPeer>, Error> {
    let kind = host.kind();
    let mut dropped = Vec::new();
    for (manager, peer) in PeerDir::all(host)? {
        if changed.contains(&manager) {
            continue;
        }
        let why = match peer.and_then(|peer| peer.read(host)) {
            Err(error) => Some(Failure::from(error).into_message()),
            Ok(live) if !expects_tunnel(&live, kind) => None,
            Ok(live) => live.usable_at(now).err(),
        };
        dropped.extend(why.map(|why| DroppedPeer { manager, why }));
    }
    Ok(dropped)
}

/// Returns true if such files serve a tunnel of this kind of box. A manager keeps its devices'
/// certificates in such directories, without a CA. Where it is not certain that the box is one,
/// a set without a CA is one that lost it.
fn expects_tunnel(live: &LiveSet, kind: BoxKind) -> bool {
    !live.is_absent() && (kind != BoxKind::Manager || live.sha256_of_ca().is_some())
}

/// The refusal for [`dropped_peers`].
pub(crate) fn would_drop(dropped: &[DroppedPeer]) -> Error {
    Error::WouldDrop(dropped.to_vec())
}

#[cfg(test)]
mod tests {
    use formats::checksum::Sha256;
    use zeroize::Zeroizing;

    use super::*;
    use crate::appliance::attributes::SFTUNNEL_ATTRIBUTES;
    use crate::appliance::peers::{Live, LiveFile};

    #[test]
    fn only_a_certain_manager_keeps_sets_without_a_ca_for_others() {
        let file = || {
            let bytes = Zeroizing::new(b"x".to_vec());
            let sha256 = Sha256::of(&bytes);
            Live::File(LiveFile { bytes, sha256, attributes: SFTUNNEL_ATTRIBUTES })
        };
        let none = || Live::Absent;
        use BoxKind::{Device, Manager, Neither, Unknown};
        for (files, kinds) in [
            ([none(), none(), none()], &[][..]),
            ([none(), file(), file()], &[Device, Unknown, Neither]),
            ([none(), none(), file()], &[Device, Unknown, Neither]),
            ([file(), none(), none()], &[Manager, Device, Unknown, Neither]),
            ([file(), file(), file()], &[Manager, Device, Unknown, Neither]),
        ] {
            let live = LiveSet(files);
            for kind in [Manager, Device, Unknown, Neither] {
                assert_eq!(expects_tunnel(&live, kind), kinds.contains(&kind), "{live:?} {kind:?}");
            }
        }
    }
}
