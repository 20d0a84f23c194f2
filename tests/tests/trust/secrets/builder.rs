//! The builder, which holds every device's key for a moment: locked while it works, nothing of
//! it left in memory when it reports.

use std::io::{PipeReader, Read, Write};
use std::process::{Child, Command, Stdio};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use tests::{Run, World, wait_until};

use super::{Confidential, Secrets, core_of, require_locked};

/// A run whose report meets a pipe that is full: all is done, and it cannot end.
struct Held {
    child: Child,
    reader: PipeReader,
}

impl Held {
    fn new(run: &Run, world: &World) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let flags = fcntl_getfl(&writer).unwrap();
        fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
        let mut filling = writer.try_clone().unwrap();
        while filling.write(&[b' '; 4096]).is_ok() {}
        while filling.write(b" ").is_ok() {}
        drop(filling);
        fcntl_setfl(&writer, flags).unwrap();
        let words = run.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(world.path("")).stdin(Stdio::null());
        command.stdout(Stdio::from(writer)).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let held = Self { child, reader };
        wait_until(|| held.is_waiting());
        held
    }

    fn is_waiting(&self) -> bool {
        // write(2) is call 1 on x86_64 and 64 on aarch64
        let call = std::fs::read_to_string(format!("/proc/{}/syscall", self.child.id()));
        call.is_ok_and(|call| call.starts_with("1 0x1 ") || call.starts_with("64 0x1 "))
    }

    /// Lets it end; gives what it had to say.
    fn end(mut self) -> String {
        let mut said = String::new();
        self.reader.read_to_string(&mut said).unwrap();
        let said = said.trim();
        assert!(self.child.wait().unwrap().success(), "{said}");
        said.to_owned()
    }
}

#[test]
fn a_core_of_the_reporting_builder_holds_no_secret() {
    let case = Confidential::new();
    let world = &case.world;
    let secrets = case.with_signing_key();
    let recipient = world.recipient();
    let build = ["build", "--json", "--force", "--passphrase-file", "passphrase.txt"];
    let kit = case.kit.path.display().to_string();
    let protected = ["--identity", "protected.age", "--passphrase-file", "passphrase.txt"];
    let handoff = [&["handoff", "--json", &kit, "--recipient", &recipient][..], &protected];
    let verify = [&["verify", "--json", &kit][..], &protected];
    for (words, has_out) in [
        (build.to_vec(), true),
        (handoff.concat(), true),
        (verify.concat(), false),
        (vec!["keygen", "signer", "--json", "--out", "made.pem"], false),
    ] {
        let run = world.bundle(&words);
        let run = if has_out { run.arg("--out").arg(world.out()) } else { run };
        let held = Held::new(&run, world);
        require_locked(held.child.id());
        let core = core_of(world, held.child.id());
        // the control: what is no secret, and was at hand in the same way, is found
        let mut known = Secrets::default();
        known.text("the device", &world.ftd(1).uuid);
        if words[0] != "keygen" {
            assert_eq!(known.found_in(&core), ["the device"], "{words:?}");
        }
        assert_eq!(secrets.found_in(&core), Vec::<&str>::new(), "{words:?}");
        held.end();
    }
}
