//! Kits: milliseconds for each device as the fleet grows, against the floor, against a shell
//! loop of `tar | gzip | age -r` over the same files, against one scrypt, and peak memory.
//!
//! Every run writes into a folder of its own and nothing is deleted before the end: ext4 is
//! slow to make files for some minutes after as many were deleted, which would be measured
//! in place of the programs. What earlier runs wrote is on the disk before the next begins.
//! Kit and floor run by turns and the ratio is taken of each pair, as a shared machine is not
//! the same from one minute to the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use formats::seal::NewIdentity;
use lab::{Lab, LabSpec};

use crate::Result;
use crate::measure::{Figures, median};

/// Most devices for the shell loop, which takes milliseconds for each.
const LOOP_DEVICES: usize = 1000;

/// Measures kits and prints the figures.
pub(crate) fn measure(bundle: &Path, sizes: &[usize], count: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let recipient = NewIdentity::generate().recipient().to_string();
    let passphrase = dir.path().join("passphrase");
    fs::write(&passphrase, "eight words that nobody would ever guess at all\n")?;
    println!(
        "Kit, whole process, medians of {count} runs; floor: its cryptography in a bare loop\n"
    );
    println!(
        "{:>8} {:>10} {:>10} {:>11} {:>9} {:>13} {:>9}",
        "devices", "wall ms", "ms/device", "cpu ms/dev", "peak MiB", "floor ms/dev", "x floor"
    );
    let mut compared = None;
    for &devices in sizes {
        let mut place = Place::build(dir.path(), devices)?;
        let pairs = (0..count.max(1))
            .map(|_| Ok((place.kit(bundle, &["--recipient", &recipient])?, place.floor()?)))
            .collect::<Result<Vec<_>>>()?;
        let figures = print_row(devices, &pairs);
        if devices <= LOOP_DEVICES || compared.is_none() {
            compared = Some((devices, place, figures));
        }
    }
    let Some((devices, mut place, figures)) = compared else { return Ok(()) };
    let flag = passphrase.to_string_lossy().into_owned();
    let by_passphrase = (0..count.max(1))
        .map(|_| place.kit(bundle, &["--passphrase-file", &flag]))
        .collect::<Result<Vec<_>>>()?;
    let by_passphrase = Figures::medians(&by_passphrase);
    println!(
        "\nPassphrase kit for {devices} devices: {:.0} ms more processor time than the recipient kit: one scrypt",
        ms(by_passphrase.cpu.saturating_sub(figures.cpu))
    );
    let looped = place.shell_loop(&recipient)?;
    println!(
        "Shell loop of tar | gzip | age -r for the same {devices}: {:.0} ms, {:.2} ms/device\nRatio: the kit is {:.1} times faster",
        ms(looped.wall),
        ms(looped.wall) / devices as f64,
        looped.wall.as_secs_f64() / figures.wall.as_secs_f64()
    );
    Ok(())
}

/// Builds an FMC with this number of devices.
pub(crate) fn build_lab(tree: &Path, devices: usize) -> Result<()> {
    let mut spec = LabSpec::with_devices(devices);
    (spec.fmc_only, spec.key_pool) = (true, Some(8));
    Lab::build(tree, &spec)?;
    Ok(())
}

/// Runs a part of this program in a process of its own, and returns its output.
fn itself(command: &mut Command) -> Result<String> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// An FMC with its devices, and folders for the kits made of it.
struct Place {
    root: PathBuf,
    out: PathBuf,
    made: usize,
}

impl Place {
    fn build(dir: &Path, devices: usize) -> Result<Self> {
        let tree = dir.join(format!("lab-{devices}"));
        itself(
            Command::new(std::env::current_exe()?).arg("lab").arg(&tree).arg(devices.to_string()),
        )?;
        Ok(Self { root: tree.join("fmc"), out: tree.join("out"), made: 0 })
    }

    fn floor(&self) -> Result<Duration> {
        let mut command = Command::new(std::env::current_exe()?);
        let nanos = itself(command.arg("floor").arg(&self.root))?;
        Ok(Duration::from_nanos(nanos.trim().parse()?))
    }

    /// Makes a new folder, once everything written before is on the disk.
    fn fresh(&mut self) -> Result<PathBuf> {
        self.made += 1;
        let out = self.out.join(self.made.to_string());
        fs::create_dir_all(&out)?;
        rustix::fs::syncfs(fs::File::open(&out)?)?;
        Ok(out)
    }

    fn kit(&mut self, bundle: &Path, flags: &[&str]) -> Result<Figures> {
        let mut command = Command::new(bundle);
        command.arg("build").arg("--root").arg(&self.root).arg("--out").arg(self.fresh()?);
        command.args(flags).arg("-q");
        Figures::of(command)
    }

    fn shell_loop(&mut self, recipient: &str) -> Result<Figures> {
        let script = format!(
            r#"set -e
for d in "$1"/var/sf/peers/*/certs_pushed; do u=${{d%/certs_pushed}}; u=${{u##*/}}
tar -cf - -C "$d" sftunnel-cert.pem sftunnel-key.pem -C "$1/etc/sf/ca_root" cacert.pem | gzip | age -r {recipient} > "$2/$u.age"; done"#
        );
        let mut command = Command::new("bash");
        command.arg("-c").arg(&script).arg("loop").arg(&self.root).arg(self.fresh()?);
        Figures::of(command)
    }
}

fn print_row(devices: usize, pairs: &[(Figures, Duration)]) -> Figures {
    let figures = Figures::medians(&pairs.iter().map(|(kit, _)| *kit).collect::<Vec<_>>());
    let mut ratios: Vec<f64> =
        pairs.iter().map(|(kit, floor)| kit.wall.as_secs_f64() / floor.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "{devices:>8} {:>10.1} {:>10.3} {:>11.3} {:>9.1} {:>13.3} {:>9.2}",
        ms(figures.wall),
        ms(figures.wall) / devices as f64,
        ms(figures.cpu) / devices as f64,
        figures.peak_kib as f64 / 1024.0,
        ms(median(pairs.iter().map(|(_, floor)| *floor))) / devices as f64,
        ratios.get(ratios.len() / 2).copied().unwrap_or_default()
    );
    figures
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
