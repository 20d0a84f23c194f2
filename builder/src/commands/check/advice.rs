//! The next steps for a state and version, as Cisco's guide has them (docs/facts.md). Pure.

/// The hotfix that the guide names for a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hotfix {
    /// This one brings generate_certs.pl.
    Named(&'static str),
    /// The guide says that there is none.
    None,
    /// The guide's table does not hold the version.
    NotListed,
}

/// Looks a version up in the guide's table.
pub(super) fn hotfix(version: &str) -> Hotfix {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let mut next = || parts.next().flatten();
    let (Some(major), Some(minor)) = (next(), next()) else { return Hotfix::NotListed };
    match (major, minor, next().unwrap_or(0)) {
        (7, 0, 0..=6) => Hotfix::Named("FK 7.0.6.99-9"),
        (7, 1, _) => Hotfix::None,
        (7, 2, 0..=9) => Hotfix::Named("FZ 7.2.9.99-4"),
        (7, 3, _) => Hotfix::Named("AE 7.3.1.99-4"),
        (7, 4, 0..=2) => Hotfix::Named("AO 7.4.2.99-5"),
        (7, 6, 0) => Hotfix::Named("B 7.6.0.99-5"),
        _ => Hotfix::NotListed,
    }
}

/// The state of the InternalCA, by this clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ca {
    /// It could not be read.
    Unknown,
    /// Before its validity: the clock is wrong.
    NotYetValid,
    Expired,
    /// It has fewer days left than a threshold allows.
    Urgent,
    Good,
}

/// The facts that advice depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    pub ca: Ca,
    /// Another certificate is within a threshold, or past it.
    pub others_urgent: bool,
    /// `SWVERSION` of the FMC.
    pub version: Option<&'a str>,
    /// Devices of the newest batch's FAILED_PUSH that are not shown to be done.
    pub not_reached: usize,
    /// Other devices that have a new pair here which nothing shows to have arrived.
    pub undelivered: usize,
    /// Devices among these two whose tunnel is not seen to be down.
    pub waiting_up: usize,
    /// Devices shown to be done by a receipt alone, with a tunnel that is seen to be down.
    pub done_but_down: usize,
    pub tunnels: Counts,
}

/// The number of tunnels in each state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub up: usize,
    pub down: usize,
    pub unknown: usize,
}

/// Lists the steps in the order in which they are to be taken.
pub(super) fn next(situation: &Situation<'_>) -> Vec<String> {
    let mut steps = Vec::new();
    match situation.ca {
        Ca::Unknown => {
            steps.push("run this as root on the FMC (`expert`, then `sudo su`); if you did, look at the file that is named above".to_owned());
            return steps;
        }
        Ca::NotYetValid => {
            steps.push("set the FMC's clock, and look at its NTP servers: generate_certs.pl dates certificates by this clock".to_owned());
            return steps;
        }
        Ca::Expired => steps.push(expired_step(situation.tunnels)),
        Ca::Urgent | Ca::Good => {}
    }
    if situation.ca != Ca::Good {
        steps.push(hotfix_step(situation.version));
        steps.push("back the FMC up, and save the output of sftunnel_status.pl".to_owned());
        steps.push("run generate_certs.pl. With a pair of FMCs: on the primary first, then on the secondary, as each has its own CA".to_owned());
        steps.push(
            "for the devices in its FAILED_PUSH: sftunnel-bundle plan, then build".to_owned(),
        );
        steps.push("compare sftunnel_status.pl with what you saved".to_owned());
        return steps;
    }
    if situation.done_but_down > 0 {
        let number = situation.done_but_down;
        steps.push(format!(
            "{number} device{} done by a receipt, but the tunnel is down: `sftunnel-install status` on the device says why",
            if number == 1 { " is" } else { "s are" }
        ));
    }
    let (listed, undelivered) = (situation.not_reached, situation.undelivered);
    if listed + undelivered > 0 {
        if situation.waiting_up > 0 {
            steps.push(format!(
                "{} of the devices that were not reached may still be up on the old certificate: do not reboot or upgrade the FMC or these devices before they are done",
                situation.waiting_up
            ));
        }
        let then = "afterwards sftunnel-bundle receipts, and this again with --receipts";
        if listed > 0 {
            let s = if listed == 1 { "" } else { "s" };
            steps.push(format!(
                "FAILED_PUSH lists {listed} device{s} not seen done yet: sftunnel-bundle build; {then}"
            ));
        }
        if undelivered > 0 {
            let s = if undelivered == 1 { "" } else { "s" };
            steps.push(format!(
                "{undelivered} device{s} {} a new pair here, not seen installed yet: sftunnel-bundle build --all-peers, or --peer UUID for each; {then}",
                if undelivered == 1 { "has" } else { "have" }
            ));
        }
        return steps;
    }
    if situation.others_urgent {
        steps.push("look at the files named above first. The InternalCA is good, and generate_certs.pl would make a new one".to_owned());
    }
    steps
}

/// Chooses between the guide's two scenarios for an expired CA. A tunnel that is up lives until
/// it has to connect anew (2a); when every one is down, there is nothing left to lose (2b). One
/// that nothing is known of may be up.
fn expired_step(tunnels: Counts) -> String {
    match tunnels {
        Counts { up: 0, down, unknown: 0 } if down > 0 => {
            "every tunnel is down (Cisco's scenario 2b): a reboot or an upgrade of the FMC does no further harm".to_owned()
        }
        Counts { up: 0, unknown, .. } => format!(
            "do not reboot or upgrade the FMC or an FTD before you have seen that every tunnel is down (Cisco's scenario 2b): {} are not known here, and a tunnel that is up fails when it reconnects",
            if unknown > 0 { unknown.to_string() } else { "the tunnels".to_owned() }
        ),
        Counts { up, .. } => format!(
            "{up} tunnel{} up (Cisco's scenario 2a): do not reboot or upgrade the FMC or an FTD. A tunnel that is up stays up until it reconnects, and then fails",
            if up == 1 { " is" } else { "s are" }
        ),
    }
}

fn hotfix_step(version: Option<&str>) -> String {
    let Some(version) = version else {
        return "find out the FMC's version, and with it the hotfix that brings generate_certs.pl (Cisco guide 222464)".to_owned();
    };
    match hotfix(version) {
        Hotfix::Named(name) => {
            format!(
                "version {version}: install hotfix {name}, which brings generate_certs.pl; it needs no reboot"
            )
        }
        Hotfix::None => format!(
            "version {version}: there is no hotfix. Ask Cisco TAC; when all devices are disconnected anyway, upgrading the FMC does no harm"
        ),
        Hotfix::NotListed => format!(
            "version {version}: this program knows no hotfix for it. Look in Cisco's guide 222464 (FN74214) for the hotfix or release that brings generate_certs.pl"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_table() {
        for (version, expected) in [
            ("7.0.0", Hotfix::Named("FK 7.0.6.99-9")),
            ("7.0.6", Hotfix::Named("FK 7.0.6.99-9")),
            ("7.0.7", Hotfix::NotListed),
            ("7.1.0.3", Hotfix::None),
            ("7.2.5.1", Hotfix::Named("FZ 7.2.9.99-4")),
            ("7.2.10", Hotfix::NotListed),
            ("7.3.1", Hotfix::Named("AE 7.3.1.99-4")),
            ("7.4.2", Hotfix::Named("AO 7.4.2.99-5")),
            ("7.4.3", Hotfix::NotListed),
            ("7.6.0", Hotfix::Named("B 7.6.0.99-5")),
            ("10.0", Hotfix::NotListed),
            ("x", Hotfix::NotListed),
        ] {
            assert_eq!(hotfix(version), expected, "{version}");
        }
    }

    /// The documents hold one table. It says what this one says, and ends where this one ends.
    #[test]
    fn the_table_of_the_guide_page_is_this_one() {
        let page = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide.md"));
        let (_, section) = page.split_once("\n### The hotfixes\n").unwrap();
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let named = |version: &str| match hotfix(version) {
            Hotfix::Named(name) => name,
            Hotfix::None => "none",
            Hotfix::NotListed => "not listed",
        };
        let mut listed = 0;
        for row in rows.take_while(|line| line.starts_with('|')) {
            let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [versions, shown] = cells[..] else { panic!("two columns: {row}") };
            let (first, last) = versions.split_once(" – ").unwrap_or((versions, versions));
            for version in [first, last] {
                assert_eq!(named(&version.replace('x', "9")), shown.replace(',', ""), "{row}");
            }
            let (minor, patch) = last.rsplit_once('.').unwrap();
            if let Ok(patch) = patch.parse::<u32>() {
                let after = format!("{minor}.{}", patch + 1);
                assert_eq!(named(&after), "not listed", "{row}: {after}");
            }
            listed += 1;
        }
        let (table, _) = include_str!("advice.rs").split_once("\n}\n\n/// The state of").unwrap();
        assert_eq!(listed, table.matches(") => Hotfix::").count(), "rows there, and arms here");
    }

    const SITUATION: Situation<'_> = Situation {
        ca: Ca::Expired,
        others_urgent: true,
        version: Some("7.2.5"),
        not_reached: 3,
        undelivered: 0,
        waiting_up: 0,
        done_but_down: 0,
        tunnels: Counts { up: 0, down: 0, unknown: 5 },
    };

    #[test]
    fn an_expired_ca_begins_with_what_not_to_do() {
        let steps = next(&SITUATION);
        assert!(steps[0].starts_with("do not reboot"), "{steps:?}");
        assert!(steps[1].contains("FZ 7.2.9.99-4"), "{steps:?}");
        let good = Situation { ca: Ca::Good, ..SITUATION };
        assert_eq!(next(&good).len(), 1);
        let done = Situation { not_reached: 0, others_urgent: false, ..good };
        assert!(next(&done).is_empty());
        let lies_here = next(&Situation { undelivered: 1, ..done });
        assert!(matches!(&lies_here[..], [step] if step.contains("--all-peers")), "{lies_here:?}");
        let down = next(&Situation { done_but_down: 2, ..done });
        assert!(matches!(&down[..], [step] if step.starts_with("2 devices are done by a receipt")));
    }

    #[test]
    fn without_a_ca_or_a_clock_there_is_one_step() {
        for (ca, start) in
            [(Ca::Unknown, "run this as root"), (Ca::NotYetValid, "set the FMC's clock")]
        {
            let steps = next(&Situation { ca, ..SITUATION });
            assert!(matches!(&steps[..], [step] if step.starts_with(start)), "{steps:?}");
        }
    }

    /// Only what was seen to be down can lose nothing.
    #[test]
    fn the_scenarios_differ_by_what_is_known_of_the_tunnels() {
        let first = |up, down, unknown| {
            next(&Situation { tunnels: Counts { up, down, unknown }, ..SITUATION }).remove(0)
        };
        for (up, down, unknown) in [(1, 0, 0), (2, 5, 9)] {
            let step = first(up, down, unknown);
            assert!(step.contains("2a") && step.contains("do not reboot"), "{step}");
        }
        assert!(first(0, 4, 0).contains("no further harm"), "{}", first(0, 4, 0));
        for (down, unknown) in [(0, 0), (0, 1), (9, 1)] {
            let step = first(0, down, unknown);
            assert!(step.starts_with("do not reboot") && !step.contains("harm"), "{step}");
        }
    }
}
