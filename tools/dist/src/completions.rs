//! Completions for bash, zsh and fish, from the programs' own clap definitions.

use std::error::Error;
use std::fs;
use std::path::Path;

use clap_complete::Shell;

/// Writes the completions below `folder`, one folder for each shell.
pub(crate) fn write(mut command: clap::Command, folder: &Path) -> Result<(), Box<dyn Error>> {
    let name = command.get_name().to_owned();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let folder = folder.join(shell.to_string());
        fs::create_dir_all(&folder)?;
        if shell == Shell::Bash {
            fs::write(folder.join(format!("{name}.bash")), bash(&mut command, &name))?;
        } else {
            clap_complete::generate_to(shell, &mut command, &name, folder)?;
        }
    }
    Ok(())
}

/// Makes the completion for bash. clap_complete (4.6) writes the hyphen of a program's name in two
/// ways, and then offers nothing after a command, so it is given the name without one, which is
/// corrected in the `complete` line.
fn bash(command: &mut clap::Command, name: &str) -> String {
    let plain = name.replace('-', "_");
    let mut script = Vec::new();
    clap_complete::generate(Shell::Bash, command, &plain, &mut script);
    let script = String::from_utf8_lossy(&script);
    script.replace(&format!(" {plain}\n"), &format!(" {name}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::process::Command;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn written(test: &str) -> Folder {
        let folder =
            std::env::temp_dir().join(format!("completions-{test}-{}", std::process::id()));
        for command in [builder::command(), installer::command()] {
            write(command, &folder).unwrap();
        }
        Folder(folder)
    }

    fn output(shell: &str, args: &[&str], script: &str) -> String {
        let mut run = Command::new(shell);
        let output = run.args(args).arg(script).output();
        let output = output.unwrap_or_else(|error| panic!("{shell} is needed: {error}"));
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    }

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

    #[test]
    fn bash_offers_commands_and_flags_also_behind_a_command() {
        let folder = written("bash");
        for (line, expected) in LINES {
            let program = line.split(' ').next().unwrap();
            let file = folder.0.join(format!("bash/{program}.bash"));
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
            let offered = output("bash", &["--norc", "-c"], &script);
            assert!(offered.lines().any(|word| word == expected), "{line}: {offered}");
        }
    }

    #[test]
    fn fish_offers_commands_and_flags_also_behind_a_command() {
        let folder = written("fish");
        for (line, expected) in LINES {
            let program = line.split(' ').next().unwrap();
            let file = folder.0.join(format!("fish/{program}.fish"));
            let script = format!("source '{}'; complete -C '{line}'", file.display());
            let offered = output("fish", &["--no-config", "-c"], &script);
            let is_it = |word: &str| word.split('\t').next() == Some(expected);
            assert!(offered.lines().any(is_it), "{line}: {offered}");
        }
    }

    /// zsh completes at a terminal only: one of its own (`zpty`) shows what Tab makes of a line.
    #[test]
    fn zsh_offers_commands_and_flags_also_behind_a_command() {
        let folder = written("zsh");
        for (line, expected) in LINES {
            let script = format!(
                "zmodload zsh/zpty; zpty z 'TERM=dumb COLUMNS=200 zsh -f -i'
                 zpty -w z 'PS1=; unsetopt zle_bracketed_paste; zle_bracketed_paste=(); fpath=({} $fpath)'
                 zpty -w z 'autoload -Uz compinit; compinit -u -D; LISTMAX=1000; print be-gin'
                 zpty -r z seen '*be-gin*be-gin*'; zpty -w -n z '{line}'$'\t'; sleep 1; zpty -w z ' '
                 out=; for i in 1 2 3 4 5; do sleep 0.2; while zpty -r -t z seen; do out+=$seen; done; done
                 print -r -- \"$out\"; zpty -d z",
                folder.0.join("zsh").display()
            );
            let offered = output("zsh", &["-f", "-c"], &script);
            assert!(offered.contains(expected), "{line}: {offered:?}");
        }
    }
}
