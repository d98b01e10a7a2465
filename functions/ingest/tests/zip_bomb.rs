//! Zip bombs: bodies of a few kilobytes up to a megabyte that stand for a gigabyte.
//!
//! In a process of its own, because what is looked at is the process's peak memory, the C library's part included.

use flate2::{Compress, Compression, Crc, FlushCompress};
use ingest::code::RefusalCode;
use ingest::encoding::Encoding;
use penstock::Limits;

const GIB: usize = 1024 * 1024 * 1024;

/// What decompression may add to the process: the output twice over while its buffer grows, a zstd window, and slack.
const ALLOWANCE: usize = 48 * 1024 * 1024;

/// What bombs are made of, so many bytes at a time.
const PART: usize = 1024 * 1024;

/// A complete gzip file of zeros. One part is compressed, ended by a full flush, and repeated.
fn gzip_bomb(bytes: usize) -> Vec<u8> {
    let zeros = vec![0; PART];
    let mut part = Vec::with_capacity(PART);
    Compress::new(Compression::fast(), false).compress_vec(&zeros, &mut part, FlushCompress::Full).expect("room");
    let mut part_crc = Crc::new();
    part_crc.update(&zeros);
    let mut crc = Crc::new();
    let mut bomb = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];
    for _ in 0..bytes / PART {
        bomb.extend_from_slice(&part);
        crc.combine(&part_crc);
    }
    bomb.extend_from_slice(&[0x03, 0x00]); // the last block, empty
    bomb.extend_from_slice(&crc.sum().to_le_bytes());
    bomb.extend_from_slice(&u32::try_from(bytes).expect("below 2^32").to_le_bytes());
    bomb
}

/// A complete zstd frame of zeros: run-length blocks of 128 KiB (RFC 8878, section 3.1.1.2).
fn zstd_bomb(bytes: usize) -> Vec<u8> {
    const BLOCK: usize = 128 * 1024;
    let mut bomb = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, (20 - 10) << 3];
    let blocks = bytes / BLOCK;
    for block in 1..=blocks {
        let last = u32::from(block == blocks);
        let header = u32::try_from(BLOCK).expect("17 bits") << 3 | 1 << 1 | last;
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(0);
    }
    bomb
}

/// The process's peak resident memory in bytes.
#[cfg(target_os = "linux")]
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("Linux counts it");
    let kib: usize = line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number");
    kib * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn a_bomb_is_refused_within_the_bound_of_memory() {
    let max = Limits::DEFAULT.decompressed_bytes;
    let bombs = [(Encoding::Gzip, gzip_bomb(GIB)), (Encoding::Zstd, zstd_bomb(GIB))];
    let before = peak_memory();
    for (encoding, bomb) in bombs {
        assert!(bomb.len() < Limits::DEFAULT.body_bytes, "it does get as far as the decoder");
        let error = encoding.decode(bomb, max).expect_err("1 GiB is too much");
        assert_eq!(error.code(), RefusalCode::BodyTooLarge, "{encoding:?}");
        let grown = peak_memory() - before;
        assert!(grown < ALLOWANCE, "{encoding:?}: {grown} bytes");
    }
}

#[test]
fn smaller_ones_of_the_same_make_decode_in_full() {
    // else the test above could pass on bodies that are merely broken further on
    let max = 4 * PART;
    for (encoding, body) in [(Encoding::Gzip, gzip_bomb(max)), (Encoding::Zstd, zstd_bomb(max))] {
        let output = encoding.decode(body, max).expect("it is valid and within the bound");
        assert!(output.len() == max && output.iter().all(|byte| *byte == 0), "{encoding:?}");
    }
}
