//! What is known of each device beside its files: its tunnel, and whether it has been reached.

use std::collections::HashSet;

use formats::device::DeviceUuid;
use formats::timestamp::Timestamp;
use serde::Serialize;

use super::Look;
use super::state::Role;
use crate::outcome::DeviceRef;
use crate::status_source::{Asked, TunnelsView};
use crate::tunnel_status::{self, Names, Seen, Tunnel, Tunnels, is_address};

/// Whether a device has what the newest batch made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reached {
    /// The newest FAILED_PUSH does not list it.
    Pushed,
    /// A receipt under the CA in use says so.
    Receipt,
    /// Its connection began when the old certificate had already expired.
    Tunnel,
    /// FAILED_PUSH lists it, and nothing says otherwise.
    No,
    /// The newest run left no list.
    Unknown,
}

/// A device.
#[derive(Debug, Serialize)]
pub(super) struct DeviceState {
    /// Which.
    pub device: DeviceRef,
    /// `up`, `down` or `unknown`.
    pub tunnel: Tunnel,
    /// When the connection began, where the output says so; by the FMC's clock.
    pub connected_since: Option<Timestamp>,
    /// `pushed`, `receipt`, `tunnel`, `no`, `unknown`.
    pub reached: Reached,
}

impl Look<'_> {
    /// Every registered or listed device. `done` are those that receipts show to be.
    pub(super) fn devices(
        &self,
        asked: &Asked,
        done: &HashSet<DeviceUuid>,
    ) -> (TunnelsView, Vec<DeviceState>) {
        let mut devices = self.registered.clone();
        let known: HashSet<_> = devices.iter().map(|device| device.uuid.clone()).collect();
        let unknown = self.listed.iter().filter(|uuid| !known.contains(*uuid));
        let with_name = |uuid: &DeviceUuid| DeviceRef {
            uuid: uuid.clone(),
            name: self.names.get(uuid).cloned(),
        };
        devices.extend(unknown.map(with_name));
        devices.sort_by(|one, two| one.uuid.cmp(&two.uuid));
        let read = match asked {
            Asked::Printed(output) => tunnel_status::read(&output.text, &self.known_as(&devices)),
            Asked::Silent(_) | Asked::NotWanted => Tunnels::default(),
        };
        let state = |device: &DeviceRef| {
            let seen = read.of.get(&device.uuid).copied().unwrap_or_default();
            DeviceState {
                device: device.clone(),
                tunnel: seen.tunnel,
                connected_since: seen.started_at,
                reached: self.reached(&device.uuid, seen, done),
            }
        };
        let states: Vec<DeviceState> = devices.iter().map(state).collect();
        let of = |tunnel| states.iter().filter(|state| state.tunnel == tunnel).count();
        let (up, down, unknown) = (of(Tunnel::Up), of(Tunnel::Down), of(Tunnel::Unknown));
        let strangers = read.strangers;
        (TunnelsView { up, down, unknown, strangers, ..TunnelsView::of(asked) }, states)
    }

    /// Names, addresses and UUIDs, and whose they are.
    fn known_as<'a>(&'a self, devices: &'a [DeviceRef]) -> Names<'a> {
        let mut names = Names::new();
        for DeviceRef { uuid, name } in devices {
            let address = self.addresses.get(uuid).map(String::as_str);
            let name = name.as_ref().map(|name| name.as_str());
            let all = [Some(uuid.as_str()), name, address.filter(|text| is_address(text))];
            for name in all.into_iter().flatten() {
                names.entry(name).or_default().insert(uuid);
            }
        }
        names
    }

    /// A session outlives its certificates, so a tunnel that is up tells nothing of them,
    /// unless it began when the old ones could no longer begin one.
    fn reached(&self, device: &DeviceUuid, seen: Seen, done: &HashSet<DeviceUuid>) -> Reached {
        let Some(list) = &self.failed_push else { return Reached::Unknown };
        if !self.listed.contains(device) {
            return Reached::Pushed;
        }
        if done.contains(device) {
            return Reached::Receipt;
        }
        let is_old = |role: Role| matches!(role, Role::Peer | Role::PeerCa);
        let is_its = |of: &DeviceRef| of.uuid == *device;
        let its = self
            .found
            .iter()
            .filter(|checked| is_old(checked.role) && checked.device.as_ref().is_some_and(is_its));
        let end = its.filter_map(|checked| checked.not_after).min();
        // one that began before this run is on what an earlier one made
        let batch = i64::try_from(list.batch).unwrap_or(i64::MAX);
        let is_new = end
            .zip(seen.started_at)
            .is_some_and(|(end, started)| started > end && started.unix() > batch);
        if seen.tunnel == Tunnel::Up && is_new { Reached::Tunnel } else { Reached::No }
    }
}
