//! A page for people who have a browser and a printer, and not this program: one file that loads
//! nothing and runs nothing.

use std::fmt::Write as _;

use formats::text::printable;
use formats::timestamp::Timestamp;

const STYLE: &str = include_str!("../texts/page.css");

/// Frames the inside of a page; `title` is foreign text.
pub(super) fn page(title: &str, inside: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{inside}</body>\n</html>\n"
    )
}

/// A part of the page under a heading of its own; `id` is ours.
pub(super) fn section(id: &str, heading: &str, inside: &str) -> String {
    format!(
        "<section aria-labelledby=\"{id}\">\n<h2 id=\"{id}\">{heading}</h2>\n{inside}</section>\n"
    )
}

/// A state in a word, which colour and shape repeat; the class is on an element around it.
pub(super) fn state(text: &str) -> String {
    format!("<span class=\"state\">{text}</span>")
}

/// How many of all are how far: a length for each class, the first of which is what is done.
pub(super) fn bar(label: &str, parts: &[(&str, usize)]) -> String {
    let done = parts.first().map_or(0, |(_, number)| *number);
    let all: usize = parts.iter().map(|(_, number)| number).sum();
    let mut bar = format!(
        "<div class=\"bar\" role=\"progressbar\" aria-label=\"{label}\" aria-valuemin=\"0\" aria-valuemax=\"{all}\" aria-valuenow=\"{done}\">"
    );
    for (class, number) in parts.iter().filter(|(_, number)| *number > 0) {
        let _ = write!(bar, "<span class=\"{class}\" style=\"flex-grow:{number}\"></span>");
    }
    bar + "</div>\n"
}

/// A validity on an axis of time, which the bars of a table share: what is over, what is left, and
/// a line for today.
pub(super) fn validity(
    (from, until): (Timestamp, Timestamp),
    now: Timestamp,
    (start, end): (Timestamp, Timestamp),
) -> String {
    let mut bar = format!(
        "<div class=\"years\" role=\"img\" aria-label=\"from {} to {}\">",
        from.date(),
        until.date()
    );
    let mut cuts = [start, from, until, now, end].map(|cut| cut.clamp(start, end));
    cuts.sort();
    let mut is_past = true;
    for (one, next) in cuts.iter().zip(cuts.iter().skip(1)) {
        if is_past && *one >= now {
            bar += "<span class=\"today\"></span>";
            is_past = false;
        }
        let class = match *one >= from && *next <= until {
            false => "none",
            true if is_past => "over",
            true => "left",
        };
        let days = (next.unix() - one.unix()) / 86_400;
        if days > 0 {
            let _ = write!(bar, "<span class=\"{class}\" style=\"flex-grow:{days}\"></span>");
        }
    }
    if is_past {
        bar += "<span class=\"today\"></span>";
    }
    bar + "</div>"
}

/// Adds a term and its value, which is foreign text, to a list of them.
pub(super) fn term(list: &mut String, what: &str, value: &str) {
    let _ = writeln!(list, "<dt>{what}</dt><dd>{}</dd>", escaped(value));
}

/// Visible characters only, and none that HTML obeys.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).to_string().chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_only_text() {
        let text = "<script>alert('x')</script>\u{202e}&\"";
        let expected = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;\\u{202e}&amp;&quot;";
        assert_eq!(escaped(text), expected);
        assert!(page(text, "").contains(&format!("<title>{expected}</title>")));
    }

    #[test]
    fn a_page_loads_nothing() {
        for word in ["http:", "https:", "src=", "href=", "<script", "@import", "url("] {
            assert!(!page("", "").contains(word), "{word}");
        }
    }

    #[test]
    fn the_line_of_today_stands_between_what_is_over_and_what_is_left() {
        let day = |days: i64| Timestamp::from_unix(days * 86_400).unwrap();
        let bar = |from, until, now| {
            let bar = validity((day(from), day(until)), day(now), (day(0), day(9)));
            bar.split("<span class=\"")
                .skip(1)
                .map(|part| part.replace("\"></span>", ""))
                .collect::<Vec<_>>()
                .join(" ")
                .replace("\" style=\"flex-grow", "")
                .replace("</div>", "")
        };
        assert_eq!(bar(1, 8, 3), "none:1 over:2 today left:5 none:1");
        assert_eq!(bar(0, 3, 5), "over:3 none:2 today none:4", "expired");
        assert_eq!(bar(4, 9, 2), "none:2 today none:2 left:5", "not yet valid");
        assert_eq!(bar(0, 9, 9), "over:9 today");
    }

    #[test]
    fn a_bar_is_as_long_as_all_and_says_what_is_done() {
        let bar = bar("done", &[("done", 2), ("open", 3), ("bad", 0)]);
        assert!(bar.contains("aria-valuemax=\"5\" aria-valuenow=\"2\""), "{bar}");
        assert!(bar.contains("\"open\" style=\"flex-grow:3\"") && !bar.contains("bad"), "{bar}");
    }
}
