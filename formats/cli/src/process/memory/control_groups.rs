//! Memory that the control groups of this process leave to it: cgroups(7), both versions, each
//! group and its parents, as far as they are visible from here.

use std::path::{Component, Path, PathBuf};

use super::Room;

/// Names of the files in one version.
struct Version {
    /// Files with the most that may be used; several may exist.
    limits: &'static [&'static str],
    usage: &'static str,
    /// Keys in `memory.stat` for pages of files, which the kernel reclaims before it ends a
    /// program.
    reclaimable: [&'static str; 2],
}

const V1: Version = Version {
    limits: &["memory.limit_in_bytes"],
    usage: "memory.usage_in_bytes",
    reclaimable: ["total_inactive_file ", "total_active_file "],
};
const V2: Version = Version {
    // beyond the second a process is slowed down to a standstill
    limits: &["memory.max", "memory.high"],
    usage: "memory.current",
    reclaimable: ["inactive_file ", "active_file "],
};

/// Computes what each group with a limit leaves, from the texts of `/proc/self/cgroup` and
/// `/proc/self/mountinfo` and a function that reads the groups' files.
pub(super) fn rooms(
    groups: &str,
    mounts: &str,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Vec<Room> {
    let mut rooms = Vec::new();
    for mount in mounts.lines().filter_map(Mount::parse) {
        let own = groups.lines().find_map(|line| mount.own_group(line));
        for folder in own.map(|own| mount.folders(own)).unwrap_or_default() {
            rooms.extend(room(&mount.version, &folder, read));
        }
    }
    rooms
}

fn room(version: &Version, folder: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<Room> {
    let number = |name: &&str| read(&folder.join(name))?.trim().parse::<u64>().ok();
    let limit = version.limits.iter().filter_map(number).min()?;
    let usage = number(&version.usage)?;
    let stat = read(&folder.join("memory.stat")).unwrap_or_default();
    let of_stat = |name| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|number| number.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    let reclaimable =
        version.reclaimable.map(of_stat).iter().fold(0, |a: u64, b| a.saturating_add(*b));
    let bytes = limit.saturating_sub(usage.saturating_sub(reclaimable));
    Some(Room { of: format!("in the control group {}", folder.display()), bytes })
}

/// A mounted tree of groups that counts memory.
struct Mount {
    version: Version,
    /// Group that the mount shows, as `/proc/self/cgroup` names groups.
    root: PathBuf,
    /// Mount point.
    point: PathBuf,
}

impl Mount {
    /// Parses `36 35 98:0 ROOT POINT OPTIONS [TAGS…] - TYPE SOURCE OPTIONS`
    /// (proc_pid_mountinfo(5)).
    fn parse(line: &str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3).map(unescaped);
        let (root, point) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let version = match (kind.next()?, kind.nth(1)?) {
            ("cgroup", options) if options.split(',').any(|option| option == "memory") => V1,
            ("cgroup2", _) => V2,
            _ => return None,
        };
        Some(Self { version, root, point })
    }

    /// Returns the path in a line of `/proc/self/cgroup` if it is of this tree: `0::/path` or
    /// `4:cpu,memory:/path`.
    fn own_group<'a>(&self, line: &'a str) -> Option<&'a str> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let is_this = if self.version.usage == V2.usage {
            controllers.is_empty()
        } else {
            controllers.split(',').any(|controller| controller == "memory")
        };
        is_this.then_some(path)
    }

    /// Returns the group's folder and its parents up to the mount. For a group that the mount does
    /// not show (it is of another namespace) that is the mount itself.
    fn folders(&self, group: &str) -> Vec<PathBuf> {
        let below = Path::new(group).strip_prefix(&self.root).unwrap_or(Path::new(""));
        let is_plain = below.components().all(|part| matches!(part, Component::Normal(_)));
        let below = if is_plain { below } else { Path::new("") };
        below.ancestors().map(|part| self.point.join(part)).collect()
    }
}

/// Decodes a blank, tab, line feed or backslash, which are written as `\040` and so on.
fn unescaped(field: &str) -> PathBuf {
    let codes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    codes.iter().fold(field.to_owned(), |text, (code, plain)| text.replace(code, plain)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// Runs [`rooms`] on files given as `path=content`, and returns MiB by folder.
    fn found(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Vec<(String, u64)> {
        let read = |path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path)?;
            Some(file.1.replace("Mi", "048576") + "\n")
        };
        let of = |room: Room| {
            (room.of.trim_start_matches("in the control group ").to_owned(), room.bytes / MIB)
        };
        rooms(groups, mounts, &read).into_iter().map(of).collect()
    }

    const V2_MOUNT: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw";
    const V1_MOUNTS: &str = "33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory";

    #[test]
    fn version_2_leaves_the_least_of_a_group_and_all_around_it() {
        let files = [
            ("/sys/fs/cgroup/a/b/memory.max", "max"),
            ("/sys/fs/cgroup/a/b/memory.current", "1Mi"),
            ("/sys/fs/cgroup/a/memory.max", "900000000"),
            ("/sys/fs/cgroup/a/memory.high", "max"),
            ("/sys/fs/cgroup/a/memory.current", "1Mi"),
        ];
        assert_eq!(found("0::/a/b\n", V2_MOUNT, &files), [("/sys/fs/cgroup/a".to_owned(), 857)]);
        let high =
            [files[3..].to_vec(), vec![("/sys/fs/cgroup/a/memory.high", "1048576")]].concat();
        let high: Vec<_> = high.into_iter().filter(|(_, text)| *text != "max").collect();
        assert_eq!(found("0::/a/b\n", V2_MOUNT, &high), [("/sys/fs/cgroup/a".to_owned(), 0)]);
    }

    #[test]
    fn version_1_counts_the_tree_of_the_memory_controller() {
        let files = [
            ("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1500000000"),
            ("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "1000000000"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "1000000000"),
        ];
        let groups = "9:name=systemd:/\n4:cpu,memory:/box\n1:cpuset:/other\n0::/\n";
        let rooms = found(groups, V1_MOUNTS, &files);
        assert_eq!(rooms[0], ("/sys/fs/cgroup/memory/box".to_owned(), 476));
        assert_eq!((rooms.len(), rooms[1].1 > 1_000_000), (2, true), "no limit is a large one");
    }

    #[test]
    fn pages_of_files_are_no_obstacle() {
        let files = [
            ("/sys/fs/cgroup/memory.max", "100Mi"),
            ("/sys/fs/cgroup/memory.current", "99Mi"),
            ("/sys/fs/cgroup/memory.stat", "anon 1Mi\ninactive_file 1048576\nactive_file 2097152"),
        ];
        let files = files.map(|(name, text)| {
            (name, text.replace("100Mi", "104857600").replace("99Mi", "103809024"))
        });
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_eq!(found("0::/\n", V2_MOUNT, &files), [("/sys/fs/cgroup/".to_owned(), 4)]);
    }

    #[test]
    fn in_a_container_the_mount_shows_a_part_of_the_tree() {
        let file = |folder: &str| {
            [("memory.max", "104857600"), ("memory.current", "0")]
                .map(|(name, text)| (format!("{folder}/{name}"), text.to_owned()))
        };
        let mount = r"29 23 0:26 /docker/1 /mnt/a\040b rw - cgroup2 cgroup2 rw";
        for group in ["0::/docker/1", "0::/docker/1/x", "0::/elsewhere", "0::/../.."] {
            let files = file("/mnt/a b");
            let files = files.each_ref().map(|(name, text)| (name.as_str(), text.as_str()));
            let rooms = found(group, mount, &files);
            assert_eq!(rooms, [("/mnt/a b/".to_owned(), 100)], "{group}");
        }
    }

    #[test]
    fn what_cannot_be_read_or_is_none_says_nothing() {
        let files = [("/sys/fs/cgroup/memory.max", "104857600")];
        for (groups, mounts) in [
            ("", V2_MOUNT),
            ("0::/", ""),
            ("0::/", "nonsense - x"),
            ("nonsense", V2_MOUNT),
            ("0::/", V2_MOUNT),
            ("0::/", V1_MOUNTS),
        ] {
            assert_eq!(found(groups, mounts, &files), [], "{groups} {mounts}");
        }
    }
}
