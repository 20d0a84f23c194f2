//! The new files in a TLS handshake with the manager, before anything is replaced: with the
//! lab's sftunneld, and with `openssl s_server` where a manager has to be another one.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lab::{Asks, LabSpec, Manager, ManagerSpec};
use openssl::pkey::PKey;
use openssl::ssl::{
    ErrorCode, Ssl, SslContextBuilder, SslMethod, SslOptions, SslSessionCacheMode, SslStream,
    SslVersion,
};
use openssl::x509::X509;
use serde_json::Value;
use tests::{Kit, Ran, World};

/// `verify --rehearse=HOST`; nothing on the device may change, whatever comes out.
#[track_caller]
fn rehearse(world: &World, kit: &Kit, host: &str, flags: &[&str]) -> Ran {
    let device = world.ftd(1);
    let before = world.snapshot(device);
    let run = world.on(device, &["verify", "--json"]).args(world.trust()).args(flags);
    let ran = run.arg(format!("--rehearse={host}")).arg(&kit.path).run();
    world.unchanged(device, &before, &ran);
    assert!(!device.root.join("var/sf/sftunnel-airgap").exists(), "no state either");
    ran
}

/// The first rehearsal of a run that was refused for it.
#[track_caller]
fn failed(ran: Ran) -> Value {
    let json = ran.expect(3).json();
    assert_eq!(json["reason"], "rehearsal-failed", "{json}");
    assert!(json["next"].is_string(), "{json}");
    json["rehearsals"][0].clone()
}

fn endpoint(manager: &Manager) -> String {
    manager.endpoint.to_string()
}

/// Something that is connected to once, hears, and answers this.
fn answering(answer: &'static [u8]) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let talker = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let heard = stream.read(&mut [0; 4096]).unwrap();
        assert!(heard > 0);
        stream.write_all(answer).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    });
    (address, talker)
}

/// Passes on what the two say, once; the server's alert is exchanged for another one, or nothing
/// of it is said.
fn with_another_alert(server: &str, alert: Option<u8>) -> (String, JoinHandle<()>) {
    let (listener, server) = (TcpListener::bind("127.0.0.1:0").unwrap(), server.to_owned());
    let address = listener.local_addr().unwrap().to_string();
    let between = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(server).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let there = std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let mut said = [0; 16384];
        while let Ok(length @ 1..) = server.read(&mut said) {
            // in TLS 1.2 it is not encrypted yet: type, version, length, level, description
            if let [21, 3, 3, 0, 2, _, description] = &mut said[..length] {
                let Some(alert) = alert else { break };
                *description = alert;
            }
            client.write_all(&said[..length]).unwrap();
        }
        drop(client.shutdown(Shutdown::Both));
        drop(there.join());
    });
    (address, between)
}

/// `openssl s_server` with a manager's files; ends with the test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// `trusted` is the CA that a device's certificate has to be from.
    fn start(manager: &Manager, trusted: &Manager, flags: &[&str]) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let root = &manager.root;
        let child = Command::new("openssl")
            .args([
                "s_server",
                "-quiet",
                "-Verify",
                "1",
                "-verify_return_error",
                "-accept",
                &address,
            ])
            .arg("-cert")
            .arg(lab::layout::sftunnel_cert(root))
            .arg("-key")
            .arg(lab::layout::sftunnel_key(root))
            .arg("-cert_chain")
            .arg(lab::layout::cacert(root))
            .arg("-CAfile")
            .arg(lab::layout::cacert(&trusted.root))
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("'openssl' is needed for this test: apt-get install openssl");
        let server = Self { child, address };
        let soon = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&server.address).is_err() {
            assert!(Instant::now() < soon, "openssl s_server {flags:?} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_manager_takes_the_new_files_before_they_are_installed() {
    let world = World::started(1);
    let (device, fmc) = (world.ftd(1), world.fmc());
    let kit = world.kit(&[]);
    let json = rehearse(&world, &kit, &endpoint(fmc), &[]).expect(0).json();
    let seen = &json["rehearsals"][0];
    assert_eq!((&seen["status"], &seen["protocol"]), (&"passed".into(), &"TLSv1.2".into()));
    assert_eq!(seen["manager"], *fmc.uuid);
    assert!(seen["certificate"]["subject"].as_str().unwrap().contains(&fmc.uuid), "{seen}");
    // the address alone: sftunnel's port, which is 8305 where nobody says otherwise
    let host = fmc.endpoint.ip().to_string();
    rehearse(&world, &kit, &host, &[]).expect(0);
    let seen = failed(rehearse(&world, &kit, &host, &["--port", "9"]));
    assert_eq!(seen["failed_at"], "connection-refused", "{seen}");
    world.down(device, fmc);

    // without HOST it has to be known from a tunnel that is up
    let verify = || world.on(device, &["verify"]).args(world.trust()).arg(&kit.path);
    verify().arg("--rehearse").run().expect(2).says("--rehearse=HOST");
    let ran = world.install(device, &kit.path).args(["--rehearse", &host]).run().expect(0);
    ran.says("takes the new certificate");
    world.up(device, fmc);
    verify().arg("--rehearse").run().expect(0).says("takes the new certificate");
    // what is live already needs none
    lab::service::stop(&fmc.root).unwrap();
    let again = world.install(device, &kit.path).args(["--rehearse", &host]).run().expect(0);
    drop(again.says("Nothing to do"));
    let swallowed = world.on(device, &["verify", "--rehearse"]).arg(&kit.path).run();
    swallowed.expect(2).says("put --rehearse behind it");
}

#[test]
fn both_versions_of_tls_pass() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    for (flag, protocol) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let server = Server::start(world.fmc(), world.fmc(), &[flag]);
        let named = server.address.replace("127.0.0.1", "localhost");
        for host in [&server.address, &named] {
            let json = rehearse(&world, &kit, host, &[]).expect(0).json();
            assert_eq!(json["rehearsals"][0]["protocol"], protocol, "{json}");
        }
    }
}

/// Whatever the manager's way of asking, it is followed; where it never asks, nothing is claimed.
#[test]
fn the_manager_may_ask_in_the_handshake_later_or_never() {
    for (asks, protocol, asked) in [
        (Asks::InHandshake, "TLSv1.2", Some("in-handshake")),
        (Asks::ByRenegotiation, "TLSv1.2", Some("by-renegotiation")),
        (Asks::AfterHandshake, "TLSv1.3", Some("after-handshake")),
        (Asks::Never, "TLSv1.2", None),
    ] {
        let mut spec = LabSpec::for_tests(1);
        spec.managers[0].asks = asks;
        let world = World::of(spec).start();
        let (device, fmc, kit) = (world.ftd(1), world.fmc(), world.kit(&[]));
        let json = rehearse(&world, &kit, &endpoint(fmc), &[]).expect(0).json();
        let seen = &json["rehearsals"][0];
        assert_eq!(seen["protocol"], protocol, "{asks:?}: {seen}");
        let run = world.on(device, &["verify"]).args(world.trust()).arg(&kit.path);
        let text = run.arg(format!("--rehearse={}", fmc.endpoint)).run().expect(0);
        match asked {
            Some(asked) => {
                assert_eq!(seen["status"], "passed", "{asks:?}: {seen}");
                assert_eq!(seen["asked"], serde_json::json!([asked]), "{seen}");
                assert_eq!(seen["given"], true, "{seen}");
                text.says("takes the new certificate");
            }
            None => {
                assert_eq!(seen["status"], "inconclusive", "{seen}");
                assert_eq!((&seen["given"], &seen["asked"]), (&false.into(), &Value::Null));
                text.says("inconclusive")
                    .says("did not ask")
                    .never_says("takes the new certificate");
            }
        }
        // the old files are expired, the new ones bring the tunnel up, however it asks
        world.install(device, &kit.path).run().expect(0);
        if asked.is_some() {
            world.up(device, fmc);
        }
    }
}

/// A manager of this test: asks for the certificate once the handshake is done, judges it by
/// `trusted`, and then stays for a while or hangs up at once. Its thread tells whether the device
/// said goodbye meanwhile.
fn asking_later(
    manager: &Manager,
    trusted: &Manager,
    version: SslVersion,
    stays: Duration,
) -> (String, JoinHandle<bool>) {
    let pem = |path| X509::from_pem(&std::fs::read(path).unwrap()).unwrap();
    let root = &manager.root;
    let mut context = SslContextBuilder::new(SslMethod::tls_server()).unwrap();
    context.set_min_proto_version(Some(version)).unwrap();
    context.set_max_proto_version(Some(version)).unwrap();
    context.set_certificate(&pem(lab::layout::sftunnel_cert(root))).unwrap();
    let key = std::fs::read(lab::layout::sftunnel_key(root)).unwrap();
    context.set_private_key(&PKey::private_key_from_pem(&key).unwrap()).unwrap();
    context.add_extra_chain_cert(pem(lab::layout::cacert(root))).unwrap();
    context.cert_store_mut().add_cert(pem(lab::layout::cacert(&trusted.root))).unwrap();
    // a session that could be resumed would need a name of its own for the second handshake
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_options(SslOptions::NO_TICKET);
    let context = context.build();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let mut stream = loop_accept(Ssl::new(&context).unwrap().accept(stream));
        tls_auth::require_certificate(&mut stream).unwrap();
        stream.do_handshake().unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while stream.ssl().peer_certificate().is_none() && Instant::now() < until {
            match stream.ssl_read(&mut [0; 16]) {
                Err(error) if error.code() != ErrorCode::WANT_READ => return false,
                _ => {}
            }
        }
        std::thread::sleep(stays);
        !stays.is_zero()
            && matches!(stream.ssl_read(&mut [0; 16]), Err(error) if error.code() == ErrorCode::ZERO_RETURN)
    });
    (address, server)
}

/// Goes on with a handshake whose reads have a short limit.
fn loop_accept(
    mut result: Result<SslStream<TcpStream>, openssl::ssl::HandshakeError<TcpStream>>,
) -> SslStream<TcpStream> {
    loop {
        match result {
            Ok(stream) => return stream,
            Err(openssl::ssl::HandshakeError::WouldBlock(middle)) => result = middle.handshake(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_certificate_that_is_asked_for_late_is_refused_or_left_open() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2"));
    let world = World::of(spec);
    let kit = world.kit(&[]);
    let [one, two] = &world.lab.managers[..] else { panic!("two managers") };
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let (address, server) = asking_later(one, two, version, Duration::ZERO);
        let seen = failed(rehearse(&world, &kit, &address, &[]));
        assert_eq!(seen["failed_at"], "our-certificate", "{version:?}: {seen}");
        server.join().unwrap();

        let (address, server) = asking_later(one, one, version, Duration::from_secs(6));
        let json = rehearse(&world, &kit, &address, &[]).expect(0).json();
        assert_eq!(json["rehearsals"][0]["status"], "passed", "{version:?}: {json}");
        // left in good order, which a manager does not log as an error
        assert!(server.join().unwrap(), "{version:?}: without a goodbye");

        // who hangs up right after it may have taken it, and may not
        let (address, server) = asking_later(one, one, version, Duration::ZERO);
        let json = rehearse(&world, &kit, &address, &[]).expect(0).json();
        let seen = &json["rehearsals"][0];
        assert_eq!(seen["status"], "inconclusive", "{version:?}: {seen}");
        assert!(seen["message"].as_str().unwrap().contains("ended the connection"), "{seen}");
        server.join().unwrap();
    }
}

#[test]
fn a_manager_that_uses_another_ca_is_told() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2"));
    let world = World::of(spec).start();
    let kit = world.kit(&[]);
    let seen = failed(rehearse(&world, &kit, &endpoint(&world.lab.managers[1]), &[]));
    assert_eq!(seen["failed_at"], "their-certificate", "{seen}");
    let subject = seen["certificate"]["subject"].as_str().unwrap();
    assert!(subject.contains(&world.lab.managers[1].uuid), "{seen}");
    // the same manager after another renewal: the same name, another key
    world.lab.renew().unwrap();
    let seen = failed(rehearse(&world, &kit, &endpoint(world.fmc()), &[]));
    assert_eq!(seen["failed_at"], "their-certificate", "{seen}");
}

#[test]
fn a_manager_that_refuses_our_certificate_is_told() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2"));
    let world = World::of(spec);
    let kit = world.kit(&[]);
    for flag in ["-tls1_2", "-tls1_3"] {
        let server = Server::start(world.fmc(), &world.lab.managers[1], &[flag]);
        let seen = failed(rehearse(&world, &kit, &server.address, &[]));
        assert_eq!(seen["failed_at"], "our-certificate", "{flag}: {seen}");
        let was_given = (&seen["given"], &seen["asked"][0]);
        assert_eq!(was_given, (&true.into(), &"in-handshake".into()), "{seen}");
        assert!(seen["message"].as_str().unwrap().contains("alert"), "{seen}");
    }
    // one that says only that it failed (handshake_failure), or nothing at all
    let server = Server::start(world.fmc(), &world.lab.managers[1], &["-tls1_2"]);
    for (alert, failed_at, says) in [
        (Some(40), "our-certificate", "handshake failure"),
        (None, "closed", "after it was given the new certificate"),
    ] {
        let (address, between) = with_another_alert(&server.address, alert);
        let seen = failed(rehearse(&world, &kit, &address, &[]));
        assert_eq!(seen["failed_at"], failed_at, "{seen}");
        assert!(seen["message"].as_str().unwrap().contains(says), "{seen}");
        between.join().unwrap();
    }
}

#[test]
fn a_clock_that_is_wrong_is_told() {
    let world = World::started(1);
    let kit = world.kit(&[]);
    let device = world.ftd(1);
    let ran = world
        .on(device, &["verify", "--json", "--accept-clock"])
        .args(world.trust())
        .arg(format!("--rehearse={}", endpoint(world.fmc())))
        .arg(&kit.path)
        .under(&["faketime", "2040-01-01 00:00:00"])
        .run();
    let seen = failed(ran);
    assert_eq!(seen["failed_at"], "clock", "{seen}");
    assert!(seen["message"].as_str().unwrap().contains("2040-01-01"), "{seen}");
    assert!(seen["certificate"]["subject"].as_str().unwrap().contains(&world.fmc().uuid), "{seen}");
}

#[test]
fn no_version_and_no_cipher_in_common_are_told() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    for flags in [
        ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        ["-tls1_2", "-cipher", "NULL-SHA256:@SECLEVEL=0"],
    ] {
        let server = Server::start(world.fmc(), world.fmc(), &flags);
        let seen = failed(rehearse(&world, &kit, &server.address, &[]));
        assert_eq!(seen["failed_at"], "protocol", "{flags:?}: {seen}");
    }
}

#[test]
fn what_is_no_manager_is_told() {
    let world = World::new(1);
    let kit = world.kit(&[]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let ran = rehearse(&world, &kit, &address, &[]);
    assert!(ran.took < Duration::from_secs(40), "{:?}", ran.took);
    assert_eq!(failed(ran)["failed_at"], "timeout");
    drop(silent);
    assert_eq!(failed(rehearse(&world, &kit, &address, &[]))["failed_at"], "connection-refused");

    // what a firewall drops: behind a full queue, no connection is answered
    let full = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let address = full.local_addr().unwrap().to_string();
    let _queued = TcpStream::connect(&address).unwrap();
    let seen = failed(rehearse(&world, &kit, &address, &[]));
    assert_eq!(seen["failed_at"], "timeout", "{seen}");
    assert!(seen["message"].as_str().unwrap().contains("did not answer within 5 s"), "{seen}");

    // a record of TLS 1.2 that no server begins with: ServerHelloDone
    const OUT_OF_TURN: &[u8] = &[22, 3, 3, 0, 4, 14, 0, 0, 0];
    for (answer, failed_at) in [
        (&b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n"[..], "not-tls"),
        (b"HTTP/1.0 400 Bad Request\r\n\r\n", "not-tls"),
        (OUT_OF_TURN, "protocol"),
        (b"", "closed"),
    ] {
        let (address, talker) = answering(answer);
        let seen = failed(rehearse(&world, &kit, &address, &[]));
        assert_eq!(seen["failed_at"], failed_at, "{seen}");
        talker.join().unwrap();
    }
    // one that hangs up without having listened
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = rude.local_addr().unwrap().to_string();
    let talker = std::thread::spawn(move || {
        let (stream, _) = rude.accept().unwrap();
        stream.peek(&mut [0]).unwrap();
    });
    let seen = failed(rehearse(&world, &kit, &address, &[]));
    assert_eq!(seen["failed_at"], "closed", "{seen}");
    assert!(seen["message"].as_str().unwrap().contains("in the middle of the handshake"), "{seen}");
    talker.join().unwrap();

    assert_eq!(failed(rehearse(&world, &kit, "no such name", &[]))["failed_at"], "address");
    // a network without anything in it
    let run = world.on(world.ftd(1), &["verify", "--json", "--rehearse=10.99.99.99"]);
    let ran = run.args(world.trust()).arg(&kit.path).under(&["unshare", "--net"]).run();
    assert_eq!(failed(ran)["failed_at"], "no-route");
}

#[test]
fn an_installation_is_refused_when_the_rehearsal_fails() {
    let world = World::started(1);
    let (device, kit) = (world.ftd(1), world.kit(&[]));
    let before = world.snapshot(device);
    for flags in [&["--rehearse=127.0.0.1:9"][..], &["--rehearse=127.0.0.1:9", "--dry-run"]] {
        let ran = world.install(device, &kit.path).args(flags).run().expect(3);
        let ran = ran.says("refused (rehearsal-failed)").says("nothing listens there");
        world.unchanged(device, &before, &ran);
    }
    assert_eq!(device.restarts().unwrap(), 0);
    assert!(!Path::new(&device.root).join("var/sf/sftunnel-airgap/backups").exists());
}

#[test]
fn two_managers_are_each_asked_with_their_own_files() {
    let spec = LabSpec::for_tests(1).and_manager(ManagerSpec::renewed("fmc2"));
    let world = World::of(spec).start();
    let [one, two] = &world.lab.managers[..] else { panic!("two managers") };
    let key = World::signing_key_path(one).display().to_string();
    let kits = [world.kit_on(one, &[]), world.kit_on(two, &["--sign-key", &key])];
    let run = |hosts: &[String]| {
        let flags = hosts.iter().map(|host| format!("--rehearse={host}"));
        let run = world.install(world.ftd(1), &kits[0].path).arg(&kits[1].path).arg("--json");
        run.args(flags).run()
    };
    run(&[endpoint(one)]).expect(2);
    let json = run(&[endpoint(two), endpoint(one)]).expect(3).json();
    assert_eq!(json["rehearsals"][1]["failed_at"], "their-certificate", "{json}");
    let json = run(&[endpoint(one), endpoint(two)]).expect(0).json();
    assert_eq!(json["rehearsals"].as_array().unwrap().len(), 2, "{json}");
}
