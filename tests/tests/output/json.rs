//! Every JSON object into a type that knows all its fields: a field that is added or renamed
//! without `docs/json.md` is noticed here.

use formats::bundle::manifest::{CredentialFacts, Device, Manager, Manifest};
use formats::checksum::Sha256;
use formats::kit::{Handoff, InstallerEntry, TextEntry};
use formats::signature::{Fingerprint, SignerEntry};
use formats::timestamp::Timestamp;
use lab::Fault;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tests::{Ran, Run, World};

/// Objects that know all their fields. Every one of the programs begins with the same five.
macro_rules! objects {
    ($($name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            #[derive(Debug, Deserialize)]
            #[serde(deny_unknown_fields)]
            #[allow(dead_code)]
            struct $name { $($field: $type,)* }
        )*
    };
}

macro_rules! schemas {
    ($($name:ident { $($field:ident: $type:ty,)* })*) => {
        objects! {
            $($name {
                schema: String,
                exit_code: u8,
                reason: Option<String>,
                message: Option<String>,
                next: Option<String>,
                $($field: $type,)*
            })*
        }
    };
}

objects! {
    DeviceRef { uuid: String, name: Option<String>, }
    Planned {
        device: Option<DeviceRef>, status: String, notes: Vec<String>,
        reason: Option<String>, message: Option<String>, next: Option<String>,
        line: Option<usize>, failed_push: Option<String>,
        address: Option<String>, files_listed: Option<usize>, sources: Option<[String; 3]>,
        file: Option<String>, bundle_id: Option<Sha256>,
        certificate_not_after: Option<Timestamp>, ca_not_after: Option<Timestamp>,
        ca_days_left: Option<i64>, recipients: Option<Vec<String>>,
    }
    Bundled {
        device: Option<DeviceRef>, status: String, notes: Vec<String>,
        reason: Option<String>, message: Option<String>, next: Option<String>,
        line: Option<usize>, failed_push: Option<String>,
        file: Option<String>, size: Option<u64>, sha256: Option<Sha256>,
        bundle_id: Option<Sha256>, certificate_not_after: Option<Timestamp>,
        ca_not_after: Option<Timestamp>,
    }
    Visit { device: DeviceRef, command: Vec<String>, }
    Delivered {
        device: DeviceRef, status: String, notes: Vec<String>,
        reason: Option<String>, message: Option<String>, next: Option<String>,
        outcome: Option<String>, tunnel: Option<String>, said: Option<String>,
        receipts: Option<Vec<String>>, seconds: Option<u64>, connections: Option<u32>,
    }
    SupportPart { name: String, readable: bool, removed: usize, }
    PlannedInstaller { arch: String, source: String, }
    LeftOutInstaller { source: String, reason: String, message: String, }
    BuildSigner { public_key: String, fingerprint: String, spoken: String, new: bool, }
    InspectedKit {
        path: String, manager: Manager, batch: u64, source: Option<String>, created_at: Timestamp,
        signer: SignerEntry, built_by: Option<SignerEntry>, handoffs: Vec<Handoff>,
        passphrase: bool, bundles: usize, installers: Vec<InstallerEntry>, texts: Vec<TextEntry>,
    }
    InspectedBundle {
        path: String, size: u64, sha256: Sha256, encoding: String, device: Option<DeviceRef>,
        manifest: Option<Manifest>,
        reason: Option<String>, message: Option<String>, next: Option<String>,
    }
    VerifiedKit {
        path: String, status: String,
        reason: Option<String>, message: Option<String>, next: Option<String>,
        manager: Option<Manager>, batch: Option<u64>, created_at: Option<Timestamp>,
        signer: Option<String>, vouched_by: Option<String>, built_by: Option<SignerEntry>,
        handoffs: Vec<Handoff>, passphrase: Option<bool>,
        files: Option<usize>, bytes: Option<u64>, texts_signed: Option<bool>,
        not_listed: Vec<String>, left_by_systems: Vec<String>,
    }
    CheckedKit {
        files: usize, bytes: u64, texts_signed: bool,
        not_listed: Vec<String>, left_by_systems: Vec<String>,
    }
    VerifiedBundle {
        path: String, size: Option<u64>, sha256: Option<Sha256>, kit: Option<String>,
        device: Option<DeviceRef>, status: String,
        reason: Option<String>, message: Option<String>, next: Option<String>,
        bundle_id: Option<Sha256>, signer: Option<String>, vouched_by: Option<String>,
        certificate_not_after: Option<Timestamp>, ca_not_after: Option<Timestamp>,
    }
    FilePlan {
        path: String, action: String, before: Option<Sha256>, after: Option<Sha256>,
        mode: Option<String>, uid: Option<u32>, gid: Option<u32>,
        extended: Option<Vec<String>>,
    }
    Source {
        source: String, status: String,
        reason: Option<String>, message: Option<String>, next: Option<String>,
        bundle: Option<SourceBundle>,
    }
    SourceBundle {
        bundle_id: Sha256, manager: Manager, device: Device, batch: u64, created_at: Timestamp,
        signer: SignerEntry, vouched_by: String, credentials: CredentialFacts,
        files: Vec<FilePlan>,
    }
    Service { state: String, pid: Option<u32>, detail: Option<String>, }
    Why { manager: String, why: String, }
    Pinned { key: PinnedKey, pinned_at: Timestamp, }
    PinnedKey { public_key: Option<String>, fingerprint: String, }
    PeerStatus {
        manager: String, path: String, state: String, level: String, reason: Option<String>,
        message: Option<String>, days_left: Option<i64>,
        ca: Option<formats::credentials::CertificateFacts>,
        certificate: Option<formats::credentials::CertificateFacts>,
        files: Vec<FileStatus>, strays: Vec<String>, leftovers: usize, completed: bool,
        cannot_replace: Option<Vec<String>>,
        signers: Vec<Pinned>, tunnel: Option<Tunnel>,
    }
    Tunnel {
        manager: String, state: String, why: String, connected_to: Option<Vec<String>>,
        heartbeat_age_seconds: Option<i64>,
    }
    Rehearsal {
        manager: String, host: String, status: String, failed_at: Option<String>,
        message: Option<String>, protocol: Option<String>, cipher: Option<String>,
        certificate: Option<formats::credentials::CertificateFacts>, asked: Option<Vec<String>>, given: bool,
    }
    Connection { local: String, remote: String, }
    UnderWay {
        command: Option<String>, pid: Option<i32>, since: Option<Timestamp>, step: Option<String>,
        step_since: Option<Timestamp>,
    }
    FileStatus { name: String, found: Option<FoundStatus>, }
    FoundStatus {
        size: usize, sha256: Sha256, mode: String, uid: u32, gid: u32, as_expected: bool,
    }
    Backup { id: String, status: String, message: Option<String>, record: Option<BackupRecord>, }
    BackupRecord {
        format: String, device: Option<String>, sequence: u64, created_at: Timestamp, before: String, program: String,
        peers: Vec<BackupPeer>,
    }
    BackupPeer { manager: String, files: Vec<BackupFile>, }
    BackupFile { name: String, found: Option<BackupFound>, }
    BackupFound {
        size: u64, sha256: Sha256, mode: String, uid: u32, gid: u32,
        extended: Option<std::collections::BTreeMap<String, String>>,
    }
    ManagerSigners { manager: String, signers: Vec<Pinned>, }
    Thresholds { warning: u32, critical: u32, }
    FailedPush { path: String, batch: u64, devices: usize, }
    Checked {
        role: String, device: Option<DeviceRef>, path: String, state: String,
        subject: Option<String>, not_before: Option<Timestamp>, not_after: Option<Timestamp>,
        days_left: Option<i64>, issued_by_ca: Option<bool>, superseded: bool,
        message: Option<String>,
    }
    HandedOffKit {
        path: String, from: String, manager: Manager, batch: u64, created_at: Timestamp,
        built_by: Option<SignerEntry>, handoffs: Vec<Handoff>, has_passphrase: bool,
        bundles: usize, installers: Vec<InstallerEntry>,
    }
    HandedOff {
        device: Option<DeviceRef>, status: String, notes: Vec<String>,
        reason: Option<String>, message: Option<String>, next: Option<String>,
        path: Option<String>, size: Option<u64>, sha256: Option<Sha256>,
        bundle_id: Option<Sha256>, signer: Option<Fingerprint>, vouched_by: Option<String>,
        recipients: Option<Vec<String>>,
    }
    ReceiptsKit {
        path: String, manager: Manager, batch: u64, created_at: Timestamp, signer: Fingerprint,
        vouched_by: Option<String>, devices: usize,
    }
    Authority { path: String, fingerprint: Sha256, not_before: Timestamp, current: bool, }
    SeenTunnels {
        source: Option<String>, path: Option<String>, at: Option<Timestamp>, up: usize,
        down: usize, unknown: usize, strangers: Option<usize>, note: Option<String>,
    }
    CheckedDevice {
        device: DeviceRef, tunnel: String, connected_since: Option<Timestamp>, reached: String,
    }
    DeviceReceipts {
        device: DeviceRef, manager: String, kit: String, status: String,
        reason: Option<String>, message: Option<String>, next: Option<String>,
        tunnel: Option<String>, seen: Option<String>, confirmed: bool, outcome: Option<String>, proof: Option<String>,
        ended_at: Option<Timestamp>, certificate: Option<Sha256>, bundle_id: Option<Sha256>,
        signer: Option<Fingerprint>, backup: Option<String>, claims: usize,
    }
    Receipt {
        path: String, status: String,
        reason: Option<String>, message: Option<String>, next: Option<String>,
        device: Option<String>, manager: Option<String>, outcome: Option<String>,
        ended_at: Option<Timestamp>, proof: Option<String>, listed: bool,
    }
    LogLine {
        at: Timestamp, command: String, outcome: String, exit_code: u8, reason: Option<String>,
        message: Option<String>, backup: Option<String>, bundles: Option<Vec<String>>,
        program: String,
    }
}

schemas! {
    Usage {}
    Plan {
        kit: Option<String>, manager: Option<Manager>, batch: u64, source: String, failed_push: Vec<String>,
        checked_at: Timestamp, passphrase: String, ready: usize, refused: usize,
        results: Vec<Planned>, installers: Vec<PlannedInstaller>,
        installers_left_out: Vec<LeftOutInstaller>, warnings: Vec<String>,
    }
    Build {
        kit: Option<String>, manager: Option<Manager>, batch: u64, created_at: Timestamp,
        source: String, failed_push: Vec<String>, signer: Option<BuildSigner>, passphrase: String,
        bundled: usize, refused: usize, results: Vec<Bundled>,
        installers: Vec<InstallerEntry>, installers_left_out: Vec<LeftOutInstaller>,
        warnings: Vec<String>,
    }
    PastedText {
        device: DeviceRef, manager: Manager, passphrase: String, lines: usize, size: u64,
        sha256: Sha256, warnings: Vec<String>, text: String,
    }
    Inspect { kits: Vec<InspectedKit>, bundles: Vec<InspectedBundle>, }
    BuilderVerify { opened: bool, kits: Vec<VerifiedKit>, results: Vec<VerifiedBundle>, }
    Support { path: Option<String>, size: usize, parts: Vec<SupportPart>, }
    Man { page: String, roff: String, }
    Completion { shell: String, script: String, }
    Keygen {
        kind: String, file: String, recipient: Option<String>, public_file: Option<String>,
        public_key: Option<String>, fingerprint: Option<String>, spoken: Option<String>,
    }
    Check {
        state: String, summary: String, checked_at: Timestamp, thresholds: Thresholds,
        version: Option<String>, model: Option<String>, failed_push: Option<FailedPush>,
        tunnels: SeenTunnels, devices: Vec<CheckedDevice>, results: Vec<Checked>,
        html: Option<String>, problems: Option<Vec<String>>, steps: Vec<String>,
    }
    HandoffMade {
        kits: Vec<HandedOffKit>, signer: Option<BuildSigner>, passphrase: String,
        handed_off: usize, refused: usize, results: Vec<HandedOff>, warnings: Vec<String>,
    }
    Receipts {
        checked_at: Timestamp, kits: Vec<ReceiptsKit>, ca: Vec<Authority>,
        tunnels: SeenTunnels, done: usize, confirmed: usize, rolled_back: usize,
        outstanding: usize, unverified: usize, results: Vec<DeviceReceipts>,
        receipts: Vec<Receipt>, html: Option<String>, warnings: Vec<String>,
    }
    Deliver {
        kit: String, planned: Vec<Visit>, done_before: Vec<DeviceRef>, others: Vec<String>,
        results: Vec<Delivered>,
    }
    Install {
        device: Option<Device>, outcome: Option<String>, backup: Option<String>,
        why: Option<String>, sftunnel_before: Option<Service>, sftunnel_pid: Option<u32>,
        receipt_texts: Option<Vec<String>>,
        renames_microseconds: Option<u64>, stays_down: Option<Vec<Why>>,
        tunnels: Option<Vec<Tunnel>>, tunnels_waited_seconds: Option<u64>,
        dropped: Option<Vec<Why>>, interrupted_run: Option<String>,
        receipts: Option<Vec<String>>, results: Option<Vec<Source>>,
        rehearsals: Option<Vec<Rehearsal>>,
    }
    Rollback {
        restored: String, outcome: String, backup: Option<String>,
        why: Option<String>, sftunnel_before: Service, sftunnel_pid: Option<u32>,
        receipt_texts: Option<Vec<String>>,
        renames_microseconds: Option<u64>, stays_down: Option<Vec<Why>>,
        tunnels: Option<Vec<Tunnel>>, tunnels_waited_seconds: Option<u64>,
        dropped: Option<Vec<Why>>, interrupted_run: Option<String>,
        receipts: Option<Vec<String>>, files: Vec<FilePlan>,
    }
    InstallerVerify {
        files_checked: Option<usize>, kits: Option<Vec<CheckedKit>>, results: Option<Vec<Source>>,
        dropped: Option<Vec<Why>>,
        rehearsals: Option<Vec<Rehearsal>>, interrupted_run: Option<String>,
    }
    Recover {
        outcome: String, leftovers: usize, backup: Option<String>, sftunnel_pid: Option<u32>,
        why: Option<String>, stays_down: Option<Vec<Why>>, receipts: Option<Vec<String>>,
    }
    Status {
        state: String, summary: String, thresholds: Thresholds,
        device_uuid: Option<String>, is_lone_manager: Option<bool>, now: Timestamp, clock_behind: Option<bool>, sftunnel: Service, under_way: Option<UnderWay>, peers: Vec<PeerStatus>,
        ports: Vec<u16>,
        connections: Option<Vec<Connection>>,
        backups: Vec<String>, interrupted_run: Option<String>, steps: Vec<String>,
    }
    Backups { backups: Vec<Backup>, removed: Option<Vec<String>>, }
    Signers { managers: Vec<ManagerSigners>, }
    Log { lines: Vec<LogLine>, unreadable: usize, }
}

/// Runs it with `--json`: the exit code, the schema's name, and every field of `T`.
#[track_caller]
fn json<T: DeserializeOwned>(run: Run, code: i32, schema: &str) -> (T, Ran) {
    let ran = run.arg("--json").run().expect(code);
    let value = ran.json();
    if value["schema"] != schema || value["exit_code"] != code {
        ran.fail(&format!("expected the schema '{schema}'"));
    }
    let control = |byte: u8| byte != b'\n' && !(b' '..=b'~').contains(&byte);
    if ran.stdout.bytes().any(control) {
        ran.fail("expected JSON in printable ASCII");
    }
    (ran.typed(), ran)
}

#[test]
fn the_builders_objects_have_these_fields() {
    let world = World::new(2);
    let bad = world.fmc().certs_pushed(&world.ftd(2).uuid).join("sftunnel-key.pem");
    std::fs::write(bad, "").unwrap();
    let recipient = world.recipient();
    let out = world.out();
    let build =
        |command: &str| world.bundle(&[command, "--recipient", &recipient]).arg("--out").arg(&out);
    json::<Plan>(build("plan"), 4, "sftunnel-bundle.plan/1");
    json::<Plan>(build("build").arg("--dry-run"), 4, "sftunnel-bundle.plan/1");
    let (made, _) = json::<Build>(build("build"), 4, "sftunnel-bundle.build/1");
    json::<Usage>(build("build"), 3, "sftunnel-bundle.build/1");
    json::<Usage>(build("build").arg("--nonsense"), 2, "sftunnel-bundle.usage/1");
    let none = world.bundle(&["build", "--recipient", &recipient, "--device", "BSNS-1120-2"]);
    json::<Build>(none.arg("--out").arg(world.out()), 3, "sftunnel-bundle.build/1");
    let kit = made.kit.unwrap();
    let opened = ["--identity", "identity.txt"];
    for command in ["inspect", "verify"] {
        for flags in [&[][..], &opened] {
            let run = world.bundle(&[command]).args(flags).arg(&kit);
            if command == "inspect" {
                json::<Inspect>(run, 0, "sftunnel-bundle.inspect/1");
            } else {
                json::<BuilderVerify>(run, 0, "sftunnel-bundle.verify/1");
            }
        }
    }
    let sealed = std::fs::read_dir(format!("{kit}/bundles")).unwrap().next().unwrap().unwrap();
    let mut broken = std::fs::read(sealed.path()).unwrap();
    *broken.last_mut().unwrap() ^= 1;
    let broken = world.write("broken.age", broken);
    let run = |command: &str| world.bundle(&[command]).args(opened).arg(&broken);
    json::<Inspect>(run("inspect"), 3, "sftunnel-bundle.inspect/1");
    json::<BuilderVerify>(run("verify"), 3, "sftunnel-bundle.verify/1");
    let words = world.write("six-words.txt", "babad-dabab-gabab-habab-kabab-lusab");
    let paste = world.bundle(&["paste", "BSNS-1120-1", "--kit", &kit]).args(opened);
    let paste = paste.arg("--text-passphrase-file").arg(words);
    let (pasted, _) = json::<PastedText>(paste, 0, "sftunnel-bundle.paste/1");
    assert_eq!(pasted.text.lines().count(), pasted.lines);
    let keygen =
        |kind: &str| world.bundle_program(&["keygen", kind, "--out"]).arg(world.path(kind));
    json::<Keygen>(keygen("identity"), 0, "sftunnel-bundle.keygen/1");
    json::<Keygen>(keygen("signer"), 0, "sftunnel-bundle.keygen/1");
    let support = world.bundle(&["support", "--out"]).arg(world.out());
    json::<Support>(support, 0, "sftunnel-bundle.support/1");
    let man = json::<Man>(world.bundle_program(&["man", "build"]), 0, "sftunnel-bundle.man/1").0;
    assert_eq!(man.page, "sftunnel-bundle-build");
    let run = world.bundle_program(&["completion", "bash"]);
    json::<Completion>(run, 0, "sftunnel-bundle.completion/1");
}

#[test]
fn the_objects_between_teams_have_these_fields() {
    let world = World::started(2);
    let schema = "sftunnel-bundle.check/1";
    let (check, ran) = json::<Check>(world.bundle(&["check"]), 1, schema);
    assert_eq!(check.state, "WARNING", "{}", ran.stdout);
    assert_eq!((check.tunnels.down, check.devices[0].reached.as_str()), (2, "no"));
    let count = |role| check.results.iter().filter(|checked| checked.role == role).count();
    assert_eq!((count("ca"), count("pushed")), (1, 2), "{}", ran.stdout);
    let late = world.bundle(&["check", "--warning", "36500"]);
    assert_eq!(json::<Check>(late, 1, schema).0.state, "WARNING");
    json::<Usage>(world.bundle(&["check", "--nonsense"]), 3, "sftunnel-bundle.usage/1");

    let kit = world.kit(&[]);
    let (one, kit) = (kit.bundle(world.ftd(1)), kit.path);
    let mut broken = std::fs::read(&one).unwrap();
    *broken.last_mut().unwrap() ^= 1;
    let broken = world.write("broken.age", broken);
    let handoff = |source: &std::path::Path, out: &std::path::Path| {
        let recipient = world.recipient();
        let run = world.bundle(&["handoff", "-i", "identity.txt", "-r", &recipient, "--out"]);
        run.arg(out).arg(source)
    };
    let schema = "sftunnel-bundle.handoff/1";
    let (out, alone) = (world.out(), world.out());
    let made = json::<HandoffMade>(handoff(&kit, &out), 0, schema).0;
    assert_eq!((made.handed_off, made.kits[0].handoffs.len()), (2, 1));
    assert!(made.results[0].notes.is_empty() && made.results[0].vouched_by.is_some());
    json::<Usage>(handoff(&kit, &out), 3, schema);
    assert!(json::<HandoffMade>(handoff(&one, &alone), 0, schema).0.kits.is_empty());
    let refused = json::<HandoffMade>(handoff(&broken, &world.out()), 3, schema).0;
    assert_eq!(refused.results[0].reason.as_deref(), Some("damaged"));

    let schema = "sftunnel-bundle.deliver/1";
    let says = "--via=sh -c 'echo connect to {address}: Connection refused'";
    let deliver = world.bundle(&["deliver", "-i", "identity.txt", "--yes", says]).arg(&kit);
    let delivered = json::<Deliver>(deliver, 3, schema).0;
    assert_eq!((delivered.planned.len(), delivered.planned[0].command.len()), (2, 3));
    assert_eq!(delivered.results[1].reason.as_deref(), Some("unreachable"));

    let schema = "sftunnel-bundle.receipts/1";
    let receipts = || world.bundle(&["receipts"]).arg(&kit);
    assert_eq!(json::<Receipts>(receipts(), 0, schema).0.outstanding, 2);
    world.install(world.ftd(1), &kit).run().expect(0);
    world.up(world.ftd(1), world.fmc());
    let run = receipts().arg("--html").arg(world.path("page.html"));
    let live = json::<Receipts>(run, 0, schema).0;
    assert_eq!((live.done, live.tunnels.up, live.tunnels.down), (1, 1, 1));
    assert!(live.html.is_some() && live.results.iter().any(|device| device.confirmed));
    let status = format!("connected to '{}'\n", world.ftd(1).uuid);
    let run = receipts().arg("--status-file").arg(world.write("status.txt", status));
    let saved = json::<Receipts>(run, 0, schema).0;
    assert_eq!((saved.tunnels.source.as_deref(), saved.tunnels.up), (Some("file"), 1));
    assert!(saved.results.iter().any(|device| device.seen.as_deref() == Some("undated")));
    let run = receipts().arg(world.write("receipt_x.json", "{}"));
    let refused = json::<Receipts>(run, 3, schema).0;
    assert!(refused.receipts.iter().any(|receipt| receipt.status == "refused"));
}

#[test]
fn the_installers_objects_have_these_fields() {
    let world = World::started(1);
    let device = world.ftd(1);
    let kit = world.kit(&[]).path;
    let on = |args: &[&str]| world.on(device, args);
    let install = || world.install(device, &kit);

    let (status, _) = json::<Status>(on(&["status"]), 0, "sftunnel-install.status/1");
    assert_eq!((status.peers[0].state.as_str(), status.peers[0].days_left), ("expired", Some(-1)));
    json::<Recover>(on(&["recover"]), 0, "sftunnel-install.recover/1");
    json::<Log>(on(&["log"]), 0, "sftunnel-install.log/1");
    json::<Backups>(on(&["backups", "list"]), 0, "sftunnel-install.backups/1");
    json::<Signers>(on(&["signers", "list"]), 0, "sftunnel-install.signers/1");
    let support = on(&["support", "--out"]).arg(world.out());
    assert!(json::<Support>(support, 0, "sftunnel-install.support/1").0.size > 4000);
    let opened = ["inspect", "--identity", "identity.txt"];
    json::<Inspect>(on(&["inspect"]).arg(&kit), 0, "sftunnel-install.inspect/1");
    json::<Inspect>(on(&opened).arg(&kit), 0, "sftunnel-install.inspect/1");
    let verify = || on(&["verify"]).args(world.trust());
    json::<InstallerVerify>(verify().arg(&kit), 0, "sftunnel-install.verify/1");
    let refused =
        json::<InstallerVerify>(verify().arg("/nowhere"), 3, "sftunnel-install.verify/1").0;
    assert_eq!(refused.results.unwrap()[0].reason.as_deref(), Some("not-found"));

    let at = |host: &str| verify().arg(format!("--rehearse={host}")).arg(&kit);
    let schema = "sftunnel-install.verify/1";
    let (good, _) = json::<InstallerVerify>(at(&world.fmc().endpoint.to_string()), 0, schema);
    assert_eq!(good.rehearsals.unwrap()[0].status, "passed");
    let (bad, _) = json::<InstallerVerify>(at("127.0.0.1:9"), 3, schema);
    assert_eq!(bad.reason.as_deref(), Some("rehearsal-failed"));
    assert_eq!(bad.rehearsals.unwrap()[0].failed_at.as_deref(), Some("connection-refused"));

    let planned = json::<Install>(install().arg("--dry-run"), 0, "sftunnel-install.install/1").0;
    assert_eq!(planned.outcome.as_deref(), Some("planned"));
    let run = install().args(["--wait-connected", "30"]);
    let (done, ran) = json::<Install>(run, 0, "sftunnel-install.install/1");
    assert_eq!(done.tunnels.unwrap()[0].state, "up");
    assert_eq!(done.outcome.as_deref(), Some("installed"));
    assert!(ran.stderr.contains("Do not switch the box off"), "prose goes to stderr");
    let again = json::<Install>(install(), 0, "sftunnel-install.install/1").0;
    assert_eq!(again.outcome.as_deref(), Some("nothing-to-do"));
    let rollback = ["rollback", "--yes", "--settle", "1"];
    let back = json::<Rollback>(on(&rollback), 0, "sftunnel-install.rollback/1").0;
    assert_eq!(back.outcome, "rolled-back");
    json::<Rollback>(on(&rollback).arg("--dry-run"), 0, "sftunnel-install.rollback/1");
    device.set_fault(&Fault::NoStartNew).unwrap();
    let run = install().args(["--restart-timeout", "2"]);
    let restored = json::<Install>(run, 6, "sftunnel-install.install/1").0;
    assert_eq!(restored.outcome.as_deref(), Some("restored"));
    assert!(restored.why.is_some());
    device.set_fault(&Fault::NoStart).unwrap();
    let run = install().args(["--restart-timeout", "2", "--no-rollback"]);
    json::<Install>(run, 5, "sftunnel-install.install/1");
    device.set_fault(&Fault::None).unwrap();

    json::<Status>(on(&["status"]), 0, "sftunnel-install.status/1");
    json::<Backups>(on(&["backups", "verify"]), 0, "sftunnel-install.backups/1");
    json::<Backups>(
        on(&["backups", "prune", "--keep", "1", "--yes"]),
        0,
        "sftunnel-install.backups/1",
    );
    let (signers, _) = json::<Signers>(on(&["signers", "list"]), 0, "sftunnel-install.signers/1");
    assert_eq!(signers.managers.len(), 1);
    let remove = on(&["signers", "remove", &world.signer()]);
    json::<Signers>(remove, 0, "sftunnel-install.signers/1");
    let (log, _) = json::<Log>(on(&["log"]), 0, "sftunnel-install.log/1");
    assert!(log.lines.len() >= 7 && log.unreadable == 0, "{log:?}");
    let (usage, _) = json::<Usage>(on(&["install"]), 2, "sftunnel-install.usage/1");
    assert!(usage.message.is_some());
}
