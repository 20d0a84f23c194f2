//! Choice of the tests that judge a change to a file of the installer.

/// Groups of tests that meet the guards of a room, the quickest first. They have to notice every
/// fault of the room, so a change also counts as a survivor if only another group would notice it.
const ROOMS: [(&str, &[&str]); 6] = [
    ("installer/src/appliance", &["device::", "refusals::", "install::", "hostile::", "undo::"]),
    ("installer/src/candidate", &["refusals::", "output::", "install::", "trust::", "terminal::"]),
    ("installer/src/change", &["install::", "device::", "kit::", "undo::"]),
    ("installer/src/commands", &["output::", "device::", "terminal::", "install::", "undo::"]),
    ("formats/cli/src/disk", &["device::", "install::", "hostile::", "undo::"]),
    ("installer/src/", &["output::", "install::", "undo::"]),
];

/// Groups that judge a file.
pub(crate) fn of(file: &str) -> &'static [&'static str] {
    ROOMS.iter().find(|(room, _)| file.starts_with(room)).expect("a file that is changed").1
}
