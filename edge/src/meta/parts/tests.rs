//! Which file is which part, on a real directory.

use super::*;
use crate::config::{Access, EdgeConfig, Limits, ZoneConfig};
use crate::exit::{Chain, Exit, Explain as _};
use crate::landing::ZoneName;
use std::fs;

struct Zone {
    _dir: tempfile::TempDir,
    root: PathBuf,
    zones: LandingZones,
}

impl Zone {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for (name, content) in files {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        let name = ZoneName::parse("z").unwrap();
        let path = root.clone();
        let zones = vec![ZoneConfig { name, path, access: Access::Read, umask: None }];
        let config = EdgeConfig { relay_addresses: Vec::new(), zones, limits: Limits::default() };
        Self { _dir: dir, root, zones: LandingZones::new(&config) }
    }

    fn find(&self, meta: &FileMeta, paths: &[&str]) -> Result<Vec<PartFile>, PartsFault> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        find(meta, &paths, (&self.zones, &self.root))
    }

    fn found(&self, meta: &FileMeta, paths: &[&str]) -> Vec<String> {
        let found = self.find(meta, paths).unwrap_or_else(|fault| panic!("{fault}"));
        found.iter().map(|part| part.source.at().to_string()).collect()
    }

    fn refused(&self, meta: &FileMeta, paths: &[&str]) -> (Exit, String) {
        let fault = self.find(meta, paths).unwrap_err();
        (fault.exit(), Chain(&fault).to_string())
    }
}

/// Metadata of `a::orders` with parts of these lengths.
fn meta(attributes: &str, parts: &[&str]) -> FileMeta {
    let parts: String = (1..).zip(parts).map(|(n, p)| format!("<Part num=\"{n}\" {p}/>")).collect();
    let count = parts.matches("<Part").count();
    let file = format!("name=\"a::orders\" partmask=\"$L$._$P$_of_$N$\" numparts=\"{count}\"");
    let xml = format!("<File {file}>{parts}<Attr {attributes}/></File>");
    FileMeta::from_xml(&xml).unwrap()
}

#[test]
fn parts_are_found_by_their_numbers_in_whatever_order_they_are_named() {
    let names = ["orders._10_of_10", "orders._2_of_10"];
    let files: Vec<(String, &str)> =
        (1..=10).map(|part| (format!("orders._{part}_of_10"), "x")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (&**name, *text)).collect();
    let zone = Zone::with(&files);
    let ten = meta("", &["size=\"1\""; 10]);

    let named: Vec<&str> = files.iter().rev().map(|(name, _)| *name).collect();
    let found = zone.found(&ten, &named);

    assert_eq!((&*found[9], &*found[1]), (&*format!("z:{}", names[0]), "z:orders._2_of_10"));
    let missing = (Exit::Source, "part 2 of 10 is missing".to_owned());
    assert_eq!(zone.refused(&ten, &["orders._1_of_10", names[0]]), missing);
    let twice = "part 10 is there twice, as z:orders._10_of_10 and as z:orders._10_of_10";
    assert_eq!(zone.refused(&ten, &[names[0], names[0]]), (Exit::Source, twice.to_owned()));
}

#[test]
fn a_directory_gives_the_parts_that_are_called_so_and_a_named_file_must_be_one() {
    let zone = Zone::with(&[
        ("d/1/Orders._1_of_2", "one"),
        ("d/2/orders._2_of_2", "two"),
        ("d/2/items._2_of_2", "other"),
        ("d/orders._1_of_3", "other"),
        ("d/readme", "other"),
        ("renamed._1_OF_2", "one"),
    ]);
    let two = meta("", &["size=\"3\"", "size=\"3\""]);

    assert_eq!(zone.found(&two, &["d"]), ["z:d/1/Orders._1_of_2", "z:d/2/orders._2_of_2"]);
    let named = ["renamed._1_OF_2", "d/2/orders._2_of_2"];
    assert_eq!(zone.found(&two, &named), ["z:renamed._1_OF_2", "z:d/2/orders._2_of_2"]);
    let (exit, text) = zone.refused(&two, &["d/readme"]);
    let reason = "z:d/readme is no part: none of the 2 parts in the metadata is called so";
    assert_eq!((exit, &*text), (Exit::Source, reason));
    assert_eq!(zone.found(&meta("", &[""]), &["d/readme"]), ["z:d/readme"]);
    let own = meta("", &["name=\"/old/readme\"", "name=\"orders._1_of_3\""]);
    assert_eq!(zone.found(&own, &["d"]), ["z:d/readme", "z:d/orders._1_of_3"]);
}

#[test]
fn a_part_that_is_not_as_long_as_said_is_refused() {
    let zone = Zone::with(&[("orders._1_of_1", "12345")]);
    let find = |attributes, part| zone.refused(&meta(attributes, &[part]), &["orders._1_of_1"]);

    let (exit, text) = find("", "size=\"6\"");
    let reason = "part 1, z:orders._1_of_1, is 5 bytes long, the metadata say 6";
    assert_eq!((exit, &*text), (Exit::Mismatch, reason));
    let (_, text) = find("blockCompressed=\"1\"", "size=\"60\" compressedSize=\"4\"");
    assert!(text.ends_with("is 5 bytes long, the metadata say 4"), "{text}");
    let (exit, text) = find("headerLength=\"3\"", "size=\"5\" footerLength=\"3\"");
    let reason = "part 1 is 5 bytes long, the metadata say 3 bytes of header and 3 of footer";
    assert_eq!((exit, &*text), (Exit::Mismatch, reason));
}

#[test]
fn what_is_said_of_a_part_goes_with_it_and_expanded_bytes_are_not_its_bytes() {
    let zone = Zone::with(&[("orders._1_of_1", "12345")]);
    let said = "size=\"5\" fileCrc=\"7\" headerLength=\"1\"";
    let part = |attributes: &str, said| {
        let parts = zone.find(&meta(attributes, &[said]), &["orders._1_of_1"]).unwrap();
        let PartFile { crc32, records, header, footer, .. } = parts[0];
        (crc32, records, header, footer)
    };

    assert_eq!(part("recordCount=\"9\" footerLength=\"2\"", said), (Some(7), Some(9), 1, 2));
    let compressed = "recordCount=\"9\" rowCompressed=\"1\"";
    let said =
        "size=\"50\" compressedSize=\"5\" fileCrc=\"7\" recordCount=\"8\" headerLength=\"1\"";
    assert_eq!(part(compressed, said), (None, Some(8), 0, 0));
}

#[test]
fn a_directory_and_the_name_in_the_metadata_make_a_logical_file() {
    let meta = meta("", &[""]);
    let of = |text: &str, meta: &FileMeta| {
        target(&text.parse().unwrap(), meta).map(|(plane, name)| format!("{plane}:{name}"))
    };

    assert_eq!(of("lake:X::y", &meta).unwrap(), "lake:x::y");
    assert_eq!(of("lake:b/C/", &meta).unwrap(), "lake:b::c::orders");
    assert_eq!(of("lake:b/c", &meta).unwrap(), "lake:b::c::orders");
    assert_eq!(of("lake:", &meta).unwrap(), "lake:.::orders");
    assert_eq!(of("lake:other", &meta).unwrap(), "lake:.::other");
    let nameless = FileMeta { name: None, ..meta };
    let fault = of("lake:b/", &nameless).unwrap_err();
    assert_eq!(
        (fault.exit(), &*fault.to_string()),
        (Exit::Usage, "the metadata name no logical file")
    );
}
