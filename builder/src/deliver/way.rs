//! The command that gives a terminal on a device.

use cli::say::failure::Failure;

/// `ssh` with the user's own configuration. An unknown or changed host key is refused, an escape
/// character is none in base64.
const SSH: [&str; 12] = [
    "ssh",
    "-tt",
    "-e",
    "none",
    "-o",
    "StrictHostKeyChecking=yes",
    "-o",
    "ConnectTimeout=20",
    "-o",
    "NumberOfPasswordPrompts=1",
    "-o",
    "ServerAliveInterval=15",
];

/// The words of the command for a device.
///
/// # Errors
/// Returns a usage error for a `--via` that cannot be parted into words.
pub(crate) fn command(
    via: Option<&str>,
    login: &str,
    address: &str,
    jump: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let Some(via) = via else {
        let options = SSH.iter().map(|word| (*word).to_owned());
        let jump = jump.into_iter().flat_map(|jump| ["-J".to_owned(), jump.to_owned()]);
        let to = ["-l".to_owned(), login.to_owned(), "--".to_owned(), address.to_owned()];
        return Ok(options.chain(jump).chain(to).collect());
    };
    let words = shlex::split(via).filter(|words| !words.is_empty()).ok_or_else(|| {
        Failure::usage(format!("--via '{via}': expected the words of a command"))
            .hint("for example --via 'ssh -tt -J jump {login}@{address}'; close each quote")
    })?;
    let filled = |word: String| {
        word.replace("{login}", login)
            .replace("{address}", address)
            .replace("{jump}", jump.unwrap_or_default())
    };
    Ok(words.into_iter().map(filled).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_template_stay_words() {
        let via = "ssh -tt -o 'ProxyCommand nc %h %p' {login}@{address}";
        let words = command(Some(via), "admin", "10.0.0.1", None).unwrap();
        assert_eq!(words, ["ssh", "-tt", "-o", "ProxyCommand nc %h %p", "admin@10.0.0.1"]);
        assert!(command(Some("ssh 'open"), "admin", "10.0.0.1", None).is_err());
        let own = command(None, "admin", "10.0.0.1", Some("jump")).unwrap();
        assert!(own.windows(2).any(|two| two == ["-o", "StrictHostKeyChecking=yes"]));
        assert!(own.ends_with(&["-J", "jump", "-l", "admin", "--", "10.0.0.1"].map(str::to_owned)));
    }
}
