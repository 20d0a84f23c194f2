//! The page for the change ticket: what is left to do first, then what was done, then what it was
//! checked against.

use std::fmt::Write as _;
use std::path::Path;

use cli::disk::durable;
use cli::say::failure::Failure;

use super::standing::Standing;
use super::view::{DeviceView, ReceiptsBody};
use crate::commands::html::{self, escaped, section, state, term};

/// What is left to do comes first.
const ORDER: [Standing; 4] =
    [Standing::Outstanding, Standing::Unverified, Standing::RolledBack, Standing::Done];

/// Writes the page in place of an older one, which still stands where that fails.
pub(super) fn write(path: &Path, body: &ReceiptsBody) -> Result<(), Failure> {
    durable::replace_at(path, page(body).as_bytes(), 0o644)
}

fn page(body: &ReceiptsBody) -> String {
    let managers = managers(body);
    let title = format!("{}: {managers} {}", body.summary(), body.checked_at);
    let mut inside = format!(
        "<header>\n<h1>sftunnel certificates: {}</h1>\n<p>Checked {} by the clock of the FMC.</p>\n</header>\n<main>\n",
        escaped(&managers),
        body.checked_at
    );
    inside += &section("standing", "Progress", &standing(body));
    if !body.warnings.is_empty() {
        let warning = |text: &String| format!("<p class=\"warning\">{}</p>\n", escaped(text));
        let warnings: String = body.warnings.iter().map(warning).collect();
        inside += &section("warnings", "Warnings", &warnings);
    }
    let refused = refused(body);
    if !refused.is_empty() {
        inside += &section("refused", "Receipts that do not verify", &refused);
    }
    inside += &section("devices", "Devices", &devices(body));
    inside += &section("against", "Checked against", &against(body));
    inside += "</main>\n<footer>\n<p>A receipt is a claim by a holder of the device's key, which the FMC is, too. The tunnel seen up at the FMC is the proof. <em>Up since</em>: it was seen up after the claim. <em>Up before</em>: it was seen up before the claim only. <em>Up, undated</em>: it is not known when.</p>\n<p class=\"sign\">Checked by <span></span> Date <span></span></p>\n</footer>\n";
    html::page(title.trim_end(), &inside)
}

/// The FMCs of the kits, each once: name, else UUID.
fn managers(body: &ReceiptsBody) -> String {
    let mut names: Vec<&str> = Vec::new();
    for manager in body.kits.iter().map(|kit| &kit.manager) {
        let name = match manager.hostname.as_str() {
            "" => manager.uuid.as_str(),
            name => name,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "receipts".to_owned() } else { names.join(", ") }
}

fn class(status: Standing) -> &'static str {
    match status {
        Standing::Done => "done",
        Standing::RolledBack => "back",
        Standing::Outstanding => "open",
        Standing::Unverified => "bad",
    }
}

fn standing(body: &ReceiptsBody) -> String {
    let number = |status| body.results.iter().filter(|one| one.status == status).count();
    let mut text = format!("<p class=\"summary\">{}</p>\n", escaped(&body.summary()));
    let parts: Vec<_> =
        ORDER.iter().rev().map(|status| (class(*status), number(*status))).collect();
    text += &html::bar("devices done", &parts);
    text += "<ul class=\"tally\">\n";
    for status in ORDER.into_iter().filter(|status| number(*status) > 0) {
        let (class, state) = (class(status), state(status.word()));
        let _ = writeln!(text, "<li class=\"{class}\">{} {state}</li>", number(status));
    }
    text + "</ul>\n"
}

fn devices(body: &ReceiptsBody) -> String {
    let mut table = "<table>\n<caption>What is left to do first</caption>\n<thead><tr><th scope=\"col\">device</th><th scope=\"col\">UUID</th><th scope=\"col\">state</th><th scope=\"col\">when (its clock)</th><th scope=\"col\">tunnel</th><th scope=\"col\">certificate (SHA-256)</th></tr></thead>\n<tbody>\n".to_owned();
    for status in ORDER {
        let of = body.results.iter().filter(|device| device.status == status);
        of.for_each(|device| row(&mut table, device));
    }
    table + "</tbody>\n</table>\n"
}

fn row(table: &mut String, device: &DeviceView) {
    let time = device.ended_at.map_or_else(String::new, |time| time.to_string());
    let certificate =
        device.certificate.map_or_else(String::new, |sha256| format!("<code>{sha256}</code>"));
    let _ = writeln!(
        table,
        "<tr class=\"{}\"><th scope=\"row\">{}</th><td><code>{}</code></td><td>{}</td><td>{time}</td><td>{}</td><td>{certificate}</td></tr>",
        class(device.status),
        escaped(device.device.name.as_ref().map_or("", |name| name.as_str())),
        device.device.uuid,
        state(device.status.word()),
        device.tunnel_text(),
    );
}

/// Empty when every receipt verifies.
fn refused(body: &ReceiptsBody) -> String {
    let mut list = String::new();
    for receipt in &body.receipts {
        let Some(refusal) = &receipt.refusal else { continue };
        let path = escaped(&receipt.path.display().to_string());
        let (reason, message) = (refusal.reason, escaped(&refusal.message));
        let _ = writeln!(list, "<li><code>{path}</code>: {reason}: {message}</li>");
    }
    if list.is_empty() { list } else { format!("<ul>\n{list}</ul>\n") }
}

fn against(body: &ReceiptsBody) -> String {
    let mut list = String::new();
    for kit in &body.kits {
        let manager = format!("{} {}", kit.manager.uuid, kit.manager.hostname.as_str());
        let known = if kit.vouched_by.is_some() { "" } else { " (not vouched for)" };
        term(&mut list, "kit", &kit.path.display().to_string());
        term(&mut list, "manager", manager.trim_end());
        term(&mut list, "batch", &format!("{}, built {}", kit.batch, kit.created_at));
        term(&mut list, "signer of the list", &format!("{}{known}", kit.signer));
    }
    for ca in &body.ca {
        let what = if ca.current { "CA in use" } else { "older CA" };
        term(&mut list, what, &format!("SHA-256 {}, from {}", ca.fingerprint, ca.not_before));
    }
    for line in [body.tunnels.heading(), body.tunnels.note_text()].iter().flatten() {
        term(&mut list, "tunnels", line);
    }
    format!("<dl>\n{list}</dl>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_result::DeviceRef;

    /// 2,000 devices: a page that a ticket takes, what is left to do on top.
    #[test]
    fn a_large_fleet_is_a_small_page_that_begins_with_what_is_left() {
        let mut body = ReceiptsBody::default();
        for number in 0..2000 {
            let device = DeviceRef {
                uuid: format!("c8d5d5c6-87c9-11ef-a993-b983156{number:05}").parse().unwrap(),
                name: Some(format!("BSNS-{number:04}").parse().unwrap()),
            };
            let status = ORDER[3 - usize::from(number % 500 == 7) * 3];
            let manager = "8d07463a-ab72-11ef-a623-2d99244fa0d3".parse().unwrap();
            body.results.push(DeviceView::new(device, manager, Path::new("kit"), status, None));
        }
        body.count();
        let page = page(&body);
        assert!(page.len() < 2 * 1024 * 1024, "{} bytes", page.len());
        assert!(page.contains("aria-valuemax=\"2000\" aria-valuenow=\"1996\""));
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("<tr class")).collect();
        assert_eq!(rows.len(), 2000);
        assert!(rows[..4].iter().all(|row| row.contains("\"open\"")), "{:?}", &rows[..5]);
        assert!(rows[4..].iter().all(|row| row.contains("\"done\"")));
    }
}
