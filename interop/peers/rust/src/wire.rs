//! Varint lengths, as they stand before messages.

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::failure::{Failure, Outcome};

pub fn length(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// Takes a length off the front of bytes.
pub fn take_length(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

pub async fn write_length(to: &mut (impl AsyncWrite + Unpin), value: u64) -> std::io::Result<()> {
    to.write_all(&length(value)).await
}

/// The length; `None` where the stream ends before it.
pub async fn read_length(from: &mut (impl AsyncRead + Unpin)) -> Outcome<Option<u64>> {
    let mut value = 0;
    let mut byte = [0];
    for shift in (0..63).step_by(7) {
        if from.read(&mut byte).await? == 0 {
            return if shift == 0 { Ok(None) } else { Err(Failure::new("ended", "within a length")) };
        }
        value |= u64::from(byte[0] & 0x7F) << shift;
        if byte[0] < 0x80 {
            return Ok(Some(value));
        }
    }
    Err(Failure::new("failed", "a length of more than 63 bits"))
}
