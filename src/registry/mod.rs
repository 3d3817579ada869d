//! What the asset registry is made of: perceptual hashes and the search for near ones.

pub mod similarity;
