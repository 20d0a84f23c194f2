//! What a person and a script read of a delivery.

use std::path::PathBuf;

use cli::kit::folder::KitFolder;
use cli::say::page::{Table, wrapped};
use formats::text::{printable, printable_path, shell_quote};
use serde::Serialize;

use crate::deliver::visit::Visited;
use crate::device_result::{DeviceRef, DeviceResult, refusals_text};

/// A device that is to be visited.
#[derive(Debug, Serialize)]
pub(super) struct Planned {
    pub(super) device: DeviceRef,
    /// Words of the command that gives a terminal there.
    pub(super) command: Vec<String>,
}

/// Facts of a visit that came to its end.
#[derive(Debug, Serialize)]
pub(super) struct Delivered {
    /// Outcome of the installer, in its word.
    outcome: String,
    /// State of the tunnel as the installer saw it; null where it could not tell.
    tunnel: Option<String>,
    /// What `status` says, in a line; with `--only-check`.
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
    /// Names of the receipts in the kit's `receipts/`.
    receipts: Vec<String>,
    seconds: u64,
    connections: u32,
}

impl Delivered {
    pub(super) fn of(visited: Visited, receipts: Vec<String>) -> Self {
        Self {
            outcome: visited.outcome,
            tunnel: visited.tunnel,
            said: visited.status,
            receipts,
            seconds: visited.seconds,
            connections: visited.connections,
        }
    }
}

/// `sftunnel-bundle.deliver/1`.
#[derive(Debug, Serialize)]
pub(super) struct DeliverBody {
    kit: PathBuf,
    pub(super) planned: Vec<Planned>,
    /// Devices that their receipts show to be done: not visited.
    pub(super) done_before: Vec<DeviceRef>,
    /// Names in the table that no device of the kit has.
    others: Vec<String>,
    pub(super) results: Vec<DeviceResult<Delivered>>,
}

impl DeliverBody {
    pub(super) fn new(
        kit: &KitFolder,
        planned: Vec<Planned>,
        done_before: Vec<DeviceRef>,
        others: Vec<String>,
    ) -> Self {
        let kit = kit.path().to_owned();
        Self { kit, planned, done_before, others, results: Vec::new() }
    }

    pub(super) fn plan_text(&self) -> String {
        let mut text = format!("Kit {}\n", printable_path(&self.kit));
        if !self.planned.is_empty() {
            text.push_str("To visit\n");
        }
        for one in &self.planned {
            let words: Vec<String> = one.command.iter().map(|word| quoted(word)).collect();
            text.push_str(&format!("  {}\n", one.device.shown()));
            // in one piece, so that it can be copied
            text.push_str(&format!("    {}\n", printable(&words.join(" "))));
        }
        text + &self.left_out()
    }

    pub(super) fn text(&self) -> String {
        let mut table =
            Table::with_headings(&["device", "UUID", "state", "tunnel", "s"]).flexible(&[0]);
        let mut said = String::new();
        for result in &self.results {
            let (Some(device), Some(facts)) = (&result.device, &result.facts) else { continue };
            let name = device.name.as_ref().map_or("", |name| name.as_str());
            table.row([
                printable(name).to_string(),
                device.uuid.short().to_owned(),
                printable(&facts.outcome).to_string(),
                facts.tunnel.clone().unwrap_or_else(|| "?".to_owned()),
                facts.seconds.to_string(),
            ]);
            if let Some(line) = &facts.said {
                said.push_str(&wrapped(&format!("  {}: ", device.shown()), line));
            }
            for note in &result.notes {
                said.push_str(&wrapped(
                    &format!("  {}: note: ", device.shown()),
                    &printable(note).to_string(),
                ));
            }
        }
        let good = self.results.iter().filter(|result| result.facts.is_some()).count();
        let mut text = format!("{good} of {} devices visited to the end\n", self.results.len());
        if good > 0 {
            text.push_str(&table.text());
        }
        text.push_str(&said);
        if good < self.results.len() {
            text.push_str("\nNot done\n");
            text.push_str(&refusals_text(&self.results));
        }
        text + &self.left_out()
    }

    fn left_out(&self) -> String {
        let mut text = String::new();
        if !self.done_before.is_empty() {
            let names: Vec<String> = self.done_before.iter().map(DeviceRef::shown).collect();
            text.push_str(&wrapped("Done before (by receipt): ", &names.join(", ")));
        }
        if !self.others.is_empty() {
            text.push_str(&wrapped("In the table, not in the kit: ", &self.others.join(", ")));
        }
        text
    }
}

fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) { word.to_owned() } else { shell_quote(word) }
}
