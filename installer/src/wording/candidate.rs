//! The words for a bundle that is refused.

use cli::say::failure::Failure;
use formats::error::Reason;
use formats::kit::DeviceEntry;
use formats::text::named;

use crate::candidate::checks::{INODES, SPACE};
use crate::candidate::error::{Age, Error, Than};

/// Devices that are named of a kit that is for others.
const NAMED: usize = 5;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Shared(failure) => failure,
            Error::Appliance(error) => error.into(),
            Error::NoBundleInKit { kit, device, made_for } => {
                let (shown, made_for) = (kit.display(), names(&made_for));
                let message =
                    format!("{shown} holds no bundle for this box, {device}; it is for {made_for}");
                Self::refused(Reason::WrongDevice, message).hint("take the kit that was made for this site; a re-imaged box has a new UUID and needs a new kit")
            }
            Error::OtherDevice { made_for, device } => {
                let (uuid, name) = (&made_for.uuid, named(made_for.name.as_str(), 40));
                let message = format!("the bundle is for device {uuid} ({name}), this box is {device}");
                Self::refused(Reason::WrongDevice, message).hint("take the bundle of this box; a re-imaged box has a new UUID and needs a new bundle")
            }
            Error::SecondBundle { origin, manager } => {
                let message =
                    format!("{origin}: a second bundle for manager {manager} in the same run");
                Self::refused(Reason::Ambiguous, message)
                    .hint("name one bundle or kit for each manager")
            }
            Error::ClockBehind { behind, not_before } => behind.map_message(|message| {
                format!("{message}; sftunnel itself would refuse the certificates, which become valid at {not_before}")
            }),
            Error::Older { new, than, other } => older(new, than, other),
            Error::Room { folder, error } => Self::io(folder, &error),
            Error::NoRoom { folder, bytes, inodes } => {
                let message = format!(
                    "{folder}: expected {SPACE} bytes and {INODES} inodes free, found {bytes} bytes and {inodes} inodes"
                );
                Self::refused(Reason::NoSpace, message)
                    .hint("make room, for example below /ngfw/var/common")
            }
            Error::RehearsalHosts { named, managers } => {
                Self::usage(format!("--rehearse names {named} hosts for {managers} managers")).hint(
                    "give --rehearse=HOST once for each kit or bundle, in their order, or for none",
                )
            }
            Error::NoManagerAddress { manager } => Self::usage(format!(
                "the address of manager {manager} is not known: its tunnel is not up here"
            ))
            .hint("name it: --rehearse=HOST, or --rehearse=HOST:PORT"),
            Error::WouldDrop(dropped) => {
                let each = dropped.iter().map(|peer| format!("manager {}: {}", peer.manager, peer.why));
                let message = format!(
                    "the restart drops the tunnels of every manager, and these would not come back:\n{}",
                    each.collect::<Vec<_>>().join("\n")
                );
                Self::refused(Reason::WouldDropPeer, message).hint("install that manager's new bundle in the same run (name both kits), or go on with --accept-drop")
            }
        }
    }
}

fn names(devices: &[DeviceEntry]) -> String {
    let shown = devices.iter().take(NAMED).map(|device| named(device.name.as_str(), 40));
    let more = devices.len().checked_sub(NAMED).filter(|more| *more > 0);
    shown.chain(more.map(|more| format!("{more} more"))).collect::<Vec<_>>().join(", ")
}

fn older(new: Age, than: Than, other: Age) -> Failure {
    let (what, which) = match (new, than) {
        (Age::Ca(_), Than::InUse) => ("CA", "the CA in use"),
        (Age::Ca(_), Than::Installed) => ("CA", "one that was installed before"),
        (Age::Certificate(_), Than::InUse) => ("certificate", "the one in use under the same CA"),
        (Age::Certificate(_), Than::Installed) => {
            ("certificate", "one that was installed before under the same CA")
        }
        (Age::Batch(_), _) => ("pair", "one that was installed before under the same CA"),
    };
    let from = |age| match age {
        Age::Ca(time) | Age::Certificate(time) => time.to_string(),
        Age::Batch(batch) => format!("batch {batch}"),
    };
    let message = format!(
        "the bundle's {what} is from {}, {which} is from {}: it is older",
        from(new),
        from(other)
    );
    Failure::refused(Reason::OlderThanInstalled, message).hint(
        "take the newest kit. To go back on purpose: `sftunnel-install rollback`, or --allow-older",
    )
}
