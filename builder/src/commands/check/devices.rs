//! Facts on each device beside its files: its tunnel, and the renewal's progress there.

use std::collections::{HashMap, HashSet};

use formats::device::DeviceUuid;
use formats::timestamp::Timestamp;
use serde::Serialize;

use super::Look;
use super::state::Role;
use crate::device_result::DeviceRef;
use crate::fmc::status_source::{Answer, TunnelsView};
use crate::fmc::tunnel_status::{self, Names, Seen, Tunnel, Tunnels};

/// The evidence that a device has, or lacks, the pair that the newest batch made for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Reached {
    /// The newest FAILED_PUSH does not list it, and its tunnel is not seen down while a new
    /// pair lies here.
    Pushed,
    /// A receipt under the CA in use says so.
    Receipt,
    /// Its connection began when the old certificate had already expired.
    Tunnel,
    /// FAILED_PUSH lists it, and nothing says otherwise.
    No,
    /// A new pair lies here for it, and nothing shows that it has arrived.
    #[serde(rename = "no")]
    Undelivered,
    /// The newest run left no list, and no new pair.
    Unknown,
}

impl Reached {
    /// Returns true while there is something to be brought to the device.
    pub(super) fn is_waiting(self) -> bool {
        matches!(self, Self::No | Self::Undelivered)
    }
}

/// The facts that the files here tell of one device.
#[derive(Debug, Clone, Copy, Default)]
struct Files {
    /// Last second of the pair that it had before.
    old_until: Option<Timestamp>,
    /// First second of the new pair.
    new_from: Option<Timestamp>,
    /// A new pair lies in certs_pushed, readable or not.
    has_new: bool,
    /// One lies in the device's folder above it, which may be the manager's copy.
    has_copy: bool,
}

/// One device's entry in the JSON.
#[derive(Debug, Serialize)]
pub(super) struct DeviceState {
    pub device: DeviceRef,
    /// `up`, `down` or `unknown`.
    pub tunnel: Tunnel,
    /// The time at which the connection began, by the FMC's clock; null where the output does
    /// not say.
    pub connected_since: Option<Timestamp>,
    /// `pushed`, `receipt`, `tunnel`, `no`, `unknown`.
    pub reached: Reached,
}

impl Look<'_> {
    /// Lists every registered or listed device. `done` are those that receipts show to be.
    pub(super) fn devices(
        &self,
        asked: &Answer,
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
            Answer::Printed(output) => tunnel_status::read(&output.text, &self.known_as(&devices)),
            Answer::Silent(_) | Answer::NotWanted => Tunnels::default(),
        };
        let files = self.files();
        let state = |device: &DeviceRef| {
            let files = files.get(&device.uuid).copied().unwrap_or_default();
            let seen = read.of.get(&device.uuid).copied().unwrap_or_default();
            DeviceState {
                device: device.clone(),
                tunnel: seen.tunnel,
                connected_since: seen.started_at,
                reached: self.reached(&device.uuid, files, seen, done),
            }
        };
        let states: Vec<DeviceState> = devices.iter().map(state).collect();
        let of = |tunnel| states.iter().filter(|state| state.tunnel == tunnel).count();
        let (up, down, unknown) = (of(Tunnel::Up), of(Tunnel::Down), of(Tunnel::Unknown));
        let strangers = read.unmatched;
        (TunnelsView { up, down, unknown, strangers, ..TunnelsView::of(asked) }, states)
    }

    /// Maps names, addresses and UUIDs to devices.
    fn known_as<'a>(&'a self, devices: &'a [DeviceRef]) -> Names<'a> {
        let mut names = Names::default();
        for DeviceRef { uuid, name } in devices {
            let address = self.addresses.get(uuid).map(String::as_str);
            names.add(uuid, address, name.as_ref().map(|name| name.as_str()));
        }
        names
    }

    /// Gathers the facts that the files here tell, by device.
    fn files(&self) -> HashMap<&DeviceUuid, Files> {
        let mut all = HashMap::<_, Files>::new();
        for checked in &self.found {
            let Some(device) = &checked.device else { continue };
            let files = all.entry(&device.uuid).or_default();
            let ca = self.ca.as_ref().map(|ca| ca.facts());
            let is_ca = ca.is_some_and(|ca| {
                (Some(ca.not_before), Some(ca.not_after)) == (checked.not_before, checked.not_after)
            });
            match checked.role {
                // what an older CA signed says so in its own row
                Role::Pushed if checked.issued_by_ca != Some(false) => {
                    (files.has_new, files.new_from) = (true, checked.not_before);
                }
                Role::Peer if checked.issued_by_ca == Some(true) => files.has_copy = true,
                Role::PeerCa if is_ca => {}
                Role::Peer | Role::PeerCa => {
                    let ends = [files.old_until, checked.not_after];
                    files.old_until = ends.into_iter().flatten().min();
                }
                _ => {}
            }
        }
        all
    }

    /// Weighs the evidence. A session outlives its certificates, so a tunnel that is up tells nothing of them,
    /// unless it began when the old ones could no longer begin one. Cisco's list tells who was
    /// not reached, and by its silence who was (docs/facts.md), of the pairs that its run made;
    /// a tunnel that is down speaks against it. Whether a pair that was pushed stays in its
    /// folder is not known.
    fn reached(
        &self,
        device: &DeviceUuid,
        files: Files,
        seen: Seen,
        done: &HashSet<DeviceUuid>,
    ) -> Reached {
        let is_listed = self.listed.contains(device);
        // a copy alone says nothing, unless the tunnel speaks against it
        let is_doubted = files.has_copy && seen.tunnel == Tunnel::Down;
        if !is_listed && !files.has_new && !is_doubted {
            return if self.failed_push.is_some() { Reached::Pushed } else { Reached::Unknown };
        }
        if done.contains(device) {
            return Reached::Receipt;
        }
        // one that began before this run is on what an earlier one made
        let run = self.failed_push.as_ref().and_then(|list| i64::try_from(list.batch).ok());
        let run = run.or(self.ca.as_ref().map(|ca| ca.facts().not_before.unix()));
        let is_new = files.old_until.zip(seen.started_after).is_some_and(|(end, started)| {
            started > end && run.is_some_and(|run| started.unix() > run)
        });
        if seen.tunnel == Tunnel::Up && is_new {
            return Reached::Tunnel;
        }
        let is_of_the_run = self
            .failed_push
            .as_ref()
            .is_some_and(|list| files.new_from.is_some_and(|from| from <= list.written));
        match seen.tunnel {
            _ if is_listed => Reached::No,
            Tunnel::Up | Tunnel::Unknown if is_of_the_run => Reached::Pushed,
            _ => Reached::Undelivered,
        }
    }
}
