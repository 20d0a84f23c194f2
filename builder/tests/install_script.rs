//! `install.sh` as dash and, where there is one, busybox run it. A shell script stands in
//! for the installer: it says where it runs and with which arguments, and exits with 6.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCRIPT: &str = include_str!("../src/texts/install.sh");
const STAND_IN: &str = "#!/bin/sh
[ \"$1\" != --version ] || exit 0
echo \"at $0\"
for argument; do echo \"[$argument]\"; done
exit 6
";

struct Kit {
    dir: PathBuf,
}

impl Kit {
    /// A kit in a folder with blanks in its name, nothing in it executable.
    fn new(name: &str) -> Self {
        let top = std::env::temp_dir().join(format!("install-sh-{name}-{}", std::process::id()));
        let dir = top.join("a stick/kit 1");
        fs::create_dir_all(dir.join("bin")).unwrap();
        fs::create_dir(top.join("tmp")).unwrap();
        fs::write(dir.join("install.sh"), SCRIPT).unwrap();
        for arch in ["x86_64", "aarch64"] {
            fs::write(dir.join(format!("bin/sftunnel-install-{arch}")), STAND_IN).unwrap();
        }
        Self { dir }
    }

    fn top(&self) -> &Path {
        self.dir.parent().unwrap().parent().unwrap()
    }

    fn tmp(&self) -> PathBuf {
        self.top().join("tmp")
    }

    fn run(&self, shell: &[&str], cwd: &Path, script: &Path, args: &[&str]) -> Output {
        let (program, before) = shell.split_first().unwrap();
        Command::new(program)
            .args(before)
            .arg(script)
            .args(args)
            .current_dir(cwd)
            .env("TMPDIR", self.tmp())
            .output()
            .unwrap()
    }

    fn run_here(&self, shell: &[&str], args: &[&str]) -> Output {
        self.run(shell, &self.dir, Path::new("install.sh"), args)
    }

    fn nothing_left(&self) {
        assert_eq!(fs::read_dir(self.tmp()).unwrap().count(), 0, "a copy was left behind");
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.top());
    }
}

fn shells() -> Vec<Vec<&'static str>> {
    let all = [vec!["dash"], vec!["sh"], vec!["busybox", "sh"], vec!["bash", "--posix"]];
    let there = |shell: &Vec<&str>| Command::new(shell[0]).arg("-c").arg(":").output().is_ok();
    all.into_iter().filter(there).collect()
}

fn arguments(output: &Output) -> Vec<String> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn options_alone_install_from_the_kit_and_words_pass_through() {
    let kit = Kit::new("arguments");
    let here = format!("[{}]", kit.dir.display());
    for shell in shells() {
        for (args, expected) in [
            (&[][..], vec!["[install]", &*here]),
            (&["--dry-run", "--identity", "my file"], {
                vec!["[install]", &*here, "[--dry-run]", "[--identity]", "[my file]"]
            }),
            (&["status"], vec!["[status]"]),
            (&["rollback", "--to", "3"], {
                vec!["[rollback]", "[--receipt-out]", &*here, "[--to]", "[3]"]
            }),
            (&["verify", "a b", ""], vec!["[verify]", "[a b]", "[]"]),
        ] {
            let output = kit.run_here(&shell, args);
            assert_eq!(output.status.code(), Some(6), "{shell:?} {args:?} {output:?}");
            assert_eq!(arguments(&output), expected, "{shell:?} {args:?} {output:?}");
            kit.nothing_left();
        }
    }
}

#[test]
fn the_program_runs_from_a_private_copy() {
    let kit = Kit::new("private");
    for shell in shells() {
        let script = kit.dir.join("install.sh");
        let output = kit.run(&shell, Path::new("/"), &script, &["status"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let at = text.lines().next().unwrap().strip_prefix("at ").unwrap();
        assert!(Path::new(at).starts_with(kit.tmp()), "{shell:?} ran {at}");
    }
}

#[test]
fn the_copy_is_checked_before_it_runs() {
    let kit = Kit::new("sha256");
    let arch = String::from_utf8(Command::new("uname").arg("-m").output().unwrap().stdout).unwrap();
    let program = kit.dir.join(format!("bin/sftunnel-install-{}", arch.trim()));
    let sums = Command::new("sha256sum").arg(&program).output().unwrap().stdout;
    let digest = String::from_utf8(sums).unwrap()[..64].to_uppercase();
    let ran = kit.top().join("ran");
    for shell in shells() {
        let good = kit.run_here(&shell, &["--sha256", &digest, "status"]);
        assert_eq!((good.status.code(), arguments(&good)), (Some(6), vec!["[status]".into()]));
        let equals = kit.run_here(&shell, &[&format!("--sha256={digest}")]);
        assert_eq!(equals.status.code(), Some(6));
        for (wrong, code) in [("0".repeat(64), 3), ("abc".into(), 2), (String::new(), 2)] {
            let output = kit.run_here(&shell, &["--sha256", &wrong, "status"]);
            assert_eq!(output.status.code(), Some(code), "{shell:?} {wrong} {output:?}");
            assert!(output.stdout.is_empty());
            kit.nothing_left();
        }
        // not even `--version` of a changed program
        fs::write(&program, format!("#!/bin/sh\n: >'{}'\n", ran.display())).unwrap();
        let output = kit.run_here(&shell, &["--sha256", &digest, "status"]);
        assert_eq!(output.status.code(), Some(3), "{shell:?} {output:?}");
        assert!(!ran.exists(), "{shell:?} ran a program with another digest");
        fs::write(&program, STAND_IN).unwrap();
    }
}

#[test]
fn a_program_that_cannot_run_anywhere_is_said_so() {
    let kit = Kit::new("cannot");
    for arch in ["x86_64", "aarch64"] {
        fs::write(kit.dir.join(format!("bin/sftunnel-install-{arch}")), "\x7fELF no").unwrap();
    }
    for shell in shells() {
        let output = kit.run_here(&shell, &[]);
        assert_eq!(output.status.code(), Some(1), "{shell:?} {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("TMPDIR"));
        kit.nothing_left();
    }
    fs::remove_dir_all(kit.dir.join("bin")).unwrap();
    for shell in shells() {
        let output = kit.run_here(&shell, &[]);
        assert_eq!(output.status.code(), Some(3), "{shell:?} {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("not-found"));
    }
}

#[test]
fn a_place_that_cannot_be_written_is_passed_over() {
    let kit = Kit::new("place");
    fs::set_permissions(kit.tmp(), fs::Permissions::from_mode(0o500)).unwrap();
    let gone = kit.top().join("gone");
    for shell in shells() {
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .arg(kit.dir.join("install.sh"))
            .env("TMPDIR", &gone)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(6), "{shell:?} {output:?}");
    }
}
