//! Finding records: what the edge does with every byte it sprays.

use super::data::{repeated, rows};
use super::{HotLoop, Prepared, Unit};
use skyspray_dfu::encoding::{Encoding, Utf8Check};
use skyspray_dfu::format::csv::Role;
use skyspray_dfu::format::{
    ByteOrder, CsvFormat, CsvOptions, JsonFormat, JsonLinesFormat, RecordFormat,
    VARIABLE_RECORD_DEFAULT, XmlFormat,
};
use skyspray_dfu::split::{Piece, Source, SplitOptions, Splitter, Target};
use std::num::NonZeroU32;

/// Bytes pushed at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// Parts the data is split into.
const PARTS: u32 = 8;

pub(super) const LOOPS: &[HotLoop] = &[
    scan("csv-quoting-off", || csv(0, &[(Role::Quote, "")])),
    scan("csv-unquoted", || csv(0, &[])),
    scan("csv-quoted", || csv(30, &[])),
    scan("csv-escaped", || csv(30, &[(Role::Quote, "\",'"), (Role::Escape, "\\\\")])),
    scan("csv-utf16-to-utf8", csv_utf16),
    scan("utf8-check", utf8_check),
    scan("xml", xml),
    scan("json", json),
    scan("jsonl", json_lines),
    scan("fixed", fixed),
    scan("variable", variable),
    scan("recfmvb", recfmvb),
];

const fn scan(name: &'static str, prepare: fn() -> Prepared) -> HotLoop {
    HotLoop { name, unit: Unit::Byte, prepare }
}

/// A splitter over `data`, one source that holds `records` records.
fn splitting(format: RecordFormat, data: Vec<u8>, records: u64, source: Source) -> Prepared {
    let units = data.len() as u64;
    Prepared::new(units, records, move || split(&format, source, data.chunks(BLOCK_BYTES)))
}

fn plain(format: RecordFormat, (data, records): (Vec<u8>, u64)) -> Prepared {
    let source = Source::plain(data.len() as u64);
    splitting(format, data, records, source)
}

/// Splits the source that `blocks` are and returns how many records the parts hold.
fn split<'a>(format: &RecordFormat, source: Source, blocks: impl Iterator<Item = &'a [u8]>) -> u64 {
    let mut options = SplitOptions::new(NonZeroU32::new(PARTS).expect("not zero"));
    if format.encoding() == Encoding::Utf16Le {
        options.target = Target::Utf8;
    }
    let mut splitter = Splitter::try_new(format, vec![source], options).expect("any length fits");
    let mut records = 0;
    for block in blocks {
        splitter.push(block).expect("records are well formed");
        records += records_ended(&mut splitter);
    }
    splitter.end_source().expect("records are well formed");
    splitter.finish().expect("all sources ended");
    records + records_ended(&mut splitter)
}

/// Takes every piece there is; the records of the parts that end with one of them.
fn records_ended(splitter: &mut Splitter) -> u64 {
    let mut ended = 0;
    while let Some(piece) = splitter.poll() {
        if let Piece::PartEnd { records, .. } = piece {
            ended += records;
        }
    }
    ended
}

fn csv_format(changes: &[(Role, &str)]) -> CsvFormat {
    let mut options = CsvOptions::default();
    for &(role, list) in changes {
        options.set(role, list).expect("the list is well formed");
    }
    CsvFormat::try_new(options).expect("the delimiters fit together")
}

fn csv(quoted_percent: u32, changes: &[(Role, &str)]) -> Prepared {
    plain(RecordFormat::Csv(csv_format(changes)), rows(quoted_percent))
}

/// Split and converted in one pass, every tenth row with a letter outside ASCII.
fn csv_utf16() -> Prepared {
    let (data, _) = rows(30);
    let half = String::from_utf8_lossy(&data[..data.len() / 2]).into_owned();
    let whole_rows = &half[..half.rfind('\n').expect("there are rows") + 1];
    let accented = whole_rows.replace("abcdefghijkl", "\u{e4}bcdefghijkl");
    let records = accented.matches('\n').count() as u64;
    let data = accented.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let format = RecordFormat::Csv(CsvFormat::default()).with_encoding(Encoding::Utf16Le);
    plain(format, (data, records))
}

fn utf8_check() -> Prepared {
    let (data, _) = repeated("Rue de la R\u{e9}publique 12, 75011 Paris; tel 0123456\n".as_bytes());
    let units = data.len() as u64;
    Prepared::new(units, units, move || {
        let mut check = Utf8Check::new();
        let mut checked = 0;
        for block in data.chunks(BLOCK_BYTES) {
            check.push(block).expect("the text is well formed");
            checked += block.len() as u64;
        }
        check.finish().expect("the text is whole");
        checked
    })
}

/// Rows between a header and a footer.
fn document(
    format: RecordFormat,
    (header, footer): (&[u8], &[u8]),
    (rows, records): (Vec<u8>, u64),
) -> Prepared {
    let data = [header, &rows, footer].concat();
    let source = Source {
        length: data.len() as u64,
        header: header.to_vec(),
        footer: footer.to_vec(),
        ..Source::default()
    };
    splitting(format, data, records, source)
}

fn xml() -> Prepared {
    let format = RecordFormat::Xml(XmlFormat::try_new("Row").expect("a name"));
    let row = "<Row><id>1234567</id><name first=\"Ada\">Lovelace</name><Region>EU</Region></Row>\n";
    document(format, (b"<Dataset>\n", b"</Dataset>\n"), repeated(row.as_bytes()))
}

const JSON_ROW: &str =
    "{\"id\":1234567,\"name\":{\"first\":\"Ada\"},\"region\":\"E\\nU\",\"sum\":17.5}";

fn json() -> Prepared {
    let format = RecordFormat::Json(JsonFormat::try_new("/Row").expect("a path"));
    let (mut rows, records) = repeated(format!("{JSON_ROW},\n").as_bytes());
    // No comma behind the last one.
    rows.truncate(rows.len() - 2);
    document(format, (b"{\"Row\":[", b"]}"), (rows, records))
}

fn json_lines() -> Prepared {
    let format = RecordFormat::JsonLines(JsonLinesFormat::default());
    plain(format, repeated(format!("{JSON_ROW}\n").as_bytes()))
}

/// Fixed records cost by the block, not by the byte; so these blocks are small.
fn fixed() -> Prepared {
    let record_bytes = NonZeroU32::new(100).expect("not zero");
    let (data, records) = repeated(&[b'x'; 100]);
    let (format, source) = (RecordFormat::Fixed { record_bytes }, Source::plain(data.len() as u64));
    Prepared::new(data.len() as u64, records, move || split(&format, source, data.chunks(4096)))
}

fn variable() -> Prepared {
    let format =
        RecordFormat::Variable { order: ByteOrder::Little, max_record: VARIABLE_RECORD_DEFAULT };
    plain(format, repeated(&[&100u32.to_le_bytes()[..], &[b'x'; 100]].concat()))
}

fn recfmvb() -> Prepared {
    const RECORDS_A_BLOCK: u64 = 300;
    let record = [&[0, 104, 0, 0], &[b'x'; 100][..]].concat();
    let records = record.repeat(RECORDS_A_BLOCK as usize);
    let block_bytes = u16::try_from(4 + records.len()).expect("a standard block");
    let (data, blocks) = repeated(&[&block_bytes.to_be_bytes()[..], &[0, 0], &records].concat());
    plain(RecordFormat::RecfmVb, (data, blocks * RECORDS_A_BLOCK))
}
