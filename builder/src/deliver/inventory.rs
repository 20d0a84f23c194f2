//! The table of devices: Cisco's `#device_name,ipaddr,login,password`, and two columns of ours.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cli::disk::input;
use cli::say::failure::Failure;
use formats::csv::{self, Row};
use formats::error::Reason;
use formats::kit::BundleEntry;
use formats::limits;
use formats::text::named;
use zeroize::Zeroizing;

/// Bytes of a table.
const LIMIT: u64 = limits::FAILED_PUSH;

/// A row: how one device is reached.
#[derive(Debug, Default)]
pub(crate) struct InventoryRow {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) login: Option<String>,
    pub(crate) password: Option<Zeroizing<String>>,
    pub(crate) via: Option<String>,
    pub(crate) jump: Option<String>,
}

/// The rows of a table.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    rows: Vec<InventoryRow>,
}

impl Inventory {
    /// Reads a table. One with passwords must be its owner's alone.
    ///
    /// # Errors
    /// Returns `bad-format` with the line, or `untrusted-source` for a table that others can read.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let bytes = input::read_secret(path, LIMIT)?;
        let text = input::decode(path.display(), &bytes)?;
        let is_right = |cells: &[String]| (2..=6).contains(&cells.len());
        let rows: Vec<Row> = csv::rows(&text, is_right);
        let mut inventory = Self::default();
        for row in rows {
            let line = row.line;
            let parsed = one(row).ok_or_else(|| {
                let message = format!(
                    "{}, line {line}: expected device_name,ipaddr[,login[,password[,via[,jump]]]]",
                    path.display()
                );
                Failure::refused(Reason::BadFormat, message)
                    .hint("mend the line; Cisco's own devices.csv has this form")
            })?;
            inventory.rows.push(parsed);
        }
        if inventory.rows.iter().any(|row| row.password.is_some()) {
            require_private(path)?;
        }
        Ok(inventory)
    }

    /// The row of a device: by its name, its UUID or its address.
    pub(crate) fn row(&self, entry: &BundleEntry, address: &str) -> Option<&InventoryRow> {
        self.rows.iter().find(|row| row.is_of(entry, address))
    }

    /// The names of rows that no device of the kit has: the manager's own, or of other kits.
    pub(crate) fn others(&self, mut is_known: impl FnMut(&InventoryRow) -> bool) -> Vec<String> {
        let others = self.rows.iter().filter(|row| !is_known(row));
        others.map(|row| named(&row.name, 40)).collect()
    }
}

impl InventoryRow {
    /// Returns true for the row of this device.
    pub(crate) fn is_of(&self, entry: &BundleEntry, address: &str) -> bool {
        self.name == entry.device.name.as_str()
            || self.name.eq_ignore_ascii_case(&entry.device.uuid.to_string())
            || self.address == address
    }
}

fn one(row: Row) -> Option<InventoryRow> {
    let mut cells = row.cells.into_iter();
    let filled = |cell: Option<String>| cell.filter(|cell| !cell.is_empty());
    let (name, address) = (filled(cells.next())?, filled(cells.next())?);
    let row = InventoryRow {
        name,
        address,
        login: filled(cells.next()),
        password: filled(cells.next()).map(Zeroizing::new),
        via: filled(cells.next()),
        jump: filled(cells.next()),
    };
    let is_word = |text: &str| !text.starts_with('-') && text.chars().all(|c| c.is_ascii_graphic());
    (is_word(&row.address) && row.login.as_deref().is_none_or(is_word) && cells.next().is_none())
        .then_some(row)
}

fn require_private(path: &Path) -> Result<(), Failure> {
    let mode = File::open(path).and_then(|file| file.metadata()).map(|data| data.mode());
    match mode {
        Ok(mode) if mode & 0o077 == 0 => Ok(()),
        Ok(mode) => {
            let message = format!(
                "{} holds passwords, and others can read it (mode {:03o})",
                path.display(),
                mode & 0o777
            );
            Err(Failure::refused(Reason::UntrustedSource, message)
                .hint("`chmod 600` it, or leave the password column empty: it is asked for then"))
        }
        Err(error) => Err(Failure::io(path.display(), &error)),
    }
}
