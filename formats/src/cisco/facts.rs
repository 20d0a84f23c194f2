//! Paths, names, numbers and modes of Cisco's boxes on which the programs rely.
//!
//! Each is a row of docs/facts.md, with its source: *doc* (Cisco's guide 222464 or FN74214),
//! *cisco* (other material of Cisco's), *field* (seen by an engineer), *guess*. A fact that turns
//! out to be wrong is changed here. Kept elsewhere: the names of the three files, which bundles
//! have as well ([`CredentialFile`](crate::device::CredentialFile)); the words that boxes print
//! ([`channels`](super::channels)); texts for people. The lab does not use these constants: it is
//! an independent model of a box.

/// Settings of manager and device, `KEY=VALUE`: UUID, model, version. Field.
pub const IMS_CONF: &str = "/etc/sf/ims.conf";

/// The InternalCA in use, on the manager. Doc. A device can have one as well. Field.
pub const CA: &str = "/etc/sf/ca_root/cacert.pem";

/// The InternalCA's revocation list. Cisco.
pub const CRL: &str = "/etc/sf/ca_root/crl.pem";

/// The manager's own certificate for sftunnel. Doc.
pub const OWN_CERTIFICATE: &str = "/etc/sf/keys/sftunnel-cert.pem";

/// Directory of a device's own files; its `/var/sf` may be a link below it. Cisco.
pub const NGFW: &str = "/ngfw";

/// [`SF`] by its other name, on devices only. Cisco.
pub const NGFW_SF: &str = "/ngfw/var/sf";

/// Directory that holds the peer directories. It or a parent may be a link. Doc, cisco.
pub const SF: &str = "/var/sf";

/// Parent of a folder for each device (on the manager) or manager (on a device), named by UUID.
/// Doc.
pub const PEERS: &str = "/var/sf/peers";

/// The last component of [`PEERS`], which is not a link. Cisco.
pub const PEERS_NAME: &str = "peers";

/// Subfolder of a device's folder on the manager: the new pair, until or after it is pushed. Doc.
pub const PUSHED: &str = "certs_pushed";

/// File in a peer's folder on the device. Doc; that it is written while the tunnel lives is a
/// guess.
pub const HEARTBEAT: &str = "sftunnel-heartbeat";

/// Owner and group of the three files in a device's peer directory: root. Doc.
pub const OWNER: u32 = 0;

/// Mode of the three files in a device's peer directory, including the key. Doc.
pub const MODE: u32 = 0o644;

/// Parent of the folders that `generate_certs.pl` leaves, one for each run, named by its Unix time.
/// Doc.
pub const BATCHES: &str = "/var/tmp/certs";

/// File in a run's folder that lists the devices it did not reach. Doc.
pub const FAILED_PUSH: &str = "FAILED_PUSH";

/// Log of `generate_certs.pl`, on the manager. Doc.
pub const RENEWAL_LOG: &str = "/var/log/sf/sfca_generation.log";

/// Log of the system with sftunnel's lines; one may be a link to the other. Doc; the second guessed
/// for managers.
pub const MESSAGES: [&str; 2] = ["/ngfw/var/log/messages", "/var/log/messages"];

/// The tunnel's port, unless the configuration or the operator says otherwise. Cisco.
pub const PORT: u16 = 8305;

/// sftunnel's configuration; the second path for boxes where the first is not a link to it. Doc,
/// field.
pub const SFTUNNEL_CONF: [&str; 2] = ["/etc/sf/sftunnel.conf", "/ngfw/etc/sf/sftunnel.conf"];

/// Directories of Cisco's programs on a device, in the order of search. Doc, field.
pub const PROGRAMS: [&str; 2] = ["/ngfw/usr/local/sf/bin", "/usr/local/sf/bin"];

/// Program that starts, stops and lists daemons. Doc.
pub const PMTOOL: &str = "pmtool";

/// Name of the daemon in [`PMTOOL`]. Doc.
pub const SFTUNNEL: &str = "sftunnel";

/// Command at the `>` prompt that shows the tunnels. Cisco.
pub const STATUS: &str = "sftunnel-status";

/// Command that shows them briefly; may not be a program in root's shell. Cisco.
pub const STATUS_BRIEF: &str = "sftunnel-status-brief";

/// Script that shows the tunnels on manager and device, slowly when peers are down. Cisco.
pub const STATUS_SCRIPT: &str = "sftunnel_status.pl";

/// Path of [`STATUS_SCRIPT`] on the manager. Cisco.
pub const STATUS_SCRIPT_OF_MANAGER: &str = "/usr/local/sf/bin/sftunnel_status.pl";
