//! CAs and certificates as no FMC makes them, one departure from its forms at a time.

use std::fs;
use std::sync::LazyLock;

use openssl::asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use openssl::x509::{X509, X509Builder, X509Extension, X509Name};
use tests::tool;

const DEVICE: &str = "c8d5d5c6-87c9-11ef-a993-b9831565bc4e";
const MANAGER: &str = "cdb123c8-4347-11ef-aca1-f3aa241412a1";

pub(super) fn rsa(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

/// Keys are what takes time, so these are made once.
pub(super) fn device_key() -> &'static PKey<Private> {
    static KEY: LazyLock<PKey<Private>> = LazyLock::new(|| rsa(2048));
    &KEY
}

fn ca_key() -> &'static PKey<Private> {
    static KEY: LazyLock<PKey<Private>> = LazyLock::new(|| rsa(2048));
    &KEY
}

fn name(fields: &[(&str, &str)]) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    fields.iter().for_each(|(field, value)| name.append_entry_by_text(field, value).unwrap());
    name.build()
}

const OF_THE_CA: &[(&str, &str)] = &[
    ("title", "InternalCA"),
    ("OU", "Intrusion Management System"),
    ("CN", MANAGER),
    ("O", "Cisco Systems, Inc"),
];
const OF_THE_DEVICE: &[(&str, &str)] = &[
    ("OU", "Intrusion Management System"),
    ("O", "Cisco Systems, Inc"),
    ("title", DEVICE),
    ("generationQualifier", "sftunnel"),
];

/// OID, critical, DER of the content.
type Extension = (&'static str, bool, &'static [u8]);

const BASIC: &str = "2.5.29.19";
const USAGE: &str = "2.5.29.15";
const PURPOSE: &str = "2.5.29.37";
const NAMES: &str = "2.5.29.17";
const CONSTRAINTS: &str = "2.5.29.30";
const OTHER: &str = "1.2.3.4";

/// `CA:FALSE`, as an empty SEQUENCE.
const NO_CA: Extension = (BASIC, false, &[0x30, 0]);
const A_CA: Extension = (BASIC, true, &[0x30, 3, 1, 1, 0xff]);
const LOCALHOST: Extension = (NAMES, false, b"\x30\x0b\x82\x09localhost");
/// clientAuth and serverAuth; then each alone.
const BOTH_SIDES: Extension = (
    PURPOSE,
    false,
    b"\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01",
);
const SERVERS: Extension = (PURPOSE, false, b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01");
const CLIENTS: Extension = (PURPOSE, false, b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02");
const CODE: Extension = (PURPOSE, false, b"\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x03");

/// How a certificate is made, to be changed at will.
#[derive(Clone)]
struct Form {
    version: i32,
    serial: i64,
    subject: &'static [(&'static str, &'static str)],
    issuer: &'static [(&'static str, &'static str)],
    extensions: Vec<Extension>,
    key: PKey<Private>,
    digest: MessageDigest,
}

impl Form {
    /// The InternalCA: version 1, no extensions, serial 0.
    fn internal_ca() -> Self {
        Self {
            version: 0,
            serial: 0,
            subject: OF_THE_CA,
            issuer: OF_THE_CA,
            extensions: Vec::new(),
            key: ca_key().clone(),
            digest: MessageDigest::sha256(),
        }
    }

    fn device() -> Self {
        Self {
            version: 2,
            serial: 42,
            subject: OF_THE_DEVICE,
            issuer: OF_THE_CA,
            extensions: vec![NO_CA, LOCALHOST, BOTH_SIDES],
            key: device_key().clone(),
            digest: MessageDigest::sha256(),
        }
    }

    fn with(mut self, extension: Extension) -> Self {
        self.version = 2;
        self.extensions.retain(|(oid, ..)| *oid != extension.0);
        self.extensions.push(extension);
        self
    }

    fn signed_by(&self, signer: &PKey<Private>) -> X509 {
        let mut builder = X509Builder::new().unwrap();
        builder.set_version(self.version).unwrap();
        let mut serial = BigNum::from_u32(u32::try_from(self.serial.abs()).unwrap()).unwrap();
        serial.set_negative(self.serial < 0);
        builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
        builder.set_subject_name(&name(self.subject)).unwrap();
        builder.set_issuer_name(&name(self.issuer)).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(3650).unwrap()).unwrap();
        builder.set_pubkey(&self.key).unwrap();
        for (oid, critical, content) in &self.extensions {
            let oid = Asn1Object::from_str(oid).unwrap();
            let content = Asn1OctetString::new_from_bytes(content).unwrap();
            let made = X509Extension::new_from_der(&oid, *critical, &content).unwrap();
            builder.append_extension(made).unwrap();
        }
        builder.sign(signer, self.digest).unwrap();
        builder.build()
    }

    fn self_signed(&self) -> Vec<u8> {
        self.signed_by(&self.key).to_pem().unwrap()
    }

    fn issued(&self) -> Vec<u8> {
        self.signed_by(ca_key()).to_pem().unwrap()
    }
}

/// The FMC's CA, and the key of the devices that it issues for.
pub(super) struct Issuer {
    certificate: X509,
    pub(super) device_key: PKey<Private>,
}

impl Issuer {
    pub(super) fn internal_ca() -> Self {
        let form = Form::internal_ca();
        Self { certificate: form.signed_by(&form.key), device_key: device_key().clone() }
    }

    pub(super) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }
}

/// The subjects of docs/facts.md, newer and older.
pub(super) fn of_the_fmc(_: &Issuer) -> Vec<(&'static str, Vec<u8>)> {
    let by_name: &[_] = &[("OU", "Intrusion Management System"), ("CN", DEVICE)];
    let older: &[_] = &[("CN", "localhost"), ("title", DEVICE), ("generationQualifier", "x")];
    [("newer", OF_THE_DEVICE), ("newer, by CN", by_name), ("older", older)]
        .map(|(name, subject)| (name, Form { subject, ..Form::device() }.issued()))
        .to_vec()
}

/// A name, a CA, and a certificate: usually one of the two is as the FMC makes it.
pub(super) fn pairs() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let ca = Form::internal_ca().self_signed();
    let device = Form::device().issued();
    let of_devices = certificates().into_iter().map(|(name, pem)| (name, ca.clone(), pem));
    let of_cas = authorities().into_iter().map(|(name, pem)| (name, pem, device.clone()));
    let mut pairs: Vec<_> =
        of_devices.chain(of_cas).map(|(n, c, d)| (n.to_owned(), c, d)).collect();
    let small = Form { key: rsa(512), ..Form::internal_ca() };
    let by_small = Form::device().signed_by(&small.key).to_pem().unwrap();
    pairs.push(("CA's key of 512 bits".to_owned(), small.self_signed(), by_small));
    pairs.push(("the CA itself".to_owned(), ca.clone(), ca));
    pairs
}

fn certificates() -> Vec<(&'static str, Vec<u8>)> {
    let extensions: &[(&str, Extension)] = &[
        ("unknown extension", (OTHER, false, &[5, 0])),
        ("unknown extension, critical", (OTHER, true, &[5, 0])),
        ("for servers only", SERVERS),
        ("for clients only", CLIENTS),
        ("for code", CODE),
        ("for nothing", (PURPOSE, false, &[0x30, 0])),
        ("for servers only, critical", (PURPOSE, true, SERVERS.2)),
        ("a CA", A_CA),
        ("a CA with a usage", (USAGE, true, &[3, 2, 1, 6])),
        ("to sign", (USAGE, true, &[3, 2, 7, 0x80])),
        ("to sign and to encrypt", (USAGE, true, &[3, 2, 5, 0xa0])),
        ("to encrypt data", (USAGE, true, &[3, 2, 4, 0x10])),
        ("to encipher only", (USAGE, false, &[3, 2, 0, 1])),
        ("usage of no bits", (USAGE, true, &[3, 1, 0])),
        ("usage that is no bits", (USAGE, true, &[4, 1, 0])),
        ("usage that is cut", (USAGE, false, &[3, 9, 0])),
        ("Netscape's type: object signing", ("2.16.840.1.113730.1.1", false, &[3, 2, 4, 0x10])),
        ("Netscape's type: client", ("2.16.840.1.113730.1.1", false, &[3, 2, 7, 0x80])),
        ("basic constraints that are cut", (BASIC, false, &[0x30, 5, 1])),
        ("basic constraints with tail", (BASIC, false, &[0x30, 0, 5, 0])),
        ("path length without a CA", (BASIC, true, &[0x30, 3, 2, 1, 0])),
        ("path length below zero", (BASIC, true, &[0x30, 6, 1, 1, 0xff, 2, 1, 0xff])),
        ("purpose that is cut", (PURPOSE, false, &[0x30, 9, 6])),
        ("names that are cut", (NAMES, false, &[0x30, 9, 0x82])),
        ("no names", (NAMES, false, &[0x30, 0])),
        (
            "constraints on names, in a certificate",
            (CONSTRAINTS, true, b"\x30\x09\xa1\x07\x30\x05\x82\x03xyz"),
        ),
        ("identifier of another key", ("2.5.29.35", false, b"\x30\x06\x80\x04\x01\x02\x03\x04")),
        ("identifier that is cut", ("2.5.29.35", false, &[0x30, 9, 0x80])),
        ("own identifier that is cut", ("2.5.29.14", false, &[4, 9])),
        ("policies that are cut", ("2.5.29.32", true, &[0x30, 9])),
        (
            "addresses of RFC 3779",
            ("1.3.6.1.5.5.7.1.7", true, b"\x30\x08\x30\x06\x04\x02\0\x01\x05\0"),
        ),
        (
            "a proxy",
            (
                "1.3.6.1.5.5.7.1.14",
                true,
                b"\x30\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x15\x01",
            ),
        ),
        ("where revocation is published, badly", ("2.5.29.31", false, &[0x30, 9])),
        ("no OCSP, critical", ("1.3.6.1.5.5.7.48.1.5", true, &[5, 0])),
    ];
    let issued = |(name, extension): &(&'static str, Extension)| {
        (*name, Form::device().with(*extension).issued())
    };
    let mut all: Vec<_> = extensions.iter().map(issued).collect();
    let twice = |extension: Extension| {
        let mut form = Form::device();
        form.extensions.push(extension);
        form.issued()
    };
    let form = Form::device;
    let key = |key| Form { key, ..form() }.issued();
    let group = |nid| EcGroup::from_curve_name(nid).unwrap();
    let ec = |nid| PKey::from_ec_key(EcKey::generate(&group(nid)).unwrap()).unwrap();
    let sha1 = Form { digest: MessageDigest::sha1(), ..form() };
    let none: Form = Form { extensions: Vec::new(), ..form() };
    all.extend([
        ("basic constraints twice", twice(A_CA)),
        ("purposes twice", twice(SERVERS)),
        ("unknown extension twice", {
            let mut form = form().with((OTHER, false, &[5, 0]));
            form.extensions.push((OTHER, false, &[5, 0]));
            form.issued()
        }),
        ("no extensions", none.issued()),
        ("version 1", Form { version: 0, ..none }.issued()),
        ("version 1 with extensions", Form { version: 0, ..form() }.issued()),
        ("version 2 with extensions", Form { version: 1, ..form() }.issued()),
        ("version 4", Form { version: 3, ..form() }.issued()),
        ("serial number 0", Form { serial: 0, ..form() }.issued()),
        ("negative serial number", Form { serial: -1, ..form() }.issued()),
        ("no subject", Form { subject: &[], ..form() }.issued()),
        ("issuer of another name", Form { issuer: OF_THE_DEVICE, ..form() }.issued()),
        ("issuer without a name", Form { issuer: &[], ..form() }.issued()),
        ("signed by itself", form().signed_by(device_key()).to_pem().unwrap()),
        ("issued by itself", Form { issuer: OF_THE_DEVICE, ..form() }.self_signed()),
        ("SHA-1", sha1.issued()),
        ("SHA-1 under PSS", under_pss("-sha1")),
        ("SHA-256 under PSS", under_pss("-sha256")),
        ("SHA-512", Form { digest: MessageDigest::sha512(), ..form() }.issued()),
        ("key of 512 bits", key(rsa(512))),
        ("key of 1024 bits", key(rsa(1024))),
        ("key of P-256", key(ec(Nid::X9_62_PRIME256V1))),
        ("key of 112 bits on a curve", key(ec(Nid::SECP112R1))),
        ("key of Ed25519", key(PKey::generate_ed25519().unwrap())),
    ]);
    all.extend(resigned());
    all
}

/// With bytes changed where no builder would, and a signature that fits again.
fn resigned() -> Vec<(&'static str, Vec<u8>)> {
    // a BIT STRING of 256 bytes and no unused bits
    const SIGNATURE: usize = 256;
    // TBSCertificate of a length in two bytes, in a SEQUENCE of the same kind
    let patched = |patch: &dyn Fn(&mut Vec<u8>)| {
        let der = Form::device().signed_by(ca_key()).to_der().unwrap();
        let size = usize::from(der[6]) << 8 | usize::from(der[7]);
        let mut tbs = der[4..8 + size].to_vec();
        let rest = &der[8 + size..der.len() - SIGNATURE];
        let before = tbs.len();
        patch(&mut tbs);
        assert_eq!(tbs.len(), before, "in place");
        let mut signer = Signer::new(MessageDigest::sha256(), ca_key()).unwrap();
        let signature = signer.sign_oneshot_to_vec(&tbs).unwrap();
        let der = [&der[..4], &tbs, rest, &signature].concat();
        X509::from_der(&der).unwrap().to_pem().unwrap()
    };
    let at = |tbs: &[u8], what: &[u8]| tbs.windows(what.len()).position(|w| w == what).unwrap();
    // sha256WithRSAEncryption; what is signed says so, and so does what is around it
    let algorithm = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
    vec![
        ("unchanged", patched(&|_| {})),
        (
            "another algorithm inside than outside",
            patched(&|tbs| {
                let place = at(tbs, algorithm);
                tbs[place + 8] = 0x0c;
            }),
        ),
        (
            "a public key that is none",
            patched(&|tbs| {
                let place = at(tbs, b"\x03\x82\x01\x0f\x00\x30\x82");
                tbs[place + 5] = 0x31;
            }),
        ),
    ]
}

fn authorities() -> Vec<(&'static str, Vec<u8>)> {
    let extensions: &[(&str, Extension)] = &[
        ("CA of version 3", A_CA),
        ("CA that is none", NO_CA),
        ("CA that may issue to none below", (BASIC, true, &[0x30, 6, 1, 1, 0xff, 2, 1, 0])),
        ("CA of a path length below zero", (BASIC, true, &[0x30, 6, 1, 1, 0xff, 2, 1, 0xff])),
        ("CA's unknown extension, critical", (OTHER, true, &[5, 0])),
        ("CA that may sign no certificates", (USAGE, true, &[3, 2, 7, 0x80])),
        ("CA that may sign certificates", (USAGE, true, &[3, 2, 1, 6])),
        ("CA for code", CODE),
        ("CA for servers", SERVERS),
        ("CA of other names", (CONSTRAINTS, true, b"\x30\x09\xa0\x07\x30\x05\x82\x03xyz")),
        (
            "CA of all but localhost",
            (CONSTRAINTS, true, b"\x30\x0f\xa1\x0d\x30\x0b\x82\x09localhost"),
        ),
        ("CA of constraints that are cut", (CONSTRAINTS, true, &[0x30, 9, 0xa1])),
        ("CA of Netscape's type: client", ("2.16.840.1.113730.1.1", false, &[3, 2, 7, 0x80])),
        (
            "CA that is a proxy",
            (
                "1.3.6.1.5.5.7.1.14",
                true,
                b"\x30\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x15\x01",
            ),
        ),
        ("CA under a policy that must be", ("2.5.29.36", true, &[0x30, 3, 0x80, 1, 0])),
    ];
    let form = Form::internal_ca;
    let made = |(name, extension): &(&'static str, Extension)| {
        (*name, form().with(A_CA).with(*extension).self_signed())
    };
    let mut all: Vec<_> = extensions.iter().map(made).collect();
    let another = rsa(2048);
    all.extend([
        ("CA of version 3 without extensions", Form { version: 2, ..form() }.self_signed()),
        ("CA of another key", Form { key: another.clone(), ..form() }.self_signed()),
        (
            "CA of another name",
            Form { subject: OF_THE_DEVICE, issuer: OF_THE_DEVICE, ..form() }.self_signed(),
        ),
        ("CA that another signed", form().signed_by(&another).to_pem().unwrap()),
        ("CA that is issued by another", Form { issuer: OF_THE_DEVICE, ..form() }.self_signed()),
        ("CA signed with SHA-1", Form { digest: MessageDigest::sha1(), ..form() }.self_signed()),
        ("CA of a negative serial number", Form { serial: -1, ..form() }.self_signed()),
    ]);
    all
}

/// A device's certificate whose signature is RSASSA-PSS, which the builder above cannot make.
fn under_pss(digest: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| fs::write(dir.path().join(name), content).unwrap();
    write("ca.pem", &Form::internal_ca().self_signed());
    write("ca.key", &ca_key().private_key_to_pem_pkcs8().unwrap());
    write("key.pem", &device_key().private_key_to_pem_pkcs8().unwrap());
    let openssl = || tool("openssl", "openssl").cwd(dir.path());
    let subject = format!("/title={DEVICE}");
    openssl()
        .args(["req", "-new", "-key", "key.pem", "-subj", &subject, "-out", "request.pem"])
        .run()
        .expect(0);
    let sign = ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key"];
    let how = ["-set_serial", "7", "-days", "10", "-sigopt", "rsa_padding_mode:pss", digest];
    openssl().args(sign).args(how).args(["-out", "made.pem"]).run().expect(0);
    fs::read(dir.path().join("made.pem")).unwrap()
}
