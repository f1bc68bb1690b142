//! Records of a length and behind one: fixed, variable, blocked and the RECFM of mainframes.

use super::Case;
use skyspray_tests::args;
use skyspray_tests::data::Numbers;
use skyspray_tests::pair::Pair;

/// Makes a source of records.
type Make = fn(&[Vec<u8>]) -> Vec<u8>;

/// Bytes of a block of the blocked format.
const BLOCK: usize = 32768;

/// Records of random lengths, some empty.
fn records(count: usize, longest: u64, seed: u64) -> Vec<Vec<u8>> {
    let mut numbers = Numbers::new(seed);
    let record = |index| {
        let length = numbers.below(longest);
        (0..length).map(|at| (at as usize * 7 + index) as u8).collect()
    };
    (0..count).map(record).collect()
}

fn little(records: &[Vec<u8>]) -> Vec<u8> {
    let one = |record: &Vec<u8>| [&(record.len() as u32).to_le_bytes()[..], record].concat();
    records.iter().flat_map(one).collect()
}

fn big(records: &[Vec<u8>]) -> Vec<u8> {
    let one = |record: &Vec<u8>| [&(record.len() as u32).to_be_bytes()[..], record].concat();
    records.iter().flat_map(one).collect()
}

fn recfm(records: &[Vec<u8>]) -> Vec<u8> {
    let one =
        |record: &Vec<u8>| [&(record.len() as u16 + 4).to_be_bytes()[..], &[0, 0], record].concat();
    records.iter().flat_map(one).collect()
}

/// Blocks of RECFM=VB, every other one with an extended descriptor.
fn recfm_blocks(records: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::new();
    for (index, group) in records.chunks(9).enumerate() {
        let body = recfm(group);
        match index % 2 {
            0 => all.extend([&(body.len() as u16 + 4).to_be_bytes()[..], &[0, 0]].concat()),
            _ => all.extend(((body.len() as u32 + 4) | (1 << 31)).to_be_bytes()),
        }
        all.extend(body);
    }
    all
}

fn blocked(records: &[Vec<u8>]) -> Vec<u8> {
    let (mut all, mut body) = (Vec::new(), Vec::new());
    let mut close = |body: &mut Vec<u8>| {
        let mut block = [&(body.len() as u32).to_be_bytes()[..], body].concat();
        block.resize(BLOCK, 0);
        all.extend(block);
        body.clear();
    };
    for record in records {
        if 4 + body.len() + 4 + record.len() > BLOCK {
            close(&mut body);
        }
        body.extend(big(std::slice::from_ref(record)));
    }
    close(&mut body);
    all
}

/// The records of a part of the variable format, which ends with one.
fn count_little(mut part: &[u8]) -> u64 {
    let mut records = 0;
    while let Some((length, rest)) = part.split_first_chunk::<4>() {
        part = &rest[u32::from_le_bytes(*length) as usize..];
        records += 1;
    }
    assert!(part.is_empty(), "a part ends inside a length");
    records
}

fn count_blocked(part: &[u8]) -> u64 {
    let blocks = part.chunks(BLOCK).map(|block| {
        let used = u32::from_be_bytes(*block.first_chunk().unwrap()) as usize;
        let (mut body, mut records) = (&block[4..4 + used], 0);
        while let Some((length, rest)) = body.split_first_chunk::<4>() {
            body = &rest[u32::from_be_bytes(*length) as usize..];
            records += 1;
        }
        records
    });
    blocks.sum()
}

#[test]
fn fixed_records_come_back_and_stay_whole() {
    let pair = Pair::start();
    let bytes: Vec<u8> = (0..17 * 1001u32).map(|at| (at % 251) as u8).collect();
    let options = args!["--format", "fixed", "--record-size", "17"];
    let count = |part: &[u8]| {
        assert_eq!(part.len() % 17, 0);
        part.len() as u64 / 17
    };
    let kept = [("format", "fixed"), ("kind", "flat"), ("recordSize", "17")];
    Case::one("f.bin", bytes.clone(), options.clone(), count).kept(&kept).check(&pair);

    let joined = [&bytes[..170], &[], &bytes[170..]].concat();
    let sources = [("a.bin", &bytes[..170]), ("b.bin", &[][..]), ("c.bin", &bytes[170..])];
    let sources = sources.map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).to_vec();
    Case { sources, ..Case::one("", joined, options, count) }.check(&pair);
}

#[test]
fn fixed_records_stored_as_variable_ones_come_back_with_their_lengths() {
    let pair = Pair::start();
    let records: Vec<Vec<u8>> = (0..500u32).map(|n| n.to_be_bytes().repeat(3)).collect();
    let mut options = args!["--format", "fixed", "--record-size", "12", "--to", "variable"];
    options.extend(args!["--join", "verbatim"]);
    let case = Case::one("f.bin", records.concat(), options, count_little);
    let case = Case { back: little(&records), ..case };
    case.kept(&[("format", "variable")]).check(&pair);
}

#[test]
fn length_prefixed_records_come_back_lowest_byte_first() {
    let pair = Pair::start();
    let records = records(700, 300, 3);
    let options = args!["--format", "variable"];
    let case = Case::one("v.bin", little(&records), options, count_little);
    case.kept(&[("format", "variable"), ("kind", "flat")]).check(&pair);

    let options = args!["--format", "variable-be"];
    let case = Case::one("w.bin", big(&records), options, count_little);
    Case { back: little(&records), ..case }.kept(&[("format", "variable")]).check(&pair);
}

#[test]
fn blocks_come_back_as_they_are() {
    let pair = Pair::start();
    let records = records(900, 1500, 4);
    let options = args!["--format", "blocked"];
    let case = Case::one("b.bin", blocked(&records), options, count_blocked);
    for parts in case.kept(&[("format", "blocked")]).check(&pair) {
        assert!(parts.iter().all(|part| part.len() % BLOCK == 0));
    }
}

#[test]
fn records_of_mainframes_are_stored_as_variable_ones() {
    let pair = Pair::start();
    let records = records(800, 400, 5);
    for (name, format, bytes) in
        [("v", "recfmv", recfm(&records)), ("vb", "recfmvb", recfm_blocks(&records))]
    {
        let case = Case::one(name, bytes, args!["--format", format], count_little);
        let case = Case { back: little(&records), ..case };
        case.kept(&[("format", "variable"), ("kind", "flat")]).check(&pair);
    }
}

#[test]
fn binary_sources_are_joined() {
    let pair = Pair::start();
    let all = records(300, 200, 6);
    let makers: [(&str, Make); 4] =
        [("variable", little), ("variable-be", big), ("recfmv", recfm), ("recfmvb", recfm_blocks)];
    for (format, make) in makers {
        let source = |name: &str, range| (name.to_owned(), make(&all[range]));
        let sources = vec![source("a", 0..90), source("b", 90..90), source("c", 90..300)];
        let case = Case::one("", little(&all), args!["--format", format], count_little);
        Case { sources, ..case }.check(&pair);
    }
}
