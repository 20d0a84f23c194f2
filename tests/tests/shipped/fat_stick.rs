//! What is handed out beside the programs: manuals, completions, lists of parts, checksums; which
//! commit it all is of, and that the builder knows the installers of its own build.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use formats::checksum::Sha256;
use serde_json::Value;
use tests::{Run, World, listed_commands, note, tool};

use super::dist;

const PROGRAMS: [&str; 2] = ["sftunnel-bundle", "sftunnel-install"];
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn help(program: &str, command: &[String]) -> String {
    let run = Run::new(dist(&format!("{program}-x86_64"))).args(command);
    run.arg("--help").run().expect(0).stdout
}

/// The program, each of its commands, and each of theirs.
fn commands(program: &str) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut next = 0;
    while let Some(above) = found.get(next).cloned() {
        let below = listed_commands(&help(program, &above));
        found.extend(below.into_iter().map(|name| [&above[..], &[name]].concat()));
        next += 1;
    }
    assert!(found.len() > 8, "{found:?}");
    found
}

#[test]
fn every_file_stands_in_the_checksums_and_is_as_they_say() {
    let sums = dist("SHA256SUMS");
    let folder = sums.parent().unwrap();
    tool("sha256sum", "coreutils")
        .args(["-c", "--quiet", "--strict", "SHA256SUMS"])
        .cwd(folder)
        .run()
        .expect(0);
    let text = fs::read_to_string(&sums).unwrap();
    let listed: BTreeSet<_> = text.lines().map(|line| line[66..].to_owned()).collect();
    let all = lab::snapshot(folder).unwrap().0;
    let files = all.into_iter().filter(|(_, entry)| matches!(entry.content, lab::Content::File(_)));
    let mut files: BTreeSet<_> = files.map(|(path, _)| path.display().to_string()).collect();
    assert!(files.remove("SHA256SUMS"));
    assert_eq!(listed, files);
}

#[test]
fn every_command_has_a_manual_that_names_its_flags() {
    for program in PROGRAMS {
        for command in commands(program) {
            let name = [&[program.to_owned()][..], &command].concat().join("-");
            let page = fs::read_to_string(dist(&format!("man/man1/{name}.1"))).unwrap();
            let title = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
            // in capitals, as manuals have it
            let title = title.replace("\\-", "-").to_lowercase();
            assert!(title.contains(&format!("\"{name}\"")), "{title}");
            assert!(page.contains("\n.SH NAME\n") && page.contains("\n.SH SYNOPSIS\n"), "{name}");
            let shown = page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "");
            let help = help(program, &command);
            let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            for flag in words.filter(|word| word.starts_with("--") && word.len() > 4) {
                assert!(shown.contains(flag), "{name}: {flag}");
            }
        }
    }
}

#[test]
fn the_completions_know_every_command() {
    for program in PROGRAMS {
        let bash = dist(&format!("completions/bash/{program}.bash"));
        let script = format!("source '{}' && complete -p {program}", bash.display());
        tool("bash", "bash").args(["-c", &script]).run().expect(0).says(program);
        let others = [("zsh", format!("_{program}")), ("fish", format!("{program}.fish"))];
        let others =
            others.map(|(shell, name)| (shell, dist(&format!("completions/{shell}/{name}"))));
        for (shell, path) in &others {
            // each shell can check its own, where there is one
            let run = Run::new("sh").args(["-c", "command -v \"$1\" >/dev/null", "sh", shell]);
            if run.run().code() == Some(0) {
                Run::new(shell).arg("-n").arg(path).run().expect(0);
            } else {
                note(&format!("no {shell} here to check {}", path.display()));
            }
        }
        let names = listed_commands(&help(program, &[]));
        for path in others.map(|(_, path)| path).iter().chain([&bash]) {
            let text = fs::read_to_string(path).unwrap();
            for name in &names {
                assert!(text.contains(name.as_str()), "{}: {name}", path.display());
            }
        }
    }
}

#[test]
fn the_lists_of_parts_are_of_these_programs() {
    for program in PROGRAMS {
        let list: Value =
            serde_json::from_slice(&fs::read(dist(&format!("{program}.cdx.json"))).unwrap())
                .unwrap();
        assert_eq!(
            (&list["bomFormat"], &list["specVersion"]),
            (&"CycloneDX".into(), &"1.6".into())
        );
        let root = &list["metadata"]["component"];
        let said = Run::new(dist(&format!("{program}-x86_64"))).arg("--version").run().expect(0);
        let version = root["version"].as_str().unwrap();
        assert_eq!(said.stdout.trim(), format!("{program} {version}"));
        let files = root["components"].as_array().unwrap();
        assert_eq!(files.len(), 2, "one for each architecture");
        for file in files {
            let bytes = fs::read(dist(file["name"].as_str().unwrap())).unwrap();
            assert_eq!(file["hashes"][0]["alg"], "SHA-256");
            assert_eq!(file["hashes"][0]["content"], Sha256::of(&bytes).to_string().as_str());
        }
        let components = list["components"].as_array().unwrap();
        let text = |part: &Value, field: &str| part[field].as_str().unwrap_or_default().to_owned();
        let names: BTreeSet<_> = components.iter().map(|part| text(part, "name")).collect();
        for name in ["age", "openssl", "musl", "rust-std", "libgcc"] {
            assert!(names.contains(name), "{program} has no {name}: {names:?}");
        }
        let mut known: BTreeSet<_> = components.iter().map(|part| text(part, "bom-ref")).collect();
        assert_eq!(known.len(), components.len(), "each stands there once");
        known.insert(text(root, "bom-ref"));
        for part in components {
            assert!(part["licenses"][0]["expression"].is_string(), "{part}");
            assert!(!text(part, "version").is_empty(), "{part}");
        }
        for entry in list["dependencies"].as_array().unwrap() {
            let below = entry["dependsOn"].as_array().unwrap().iter();
            for reference in below.chain([&entry["ref"]]) {
                assert!(known.contains(reference.as_str().unwrap()), "{reference}");
            }
        }
    }
}

/// `sftunnel-bundle 0.1.0 (abcdef123456 2026-11-21)`; without the hash in an unpacked archive.
#[test]
fn the_version_says_which_commit() {
    for program in PROGRAMS {
        let said = Run::new(dist(&format!("{program}-x86_64"))).arg("--version").run().expect(0);
        let words: Vec<_> = said.stdout.split_whitespace().collect();
        let version = format!("{program} {} (", env!("CARGO_PKG_VERSION"));
        assert!(said.stdout.starts_with(&version), "{}", said.stdout);
        if std::env::var_os("SFTUNNEL_COMMIT").is_some() {
            // a packager's own words
            continue;
        }
        if !Path::new(WORKSPACE).join(".git").exists() {
            assert_eq!(words.len(), 3, "{}", said.stdout);
            continue;
        }
        let git = tool("git", "git").env("TZ", "UTC").cwd(WORKSPACE);
        let log = ["log", "-1", "--abbrev=12", "--date=format-local:%Y-%m-%d", "--format=%h %cd)"];
        let log = git.args(log).run().expect(0).stdout;
        let (hash, date) = log.trim().split_once(' ').unwrap();
        assert_eq!(words.len(), 4, "{}", said.stdout);
        let built = words[2].strip_prefix('(').unwrap();
        // from files that no commit holds
        let built = built.strip_suffix("-dirty").unwrap_or(built);
        assert_eq!((built, words[3]), (hash, date), "{}: run `make dist`", said.stdout);
    }
}

/// What it carries are digests, so who could have written the file or its folder does not matter.
#[test]
fn the_builder_takes_the_installers_of_its_own_build_and_no_others() {
    let world = World::new(1);
    let shared = world.path("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, Permissions::from_mode(0o1777)).unwrap();
    let installers = ["sftunnel-install-aarch64", "sftunnel-install-x86_64"];
    let builder = "sftunnel-bundle-x86_64";
    for name in installers.iter().chain([&builder]) {
        fs::copy(dist(name), shared.join(name)).unwrap();
    }
    let recipient = world.recipient();
    let build = |flags: &[&str]| {
        let run = Run::new(shared.join(builder)).arg("--root").arg(&world.fmc().root);
        let run = run.args(["build", "--json", "--recipient", &recipient]).args(flags);
        run.arg("--out").arg(world.out()).run().expect(0).json()
    };
    let taken = |json: &Value| json["installers"].as_array().unwrap().len();
    let json = build(&[]);
    assert_eq!((taken(&json), &json["installers_left_out"]), (2, &Value::Array(Vec::new())));
    for name in installers {
        let path = shared.join(name);
        let genuine = fs::read(&path).unwrap();
        fs::write(&path, [&genuine[..], b"x"].concat()).unwrap();
        let json = build(&[]);
        assert_eq!(taken(&json), 1, "{json}");
        assert_eq!(json["installers_left_out"][0]["reason"], "unknown-installer", "{json}");
        assert_eq!(taken(&build(&["--installer", path.to_str().unwrap()])), 2, "named it goes in");
        fs::write(&path, genuine).unwrap();
    }
}
