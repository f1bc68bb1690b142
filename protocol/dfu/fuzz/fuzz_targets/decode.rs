//! What reads bytes without splitting them: converters, blobs, headers and metadata.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyspray_dfu::blob::{Piece, SplitPrefixSpec, Unblob};
use skyspray_dfu::ecl;
use skyspray_dfu::encoding::{Encoding, OnInvalid, ToUtf8};
use skyspray_dfu::format::CsvFormat;
use skyspray_dfu::meta::FileMeta;

const ENCODINGS: [Encoding; 5] = [
    Encoding::Utf8,
    Encoding::Utf16Le,
    Encoding::Utf16Be,
    Encoding::Utf32Le,
    Encoding::Utf32Be,
];

fuzz_target!(|data: &[u8]| {
    let Some((&choice, content)) = data.split_first() else { return };
    match choice % 4 {
        0 => convert(ENCODINGS[usize::from(choice / 4) % 5], usize::from(choice / 20) + 1, content),
        1 => unblob(usize::from(choice / 4) + 1, content),
        2 => {
            if let Ok(record) = ecl::record_from_header(content, &CsvFormat::default(), true) {
                assert!(record.names().len() <= 4096);
            }
        }
        _ => {
            let Ok(text) = std::str::from_utf8(content) else { return };
            let Ok(meta) = FileMeta::from_xml(text) else { return };
            let written = meta.to_xml().expect("what was read can be written");
            assert_eq!(FileMeta::from_xml(&written).as_ref(), Ok(&meta));
        }
    }
});

fn convert(encoding: Encoding, block: usize, content: &[u8]) {
    let run = |block: usize| {
        let mut text = Vec::new();
        let mut converter = ToUtf8::try_new(encoding, OnInvalid::Replace).expect("it is text");
        content.chunks(block).for_each(|part| {
            converter.push(part, &mut text).expect("nothing is refused");
        });
        converter.finish(&mut text).expect("nothing is refused");
        (String::from_utf8(text).expect("the output is UTF-8"), converter.replaced())
    };
    assert_eq!(run(block), run(usize::MAX));
}

fn unblob(block: usize, content: &[u8]) {
    let spec = SplitPrefixSpec::parse("FILENAME,FILESIZE").expect("a specification");
    let mut unblob = Unblob::new(spec);
    let mut total = 0;
    for mut input in content.chunks(block) {
        loop {
            match unblob.next_piece(&mut input) {
                Ok(Some(Piece::Bytes(bytes))) => total += bytes.len(),
                Ok(Some(Piece::File { name, .. })) => assert!(!name.contains(&b'/')),
                Ok(Some(Piece::FileEnd)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    assert!(total <= content.len());
}
