//! What is durable when a run says so, and what must stay because something may come back.

use std::fs;

use tests::interruption::fault::record;
use tests::interruption::matrix::Operation;
use tests::interruption::stand::{Scene, Stand};

#[test]
fn files_that_are_in_place_already_are_synced_before_they_count_as_installed() {
    let scene = Scene::new(1);
    let stand = Stand::new(&scene, 0);
    stand.install().run().expect(0);
    // as after copying by hand: the same bytes, and no run that completed them
    fs::remove_file(stand.dir.join("box/var/sf/sftunnel-airgap/installed")).unwrap();
    let (ran, trace) = record(&stand, stand.install());
    ran.expect(0);
    let synced: Vec<_> = trace.all.iter().filter(|call| call.name == "fsync").collect();
    let peer = format!("/var/sf/peers/{}", scene.world.fmc().uuid);
    for path in ["/cacert.pem>", "/sftunnel-cert.pem>", "/sftunnel-key.pem>", ">"] {
        let end = format!("{peer}{path}");
        assert!(synced.iter().any(|call| call.args[0].ends_with(&end)), "{end}: {synced:?}");
    }
    assert!(synced.iter().any(|call| call.args[0].ends_with("/var/sf>")), "{synced:?}");
}

/// The first line of all brings a name, which has to last as well.
#[test]
fn a_log_is_durable_with_its_first_line() {
    let scene = Scene::new(1);
    let stand = Stand::new(&scene, 0);
    let (ran, trace) = record(&stand, stand.install());
    ran.expect(0);
    let is = |name: &str, end: &str, call: &tests::interruption::trace::Call| {
        call.name == name && call.args[0].ends_with(end)
    };
    let written =
        trace.all.iter().position(|call| is("fdatasync", "/var/sf/sftunnel-airgap/log>", call));
    let after = &trace.all[written.expect("the log is synced")..];
    assert!(after.iter().any(|call| is("fsync", "/var/sf/sftunnel-airgap>", call)), "{after:?}");
}

/// Its name may be on the disk, and the next boot finds it.
#[test]
fn a_journal_that_may_come_back_keeps_its_backup() {
    let scene = Scene::new(1);
    let stand = Stand::new(&scene, 0);
    let operation = &Operation::of_one_manager(&scene)[0];
    operation.prepare(&stand);
    let (ran, trace) = record(&stand, operation.run(&stand));
    ran.expect(0);
    let calls = &trace.all;
    let is_journal =
        |call: &tests::interruption::trace::Call| call.args.iter().any(|arg| arg == "\"journal\"");
    let renamed = calls.iter().position(|call| call.name == "renameat" && is_journal(call));
    let synced = calls[renamed.unwrap()..].iter().find(|call| call.name == "fsync").unwrap();
    operation.prepare(&stand);
    let fails = format!("error=EIO:when={}+", synced.nth);
    operation.run(&stand).injected("fsync", &fails).run().expect(1);
    assert_eq!(stand.files(), operation.ends().old);
    let backups = fs::read_dir(stand.dir.join("box/var/sf/sftunnel-airgap/backups")).unwrap();
    assert_eq!(backups.count(), 1, "the journal names it");
    operation.ends().recovers(&stand).unwrap();
}
