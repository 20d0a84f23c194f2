//! What the builder finds in the manager's own files, and both programs in the dates of them.

use super::*;

#[test]
fn an_absent_source_is_missing() {
    for name in ["sftunnel-cert.pem", "sftunnel-key.pem"] {
        let world = World::new(1);
        fs::remove_file(pushed(&world, name)).unwrap();
        build_refused(&world, "missing-source");
    }
    let world = World::new(1);
    fs::remove_file(world.fmc().root.join("etc/sf/ca_root/cacert.pem")).unwrap();
    build_refused(&world, "missing-source");
}

#[test]
fn what_is_no_pem_is_bad_credentials() {
    let world = World::new(1);
    let key = fs::read(pushed(&world, "sftunnel-key.pem")).unwrap();
    for content in ["", "hello\n", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
    {
        fs::write(pushed(&world, "sftunnel-key.pem"), content).unwrap();
        build_refused(&world, "bad-credentials");
    }
    // an encrypted key is of no use to sftunnel
    let plain = world.write("plain.pem", &key);
    let openssl = tool("openssl", "openssl").args(["pkcs8", "-topk8", "-passout", "pass:x", "-in"]);
    let encrypted = world.path("encrypted.pem");
    openssl.arg(&plain).arg("-out").arg(&encrypted).run().expect(0);
    fs::copy(&encrypted, pushed(&world, "sftunnel-key.pem")).unwrap();
    build_refused(&world, "bad-credentials");
    // two certificates where one belongs
    fs::write(pushed(&world, "sftunnel-key.pem"), &key).unwrap();
    let certificate = fs::read(pushed(&world, "sftunnel-cert.pem")).unwrap();
    fs::write(pushed(&world, "sftunnel-cert.pem"), certificate.repeat(2)).unwrap();
    build_refused(&world, "bad-credentials");
}

/// Everybody may read the files of certificates, here and on the device.
#[test]
fn a_private_key_beside_a_certificate_is_not_packed() {
    let said = |world: &World, file: &str| {
        let ran = world.bundle(&["plan", "--recipient", &world.recipient()]).run().expect(3);
        drop(ran.says(&format!("{file} holds a private key beside the certificate")));
        build_refused(world, "bad-credentials");
    };
    let world = World::new(1);
    let (certificate, key) = ["sftunnel-cert.pem", "sftunnel-key.pem"]
        .map(|name| fs::read(pushed(&world, name)).unwrap())
        .into();
    fs::write(pushed(&world, "sftunnel-cert.pem"), [&certificate[..], &key].concat()).unwrap();
    said(&world, "sftunnel-cert.pem");
    fs::write(pushed(&world, "sftunnel-cert.pem"), [&key[..], &certificate].concat()).unwrap();
    said(&world, "sftunnel-cert.pem");
    fs::write(pushed(&world, "sftunnel-cert.pem"), certificate).unwrap();
    let ca = world.fmc().root.join("etc/sf/ca_root/cacert.pem");
    let pem = fs::read(&ca).unwrap();
    let key = fs::read(world.fmc().root.join("etc/sf/ca_root/private/cakey.pem")).unwrap();
    fs::write(&ca, [&pem[..], &key].concat()).unwrap();
    said(&world, "cacert.pem");
    // the text that OpenSSL writes before a certificate is no obstacle
    let text = tool("openssl", "openssl").args(["x509", "-text", "-in"]);
    fs::write(&ca, pem).unwrap();
    fs::write(&ca, text.arg(&ca).run().expect(0).stdout).unwrap();
    assert!(world.kit(&[]).bundle(world.ftd(1)).is_file());
}

#[test]
fn what_openssl_itself_refuses_is_said_in_its_words() {
    let world = World::new(1);
    let authority = world.fmc().authority().unwrap();
    let small = Key::generate_bits(512).unwrap();
    let request = Request { key: small, ..Request::for_device(&world.ftd(1).uuid).unwrap() };
    put_pair(&world, &authority.issue(&request).unwrap());
    let ran = world.bundle(&["plan", "--recipient", &world.recipient()]).run().expect(3);
    drop(ran.says("err 66:EE certificate"));
    build_refused(&world, "bad-credentials");
}

#[test]
fn the_key_of_another_certificate_is_a_mismatch() {
    let world = World::new(1);
    fs::write(pushed(&world, "sftunnel-key.pem"), Key::generate().unwrap().pem()).unwrap();
    build_refused(&world, "key-mismatch");
}

#[test]
fn a_certificate_of_another_ca_is_not_issued_by_it() {
    let world = World::new(1);
    let uuid = &world.fmc().uuid;
    let validity = Validity::ten_years_from(now() - 3600);
    // of the same name, with another key
    let other = Authority::create(uuid, validity, Digest::Sha256).unwrap();
    put_pair(&world, &other.issue(&Request::for_device(&world.ftd(1).uuid).unwrap()).unwrap());
    build_refused(&world, "not-issued-by-ca");
}

#[test]
fn weak_digests_are_refused() {
    for digest in [Digest::Sha1, Digest::Md5] {
        let world = World::new(1);
        let authority = world.fmc().authority().unwrap();
        let request = Request { digest, ..Request::for_device(&world.ftd(1).uuid).unwrap() };
        put_pair(&world, &authority.issue(&request).unwrap());
        build_refused(&world, "weak-digest");
    }
    build_refused(&renewed_with(Issue { digest: Digest::Sha1, ..Issue::default() }), "weak-digest");
}

#[test]
fn a_certificate_of_another_device_is_final() {
    let world = World::new(1);
    let authority = world.fmc().authority().unwrap();
    let request = Request::for_device("11111111-2222-11ef-8888-000000000000").unwrap();
    put_pair(&world, &authority.issue(&request).unwrap());
    build_refused(&world, "wrong-subject");
    build_refused_with(&world, &["--accept-subject", "--accept-clock"], "wrong-subject");
}

#[test]
fn a_ca_of_another_name_can_be_accepted() {
    let world = World::new(1);
    let other = "11111111-2222-11ef-8888-000000000000";
    let validity = Validity::ten_years_from(now() - 3600);
    let authority = Authority::create(other, validity, Digest::Sha256).unwrap();
    let cacert = world.fmc().root.join("etc/sf/ca_root/cacert.pem");
    fs::write(cacert, authority.certificate_pem().unwrap()).unwrap();
    put_pair(&world, &authority.issue(&Request::for_device(&world.ftd(1).uuid).unwrap()).unwrap());
    build_refused(&world, "wrong-subject");
    let kit = builds_with(&world, "--accept-subject");
    world.install(world.ftd(1), &kit).run().expect(0);
}

#[test]
fn a_newer_batch_makes_an_older_list_stale() {
    let world = World::new(1);
    let old = world.fmc().failed_push().unwrap().unwrap();
    let new = world.lab.renew().unwrap();
    let old = old.display().to_string();
    build_refused_with(&world, &["--failed-push", &old], "stale-batch");
    world.kit(&["--failed-push", &old, "--accept-stale"]);
    // the newer run reached every device and left no list: the older list is stale all the same
    fs::remove_file(&new.failed_push).unwrap();
    build_refused(&world, "stale-batch");
    builds_with(&world, "--accept-stale");
    // a folder that root moved elsewhere and left a link to is one as well, wherever the root is
    let folder = new.failed_push.parent().unwrap();
    let name = folder.file_name().unwrap();
    fs::rename(folder, world.fmc().root.join("var").join(name)).unwrap();
    std::os::unix::fs::symlink(std::path::Path::new("/var").join(name), folder).unwrap();
    build_refused(&world, "stale-batch");
}

#[test]
fn expired_is_refused_on_both_sides() {
    let world = renewed_with(valid(now() - 30 * DAY, now() - DAY));
    build_refused(&world, "expired");
    let kit = builds_with(&world, "--accept-clock");
    let ran = install_refused(&world, world.ftd(1), &kit, "expired");
    ran.says("the clock says");
    let identity = world.path("identity.txt").display().to_string();
    refused(world.bundle(&["verify", "--identity", &identity]).arg(&kit), "expired");
    world.bundle(&["verify", "--accept-clock", "--identity", &identity]).arg(&kit).run().expect(0);
    world.install(world.ftd(1), &kit).arg("--accept-clock").run().expect(0);
}

#[test]
fn not_yet_valid_is_refused_on_both_sides() {
    let world = renewed_with(valid(now() + DAY, now() + 300 * DAY));
    build_refused(&world, "not-yet-valid");
    let kit = builds_with(&world, "--accept-clock");
    let ran = install_refused(&world, world.ftd(1), &kit, "not-yet-valid");
    ran.says("sftunnel itself would refuse").says("the clock says");
    world.install(world.ftd(1), &kit).arg("--accept-clock").run().expect(0);
}

#[test]
fn a_clock_before_the_bundle_is_behind() {
    let world = World::new(1);
    let tomorrow = Timestamp::from_unix(now() + DAY).unwrap().to_string();
    let kit = world.kit(&["--created-at", &tomorrow]);
    let ran = install_refused(&world, world.ftd(1), &kit.path, "clock-behind");
    ran.says(&tomorrow);
    world.install(world.ftd(1), &kit.path).arg("--accept-clock").run().expect(0);
}

#[test]
fn a_clock_before_the_program_is_behind() {
    let needed =
        tool("readelf", "binutils").arg("-d").arg(tests::program("sftunnel-install")).run();
    if !needed.stdout.contains("NEEDED") {
        // faketime works by preloading, which a static program cannot be given; the same code
        // is tested with the dynamic build
        return;
    }
    let world = World::new(1);
    let kit = world.kit(&[]);
    tool("faketime", "faketime");
    let past = ["faketime", "-f", "@2020-01-01 00:00:00"];
    let ran = refused(world.install(world.ftd(1), &kit.path).under(&past), "clock-behind");
    ran.says("2020-01-01");
    let out = world.out();
    let recipient = world.recipient();
    let run = world.bundle(&["build", "--recipient", &recipient]).arg("--out").arg(&out);
    refused(run.under(&past), "clock-behind");
}

#[test]
fn files_beyond_the_limits_are_too_large() {
    let world = World::new(1);
    let mut pem = fs::read(pushed(&world, "sftunnel-cert.pem")).unwrap();
    pem.extend(vec![b'\n'; 64 * 1024]);
    fs::write(pushed(&world, "sftunnel-cert.pem"), pem).unwrap();
    build_refused(&world, "too-large");
}
