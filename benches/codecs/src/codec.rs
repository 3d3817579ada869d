//! The codecs by the crates that the `parquet` crate takes them from, called as it calls them.

use std::io::{Read, Write};

use crate::Failure;

/// A codec, with its level where it has one.
#[derive(Clone, Copy)]
pub enum Codec {
    None,
    Snappy,
    Lz4,
    Gzip(u32),
    Brotli(u32),
}

/// Those that are compared, by name.
pub const CODECS: [(&str, Codec); 7] = [
    ("none", Codec::None),
    ("snappy", Codec::Snappy),
    ("lz4", Codec::Lz4),
    ("gzip 1", Codec::Gzip(1)),
    ("gzip 6", Codec::Gzip(6)),
    ("brotli 1", Codec::Brotli(1)),
    ("brotli 5", Codec::Brotli(5)),
];

const BROTLI_BUFFER: usize = 4_096;
const BROTLI_WINDOW: u32 = 22;

impl Codec {
    pub fn compress(self, page: &[u8]) -> Result<Vec<u8>, Failure> {
        Ok(match self {
            Self::None => page.to_vec(),
            Self::Snappy => snap::raw::Encoder::new().compress_vec(page)?,
            Self::Lz4 => lz4_flex::block::compress(page),
            Self::Gzip(level) => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
                encoder.write_all(page)?;
                encoder.finish()?
            }
            Self::Brotli(level) => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), BROTLI_BUFFER, level, BROTLI_WINDOW);
                encoder.write_all(page)?;
                encoder.into_inner()
            }
        })
    }

    pub fn decompress(self, bytes: &[u8], length: usize) -> Result<Vec<u8>, Failure> {
        let mut page = Vec::with_capacity(length);
        match self {
            Self::None => page.extend_from_slice(bytes),
            Self::Snappy => page = snap::raw::Decoder::new().decompress_vec(bytes)?,
            Self::Lz4 => page = lz4_flex::block::decompress(bytes, length)?,
            Self::Gzip(_) => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut page)?),
            Self::Brotli(_) => drop(brotli::Decompressor::new(bytes, BROTLI_BUFFER).read_to_end(&mut page)?),
        }
        Ok(page)
    }
}
