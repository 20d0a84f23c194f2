//! The urgency of each certificate. Pure.

use std::cmp::Reverse;
use std::collections::HashSet;

use cli::say::monitoring::{Level, Thresholds};
use formats::cisco::facts::FAILED_PUSH;
use formats::credentials::{Certificate, RevocationList, Validity};
use formats::device::DeviceUuid;
use formats::timestamp::Timestamp;
use serde::Serialize;

use crate::device_result::DeviceRef;
use crate::fmc::discover::Listing;

/// The use that a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Role {
    /// The InternalCA's certificate.
    Ca,
    /// The FMC's own certificate.
    Own,
    /// The list of revoked certificates.
    Crl,
    /// A certificate that the last renewal made for a device.
    Pushed,
    /// The certificate in a peer's directory.
    Peer,
    /// The CA in a peer's directory.
    PeerCa,
    /// The list of devices that the newest run did not reach.
    FailedPush,
}

impl Role {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ca => "InternalCA",
            Self::Own => "FMC's own",
            Self::Crl => "CRL",
            Self::Pushed => "new pair",
            Self::Peer => "peer",
            Self::PeerCa => "peer's CA",
            Self::FailedPush => FAILED_PUSH,
        }
    }
}

/// One file's entry in the JSON.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    /// Its use: `ca`, `own`, `crl`, `pushed`, `peer`, `peer-ca`, `failed-push`.
    pub role: Role,
    /// The device that it is about; null for the manager's.
    pub device: Option<DeviceRef>,
    pub path: String,
    /// `OK`, `WARNING`, `CRITICAL`, `UNKNOWN`.
    pub state: Level,
    /// Its subject, or the issuer of a CRL; foreign text; null when it cannot be read.
    pub subject: Option<String>,
    /// First second of its validity; of a CRL, when it was made.
    pub not_before: Option<Timestamp>,
    /// Last second; of a CRL, when the next is due.
    pub not_after: Option<Timestamp>,
    /// Whole days left; negative when it is over.
    pub days_left: Option<i64>,
    /// True when the InternalCA in use signed it; null where that is not asked.
    pub issued_by_ca: Option<bool>,
    /// True when a new pair for the same device lies beside it and is good, so that this file
    /// counts no more.
    pub superseded: bool,
    /// Faults other than too few days; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A file to be looked at: its use, its owner and its path.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub role: Role,
    /// `None` for the manager's.
    pub device: Option<DeviceRef>,
    pub path: String,
}

impl Subject {
    /// A file of the manager itself.
    pub(super) fn own(role: Role, path: &str) -> Self {
        Self { role, device: None, path: path.to_owned() }
    }

    /// Makes an entry of which nothing is known yet.
    fn unknown(self) -> Checked {
        Checked {
            role: self.role,
            device: self.device,
            path: self.path,
            state: Level::Unknown,
            subject: None,
            not_before: None,
            not_after: None,
            days_left: None,
            issued_by_ca: None,
            superseded: false,
            message: None,
        }
    }

    pub(super) fn unreadable(self, message: String) -> Checked {
        Checked { message: Some(message), ..self.unknown() }
    }
}

const NOT_THE_CAS: &str = "not signed by the InternalCA in use";

impl Checked {
    /// Warns of lines of FAILED_PUSH that nobody can read, so that they name no device.
    pub(super) fn failed_push(listing: &Listing) -> Option<Self> {
        let lost = listing.found.nobodys;
        let message =
            format!("{lost} of its lines cannot be read: sftunnel-bundle plan shows them");
        let row = Subject::own(Role::FailedPush, &listing.path).unreadable(message);
        (lost > 0).then_some(Self { state: Level::Warning, ..row })
    }

    /// Judges a certificate. `ca` is the InternalCA in use; a new pair and the FMC's own must be
    /// from it.
    pub(super) fn certificate(
        about: Subject,
        certificate: &Certificate,
        ca: Option<&Certificate>,
        now: Timestamp,
        thresholds: Thresholds,
    ) -> Self {
        let facts = certificate.facts();
        let days = now.days_left(facts.not_after);
        let mut state = Level::by_days(days, thresholds);
        let mut faults = Vec::new();
        match facts.at(now) {
            Validity::Expired => state = Level::Critical,
            Validity::NotYet => {
                state = Level::Critical;
                faults.push(format!("not valid before {}: check the clock", facts.not_before));
            }
            Validity::Valid => {}
        }
        let issued_by_ca = match about.role {
            Role::Own | Role::Pushed | Role::Peer => ca.map(|ca| certificate.is_issued_by(ca)),
            Role::Ca | Role::PeerCa | Role::Crl | Role::FailedPush => None,
        };
        if issued_by_ca == Some(false) && about.role != Role::Peer {
            state = state.max(Level::Warning);
            faults.push(NOT_THE_CAS.to_owned());
        }
        if let Some(digest) = certificate.weak_digest() {
            state = state.max(Level::Warning);
            faults.push(format!("signed with {digest}, which newer releases refuse"));
        }
        Self {
            state,
            subject: Some(facts.subject.clone()),
            not_before: Some(facts.not_before),
            not_after: Some(facts.not_after),
            days_left: Some(days),
            issued_by_ca,
            message: (!faults.is_empty()).then(|| faults.join("; ")),
            ..about.unknown()
        }
    }

    /// Judges a revocation list. It is never CRITICAL, as nobody knows whether sftunnel minds an
    /// outdated one. A list whose whole life is shorter than twice the warning is made anew all
    /// the time, so only a missed date counts.
    pub(super) fn crl(
        path: &str,
        list: &RevocationList,
        ca: Option<&Certificate>,
        now: Timestamp,
        thresholds: Thresholds,
    ) -> Self {
        let (start, end) = (list.this_update(), list.next_update());
        let is_long =
            end.is_some_and(|end| start.days_until(end) >= 2 * i64::from(thresholds.warning));
        let is_due = |end: &Timestamp| {
            now > *end || is_long && now.days_until(*end) < i64::from(thresholds.warning)
        };
        let mut state = if end.as_ref().is_some_and(is_due) { Level::Warning } else { Level::Ok };
        let issued_by_ca = ca.map(|ca| list.is_issued_by(ca));
        let mut message = None;
        if issued_by_ca == Some(false) {
            state = Level::Warning;
            message = Some(NOT_THE_CAS.to_owned());
        }
        Self {
            state,
            subject: Some(list.issuer().to_owned()),
            not_before: Some(start),
            not_after: end,
            days_left: end.map(|end| now.days_left(end)),
            issued_by_ca,
            message,
            ..Subject::own(Role::Crl, path).unknown()
        }
    }

    /// Names the file for people.
    pub(super) fn word(&self) -> &'static str {
        match (self.role, self.superseded) {
            (Role::Peer, true) => "old pair",
            (Role::PeerCa, true) => "old CA",
            (role, _) => role.word(),
        }
    }

    pub(super) fn is_expired(&self) -> bool {
        self.days_left.is_some_and(|days| days < 0)
    }
}

/// Marks the old certificates that no longer count, as a good new pair was made for the device.
/// Where the device is `waiting`, nothing shows that it has the new pair: there is work left, and
/// its old certificate is WARNING; CRITICAL once it has expired, for then the device does not
/// come back by itself.
pub(super) fn mark_superseded(all: &mut [Checked], waiting: &HashSet<&DeviceUuid>) {
    let outdated = outdated(all);
    for (checked, _) in all.iter_mut().zip(outdated).filter(|(_, is_outdated)| *is_outdated) {
        if checked.device.as_ref().is_some_and(|device| waiting.contains(&device.uuid)) {
            if !checked.is_expired() {
                checked.state = Level::Warning;
            }
            let message =
                "a new pair is there, and no receipt or new tunnel shows that the device has it";
            checked.message = Some(message.to_owned());
        } else {
            checked.superseded = true;
            checked.state = Level::Ok;
        }
    }
}

/// Tells of each whether it is an old file in need of renewal beside which a good new pair lies.
fn outdated(all: &[Checked]) -> Vec<bool> {
    fn device(checked: &Checked) -> Option<&DeviceUuid> {
        checked.device.as_ref().map(|device| &device.uuid)
    }
    let is_renewed = |one: &&Checked| one.role == Role::Pushed && one.state == Level::Ok;
    let renewed: HashSet<_> = all.iter().filter(is_renewed).filter_map(device).collect();
    let is_outdated = |one: &Checked| {
        let is_old = matches!(one.role, Role::Peer | Role::PeerCa);
        is_old && one.state != Level::Ok && device(one).is_some_and(|it| renewed.contains(it))
    };
    all.iter().map(is_outdated).collect()
}

/// Sorts the most urgent first.
pub(super) fn by_urgency(all: &mut [Checked]) {
    all.sort_by_key(|checked| {
        let days = checked.days_left.unwrap_or(i64::MAX);
        (Reverse(checked.state), checked.superseded, days, checked.role)
    });
}

/// Returns the worst level of all.
pub(super) fn overall(all: &[Checked]) -> Level {
    all.iter().map(|checked| checked.state).max().unwrap_or(Level::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(role: Role, state: Level) -> Checked {
        let uuid = "c8d5d5c6-87c9-11ef-a993-b9831565bc4e".parse().unwrap();
        let device = Some(DeviceRef { uuid, name: None });
        let about = Subject { role, device, path: "x".to_owned() };
        Checked { state, ..about.unreadable(String::new()) }
    }

    #[test]
    fn an_old_certificate_counts_until_there_is_a_good_new_pair() {
        let marked = |new: Level, waiting: &HashSet<&DeviceUuid>| {
            let mut all = [checked(Role::Peer, Level::Critical), checked(Role::Pushed, new)];
            mark_superseded(&mut all, waiting);
            (overall(&all), all[0].superseded)
        };
        let nobody = HashSet::new();
        assert_eq!(marked(Level::Warning, &nobody), (Level::Critical, false));
        assert_eq!(marked(Level::Ok, &nobody), (Level::Ok, true));
        let device = checked(Role::Peer, Level::Ok).device.unwrap().uuid;
        let waiting = HashSet::from([&device]);
        let mut expired = [checked(Role::Peer, Level::Critical), checked(Role::Pushed, Level::Ok)];
        expired[0].days_left = Some(-1);
        mark_superseded(&mut expired, &waiting);
        assert_eq!(expired[0].state, Level::Critical, "it cannot come back");
        assert_eq!(marked(Level::Ok, &waiting), (Level::Warning, false), "it was not reached");
        assert_eq!(marked(Level::Warning, &waiting), (Level::Critical, false));
    }

    #[test]
    fn nothing_found_is_unknown_and_critical_is_the_worst() {
        assert_eq!(overall(&[]), Level::Unknown);
        let all = [Level::Unknown, Level::Critical, Level::Warning].map(|s| checked(Role::Own, s));
        assert_eq!(overall(&all), Level::Critical);
    }
}
