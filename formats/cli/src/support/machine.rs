//! The program, the clock, the kernel, the file systems and the limits, in text.

use std::env;
use std::fs;
use std::path::Path;

use formats::checksum::Sha256;
use formats::timestamp::Timestamp;
use rustix::fs::statvfs;
use rustix::io::Errno;
use rustix::system::uname;

use super::{SupportFile, Voice};
use crate::disk::root::Root;
use crate::say::version;

/// Adds what both programs tell: themselves, the clock, the kernel, limits, and the file systems
/// that `paths` lie on.
pub fn add(file: &mut SupportFile, root: &Root, now: Timestamp, paths: &[&str]) {
    file.part("program", Voice::Ours, program());
    file.part("clock", Voice::Ours, clock(now));
    file.part("kernel", Voice::Foreign, Ok(kernel()));
    file.part("memory and limits", Voice::Foreign, limits());
    file.part("file systems", Voice::Foreign, file_systems(root, paths));
}

fn program() -> Result<String, String> {
    let own = fs::read("/proc/self/exe").map_err(|error| format!("/proc/self/exe: {error}"))?;
    let path = env::current_exe()
        .map_or_else(|error| error.to_string(), |path| path.display().to_string());
    Ok(format!(
        "version {}\npath    {path}\nsize    {}\nsha256  {}\nuser    {}",
        version::VERSION,
        own.len(),
        Sha256::of(&own),
        rustix::process::geteuid().as_raw()
    ))
}

fn clock(now: Timestamp) -> Result<String, String> {
    let stat = read("/proc/stat")?;
    let booted = stat.lines().find_map(|line| line.strip_prefix("btime "));
    let booted = booted.and_then(|seconds| Timestamp::from_unix(seconds.trim().parse().ok()?).ok());
    let booted = booted.map_or_else(|| "unknown".to_owned(), |time| time.to_string());
    let uptime = read("/proc/uptime")?;
    let uptime = uptime.split_whitespace().next().unwrap_or("unknown").to_owned();
    let built = version::built();
    Ok(format!(
        "now     {now} (UTC)\nbooted  {booted}, {uptime} seconds ago\nprogram {built}: a correct clock is later"
    ))
}

fn kernel() -> String {
    let name = uname();
    let fields = [name.sysname(), name.nodename(), name.release(), name.version(), name.machine()];
    fields.map(|field| field.to_string_lossy().into_owned()).join(" ")
}

fn limits() -> Result<String, String> {
    let memory = read("/proc/meminfo")?;
    let of_memory = ["MemTotal", "MemAvailable", "SwapFree"];
    let memory = memory.lines().filter(|line| of_memory.iter().any(|name| line.starts_with(name)));
    let limits = read("/proc/self/limits")?;
    let of_limits =
        ["Max file size", "Max core", "Max open", "Max locked", "Max address", "Max data"];
    let limits = limits.lines().filter(|line| of_limits.iter().any(|name| line.starts_with(name)));
    let groups = read("/proc/self/cgroup").unwrap_or_else(|why| why);
    let lines = memory.chain(limits).chain(groups.lines()).map(str::trim_end);
    let lines: Vec<&str> = lines.collect();
    Ok(lines.join("\n"))
}

/// For each path: what is free where it lies, and the mount with its options.
fn file_systems(root: &Root, paths: &[&str]) -> Result<String, String> {
    let mounts = read("/proc/self/mountinfo")?;
    let lines = paths.iter().map(|path| {
        let outside = root.resolved(Path::new(path)).unwrap_or_else(|_| root.outside(path));
        let free = match statvfs(&outside) {
            Err(Errno::NOENT) => return format!("{}: there is none", outside.display()),
            Ok(found) => {
                let mib = |blocks: u64| blocks.saturating_mul(found.f_frsize) / (1024 * 1024);
                format!(
                    "{} of {} MiB free, {} of {} inodes free",
                    mib(found.f_bavail),
                    mib(found.f_blocks),
                    found.f_favail,
                    found.f_files
                )
            }
            Err(error) => error.to_string(),
        };
        let mount = mount_of(&mounts, &outside).unwrap_or("no mount found");
        format!("{}: {free}\n  {mount}", outside.display())
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// The last line whose mount point is the longest way to this path.
fn mount_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let point = |line: &str| line.split(' ').nth(4).map(Path::new).map(Path::to_path_buf);
    let on_the_way =
        mounts.lines().filter(|line| point(line).is_some_and(|at| path.starts_with(at)));
    on_the_way.max_by_key(|line| point(line).map_or(0, |at| at.as_os_str().len()))
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}
