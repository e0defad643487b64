//! The files of a layer, and the same bytes for the same files: sorted, root's, from 1970.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

/// Paths are absolute; the folders above a file come by themselves.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<String, Node>);

#[derive(Debug)]
enum Node {
    Folder,
    File { content: Vec<u8>, mode: u32 },
    Link { target: String },
}

const FOLDER_MODE: u32 = 0o755;
const LINK_MODE: u32 = 0o777;
pub(super) const PLAIN: u32 = 0o644;
pub(super) const PROGRAM: u32 = 0o755;

impl Tree {
    pub(super) fn file(&mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) {
        self.add(path, Node::File { content: content.into(), mode });
    }

    pub(super) fn link(&mut self, path: &str, target: &str) {
        self.add(path, Node::Link { target: target.to_owned() });
    }

    fn add(&mut self, path: &str, node: Node) {
        let path = path.trim_start_matches('/');
        for (end, _) in path.match_indices('/') {
            self.0.entry(path[..end].to_owned()).or_insert(Node::Folder);
        }
        self.0.insert(path.to_owned(), node);
    }

    /// Under `root`, as whoever runs this; times are now.
    pub(super) fn write_to(&self, root: &Path) -> io::Result<()> {
        fs::create_dir_all(root)?;
        for (path, node) in &self.0 {
            let path = root.join(path);
            match node {
                Node::Folder => fs::create_dir_all(path)?,
                Node::File { content, mode } => {
                    fs::write(&path, content)?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                }
                Node::Link { target } => symlink(target, path)?,
            }
        }
        Ok(())
    }

    pub(super) fn to_tar(&self) -> io::Result<Vec<u8>> {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, node) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_size(0);
            match node {
                Node::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_mode(FOLDER_MODE);
                    tar.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Node::File { content, mode } => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_mode(*mode);
                    header.set_size(content.len() as u64);
                    tar.append_data(&mut header, path, content.as_slice())?;
                }
                Node::Link { target } => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(LINK_MODE);
                    tar.append_link(&mut header, path, target)?;
                }
            }
        }
        tar.into_inner()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tar: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(tar);
        let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        names.collect()
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_once() {
        let mut tree = Tree::default();
        tree.file("/usr/bin/b", "b", PROGRAM);
        tree.link("/lib/z.so", "z.so.1");
        tree.file("/usr/bin/a", "a", PROGRAM);
        assert_eq!(names(&tree.to_tar().unwrap()), ["lib/", "lib/z.so", "usr/", "usr/bin/", "usr/bin/a", "usr/bin/b"]);
    }

    #[test]
    fn the_order_in_which_files_came_makes_no_difference() {
        let make = |names: [&str; 3]| {
            let mut tree = Tree::default();
            for name in names {
                tree.file(name, name, PLAIN);
            }
            tree.to_tar().unwrap()
        };
        assert_eq!(make(["/a/b", "/a/c", "/d"]), make(["/d", "/a/c", "/a/b"]));
    }
}
