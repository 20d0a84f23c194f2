//! What the manual pages say beyond the flags.

use cli::help::manual::ManualFacts;

/// Exit codes, files and other pages.
pub const FACTS: ManualFacts = ManualFacts {
    exit_codes: &[
        ("0", "Done."),
        ("1", "Failed unexpectedly. Nothing was changed."),
        ("2", "The command line is wrong."),
        ("3", "Refused: a check failed. Nothing was changed."),
        ("4", "Some devices were refused. The kit holds the others."),
    ],
    plugins: &[("check", "This command has those of monitoring plugins, in place of the above:")],
    files: &[
        ("/var/tmp/certs/TIME/FAILED_PUSH", "The devices that generate_certs.pl could not reach."),
        ("/etc/sf/ca_root/cacert.pem", "The CA in use."),
        (
            "/var/sf/peers/UUID/",
            "The new pair of the device with that UUID, in certs_pushed/ or here.",
        ),
        (
            "/var/sf/sftunnel-airgap/signing-key.pem",
            "The key that signs kits and bundles; made on first use, for root alone.",
        ),
        ("/usr/local/sf/bin/sftunnel_status.pl", "Shows which tunnels are up."),
        (
            "sftunnel-install-x86_64, sftunnel-install-aarch64",
            "Beside this program: the installers that go into a kit.",
        ),
    ],
    see_also: &["sftunnel-install(1)", "age(1)", "sha256sum(1)"],
};
