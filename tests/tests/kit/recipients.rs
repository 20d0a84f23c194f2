//! Who may open what: escrow, the recipient map by name, UUID and pattern, and what the plan says
//! of it beforehand.

use std::fs;

use tests::{Kit, Ran, World};

/// Devices of two sites, an identity for each, one for the security office, and a map.
struct Sites {
    world: World,
    north: String,
    south: String,
    escrow: String,
}

const MAP: [&str; 2] = ["--recipient-map", "sites.csv"];

impl Sites {
    fn new() -> Self {
        let world = World::new(3);
        let keygen = |name: &str| {
            let run = world.bundle_program(&["keygen", "identity", "--json", "--out", name]);
            run.run().expect(0).json()["recipient"].as_str().unwrap().to_owned()
        };
        let (north, south, escrow) =
            (keygen("north.txt"), keygen("south.txt"), keygen("escrow.txt"));
        Self { world, north, south, escrow }
    }

    fn map(&self, lines: &str) {
        let lines = lines.replace("NORTH", &self.north).replace("SOUTH", &self.south);
        self.world.write("sites.csv", lines);
    }

    fn plan(&self, flags: &[&str]) -> Ran {
        self.world.bundle(&[&["plan"], flags].concat()).run()
    }

    /// Refused by `plan` and `build` alike, as wrong usage, and nothing is made.
    #[track_caller]
    fn is_wrong_usage(&self, flags: &[&str], says: &str) {
        self.plan(flags).expect(2).says(says);
        let out = self.world.out();
        let ran = self.world.bundle(&[&["build"], flags].concat()).arg("--out").arg(&out).run();
        ran.expect(2).says(says);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "something was made");
    }

    fn opens(&self, kit: &Kit, identity: &str) -> [bool; 3] {
        [1, 2, 3].map(|number| {
            let device = self.world.ftd(number);
            let run = self.world.on(device, &["verify", "--signer", &self.world.signer()]);
            let ran = run.args(["--identity", identity]).arg(&kit.path).run();
            match ran.code() {
                Some(0) => true,
                _ => {
                    ran.expect(3).says("cannot-open");
                    false
                }
            }
        })
    }
}

#[test]
fn escrow_opens_all_and_each_site_its_own() {
    let case = Sites::new();
    // a pattern for a name, and one for a UUID
    let uuid = &case.world.ftd(3).uuid;
    case.map(&format!("device,recipient\nBSNS-????-1,NORTH\n*-2,SOUTH\n{}*,SOUTH\n", &uuid[..13]));
    let flags = [&MAP[..], &["--recipient", &case.escrow]].concat();
    let plan = case.plan(&flags).expect(0);
    let text = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let named = |number: usize| {
        let device = case.world.ftd(number);
        format!("BSNS-1120-{number} ({})", &device.uuid[..8])
    };
    let rest = format!("{}: {}, {}", case.south, named(2), named(3));
    let first = format!("{}: {} {}", case.north, named(1), case.south);
    for line in [format!("{}: all", case.escrow), first, rest] {
        assert!(text.contains(&line), "expected '{line}' in:\n{}", plan.stdout);
    }
    // the same, for programs
    let json = case.plan(&[&flags[..], &["--json"]].concat()).expect(0).json();
    let readers = [&case.north, &case.south, &case.south];
    for (result, reader) in json["results"].as_array().unwrap().iter().zip(readers) {
        assert_eq!(result["recipients"], serde_json::json!([case.escrow, reader]), "{result}");
    }

    let kit = case.world.kit_with(case.world.fmc(), &flags);
    assert_eq!(case.opens(&kit, "escrow.txt"), [true; 3]);
    assert_eq!(case.opens(&kit, "north.txt"), [true, false, false]);
    assert_eq!(case.opens(&kit, "south.txt"), [false, true, true]);
}

#[test]
fn a_map_that_forgets_a_device_leaves_it_to_the_escrow_and_says_so() {
    let case = Sites::new();
    case.map("BSNS-1120-1,NORTH\n");
    // without anybody for all, who could open those bundles?
    case.is_wrong_usage(&MAP, "2 devices have no recipient");
    let flags = [&MAP[..], &["--recipient", &case.escrow]].concat();
    case.plan(&flags).expect(0).says("'BSNS-1120-2', 'BSNS-1120-3'");
    let kit = case.world.kit_with(case.world.fmc(), &flags);
    assert_eq!(case.opens(&kit, "escrow.txt"), [true; 3]);
    assert_eq!(case.opens(&kit, "north.txt"), [true, false, false]);
    // who is not picked needs nobody
    case.plan(&[&MAP[..], &["--device", "BSNS-1120-1"]].concat()).expect(0);
}

#[test]
fn an_entry_for_nobody_is_an_error_with_its_line() {
    let case = Sites::new();
    let escrow = ["--recipient", &case.escrow];
    let flags = [&MAP[..], &escrow[..]].concat();
    for entry in ["BSNS-1120-9", "bsns-1120", "BSNS-11?0-9", "nothing*", "11111111-*"] {
        case.map(&format!("device,recipient\nBSNS-1120-1,NORTH\n{entry},SOUTH\n"));
        case.is_wrong_usage(&flags, "sites.csv, line 3");
    }
    case.map("11111111-2222-11ef-8888-000000000000,NORTH\n");
    case.is_wrong_usage(&flags, "sites.csv, line 1");
    // a column too few, a recipient that is none, and a map of nothing
    case.map("BSNS-1120-1,NORTH\nBSNS-1120-2\n");
    case.is_wrong_usage(&flags, "line 2");
    case.map("BSNS-1120-1,age1nonsense\n");
    case.is_wrong_usage(&flags, "line 1");
    case.map("device,recipient\n# nobody yet\n");
    case.is_wrong_usage(&flags, "holds no recipient");
}
