//! Traces of `strace`: the calls that change files, in order and by occurrence.

use std::collections::BTreeMap;
use std::path::Path;

/// Every call that changes files, or makes a change durable, on either architecture; a `?`
/// is for those that this one does not have. The last three begin a program.
pub const CALLS: &str = "?open,?creat,openat,?openat2,write,writev,pwrite64,pwritev,?pwritev2,\
ftruncate,?truncate,fallocate,?sendfile,copy_file_range,fsync,fdatasync,sync_file_range,?rename,\
renameat,?renameat2,?unlink,unlinkat,?rmdir,?mkdir,mkdirat,?link,linkat,?symlink,symlinkat,\
?mknod,mknodat,fchmod,?chmod,fchmodat,fchown,?chown,?lchown,fchownat,fsetxattr,fremovexattr,\
setxattr,lsetxattr,removexattr,lremovexattr,?utime,utimensat,flock,close,clone,?clone3,?vfork";
/// Those that make durable, or keep others out, and change nothing that can be seen.
const NO_CHANGE: [&str; 4] = ["fsync", "fdatasync", "sync_file_range", "flock"];
const PROGRAM_BEGINS: [&str; 3] = ["clone", "clone3", "vfork"];

/// A traced call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Name of the call.
    pub name: String,
    /// Number of this call among those of its name in this run, counted from 1.
    pub nth: usize,
    /// Its arguments, as `strace -y` words them.
    pub args: Vec<String>,
    /// Returned value; `None` if it did not return.
    pub returned: Option<i64>,
    /// True if the fault was injected here.
    pub injected: bool,
}

/// The trace of one run.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// All calls of [`CALLS`].
    pub all: Vec<Call>,
    /// True if the run ended with the kill.
    pub killed: bool,
    /// The signals that it was sent, without their SIG.
    pub signals: Vec<String>,
}

/// A call at which a run can be interrupted.
#[derive(Debug, Clone)]
pub struct Step {
    /// Call to interrupt.
    pub call: Call,
    /// The traced call before it.
    pub before: Option<Call>,
    /// True if anything on the box has changed since the step before: a file was changed, or a
    /// program was started.
    pub is_new_state: bool,
}

impl Trace {
    /// Reads the output of `strace -y` without `-f`.
    pub fn parse(text: &str) -> Self {
        let mut trace = Self::default();
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for line in text.lines() {
            trace.killed |= line.starts_with("+++ killed by SIGKILL");
            if let Some((name, _)) =
                line.strip_prefix("--- SIG").and_then(|rest| rest.split_once(' '))
            {
                trace.signals.push(name.to_owned());
            }
            let Some((name, rest)) = line.split_once('(') else { continue };
            if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            let (args, returned) = rest.rsplit_once(") = ").unwrap_or((rest, "?"));
            let nth = seen.entry(name.to_owned()).or_default();
            *nth += 1;
            let number = returned.split([' ', '<']).next().unwrap_or_default();
            trace.all.push(Call {
                name: name.to_owned(),
                nth: *nth,
                args: split(args),
                returned: number.parse().ok(),
                injected: returned.contains("(INJECTED"),
            });
        }
        trace
    }

    /// The calls that change something below one of these folders.
    pub fn steps(&self, below: &Path) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut is_new_state = true;
        for (index, call) in self.all.iter().enumerate() {
            if call.changes(below) {
                let before = index.checked_sub(1).map(|index| self.all[index].clone());
                steps.push(Step { call: call.clone(), before, is_new_state });
                is_new_state = false;
            }
            let alters = call.changes(below) && !NO_CHANGE.contains(&call.name.as_str());
            let begins = PROGRAM_BEGINS.contains(&call.name.as_str());
            is_new_state |= (alters || begins) && call.returned.is_some_and(|value| value >= 0);
        }
        steps
    }

    /// Finds the call of the fault: into which it was injected, or at which the run was killed.
    pub fn hit(&self) -> Option<&Call> {
        let injected = self.all.iter().find(|call| call.injected);
        injected.or_else(|| self.all.last().filter(|_| self.killed))
    }
}

impl Step {
    /// The same on another stand.
    #[must_use]
    pub fn rebased(&self, stand: &Path) -> Self {
        let mut step = self.clone();
        let here = format!("{}/", stand.display());
        let folder = stand.parent().map_or_else(String::new, |path| path.display().to_string());
        let moved = |arg: &String| match arg.split_once(&format!("{folder}/stand-")) {
            Some((head, tail)) => {
                format!("{head}{here}{}", tail.split_once('/').map_or("", |(_, rest)| rest))
            }
            None => arg.clone(),
        };
        step.call.args = step.call.args.iter().map(moved).collect();
        step
    }
}

impl Call {
    fn changes(&self, below: &Path) -> bool {
        let inside = self.args.iter().take(2).any(|arg| {
            let path = descriptor(arg).map(|(_, path)| path).or_else(|| quoted(arg));
            path.is_some_and(|path| Path::new(&path).starts_with(below))
        });
        match self.name.as_str() {
            "open" | "openat" | "openat2" | "creat" => {
                let makes = |arg: &String| arg.contains("O_CREAT") || arg.contains("O_TRUNC");
                inside && (self.name == "creat" || self.args.iter().any(makes))
            }
            "close" => false,
            name => inside && !PROGRAM_BEGINS.contains(&name),
        }
    }

    /// Name and place, without what differs from run to run.
    pub fn shape(&self) -> String {
        let place = |arg: &String| descriptor(arg).map(|(_, path)| path).or_else(|| quoted(arg));
        let places: Vec<_> = self.args.iter().take(4).filter_map(place).collect();
        let text = match self.name.as_str() {
            "write" | "pwrite64" => places.first().cloned().unwrap_or_default(),
            _ => places.join(" "),
        };
        let digits = |c: char| if c.is_ascii_digit() { '#' } else { c };
        format!("{} {}", self.name, text.chars().map(digits).collect::<String>())
    }

    /// Short, for a report: what it is called and what it is about.
    pub fn shown(&self) -> String {
        let shape = self.shape();
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let words: Vec<_> = shape.split(' ').skip(1).map(last).collect();
        format!("{} {} ({})", self.name, self.nth, words.join(" "))
    }
}

/// `11</var/sf/x>`: number and path.
pub fn descriptor(arg: &str) -> Option<(&str, String)> {
    let (number, path) = arg.strip_suffix('>')?.split_once('<')?;
    Some((number, path.to_owned()))
}

/// The text between quotes.
pub fn quoted(arg: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&bytes(arg)?).into_owned())
}

/// The bytes between quotes, as C writes them; `None` when they were cut.
pub fn bytes(arg: &str) -> Option<Vec<u8>> {
    let inner = arg.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let (mut bytes, mut at) = (Vec::new(), 0);
    while at < inner.len() {
        let (byte, length) = match (inner[at], inner.get(at + 1)) {
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'0'..=b'7')) => {
                let digits = inner[at + 1..].iter().take(3);
                let digits: Vec<_> =
                    digits.take_while(|byte| (b'0'..=b'7').contains(byte)).collect();
                let value =
                    digits.iter().fold(0u32, |sum, byte| sum * 8 + u32::from(**byte - b'0'));
                (u8::try_from(value).ok()?, 1 + digits.len())
            }
            (b'\\', Some(other)) => (*other, 2),
            (byte, _) => (byte, 1),
        };
        bytes.push(byte);
        at += length;
    }
    Some(bytes)
}

fn split(args: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut in_quotes, mut escaped, mut depth) = (false, false, 0);
    for c in args.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            '{' | '[' | '<' if !in_quotes => depth += 1,
            '}' | ']' | '>' if !in_quotes => depth -= 1,
            ',' if !in_quotes && depth == 0 => {
                words.push(word.trim().to_owned());
                word.clear();
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    words.push(word.trim().to_owned());
    words
}
