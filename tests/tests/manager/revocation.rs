//! The FMC's list of revoked certificates, as `check` judges it.

use std::fs;

use serde_json::Value;
use tests::{World, now, tool};

use crate::manager::check::check;

/// The list of the authority in use, from and until so many days from now, as OpenSSL writes it.
fn make_crl(world: &World, days: [i64; 2]) {
    let root = &world.fmc().root;
    let config = world.write(
        "crl.cnf",
        format!(
            "[ca]\ndefault_ca=own\n[own]\ndatabase={}\ndefault_md=sha256\n",
            world.write("index.txt", "").display()
        ),
    );
    let list = root.join("etc/sf/ca_root/crl.pem");
    let [from, until] = days.map(|days| {
        let at = tool("date", "coreutils").args(["-u", "+%y%m%d%H%M%SZ", "-d"]);
        let at = at.arg(format!("@{}", now() + days * 86_400)).run().expect(0);
        at.stdout.trim().to_owned()
    });
    let run = tool("openssl", "openssl").args(["ca", "-gencrl", "-config"]).arg(&config);
    let run = run.arg("-cert").arg(lab::layout::cacert(root));
    let run = run.arg("-keyfile").arg(lab::layout::ca_key(root));
    let run = run.args(["-crl_lastupdate", &from, "-crl_nextupdate", &until, "-out"]);
    run.arg(&list).run().expect(0);
}

/// Whether sftunnel minds an outdated list is not known, so none is worse than WARNING.
#[test]
fn a_list_of_revoked_certificates_is_judged_by_its_dates_and_its_issuer() {
    let world = World::started(1);
    world.install(world.ftd(1), &world.kit(&[]).path).run().expect(0);
    world.up(world.ftd(1), world.fmc());
    let receipts = world.ftd(1).root.join("var/sf/sftunnel-airgap/receipts");
    let seen = |args: &[&str]| {
        let args = [&["--json", "--receipts", receipts.to_str().unwrap()], args].concat();
        let json = check(&world, &args).json();
        let rows = json["results"].as_array().unwrap().clone();
        rows.into_iter().find(|row| row["role"] == "crl").unwrap_or_default()
    };
    for (days, more, state) in [
        ([-10, 30], &[][..], "OK"),
        // a short life is made anew all the time, so only a missed date counts
        ([-10, 1], &[], "OK"),
        ([-30, -2], &[], "WARNING"),
        ([-3000, 60], &[], "WARNING"),
        ([-3000, 60], &["--warning", "50"], "OK"),
    ] {
        make_crl(&world, days);
        let row = seen(more);
        assert_eq!(
            (&row["state"], &row["issued_by_ca"]),
            (&state.into(), &true.into()),
            "{days:?}"
        );
        let left = row["days_left"].as_i64().unwrap();
        assert!([days[1] - 1, days[1]].contains(&left), "{days:?}: {left}");
    }
    let list = world.fmc().root.join("etc/sf/ca_root/crl.pem");
    let own = fs::read(&list).unwrap();
    // of the authority of before
    let other = World::new(1);
    fs::copy(other.fmc().root.join("etc/sf/ca_root/crl.pem"), &list).unwrap();
    let row = seen(&[]);
    assert_eq!((&row["state"], &row["issued_by_ca"]), (&"WARNING".into(), &false.into()), "{row}");
    fs::write(&list, own.get(..own.len() / 2).unwrap()).unwrap();
    assert_eq!(seen(&[])["state"], "UNKNOWN");
    fs::remove_file(&list).unwrap();
    assert_eq!(seen(&[]), Value::Null);
}
