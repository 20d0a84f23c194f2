//! A terminal on a lab device: Debian's sshd on loopback, an account with the FTD's CLI, sudo, and
//! root's shell in the device's tree (`fixtures/lab/way-in/enter.sh`).

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lab::Device;

use crate::{World, tool, wait_until};

/// Password of the account `admin`.
pub const PASSWORD: &str = "Admin123!";

/// A device that lets people in. Ends with its sshd, also when a test fails.
#[derive(Debug)]
pub struct WayIn {
    sshd: Child,
    /// Port on 127.0.0.1.
    pub port: u16,
    folder: PathBuf,
}

impl WayIn {
    /// Opens a way in to a device, with a fault of `enter.sh`, or `none`.
    pub fn open(world: &World, device: &Device, fault: &str) -> Self {
        tool("ssh", "openssh-client");
        tool("sudo", "sudo");
        let port = free_port();
        let folder = world.path(format!("way-in-{port}"));
        fs::create_dir(&folder).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "--", "sh"]).arg(script("enter.sh"));
        command.arg(&device.root).arg(port.to_string()).arg(&folder).arg(fault);
        let log = fs::File::create(world.path(format!("way-in-{port}.log"))).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let sshd = command.spawn().expect("unshare of util-linux");
        let way_in = Self { sshd, port, folder };
        wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        way_in
    }

    /// The line of known_hosts.
    pub fn known_host(&self) -> String {
        let key = fs::read_to_string(self.folder.with_extension("key.pub")).unwrap();
        format!("[127.0.0.1]:{} {key}", self.port)
    }

    /// The private key that its account takes in place of a password.
    pub fn client_key(&self) -> PathBuf {
        self.folder.with_extension("client")
    }

    /// A file of the far side's own root, such as a shell's history.
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(format!("/proc/{}/root/{path}", self.sshd.id())).ok()
    }
}

impl Drop for WayIn {
    fn drop(&mut self) {
        // ended already, or ends now; its sessions have ended with their clients
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

/// Path of a script of the way in.
pub fn script(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/lab/way-in");
    fs::canonicalize(folder.join(name)).unwrap()
}

/// A port on which nothing listens.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
