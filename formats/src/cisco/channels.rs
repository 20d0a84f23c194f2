//! Reader of sftunnel's channels in the output of Cisco's status programs: `sftunnel-status` and
//! `sftunnel-status-brief` on a device, `sftunnel_status.pl` on either box.
//!
//! Of a peer's two channels, A carries the control traffic, including policies, and B the events.
//! The lines mean (docs/facts.md):
//!
//! | line | meaning |
//! |---|---|
//! | `… connected to '10.0.0.1' via '10.0.0.2'` | that channel is up |
//! | `ChannelA Connected: Yes, Interface eth0`, or `No` | that channel is up, or not |
//! | `Connection to peer '' Attempted at …`, `Last disconnect reason : …` | not up, unless another line says that it is: it may be from last week |
//! | `Registration: Completed.`, `RPC status :Failed` | nothing about the channels |
//!
//! The control channel decides. Events alone (A `No`, B `Yes`), and lines that contradict each
//! other, are unknown.
//!
//! A block belongs to the peer whose name, address or UUID its heading gives: `PEER:10.0.0.1`,
//! `**RUN STATUS****10.0.0.1****`, or, without a heading, a line with a UUID. A line `'uuid' =>
//! '…'` below a heading names the owner of all blocks under that heading. A line with another UUID
//! below a heading is a message about another peer, and the lines after it belong to nobody, like
//! those after a prompt. All other text is ignored.

mod line;
mod peer_key;

use std::collections::{HashMap, HashSet};

use crate::timestamp::Timestamp;

pub(crate) use self::line::clean;
use self::line::{Heading, Said};

pub use self::peer_key::peer_key;

/// Owner of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// No line above names a peer.
    Nobody,
    /// The peer with this UUID, lower case; managers and devices alike.
    Uuid(String),
    /// The peer with this name or address, as the heading gives it; foreign text.
    Name(String),
    /// Lines that name several peers.
    Ambiguous,
}

/// Lines about one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The peer that the block is about.
    pub owner: Owner,
    /// True if its tunnel is up.
    pub is_connected: bool,
    /// True if its tunnel is down. If neither flag is set, the state is unknown.
    pub is_disconnected: bool,
    /// True if a line says `No` of its control channel: another block that shows the same peer as
    /// connected then contradicts it.
    pub is_denied: bool,
    /// Addresses or names of channels that are up, each once; foreign text. May be empty although
    /// the tunnel is up: not every form gives them.
    pub connected: Vec<String>,
    /// Those of them that belong to a control channel.
    pub control: Vec<String>,
    /// Start of the current connection, by the clock of the box that printed it.
    pub started_at: Option<Timestamp>,
    /// Earliest possible start of the current connection: a time without a zone, or in an unknown
    /// one, is taken for that of the zone farthest ahead.
    pub started_after: Option<Timestamp>,
    /// Time of the last heartbeat, by the same clock.
    pub heard_at: Option<Timestamp>,
}

/// Reads all blocks of a text and ignores everything unknown.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut reading =
        Reading { blocks: vec![Draft::default()], under: None, uuids: HashMap::new() };
    for line in text.split(['\n', '\r']) {
        reading.line(&clean(line));
    }
    let Reading { blocks, uuids, .. } = reading;
    blocks.into_iter().map(|draft| draft.finish(&uuids)).collect()
}

/// State of the reader after some lines of the text.
struct Reading {
    blocks: Vec<Draft>,
    /// Peer named by the last heading, if it names one.
    under: Option<Owner>,
    /// Owners by the name in a heading, as lines `'uuid' => '…'` give them.
    uuids: HashMap<String, Owner>,
}

impl Reading {
    fn line(&mut self, line: &str) {
        match line::heading(line) {
            None => {}
            Some(Heading::End) => {
                self.under = None;
                self.begin(Owner::Nobody);
            }
            Some(Heading::Peer(owner)) => {
                self.under = Some(owner.clone());
                self.begin(owner);
            }
            Some(Heading::Own(uuid)) => self.own(uuid),
            Some(Heading::Mentioned(owner)) => match &self.under {
                Some(under) if *under != owner => self.begin(Owner::Ambiguous),
                _ => self.begin(owner),
            },
        }
        if let Some(block) = self.blocks.last_mut() {
            block.take(&line::said(line));
        }
    }

    /// Handles `'uuid' => '…'`, which belongs to the heading above or is a heading by itself.
    fn own(&mut self, uuid: String) {
        let owner = Owner::Uuid(uuid);
        match &self.under {
            Some(Owner::Name(name)) => {
                let known = self.uuids.entry(peer_key(name)).or_insert_with(|| owner.clone());
                if *known != owner {
                    *known = Owner::Ambiguous;
                }
            }
            Some(under) if *under != owner => self.begin(Owner::Ambiguous),
            _ => self.begin(owner),
        }
    }

    fn begin(&mut self, owner: Owner) {
        if self.blocks.last().is_none_or(|last| last.owner != owner) {
            self.blocks.push(Draft { owner, ..Draft::default() });
        }
    }
}

/// State collected from the lines of one channel.
#[derive(Default)]
struct Channel {
    yes: bool,
    no: bool,
    peers: Vec<String>,
    /// The same as a set: a flood of them must not be searched one by one.
    seen: HashSet<String>,
}

impl Channel {
    fn add(&mut self, peer: &str) {
        if self.seen.insert(peer.to_owned()) {
            self.peers.push(peer.to_owned());
        }
    }

    fn is_up(&self) -> bool {
        self.yes || !self.peers.is_empty()
    }
}

/// A block under construction.
struct Draft {
    owner: Owner,
    control: Channel,
    other: Channel,
    /// A connection of either address family; the output does not say which channels use it.
    begun: Channel,
    was_disconnected: bool,
    started_at: Option<Timestamp>,
    started_after: Option<Timestamp>,
    heard_at: Option<Timestamp>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            owner: Owner::Nobody,
            control: Channel::default(),
            other: Channel::default(),
            begun: Channel::default(),
            was_disconnected: false,
            started_at: None,
            started_after: None,
            heard_at: None,
        }
    }
}

impl Draft {
    fn take(&mut self, said: &Said<'_>) {
        match *said {
            Said::Nothing => {}
            Said::Channel { is_control, is_up } => {
                let channel = if is_control { &mut self.control } else { &mut self.other };
                channel.yes |= is_up;
                channel.no |= !is_up;
            }
            Said::ConnectedTo { is_control, peer } => {
                let channel = if is_control { &mut self.control } else { &mut self.other };
                channel.add(peer);
            }
            Said::Disconnected => self.was_disconnected = true,
            Said::Started { time, peer } => {
                if !peer.is_empty() {
                    self.begun.add(peer);
                }
                self.started_at = self.started_at.max(time.exact());
                self.started_after = self.started_after.max(Some(time.earliest()));
            }
            Said::Heard(time) => self.heard_at = self.heard_at.max(time.exact()),
        }
    }

    fn finish(self, uuids: &HashMap<String, Owner>) -> Block {
        let Self { control, other, begun, .. } = self;
        let contradicts = [&control, &other].iter().any(|channel| channel.no && channel.is_up());
        let is_up = control.is_up() || other.is_up() && !control.no;
        let is_connected = is_up && !contradicts;
        let is_disconnected = !contradicts
            && !control.is_up()
            && !other.is_up()
            && (control.no || self.was_disconnected);
        let owner = match &self.owner {
            Owner::Name(name) => uuids.get(&peer_key(name)).unwrap_or(&self.owner).clone(),
            _ => self.owner.clone(),
        };
        let (mut control_to, mut connected) = (control.peers, Vec::new());
        if control_to.is_empty()
            && control.yes
            && let Owner::Name(name) | Owner::Uuid(name) = &self.owner
        {
            control_to.push(name.clone());
        }
        if is_connected {
            let others = other.peers.into_iter().filter(|peer| !control.seen.contains(peer));
            connected = control_to.iter().cloned().chain(others).collect();
            // with a name above `Connected: Yes`, only this line may give the address; a UUID needs
            // none, and a stale address must not contradict it
            if !matches!(owner, Owner::Uuid(_)) && control.seen.is_empty() && other.seen.is_empty()
            {
                let of_name = control_to.first().map(|name| peer_key(name));
                let begun = begun.peers.into_iter();
                connected.extend(begun.filter(|peer| Some(peer_key(peer)) != of_name));
            }
        } else {
            control_to.clear();
        }
        Block {
            owner,
            is_connected,
            is_disconnected,
            is_denied: control.no,
            connected,
            control: control_to,
            started_at: self.started_at,
            started_after: self.started_after,
            heard_at: self.heard_at,
        }
    }
}

#[cfg(test)]
mod tests;
