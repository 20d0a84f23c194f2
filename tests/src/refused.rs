//! Runs that have to be refused: the reason is in every output, and nothing changes.

use std::fs;
use std::path::Path;

use formats::error::Reason;
use lab::Device;

use crate::{Ran, Run, World};

/// Runs a program with `--json` and fails unless it is refused for this reason, which has to be in
/// the message and in the JSON. The caller checks that nothing has changed.
#[track_caller]
pub fn refused(run: Run, reason: &str) -> Ran {
    assert!(Reason::ALL.iter().any(|known| known.word() == reason), "no such reason: {reason}");
    let ran = run.arg("--json").run().expect(3);
    let json = ran.json();
    if json["reason"] != reason || json["exit_code"] != 3 {
        ran.fail(&format!("expected the reason '{reason}'"));
    }
    let results = json.get("results").and_then(|results| results.as_array());
    if results.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["reason"] != reason)) {
        ran.fail(&format!("expected '{reason}' in results[]"));
    }
    // an object with a message is an error, and the error stands on stderr as well
    if json.get("message").is_some() && !ran.stderr.contains(&format!("refused ({reason}): ")) {
        ran.fail(&format!("expected 'refused ({reason}): ' on stderr"));
    }
    ran
}

/// Fails unless the installation is refused and the device stays as it was.
#[track_caller]
pub fn install_refused(world: &World, device: &Device, source: &Path, reason: &str) -> Ran {
    let before = world.snapshot(device);
    let restarts = device.restarts().unwrap();
    let ran = refused(world.install(device, source), reason);
    world.unchanged(device, &before, &ran);
    assert_eq!(device.restarts().unwrap(), restarts);
    let none = fs::read_dir(device.root.join("var/sf/sftunnel-airgap/backups"));
    let left = none.map(|found| found.flatten().count()).unwrap_or(0);
    assert!(left <= restarts, "a refused run leaves no backup behind");
    // verify and the dry run say the same, and do not even make the state directory
    refused(world.on(device, &["verify"]).args(world.trust()).arg(source), reason);
    refused(world.install(device, source).arg("--dry-run"), reason);
    ran
}
