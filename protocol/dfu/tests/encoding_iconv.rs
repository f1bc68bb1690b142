//! The same text through `iconv` and through our converter: an implementation that shares nothing
//! with this one or with Rust's standard library.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use skyspray_dfu::encoding::{Encoding, OnInvalid, ToUtf8};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn text_becomes_the_utf8_that_iconv_makes_of_it() {
    let text = text();
    for (encoding, name) in [
        (Encoding::Utf16Le, "UTF-16LE"),
        (Encoding::Utf16Be, "UTF-16BE"),
        (Encoding::Utf32Le, "UTF-32LE"),
        (Encoding::Utf32Be, "UTF-32BE"),
    ] {
        let data = iconv("UTF-8", name, text.as_bytes());
        let expected = iconv(name, "UTF-8", &data);

        let mut converter = ToUtf8::try_new(encoding, OnInvalid::Fail).unwrap();
        let mut output = Vec::new();
        for piece in data.chunks(4093) {
            converter.push(piece, &mut output).unwrap();
        }
        converter.finish(&mut output).unwrap();

        assert!(output == expected, "{encoding} differs from iconv's {name}");
        assert!(output == text.as_bytes(), "{encoding} differs from the text");
    }
}

/// Characters of all lengths in runs of random length, about 300,000 bytes.
fn text() -> String {
    let mut state = 20_240_229u64;
    let mut below = |limit: u32| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as u32) % limit
    };
    let mut text = String::new();
    while text.len() < 300_000 {
        let limit = [0x80, 0x80, 0x800, 0x1_0000, 0x11_0000][below(5) as usize];
        for _ in 0..below(100) {
            text.extend(char::from_u32(below(limit)));
        }
    }
    text
}

fn iconv(from: &str, to: &str, input: &[u8]) -> Vec<u8> {
    let mut process = Command::new("iconv")
        .args(["-f", from, "-t", to])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("iconv does not start ({error}); on Debian: apt-get install libc-bin")
        });
    let mut stdin = process.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        process.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "iconv -f {from} -t {to}: {}", output.status);
    output.stdout
}
