//! `install.sh` as dash, bash and, where there is one, busybox run it. A shell script stands in
//! for the installer: it says where it runs and with which arguments, and exits with 6.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCRIPT: &str = include_str!("../src/texts/install.sh");
/// Removes itself, as the installer does.
const STAND_IN: &str = "#!/bin/sh
[ \"$1\" != --version ] || { echo 'sftunnel-install 1'; exit 0; }
[ \"$SFTUNNEL_INSTALL_COPY\" = \"${0%/*}\" ] && rm -r \"${0%/*}\"
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
        let kit = Self { dir };
        kit.hold(STAND_IN);
        kit
    }

    /// Puts a program in for each machine, as `SHA256SUMS` lists it.
    fn hold(&self, program: impl AsRef<[u8]>) {
        self.spoil(program);
        let mut sums = Command::new("sh");
        sums.args(["-c", "sha256sum bin/* >SHA256SUMS"]).current_dir(&self.dir);
        assert!(sums.status().unwrap().success());
    }

    /// The same without telling `SHA256SUMS`.
    fn spoil(&self, program: impl AsRef<[u8]>) {
        for arch in ["x86_64", "aarch64"] {
            let path = self.dir.join(format!("bin/sftunnel-install-{arch}"));
            fs::write(path, program.as_ref()).unwrap();
        }
    }

    fn digest(&self) -> String {
        fs::read_to_string(self.dir.join("SHA256SUMS")).unwrap()[..64].to_owned()
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

/// The end and what was said of it; nothing ran and nothing is left.
fn refused(kit: &Kit, output: &Output) -> (Option<i32>, String) {
    assert!(output.stdout.is_empty(), "{output:?}");
    kit.nothing_left();
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

#[test]
fn words_pass_through_and_the_kit_is_named_where_none_is() {
    let kit = Kit::new("arguments");
    let here = kit.dir.to_str().unwrap();
    for shell in shells() {
        for (args, expected) in [
            (&[][..], &["install", here][..]),
            (&["--identity", "my file"], &["install", here, "--identity", "my file"]),
            (&["--identity", "status"], &["install", here, "--identity", "status"]),
            (&["--signer", "SHA256:abc"], &["install", here, "--signer", "SHA256:abc"]),
            (&["--signer=SHA256:abc"], &["install", here, "--signer=SHA256:abc"]),
            (&["-q", "--root", "a b", "--yes"], &["install", here, "-q", "--root", "a b", "--yes"]),
            (&["status"], &["status"]),
            (&["-v", "status"], &["-v", "status"]),
            (
                &["--root", "/r", "--json", "status", "x"],
                &["--root", "/r", "--json", "status", "x"],
            ),
            (&["--root=/r", "-vq", "log"], &["--root=/r", "-vq", "log"]),
            (
                &["--port", "8306", "--status-timeout=60", "status"],
                &["--port", "8306", "--status-timeout=60", "status"],
            ),
            (&["rollback", "--to", "3"], &["rollback", "--receipt-out", here, "--to", "3"]),
            (&["-q", "rollback"], &["-q", "rollback", "--receipt-out", here]),
            (&["install", "--yes"], &["install", "--kit", here, "--yes"]),
            (&["verify", "a b", ""], &["verify", "--kit", here, "a b", ""]),
            (
                &["--pmtool", "inspect", "inspect"],
                &["--pmtool", "inspect", "inspect", "--kit", here],
            ),
            (&["--version"], &["--version"]),
            (&["-v", "-V"], &["-v", "-V"]),
            (&["", "*"], &["install", here, "", "*"]),
        ] {
            let output = kit.run_here(&shell, args);
            if expected.starts_with(&["--version"]) {
                assert_eq!(output.stdout, b"sftunnel-install 1\n", "{shell:?} {output:?}");
                // the stand-in does not remove itself then
                fs::remove_dir_all(kit.tmp()).unwrap();
                fs::create_dir(kit.tmp()).unwrap();
                continue;
            }
            assert_eq!(output.status.code(), Some(6), "{shell:?} {args:?} {output:?}");
            let expected: Vec<_> = expected.iter().map(|word| format!("[{word}]")).collect();
            assert_eq!(arguments(&output), expected, "{shell:?} {args:?} {output:?}");
            kit.nothing_left();
        }
    }
}

#[test]
fn the_help_says_how_the_script_is_run() {
    let kit = Kit::new("help");
    for shell in shells() {
        for word in ["--help", "-h", "help"] {
            let output = kit.run_here(&shell, &[word]);
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.starts_with("  sh install.sh [--sha256 HEX] [OPTIONS]"), "{text}");
            assert!(text.ends_with(&format!("[{word}]\n")), "{text}");
        }
    }
}

#[test]
fn the_program_runs_from_a_private_copy_and_in_the_place_of_the_script() {
    let kit = Kit::new("private");
    kit.hold(STAND_IN.replace("echo \"at", "echo \"$$\"; echo \"at"));
    for shell in shells() {
        let script = kit.dir.join("install.sh");
        let words = [shell.join(" "), format!("'{}' status", script.display())].join(" ");
        let mut started = Command::new("sh");
        started.args(["-c", &format!("echo $$; exec {words}")]).env("TMPDIR", kit.tmp());
        let output = started.current_dir("/").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), lines.next(), "{shell:?}: a shell waits for the program");
        let at = lines.next().unwrap().strip_prefix("at ").unwrap();
        assert!(Path::new(at).starts_with(kit.tmp()), "{shell:?} ran {at}");
    }
}

#[test]
fn a_digest_counts_wherever_it_stands_and_the_copy_is_compared_with_it() {
    let kit = Kit::new("sha256");
    let digest = kit.digest().to_uppercase();
    let spaced = format!("{} {}", &digest[..32], &digest[32..]);
    let (equals, zeros) = (format!("--sha256={digest}"), "0".repeat(64));
    let other = format!("--sha256={zeros}");
    let ran = kit.top().join("ran");
    for shell in shells() {
        for args in [
            &["--sha256", &*digest, "status"][..],
            &["status", &equals],
            &["--sha256", &spaced, "status"],
            &[&equals, "status", "--sha256", &digest.to_lowercase()],
        ] {
            let good = kit.run_here(&shell, args);
            let found = (good.status.code(), arguments(&good));
            assert_eq!(found, (Some(6), vec!["[status]".into()]), "{shell:?} {good:?}");
        }
        for (args, code) in [
            (&["--sha256", &*zeros, "status"][..], 3),
            (&["status", "--sha256", &zeros], 3),
            (&["--dry-run", "--sha256", &zeros], 3),
            (&["-q", &other], 3),
            (&[&equals, &other], 2),
            (&["--sha256", "none", "status"], 2),
            (&["--sha256", "", "status"], 2),
            (&["--sha256=", "status"], 2),
            (&["status", "--sha256"], 2),
            (&["--sha256", &digest[1..], "status"], 2),
            (&["--sha256", &digest.replace(['0', '1', '2'], "g"), "status"], 2),
            (&["--sha256", "--yes"], 2),
            // not understood is not compared, and the program is not there to say so
            (&["--SHA256", &zeros, "status"], 2),
            (&["status", "--sha-256", &zeros], 2),
            (&["-sha256", &zeros, "status"], 2),
            (&["status", &other[2..]], 2),
            (&["\u{2014}sha256", &zeros, "status"], 2),
            (&["\u{2013}\u{2013}sha256", &zeros], 2),
        ] {
            let output = kit.run_here(&shell, args);
            assert_eq!(refused(&kit, &output).0, Some(code), "{shell:?} {args:?} {output:?}");
        }
        // not even `--version` of a changed program, whatever SHA256SUMS says of it
        kit.hold(format!("#!/bin/sh\n: >'{}'\n", ran.display()));
        let output = kit.run_here(&shell, &["status", "--sha256", &digest]);
        assert_eq!(refused(&kit, &output).0, Some(3), "{shell:?} {output:?}");
        assert!(!ran.exists(), "{shell:?} ran a program with another digest");
        // and the right one whatever SHA256SUMS says
        kit.hold("another");
        kit.spoil(STAND_IN);
        assert_eq!(kit.run_here(&shell, &["--sha256", &digest]).status.code(), Some(6));
        kit.hold(STAND_IN);
    }
}

/// A stick can be exchanged at any time, here in the moment before the copy is made.
#[test]
fn a_program_that_changes_after_it_was_compared_does_not_run() {
    let kit = Kit::new("exchanged");
    let (shim, ran) = (kit.top().join("path"), kit.top().join("ran"));
    fs::create_dir(&shim).unwrap();
    let other = format!("#!/bin/sh\n: >'{}'\necho sftunnel-install 1\n", ran.display());
    fs::write(kit.top().join("other"), other).unwrap();
    let exchange = "#!/bin/sh\nfor it in \"$KIT\"/bin/*; do cat \"$KIT/../../other\" >\"$it\"; done\n\
                    PATH=${PATH#*:} exec mktemp \"$@\"\n";
    fs::write(shim.join("mktemp"), exchange).unwrap();
    fs::set_permissions(shim.join("mktemp"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", shim.display(), std::env::var("PATH").unwrap());
    // busybox has a mktemp of its own
    for shell in shells().into_iter().filter(|shell| shell[0] != "busybox") {
        let mut run = Command::new(shell[0]);
        run.args(&shell[1..]).arg(kit.dir.join("install.sh")).args(["--sha256", &kit.digest()]);
        run.env("PATH", &path).env("KIT", &kit.dir).env("TMPDIR", kit.tmp());
        let output = run.output().unwrap();
        assert_eq!(refused(&kit, &output).0, Some(1), "{shell:?} {output:?}");
        assert!(!ran.exists(), "{shell:?} ran what was not compared");
        kit.hold(STAND_IN);
    }
}

#[test]
fn a_program_that_did_not_arrive_whole_is_called_damaged() {
    let kit = Kit::new("damaged");
    let foreign = ["\x7fELF\x02\x01\x01", &"\0".repeat(11), "\x08\0\x01\0\0\0"].concat();
    let listed = kit.digest();
    for shell in shells() {
        for content in ["", "\n", &"\0".repeat(4096), &STAND_IN[..40], &foreign, "exit 0\n"] {
            kit.spoil(content);
            let (code, said) = refused(&kit, &kit.run_here(&shell, &["--yes"]));
            assert_eq!(code, Some(3), "{shell:?} {content:?} {said}");
            assert!(said.contains("refused (damaged)") && said.contains(&listed), "{said}");
            // damaged where the kit was made: then it is as listed, and does not start
            kit.hold(content);
            let (code, said) = refused(&kit, &kit.run_here(&shell, &["--yes"]));
            assert_eq!(code, Some(3), "{shell:?} {content:?} {said}");
            assert!(said.contains("damaged") && !said.contains("TMPDIR"), "{said}");
            kit.hold(STAND_IN);
        }
        // a transfer in text mode changes the list only, or the list is lost
        let sums = kit.dir.join("SHA256SUMS");
        let text = fs::read_to_string(&sums).unwrap();
        fs::write(&sums, text.replace('\n', "\r\n")).unwrap();
        assert_eq!(kit.run_here(&shell, &["status"]).status.code(), Some(6));
        fs::write(&sums, "\x1b]0;x\x07  bin/sftunnel-install-x86_64\n").unwrap();
        let (code, said) = refused(&kit, &kit.run_here(&shell, &["status"]));
        assert!(code == Some(3) && said.contains("nothing of it") && !said.contains('\x1b'));
        fs::remove_file(&sums).unwrap();
        assert_eq!(refused(&kit, &kit.run_here(&shell, &["status"])).0, Some(3));
        fs::write(&sums, text).unwrap();
    }
}

#[test]
fn a_kit_without_the_program_or_with_one_without_end_is_said_so() {
    let kit = Kit::new("absent");
    for shell in shells() {
        for arch in ["x86_64", "aarch64"] {
            let path = kit.dir.join(format!("bin/sftunnel-install-{arch}"));
            fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
        }
        let (code, said) = refused(&kit, &kit.run_here(&shell, &[]));
        assert!(code == Some(3) && said.contains("too-large"), "{shell:?} {said}");
        fs::rename(kit.dir.join("bin"), kit.dir.join("BIN")).unwrap();
        let (code, said) = refused(&kit, &kit.run_here(&shell, &[]));
        assert_eq!(code, Some(3), "{shell:?} {said}");
        assert!(said.contains("not-found") && said.contains("capitals"), "{said}");
        fs::rename(kit.dir.join("BIN"), kit.dir.join("bin")).unwrap();
        kit.hold(STAND_IN);
    }
}

/// In a folder where others can rename, they can put another program in the place of the copy
/// between its check and its start.
#[test]
fn a_place_where_others_can_rename_is_passed_over() {
    let kit = Kit::new("shared");
    let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let below = kit.tmp().join("a/b");
    fs::create_dir_all(&below).unwrap();
    let link = kit.top().join("link");
    symlink(&below, &link).unwrap();
    for shell in shells() {
        let place = |at: &Path| {
            let output = Command::new(shell[0])
                .args(&shell[1..])
                .arg(kit.dir.join("install.sh"))
                .arg("status")
                .env("TMPDIR", at)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(6), "{shell:?} {output:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            Path::new(text.lines().next().unwrap().strip_prefix("at ").unwrap()).starts_with(&below)
        };
        for (upper, lower, is_taken) in [
            (0o755, 0o755, true),
            (0o755, 0o1777, true),
            (0o1777, 0o1777, true),
            (0o755, 0o777, false),
            (0o755, 0o775, false),
            (0o777, 0o755, false),
            (0o775, 0o1777, false),
        ] {
            set(&kit.tmp(), upper).unwrap();
            set(&below, lower).unwrap();
            for at in [&below, &link] {
                assert_eq!(place(at), is_taken, "{shell:?} {upper:o} {lower:o} {at:?}");
            }
        }
        set(&kit.tmp(), 0o755).unwrap();
        // somebody else's is no better for being theirs alone
        if std::os::unix::fs::chown(&below, Some(65534), None).is_ok() {
            for mode in [0o755, 0o1777] {
                set(&below, mode).unwrap();
                assert!(!place(&below), "{shell:?} {mode:o}");
            }
            std::os::unix::fs::chown(&below, Some(0), None).unwrap();
        }
    }
}

#[test]
fn a_place_that_cannot_be_written_is_passed_over() {
    let kit = Kit::new("place");
    for shell in shells() {
        for gone in [kit.top().join("gone"), PathBuf::from("relative"), PathBuf::from("/proc")] {
            let output = Command::new(shell[0])
                .args(&shell[1..])
                .arg(kit.dir.join("install.sh"))
                .env("TMPDIR", gone)
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(6), "{shell:?} {output:?}");
        }
    }
}

#[test]
fn the_kit_is_found_from_wherever_the_script_is_named() {
    let kit = Kit::new("named");
    let odd = ["-", "-kit", "kit\n", "a\nb", "k'; touch pwned; '", "kit\u{1b}]0;x\u{7}", " x *"];
    for shell in shells() {
        for name in odd {
            let dir = kit.top().join(name);
            fs::rename(&kit.dir, &dir).unwrap();
            let run = |cwd: &Path, script: &Path| {
                let output = kit.run(&[&shell[..], &["--"]].concat(), cwd, script, &[]);
                assert_eq!(output.status.code(), Some(6), "{shell:?} {name:?} {output:?}");
                let expected = format!("[install]\n[{}]\n", dir.display());
                assert!(output.stderr.is_empty(), "{output:?}");
                let text = String::from_utf8(output.stdout).unwrap();
                assert!(text.ends_with(&expected), "{shell:?} {name:?} {text:?}");
            };
            run(&dir, Path::new("install.sh"));
            run(kit.top(), &Path::new(name).join("install.sh"));
            run(Path::new("/"), &dir.join("install.sh"));
            fs::rename(&dir, &kit.dir).unwrap();
        }
        // read from standard input it has no name
        let script = fs::File::open(kit.dir.join("install.sh")).unwrap();
        let mut run = Command::new(shell[0]);
        run.args(&shell[1..]).stdin(script).current_dir(&kit.dir).env("TMPDIR", kit.tmp());
        let output = run.output().unwrap();
        assert_eq!(refused(&kit, &output).0, Some(2), "{shell:?} {output:?}");
    }
}

/// Its private directory is made with a mask that a daemon must not get from it.
#[test]
fn the_installer_begins_with_the_mask_of_its_caller() {
    let kit = Kit::new("mask");
    kit.hold(STAND_IN.replace("exit 6", "umask"));
    for shell in shells() {
        let line = format!("umask 027; exec {} \"$0\"", shell.join(" "));
        let output = kit.run_here(&["sh", "-c", &line], &[]);
        assert!(output.stdout.ends_with(b"0027\n"), "{output:?}");
    }
}
