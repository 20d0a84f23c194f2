//! Every input that fuzzing found worth keeping, and every finding, once more and without the
//! fuzzer: `tools/fuzz` says how they come about.

use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

// the fuzzer's library, of which it is the root
#[path = "../../fuzz/src/targets.rs"]
#[allow(unreachable_pub)]
mod targets;

#[test]
fn no_kept_input_makes_a_parser_panic() {
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus"));
    let mut found: Vec<_> =
        fs::read_dir(corpus).unwrap().map(|item| item.unwrap().file_name()).collect();
    found.sort();
    assert_eq!(found, targets::TARGETS.map(|(name, _)| name), "a folder for each target");
    let mut failed = Vec::new();
    for (name, target) in targets::TARGETS {
        let inputs: Vec<_> = fs::read_dir(corpus.join(name)).unwrap().collect();
        assert!(!inputs.is_empty(), "{name} has no input");
        for input in inputs {
            let path = input.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            if catch_unwind(|| target(&bytes)).is_err() {
                failed.push(path);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
