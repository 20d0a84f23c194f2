//! Every path, name, number and mode of Cisco's boxes that the programs rely on.
//!
//! Each is a row of docs/facts.md; how sure it is stands here as there: *doc* (Cisco's guide 222464
//! or FN74214), *cisco* (other material of Cisco's), *field* (seen by an engineer), *guess*. What
//! turns out to be otherwise is changed here. Not here: the names of the three files, which bundles
//! have as well ([`CredentialFile`](crate::device::CredentialFile)); the words that boxes print
//! ([`channels`](super::channels)); texts for people. The lab does not use these: it is a picture
//! of a box that was drawn independently.

/// Settings of manager and device, `KEY=VALUE`: UUID, model, version. Field.
pub const IMS_CONF: &str = "/etc/sf/ims.conf";

/// The InternalCA in use, on the manager. Doc. A device can have one as well. Field.
pub const CA: &str = "/etc/sf/ca_root/cacert.pem";

/// The InternalCA's revocation list. Cisco.
pub const CRL: &str = "/etc/sf/ca_root/crl.pem";

/// The manager's own certificate for sftunnel. Doc.
pub const OWN_CERTIFICATE: &str = "/etc/sf/keys/sftunnel-cert.pem";

/// Where a device keeps what is its own; its `/var/sf` may be a link below. Cisco.
pub const NGFW: &str = "/ngfw";

/// [`SF`] by its other name, on devices only. Cisco.
pub const NGFW_SF: &str = "/ngfw/var/sf";

/// Holds the peer directories. It or a parent may be a link. Doc, cisco.
pub const SF: &str = "/var/sf";

/// A folder for each device on the manager, for each manager on the device, named by UUID. Doc.
pub const PEERS: &str = "/var/sf/peers";

/// The last component of [`PEERS`], which is no link. Cisco.
pub const PEERS_NAME: &str = "peers";

/// In a device's folder on the manager: the new pair, until or after it is pushed. Doc.
pub const PUSHED: &str = "certs_pushed";

/// In a peer's folder on the device. Doc; that it is written while the tunnel lives is a guess.
pub const HEARTBEAT: &str = "sftunnel-heartbeat";

/// Owner and group of the three files in a device's peer directory, root's. Doc.
pub const OWNER: u32 = 0;

/// Mode of the three files in a device's peer directory, the key's as well. Doc.
pub const MODE: u32 = 0o644;

/// `generate_certs.pl` leaves a folder for each run here, named by its Unix time. Doc.
pub const BATCHES: &str = "/var/tmp/certs";

/// The list of devices that a run did not reach, in its folder. Doc.
pub const FAILED_PUSH: &str = "FAILED_PUSH";

/// The tunnel's port, unless the configuration or the operator says otherwise. Cisco.
pub const PORT: u16 = 8305;

/// sftunnel's configuration; the second where the first is no link to it. Doc, field.
pub const SFTUNNEL_CONF: [&str; 2] = ["/etc/sf/sftunnel.conf", "/ngfw/etc/sf/sftunnel.conf"];

/// Where a device has Cisco's programs, in the order of looking. Doc, field.
pub const PROGRAMS: [&str; 2] = ["/ngfw/usr/local/sf/bin", "/usr/local/sf/bin"];

/// Starts, stops and tells of daemons. Doc.
pub const PMTOOL: &str = "pmtool";

/// The id that [`PMTOOL`] knows the daemon by. Doc.
pub const SFTUNNEL: &str = "sftunnel";

/// Tells of the tunnels at the `>` prompt. Cisco.
pub const STATUS: &str = "sftunnel-status";

/// Tells the same briefly; may be no program of root's shell. Cisco.
pub const STATUS_BRIEF: &str = "sftunnel-status-brief";

/// Tells of the tunnels on manager and device, slowly where peers are down. Cisco.
pub const STATUS_SCRIPT: &str = "sftunnel_status.pl";

/// [`STATUS_SCRIPT`] on the manager. Cisco.
pub const STATUS_SCRIPT_OF_MANAGER: &str = "/usr/local/sf/bin/sftunnel_status.pl";
