use super::*;

const LINE: &str = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
const TIME: &str = "Sep 20 04:10:47 ftd SF-IMS[5]: sftunneld: ";

fn foreign(text: &str) -> String {
    redacted(text, Voice::Foreign).text
}

#[test]
fn a_key_in_a_log_leaves_its_time_and_what_follows_it() {
    let log = format!(
        "{TIME}start\n{TIME}-----BEGIN RSA PRIVATE KEY-----\n{TIME}{LINE}\n{TIME}ab==\n\
         {TIME}-----END RSA PRIVATE KEY-----\n{TIME}err 10:certificate has expired\n"
    );
    let expected = format!(
        "{TIME}start\n{TIME}[removed: 4 line(s) of a private block]\n\
         {TIME}err 10:certificate has expired\n"
    );
    assert_eq!(foreign(&log), expected);
    // both ends in one line, as escaped text
    let escaped =
        format!("x -----BEGIN PRIVATE KEY-----\\n{LINE}\\nab==\\n-----END PRIVATE KEY-----");
    assert_eq!(foreign(&escaped), "x [removed: 1 line(s) of a private block]\n");
}

#[test]
fn a_key_that_is_cut_off_goes_as_well() {
    let begins = format!("one\n-----BEGIN ENCRYPTED PRIVATE KEY-----\n{LINE}\nab==");
    assert_eq!(foreign(&begins), "one\n[removed: 3 line(s) of a private block]\n");
    let ends = format!("short\n{LINE}\nab==\n-----END PRIVATE KEY-----\nafter");
    assert_eq!(foreign(&ends), "short\n[removed: 3 line(s) of a private block]\nafter\n");
    // what follows one without an end is evidence, and the next key is its own
    let two = format!("{begins}\nerr 10: expired\n{TIME}-----BEGIN PRIVATE KEY-----\n{LINE}");
    let block = "[removed: 3 line(s) of a private block]\nerr 10: expired\n";
    let next = "[removed: 2 line(s) of a private block]\n";
    assert_eq!(foreign(&two), format!("one\n{block}{TIME}{next}"));
    for line in [LINE, LINE.get(..40).unwrap(), LINE.get(4..28).unwrap()] {
        assert_eq!(foreign(&format!("a {line} b")), "a [removed: base64] b\n", "{line}");
    }
}

#[test]
fn hex_and_dumps_of_keys_go() {
    let digits = "4d4949457651494241";
    for (text, what) in [
        (format!("{digits}{digits}{digits}"), "[removed: hex digits]"),
        ("00:c3:5f:12:88:ab:cd:ef:01:23:45:67:89".to_owned(), "[removed: hex digits]"),
        ("4d49 4945 7651 4942 4144 414e 4267".to_owned(), "[removed: hex digits]"),
    ] {
        assert_eq!(foreign(&format!("x {text}")), format!("x {what}\n"), "{text}");
    }
}

#[test]
fn identities_and_passphrases_go() {
    for (text, expected) in [
        ("key AGE-SECRET-KEY-1QYQSZQGPQ. Next", "key [removed: an age identity]. Next\n"),
        ("say lanuf-vohuf-bivom-bukof-manim-donor.", "say [removed: a passphrase].\n"),
        ("say lanuf vohuf bivom bukof", "say [removed: a passphrase]\n"),
        ("Password: hunter2 for all", "Password: [removed: what follows this word]\n"),
        (
            "\"passphrase\": \"correct horse\"",
            "\"passphrase\": [removed: what follows this word]\n",
        ),
    ] {
        assert_eq!(foreign(text), expected);
    }
}

#[test]
fn a_line_of_megabytes_takes_no_minutes() {
    let begun = std::time::Instant::now();
    let line = format!("{} ", LINE.get(..24).unwrap()).repeat(100_000);
    let clean = redacted(&line, Voice::Foreign);
    assert!(clean.removed > 100 && clean.text.ends_with(" bytes]\n"));
    assert!(clean.text.len() < 20_000 && begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}

#[test]
fn what_the_colleague_needs_stays() {
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let ours = [
        format!("sha256 {digest}"),
        "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".to_owned(),
        "spoken fe12 0a5b fe12 0a5b fe12 0a5b fe12 0a5b".to_owned(),
        "-----BEGIN CERTIFICATE-----".to_owned(),
    ];
    for text in ours {
        let clean = redacted(&text, Voice::Ours);
        assert_eq!((clean.text.trim_end(), clean.removed), (text.as_str(), 0));
    }
    for text in [
        "8d07463a-ab72-11ef-a623-2d99244fa0d3 10.48.0.1 2001:420:2710:2556:1:0:0:41",
        "eth0 00:50:56:ab:cd:ef, 2001:0420:2710:2556:0001:0000:0000:0041",
        "/ngfw/usr/local/sf/bin/sftunnel -d -f /etc/sf/sftunnel.conf",
        "give --passphrase-file pass.txt; wrong passphrase",
    ] {
        assert_eq!(foreign(text).trim_end(), text);
    }
}
