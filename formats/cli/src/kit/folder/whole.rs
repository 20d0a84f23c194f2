//! Check of a whole kit: every listed file against the signed index and `SHA256SUMS`, and the names
//! of files that are not listed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;

use formats::checksum::{HashingWriter, Sha256, Sums};
use formats::error::Reason;
use formats::kit::{self, BundleEntry};
use formats::limits::{self, LimitError};
use formats::text::printable_bytes;
use serde::Serialize;

use super::{COPY_AGAIN, COPY_AS_IT_IS, KitFolder, failure};
use crate::disk::root::{names_in, open_dir_at, open_file_at};
use crate::kit::not_a_kit;
use crate::say::failure::Failure;

/// Number of names that are shown; the others are counted.
const NAMED: usize = 20;

/// A kit all of whose files are as listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedFiles {
    /// Number of listed files.
    pub files: usize,
    /// Their total size in bytes.
    pub bytes: u64,
    /// True if the signed index covers the script and texts as well.
    pub texts_signed: bool,
    /// Names of files and folders that belong to no kit, escaped.
    pub not_listed: Vec<String>,
    /// Names of files that file systems and other machines leave behind, escaped.
    pub left_by_systems: Vec<String>,
}

impl CheckedFiles {
    /// Remarks for a person; empty when there is nothing to report.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if !self.texts_signed {
            remarks.push("install.sh and README.txt are not in the signed index of this kit, which is of an earlier version: they may have been changed".to_owned());
        }
        let (translations, strangers): (Vec<_>, Vec<_>) =
            self.not_listed.iter().cloned().partition(|name| is_called_a_translation(name));
        if !translations.is_empty() {
            let names = some(&translations);
            remarks.push(format!(
                "not the text of this release, and not signed: {names}: do what README.txt says"
            ));
        }
        if !strangers.is_empty() {
            let names = some(&strangers);
            remarks.push(format!("not part of this kit, do not run it: {names}"));
        }
        if !self.left_by_systems.is_empty() {
            remarks.push(format!("left by other systems: {}", some(&self.left_by_systems)));
        }
        remarks
    }
}

fn is_called_a_translation(name: &str) -> bool {
    kit::TRANSLATIONS.iter().any(|(file, _)| *file == name)
}

fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut text = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// Digest and size of a file in the kit.
type Hashed = Result<(Sha256, u64), LimitError>;

impl KitFolder {
    /// Compares every listed file of the kit with the index and `SHA256SUMS`, and collects the
    /// names of others.
    ///
    /// # Errors
    /// Returns one failure that names every file which is not as listed: `damaged`; `not-found`
    /// when files are missing and nothing else is wrong; `bad-format`, `too-large`.
    pub fn check_all(&self) -> Result<CheckedFiles, Failure> {
        let (checked, problems) = self.compare(&BTreeMap::new())?;
        together(problems, &checked.not_listed).map_or(Ok(checked), Err)
    }

    /// Like [`KitFolder::check_all`], but does not read the bundles `read_later`, which
    /// [`KitFolder::bundle`] will read, so that each file is read once. A failure there belongs
    /// into [`KitFolder::whole_failure`].
    ///
    /// # Errors
    /// Like [`KitFolder::check_all`], which then looks at the bundles as well.
    pub fn check_all_but(&self, read_later: &[BundleEntry]) -> Result<CheckedFiles, Failure> {
        let read_later = read_later.iter().map(|entry| (&*entry.file, entry)).collect();
        let (checked, problems) = self.compare(&read_later)?;
        if problems.is_empty() { Ok(checked) } else { self.check_all() }
    }

    /// Makes the failure of a kit one of whose bundles is not as listed. All files are read once
    /// more, to name each that is not.
    pub fn whole_failure(&self, met: Failure) -> Failure {
        self.check_all().err().unwrap_or(met)
    }

    fn compare(
        &self,
        read_later: &BTreeMap<&str, &BundleEntry>,
    ) -> Result<(CheckedFiles, Vec<Failure>), Failure> {
        let sums = self.sums()?;
        let mut listed: BTreeMap<&str, Vec<(Sha256, &str)>> = BTreeMap::new();
        for (digest, name) in sums.iter() {
            listed.entry(name).or_default().push((*digest, kit::SUMS));
        }
        let in_sums: BTreeSet<&str> = listed.keys().copied().collect();
        for (name, digest) in self.indexed() {
            listed.entry(name).or_default().push((digest, kit::INDEX));
        }
        let mut problems = Vec::new();
        let mut checked = CheckedFiles {
            files: 0,
            bytes: 0,
            texts_signed: !self.index.texts.is_empty(),
            not_listed: Vec::new(),
            left_by_systems: Vec::new(),
        };
        let mut renamed = Renamed::default();
        for (name, expected) in &listed {
            let found = match read_later.get(name) {
                Some(entry) => self
                    .find_below(name)
                    .map(|()| (entry.sha256, entry.size))
                    .map_err(LimitError::Io),
                None => self.hash(name),
            };
            let found = match found {
                Err(LimitError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                    renamed.find(self, name, expected).ok_or(LimitError::Io(error))
                }
                other => other,
            };
            checked.files += 1;
            match self.judge(name, expected, found) {
                Ok(_) if !in_sums.contains(name) => problems.push(self.not_summed(name)),
                Ok(size) => checked.bytes += size,
                Err(problem) => problems.push(problem),
            }
            // the unsigned list protects from accidents only
            let is_of_kit = |(digest, list): &(Sha256, &str)| {
                *list == kit::INDEX || kit::is_translation(name, digest)
            };
            let is_known = *name == kit::INDEX_SIGNATURE || expected.iter().any(is_of_kit);
            if checked.texts_signed && !is_known {
                checked.not_listed.push(printable_bytes(name.as_bytes()));
            }
        }
        for name in self.beside(&listed, &renamed) {
            let list = match not_a_kit::is_left_by_systems(&name) {
                true => &mut checked.left_by_systems,
                false => &mut checked.not_listed,
            };
            list.push(printable_bytes(name.as_encoded_bytes()));
        }
        Ok((checked, problems))
    }

    fn sums(&self) -> Result<Sums, Failure> {
        let bytes = open_file_at(&self.dir, OsStr::new(kit::SUMS))
            .map_err(LimitError::Io)
            .and_then(|file| limits::read_public(file, limits::KIT_SUMS))
            .map_err(|error| failure(&self.path, kit::SUMS, &error))?;
        if let Some(how) = not_a_kit::changed_as_text(&bytes) {
            let message = format!("{}: {} {how}", self.path.display(), kit::SUMS);
            return Err(Failure::refused(Reason::Damaged, message).hint(COPY_AS_IT_IS));
        }
        Sums::parse(&bytes)
            .map_err(|error| Failure::of(self.path.display(), &error).hint(COPY_AGAIN))
    }

    /// Returns the files that the signature covers.
    fn indexed(&self) -> impl Iterator<Item = (&str, Sha256)> {
        let index = &self.index;
        let bundles = index.bundles.iter().map(|entry| (entry.file.as_str(), entry.sha256));
        let installers = index.installers.iter().map(|entry| (entry.file.as_str(), entry.sha256));
        let texts = index.texts.iter().map(|entry| (entry.file.as_str(), entry.sha256));
        bundles.chain(installers).chain(texts).chain([(kit::INDEX, self.index_sha256)])
    }

    fn judge(
        &self,
        name: &str,
        expected: &[(Sha256, &str)],
        found: Hashed,
    ) -> Result<u64, Failure> {
        let (found, size) = found.map_err(|error| failure(&self.path, name, &error))?;
        // the signed list, which comes last, is the one to be named
        let Some((digest, list)) = expected.iter().rev().find(|(digest, _)| *digest != found)
        else {
            return Ok(size);
        };
        let failure = self.damaged(name, list);
        match self.was_text(name, digest) {
            true => Err(failure
                .map_message(|message| format!("{message}, as its line ends were changed"))
                .hint(COPY_AS_IT_IS)),
            false => Err(failure),
        }
    }

    /// Returns true if a transfer in text mode explains a file, which is read once more, for the
    /// message only.
    fn was_text(&self, name: &str, expected: &Sha256) -> bool {
        let bytes = self.open_below(name).map_err(LimitError::Io);
        let bytes = bytes.and_then(|file| limits::read_public(file, limits::BUNDLE));
        bytes.is_ok_and(|bytes| {
            Sha256::of(&not_a_kit::without_carriage_returns(&bytes)) == *expected
        })
    }

    fn hash(&self, name: &str) -> Hashed {
        let limit = if name.starts_with(kit::BIN) { limits::INSTALLER } else { limits::KIT_INDEX };
        hashed(self.open_below(name)?, limit)
    }

    /// Collects the names in the kit that no list has, as paths in it; a folder counts once.
    fn beside(
        &self,
        listed: &BTreeMap<&str, Vec<(Sha256, &str)>>,
        renamed: &Renamed,
    ) -> Vec<OsString> {
        let own = [kit::SUMS, kit::INDEX, kit::INDEX_SIGNATURE];
        let mut strangers = Vec::new();
        for name in names_in(&self.dir).unwrap_or_default() {
            if own.iter().any(|own| name == *own) {
                continue;
            }
            let folders = [kit::BUNDLES, kit::BIN, kit::RECEIPTS];
            let is_folder = folders.iter().any(|folder| name == *folder);
            match open_dir_at(&self.dir, &name) {
                Ok(folder) if is_folder => {
                    for inside in names_in(&folder).unwrap_or_default() {
                        let path = in_folder(&name, &inside);
                        let is_listed = path.to_str().is_some_and(|path| listed.contains_key(path));
                        let is_receipt = name == kit::RECEIPTS && is_called_a_receipt(&inside);
                        if !is_listed && !is_receipt && !renamed.taken.contains(&inside) {
                            strangers.push(path);
                        }
                    }
                }
                Ok(_) => strangers.push(in_folder(&name, OsStr::new(""))),
                Err(_) if name.to_str().is_some_and(|name| listed.contains_key(name)) => {}
                Err(_) => strangers.push(name),
            }
        }
        strangers
    }
}

/// Returns true if a name is one that devices give to receipts, which are in no list.
pub fn is_called_a_receipt(name: &OsStr) -> bool {
    // in capitals and short as on old file systems, or saved anew as text
    let name = name.to_string_lossy().to_ascii_lowercase();
    name.starts_with("receipt_") && (name.ends_with(".json") || name.ends_with(".txt"))
        || name.starts_with("receip~") && name.ends_with(".jso")
}

fn in_folder(folder: &OsStr, name: &OsStr) -> OsString {
    let mut path = folder.to_owned();
    path.push("/");
    path.push(name);
    path
}

/// Bundles whose names were changed on the way, found by their content.
#[derive(Default)]
struct Renamed {
    by_digest: Option<BTreeMap<Sha256, (OsString, u64)>>,
    taken: BTreeSet<OsString>,
}

impl Renamed {
    fn find(
        &mut self,
        kit: &KitFolder,
        name: &str,
        expected: &[(Sha256, &str)],
    ) -> Option<(Sha256, u64)> {
        name.strip_prefix(kit::BUNDLES)?.strip_prefix('/')?;
        let (digest, _) = expected.last()?;
        let all = self.by_digest.get_or_insert_with(|| all_bundles(kit).unwrap_or_default());
        let (name, size) = all.get(digest)?;
        self.taken.insert(name.clone());
        Some((*digest, *size))
    }
}

fn all_bundles(kit: &KitFolder) -> Option<BTreeMap<Sha256, (OsString, u64)>> {
    let folder = open_dir_at(&kit.dir, OsStr::new(kit::BUNDLES)).ok()?;
    let one = |name: OsString| {
        let file = open_file_at(&folder, &name).ok()?;
        let (digest, size) = hashed(file, limits::BUNDLE).ok()?;
        Some((digest, (name, size)))
    };
    Some(names_in(&folder).ok()?.into_iter().filter_map(one).collect())
}

fn hashed(file: std::fs::File, limit: u64) -> Hashed {
    let mut hashing = HashingWriter::new(io::sink());
    let size = io::copy(&mut io::Read::take(file, limit + 1), &mut hashing)?;
    if size > limit {
        return Err(LimitError::TooLarge { limit });
    }
    let (_, digest, size) = hashing.finish();
    Ok((digest, size))
}

/// Combines failures into one, whose reason is `damaged` as soon as one is.
fn together(mut problems: Vec<Failure>, strangers: &[String]) -> Option<Failure> {
    let is_damaged = |problem: &Failure| problem.reason() == Some(Reason::Damaged);
    let first = problems.iter().position(is_damaged).unwrap_or(0);
    if problems.is_empty() {
        return None;
    }
    let first = problems.remove(first);
    let more = problems.len().saturating_sub(NAMED);
    let mut message = first.message().to_owned();
    for problem in problems.iter().take(NAMED) {
        message.push_str(&format!("\n{}", problem.message()));
    }
    if more > 0 {
        message.push_str(&format!("\nand {more} more files"));
    }
    if !strangers.is_empty() {
        message.push_str(&format!("\nnot of this kit: {}", some(strangers)));
    }
    Some(first.map_message(|_| message))
}
