use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn named(values: &[&str]) -> Result<Encoding, Error> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
    }
    Encoding::of(&headers)
}

#[test]
fn the_header_is_read_whatever_its_case_and_however_it_is_split() {
    assert_eq!(named(&[]).unwrap(), Encoding::Identity);
    assert_eq!(named(&[""]).unwrap(), Encoding::Identity);
    assert_eq!(named(&["Identity"]).unwrap(), Encoding::Identity);
    assert_eq!(named(&["GZip"]).unwrap(), Encoding::Gzip);
    assert_eq!(named(&["x-gzip"]).unwrap(), Encoding::Gzip);
    assert_eq!(named(&["identity, zstd"]).unwrap(), Encoding::Zstd);
    assert_eq!(named(&["identity", "zstd"]).unwrap(), Encoding::Zstd);
}

#[test]
fn another_encoding_or_two_at_once_are_unsupported() {
    for values in [&["br"][..], &["deflate"], &["gzip, gzip"], &["gzip", "zstd"], &["gzip;q=1"]] {
        let error = named(values).unwrap_err();
        assert_eq!(error.code(), RefusalCode::UnsupportedEncoding, "{values:?}");
    }
    assert!(named(&["br"]).unwrap_err().to_string().contains("`br`"));
}

#[test]
fn a_body_of_exactly_the_bound_passes_and_one_byte_more_does_not() {
    let body = vec![b'x'; 50_000];
    for (encoding, coded) in
        [(Encoding::Identity, body.clone()), (Encoding::Gzip, gzip(&body)), (Encoding::Zstd, zstd(&body))]
    {
        assert_eq!(encoding.decode(coded.clone(), 50_000).unwrap(), body);
        assert_eq!(encoding.decode(coded, 49_999).unwrap_err().code(), RefusalCode::BodyTooLarge, "{encoding:?}");
    }
}

#[test]
fn the_output_reserves_no_more_than_the_bound() {
    let coded = gzip(&vec![0; 100_000]);
    assert!(Encoding::Gzip.decode(coded, 100_000).unwrap().capacity() <= 100_000);
}

#[test]
fn a_truncated_body_is_malformed_and_not_shorter() {
    for (encoding, coded) in [(Encoding::Gzip, gzip(b"hello, hello")), (Encoding::Zstd, zstd(b"hello, hello"))] {
        for end in 1..coded.len() {
            let error = encoding.decode(coded[..end].to_vec(), 100).unwrap_err();
            assert_eq!(error.code(), RefusalCode::MalformedEncoding, "{encoding:?} cut at {end}");
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    for (encoding, mut coded) in [(Encoding::Gzip, gzip(b"hello")), (Encoding::Zstd, zstd(b"hello"))] {
        coded.extend_from_slice(b"and more");
        assert_eq!(encoding.decode(coded, 100).unwrap_err().code(), RefusalCode::MalformedEncoding, "{encoding:?}");
    }
}

#[test]
fn a_wrong_checksum_is_malformed() {
    let mut coded = gzip(b"hello");
    let crc = coded.len() - 8;
    coded[crc] ^= 1;
    assert_eq!(Encoding::Gzip.decode(coded, 100).unwrap_err().code(), RefusalCode::MalformedEncoding);
}

#[test]
fn members_and_frames_in_a_row_are_one_body() {
    for (encoding, one, two) in
        [(Encoding::Gzip, gzip(b"one "), gzip(b"two")), (Encoding::Zstd, zstd(b"one "), zstd(b"two"))]
    {
        assert_eq!(encoding.decode([one, two].concat(), 100).unwrap(), b"one two", "{encoding:?}");
    }
    let many = gzip(b"").repeat(GZIP_MEMBERS_MAX + 1);
    assert_eq!(Encoding::Gzip.decode(many, 100).unwrap_err().code(), RefusalCode::MalformedEncoding);
}

#[test]
fn a_zstd_window_above_8_mib_is_refused_before_it_is_allocated() {
    // magic, no content size, window descriptor: exponent << 3 on top of 2^10
    let frame = |log: u8| vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, (log - 10) << 3, 0x01, 0x00, 0x00];
    assert_eq!(Encoding::Zstd.decode(frame(23), 100).unwrap(), b"");
    let error = Encoding::Zstd.decode(frame(24), 100).unwrap_err();
    assert_eq!(error.code(), RefusalCode::MalformedEncoding);
}

proptest! {
    #[test]
    fn arbitrary_bytes_neither_panic_nor_pass_the_bound(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
            if let Ok(output) = encoding.decode(body.clone(), 64) {
                prop_assert!(output.len() <= 64);
            }
        }
    }

    #[test]
    fn a_flipped_byte_never_panics(at in any::<prop::sample::Index>(), bit in 0..8u8, use_zstd in any::<bool>()) {
        let text = b"some text, some text, some more text".repeat(4);
        let (encoding, mut coded) = if use_zstd { (Encoding::Zstd, zstd(&text)) } else { (Encoding::Gzip, gzip(&text)) };
        let at = at.index(coded.len());
        coded[at] ^= 1 << bit;
        if let Ok(output) = encoding.decode(coded, 1000) {
            prop_assert!(output.len() <= 1000);
        }
    }
}
