//! The text form that Prometheus' node exporter collects from a folder.

use std::fmt::Write as _;

use formats::text::printable;

use super::devices::Reached;
use super::state::{Checked, State};
use super::view::CheckBody;
use crate::outcome::DeviceRef;
use crate::tunnel_status::Tunnel;

/// The whole file.
pub(super) fn text(body: &CheckBody) -> String {
    let mut text = String::new();
    let times = [
        ("not_after", "Last second of validity, unix time.", Checked::end as fn(&Checked) -> _),
        ("not_before", "First second of validity, unix time.", Checked::start),
    ];
    for (name, help, time) in times {
        let metric = format!("sftunnel_certificate_{name}_seconds");
        let _ = write!(text, "# HELP {metric} {help}\n# TYPE {metric} gauge\n");
        for checked in &body.results {
            if let Some(seconds) = time(checked) {
                let _ = writeln!(text, "{metric}{{{}}} {seconds}", labels(checked));
            }
        }
    }
    let metric = "sftunnel_certificate_state";
    let _ = write!(
        text,
        "# HELP {metric} 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.\n# TYPE {metric} gauge\n"
    );
    for checked in &body.results {
        let _ = writeln!(text, "{metric}{{{}}} {}", labels(checked), number(checked.state));
    }
    tunnels(&mut text, body);
    let _ = write!(
        text,
        "# HELP sftunnel_check_state The worst of all: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.\n# TYPE sftunnel_check_state gauge\nsftunnel_check_state {}\n# HELP sftunnel_check_time_seconds When this was written, unix time.\n# TYPE sftunnel_check_time_seconds gauge\nsftunnel_check_time_seconds {}\n",
        number(body.state),
        body.checked_at.unix()
    );
    text
}

/// NaN compares as false with everything, so that an alert on 0 is not set off by what nobody
/// knows.
fn tunnels(text: &mut String, body: &CheckBody) {
    let metric = "sftunnel_tunnel_up";
    let _ = write!(
        text,
        "# HELP {metric} 1 the tunnel is up, 0 it is down, NaN not known.\n# TYPE {metric} gauge\n"
    );
    for device in &body.devices {
        let value = match device.tunnel {
            Tunnel::Up => "1",
            Tunnel::Down => "0",
            Tunnel::Unknown => "NaN",
        };
        let _ = writeln!(text, "{metric}{{{}}} {value}", device_labels(Some(&device.device)));
    }
    let metric = "sftunnel_device_reached";
    let _ = write!(
        text,
        "# HELP {metric} 0 the newest FAILED_PUSH lists it and nothing shows it to be done, else 1.\n# TYPE {metric} gauge\n"
    );
    for device in &body.devices {
        let value = u8::from(device.reached != Reached::No);
        let _ = writeln!(text, "{metric}{{{}}} {value}", device_labels(Some(&device.device)));
    }
}

impl Checked {
    fn end(&self) -> Option<i64> {
        self.not_after.map(|time| time.unix())
    }

    fn start(&self) -> Option<i64> {
        self.not_before.map(|time| time.unix())
    }
}

fn number(state: State) -> u8 {
    state.exit().code()
}

fn labels(checked: &Checked) -> String {
    let role = serde_json::to_value(checked.role).unwrap_or_default();
    format!(
        "role=\"{}\",{},path=\"{}\"",
        role.as_str().unwrap_or_default(),
        device_labels(checked.device.as_ref()),
        escaped(&checked.path)
    )
}

fn device_labels(device: Option<&DeviceRef>) -> String {
    let uuid = device.map_or("", |device| device.uuid.as_str());
    let name = device.and_then(|device| device.name.as_ref()).map_or("", |name| name.as_str());
    format!("device=\"{}\",device_uuid=\"{uuid}\"", escaped(name))
}

/// What a label's value needs, after control characters are made visible.
fn escaped(text: &str) -> String {
    printable(text).to_string().replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_a_label() {
        assert_eq!(escaped("a\"} 1\nb"), "a\\\"} 1\\\\u{a}b");
    }
}
