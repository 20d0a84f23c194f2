//! Completions and manual pages, as each program prints its own: in the shells that read them, and
//! through `man`.

use std::fs;
use std::path::PathBuf;

use tests::{Pty, Run, program, tool};

/// Text before the cursor, and one of the words that have to be offered there.
const LINES: [(&str, &str); 8] = [
    ("sftunnel-bundle ", "build"),
    ("sftunnel-bundle bu", "build"),
    ("sftunnel-bundle build --recipient-m", "--recipient-map"),
    ("sftunnel-bundle keygen ", "identity"),
    ("sftunnel-bundle keygen identity --o", "--out"),
    ("sftunnel-install ", "rollback"),
    ("sftunnel-install install --accept-c", "--accept-clock"),
    ("sftunnel-install backups prune --k", "--keep"),
];
const PROGRAMS: [&str; 2] = ["sftunnel-bundle", "sftunnel-install"];

const SECTIONS: [&str; 8] =
    ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "FILES", "SEE ALSO"];

/// A folder with what both programs print for a shell, under the names that it expects.
fn printed(shell: &str, name: impl Fn(&str) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name_of in PROGRAMS {
        let ran = Run::new(program(name_of)).args(["completion", shell]).run().expect(0);
        fs::write(folder.path().join(name(name_of)), ran.stdout).unwrap();
    }
    folder
}

fn offered(shell: &str, args: &[&str], script: &str) -> String {
    tool(shell, shell).args(args).arg(script).run().output()
}

#[test]
fn bash_offers_commands_and_flags_also_behind_a_command() {
    let folder = printed("bash", |name| format!("{name}.bash"));
    for (line, expected) in LINES {
        let program = line.split(' ').next().unwrap();
        let file = folder.path().join(format!("{program}.bash"));
        // like bash: call the function that `complete` names, and read COMPREPLY
        let script = format!(
            "source '{}'; line='{line}'; read -ra COMP_WORDS <<<\"$line\"
             [[ $line == *' ' ]] && COMP_WORDS+=('')
             COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
             [[ $(complete -p {program}) =~ -F\\ ([^ ]+) ]]
             ${{BASH_REMATCH[1]}} {program} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            file.display()
        );
        let offered = offered("bash", &["--norc", "-c"], &script);
        assert!(offered.lines().any(|word| word == expected), "{line}: {offered}");
    }
}

#[test]
fn fish_offers_commands_and_flags_also_behind_a_command() {
    let folder = printed("fish", |name| format!("{name}.fish"));
    for (line, expected) in LINES {
        let program = line.split(' ').next().unwrap();
        let file = folder.path().join(format!("{program}.fish"));
        let script = format!("source '{}'; complete -C '{line}'", file.display());
        let offered = offered("fish", &["--no-config", "-c"], &script);
        let is_it = |word: &str| word.split('\t').next() == Some(expected);
        assert!(offered.lines().any(is_it), "{line}: {offered}");
    }
}

/// zsh completes at a terminal only: one of its own (`zpty`) shows what Tab makes of a line.
#[test]
fn zsh_offers_commands_and_flags_also_behind_a_command() {
    let folder = printed("zsh", |name| format!("_{name}"));
    for (line, expected) in LINES {
        let script = format!(
            "zmodload zsh/zpty; zpty z 'TERM=dumb COLUMNS=200 zsh -f -i'
             zpty -w z 'PS1=; unsetopt zle_bracketed_paste; zle_bracketed_paste=(); fpath=({} $fpath)'
             zpty -w z 'autoload -Uz compinit; compinit -u -D; LISTMAX=1000; print be-gin'
             zpty -r z seen '*be-gin*be-gin*'; zpty -w -n z '{line}'$'\t'; sleep 1; zpty -w z ' '
             out=; for i in 1 2 3 4 5; do sleep 0.2; while zpty -r -t z seen; do out+=$seen; done; done
             print -r -- \"$out\"; zpty -d z",
            folder.path().display()
        );
        let offered = offered("zsh", &["-f", "-c"], &script);
        assert!(offered.contains(expected), "{line}: {offered:?}");
    }
}

/// Names of the commands in a manual page's section, with the words before them.
fn pages(program_name: &str) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut next = 0;
    while let Some(above) = found.get(next).cloned() {
        let help = Run::new(program(program_name)).args(&above).arg("-h").run().expect(0).stdout;
        let below = tests::listed_commands(&help);
        found.extend(below.into_iter().map(|name| [&above[..], &[name]].concat()));
        next += 1;
    }
    found
}

#[test]
fn man_shows_every_page_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    for name in PROGRAMS {
        for words in pages(name) {
            let ran = Run::new(program(name)).arg("man").args(&words).run().expect(0);
            let page = [&[name.to_owned()], &words[..]].concat().join("-");
            let file: PathBuf = folder.path().join(format!("{page}.1"));
            fs::write(&file, &ran.stdout).unwrap();
            let shown = tool("groff", "groff").args(["-man", "-ww", "-Tascii", "-P-cbou"]);
            let shown = shown.arg(&file).run().expect(0);
            assert_eq!(shown.stderr, "", "{page}");
            let text = shown.stdout;
            for section in SECTIONS {
                assert!(text.lines().any(|line| line == section), "{page}: {section}\n{text}");
            }
            assert!(text.contains(&format!("     {page} - ")), "{page}\n{text}");
            let is_wide = |line: &&str| line.len() > 80;
            assert_eq!(text.lines().find(is_wide), None, "{page}");
            assert!(!text.contains("EXTRA"), "{text}");
        }
    }
}

/// A box may have no `man`.
#[test]
fn at_a_terminal_man_is_text_that_fits_it() {
    let run = Run::new(program("sftunnel-bundle")).args(["man", "receipts"]);
    let (code, screen) = Pty::start(run).end();
    assert_eq!(code, 0, "{screen}");
    let lines: Vec<_> = screen.lines().map(str::trim_end).collect();
    assert!(SECTIONS.iter().all(|section| lines.contains(section)), "{screen}");
    assert!(lines.iter().all(|line| line.len() <= 80 && !line.contains("\\f")), "{screen}");
    // what this command alone means by its exit codes
    assert!(screen.contains("3 some receipt does not verify"), "{screen}");
}

#[test]
fn a_manual_of_no_command_is_a_usage_error() {
    let ran = Run::new(program("sftunnel-install")).args(["man", "instal"]).run().expect(2);
    ran.says("there is no command 'instal'");
}
