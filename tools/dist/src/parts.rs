//! List of the parts of a program, as CycloneDX 1.6: `<program>.cdx.json`.
//!
//! The crates are those that `cargo tree` says are linked (no build dependencies, no procedural macros), on either
//! architecture. Beside them stand the parts that are no crates of their own: OpenSSL, Rust's std, musl, GCC's
//! runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// Name of a part in the list: its package URL, or for our own crates just name and version, since
/// other people's crates have the same names.
type Reference = String;

struct Parts {
    /// Checksums from `Cargo.lock`.
    checksums: BTreeMap<(String, String), String>,
    components: BTreeMap<Reference, Value>,
    depends_on: BTreeMap<Reference, BTreeSet<Reference>>,
}

/// Writes the list of `package`, which makes the program `command`.
pub(crate) fn write(
    package: &str,
    command: &clap::Command,
    dist: &Path,
) -> Result<(), Box<dyn Error>> {
    let program = command.get_name();
    let mut parts = Parts {
        checksums: checksums(&fs::read_to_string("Cargo.lock")?),
        components: BTreeMap::new(),
        depends_on: BTreeMap::new(),
    };
    for architecture in ARCHITECTURES {
        parts.add_crates(&linked_crates(package, architecture)?);
    }
    let root = format!("{package}@{}", env!("CARGO_PKG_VERSION"));
    parts.components.remove(&root);
    parts.add_foreign(&root, &fs::read_to_string(dist.join("BUILD-INFO"))?);

    let files = ARCHITECTURES
        .iter()
        .map(|architecture| format!("{program}-{architecture}"))
        .filter_map(|name| fs::read(dist.join(&name)).ok().map(|bytes| (name, bytes)))
        .map(|(name, bytes)| json!({ "type": "file", "name": name, "hashes": [sha256(&bytes)] }))
        .collect::<Vec<_>>();
    let dependencies = parts
        .depends_on
        .iter()
        .map(|(from, to)| json!({ "ref": from, "dependsOn": to }))
        .collect::<Vec<_>>();
    let mut list = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": root,
            "name": program,
            "version": cli::say::version::VERSION,
            "licenses": [{ "expression": env!("CARGO_PKG_LICENSE") }],
            "components": files,
        } },
        "components": parts.components.values().collect::<Vec<_>>(),
        "dependencies": dependencies,
    });
    if let (Some(metadata), Some(time)) = (list.get_mut("metadata"), commit_time()?) {
        metadata["timestamp"] = Value::String(time);
    }
    let mut text = serde_json::to_string_pretty(&list)?;
    text.push('\n');
    fs::write(dist.join(format!("{program}.cdx.json")), text)?;
    Ok(())
}

impl Parts {
    /// Adds crates from lines of `cargo tree` with the depth in front of each.
    fn add_crates(&mut self, tree: &str) {
        let mut above: Vec<Reference> = Vec::new();
        for line in tree.lines() {
            let Some(part) = Crate::parse(line) else {
                continue;
            };
            let checksum = self.checksums.get(&(part.name.to_owned(), part.version.to_owned()));
            let reference = match checksum {
                Some(_) => purl("cargo", part.name, part.version),
                None => format!("{}@{}", part.name, part.version),
            };
            above.truncate(part.depth);
            if let Some(parent) = above.last() {
                self.depends_on.entry(parent.clone()).or_default().insert(reference.clone());
            }
            above.push(reference.clone());

            let mut component = component(&reference, part.name, part.version, part.license);
            if let Some(checksum) = checksum {
                component["purl"] = json!(reference);
                component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
            }
            if !part.repository.is_empty() {
                component["externalReferences"] =
                    json!([{ "type": "vcs", "url": part.repository }]);
            }
            self.components.insert(reference, component);
        }
    }

    /// Adds OpenSSL, which comes with a crate that only carries its sources, and std, musl and
    /// libgcc, which come with the toolchain.
    fn add_foreign(&mut self, root: &str, build_info: &str) {
        let openssl = self
            .checksums
            .keys()
            .find(|(name, _)| name == "openssl-src")
            .and_then(|(_, version)| version.split_once('+'))
            .map(|(_, version)| ("openssl", version.to_owned(), "Apache-2.0"));
        let of_toolchain = build_info.lines().filter_map(|line| {
            let (name, version) = line.split_once(' ')?;
            match name {
                "rust-std" => Some((name, version.to_owned(), "MIT OR Apache-2.0")),
                "musl" => Some((name, version.to_owned(), "MIT")),
                // with crtbegin.o and crtend.o, which are of the same package and licence
                "libgcc" => {
                    Some((name, version.to_owned(), "GPL-3.0-or-later WITH GCC-exception-3.1"))
                }
                _ => None,
            }
        });
        for (name, version, license) in openssl.into_iter().chain(of_toolchain) {
            let reference = purl("generic", name, &version);
            let mut component = component(&reference, name, &version, license);
            component["purl"] = json!(reference);
            let mut user = root.to_owned();
            if name == "openssl" {
                // the name under which its vulnerabilities are published
                component["cpe"] =
                    json!(format!("cpe:2.3:a:openssl:openssl:{version}:*:*:*:*:*:*:*"));
                user = self.crate_named("openssl-sys").unwrap_or(user);
            }
            self.depends_on.entry(user).or_default().insert(reference.clone());
            self.components.insert(reference, component);
        }
    }

    fn crate_named(&self, name: &str) -> Option<Reference> {
        let start = format!("pkg:cargo/{name}@");
        self.components.keys().find(|reference| reference.starts_with(&start)).cloned()
    }
}

fn component(reference: &str, name: &str, version: &str, license: &str) -> Value {
    json!({
        "type": "library",
        "bom-ref": reference,
        "name": name,
        "version": version,
        // some crates still write it the old way
        "licenses": [{ "expression": license.replace('/', " OR ") }],
    })
}

/// One line of `cargo tree`.
struct Crate<'a> {
    depth: usize,
    name: &'a str,
    version: &'a str,
    license: &'a str,
    repository: &'a str,
}

const TREE_FORMAT: &str = "\t{p}\t{l}\t{r}\t";

impl<'a> Crate<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split('\t');
        let depth = fields.next()?.parse().ok()?;
        let mut package = fields.next()?.split(' ');
        Some(Self {
            depth,
            name: package.next()?,
            version: package.next()?.strip_prefix('v')?,
            license: fields.next()?,
            repository: fields.next()?,
        })
    }
}

fn linked_crates(package: &str, architecture: &str) -> Result<String, Box<dyn Error>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "depth"])
        .args(["--package", package, "--format", TREE_FORMAT])
        .args(["--target", &format!("{architecture}-unknown-linux-musl")])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Name and version of each crate in `Cargo.lock` that comes from a registry, with the SHA-256 of its archive.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    lock.split("[[package]]")
        .filter_map(|package| {
            let field = |name: &str| {
                let line = package.lines().find_map(|line| line.strip_prefix(name))?;
                Some(line.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
            };
            Some(((field("name")?, field("version")?), field("checksum")?))
        })
        .collect()
}

fn purl(kind: &str, name: &str, version: &str) -> Reference {
    // of the characters in a version only this one has to be escaped
    format!("pkg:{kind}/{name}@{}", version.replace('+', "%2B"))
}

fn sha256(bytes: &[u8]) -> Value {
    json!({ "alg": "SHA-256", "content": format!("{:x}", Sha256::digest(bytes)) })
}

/// Time of the commit; `None` when that is unknown.
fn commit_time() -> Result<Option<String>, Box<dyn Error>> {
    match cli::say::version::BUILD_UNIX_TIME {
        0 => Ok(None),
        time => Ok(Some(OffsetDateTime::from_unix_timestamp(time)?.format(&Rfc3339)?)),
    }
}
