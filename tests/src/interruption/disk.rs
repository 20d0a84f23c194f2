//! States of the disk that a power cut may leave of a run, after ALICE (Pillai et al., OSDI '14)
//! and CrashMonkey (Mohan et al., OSDI '18).
//!
//! The calls of a real run become operations on numbered inodes. Cut off after each of them, some
//! are durable, the others are *pending*, and what the disk then holds is a choice of those:
//!
//! | model | names, modes, owners | unsynced content |
//! |---|---|---|
//! | ext4, `data=ordered`, `noauto_da_alloc` | in order; any fsync makes all before it durable | none, half, all |
//! | xfs | in order; an fsync makes durable what came before the last change of *that* inode | none, zeros, half, all |
//! | weakest POSIX | any subset; only an fsync of the directory makes its names durable, a rename may leave both names | none, zeros, half, all |
//!
//! Common to all: what was fsynced is there, and a rename never leaves its target absent
//! (PROTOCOL.md, "Limits of the promises").

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::trace::{Call, Trace, bytes, descriptor, quoted};
use super::tree::{Node, Tree};

/// Model of a file system's promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// ext4 with `data=ordered`, without the help of `auto_da_alloc`.
    Ext4,
    /// xfs, which may leave zeros in unsynced content.
    Xfs,
    /// The promises of POSIX alone, with an atomic rename.
    Weakest,
}

/// A number for each file and folder, whatever it is called.
type Inode = usize;

/// One change, or one sync.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Op {
    Make { dir: Inode, name: String, inode: Inode },
    Write { inode: Inode, bytes: Vec<u8> },
    Rename { dir: Inode, from: String, to: String, inode: Inode },
    Remove { dir: Inode, name: String },
    Mode { inode: Inode, mode: u32 },
    Owner { inode: Inode, owner: (u32, u32) },
    Sync { inode: Inode },
}

#[derive(Debug, Clone)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    File(Vec<u8>),
    Folder(BTreeMap<String, Inode>),
}

#[derive(Debug, Clone)]
struct Disk(Vec<Entry>);

/// Part of a pending op that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    None,
    Zeros,
    Half,
    All,
    /// Both names of a rename.
    Both,
}

/// The calls of one run, as changes of a disk.
#[derive(Debug)]
pub struct Recording {
    start: Disk,
    ops: Vec<Op>,
    /// Number of these that belong to earlier runs.
    earlier: usize,
}

/// A state that a power cut may leave.
#[derive(Debug)]
pub struct State {
    /// Content of the disk.
    pub tree: Tree,
    /// True if the run had ended, so that nothing of it may be lost.
    pub ended: bool,
}

/// Most choices to enumerate at a crash point; of more, this number is drawn at random.
const MOST: usize = 20_000;
const ROOT: Inode = 0;

impl Recording {
    /// Makes a recording of a run and of killed ones before it. `start` is durable; the effects of
    /// the killed ones are not until something has synced them. Paths are below `stand`.
    pub fn new(start: &Tree, killed: &[Trace], run: &Trace, stand: &Path) -> Self {
        let mut start = Disk::of(start);
        // folders that are there, whatever the run does
        for outside in ["box/var/sf", "kit-0", "kit-1"] {
            start.folder(Path::new(outside));
        }
        let (mut now, mut ops, mut earlier) = (start.clone(), Vec::new(), 0);
        for trace in killed.iter().chain([run]) {
            earlier = ops.len();
            for call in
                trace.all.iter().filter(|call| call.returned.is_some_and(|value| value >= 0))
            {
                if let Some(op) = now.op_of(call, stand) {
                    // what the run makes is there from the beginning, without a name
                    start.0.extend_from_slice(&now.0[start.0.len()..]);
                    now.apply(&op, Kept::All);
                    ops.push(op);
                }
            }
        }
        Self { start, ops, earlier }
    }

    /// State of the disk when nothing is lost, which tests this model itself.
    pub fn end(&self) -> Tree {
        let mut disk = self.start.clone();
        self.ops.iter().for_each(|op| disk.apply(op, Kept::All));
        disk.tree()
    }

    /// Number of changes and syncs.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Returns true if there are no changes and syncs.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Every different state that a power cut during the run, or after it, may leave, and how many
    /// choices led to them.
    pub fn states(&self, model: Model) -> (Vec<State>, usize) {
        let mut found: HashMap<[u8; 32], State> = HashMap::new();
        let mut tried = 0;
        for cut in self.earlier..=self.ops.len() {
            let choices = self.choices(model, cut);
            let count = choices.iter().map(Vec::len).fold(1usize, usize::saturating_mul);
            let mut draw = Draw(cut as u64);
            for number in 0..count.min(MOST) {
                let pick = |index: usize, rest: &mut usize| {
                    let options = &choices[index];
                    if count > MOST {
                        return options[draw.next() % options.len()];
                    }
                    let option = options[*rest % options.len()];
                    *rest /= options.len();
                    option
                };
                let tree = self.after(cut, model, number, pick);
                tried += 1;
                let state = found.entry(tree.digest()).or_insert(State { tree, ended: false });
                state.ended |= cut == self.ops.len();
            }
        }
        let mut states: Vec<_> = found.into_iter().collect();
        states.sort_by_key(|(digest, _)| *digest);
        (states.into_iter().map(|(_, state)| state).collect(), tried)
    }

    fn after(
        &self,
        cut: usize,
        model: Model,
        number: usize,
        mut pick: impl FnMut(usize, &mut usize) -> Kept,
    ) -> Tree {
        let (mut disk, mut rest, mut lost) = (self.start.clone(), number, false);
        for (index, op) in self.ops[..cut].iter().enumerate() {
            let kept = pick(index, &mut rest);
            let in_order = model != Model::Weakest && !matches!(op, Op::Write { .. });
            // where the order is kept, the first that is lost takes all later ones with it
            lost |= in_order && kept == Kept::None;
            if !(in_order && lost) {
                disk.apply(op, kept);
            }
        }
        disk.tree()
    }

    /// Lists the possible fates of each op before the cut.
    fn choices(&self, model: Model, cut: usize) -> Vec<Vec<Kept>> {
        let safe_until = self.safe_until(model, cut);
        let of = |(index, op): (usize, &Op)| {
            let synced = |inode: Inode| self.ops[index..cut].contains(&Op::Sync { inode });
            let is_durable = match op {
                Op::Sync { .. } => true,
                Op::Write { inode, .. } => synced(*inode),
                _ if model != Model::Weakest => index < safe_until,
                Op::Make { dir, .. } | Op::Rename { dir, .. } | Op::Remove { dir, .. } => {
                    synced(*dir)
                }
                Op::Mode { inode, .. } | Op::Owner { inode, .. } => synced(*inode),
            };
            match op {
                _ if is_durable => vec![Kept::All],
                // room without content
                Op::Write { bytes, .. } if bytes.iter().all(|byte| *byte == 0) => {
                    vec![Kept::None, Kept::All]
                }
                Op::Write { .. } if model == Model::Ext4 => vec![Kept::None, Kept::Half, Kept::All],
                Op::Write { .. } => vec![Kept::None, Kept::Zeros, Kept::Half, Kept::All],
                Op::Rename { .. } if model == Model::Weakest => {
                    vec![Kept::None, Kept::Both, Kept::All]
                }
                _ => vec![Kept::None, Kept::All],
            }
        };
        self.ops[..cut].iter().enumerate().map(of).collect()
    }

    /// Index of the first op that may be lost, in models where names keep their order.
    fn safe_until(&self, model: Model, cut: usize) -> usize {
        let syncs = self.ops[..cut].iter().enumerate().filter_map(|(at, op)| match op {
            Op::Sync { inode } => Some((at, *inode)),
            _ => None,
        });
        let until = syncs.map(|(at, inode)| match model {
            Model::Ext4 => at,
            _ => self.ops[..at].iter().rposition(|op| op.touches(inode)).map_or(0, |last| last + 1),
        });
        until.max().unwrap_or(0)
    }
}

impl Op {
    fn touches(&self, this: Inode) -> bool {
        match self {
            Self::Make { dir, inode, .. } | Self::Rename { dir, inode, .. } => {
                *dir == this || *inode == this
            }
            Self::Remove { dir, .. } => *dir == this,
            Self::Write { inode, .. } | Self::Mode { inode, .. } | Self::Owner { inode, .. } => {
                *inode == this
            }
            Self::Sync { .. } => false,
        }
    }
}

/// Numbers without a pattern, the same in every run.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }
}

impl Disk {
    fn of(tree: &Tree) -> Self {
        let folder = || Content::Folder(BTreeMap::new());
        let mut disk = Self(vec![Entry { mode: 0o755, owner: (0, 0), content: folder() }]);
        for (path, node) in &tree.0 {
            let parent = disk.folder(path.parent().unwrap_or(Path::new("")));
            let content = node.bytes.clone().map_or_else(folder, Content::File);
            let inode = disk.add(Entry { mode: node.mode, owner: node.owner, content });
            disk.names(parent).insert(name_of(path), inode);
        }
        disk
    }

    /// Finds a folder, or makes one that the tree does not hold and the run does not touch.
    fn folder(&mut self, path: &Path) -> Inode {
        let mut here = ROOT;
        for part in path.iter().map(|part| part.to_string_lossy().into_owned()) {
            here = match self.names(here).get(&part) {
                Some(inode) => *inode,
                None => {
                    let content = Content::Folder(BTreeMap::new());
                    let inode = self.add(Entry { mode: OUTSIDE, owner: (0, 0), content });
                    self.names(here).insert(part, inode);
                    inode
                }
            };
        }
        here
    }

    fn add(&mut self, entry: Entry) -> Inode {
        self.0.push(entry);
        self.0.len() - 1
    }

    fn names(&mut self, dir: Inode) -> &mut BTreeMap<String, Inode> {
        match &mut self.0[dir].content {
            Content::Folder(names) => names,
            Content::File(_) => panic!("a file is taken for a folder"),
        }
    }

    fn find(&mut self, path: &Path) -> Option<Inode> {
        let dir = self.folder(path.parent()?);
        self.names(dir).get(&name_of(path)).copied()
    }

    /// Converts a successful call into the change that it makes; new inodes are added.
    fn op_of(&mut self, call: &Call, stand: &Path) -> Option<Op> {
        let below = |path: String| Path::new(&path).strip_prefix(stand).ok().map(PathBuf::from);
        let fd = |arg: &String| below(descriptor(arg)?.1);
        let arg = |index: usize| call.args.get(index);
        let dir = fd(arg(0)?)?;
        let number = |index: usize| u32::from_str_radix(arg(index)?, 8).ok();
        let decimal = |index: usize| arg(index)?.parse().ok();
        match call.name.as_str() {
            "mkdirat" | "openat" => {
                let is_folder = call.name == "mkdirat";
                let name = quoted(arg(1)?)?;
                if !is_folder && !arg(2)?.contains("O_CREAT") {
                    return None;
                }
                if self.find(&dir.join(&name)).is_some() {
                    assert!(!arg(2)?.contains("O_TRUNC"), "not modelled: {call:?}");
                    return None;
                }
                let content = if is_folder {
                    Content::Folder(BTreeMap::new())
                } else {
                    Content::File(Vec::new())
                };
                let mode = number(if is_folder { 2 } else { 3 })?;
                let inode = self.add(Entry { mode, owner: (0, 0), content });
                Some(Op::Make { dir: self.folder(&dir), name, inode })
            }
            "write" => {
                let bytes = bytes(arg(1)?).expect("all of the bytes");
                assert_eq!(
                    call.returned,
                    i64::try_from(bytes.len()).ok(),
                    "not modelled: {call:?}"
                );
                Some(Op::Write { inode: self.find(&dir)?, bytes })
            }
            "fallocate" => {
                let bytes = vec![0; decimal(3)? as usize];
                Some(Op::Write { inode: self.find(&dir)?, bytes })
            }
            "fsync" | "fdatasync" => {
                let inode = self.find(&dir).unwrap_or_else(|| self.folder(&dir));
                Some(Op::Sync { inode })
            }
            "renameat" => {
                let (from, to) = (quoted(arg(1)?)?, quoted(arg(3)?)?);
                assert_eq!(fd(arg(2)?), Some(dir.clone()), "not modelled: {call:?}");
                let inode = self.find(&dir.join(&from))?;
                Some(Op::Rename { dir: self.folder(&dir), from, to, inode })
            }
            "unlinkat" => Some(Op::Remove { dir: self.folder(&dir), name: quoted(arg(1)?)? }),
            "fchmod" => Some(Op::Mode { inode: self.find(&dir)?, mode: number(1)? }),
            "fchown" => {
                Some(Op::Owner { inode: self.find(&dir)?, owner: (decimal(1)?, decimal(2)?) })
            }
            "openat2" => {
                assert!(!arg(2)?.contains("O_CREAT"), "not modelled: {call:?}");
                None
            }
            "flock" | "close" => None,
            // as `Stand::capture` says
            "pwrite64" if fd(arg(0)?)?.ends_with("lock") => None,
            _ => panic!("not modelled: {call:?}"),
        }
    }

    fn apply(&mut self, op: &Op, kept: Kept) {
        if kept == Kept::None {
            return;
        }
        match op {
            Op::Sync { .. } => {}
            Op::Make { dir, name, inode } => {
                // an inode that the recording made is added to every replay
                self.names(*dir).insert(name.clone(), *inode);
            }
            Op::Write { inode, bytes } => {
                if let Content::File(content) = &mut self.0[*inode].content {
                    match kept {
                        Kept::Zeros => content.extend(std::iter::repeat_n(0, bytes.len())),
                        Kept::Half => content.extend(&bytes[..bytes.len() / 2]),
                        _ => content.extend(bytes),
                    }
                }
            }
            Op::Rename { dir, from, to, inode } => {
                let names = self.names(*dir);
                if kept != Kept::Both && names.get(from) == Some(inode) {
                    names.remove(from);
                }
                names.insert(to.clone(), *inode);
            }
            Op::Remove { dir, name } => {
                self.names(*dir).remove(name);
            }
            Op::Mode { inode, mode } => self.0[*inode].mode = *mode,
            Op::Owner { inode, owner } => self.0[*inode].owner = *owner,
        }
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        self.collect(ROOT, Path::new(""), &mut tree);
        tree
    }

    fn collect(&self, dir: Inode, path: &Path, tree: &mut Tree) {
        let Content::Folder(names) = &self.0[dir].content else { return };
        for (name, inode) in names {
            let (path, entry) = (path.join(name), &self.0[*inode]);
            let bytes = match &entry.content {
                Content::File(bytes) => Some(bytes.clone()),
                Content::Folder(_) => None,
            };
            if entry.mode != OUTSIDE {
                let node = Node { mode: entry.mode, owner: entry.owner, bytes };
                tree.0.insert(path.clone(), node);
            }
            self.collect(*inode, &path, tree);
        }
    }
}

/// Placeholder for the mode of folders that exist before and after.
const OUTSIDE: u32 = u32::MAX;

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
