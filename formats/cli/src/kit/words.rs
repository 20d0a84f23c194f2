//! Wording for facts of kits and bundles, the same in both programs.

use formats::bundle::manifest::Manager;
use formats::credentials::{CertificateFacts, Validity};
use formats::kit::Handoff;
use formats::signature::SignerEntry;
use formats::timestamp::Timestamp;
use formats::trust::Vouch;

/// Words for the reason why a signer is trusted.
pub fn vouch(vouch: Vouch) -> &'static str {
    match vouch {
        Vouch::Named => "named with --signer",
        Vouch::Own => "this machine's own key",
        Vouch::Pinned => "pinned on this box by an earlier success",
        Vouch::Passphrase => "confirmed by the kit's passphrase",
        Vouch::Confirmed => "confirmed at the terminal",
    }
}

/// A manager's UUID, followed by its host name in brackets if that is known.
pub fn manager(manager: &Manager) -> String {
    match manager.hostname.shown(26).as_str() {
        "" => manager.uuid.to_string(),
        host => format!("{} ({host})", manager.uuid),
    }
}

/// Validity, such as `valid until 2036-11-18 (3649 days)`.
pub fn validity(facts: &CertificateFacts, now: Timestamp) -> String {
    let days = now.days_left(facts.not_after);
    match facts.at(now) {
        Validity::Valid => format!("valid until {} ({})", facts.not_after.date(), in_days(days)),
        Validity::Expired => {
            format!("expired on {} ({} ago)", facts.not_after.date(), in_days(-days))
        }
        Validity::NotYet => format!("not valid before {}", facts.not_before),
    }
}

fn in_days(days: i64) -> String {
    if days == 1 { "1 day".to_owned() } else { format!("{days} days") }
}

/// Lines on the builder and the handoffs of a kit; empty for one straight from its builder.
pub fn handoffs(built_by: Option<SignerEntry>, handoffs: &[Handoff]) -> String {
    let mut text = String::new();
    if let Some(builder) = built_by {
        text.push_str(&format!("  built by     {}\n", builder.fingerprint));
    }
    for handoff in handoffs {
        let (at, signer) = (handoff.at, handoff.signer.fingerprint);
        text.push_str(&format!("  handed off   {at}\n               {signer}\n"));
    }
    text
}

/// A number with its noun: `1 device`, `2 devices`.
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
