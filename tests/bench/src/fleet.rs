//! Kits: milliseconds for each device, against a shell loop of `tar | gzip | age -r` over
//! the same files, against one scrypt, and the peak memory as the fleet grows.

use std::fs;
use std::path::Path;
use std::process::Command;

use formats::envelope::NewIdentity;
use lab::{Lab, LabSpec};

use crate::Result;
use crate::measure::{Figures, runs};

/// Measures and prints.
pub(crate) fn measure(bundle: &Path, sizes: &[usize], count: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let recipient = NewIdentity::generate().recipient().to_string();
    let passphrase = dir.path().join("passphrase");
    fs::write(&passphrase, "eight words that nobody would ever guess at all\n")?;
    println!("Kit, whole process, medians of {count} runs\n");
    println!(
        "{:>8} {:>10} {:>12} {:>12} {:>10}",
        "devices", "wall ms", "ms/device", "cpu ms/dev", "peak MiB"
    );
    let mut last = None;
    for &devices in sizes {
        let tree = dir.path().join(format!("lab-{devices}"));
        let mut spec = LabSpec::with_devices(devices);
        (spec.fmc_only, spec.key_pool) = (true, Some(8));
        let lab = Lab::build(&tree, &spec)?;
        let root = lab.manager()?.root.clone();
        let out = tree.join("out");
        let by_recipient = build(bundle, &root, &out, &["--recipient", &recipient], count)?;
        print_row(devices, by_recipient);
        let flag = passphrase.to_string_lossy().into_owned();
        let by_passphrase = build(bundle, &root, &out, &["--passphrase-file", &flag], count)?;
        last = Some((devices, root, out, by_recipient, by_passphrase));
    }
    let Some((devices, root, out, by_recipient, by_passphrase)) = last else { return Ok(()) };
    let scrypt = by_passphrase.cpu.saturating_sub(by_recipient.cpu);
    println!(
        "\nPassphrase kit for {devices} devices: {:.0} ms more processor time than the recipient kit: one scrypt",
        ms(scrypt)
    );

    let script = format!(
        r#"set -e; rm -rf "$2"; mkdir -p "$2"
for d in "$1"/var/sf/peers/*/certs_pushed; do u=${{d%/certs_pushed}}; u=${{u##*/}}
tar -cf - -C "$d" sftunnel-cert.pem sftunnel-key.pem -C "$1/etc/sf/ca_root" cacert.pem | gzip | age -r {recipient} > "$2/$u.age"; done"#
    );
    let loop_figures = runs(
        1,
        || Ok(()),
        || {
            let mut command = Command::new("bash");
            command.arg("-c").arg(&script).arg("loop").arg(&root).arg(&out);
            command
        },
    )?;
    println!(
        "Shell loop of tar | gzip | age -r for the same {devices}: {:.0} ms, {:.2} ms/device\nRatio: the kit is {:.1} times faster",
        ms(loop_figures.wall),
        ms(loop_figures.wall) / devices as f64,
        loop_figures.wall.as_secs_f64() / by_recipient.wall.as_secs_f64()
    );
    Ok(())
}

fn build(bundle: &Path, root: &Path, out: &Path, flags: &[&str], count: usize) -> Result<Figures> {
    let fresh = || -> Result<()> {
        if out.exists() {
            fs::remove_dir_all(out)?;
        }
        Ok(fs::create_dir_all(out)?)
    };
    let command = || {
        let mut command = Command::new(bundle);
        command.arg("build").arg("--root").arg(root).arg("--out").arg(out).args(flags).arg("-q");
        command
    };
    runs(count, fresh, command)
}

fn print_row(devices: usize, figures: Figures) {
    println!(
        "{devices:>8} {:>10.1} {:>12.3} {:>12.3} {:>10.1}",
        ms(figures.wall),
        ms(figures.wall) / devices as f64,
        ms(figures.cpu) / devices as f64,
        figures.peak_kib as f64 / 1024.0
    );
}

fn ms(time: std::time::Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
