//! A plan as a person reads it, at the most 80 columns wide where the names allow it.

use std::collections::BTreeSet;
use std::fmt::Write;

use cli::kit::words::{self, validity};
use cli::say::page::{Table, wrap};
use cli::say::terminal::{Color, Terminal};
use formats::text::{named, printable};
use formats::timestamp::Timestamp;

use crate::appliance::attributes::SFTUNNEL_ATTRIBUTES;
use crate::appliance::host::{Appliance, Host};
use crate::appliance::peers;
use crate::appliance::service::Service;
use crate::candidate::error::DroppedPeer;
use crate::candidate::{Accepted, file_results};
use crate::change::Change;

/// The box itself.
pub(crate) fn appliance(appliance: &Appliance) -> String {
    let mut text = format!("Box       {}\n", appliance.uuid);
    for about in [&appliance.model, &appliance.version].into_iter().flatten() {
        let _ = writeln!(text, "          {}", printable(about));
    }
    text
}

/// A bundle and who vouches for it.
pub(crate) fn bundle(accepted: &Accepted, now: Timestamp) -> String {
    let manifest = accepted.bundle.manifest();
    let vouch = words::vouch(accepted.bundle.vouch());
    let facts = &manifest.credentials;
    let fingerprint = manifest.signer.fingerprint;
    let [one, two] = fingerprint.spoken_lines();
    format!(
        "\nManager   {}\nBundle    for {}, made {} from batch {}\nSigner    {fingerprint}\n          {one}\n          {two}\n          {vouch}\nCA        {}\nCert      {}\n",
        words::manager(&manifest.manager),
        named(manifest.device.name.as_str(), 60),
        manifest.created_at,
        manifest.batch,
        validity(&facts.ca, now),
        validity(&facts.certificate, now),
    )
}

/// What is done to the files of one peer directory.
pub(crate) fn change(host: &Host, change: &Change, now: Timestamp) -> String {
    let mut text = format!("In {}\n", peers::shown(host, &change.peer.manager));
    let (mut table, mut extended) = (Table::default(), BTreeSet::new());
    for file in file_results(host, change) {
        let name = file.path.rsplit('/').next().unwrap_or(&file.path).to_owned();
        let attributes = file.mode.as_ref().zip(file.uid.zip(file.gid));
        let attributes = attributes.map(|(mode, owner)| {
            let owner = match owner {
                (0, 0) => "root:root".to_owned(),
                (uid, gid) => format!("{uid}:{gid}"),
            };
            format!("{} {owner}", mode.strip_prefix('0').unwrap_or(mode))
        });
        table.row([name, file.action.to_owned(), attributes.unwrap_or_default()]);
        if file.action != "keep" {
            extended.extend(file.extended);
        }
    }
    text.push_str(&table.text());
    if !extended.is_empty() {
        let names: Vec<_> = extended.iter().map(|name| printable(name).to_string()).collect();
        text.push_str(&wrap("  with them, as found: ", 4, &names.join(", ")));
    }
    if let Some(facts) = change.before.ca_facts() {
        let _ = writeln!(text, "  CA in use now: {}", validity(&facts, now));
    }
    text
}

/// What the restart means.
pub(crate) fn restart<'a>(
    terminal: &Terminal,
    service: &Service,
    mut changes: impl Iterator<Item = &'a Change>,
    dropped: &[DroppedPeer],
) -> String {
    let mut text = format!(
        "\nsftunnel is {service}.\n\
         It will be restarted once: the tunnels of every manager of this box are\ninterrupted.\n"
    );
    if changes.any(gives_the_key_its_usual_mode) {
        text.push_str("The key gets mode 644, as sftunnel's own files have it.\n");
    }
    text + &drops(terminal, dropped)
}

/// The tunnels that cannot come up on the files of a backup: first of all, in red.
pub(crate) fn stays_down(terminal: &Terminal, peers: &[DroppedPeer]) -> String {
    let mut text = String::new();
    for peer in peers {
        let why = printable(&peer.why);
        let line =
            format!("The tunnel to manager {} will stay down after this: {why}", peer.manager);
        let line = wrap("", 2, &line);
        let _ = writeln!(text, "{}", terminal.paint(Color::Red, line.trim_end()));
    }
    if !peers.is_empty() {
        text.push('\n');
    }
    text
}

/// The tunnels of other managers that a restart would not bring back, and the ways on.
pub(crate) fn drops(terminal: &Terminal, dropped: &[DroppedPeer]) -> String {
    let mut text = String::new();
    for peer in dropped {
        let why = printable(&peer.why);
        let line = wrap(
            "",
            2,
            &format!("The tunnel to manager {} will not come back: {why}", peer.manager),
        );
        let _ = writeln!(text, "{}", terminal.paint(Color::Red, line.trim_end()));
    }
    if !dropped.is_empty() {
        text.push_str(&wrap(
            "",
            2,
            "--yes alone refuses that (would-drop-peer); with --accept-drop it goes on.",
        ));
    }
    text
}

fn gives_the_key_its_usual_mode(change: &Change) -> bool {
    let ([_, _, before], [_, _, after]) = (change.before.identities(), change.after.identities());
    let mode = after.map(|(_, attributes)| attributes.mode);
    before != after && mode == Some(SFTUNNEL_ATTRIBUTES.mode)
}
