//! The rooms of each crate in the order that its `lib.rs` states: a room uses those before it.

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [(&str, &[&str]); 3] = [
    ("formats/cli/src", &["say", "process", "disk", "ask", "kit"]),
    ("builder/src", &["args", "device_result", "fmc", "keys", "kit", "commands"]),
    ("installer/src", &["appliance", "change", "candidate", "commands"]),
];

fn files(room: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(room).into_iter().flatten().flatten();
    let mut files: Vec<_> = inside.flat_map(|entry| files(&entry.path())).collect();
    let file = if room.is_dir() { room.with_extension("rs") } else { room.to_owned() };
    files.extend(file.is_file().then_some(file));
    files
}

#[test]
fn no_room_uses_one_after_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut wrong = Vec::new();
    for (sources, rooms) in CRATES {
        for (at, room) in rooms.iter().enumerate() {
            let single = root.join(sources).join(format!("{room}.rs"));
            let mut files = files(&root.join(sources).join(room));
            assert!(single.is_file(), "{sources} has no {room}");
            files.push(single);
            for file in files {
                let text = fs::read_to_string(&file).unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                let code = code.collect::<Vec<_>>().join("\n");
                let later = rooms[at + 1..].iter();
                let used = later.filter(|later| code.contains(&format!("crate::{later}::")));
                wrong.extend(used.map(|later| format!("{} uses {later}", file.display())));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
