//! The command line of `deliver`.

use std::path::PathBuf;

use clap::Args;
use cli::ask::unlock::OpenArgs;

use super::PickArgs;

/// `deliver`.
#[derive(Debug, Args)]
pub struct DeliverArgs {
    /// The kit's folder
    #[arg(value_name = "KIT")]
    pub kit: PathBuf,
    /// What opens the bundles.
    #[command(flatten, next_help_heading = "What opens the bundles (none given: asked for)")]
    pub open: OpenArgs,
    /// Which bundles, and whose.
    #[command(flatten)]
    pub pick: PickArgs,
    /// How the devices are reached.
    #[command(flatten)]
    pub reach: ReachArgs,
    /// How it is done.
    #[command(flatten)]
    pub visits: VisitArgs,
}

/// How devices are reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "How the devices are reached")]
pub struct ReachArgs {
    /// Table of devices, as Cisco's devices.csv.
    ///
    /// Its columns: device_name,ipaddr,login,password[,via[,jump]]. Login (admin) and password
    /// (asked for) may be empty. Rows of other devices, such as the FMC's own, are left out.
    #[arg(long, value_name = "FILE")]
    pub inventory: Option<PathBuf>,
    /// Command that gives a terminal, in place of ssh.
    ///
    /// {login}, {address} and {jump} stand for the device's. No shell reads it.
    #[arg(long, value_name = "COMMAND")]
    pub via: Option<String>,
    /// Go through this host (ssh -J)
    #[arg(long, value_name = "HOST", conflicts_with = "via")]
    pub jump: Option<String>,
    /// Account on the devices
    #[arg(long, value_name = "NAME", default_value = LOGIN)]
    pub login: String,
    /// Read the account's password from a file
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// The account of a device that has no other.
const LOGIN: &str = "admin";

/// How visits are made.
#[derive(Debug, Args)]
#[command(next_help_heading = "How it is done")]
pub struct VisitArgs {
    /// Show who is visited how, and stop
    #[arg(long)]
    pub dry_run: bool,
    /// Run `status` there, install nothing
    #[arg(long, conflicts_with = "dry_run")]
    pub only_check: bool,
    /// Visit devices that are done, too
    #[arg(long)]
    pub again: bool,
    /// Do not ask whether to go on
    #[arg(long, short)]
    pub yes: bool,
    /// Number of devices at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
    /// How long one device may take
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(10..=86400))]
    pub time_limit: u64,
    /// Keep a transcript of each device there
    #[arg(long, value_name = "DIR")]
    pub transcripts: Option<PathBuf>,
}
