//! The bytes that every peer sends: known in advance, so that a checksum tells what arrived.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

pub const PERIOD: usize = 65_521;

/// The pattern two times, so that any part of up to its length is one slice.
static TWICE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut pattern: Vec<u8> = (0..=PERIOD / 32).flat_map(|number| Sha256::digest(number.to_string())).collect();
    pattern.truncate(PERIOD);
    pattern.repeat(2)
});

/// At most `size` bytes of the endless repetition of the pattern, from `offset`: as many as are in one piece, a period or more.
pub fn piece(offset: u64, size: usize) -> &'static [u8] {
    let start = (offset % PERIOD as u64) as usize;
    &TWICE[start..(start + size).min(TWICE.len())]
}

/// The `size` bytes from `offset`.
pub fn payload(offset: u64, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        bytes.extend_from_slice(piece(offset + bytes.len() as u64, size - bytes.len()));
    }
    bytes
}

/// SHA-256 and the number of bytes it is of.
#[derive(Default)]
pub struct Checksum {
    hash: Sha256,
    pub size: u64,
}

impl Checksum {
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
    }

    pub fn hex(self) -> String {
        hex(&self.hash.finalize())
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
