//! The `piece layers` of version 2 (BEP 52): for each root its piece layer, beside the info dictionary.

use std::collections::BTreeSet;

use super::{LIMITS, MetainfoError};
use crate::bencode::{self, Dictionary, DictionaryWriter, Value};
use crate::info::Info;
use crate::merkle::{NodeHash, PieceLayers, layer_root};

pub(super) fn write(out: &mut DictionaryWriter<'_>, layers: &PieceLayers) {
    for (root, layer) in layers {
        out.bytes(root, layer.as_flattened());
    }
}

/// Piece layers by themselves, as they stand in metainfo.
pub fn to_bytes(layers: &PieceLayers) -> Vec<u8> {
    bencode::dictionary(|d| write(d, layers))
}

/// Reads what [`to_bytes`] wrote; `None` if it can't have written this. Whether layers fit their roots is not looked at.
pub fn from_bytes(bytes: &[u8]) -> Option<PieceLayers> {
    let layers = bencode::scan(bytes, LIMITS).ok()?.as_dictionary()?;
    let layer = |(root, layer): (&[u8], Value<'_>)| {
        let (nodes, rest) = layer.as_bytes()?.as_chunks();
        rest.is_empty().then_some((root.try_into().ok()?, nodes.to_vec()))
    };
    layers.iter().map(layer).collect()
}

/// The layer under this root in what [`to_bytes`] wrote.
pub fn layer_of(bytes: &[u8], root: &NodeHash) -> Option<Vec<NodeHash>> {
    let layers = bencode::scan(bytes, LIMITS).ok()?.as_dictionary()?;
    let (nodes, rest) = layers.get(root)?.as_bytes()?.as_chunks();
    rest.is_empty().then(|| nodes.to_vec())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_kept_by_themselves() {
        let layers = PieceLayers::from([([1; 32], vec![[2; 32], [3; 32]]), ([4; 32], vec![[5; 32]; 3])]);
        let bytes = to_bytes(&layers);
        assert_eq!(from_bytes(&bytes).as_ref(), Some(&layers));
        assert_eq!(layer_of(&bytes, &[4; 32]).as_ref(), layers.get(&[4; 32]));
        assert_eq!(layer_of(&bytes, &[5; 32]), None);
        assert_eq!(from_bytes(&to_bytes(&PieceLayers::new())), Some(PieceLayers::new()));
        assert_eq!(from_bytes(&bytes[1..]), None);
        assert_eq!(from_bytes(b"d1:a32:rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrre"), None);
    }
}
