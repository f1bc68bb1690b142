//! What is on the disk in memory, in two versions: what everybody sees, and what would survive.

use super::super::{Cause, FileKind, Metadata};
use super::bytes::Bytes;
use super::names::Dir;
use crate::seam::SeededRandom;
use std::collections::BTreeMap;

/// Files and directories by number.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) capacity: u64,
    nodes: BTreeMap<u64, Node>,
    next_inode: u64,
    used: u64,
    /// Grows with every change, so that no two changes have the same time.
    now: i64,
}

/// One file or directory. Gone when no link, durable link or handle is left.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) content: Content,
    pub(super) mode: u32,
    pub(super) handles: u64,
    pub(super) links: u64,
    pub(super) durable_links: u64,
    /// Bytes of the capacity it takes.
    charged: u64,
    mtime: i64,
    ctime: i64,
}

#[derive(Debug)]
pub(super) enum Content {
    File(Bytes),
    Dir(Dir),
    Other(FileKind),
}

impl Disk {
    pub(super) fn new(capacity: u64) -> Self {
        let mut disk = Self { capacity, nodes: BTreeMap::new(), next_inode: ROOT, used: 0, now: 0 };
        let root = disk.add(Content::Dir(Dir::default()), 0o755);
        let root = disk.node_mut(root);
        (root.links, root.durable_links) = (1, 1);
        disk
    }

    pub(super) fn node(&self, inode: u64) -> &Node {
        self.nodes.get(&inode).expect("links and handles lead to nodes")
    }

    pub(super) fn node_mut(&mut self, inode: u64) -> &mut Node {
        self.nodes.get_mut(&inode).expect("links and handles lead to nodes")
    }

    pub(super) fn metadata(&self, inode: u64) -> Metadata {
        let node = self.node(inode);
        Metadata {
            kind: node.content.kind(),
            len: match &node.content {
                Content::File(bytes) => bytes.current.len() as u64,
                _ => 0,
            },
            device: 1,
            inode,
            mtime_nanos: node.mtime,
            ctime_nanos: node.ctime,
            mode: node.mode,
            uid: 0,
            nlink: node.links,
        }
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.capacity.saturating_sub(self.used)
    }

    /// The content of an open file.
    pub(super) fn bytes(&mut self, inode: u64) -> &mut Bytes {
        match &mut self.node_mut(inode).content {
            Content::File(bytes) => bytes,
            _ => unreachable!("only files are opened"),
        }
    }

    /// Takes room for a file of `len` bytes, as far as it does not have it.
    pub(super) fn reserve(&mut self, inode: u64, len: u64) -> Result<(), Cause> {
        let more = len.saturating_sub(self.node(inode).charged);
        if more > self.free_bytes() {
            return Err(Cause::NoSpace);
        }
        self.used += more;
        self.node_mut(inode).charged += more;
        Ok(())
    }

    /// Gives back the room of a file beyond `len` bytes.
    pub(super) fn release(&mut self, inode: u64, len: u64) {
        let less = self.node(inode).charged.saturating_sub(len);
        self.used -= less;
        self.node_mut(inode).charged -= less;
    }

    /// Notes that the content changed, or only something about it.
    pub(super) fn touch(&mut self, inode: u64, content: bool) {
        self.now += 1;
        let now = self.now;
        let node = self.node_mut(inode);
        node.ctime = now;
        if content {
            node.mtime = now;
        }
    }

    /// Frees what nothing leads to any more, after a link or handle of `inode` has gone.
    pub(super) fn settle(&mut self, inode: u64) {
        let mut loose = vec![inode];
        while let Some(inode) = loose.pop() {
            let node = self.node(inode);
            if node.links + node.handles > 0 {
                continue;
            }
            self.release(inode, 0);
            if self.node(inode).durable_links > 0 {
                continue;
            }
            if let Some(Node { content: Content::Dir(dir), .. }) = self.nodes.remove(&inode) {
                for child in dir.durable.into_values() {
                    self.node_mut(child).durable_links -= 1;
                    loose.push(child);
                }
            }
        }
    }

    /// Makes all content and all names durable.
    pub(super) fn sync_everything(&mut self) {
        let inodes: Vec<u64> = self.nodes.keys().copied().collect();
        for inode in inodes {
            // A name made durable may have freed what it stood for before.
            match self.nodes.get_mut(&inode).map(|node| &mut node.content) {
                Some(Content::File(bytes)) => bytes.sync(),
                Some(Content::Dir(_)) => self.sync_dir(inode),
                Some(Content::Other(_)) | None => {}
            }
        }
    }

    /// Goes back to what is durable.
    pub(super) fn crash(&mut self) {
        let mut reached = BTreeMap::from([(ROOT, 1)]);
        let mut ahead = vec![ROOT];
        while let Some(inode) = ahead.pop() {
            let Content::Dir(dir) = &self.node(inode).content else { continue };
            for &child in dir.durable.values() {
                let links = reached.entry(child).or_insert(0);
                *links += 1;
                if *links == 1 {
                    ahead.push(child);
                }
            }
        }
        self.nodes.retain(|inode, _| reached.contains_key(inode));
        self.used = 0;
        for (inode, node) in &mut self.nodes {
            node.handles = 0;
            (node.links, node.durable_links) = (reached[inode], reached[inode]);
            node.content.crash();
            node.charged = match &node.content {
                Content::File(bytes) => bytes.current.len() as u64,
                _ => 0,
            };
            self.used += node.charged;
        }
    }

    /// Lets some of the writes not synced reach the disk, whole or in part.
    pub(super) fn tear(&mut self, seed: u64) {
        let random = SeededRandom::new(seed);
        for node in self.nodes.values_mut() {
            if let Content::File(bytes) = &mut node.content {
                bytes.tear(&random);
            }
        }
    }

    pub(super) fn add(&mut self, content: Content, mode: u32) -> u64 {
        let inode = self.next_inode;
        self.next_inode += 1;
        self.now += 1;
        let (mtime, ctime) = (self.now, self.now);
        let node = Node {
            content,
            mode,
            handles: 0,
            links: 0,
            durable_links: 0,
            charged: 0,
            mtime,
            ctime,
        };
        self.nodes.insert(inode, node);
        inode
    }
}

impl Content {
    pub(super) fn kind(&self) -> FileKind {
        match self {
            Self::File(_) => FileKind::Regular,
            Self::Dir(_) => FileKind::Directory,
            Self::Other(kind) => *kind,
        }
    }

    fn crash(&mut self) {
        match self {
            Self::File(bytes) => bytes.crash(),
            Self::Dir(dir) => dir.crash(),
            Self::Other(_) => {}
        }
    }
}

/// Number of the root directory.
pub(super) const ROOT: u64 = 1;
