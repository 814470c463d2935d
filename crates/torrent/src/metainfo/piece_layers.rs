//! The `piece layers` of version 2 (BEP 52): for each root its piece layer, beside the info dictionary.

use std::collections::BTreeSet;

use super::MetainfoError;
use crate::bencode::{Dictionary, DictionaryWriter, Value};
use crate::info::Info;
use crate::merkle::{NodeHash, PieceLayers, layer_root};

pub(super) fn write(out: &mut DictionaryWriter<'_>, layers: &PieceLayers) {
    for (root, layer) in layers {
        out.bytes(root, layer.as_flattened());
    }
}

/// Reads the piece layers of all files of a torrent that are longer than a piece, no others.
pub(super) fn parse(
    metainfo: Dictionary<'_>,
    info: &Info,
    roots: &[Option<NodeHash>],
) -> Result<PieceLayers, MetainfoError> {
    let layers = metainfo.get(b"piece layers").and_then(Value::as_dictionary);
    let layers = layers.ok_or(MetainfoError::Key("piece layers"))?.iter();
    // Each layer is hashed once, however many files have its root.
    let layers: PieceLayers = layers
        .map(|(root, layer)| parse_layer(root, layer, info.piece_length))
        .collect::<Option<_>>()
        .ok_or(MetainfoError::PieceLayers)?;
    let mut wanted = BTreeSet::new();
    for ((_, length), root) in info.files().zip(roots) {
        let pieces = length.div_ceil(info.piece_length.into());
        let Some(root) = root.filter(|_| pieces > 1) else { continue };
        if layers.get(&root).is_none_or(|layer| layer.len() as u64 != pieces) {
            return Err(MetainfoError::PieceLayers);
        }
        wanted.insert(root);
    }
    if wanted.len() == layers.len() { Ok(layers) } else { Err(MetainfoError::PieceLayers) }
}

fn parse_layer(root: &[u8], layer: Value<'_>, piece_length: u32) -> Option<(NodeHash, Vec<NodeHash>)> {
    let root = root.try_into().ok()?;
    let (layer, rest) = layer.as_bytes()?.as_chunks();
    let right = rest.is_empty() && !layer.is_empty() && layer_root(layer, piece_length) == root;
    right.then(|| (root, layer.to_vec()))
}
