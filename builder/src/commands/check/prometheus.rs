//! `check` as a text file for Prometheus's node exporter.

use cli::say::prometheus::{STATES, Textfile, label, number};

use super::devices::Reached;
use super::state::Checked;
use super::view::CheckBody;
use crate::device_result::DeviceRef;
use crate::fmc::tunnel_status::Tunnel;

/// Formats the whole file.
pub(super) fn text(body: &CheckBody) -> String {
    let mut file = Textfile::default();
    let times = [
        ("not_after", "Last second of validity, unix time.", Checked::end as fn(&Checked) -> _),
        ("not_before", "First second of validity, unix time.", Checked::start),
    ];
    for (name, help, time) in times {
        let samples = body.results.iter().filter_map(|file| Some((labels(file), time(file)?)));
        file.gauge(&format!("sftunnel_certificate_{name}_seconds"), help, samples);
    }
    let states = body.results.iter().map(|file| (labels(file), number(file.state)));
    file.gauge("sftunnel_certificate_state", &format!("{STATES}."), states);
    devices(&mut file, body);
    let worst = [(String::new(), number(body.state))];
    file.gauge("sftunnel_check_state", &format!("The worst of all: {STATES}."), worst);
    let when = [(String::new(), body.checked_at.unix())];
    file.gauge("sftunnel_check_time_seconds", "When this was written, unix time.", when);
    file.text().to_owned()
}

/// NaN compares as false with everything, so that an alert on 0 is not set off by what nobody
/// knows.
fn devices(file: &mut Textfile, body: &CheckBody) {
    let up = body.devices.iter().map(|device| {
        let value = match device.tunnel {
            Tunnel::Up => "1",
            Tunnel::Down => "0",
            Tunnel::Unknown => "NaN",
        };
        (device_labels(Some(&device.device)), value)
    });
    file.gauge("sftunnel_tunnel_up", "1 the tunnel is up, 0 it is down, NaN not known.", up);
    let reached = body.devices.iter().map(|device| {
        let value = match device.reached {
            Reached::No | Reached::Undelivered => "0",
            Reached::Unknown => "NaN",
            _ => "1",
        };
        (device_labels(Some(&device.device)), value)
    });
    let help = "0 the newest FAILED_PUSH lists it or a new pair lies here, and nothing shows it to be done, else 1; NaN without a list.";
    file.gauge("sftunnel_device_reached", help, reached);
}

impl Checked {
    fn end(&self) -> Option<i64> {
        self.not_after.map(|time| time.unix())
    }

    fn start(&self) -> Option<i64> {
        self.not_before.map(|time| time.unix())
    }
}

fn labels(checked: &Checked) -> String {
    let role = serde_json::to_value(checked.role).unwrap_or_default();
    let role = label("role", role.as_str().unwrap_or_default());
    let device = device_labels(checked.device.as_ref());
    format!("{role},{device},{}", label("path", &checked.path))
}

fn device_labels(device: Option<&DeviceRef>) -> String {
    let uuid = device.map_or("", |device| device.uuid.as_str());
    let name = device.and_then(|device| device.name.as_ref()).map_or("", |name| name.as_str());
    format!("{},{}", label("device", name), label("device_uuid", uuid))
}
