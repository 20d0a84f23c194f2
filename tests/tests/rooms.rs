//! The rooms of each crate in the order that its `lib.rs` states: a room uses those before it. And
//! types, of which each has a name of its own.

use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [(&str, &[&str]); 3] = [
    ("formats/cli/src", &["say", "process", "disk", "ask", "kit", "support", "help"]),
    (
        "builder/src",
        &["args", "device_result", "fmc", "keys", "kit", "paste", "deliver", "wording", "commands"],
    ),
    ("installer/src", &["appliance", "change", "candidate", "wording", "commands"]),
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

/// Name and place of each type at the top of a file below `sources`.
fn types(sources: &Path) -> Vec<(String, String)> {
    let mut types = Vec::new();
    for file in files(sources) {
        let text = fs::read_to_string(&file).unwrap();
        for line in text.lines().filter(|line| !line.starts_with("pub use")) {
            let item = line.trim_start_matches("pub(crate) ").trim_start_matches("pub(super) ");
            let mut words = item.trim_start_matches("pub ").split(|c: char| !c.is_alphanumeric());
            if let (Some("struct" | "enum" | "type" | "trait"), Some(name)) =
                (words.next(), words.next())
            {
                types.push((name.to_owned(), file.display().to_string()));
            }
        }
    }
    types
}

#[test]
fn no_two_types_of_a_program_share_a_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for program in ["builder/src", "installer/src"] {
        let mut types = types(&root.join("formats/cli/src"));
        types.extend(self::types(&root.join(program)));
        // each room has its error, always called so
        types.retain(|(name, _)| name != "Error");
        types.sort();
        types.dedup();
        let twice: Vec<_> = types.windows(2).filter(|pair| pair[0].0 == pair[1].0).collect();
        assert!(types.len() > 100 && twice.is_empty(), "{program}: {twice:#?}");
    }
}
