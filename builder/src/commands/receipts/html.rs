//! The page for the change ticket: one file, nothing loaded from elsewhere, made for paper.

use std::fmt::Write as _;
use std::path::Path;

use cli::disk::durable;
use cli::say::failure::Failure;
use formats::text::printable;

use super::standing::Standing;
use super::view::{DeviceView, ReceiptsBody};

const STYLE: &str = include_str!("../../texts/receipts.css");

/// Writes the page in place of an older one, which still stands where that fails.
pub(super) fn write(path: &Path, body: &ReceiptsBody) -> Result<(), Failure> {
    durable::replace_at(path, page(body).as_bytes(), 0o644)
}

fn page(body: &ReceiptsBody) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n<title>sftunnel certificates: receipts</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>sftunnel certificates: receipts</h1>\n"
    );
    let _ = writeln!(page, "<p class=\"summary\">{}</p>", escaped(&body.summary()));
    page.push_str("<dl>\n");
    term(&mut page, "checked", &format!("{} by the clock of the FMC", body.checked_at));
    for kit in &body.kits {
        let manager = format!("{} {}", kit.manager.uuid, kit.manager.hostname.as_str());
        let known = if kit.vouched_by.is_some() { "" } else { " (not confirmed)" };
        term(&mut page, "kit", &kit.path.display().to_string());
        term(&mut page, "manager", manager.trim_end());
        term(&mut page, "batch", &format!("{}, built {}", kit.batch, kit.created_at));
        term(&mut page, "signer of the list", &format!("{}{known}", kit.signer));
    }
    for ca in &body.ca {
        let what = if ca.current { "CA in use" } else { "older CA" };
        term(&mut page, what, &format!("SHA-256 {}, from {}", ca.fingerprint, ca.not_before));
    }
    if let Some(heading) = body.tunnels.heading() {
        term(&mut page, "tunnels", &heading);
    }
    if let Some(note) = body.tunnels.note_text() {
        term(&mut page, "tunnels", &note);
    }
    page.push_str("</dl>\n<table>\n<thead><tr><th>device</th><th>UUID</th><th>state</th><th>when (its clock)</th><th>tunnel</th><th>certificate (SHA-256)</th></tr></thead>\n<tbody>\n");
    body.results.iter().for_each(|device| row(&mut page, device));
    page.push_str("</tbody>\n</table>\n");
    let refused: Vec<_> =
        body.receipts.iter().filter_map(|r| Some((r, r.refusal.as_ref()?))).collect();
    if !refused.is_empty() {
        page.push_str("<h2>Receipts that do not verify</h2>\n<ul>\n");
        for (receipt, refusal) in refused {
            let path = escaped(&receipt.path.display().to_string());
            let (reason, message) = (refusal.reason, escaped(&refusal.message));
            let _ = writeln!(page, "<li><code>{path}</code>: {reason}: {message}</li>");
        }
        page.push_str("</ul>\n");
    }
    for warning in &body.warnings {
        let _ = writeln!(page, "<p class=\"warning\">{}</p>", escaped(warning));
    }
    page.push_str("<p>A receipt is a claim by a holder of the device's key, which the FMC is, too. The tunnel seen up at the FMC is the proof; <em>up since</em> says that it was seen after the claim, <em>up before</em> and <em>up, undated</em> that it was not, or that this is not known.</p>\n<p class=\"sign\">Checked by <span></span> Date <span></span></p>\n</body>\n</html>\n");
    page
}

fn term(page: &mut String, what: &str, value: &str) {
    let _ = writeln!(page, "<dt>{what}</dt><dd>{}</dd>", escaped(value));
}

fn row(page: &mut String, device: &DeviceView) {
    let class = match device.status {
        Standing::Done => "done",
        Standing::RolledBack => "back",
        Standing::Outstanding => "open",
        Standing::Unverified => "bad",
    };
    let time = device.ended_at.map_or_else(String::new, |time| time.to_string());
    let certificate = device.certificate.map_or_else(String::new, |sha256| sha256.to_string());
    let _ = writeln!(
        page,
        "<tr class=\"{class}\"><td>{}</td><td><code>{}</code></td><td>{}</td><td>{time}</td><td>{}</td><td><code>{certificate}</code></td></tr>",
        escaped(device.device.name.as_ref().map_or("", |name| name.as_str())),
        device.device.uuid,
        device.status.word(),
        device.tunnel_text(),
    );
}

/// Visible characters only, and none that HTML obeys.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).to_string().chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_only_text() {
        let text = "<script>alert('x')</script>\u{202e}&\"";
        let expected = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\\u{202e}&amp;&quot;";
        assert_eq!(escaped(text), expected);
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = page(&ReceiptsBody::default());
        for word in ["http:", "https:", "src=", "href=", "<script", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
    }
}
