use super::*;

const DEVICE: &str = "c8d5d5c6-87c9-11ef-a993-b9831565bc4e";
const MANAGER: &str = "cdb123c8-4347-11ef-aca1-f3aa241412a1";

fn line(name_and_address: &str, file: &str) -> String {
    format!("{DEVICE} {name_and_address} /s//{file} /var/sf/peers/{MANAGER}/{file}")
}

fn only_problem(text: &str) -> Problem {
    let found = FailedPush::parse(text.as_bytes());
    assert_eq!((found.devices.len(), found.problems.len()), (0, 1), "{text}");
    found.problems.into_iter().next().unwrap()
}

#[test]
fn names_hold_blanks_and_addresses_need_not_be_addresses() {
    for (shown, name, address) in [
        ("BSNS-1120-1 10.48.67.54", "BSNS-1120-1", "10.48.67.54"),
        ("Site  A, rack 3 DONTRESOLVE", "Site  A, rack 3", "DONTRESOLVE"),
        ("ftd1", "ftd1", ""),
    ] {
        let found = FailedPush::parse(line(shown, "cacert.pem").as_bytes());
        let device = &found.devices[0];
        assert_eq!((device.name.as_str(), &*device.address), (name, address));
    }
}

#[test]
fn duplicates_and_carriage_returns_are_harmless() {
    let text =
        ["cacert.pem", "cacert.pem", "sftunnel-key.pem"].map(|f| line("a b", f)).join("\r\n");
    let found = FailedPush::parse(text.as_bytes());
    assert_eq!((found.devices.len(), found.problems.len()), (1, 0));
    let sources = &found.devices[0].sources;
    assert_eq!((sources.len(), sources.is_empty()), (2, false));
    assert!(Sources::default().is_empty());
}

#[test]
fn sources_are_compared_as_paths() {
    let lines = |other: &str| {
        let one = line("a b", "cacert.pem");
        format!("{one}\n{}", one.replace("/s//", other))
    };
    for same in ["/s/", "//s///", "/s/./"] {
        let found = FailedPush::parse(lines(same).as_bytes());
        assert_eq!((found.devices.len(), found.problems.len()), (1, 0), "{same}");
        assert_eq!(found.devices[0].sources.get(CredentialFile::Ca), Some("/s//cacert.pem"));
    }
    for other in ["/S/", "/s/../", "/s/t/"] {
        assert_eq!(only_problem(&lines(other)).line, 2, "{other}");
    }
}

#[test]
fn each_device_keeps_its_own_paths() {
    let of = |device: &str, file: &str, source: &str| {
        line("a b", file).replace(DEVICE, device).replace("/s//", source)
    };
    let other = DEVICE.replace('c', "d");
    let text = [
        of(DEVICE, "cacert.pem", "/ca/"),
        of(DEVICE, "sftunnel-cert.pem", "/one/"),
        of(&other, "cacert.pem", "/ca/"),
        of(&other, "sftunnel-cert.pem", "/other/"),
    ];
    let found = FailedPush::parse(text.join("\n").as_bytes());
    let paths = |at: usize| {
        let sources = &found.devices[at].sources;
        [CredentialFile::Ca, CredentialFile::Certificate].map(|file| sources.get(file).unwrap())
    };
    assert_eq!(paths(0), ["/ca/cacert.pem", "/one/sftunnel-cert.pem"]);
    assert_eq!(paths(1), ["/ca/cacert.pem", "/other/sftunnel-cert.pem"]);
    let [one, other] = [0, 1].map(|at| found.devices[at].sources.0[0].clone().unwrap());
    assert!(Arc::ptr_eq(&one, &other), "a fleet's CA is held once");
}

#[test]
fn a_line_may_be_as_long_as_its_limit_and_no_longer() {
    let of_length = |length: usize| {
        let line = line("a b", "cacert.pem");
        line.replace("/s//", &format!("/s/{}/", "x".repeat(length - line.len())))
    };
    let longest = of_length(limits::FAILED_PUSH_LINE);
    assert_eq!(longest.len(), limits::FAILED_PUSH_LINE);
    assert_eq!(FailedPush::parse(longest.as_bytes()).devices.len(), 1);
    let error = only_problem(&of_length(limits::FAILED_PUSH_LINE + 1)).error;
    assert_eq!(error, LineError::TooLong);
}

#[test]
fn bad_lines_are_told_up_to_a_limit_and_then_counted() {
    const MOST: usize = limits::FAILED_PUSH_PROBLEMS;
    let good = line("a b", "cacert.pem");
    let bad = DEVICE.replace('c', "d");
    let text = format!("{}{bad} cut\n{good}\n{DEVICE} cut too", "x\n".repeat(MOST));
    let found = FailedPush::parse(text.as_bytes());
    assert_eq!((found.problems.len(), found.more_problems), (MOST, 2));
    assert_eq!(found.nobodys, MOST);
    // also what is only counted leaves its device out
    assert_eq!((found.unusable.len(), found.devices.len()), (2, 0));
    let most = FailedPush::parse("x\n".repeat(MOST).as_bytes());
    assert_eq!((most.problems.len(), most.more_problems), (MOST, 0));
}

#[test]
fn a_byte_order_mark_is_passed_over_at_the_start_only() {
    let text = line("a b", "cacert.pem");
    let marked = FailedPush::parse(format!("\u{feff}{text}\r\n").as_bytes());
    assert_eq!(marked, FailedPush::parse(text.as_bytes()));
    assert_eq!(FailedPush::parse("\u{feff}".as_bytes()), FailedPush::default());
    assert_eq!(only_problem(&format!("\n\u{feff}{text}")).error, LineError::NoUuid);
}

#[test]
fn a_copy_of_windows_or_macos_reads_as_the_list_itself() {
    let text =
        ["cacert.pem", "sftunnel-key.pem", "x"].map(|file| line("a b 10.0.0.1", file)).join("\n")
            + "\n";
    let list = FailedPush::parse(text.as_bytes());
    assert_eq!((list.devices.len(), list.problems.len()), (0, 1));
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    for copy in [
        utf16(&text),
        utf16(&format!("\u{feff}{}", text.replace('\n', "\r\n"))),
        format!("\u{feff}{}", text.replace('\n', "\r")).into_bytes(),
        text.replace('\n', "\r\r\n").into_bytes(),
        text.replace('\n', "\u{a0}\u{200b} \n").into_bytes(),
    ] {
        assert_eq!(FailedPush::parse(&copy), list, "{}", String::from_utf8_lossy(&copy));
        for capacity in [1, 4096] {
            let reader = std::io::BufReader::with_capacity(capacity, &copy[..]);
            assert_eq!(FailedPush::read(reader, copy.len() as u64).unwrap(), list);
        }
        assert!(FailedPush::read(&copy[..], copy.len() as u64 - 1).is_err());
    }
}

#[test]
fn reading_line_by_line_finds_the_same() {
    let text = ["cacert.pem", "sftunnel-key.pem", "x"].map(|f| line("a b", f)).join("\n");
    let read = |limit| FailedPush::read(text.as_bytes(), limit);
    assert_eq!(read(text.len() as u64).unwrap(), FailedPush::parse(text.as_bytes()));
    assert!(matches!(read(text.len() as u64 - 1), Err(LimitError::TooLarge { .. })));
}

#[test]
fn a_line_cut_anywhere_never_yields_another_meaning() {
    let whole = line("name with blanks 10.0.0.1", "sftunnel-cert.pem");
    for end in DEVICE.len()..whole.len() {
        let problem = only_problem(whole.split_at(end).0);
        assert_eq!(problem.error, LineError::Cut, "cut at {end}");
        assert_eq!(problem.device.unwrap().as_str(), DEVICE, "cut at {end}");
    }
}

#[test]
fn a_cut_line_takes_its_device_out_and_no_other() {
    let other = line("b 10.0.0.2", "cacert.pem").replace(DEVICE, MANAGER);
    let text =
        format!("{}\n{other}\n{DEVICE} a 10.0.0.1 /etc/sf/ca_r", line("a 10.0.0.1", "cacert.pem"));
    let found = FailedPush::parse(text.as_bytes());
    assert_eq!(found.devices.len(), 1);
    assert_eq!(found.devices[0].uuid.as_str(), MANAGER);
    assert_eq!(
        (found.problems[0].line, found.problems[0].error.reason()),
        (3, Reason::BadFailedPush)
    );
    assert_eq!(found.problems[0].name.as_ref().unwrap().as_str(), "a");
}

#[test]
fn other_destinations_and_contradictions_are_refused() {
    let problem = only_problem(&format!("{DEVICE} a b /s /etc/passwd"));
    assert_eq!(problem.error.reason(), Reason::WrongDestination);
    let two = line("a b", "cacert.pem") + "\n" + &line("a b", "cacert.pem").replace("/s//", "/t/");
    assert!(matches!(
        only_problem(&two).error,
        LineError::Contradiction { earlier: 1, what: "source" }
    ));
    assert_eq!(only_problem("not-a-uuid a b /s /d").device, None);
    let nameless = format!("{DEVICE} /s/cacert.pem /var/sf/peers/{MANAGER}/cacert.pem");
    assert_eq!(only_problem(&nameless).error, LineError::Cut);
}
