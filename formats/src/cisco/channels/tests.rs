use super::*;

const UP_LINE: &str = "Peer channel Channel-A is valid type (CONTROL), using 'eth0', connected to '10.0.0.1' via '10.0.0.9'";
const UP_EVENT: &str = "Peer channel Channel-B is valid type (EVENT), using 'eth0', connected to '10.0.0.2' via '10.0.0.9'";
const DOWN: &str = "Connection to peer '' Attempted at Mon Sep 20 04:10:47 2024 UTC";

fn uuid(letter: &str) -> String {
    format!("{}-87c9-11ef-a993-b9831565bc4e", letter.repeat(8))
}

/// Returns owner, addresses and `is_disconnected` of the blocks that tell anything.
fn said(text: &str) -> Vec<(Owner, Vec<String>, bool)> {
    let says = |block: &Block| !block.connected.is_empty() || block.is_disconnected;
    let blocks = blocks(text).into_iter().filter(says);
    blocks.map(|block| (block.owner, block.connected, block.is_disconnected)).collect()
}

#[test]
fn a_channel_that_is_up_names_its_peer() {
    let blocks = blocks(&format!("{UP_LINE}\n{UP_EVENT}\n{UP_LINE}\n"));
    let [block] = &blocks[..] else { panic!("{blocks:?}") };
    assert_eq!(block.connected, ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(block.control, ["10.0.0.1"]);
    for nothing in [
        "",
        "Registration: Completed.",
        "not connected to '10.0.0.1'",
        "disconnected to '10.0.0.1'",
        "connected to '' via '10.0.0.1'",
        "connected to '10.0.0.1",
        "garbage \u{0} \u{fffd}",
    ] {
        assert_eq!(said(nothing), [], "{nothing}");
    }
}

#[test]
fn a_block_is_the_peers_whose_name_stands_above() {
    let (a, b) = (uuid("a"), uuid("B"));
    let text = format!("{UP_EVENT}\nx '{a}' y\n{DOWN}\nx '{b}' y\n{UP_LINE}\nx {a} {b}\n{DOWN}");
    let connected = |address: &str| vec![address.to_owned()];
    assert_eq!(
        said(&text),
        [
            (Owner::Nobody, connected("10.0.0.2"), false),
            (Owner::Uuid(a), Vec::new(), true),
            (Owner::Uuid(b.to_lowercase()), connected("10.0.0.1"), false),
            (Owner::Ambiguous, Vec::new(), true),
        ]
    );
}

/// Cisco's example has a peer's UUID at the end of its part, before the next peer's heading and
/// channels.
#[test]
fn a_heading_ends_the_block_of_the_uuid_above() {
    let a = uuid("a");
    for heading in ["**RPC STATUS****10.0.0.1*************", "PEER:10.0.0.1"] {
        let text = format!(" 'uuid' => '{a}',\n{heading}\n{UP_LINE}");
        let name = Owner::Name("10.0.0.1".to_owned());
        assert_eq!(said(&text), [(name, vec!["10.0.0.1".to_owned()], false)]);
    }
    let text = format!("{a}\n***********************\n{UP_LINE}");
    assert_eq!(said(&text)[0].0, Owner::Nobody);
}

/// A retry or a warning about another peer must not give it the channels of this one.
#[test]
fn another_uuid_below_a_heading_makes_the_rest_nobodys() {
    let (a, b) = (uuid("a"), uuid("b"));
    for heading in [format!("PEER:{a}"), "**RUN STATUS****10.0.0.1****".to_owned()] {
        let text = format!("{heading}\nwarning: no answer from {b}, retrying\n{UP_LINE}");
        assert_eq!(said(&text)[0].0, Owner::Ambiguous, "{text}");
        let text = format!("{heading}\n'uuid_gw' => '{b}',\n{UP_LINE}");
        assert_ne!(said(&text)[0].0, Owner::Ambiguous, "{text}");
    }
    // its own UUID in such a line changes nothing
    let text = format!("PEER:{a}\nasking {a} again\n{UP_LINE}");
    assert_eq!(said(&text)[0].0, Owner::Uuid(a));
}

#[test]
fn a_warning_of_perl_is_nobodys_heading_and_a_file_of_a_peer_is_its_name() {
    let (a, b) = (uuid("a"), uuid("b"));
    let head = "**RUN STATUS****10.0.0.1****\n";
    let up = "ChannelA Connected: Yes, Interface br1\n";
    let owner = |text: &str| {
        let mut said = said(text);
        assert_eq!(said.len(), 1, "{text}");
        said.remove(0).0
    };
    let warned = |uuid: &str| {
        format!("peer {uuid} did not reply at /usr/local/sf/bin/sftunnel_status.pl line 309.\n")
    };
    let name = Owner::Name("10.0.0.1".to_owned());
    assert_eq!(owner(&format!("{head}{}{up}", warned(&b))), name);
    assert_eq!(owner(&format!("{}{UP_LINE}", warned(&b))), Owner::Nobody);
    let file = |uuid: &str| format!("  Key File   = /ngfw/var/sf/peers/{uuid}/sftunnel-key.pem\n");
    assert_eq!(owner(&format!("{head}{}{up}", file(&a))), Owner::Uuid(a.clone()));
    assert_eq!(owner(&format!("{head}{}{}{up}", file(&a), file(&b))), Owner::Ambiguous);
    let own = "  Key File   = /etc/sf/keys/sftunnel-key.pem\n";
    assert_eq!(owner(&format!("{head}{own}{up}")), name);
}

/// A device that was registered by its host name, or behind a NAT.
#[test]
fn a_connection_that_began_names_its_peer_where_no_channel_does() {
    let connected = |lines: &str| {
        blocks(&format!("**RUN STATUS****fw.example****\n{lines}")).pop().unwrap().connected
    };
    let began = "IPv4 Connection to peer '10.0.0.1' Start Time: Tue Oct 11 21:46:00 2016\n";
    let up = "ChannelA Connected: Yes, Interface br1\n";
    assert_eq!(connected(&format!("{up}{began}{began}")), ["fw.example", "10.0.0.1"]);
    assert_eq!(connected(&format!("{up}{began}{UP_LINE}")), ["10.0.0.1"]);
    let own = format!("  'uuid' => '{}',\n{up}{began}", uuid("a"));
    assert_eq!(connected(&own), ["fw.example"], "a UUID needs no address");
    assert!(connected(began).is_empty());
    assert!(connected(&format!("ChannelA Connected: No\n{began}")).is_empty());
}

#[test]
fn a_uuid_of_a_part_is_that_of_every_block_of_its_heading() {
    let (a, b) = (uuid("a"), uuid("b"));
    let run = "**RUN STATUS****2001:db8:0:0:1:0:0:41****\nChannelA Connected: Yes, Interface br1\n";
    let rpc =
        |uuid: &str| format!("**RPC STATUS****2001:db8::1:0:0:41****\n  'uuid' => '{uuid}',\n");
    let owner = |text: &str| said(text)[0].0.clone();
    assert_eq!(owner(&format!("{run}{}", rpc(&a))), Owner::Uuid(a.clone()));
    assert_eq!(owner(&format!("{run}{}{}", rpc(&a), rpc(&b))), Owner::Ambiguous);
    assert!(matches!(owner(run), Owner::Name(_)));
    assert_eq!(owner(&format!("**RPC STATUS**\n{UP_LINE}")), Owner::Nobody);
}

#[test]
fn the_control_channel_decides_and_a_contradiction_is_unknown() {
    let state = |lines: &str| {
        let block = blocks(&format!("**RUN STATUS****x****\n{lines}")).pop().unwrap();
        (block.is_connected, block.is_disconnected)
    };
    let (up, down, unknown) = ((true, false), (false, true), (false, false));
    for (lines, expected) in [
        ("ChannelA Connected: Yes, Interface br1\nChannelB Connected: Yes, Interface br1", up),
        ("ChannelA Connected: Yes, Interface br1\nChannelB Connected: No", up),
        ("ChannelA Connected: Yes\nLast disconnect reason : x", up),
        ("Channel A Connected : YES, Interface management0", up),
        ("ChannelA Connected: No\nChannelB Connected: No", down),
        ("ChannelA Connected: No", down),
        // events alone: nothing can be deployed, but something is connected
        ("ChannelA Connected: No\nChannelB Connected: Yes, Interface br1", unknown),
        (&format!("ChannelA Connected: No\n{UP_EVENT}"), unknown),
        (UP_EVENT, up),
        ("ChannelA Connected: Yes\nChannelA Connected: No", unknown),
        ("ChannelA Connected: Yes\nChannelB Connected: Yes\nChannelB Connected: No", unknown),
        (&format!("ChannelA Connected: No\n{UP_LINE}"), unknown),
        ("RPC status :Failed", unknown),
        ("ChannelA Connected: ", unknown),
        ("ChannelA Connected: Perhaps", unknown),
        ("ChannelC Connected: Yes", unknown),
        ("Channel", unknown),
    ] {
        assert_eq!(state(lines), expected, "{lines}");
    }
}

#[test]
fn what_a_terminal_adds_is_taken_away() {
    let plain = "**RUN STATUS****10.0.0.1****\nChannelA Connected: Yes, Interface br1\n";
    let expected = said(plain);
    assert_eq!(expected.len(), 1);
    for text in [
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        plain.replace('\n', "\r\r\n"),
        plain.replace("ChannelA", "\u{1b}[1;32mChannel\u{1b}[0mA"),
        plain.replace("**RUN", "\u{1b}]0;root@fmc: ~\u{7}\u{1b}(B**RUN"),
        plain.replace("Yes", "No\u{8}\u{8}Yes"),
        plain.replace("Connected: Yes", "Connected:\u{a0}\tYes\u{200b}"),
        plain.lines().map(|line| format!("> {line}\n")).collect(),
        format!("\u{feff}{plain}"),
    ] {
        assert_eq!(said(&text), expected, "{text:?}");
    }
}

#[test]
fn what_follows_a_prompt_is_nobodys() {
    let a = uuid("a");
    for typed in [
        &format!("root@fmc:/var/sf/peers/{a}# sftunnel_status.pl"),
        "admin@fmc:~$",
        "> sftunnel-status-brief",
        "/usr/local/sf/bin/sftunnel_status.pl 10.0.0.1",
    ] {
        let text = format!("PEER:{a}\n{typed}\n{UP_LINE}");
        assert_eq!(said(&text)[0].0, Owner::Nobody, "{typed}");
    }
    for message in [
        "Use of uninitialized value $peer in print at /usr/local/sf/bin/sftunnel_status.pl line 9.",
        "sftunnel_status.pl: no answer, retry 1 of 3",
    ] {
        let text = format!("PEER:{a}\n{message}\n{UP_LINE}");
        assert_eq!(said(&text)[0].0, Owner::Uuid(a.clone()), "{message}");
    }
}

#[test]
fn a_time_without_a_zone_is_a_bound_and_no_time() {
    let of = |zone: &str| {
        let line =
            format!("IPv4 Connection to peer 'x' Start Time: Tue Oct 11 21:46:00 2016{zone}");
        let block = blocks(&line).pop().unwrap();
        (block.started_at, block.started_after.unwrap().to_string())
    };
    let bound = "2016-10-11T07:46:00Z".to_owned();
    assert_eq!(of(""), (None, bound.clone()));
    assert_eq!(of(" CEST"), (None, bound));
    let (exact, bound) = of(" UTC");
    assert_eq!(exact.unwrap().to_string(), bound);
    assert_eq!(bound, "2016-10-11T21:46:00Z");
}

/// Two hundred thousand channels of one block need a set, not a list that is searched.
#[test]
fn a_flood_of_channels_is_read_in_linear_time() {
    let line = |number: u32| format!("connected to '10.0.{}.{}'\n", number / 256, number % 256);
    let text: String = (0..200_000).map(line).collect();
    let started = std::time::Instant::now();
    assert_eq!(blocks(&text)[0].connected.len(), 200_000);
    // a list would take minutes; the limit allows for a busy machine
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn start_and_heartbeat_are_read_where_they_are_in_utc() {
    let text = "PEER:x\nIPv4 Connection to peer 'x' Start Time: Wed Jun 10 14:27:12 2020 UTC\nHeartbeat Send Time: Mon Jun 15 10:00:00 2020 UTC\nHeartbeat Received Time: Mon Jun 15 09:02:16 2020 UTC\n";
    let times = |text: &str| {
        let block = blocks(text).pop().unwrap();
        [block.started_at, block.heard_at].map(|time| time.map(|time| time.to_string()))
    };
    let [started, heard] = ["2020-06-10T14:27:12Z", "2020-06-15T09:02:16Z"];
    assert_eq!(times(text), [Some(started.to_owned()), Some(heard.to_owned())]);
    assert_eq!(said(text), [], "a connection that began is not one that was attempted");
    for unknown in [
        "Heartbeat Received Time: Mon Jun 15 09:02:16 2020",
        "Heartbeat Received Time: Mon Jun 15 09:02:16 2020 CEST",
        "Heartbeat Received Time: Mon Jun 31 09:02:16 2020 UTC",
        "Heartbeat Received Time: never",
        "SFTUNNEL Start Time: Mon Jun 15 09:02:16 2020 UTC",
        DOWN,
    ] {
        assert_eq!(times(unknown), [None, None], "{unknown}");
    }
}
