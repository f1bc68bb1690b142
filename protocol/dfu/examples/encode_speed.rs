//! How fast text becomes UTF-8, as a ratio to counting line ends with memchr over the same bytes.
//!
//! `cargo run --release -p skyspray-dfu --example encode_speed`

use skyspray_dfu::encoding::{Encoding, OnInvalid, ToUtf8, Utf8Check};
use std::hint::black_box;
use std::time::Instant;

/// Bytes pushed at once, as sources are read.
const PUSH_BYTES: usize = 256 * 1024;

fn main() {
    let texts = [
        ("ascii", text("name, street, 4711; ")),
        ("one in 50 accented", text("Rue de la République 12, 75011 Paris; tel 0123456; ")),
        ("russian", text("Санкт-Петербург, Невский проспект 28; ")),
        ("chinese", text("北京市朝阳区建国路八十八号, 邮编一零零零二二; ")),
        ("one in 50 emoji", text("order 4711 was delivered to the door, thank you 😀; ")),
        ("all emoji", text("😀😃😄😁😆😅😂🤣")),
    ];
    println!("{:<10} {:<22} {:>9} {:>10} {:>7}", "encoding", "text", "memchr", "to utf8", "ratio");
    for encoding in &Encoding::ALL[1..] {
        for (name, text) in &texts {
            report(*encoding, name, &encode(*encoding, text));
        }
    }
}

fn report(encoding: Encoding, name: &str, data: &[u8]) {
    let mut memchr = f64::INFINITY;
    let mut convert = f64::INFINITY;
    let mut check = f64::INFINITY;
    let mut output = Vec::new();
    // Alternating, so that a busy machine slows both.
    for _ in 0..25 {
        memchr = memchr.min(seconds(|| {
            memchr::memchr_iter(b'\n', black_box(data)).fold(0, |last, at| last ^ at)
        }));
        convert = convert.min(seconds(|| convert_all(encoding, black_box(data), &mut output)));
        if encoding == Encoding::Utf8 {
            check = check.min(seconds(|| check_all(black_box(data))));
        }
    }
    let rate = |seconds: f64| data.len() as f64 / seconds / 1e9;
    let line = |what: &str, seconds: f64| {
        let (memchr, ours) = (rate(memchr), rate(seconds));
        println!(
            "{what:<10} {name:<22} {memchr:>4.1} GB/s {ours:>5.2} GB/s {:>7.2}",
            ours / memchr
        );
    };
    line(&encoding.to_string(), convert);
    if encoding == Encoding::Utf8 {
        line("utf8 check", check);
    }
}

fn seconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64()
}

fn convert_all(encoding: Encoding, data: &[u8], output: &mut Vec<u8>) -> usize {
    let mut converter = ToUtf8::try_new(encoding, OnInvalid::Fail).expect("it is Unicode");
    let mut written = 0;
    for block in data.chunks(PUSH_BYTES) {
        output.clear();
        converter.push(block, output).expect("the text is well formed");
        written += output.len();
    }
    converter.finish(output).expect("the text is whole");
    written
}

fn check_all(data: &[u8]) {
    let mut check = Utf8Check::new();
    for block in data.chunks(PUSH_BYTES) {
        check.push(block).expect("the text is well formed");
    }
    check.finish().expect("the text is whole");
}

/// About a million characters, with an end of line every few hundred.
fn text(phrase: &str) -> String {
    let mut text = String::new();
    while text.len() < 1 << 20 {
        for _ in 0..8 {
            text.push_str(phrase);
        }
        text.push('\n');
    }
    text
}

fn encode(encoding: Encoding, text: &str) -> Vec<u8> {
    match encoding {
        Encoding::Ascii | Encoding::Utf8 => text.as_bytes().to_vec(),
        Encoding::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Encoding::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Encoding::Utf32Le => text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
        Encoding::Utf32Be => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
    }
}
