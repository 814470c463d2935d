//! The nodes of the DHT that were known, kept over restarts: whoever knows some needs nobody's help to enter it.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use discovery::dht::{Dht, NodeId};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use torrent::InfoHash;

/// Nodes that are kept of each address family.
const MAX_NODES: usize = 200;

/// Largest file (bytes) that is read.
const MAX_BYTES: u64 = 64 * 1024;

/// What is kept of both nodes.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    /// Of version 4.
    pub v4: Family,
    /// Of version 6.
    pub v6: Family,
}

/// What is kept of a node.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Family {
    id: Option<String>,
    /// Where other nodes are.
    pub nodes: Vec<SocketAddr>,
}

impl Family {
    /// Of this node as it is now.
    pub fn of(dht: &Dht) -> Self {
        let id = Some(InfoHash(dht.id().0).to_string());
        Self { id, nodes: dht.nodes().map(|node| node.address).take(MAX_NODES).collect() }
    }

    /// The node's place, if it had one.
    pub fn id(&self) -> Option<NodeId> {
        self.id.as_ref()?.parse().ok().map(|hash: InfoHash| NodeId(hash.0))
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("dht.json")
}

/// What was kept in the folder of the box's state; nothing if it can't be read. Blocks.
pub fn load(state: &Path) -> Saved {
    let path = path(state);
    let read = || -> io::Result<Saved> {
        if fs::metadata(&path)?.len() > MAX_BYTES {
            return Err(io::Error::other("the file is too long"));
        }
        Ok(serde_json::from_slice(&fs::read(&path)?)?)
    };
    read().unwrap_or_else(|error| {
        if error.kind() != ErrorKind::NotFound {
            tracing::info!("the nodes of the DHT that were known can't be read from {path:?}: {error}");
        }
        Saved::default()
    })
}

/// Keeps it. Blocks.
///
/// # Errors
/// When it can't be written; then what was kept before is.
pub fn save(state: &Path, saved: &Saved) -> io::Result<()> {
    let mut file = NamedTempFile::new_in(state)?;
    file.write_all(&serde_json::to_vec(saved)?)?;
    file.persist(path(state))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else_does_harm() {
        let folder = tempfile::tempdir().unwrap();
        let family = |id: Option<&str>| Family {
            id: id.map(str::to_owned),
            nodes: vec!["192.0.2.1:6881".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()],
        };
        let id = "6c5e61bdbb2f9bc0d4a8ab9e4b64b9a1d8d9c4f2";
        save(folder.path(), &Saved { v4: family(Some(id)), v6: family(None) }).unwrap();
        let saved = load(folder.path());
        assert_eq!((&saved.v4, &saved.v6), (&family(Some(id)), &family(None)));
        assert!(saved.v4.id().is_some() && saved.v6.id().is_none() && family(Some("x")).id().is_none());
        for text in ["", "[]", "{\"v4\": 1}", &"x".repeat(100_000)] {
            fs::write(path(folder.path()), text).unwrap();
            assert_eq!(load(folder.path()).v4, Family::default(), "{text:.20}");
        }
    }
}
