//! One line of a status program's output, as it came over a terminal.

use std::borrow::Cow;

use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::Owner;
use crate::cisco::facts;
use crate::decode;
use crate::device::DeviceUuid;
use crate::timestamp::Timestamp;

const UP: &str = "connected to '";
/// Names of the channel that carries the control traffic, one of two for each peer.
const CONTROL: [&str; 2] = ["(CONTROL)", "Channel-A"];
const DISCONNECTED: &str = "Last disconnect reason";
const PEER_OF: &str = "Connection to peer";
const ATTEMPT: &str = "Attempted at";
/// Label of a time that only a tunnel has that is up.
const HEARTBEAT: &str = "Heartbeat Received Time:";
const STARTED: &str = "Start Time:";
const PEER: &str = "PEER:";
const RULE: &str = "**";
/// Names of the programs in a command that was typed to get this output.
const PROGRAMS: [&str; 3] = [facts::STATUS, facts::STATUS_BRIEF, facts::STATUS_SCRIPT];
/// Seconds by which the zone farthest ahead is before UTC.
const FARTHEST_AHEAD: i64 = 14 * 3600;

/// A line that names a peer, or ends the block above.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heading {
    /// The following lines belong to no peer.
    End,
    /// The following lines belong to this peer.
    Peer(Owner),
    /// The UUID of the peer above.
    Own(String),
    /// A peer that a line of another form mentions.
    Mentioned(Owner),
}

/// Statement of a line about a peer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<'a> {
    Nothing,
    Channel {
        is_control: bool,
        is_up: bool,
    },
    ConnectedTo {
        is_control: bool,
        peer: &'a str,
    },
    Disconnected,
    /// A current connection, and its peer.
    Started {
        time: Clock,
        peer: &'a str,
    },
    Heard(Clock),
}

/// A time as a line gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clock {
    Utc(Timestamp),
    /// Zone missing or unknown; read as if it were UTC.
    Elsewhere(Timestamp),
}

impl Clock {
    pub(super) fn exact(self) -> Option<Timestamp> {
        match self {
            Self::Utc(time) => Some(time),
            Self::Elsewhere(_) => None,
        }
    }

    pub(super) fn earliest(self) -> Timestamp {
        match self {
            Self::Utc(time) => time,
            Self::Elsewhere(time) => {
                Timestamp::from_unix(time.unix() - FARTHEST_AHEAD).unwrap_or(Timestamp::EPOCH)
            }
        }
    }
}

/// Removes what terminals and mail programs add to a line: sequences for colours and titles,
/// characters that were struck out, other kinds of blanks, curled quote marks, marks of a quoted
/// mail.
pub(crate) fn clean(line: &str) -> Cow<'_, str> {
    if line.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(line.trim_start_matches(['>', ' ']).trim_end());
    }
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut rest),
            '\u{9b}' => skip_parameters(&mut rest),
            '\u{8}' => drop(shown.pop()),
            '\u{2018}' | '\u{2019}' => shown.push('\''),
            c => shown.push(c),
        }
    }
    Cow::Owned(decode::tidy(&shown).trim_start_matches(['>', ' ']).to_owned())
}

/// Skips the rest of an escape sequence (ECMA-48).
fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => skip_parameters(rest),
        // a title: up to BEL, or to ESC and the character behind it
        Some(']') => {
            let end = rest.by_ref().find(|c| matches!(c, '\u{7}' | '\u{1b}'));
            if end == Some('\u{1b}') {
                rest.next();
            }
        }
        // ESC ( B selects a character set
        Some(' '..='/') => drop(rest.next()),
        _ => {}
    }
}

fn skip_parameters(rest: &mut std::str::Chars<'_>) {
    while rest.next().is_some_and(|c| !matches!(c, '@'..='~')) {}
}

/// Parses a heading.
pub(super) fn heading(line: &str) -> Option<Heading> {
    if is_typed(line) {
        return Some(Heading::End);
    }
    let uuid = uuid_in(line);
    let name = if let Some(name) = line.strip_prefix(PEER) {
        name.trim()
    } else if let Some(rest) = line.strip_prefix(RULE) {
        title(rest)
    } else if is_warning(line) {
        return None;
    } else if let Some(owner) = file_of(line) {
        return Some(Heading::Own(owner));
    } else {
        return match (key(line), uuid?) {
            (Some("uuid"), Owner::Uuid(uuid)) => Some(Heading::Own(uuid)),
            // 'uuid_gw' => '…' is another peer's UUID
            (Some(_), _) => None,
            (None, owner) => Some(Heading::Mentioned(owner)),
        };
    };
    Some(match uuid {
        Some(owner) => Heading::Peer(owner),
        None if name.is_empty() => Heading::End,
        None => Heading::Peer(Owner::Name(name.to_owned())),
    })
}

/// Returns the name in `RPC STATUS****10.10.17.202*******`; empty for a rule of asterisks alone or
/// without a name.
fn title(rest: &str) -> &str {
    let mut parts = rest.split('*').map(str::trim).filter(|part| !part.is_empty());
    let first = parts.next().unwrap_or_default();
    let is_kind = first.to_ascii_uppercase().ends_with("STATUS");
    parts.next().unwrap_or(if is_kind { "" } else { first })
}

/// Returns the key of `'uuid' => '…'`.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.split_once("=>")?;
    Some(key.trim().trim_matches(['\'', '"']))
}

/// Returns the owner's UUID in `Key File = /var/sf/peers/<UUID>/sftunnel-key.pem`.
fn file_of(line: &str) -> Option<String> {
    let (_, path) = line.split_once("= /")?;
    let (_, below) = path.split_once("peers/")?;
    let uuid: DeviceUuid = below.split('/').next()?.parse().ok()?;
    Some(uuid.as_str().to_owned())
}

/// Returns true for Perl's warnings: `peer <UUID> did not reply at sftunnel_status.pl line 309.`
/// They go to stderr, so they may stand in the middle of any block.
fn is_warning(line: &str) -> bool {
    let rest = line.rsplit_once(" line ").filter(|(before, _)| before.contains(" at "));
    rest.and_then(|(_, number)| number.strip_suffix('.'))
        .is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Returns the peer that the UUIDs in a line name.
fn uuid_in(line: &str) -> Option<Owner> {
    let words = line.split(|c: char| !(c.is_ascii_hexdigit() || c == '-'));
    let mut uuids = words.filter_map(|word| word.parse::<DeviceUuid>().ok());
    let first = uuids.next()?;
    let is_only = uuids.all(|other| other == first);
    Some(if is_only { Owner::Uuid(first.as_str().to_owned()) } else { Owner::Ambiguous })
}

/// Returns true if the line is a prompt, or a command typed at one.
fn is_typed(line: &str) -> bool {
    let is_prompt = |before: &str| before.contains('@') && !before.contains(' ');
    let prompt = line.split_once(['#', '$']).is_some_and(|(before, _)| is_prompt(before));
    let program = line.split(' ').next().and_then(|word| word.rsplit('/').next());
    prompt || program.is_some_and(|program| PROGRAMS.contains(&program))
}

/// Parses a line within a block.
pub(super) fn said(line: &str) -> Said<'_> {
    if let Some(said) = channel(line) {
        return said;
    }
    if let Some(peer) = peer(line) {
        let is_control = CONTROL.iter().any(|word| line.contains(word));
        return Said::ConnectedTo { is_control, peer };
    }
    if line.contains(DISCONNECTED) || line.contains(PEER_OF) && line.contains(ATTEMPT) {
        return Said::Disconnected;
    }
    // `SFTUNNEL Start Time:` is the daemon's, not a connection's
    let start = line.split_once(PEER_OF).and_then(|(_, rest)| rest.split_once(STARTED));
    if let Some((peer, time)) = start
        && let Some(time) = ctime(time)
    {
        return Said::Started { time, peer: peer.trim().trim_matches('\'') };
    }
    let heard = line.split_once(HEARTBEAT).and_then(|(_, time)| ctime(time));
    heard.map_or(Said::Nothing, Said::Heard)
}

/// Parses `ChannelA Connected: Yes, Interface br1`.
fn channel(line: &str) -> Option<Said<'_>> {
    let rest = line.strip_prefix("Channel")?;
    let rest: String = rest.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    let is_control = match rest.as_bytes().first()? {
        b'A' => true,
        b'B' => false,
        _ => return None,
    };
    let answer = rest.get(1..)?.strip_prefix("Connected:")?;
    let answer = answer.split(',').next()?;
    let is_up = match () {
        () if answer.eq_ignore_ascii_case("yes") => true,
        () if answer.eq_ignore_ascii_case("no") => false,
        () => return None,
    };
    Some(Said::Channel { is_control, is_up })
}

/// Returns the peer to which, by this line, the box is connected.
fn peer(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(UP)?;
    // "not connected to", "disconnected to"
    let before = before.trim_end().to_ascii_lowercase();
    let negated = before.ends_with("not") || before.ends_with("dis");
    let (peer, _) = after.split_once('\'')?;
    Some(peer).filter(|peer| !negated && !peer.is_empty())
}

/// Parses `Mon Jun 15 09:02:16 2020 UTC`, with or without the zone.
fn ctime(text: &str) -> Option<Clock> {
    const AFTER_WEEKDAY: &[BorrowedFormatItem<'_>] = format_description!(
        "[month repr:short] [day padding:none] [hour padding:none]:[minute]:[second] [year]"
    );
    let mut words = text.split_ascii_whitespace().skip(1);
    let time = [words.next()?, words.next()?, words.next()?, words.next()?].join(" ");
    let time = PrimitiveDateTime::parse(&time, AFTER_WEEKDAY).ok()?;
    let time = Timestamp::from_unix(time.assume_utc().unix_timestamp()).ok()?;
    Some(match words.next() {
        Some("UTC" | "GMT") => Clock::Utc(time),
        _ => Clock::Elsewhere(time),
    })
}
