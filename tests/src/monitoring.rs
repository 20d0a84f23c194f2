//! Readers in the manner of monitoring systems, as strict as any.

use std::collections::HashMap;

/// `label=value[unit][;warning[;critical]]`, blank separated (monitoring-plugins.org).
pub fn perfdata(first_line: &str) -> HashMap<String, (i64, String)> {
    let (_, data) = first_line.split_once(" | ").expect("no performance data");
    assert_eq!(first_line.matches('|').count(), 1, "{first_line}");
    let mut found = HashMap::new();
    for word in data.split(' ') {
        let (label, value) = word.split_once('=').unwrap_or_else(|| panic!("'{word}' in {data}"));
        assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{label}");
        let (value, ranges) = value.split_once(';').unwrap_or((value, ""));
        let is_range =
            |range: &str| range.strip_suffix(':').is_some_and(|days| days.parse::<u32>().is_ok());
        assert!(ranges.is_empty() || ranges.split(';').all(is_range), "{word}");
        let value = value.parse().unwrap_or_else(|_| panic!("{word}"));
        assert!(
            found.insert(label.to_owned(), (value, ranges.to_owned())).is_none(),
            "{label} twice"
        );
    }
    found
}

/// Samples by name and labels, of a file in Prometheus' text format 0.0.4.
pub fn samples(text: &str) -> HashMap<(String, String), f64> {
    assert!(text.ends_with('\n'));
    let (mut found, mut typed, mut finished) = (HashMap::new(), String::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.strip_suffix(" gauge").expect("only gauges");
            assert!(!finished.contains(&name.to_owned()), "{name} in two places");
            finished.push(std::mem::replace(&mut typed, name.to_owned()));
            continue;
        }
        if line.starts_with("# HELP ") {
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = match series.split_once('{') {
            None => (series, ""),
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
        };
        assert_eq!(name, typed, "a sample stands under its type");
        let value: f64 = value.parse().unwrap();
        let labels = labels.to_owned();
        assert!(found.insert((name.to_owned(), labels), value).is_none(), "twice: {line}");
    }
    found
}
