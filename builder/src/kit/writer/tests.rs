use std::path::Path;

use formats::error::Reason;
use rustix::fs::OFlags;

use super::*;

const NAME: &str = "sftunnel-kit-cdb123c8-1";

fn place(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("kit-writer-{name}-{}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    path
}

fn entries(path: &Path) -> Vec<String> {
    let names = std::fs::read_dir(path).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(out: &Path, content: &str, force: bool) -> Result<PathBuf, Failure> {
    let made = KitWriter::create(out, NAME, force)?.publish(|new| {
        new.file(kit::INDEX, content.as_bytes(), 0o644)?;
        Ok(Some(new.bundle("bundles/x.age", b"x")?))
    });
    made.map(|made| made.unwrap().1.path)
}

#[test]
fn a_kit_is_there_whole_or_not_at_all() {
    let out = place("whole");
    for ended in [Ok(None), Err(Failure::unexpected("the work's"))] {
        let made = KitWriter::create(&out, NAME, false).unwrap().publish(|kit| {
            kit.file(kit::INDEX, b"{}", 0o644).unwrap();
            assert!(!out.join(NAME).exists());
            ended.clone()
        });
        assert_eq!(made.map(|made| made.map(|((), _)| ())), ended);
        assert!(entries(&out).is_empty());
    }
    let kit = write(&out, "{}", false).unwrap();
    assert_eq!(entries(&out), [NAME]);
    assert_eq!(entries(&kit), ["SHA256SUMS", "bundles", "kit.json"]);
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn only_force_replaces_and_only_a_kit() {
    let out = place("force");
    write(&out, "old", false).unwrap();
    assert_eq!(write(&out, "new", false).unwrap_err().reason(), Some(Reason::Exists));
    assert_eq!(std::fs::read(out.join(NAME).join(kit::INDEX)).unwrap(), b"old");
    let receipt = out.join(NAME).join(kit::RECEIPTS).join("receipt_x.json");
    std::fs::create_dir(receipt.parent().unwrap()).unwrap();
    std::fs::write(&receipt, "claim").unwrap();
    write(&out, "new", true).unwrap();
    assert_eq!(std::fs::read(out.join(NAME).join(kit::INDEX)).unwrap(), b"new");
    assert_eq!(std::fs::read(receipt).unwrap(), b"claim");
    assert_eq!(entries(&out), [NAME]);
    std::fs::remove_file(out.join(NAME).join(kit::INDEX)).unwrap();
    assert_eq!(write(&out, "new", true).unwrap_err().reason(), Some(Reason::Exists));
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn an_old_kit_that_cannot_be_cleared_away_is_no_failure() {
    let out = place("away");
    write(&out, "old", false).unwrap();
    let (old, published) = KitWriter::create(&out, NAME, true)
        .unwrap()
        .publish(|kit| {
            kit.file(kit::INDEX, b"new", 0o644)?;
            // the receipts of the old one have no place in the new one
            std::fs::create_dir(out.join(NAME).join(kit::RECEIPTS)).unwrap();
            let temporary = out.join(&kit.temporary);
            std::fs::create_dir_all(temporary.join(kit::RECEIPTS).join("x")).unwrap();
            Ok(Some(temporary))
        })
        .unwrap()
        .unwrap();
    assert_eq!(std::fs::read(published.path.join(kit::INDEX)).unwrap(), b"new");
    let [warning] = &published.warnings[..] else { panic!("{published:?}") };
    assert!(warning.contains(old.to_str().unwrap()), "{warning}");
    assert!(old.join(kit::RECEIPTS).is_dir());
    assert!(out.join(NAME).is_dir());
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn leftovers_are_removed_unless_in_use() {
    let out = place("leftovers");
    let running = KitWriter::create(&out, NAME, false).unwrap();
    std::fs::create_dir_all(out.join(format!(".{NAME}.tmp-dead/bundles"))).unwrap();
    std::fs::create_dir(out.join(".sftunnel-kit-somebody-elses")).unwrap();
    let with_receipts = format!(".{NAME}.tmp-receipts");
    std::fs::create_dir_all(out.join(&with_receipts).join(kit::RECEIPTS)).unwrap();
    write(&out, "{}", false).unwrap();
    let mut expected = [&*running.temporary, &*with_receipts, ".sftunnel-kit-somebody-elses", NAME];
    expected.sort_unstable();
    assert_eq!(entries(&out), expected);
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn what_does_not_reach_the_disk_is_told_by_whoever_hears_of_it() {
    let out = place("flush");
    let mut writer = KitWriter::create(&out, NAME, false).unwrap();
    assert_eq!(writer.flush_beside(|| Ok(7)).unwrap(), 7);
    let failed = || Err::<(), _>(Failure::unexpected("the work's"));
    assert_eq!(writer.flush_beside(failed).unwrap_err().message(), "the work's");
    // syncfs refuses this kind of descriptor, and no other call is made on it here
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = out.join(&writer.temporary);
    writer.dir = rustix::fs::open(dir, flags, Mode::empty()).unwrap();
    assert!(writer.flush_beside(|| Ok(())).is_err());
    writer.discard();
    std::fs::remove_dir_all(out).unwrap();
}

#[test]
fn a_place_that_is_not_there_is_not_made() {
    let out = std::env::temp_dir().join("kit-writer-absent");
    assert_eq!(write(&out, "", false).unwrap_err().reason(), Some(Reason::NotFound));
    assert!(!out.exists());
}
