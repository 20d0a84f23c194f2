//! The installation: the time in which live files are being renamed, and all work other
//! than `pmtool`, waiting for health and scrypt.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use formats::seal::NewIdentity;
use lab::{Lab, LabSpec};
use serde_json::Value;

use crate::Result;
use crate::measure::median;

/// A process manager that does its work in no time, so that what remains is the installer's.
const INSTANT_PMTOOL: &str = r#"#!/bin/sh
n="${0%/*}/pid"; read -r p < "$n"
[ "$1" = status ] || { p=$((p+1)); echo "$p" > "$n"; exit; }
echo "sftunnel (normal) - Running $p"
"#;

/// Measures the installation and prints the figures.
pub(crate) fn measure(bundle: &Path, install: &Path, count: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let lab = Lab::build(&dir.path().join("lab"), &LabSpec::with_devices(1))?;
    let device = lab.devices.first().ok_or("the lab has no device")?;
    let identity = NewIdentity::generate();
    let identity_file = dir.path().join("identity");
    fs::write(&identity_file, identity.file(&[]).as_bytes())?;
    let mut build = Command::new(bundle);
    build.args(["build", "-q", "--root"]).arg(&lab.manager()?.root).arg("--out").arg(dir.path());
    if !build
        .args(["--recipient", &identity.recipient().to_string()])
        .stdout(Stdio::null())
        .status()?
        .success()
    {
        return Err("the kit could not be built".into());
    }
    let kit = fs::read_dir(dir.path())?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("sftunnel-kit-"))
        })
        .ok_or("no kit")?;
    let signer = signer(&kit)?;
    let pmtool = dir.path().join("pmtool");
    fs::write(&pmtool, INSTANT_PMTOOL)?;
    fs::set_permissions(&pmtool, fs::Permissions::from_mode(0o755))?;
    fs::write(dir.path().join("pid"), "1000\n")?;

    let (mut walls, mut renames, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count.max(1) {
        let mut command = Command::new(install);
        command
            .arg("install")
            .arg(&kit)
            .args(["--json", "--yes", "--no-wait", "--settle", "0", "--root"])
            .arg(&device.root);
        command
            .arg("--identity")
            .arg(&identity_file)
            .args(["--signer", &signer])
            .arg("--pmtool")
            .arg(&pmtool);
        let started = Instant::now();
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let output = peak_and_output(child, &mut peaks)?;
        walls.push(started.elapsed());
        let report: Value = serde_json::from_slice(&output)?;
        let micros = report
            .get("renames_microseconds")
            .and_then(Value::as_u64)
            .ok_or_else(|| report.to_string())?;
        renames.push(Duration::from_micros(micros));
        let mut rollback = Command::new(install);
        rollback
            .args(["rollback", "-q", "--yes", "--no-wait", "--settle", "0", "--root"])
            .arg(&device.root)
            .arg("--pmtool")
            .arg(&pmtool);
        if !rollback.stdout(Stdio::null()).status()?.success() {
            return Err("the rollback failed".into());
        }
    }
    println!("\nInstallation of one device, medians of {count} runs");
    println!(
        "  first to last rename of the live files: {:.3} ms",
        median(renames).as_secs_f64() * 1000.0
    );
    println!(
        "  whole process with a pmtool that takes no time, no scrypt: {:.1} ms",
        median(walls).as_secs_f64() * 1000.0
    );
    println!("  peak memory: {:.1} MiB", median(peaks) as f64 / 1024.0);
    Ok(())
}

fn peak_and_output(mut child: std::process::Child, peaks: &mut Vec<u64>) -> Result<Vec<u8>> {
    use wait4::Wait4;
    let mut output = Vec::new();
    if let Some(mut stdout) = child.stdout.take() {
        std::io::Read::read_to_end(&mut stdout, &mut output)?;
    }
    peaks.push(child.wait4()?.rusage.maxrss / 1024);
    Ok(output)
}

fn signer(kit: &Path) -> Result<String> {
    let index: Value = serde_json::from_slice(&fs::read(kit.join("kit.json"))?)?;
    let fingerprint = index.pointer("/signer/fingerprint").and_then(Value::as_str);
    Ok(fingerprint.ok_or("kit.json names no signer")?.to_owned())
}
