//! Devices that a terminal reaches: real sshd, sudo and PAM, and a stand-in for the FTD's CLI only.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use lab::Device;
use tests::way_in::{PASSWORD, free_port, script};
use tests::{Kit, PASSPHRASE, Pty, Ran, Run, WayIn, World, program, tool};

/// Devices with a way in, and a table of how they are reached.
struct Site {
    world: World,
    kit: Kit,
    ways: Vec<Option<WayIn>>,
    rows: Vec<String>,
}

impl Site {
    /// Devices with these faults of their ways in; `gone` has none. The kit opens with the
    /// identity, or with these flags.
    fn new(faults: &[&str], opened_by: &[&str]) -> Self {
        let world = World::started(faults.len());
        let (installer, recipient) = (small_installer(&world), world.recipient());
        let installer = installer.display().to_string();
        let identity = ["--recipient", &recipient];
        let opened_by = if opened_by.is_empty() { &identity } else { opened_by };
        let flags = [opened_by, &["--installer", &installer]].concat();
        let kit = world.kit_with(world.fmc(), &flags);
        let open = |(at, fault): (usize, &&str)| {
            (*fault != "gone").then(|| WayIn::open(&world, world.ftd(at + 1), fault))
        };
        let ways: Vec<_> = faults.iter().enumerate().map(open).collect();
        let known: String = ways.iter().flatten().map(WayIn::known_host).collect();
        world.write("known_hosts", known);
        let known = world.path("known_hosts").display().to_string();
        world.write(
            "ssh.conf",
            format!("StrictHostKeyChecking yes\nUserKnownHostsFile {known}\nGlobalKnownHostsFile none\nPubkeyAuthentication no\nConnectTimeout 20\n"),
        );
        let mut site = Self { world, kit, ways, rows: Vec::new() };
        for at in 0..faults.len() {
            site.rows.push(site.row(at, PASSWORD, ""));
        }
        site
    }

    fn row(&self, at: usize, password: &str, option: &str) -> String {
        let port = self.ways[at].as_ref().map_or_else(free_port, |way| way.port);
        let (config, name) = (self.world.path("ssh.conf"), &self.device(at).name);
        let via =
            format!("ssh -F {} -tt -p {port} {option} {{login}}@{{address}}", config.display());
        format!("{name},127.0.0.1,admin,{password},\"{via}\"\n")
    }

    fn device(&self, at: usize) -> &Device {
        self.world.ftd(at + 1)
    }

    fn table(&self) -> PathBuf {
        // the manager's own row is in Cisco's table for a jump server
        let rows = format!(
            "#device_name,ipaddr,login,password\nfmc,10.0.0.1,admin,x\n{}",
            self.rows.concat()
        );
        let path = self.world.write("devices.csv", rows);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn deliver(&self, flags: &[&str]) -> Run {
        let run = self.world.bundle(&["deliver", "--yes", "--inventory"]).arg(self.table());
        let run = run.args(flags).arg("--transcripts").arg(self.world.path("seen"));
        run.arg(&self.kit.path)
    }

    /// Every place where something secret could have been left.
    fn holds_no_secret(&self, secrets: &[&str]) {
        let mut files: Vec<(String, Vec<u8>)> = Vec::new();
        for entry in fs::read_dir(self.world.path("seen")).unwrap().flatten() {
            files.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
        }
        for way in self.ways.iter().flatten() {
            for path in ["root/.bash_history", "home/admin/.bash_history"] {
                files.extend(way.file(path).map(|bytes| (path.to_owned(), bytes)));
            }
        }
        assert!(!files.is_empty());
        for (name, bytes) in files {
            let text = String::from_utf8_lossy(&bytes);
            for secret in secrets {
                assert!(!text.contains(secret), "{name} holds {secret}:\n{text}");
            }
        }
    }
}

/// An installer that does not take long on its way: without symbols.
fn small_installer(world: &World) -> PathBuf {
    let path = world.path("sftunnel-install-x86_64");
    tool("strip", "binutils").arg("-o").arg(&path).arg(program("sftunnel-install")).run().expect(0);
    path
}

fn reasons(ran: &Ran) -> Vec<(String, String)> {
    let json = ran.json();
    let results = json["results"].as_array().unwrap().iter();
    let word = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    results.map(|one| (word(&one["device"]["name"]), word(&one["reason"]))).collect()
}

#[test]
fn those_that_let_us_in_are_done_and_the_others_are_named() {
    let faults = ["none", "banner", "chassis", "none", "none", "gone"];
    let mut site = Site::new(&faults, &["--passphrase-file", "passphrase.txt"]);
    let mark = site.world.path("cut-once").display().to_string();
    let cut = format!("-o 'ProxyCommand {} %h %p 60 {mark}'", script("cut").display());
    site.rows[0] = site.row(0, PASSWORD, &cut);
    site.rows[3] = site.row(3, "Wrong123!", "");
    let known = fs::read_to_string(site.world.path("known_hosts")).unwrap();
    let (own, other) = (site.ways[4].as_ref().unwrap(), site.ways[3].as_ref().unwrap());
    let forged =
        other.known_host().replace(&format!(":{} ", other.port), &format!(":{} ", own.port));
    site.world.write("known_hosts", known.replace(&own.known_host(), &forged));

    let flags = ["--passphrase-file", "passphrase.txt", "--json"];
    let ran = site.deliver(&flags).run().expect(4);
    let expected = ["-", "-", "-", "login-refused", "host-key", "unreachable"];
    let names: Vec<_> = (0..6).map(|at| site.device(at).name.clone()).collect();
    let expected: Vec<_> = names.into_iter().zip(expected.map(str::to_owned)).collect();
    assert_eq!(reasons(&ran), expected, "{}", ran.output());
    for at in 0..3 {
        site.world.up(site.device(at), site.world.fmc());
    }
    let connections = &ran.json()["results"][0]["connections"];
    assert_eq!(connections, 2, "the line broke once: {}", ran.output());
    site.holds_no_secret(&[PASSWORD, "Wrong123!", PASSPHRASE]);

    // mended, it is the rest that is visited
    site.world.write("known_hosts", known);
    site.rows[3] = site.row(3, PASSWORD, "");
    site.ways[5] = Some(WayIn::open(&site.world, site.device(5), "none"));
    let all: String = site.ways.iter().flatten().map(WayIn::known_host).collect();
    site.world.write("known_hosts", all);
    site.rows[5] = site.row(5, PASSWORD, "");
    let before: Vec<_> = (0..3).map(|at| site.world.snapshot(site.device(at))).collect();
    let ran = site.deliver(&flags).run().expect(0);
    assert_eq!(ran.json()["results"].as_array().unwrap().len(), 3, "{}", ran.output());
    assert_eq!(ran.json()["done_before"].as_array().unwrap().len(), 3);
    for (at, before) in before.iter().enumerate() {
        site.world.unchanged(site.device(at), before, &ran);
    }
    for at in 3..6 {
        site.world.up(site.device(at), site.world.fmc());
    }
    let receipts = site.world.bundle(&["receipts", "--json", "--no-status-program"]);
    let receipts = receipts.arg(&site.kit.path).run().expect(0);
    assert_eq!(receipts.json()["done"], 6, "{}", receipts.output());
    for at in 0..6 {
        let left = fs::read_dir(site.device(at).root.join("var/sf")).unwrap().flatten();
        let left = left.filter(|entry| entry.file_name().to_string_lossy().contains("deliver"));
        assert_eq!(left.count(), 0, "nothing stays on the device");
    }
}

#[test]
fn what_is_in_the_way_on_a_device_is_named() {
    let site = Site::new(
        &["no-sudo", "changed-password", "noexec", "full"],
        &["--passphrase-file", "passphrase.txt"],
    );
    let flags = ["--passphrase-file", "passphrase.txt", "--json"];
    let ran = site.deliver(&flags).run().expect(3);
    let reasons: Vec<_> = reasons(&ran).into_iter().map(|(_, reason)| reason).collect();
    let expected = ["login-refused", "login-refused", "not-permitted", "no-space"];
    assert_eq!(reasons, expected, "{}", ran.output());
    for at in 0..4 {
        site.world.down(site.device(at), site.world.fmc());
        assert!(!site.device(at).root.join("var/sf/sftunnel-airgap").exists());
    }
    site.holds_no_secret(&[PASSWORD, PASSPHRASE]);
}

/// The identity is pasted where the far side asks, and everything secret is typed.
#[test]
fn everything_secret_is_asked_for_at_the_terminal() {
    let mut site = Site::new(&["none"], &[]);
    site.rows[0] = site.row(0, "", "");
    let identity = site.world.path("identity.txt");
    let run = site.world.bundle(&["deliver", "--inventory"]).arg(site.table());
    let run = run.arg("--identity").arg(identity).arg("--transcripts").arg(site.world.path("seen"));
    let mut pty = Pty::start(run.arg(&site.kit.path));
    pty.expect("To visit");
    pty.expect("Type 'yes'");
    pty.type_line("yes");
    pty.expect("Password of the account");
    pty.type_line(PASSWORD);
    let (code, screen) = pty.end();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains(PASSWORD), "{screen}");
    site.world.up(site.device(0), site.world.fmc());
    site.holds_no_secret(&[PASSWORD, &site.world.identity()]);

    // a look only
    let ran = site.world.bundle(&["deliver", "--yes", "--only-check", "--json", "--inventory"]);
    site.rows[0] = site.row(0, PASSWORD, "");
    let ran = ran.arg(site.table()).arg("--identity").arg(site.world.path("identity.txt"));
    let ran = ran.arg(&site.kit.path).run().expect(0);
    assert_eq!(ran.json()["results"][0]["status"], "checked", "{}", ran.output());
    assert!(ran.json()["results"][0]["said"].as_str().unwrap().contains("OK"), "{}", ran.output());
}

#[test]
fn a_plan_shows_who_is_visited_how_and_visits_nobody() {
    let world = World::new(2);
    let kit = world.kit(&["--no-installer"]);
    let identity = world.path("identity.txt");
    let deliver = |flags: &[&str]| {
        let run = world.bundle(&["deliver", "--identity"]).arg(&identity).args(flags);
        run.arg(&kit.path)
    };
    let ran = deliver(&["--dry-run", "--jump", "hop"]).run().expect(0);
    ran.says("-o StrictHostKeyChecking=yes")
        .says("-J hop -l admin -- 10.48.0.")
        .says("no device was visited");

    let table = world
        .write("devices.csv", "#device_name,ipaddr,login,password\nedge-2,10.0.0.1,admin,secret\n");
    fs::set_permissions(&table, fs::Permissions::from_mode(0o644)).unwrap();
    let named = |flags: &[&str]| deliver(flags).arg("--inventory").arg(&table);
    named(&["--dry-run"])
        .run()
        .expect(3)
        .says("refused (untrusted-source)")
        .says("chmod 600")
        .never_says("secret");
    world.write("devices.csv", "edge-2\n");
    named(&["--dry-run"]).run().expect(3).says("refused (bad-format)").says("line 1");
    deliver(&["--dry-run", "--via", "ssh 'open"]).run().expect(2).says("close each quote");
    // without a terminal nobody is asked, and nobody visited
    deliver(&[]).run().expect(3).says("refused (not-confirmed)").says("--yes");
}

/// A terminal that shows something else than a device's.
#[test]
fn what_is_not_known_is_not_answered() {
    let world = World::new(1);
    let kit = world.kit(&["--no-installer"]);
    let folder = world.path("stand-ins");
    fs::create_dir(&folder).unwrap();
    for (name, script) in [("sudo", "exit 0"), ("id", "echo 7")] {
        let path = world.write(&format!("stand-ins/{name}"), format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("PATH={}:/usr/bin:/bin", folder.display());
    for (via, reason, says) in [
        (format!("env '{path}' 'PS1=x$ ' bash --norc"), "unknown-prompt", "| x$"),
        (format!("env '{path}' 'PS1=root@x# ' bash --norc"), "remote-failed", "becoming root"),
        (
            "sh -c 'printf \"Choose one: \"; sleep 60'".to_owned(),
            "line-lost",
            "not done after 10 s",
        ),
        ("sh -c 'echo Goodbye'".to_owned(), "line-lost", "| Goodbye"),
        ("sh -c 'printf \"New password: \"; sleep 60'".to_owned(), "login-refused", "set it"),
    ] {
        let run = world.bundle(&["deliver", "--yes", "--identity", "identity.txt", "--via", &via]);
        let ran = run.args(["--time-limit", "10"]).arg(&kit.path).run().expect(3);
        ran.says(&format!("refused ({reason})")).says(says).says("next:");
    }
}

/// A host on the way, with a key for it; it is never told the device's password.
#[test]
fn a_jump_host_leads_on_and_learns_no_password() {
    let mut site = Site::new(&["none", "none"], &[]);
    let (hop, config) = (site.ways[0].as_ref().unwrap(), site.world.path("ssh.conf"));
    let plain = fs::read_to_string(&config).unwrap();
    let host = |key: &str| {
        let line = format!("Host hop\nHostName 127.0.0.1\nPort {}\nUser admin\n", hop.port);
        site.world.write("ssh.conf", format!("{line}{key}Host *\n{plain}"));
    };
    host("");
    let row = site.row(1, PASSWORD, "-J hop");
    // by another name than the host on the way
    site.rows = vec![row.replace(",127.0.0.1,", ",localhost,").replace('\n', ",127.0.0.1\n")];
    let known = site.ways.iter().flatten().map(WayIn::known_host).collect::<String>();
    site.world.write("known_hosts", known.clone() + &known.replace("127.0.0.1", "localhost"));
    let name = site.device(1).name.clone();
    let flags = ["--identity", "identity.txt", "--device", &name];
    let asked = site.deliver(&flags).run().expect(3);
    asked.says("refused (login-refused)").says("the jump host asks for a password");
    host(&format!("IdentityFile {}\nPubkeyAuthentication yes\n", hop.client_key().display()));
    site.deliver(&flags).run().expect(0);
    site.world.up(site.device(1), site.world.fmc());
    site.world.down(site.device(0), site.world.fmc());
}
