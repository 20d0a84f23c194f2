//! What a person reads of a change that has ended.

use cli::say::page::{Page, wrap};
use formats::text::printable;

use super::{Carried, ChangeResult, Ending, Outcome};
use crate::appliance::tunnel::{Tunnel, TunnelState, Waited};
use crate::candidate::error::DroppedPeer;
use crate::change::proof::Unproved;
use crate::change::transaction::{Ended, FilesFrom};

pub(super) fn ending(ending: &Ending) -> String {
    // first, as it is longer than a screen
    to_copy(&ending.receipts.texts) + &outcome(ending)
}

fn to_copy(texts: &[String]) -> String {
    if texts.is_empty() {
        return String::new();
    }
    let what = "Copy this to the manager, with its BEGIN and END lines; there: `sftunnel-bundle receipts KIT -`, and paste it.";
    format!("{}{}\n", wrap("", 0, what), texts.concat())
}

fn outcome(ending: &Ending) -> String {
    match &ending.ended {
        Ended::Done { pid, backup, waited, .. } => {
            let tunnels = waited.as_ref().map(tunnels).unwrap_or_default();
            let doubt =
                ending.doubt().map(|why| unconfirmed("sftunnel runs on the new files", &why));
            format!(
                "Done: sftunnel runs on these files with PID {pid}.\nWhat was there before is backup {backup}.\n{tunnels}{}{}{}",
                receipts(&ending.receipts),
                doubt.unwrap_or_default(),
                stays_down(&ending.stays_down),
            )
        }
        Ended::Unconfirmed { why, backup } => {
            let happened = match ending.source {
                FilesFrom::Bundles => "Installed",
                FilesFrom::Backup => "Rolled back",
            };
            let happened = format!("{happened}, but not confirmed: {why}");
            let next = format!(
                "look at /ngfw/var/log/messages; `sftunnel-install rollback --to {backup}` puts the files of before back"
            );
            wrap("", 2, &happened) + &wrap("  next: ", 8, &next)
        }
        Ended::RolledBack { why, pid, .. } => {
            let mut text = wrap("Rolled back: ", 2, &why.to_string());
            text.push_str(&format!(
                "The files of before are back, sftunnel runs on them with PID {pid}.\n"
            ));
            text.push_str(&stays_down(&ending.stays_down));
            let next = match why {
                Unproved::NotConnected(_) => {
                    "look at /ngfw/var/log/messages for why the tunnel did not come up"
                }
                Unproved::Unhealthy(_) => {
                    "look at /ngfw/var/log/messages for why sftunnel did not stay up"
                }
            };
            text + &wrap("  next: ", 8, next) + &receipts(&ending.receipts)
        }
    }
}

/// The steps after a change that has succeeded.
pub(super) fn next(change: &ChangeResult) -> String {
    let mut steps = Vec::new();
    let all_up = !change.tunnels.is_empty()
        && change.tunnels.iter().all(|tunnel| tunnel.state == TunnelState::Up);
    if change.outcome == Outcome::Installed {
        steps.push(match all_up {
            true => "see at the manager, too, that the tunnel is up: sftunnel_status.pl".to_owned(),
            false => "see at the manager whether the tunnel comes up: sftunnel_status.pl; here: sftunnel-install status".to_owned(),
        });
        let place = match change.receipts.first() {
            _ if !change.receipt_texts.is_empty() => {
                "paste the receipt that stands above at the manager: sftunnel-bundle receipts KIT -"
            }
            Some(_) => {
                "take the receipt back to the manager, on the stick: `cd /`, then unmount it; there: sftunnel-bundle receipts KIT"
            }
            None => {
                "take the receipt back to the manager: it lies in /var/sf/sftunnel-airgap/receipts on this box; there: sftunnel-bundle receipts"
            }
        };
        steps.push(place.to_owned());
        steps.push(
            "when every tunnel is up, delete what holds keys: the kit on the stick and every copy of it"
                .to_owned(),
        );
    }
    let mut page = Page::default();
    page.next(&steps);
    page.text()
}

/// A tunnel that is required was not seen up, and nothing is put back for it.
pub(super) fn unconfirmed(happened: &str, why: &str) -> String {
    let next = "see at the manager whether the tunnel is up, and look at /ngfw/var/log/messages; `sftunnel-install rollback` puts the files of before back";
    wrap("", 2, &format!("{happened}, but {why}.")) + &wrap("  next: ", 8, next)
}

pub(super) fn tunnels(waited: &Waited) -> String {
    let line = |tunnel: &Tunnel| {
        wrap("Tunnel    ", 10, &format!("to manager {}: {tunnel}", tunnel.manager))
    };
    let tunnels: String = waited.tunnels.iter().map(line).collect();
    format!("{tunnels}          (waited {} s)\n", waited.seconds)
}

fn receipts(carried: &Carried) -> String {
    let line = |path: &String| wrap("Receipt   ", 10, &printable(path).to_string());
    let copied: String = carried.copied.iter().map(line).collect();
    let Some((why, here)) = &carried.missing else { return copied };
    let note = format!("no receipt could be written there: {}", printable(why));
    copied + &wrap("Note: ", 2, &note) + &left_here(here)
}

/// Receipts that nothing carries to the manager yet.
pub(crate) fn left_here(paths: &[String]) -> String {
    let lines = paths.iter().map(|path| {
        let line = format!("{}, on this box: copy it to the stick by hand", printable(path));
        wrap("Receipt   ", 10, &line)
    });
    lines.collect()
}

pub(crate) fn stays_down(peers: &[DroppedPeer]) -> String {
    let line = |peer: &DroppedPeer| {
        let why = printable(&peer.why);
        wrap("", 2, &format!("The tunnel to manager {} stays down: {why}", peer.manager))
    };
    peers.iter().map(line).collect()
}
