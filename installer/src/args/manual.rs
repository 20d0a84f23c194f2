//! What the manual pages say beyond the flags.

use cli::help::manual::ManualFacts;

/// Exit codes, files and other pages.
pub const FACTS: ManualFacts = ManualFacts {
    exit_codes: &[
        ("0", "Done; also when there was nothing to do."),
        ("1", "Failed unexpectedly. Nothing was changed."),
        ("2", "The command line is wrong."),
        ("3", "Refused: a check failed. Nothing was changed."),
        ("5", "Installed, but sftunnel is not confirmed running."),
        ("6", "Rolled back. sftunnel runs on the old files."),
        ("7", "A person is needed. The message says what to do next."),
    ],
    plugins: &[("status", "With --plugin those of monitoring plugins:")],
    files: &[
        (
            "/var/sf/peers/UUID/{cacert,sftunnel-cert,sftunnel-key}.pem",
            "The three files of the manager with that UUID, which `install` and `rollback` replace.",
        ),
        (
            "/var/sf/sftunnel-airgap/",
            "State, for root alone: lock, journal, backups/, receipts/, installed, signers, log.",
        ),
        ("/etc/sf/ims.conf", "UUID, model and version of this box."),
        ("/etc/sf/sftunnel.conf", "The port of sftunnel, where it is named."),
        ("/ngfw/usr/local/sf/bin/pmtool, /usr/local/sf/bin/pmtool", "Shows and restarts sftunnel."),
    ],
    see_also: &["sftunnel-bundle(1)", "age(1)"],
};
