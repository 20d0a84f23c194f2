use std::thread;

use super::*;
use crate::kit::writer::KitWriter;

const NAME: &str = "sftunnel-kit-cdb123c8-1";

fn place(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("kit-place-{name}-{}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    path
}

#[test]
fn a_folder_that_another_run_holds_or_has_removed_is_left_to_it() {
    let out = place("held");
    let dir = open_out(&out).unwrap();
    std::fs::create_dir(out.join("a")).unwrap();
    let other = open_dir_at(&dir, OsStr::new("a")).unwrap();
    flock(&other, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert!(hold(&dir, "a").unwrap().is_none(), "it is about to remove it");
    assert!(hold(&dir, "b").unwrap().is_none());
    drop(other);
    assert!(hold(&dir, "a").unwrap().is_some());
    let opened = open_dir_at(&dir, OsStr::new("a")).unwrap();
    std::fs::remove_dir(out.join("a")).unwrap();
    assert!(hold_opened(&dir, "a", opened.try_clone().unwrap()).unwrap().is_none(), "it is gone");
    std::fs::create_dir(out.join("a")).unwrap();
    assert!(hold_opened(&dir, "a", opened).unwrap().is_none(), "it is another one");
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn runs_that_begin_at_the_same_time_leave_each_other_alone() {
    let out = place("together");
    thread::scope(|scope| {
        let sweeping = scope.spawn(|| {
            let dir = open_out(&out).unwrap();
            (0..3000).for_each(|_| remove_leftovers(&out, &dir));
        });
        while !sweeping.is_finished() {
            let writer = KitWriter::create(&out, NAME, false).unwrap();
            let none =
                writer.publish(|kit| Ok(kit.bundle("bundles/x.age", b"x").map(|_| None::<()>)?));
            assert!(none.unwrap().is_none());
        }
    });
    std::fs::remove_dir_all(out).unwrap();
}
