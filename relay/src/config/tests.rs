//! What `relay.toml` may say, and what is said about it when it is wrong.

mod object;

use super::*;
use crate::catalogue::CatalogueUrl;
use crate::plane::{Layout, PlaneUrl};
use std::error::Error as _;

const LEAST: &str = "\
public_name = 'relay.example'
trust_domain = 'sky.example'
listen = '0.0.0.0:4433'
enroll_listen = '0.0.0.0:4434'
";

fn parse(text: &str) -> Result<RelaySettings, ConfigError> {
    RelaySettings::parse(text, Path::new("relay.toml"), &Overrides::default())
}

/// The whole chain of an error as one line.
fn complaint(more: &str) -> String {
    let error = parse(&format!("{LEAST}{more}")).unwrap_err();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

#[test]
fn the_least_file_leaves_everything_else_at_its_default() {
    let settings = parse(&format!("{LEAST}[plane.data]\nurl = 'file:///srv/data'\n")).unwrap();

    assert_eq!(settings.public_name.as_str(), "relay.example");
    assert_eq!(settings.api_listen, None);
    assert_eq!(
        settings.limits,
        Limits {
            memory_bytes: 128 << 20,
            sessions_max: number(256),
            sessions_per_agent: number(4),
            mtu: Mtu::try_new(1452).unwrap(),
        }
    );
    let plane = settings.plane(&PlaneName::parse("data").unwrap()).unwrap();
    assert_eq!(
        *plane,
        PlaneSettings {
            url: PlaneUrl::File("/srv/data".into()),
            object: None,
            layout: Layout { devices: number(1), dir_per_part: true, keep_generations: None },
            category: Category::Data,
            default_parts: number(1),
            replication: Vec::new(),
        }
    );
}

#[test]
fn every_key_can_be_set() {
    let more = "\
api_listen = '127.0.0.1:8080'
[limits]
memory = '64MiB'
sessions_max = 9
sessions_per_agent = 2
mtu = 6500
[plane.in]
url = 'file:///srv/in'
layout = 'hpcc'
category = 'lz'
default_parts = 8
devices = 3
dir_per_part = false
replication = ['data', 'lake']
";
    let settings = parse(&format!("{LEAST}{more}")).unwrap();

    assert_eq!(settings.api_listen, Some("127.0.0.1:8080".parse().unwrap()));
    let limits = Limits {
        memory_bytes: 64 << 20,
        sessions_max: number(9),
        sessions_per_agent: number(2),
        mtu: Mtu::MAX,
    };
    assert_eq!(settings.limits, limits);
    let plane = &settings.planes[&PlaneName::parse("in").unwrap()];
    assert_eq!(plane.category, Category::Lz);
    assert_eq!(plane.default_parts, number(8));
    assert_eq!(plane.replication, ["data", "lake"].map(|name| PlaneName::parse(name).unwrap()));
    assert_eq!(
        plane.layout,
        Layout { devices: number(3), dir_per_part: false, keep_generations: None }
    );
}

#[test]
fn a_misspelt_key_is_an_error_that_names_it_and_its_line() {
    let text = complaint("[limits]\nsession_max = 3\n");

    assert_eq!(
        text,
        "relay.toml line 6: unknown field `session_max`, expected one of `memory`, \
         `sessions_max`, `sessions_per_agent`, `mtu`"
    );
}

#[test]
fn a_missing_key_and_broken_text_are_named() {
    let error = parse("listen = '0.0.0.0:1'\n").unwrap_err().to_string();
    assert_eq!(error, "relay.toml line 1: missing field `public_name`");

    let text = complaint("[plane.x]\n");
    assert_eq!(text, "relay.toml line 5: missing field `url`");
    assert!(complaint("[plane").starts_with("relay.toml line 5: "));
}

#[test]
fn values_out_of_range_say_what_is_expected() {
    for (more, expected) in [
        ("[limits]\nmemory = '1MiB'\n", "limits.memory is 1MiB, expected at least 16MiB"),
        ("[limits]\nmtu = 9000\n", "[limits] cannot be used: mtu is 9000, expected 1200 to 6500"),
        ("[limits]\nsessions_max = 0\n", "limits.sessions_max is 0, expected at least 1"),
        (
            "[limits]\nsessions_per_agent = 0\n",
            "limits.sessions_per_agent is 0, expected at least 1",
        ),
        (
            "[limits]\nmemory = '64'\n",
            "relay.toml line 6: \"64\" has no known unit, expected one of B, KiB, MiB, GiB, TiB",
        ),
        (
            "[plane.x]\nurl = 'file:///x'\ndefault_parts = 70000\n",
            "plane x: default_parts is 70000, expected 1 to 65536",
        ),
        (
            "[plane.x]\nurl = 'file:///x'\ndevices = 0\n",
            "plane x: devices is 0, expected 1 to 65536",
        ),
    ] {
        assert_eq!(complaint(more), expected);
    }
}

#[test]
fn planes_of_other_kinds_and_layouts_are_refused_by_name() {
    let url = |url: &str| complaint(&format!("[plane.x]\nurl = '{url}'\n"));

    assert_eq!(
        url("hdfs://bucket/a"),
        "plane x: plane kind \"hdfs\" is not supported, expected file, s3, azure or gs"
    );
    assert_eq!(
        url("file://host/a"),
        "plane x: url \"file://host/a\" has no absolute path, expected file:///path"
    );
    assert_eq!(
        url("/srv/x"),
        "plane x: url \"/srv/x\" has no kind, expected file:///path or s3://bucket/prefix"
    );
    assert_eq!(
        complaint("[plane.x]\nurl = 'file:///x'\nlayout = 'flat'\n"),
        "plane x: layout \"flat\" is not supported, expected hpcc or generation"
    );
    assert_eq!(
        complaint("[plane.X]\nurl = 'file:///x'\n"),
        "plane has an unusable name: plane name \"X\" is not 1 to 63 of the characters a-z 0-9 - _"
    );
    assert!(complaint("[plane.x]\nurl = 'file:///x'\ncategory = 'tape'\n").contains("`tape`"));
}

#[test]
fn generations_are_kept_only_where_they_have_directories_of_their_own() {
    let plane = |more: &str| format!("[plane.x]\nurl = 'file:///x'\n{more}");
    let keeps = |more: &str| {
        let settings = parse(&format!("{LEAST}{}", plane(more))).unwrap();
        settings.planes[&PlaneName::parse("x").unwrap()].layout.keep_generations
    };

    assert_eq!(keeps("layout = 'generation'\n"), Some(number(1)));
    assert_eq!(keeps("layout = 'generation'\nkeep_generations = 5\n"), Some(number(5)));
    assert_eq!(
        complaint(&plane("keep_generations = 2\n")),
        "plane x: keep_generations needs layout = \"generation\""
    );
    assert_eq!(
        complaint(&plane("layout = 'generation'\nkeep_generations = 0\n")),
        "plane x: keep_generations is 0, expected 1 to 1000"
    );
}

#[test]
fn hosts_that_no_edge_could_reach_are_refused() {
    let with = |from: &str, to: &str| parse(&LEAST.replace(from, to)).unwrap_err().to_string();

    assert_eq!(
        with("relay.example", "a b"),
        "public name \"a b\" is not a host name or IP address"
    );
    assert_eq!(
        with("relay.example", "relay.example:4433"),
        "public name \"relay.example:4433\" is not a host name or IP address"
    );
    assert_eq!(with("'sky.example'", "'Sky'"), "trust_domain is not usable");
    assert_eq!(
        with("4434", "4433"),
        "listen and enroll_listen are both 0.0.0.0:4433, expected two addresses"
    );
    parse(&LEAST.replace("4434", "0").replace("4433", "0")).unwrap();
}

#[test]
fn a_plane_that_is_not_configured_is_named() {
    let error = parse(LEAST).unwrap().plane(&PlaneName::parse("lake").unwrap()).unwrap_err();

    assert_eq!(error.to_string(), "plane lake is not in relay.toml");
}

#[test]
fn the_file_of_a_new_relay_reads_back() {
    let new = NewRelay {
        catalogue: CatalogueUrl::Sqlite,
        public_name: "[::1]".into(),
        trust_domain: "sky.example".into(),
        listen: "[::]:4433".parse().unwrap(),
        enroll_listen: "[::]:4434".parse().unwrap(),
        api_listen: Some("127.0.0.1:80".parse().unwrap()),
        planes_from: None,
        planes: vec!["data=file:///srv/it's \"here\"".parse().unwrap()],
    };

    let settings = parse(&new.to_toml()).unwrap();

    assert_eq!(settings.public_name.with_port(9).unwrap().as_str(), "[::1]:9");
    assert_eq!(settings.public_name.with_port(0), None);
    assert_eq!((settings.listen, settings.enroll_listen), (new.listen, new.enroll_listen));
    assert_eq!(settings.api_listen, new.api_listen);
    let (name, plane) = settings.planes.first_key_value().unwrap();
    assert_eq!(name.as_str(), "data");
    assert_eq!(plane.url, PlaneUrl::File("/srv/it's \"here\"".into()));
}

#[test]
fn the_commented_part_of_a_new_file_is_usable_as_it_stands() {
    let new = NewRelay {
        catalogue: CatalogueUrl::Sqlite,
        public_name: "r".into(),
        trust_domain: "sky.example".into(),
        listen: "0.0.0.0:1".parse().unwrap(),
        enroll_listen: "0.0.0.0:2".parse().unwrap(),
        api_listen: None,
        planes_from: None,
        planes: Vec::new(),
    };
    let values = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(values.path(), "storage: {planes: []}").unwrap();
    let text = new.to_toml().replace("# [plane.NAME]", "[plane.name]");
    let text = text.replace("/path/values.yaml", values.path().to_str().unwrap());
    let uncommented: String = text
        .lines()
        .map(|line| {
            line.strip_prefix("# ").filter(|line| line.contains(['=', '['])).unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();

    let settings = parse(&uncommented).unwrap();

    assert_eq!(settings.limits, Limits::try_from(LimitsTable::default()).unwrap());
    assert_eq!(settings.planes.len(), 1);
}

#[test]
fn a_plane_argument_is_a_name_and_a_url() {
    let error = |text: &str| text.parse::<PlaneArg>().unwrap_err().to_string();

    assert_eq!(error("data"), "\"data\" is not of the form NAME=URL");
    assert_eq!(
        error("data=s3://b"),
        "bucket \"b\" has an unusable name, expected 3 to 222 of a-z 0-9 . - _ that are no S3 \
         directory bucket"
    );
    assert_eq!(
        error("Data=file:///x"),
        "plane name \"Data\" is not 1 to 63 of the characters a-z 0-9 - _"
    );
}

#[test]
fn the_http_interface_is_protected_by_both_files_or_said_to_need_none() {
    let api = |text: &str| parse(&format!("{LEAST}[api]\n{text}")).unwrap().api;

    assert_eq!(parse(LEAST).unwrap().api, ApiProtection::Loopback);
    assert_eq!(api("plaintext = true"), ApiProtection::Plaintext);
    assert_eq!(
        api("tls_cert = 'api.crt'\ntls_key = '/k/api.key'"),
        ApiProtection::Tls { cert: "api.crt".into(), key: "/k/api.key".into() }
    );
    assert_eq!(
        complaint("[api]\ntls_key = 'x'\nplaintext = true"),
        "[api] has no tls_cert, expected both tls_cert and tls_key or neither"
    );
    assert_eq!(
        complaint("[api]\ntls_cert = 'x'\ntls_key = 'x'\nplaintext = true"),
        "[api] has plaintext = true beside tls_cert and tls_key, expected one of the two"
    );
}

#[test]
fn what_edges_are_told_is_a_list_of_addresses_that_fits_one_answer() {
    let told = |text: &str| parse(&format!("advertise = {text}\n{LEAST}")).unwrap().advertise;
    let refused = |text: &str| {
        parse(&format!("advertise = {text}\n{LEAST}")).map(drop).unwrap_err().to_string()
    };

    assert_eq!(parse(LEAST).unwrap().advertise, []);
    let both = told("[\"relays.example:4433\", \"10.0.0.7:14433\"]");
    let both: Vec<_> = both.iter().map(RelayAddress::as_str).collect();
    assert_eq!(both, ["relays.example:4433", "10.0.0.7:14433"]);
    assert_eq!(refused("[\"relays.example\"]"), "advertise has an unusable address");
    let many = vec!["\"a:1\""; 17].join(",");
    assert_eq!(refused(&format!("[{many}]")), "advertise has 17 addresses, expected at most 16");
}
