//! `edge.toml`: what is understood, what is refused, and that a written one reads back.

use super::*;
use crate::exit::{Chain, Exit, Explain as _};
use crate::landing::ZoneName;

fn parse(text: &str) -> Result<EdgeConfig, ConfigError> {
    EdgeConfig::parse(text, Path::new("edge.toml"))
}

fn refused(text: &str) -> String {
    let error = parse(text).unwrap_err();
    assert_eq!((error.exit(), error.code().as_ref()), (Exit::Usage, "config-invalid"));
    Chain(&error).to_string()
}

fn zone(name: &str, path: &str, access: Access) -> ZoneConfig {
    ZoneConfig { name: ZoneName::parse(name).unwrap(), path: path.into(), access, umask: None }
}

#[test]
fn every_key_is_read() {
    let config = parse(
        "[relay]\naddresses = ['relay.example:4433', '[::1]:1']\n\
         [landing_zone.out]\npath = '/data/out'\nallow = ['write', 'read']\n\
         [landing_zone.in]\npath = '/data/in'\n\
         [landing_zone.drop]\npath = '/data/drop'\nallow = ['write']\n\
         [limits]\nmemory = '64MiB'\ncompress = 3\nmtu = 6500\n",
    )
    .unwrap();

    assert_eq!(
        config.relay_addresses,
        ["relay.example:4433", "[::1]:1"].map(|text| RelayAddress::parse(text).unwrap())
    );
    assert_eq!(
        config.zones,
        [
            zone("drop", "/data/drop", Access::Write),
            zone("in", "/data/in", Access::Read),
            zone("out", "/data/out", Access::ReadWrite),
        ]
    );
    let (memory, mtu) = (ByteSize(64 << 20), Mtu::MAX);
    assert_eq!(config.limits, Limits { memory, compress: Compress::Level(3), mtu });
}

#[test]
fn an_empty_file_has_the_defaults() {
    let mtu = Mtu::try_new(1452).unwrap();
    let limits = Limits { memory: ByteSize(128 << 20), compress: Compress::Auto, mtu };
    let expected = EdgeConfig { relay_addresses: Vec::new(), zones: Vec::new(), limits };

    assert_eq!(parse("").unwrap(), expected);
}

#[test]
fn a_misspelt_key_is_an_error_that_names_it() {
    for (text, key) in [
        ("[limit]\n", "limit"),
        ("[limits]\nmemmory = '1GiB'\n", "memmory"),
        ("[relay]\naddress = 'a:1'\n", "address"),
        ("[landing_zone.a]\npath = '/a'\nalow = []\n", "alow"),
    ] {
        let message = refused(text);
        assert!(message.contains(&format!("unknown field `{key}`")), "{message}");
    }
}

#[test]
fn values_that_cannot_be_used_are_refused_with_what_was_expected() {
    assert_eq!(
        refused("[limits]\nmemory = '1MiB'\n"),
        "limits.memory is 1MiB, expected at least 16MiB"
    );
    for mtu in [1199, 6501, 9000] {
        let error = parse(&format!("[limits]\nmtu = {mtu}\n")).unwrap_err();
        let found = Chain(&error).to_string();
        assert!(found.ends_with(&format!("mtu is {mtu}, expected 1200 to 6500")), "{found}");
    }
    for umask in ["22", "0o22", "0700", "029", "x", "+22", "00022"] {
        let message = refused(&format!("[landing_zone.a]\npath = '/a'\numask = '{umask}'\n"));
        assert!(message.contains(&format!("umask \"{umask}\" is not three octal")), "{message}");
    }
    assert_eq!(
        refused("[landing_zone.a]\npath = 'a'\n"),
        "landing_zone.a.path a is not absolute or contains `..`"
    );
    assert_eq!(
        refused("[landing_zone.a]\npath = '/a/../b'\n"),
        "landing_zone.a.path /a/../b is not absolute or contains `..`"
    );
    assert_eq!(
        refused("[landing_zone.a]\npath = '/a'\nallow = []\n"),
        "landing_zone.a.allow is empty, expected \"read\", \"write\" or both"
    );
    assert_eq!(
        refused("[landing_zone.a]\npath = '/x'\n[landing_zone.b]\npath = '/x/'\n"),
        "landing zones a and b have the same path /x/"
    );
    for (text, part) in [
        ("[limits]\ncompress = 'fast'\n", "compression \"fast\" is not auto, off or a level"),
        ("[limits]\ncompress = 20\n", "compression \"20\" is not auto, off or a level"),
        ("[limits]\nmemory = 'much'\n", "size \"much\" is not a whole number"),
        ("[landing_zone.A]\npath = '/a'\n", "landing zone name \"A\" is not 1 to 63"),
        ("[relay]\naddresses = ['a']\n", "relay address \"a\" is not host:port"),
        ("[landing_zone.a]\n", "missing field `path`"),
    ] {
        let message = refused(text);
        assert!(message.contains(part), "{message}");
        assert!(message.starts_with("edge.toml cannot be understood: "), "{message}");
    }
}

#[test]
fn a_fresh_file_reads_back_and_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let directories = Directories::locate(Some(&dir.path().join("edge")));
    let missing = EdgeConfig::load(&directories).unwrap_err();
    assert_eq!(missing.code(), "config-missing");
    directories.create().unwrap();
    assert_eq!(EdgeConfig::load(&directories).unwrap_err().code(), "config-missing");

    let arguments = ["in=/data/in:ro", "out=/data/out", "odd=/a 'b' \"c\""];
    let zones = arguments
        .iter()
        .map(|text| text.parse::<ZoneArg>().unwrap().to_config(Path::new("/")))
        .collect();
    let config = EdgeConfig {
        relay_addresses: vec![RelayAddress::parse("r:1").unwrap()],
        zones: ZoneConfig::check_all(zones).unwrap(),
        limits: Limits::default(),
    };
    config.write_new(&directories).unwrap();

    assert_eq!(EdgeConfig::load(&directories).unwrap(), config);
    assert_eq!(config.write_new(&directories).unwrap_err().code(), "config-exists");
    assert_eq!(EdgeConfig::load(&directories).unwrap(), config);
}

#[test]
fn directories_are_private_and_those_of_the_service_unless_named() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    let named = Directories::locate(Some(&dir.path().join("a/b")));
    named.create().unwrap();

    assert_eq!(std::fs::metadata(&named.state).unwrap().mode() & 0o777, 0o700);
    let service = Directories::locate(None);
    assert_eq!(service.config_file(), Path::new("/etc/skyspray/edge.toml"));
    assert_eq!(service.state, Path::new("/var/lib/skyspray"));
}

#[test]
fn a_landing_zone_argument_says_name_path_and_access() {
    let read =
        |text: &str| text.parse::<ZoneArg>().map(|argument| argument.to_config(Path::new("/cwd")));

    assert_eq!(read("in=/a"), Ok(zone("in", "/a", Access::ReadWrite)));
    assert_eq!(read("in=/a:rw"), Ok(zone("in", "/a", Access::ReadWrite)));
    assert_eq!(read("in=./a/:ro"), Ok(zone("in", "/cwd/a", Access::Read)));
    assert_eq!(read("in=/a=b:c"), Ok(zone("in", "/a=b:c", Access::ReadWrite)));
    assert_eq!(read("/a"), Err(ZoneArgError::NoPath { text: "/a".into() }));
    let name = ZoneName::parse("in").unwrap();
    assert_eq!(read("in=:ro"), Err(ZoneArgError::EmptyPath { name }));
    assert_eq!(
        read("=x").unwrap_err().to_string(),
        "landing zone name \"\" is not 1 to 63 of the characters a-z 0-9 - _"
    );
    let twice = vec![zone("a", "/a", Access::Read), zone("a", "/b", Access::Read)];
    assert_eq!(
        ZoneConfig::check_all(twice).unwrap_err().to_string(),
        "landing zone a is given twice"
    );
}

#[test]
fn a_umask_is_three_octal_digits_with_or_without_a_zero_before_them() {
    for text in ["027", "0027"] {
        let text = format!("[landing_zone.a]\npath = '/a'\numask = '{text}'\n");
        let config = parse(&text).unwrap();
        assert_eq!(config.zones[0].umask.map(Umask::bits), Some(0o027));
        let written = file::EdgeFile::from(&config).render(Path::new("edge.toml")).unwrap();
        assert!(written.contains("umask = \"027\""), "{written}");
    }
}
