use formats::cisco::failed_push::FailedPush;
use formats::error::Reason;

use super::*;

const A: &str = "aaaaaaaa-87c9-11ef-a993-b9831565bc4e";
const B: &str = "bbbbbbbb-87c9-11ef-a993-b9831565bc4e";
const C: &str = "cccccccc-87c9-11ef-a993-b9831565bc4e";
const MANAGER: &str = "cdb123c8-4347-11ef-aca1-f3aa241412a1";
const OTHER: &str = "ddb123c8-4347-11ef-aca1-f3aa241412a1";

fn lines(uuid: &str, name: &str, manager: &str) -> String {
    CredentialFile::ALL
        .map(|file| format!("{uuid} {name} 10.0.0.1 /s/{file} /var/sf/peers/{manager}/{file}\n"))
        .concat()
}

fn listing(batch: u64, text: &str) -> Listing {
    let path = format!("/var/tmp/certs/{batch}/FAILED_PUSH");
    let batch_from = BatchFrom::Folder;
    let found = FailedPush::parse(text.as_bytes());
    Listing { path, batch, batch_from, doubt: None, found }
}

fn planned(listings: Vec<Listing>, devices: &[&str]) -> Result<Plan, Error> {
    let devices: Vec<String> = devices.iter().map(|&text| text.to_owned()).collect();
    let choice = Choice { devices: &devices, accept_stale: false };
    plan(listings, &Surroundings::default(), &choice)
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.devices.iter().map(|device| device.device.name.as_str()).collect()
}

#[test]
fn a_newer_batch_folder_refuses_everything() {
    let text = lines(A, "a", MANAGER);
    let surroundings = Surroundings { newest_batch: Some(9), ..Surroundings::default() };
    let stale = |accept_stale| {
        let choice = Choice { devices: &[], accept_stale };
        plan(vec![listing(8, &text)], &surroundings, &choice)
    };
    assert!(matches!(stale(false), Err(Error::Stale { batch: 8, newest: 9 })));
    assert_eq!(stale(true).unwrap().warnings.len(), 1);
}

#[test]
fn the_newest_entry_for_a_device_counts() {
    let older = lines(A, "old-a", MANAGER) + &lines(B, "b", MANAGER);
    let plan = planned(vec![listing(1, &older), listing(2, &lines(A, "a", MANAGER))], &[]).unwrap();
    assert_eq!((plan.batch, names(&plan)), (2, vec!["a", "b"]));
    assert!(plan.devices[0].notes[0].contains("also listed by batch 1"));
    assert!(plan.devices[1].notes[0].contains("older batch 1 only"));
}

#[test]
fn a_problem_in_the_newest_listing_is_not_mended_by_an_older() {
    let newest = format!("{A} a 10.0.0.1 /s/cacert.pem");
    let listings = vec![listing(2, &newest), listing(1, &lines(A, "a", MANAGER))];
    let plan = planned(listings, &[]).unwrap();
    assert_eq!((plan.devices.len(), plan.refused.len()), (0, 1));
    let listings = vec![listing(1, &newest), listing(2, &lines(A, "a", MANAGER))];
    let plan = planned(listings, &[]).unwrap();
    assert_eq!((plan.devices.len(), plan.refused.len()), (1, 0));
}

#[test]
fn bad_lines_of_one_device_are_one_refusal() {
    let text = format!("{A} a\n{A} b\nnonsense\n") + &lines(B, "b", MANAGER);
    let plan = planned(vec![listing(1, &text)], &[]).unwrap();
    assert_eq!((names(&plan), plan.refused.len()), (vec!["b"], 2));
    assert_eq!(plan.refused[0].refusal.line, Some(1));
    assert!(plan.refused[0].notes[0].starts_with("line 2 as well"));
    assert_eq!((&plan.refused[1].device, plan.refused[1].refusal.line), (&None, Some(3)));
}

#[test]
fn a_kit_has_one_manager() {
    let text = lines(A, "a", OTHER) + &lines(B, "b", MANAGER) + &lines(C, "c", MANAGER);
    let plan = planned(vec![listing(1, &text)], &[]).unwrap();
    assert_eq!(names(&plan), ["b", "c"]);
    assert_eq!(plan.refused[0].refusal.reason, Reason::WrongDestination);
    // asked for alone, it has a kit of its own
    let plan = planned(vec![listing(1, &text)], &["a"]).unwrap();
    assert_eq!((names(&plan), plan.manager.as_ref().unwrap().uuid.as_str()), (vec!["a"], OTHER));
}

#[test]
fn this_machine_is_preferred_as_manager_and_warned_about_otherwise() {
    let text = lines(A, "a", OTHER) + &lines(B, "b", OTHER) + &lines(C, "c", MANAGER);
    let with_own = |own: &str| {
        let surroundings =
            Surroundings { own: Some(own.parse().unwrap()), ..Surroundings::default() };
        plan(vec![listing(1, &text)], &surroundings, &Choice::default()).unwrap()
    };
    assert_eq!(names(&with_own(MANAGER)), ["c"]);
    let plan = with_own(A);
    assert_eq!((names(&plan), plan.warnings.len()), (vec!["a", "b"], 1));
}

#[test]
fn devices_are_picked_by_name_or_uuid() {
    let text = lines(A, "ftd a", MANAGER) + &lines(B, "ftd-b", MANAGER);
    let pick = |wanted: &str| planned(vec![listing(1, &text)], &[wanted]);
    assert_eq!(names(&pick("ftd a").unwrap()), ["ftd a"]);
    assert_eq!(names(&pick(&B.to_uppercase()).unwrap()), ["ftd-b"]);
    let failure = Failure::from(pick("FTD-x").unwrap_err());
    assert_eq!(failure.reason(), Some(Reason::NotFound));
    assert_eq!(failure.next_step(), Some("similar names are 'ftd-b'"));
    let both = lines(A, "same", MANAGER) + &lines(B, "same", MANAGER);
    let failure = Failure::from(planned(vec![listing(1, &both)], &["same"]).unwrap_err());
    assert!(failure.is_usage());
}

#[test]
fn devices_are_picked_by_patterns_and_beginnings_of_uuids() {
    let text = lines(A, "BSNS-1", MANAGER) + &lines(B, "BSNS-2", MANAGER) + &lines(C, "x", MANAGER);
    let pick = |wanted: &[&str]| planned(vec![listing(1, &text)], wanted);
    assert_eq!(names(&pick(&["bsns-*"]).unwrap()), ["BSNS-1", "BSNS-2"]);
    assert_eq!(names(&pick(&["BSNS-?", "x"]).unwrap()), ["BSNS-1", "BSNS-2", "x"]);
    let short = A.split('-').next().unwrap();
    assert_eq!(names(&pick(&[short, "x"]).unwrap()), ["BSNS-1", "x"]);
    let unknown = |text| Failure::from(pick(&["x", text]).unwrap_err());
    let too_short: String = A.chars().take(3).collect();
    for text in [&too_short, "BSNS-??", "y*"] {
        assert_eq!(unknown(text).reason(), Some(Reason::NotFound), "{text}");
    }
    let twins = lines(A, "a", MANAGER)
        + &lines(&format!("{short}-1111-11ef-a993-b9831565bc4e"), "b", MANAGER);
    let failure = Failure::from(planned(vec![listing(1, &twins)], &[short]).unwrap_err());
    assert!(failure.is_usage() && failure.message().contains(A), "{}", failure.message());
    // a name that has such a character is itself first
    let stars = lines(A, "a*", MANAGER) + &lines(B, "ab", MANAGER);
    assert_eq!(names(&planned(vec![listing(1, &stars)], &["a*"]).unwrap()), ["a*"]);
}

#[test]
fn a_device_with_fewer_files_is_noted() {
    let text: String = lines(A, "a", MANAGER).lines().take(1).collect();
    let plan = planned(vec![listing(1, &text)], &[]).unwrap();
    assert!(plan.devices[0].notes[0].contains("sftunnel-cert.pem and sftunnel-key.pem"));
}

#[test]
fn an_empty_listing_is_not_found() {
    assert!(matches!(planned(vec![listing(1, "")], &[]), Err(Error::EmptyLists(_))));
}

/// A name is escaped where it is printed, once; one that begins as an option is no word to type.
#[test]
fn names_in_hints_are_not_escaped_twice() {
    let known = [(A.parse().unwrap(), Some(r"a\b".parse().unwrap()))];
    let failure = Failure::from(find_devices(&known, &["x".to_owned()]).unwrap_err());
    assert_eq!(failure.next_step(), Some(r"there are 'a\b'"));
    let other = lines(B, "-rf", OTHER);
    let plan = planned(vec![listing(1, &(lines(A, "ftd a", MANAGER) + &other))], &[]).unwrap();
    let hint = &plan.refused[0].refusal.next;
    assert!(hint.ends_with(&format!("--device {B}")), "{hint}");
}
