//! The rules of names, with names of our own.

use super::*;
use proptest::prelude::*;
use skyspray_wire::name::LogicalNameError;
use std::num::NonZeroU32;

fn name(text: &str) -> HpccName {
    HpccName::parse(text).unwrap()
}

fn fault(text: &str) -> PathFault {
    match HpccName::parse(text).unwrap_err() {
        NameError::Path { name, source } => {
            assert_eq!(name, text);
            source
        }
        other => panic!("{other:?}"),
    }
}

fn plane(name: &str) -> PlaneName {
    PlaneName::parse(name).unwrap()
}

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

fn root(name: &str, prefix: &str) -> PlaneRoot {
    PlaneRoot::try_new(plane(name), prefix).unwrap()
}

fn path(text: &str, planes: &[PlaneRoot]) -> String {
    name(text).physical_path(planes).unwrap().to_string()
}

#[test]
fn a_name_of_the_catalogue_is_what_a_relay_stores() {
    let found = name(" ~Sales :: Orders 2024@Thor ");

    assert_eq!(found.logical().unwrap().as_str(), "sales::orders 2024");
    assert_eq!((found.as_str(), found.cluster()), ("sales::orders 2024", Some("thor")));
    assert_eq!(found.scopes(), Some("sales"));
    assert_eq!(name("Orders").as_str(), ".::orders");
    assert_eq!(name("orders").scopes(), Some("."));
    assert_eq!(name("file").as_str(), ".::file");
}

#[test]
fn a_foreign_name_keeps_its_server_apart_from_its_scopes() {
    let found = name("~FOREIGN:: 10.1.2.3:7070 ::.:: A ::B@c");

    let kind = NameKind::Foreign {
        server: host("10.1.2.3:7070"),
        name: LogicalName::parse("a::b").unwrap(),
    };
    assert_eq!(found.kind(), &kind);
    assert_eq!(found.as_str(), "foreign::10.1.2.3:7070::a::b");
    assert_eq!(found.scopes(), Some("foreign::10.1.2.3:7070::a"));
    assert_eq!(found.cluster(), Some("c"));
    assert_eq!(name("foreign::dali::b").as_str(), "foreign::dali::b");
}

#[test]
fn a_remote_name_keeps_its_service_apart_from_its_scopes() {
    let found = name("~remote::DFS1::a::b");

    assert_eq!(found.as_str(), "remote::dfs1::a::b");
    assert_eq!(found.scopes(), Some("remote::dfs1::a"));
    assert_eq!(name("remote::s::.::b").as_str(), "remote::s::b");
    let error = HpccName::parse("remote::d/s::a").unwrap_err();
    let (text, service) = ("remote::d/s::a".into(), "d/s".into());
    assert_eq!(error, NameError::Service { name: text, service });
}

#[test]
fn a_query_keeps_its_text_and_is_no_path() {
    let found = name("File::H1::>Select {x} :: Y from T ");

    assert_eq!(found.as_str(), "file::h1::>Select {x} :: Y from T ");
    assert_eq!(found.scopes(), Some("file::h1"));
    found.physical_path(&[]).unwrap_err();
    for text in ["file::h::>", "file::h::> ", "file::h::>a\nb"] {
        let error = NameError::Query { name: text.to_owned(), bytes_max: 4096 };
        assert_eq!(HpccName::parse(text), Err(error));
    }
}

#[test]
fn marks_become_upper_case_on_disk() {
    let NameKind::External { path, .. } = name("file::h::^My ^^Dir::^B1^2@c").kind().clone() else {
        panic!()
    };

    assert_eq!(path.segments(), ["^my ^^dir", "^b1^2"]);
    assert_eq!(path.file_names().collect::<Vec<_>>(), ["My ^dir", "B12"]);
}

#[test]
fn a_path_that_leaves_its_directory_is_refused_also_behind_marks() {
    for text in [
        "file::h::a::..::b",
        "file::h::a::..",
        "file::h::..@c",
        "file::h::^.^.::b",
        "file::h::.^.::b",
        "file::h::a::^.",
        "plane::p::^..::b",
    ] {
        assert_eq!(fault(text), PathFault::Relative, "{text}");
        assert_eq!(HpccName::parse(text).unwrap_err().hpcc_number(), Some(8111), "{text}");
    }
    assert_eq!(HpccName::parse("a::..::b").unwrap_err().hpcc_number(), None);
    assert_eq!(name("file::h::...::a").as_str(), "file::h::...::a");
    assert_eq!(name("file::h::.:: A ::.::^B").as_str(), "file::h::a::^b");
}

#[test]
fn a_path_that_breaks_another_rule_says_which() {
    assert_eq!(fault("file::h::a/b"), PathFault::Character { character: '/' });
    assert_eq!(fault("file::h::a\\b"), PathFault::Character { character: '\\' });
    assert_eq!(fault("file::h::a>b"), PathFault::Character { character: '>' });
    assert_eq!(fault("plane::p::a\0"), PathFault::Character { character: '\0' });
    assert_eq!(fault("plane::p::~a"), PathFault::Character { character: '~' });
    assert_eq!(fault("file::h::a:b"), PathFault::Character { character: ':' });
    assert_eq!(fault("file::h::a::::b"), PathFault::Empty);
    assert_eq!(fault("plane::p::"), PathFault::Empty);
    assert_eq!(fault("file::h::a::."), PathFault::NoTail);
    assert_eq!(fault("file::h::a@b@c"), PathFault::Cluster);
    assert_eq!(fault("file::h::a^::b"), PathFault::Mark);
    assert_eq!(fault("file::h::b^^^"), PathFault::Mark);
    let long = format!("file::h::{}", "a".repeat(256));
    let error = HpccName::parse(&long).unwrap_err();
    let NameError::Path { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source, PathFault::TooLong { bytes: 257, segments: 1 });
}

#[test]
fn a_name_without_what_its_first_scope_asks_for_is_refused() {
    for text in ["file::h", "foreign::h", "remote::s"] {
        let error = HpccName::parse(text).unwrap_err();
        assert!(matches!(error, NameError::Incomplete { .. }), "{text}: {error:?}");
    }
    for text in ["file::::a", "file::h h::a", "foreign::[fe80]::a", "file::..::a", "file::h:0::a"] {
        let error = HpccName::parse(text).unwrap_err();
        assert!(matches!(error, NameError::Host { .. }), "{text}: {error:?}");
    }
    for text in ["foreign::h::~a", "foreign::h::::a", "foreign::h::file::x::a"] {
        let error = HpccName::parse(text).unwrap_err();
        assert!(matches!(error, NameError::Logical(_)), "{text}: {error:?}");
    }
    assert!(matches!(HpccName::parse("plane::-::a"), Err(NameError::Plane { .. })));
}

#[test]
fn a_list_puts_its_prefix_before_names_without_a_tilde() {
    let found = name("~S :: { A* , ~b ,~foreign::h::c}");

    assert_eq!(found.as_str(), "{s::a*,.::b,foreign::h::c}");
    let NameKind::Multi(names) = found.kind() else { panic!() };
    assert_eq!(names[0].kind(), &NameKind::Pattern("s::a*".to_owned()));
    assert_eq!(names[1].logical().unwrap().as_str(), ".::b");
    assert_eq!(found.scopes(), None);
    assert_eq!(name("{x?}").as_str(), "{.::x?}");
}

#[test]
fn a_list_that_is_none_says_why() {
    let error = |text: &str| HpccName::parse(text).unwrap_err();
    let list = |text: &str| text.to_owned();

    assert_eq!(error("{}"), NameError::EmptyList { list: list("{}") });
    assert_eq!(error("a::{ }"), NameError::EmptyList { list: list("a::{ }") });
    assert_eq!(error("{a,{b}}"), NameError::NestedList { list: list("{a,{b}}") });
    let comma = "file::h::>,{0}";
    assert_eq!(error(comma), NameError::CommaBeforeList { list: list(comma) });
    assert_eq!(error("{a,,b}"), LogicalNameError::Empty { name: String::new() }.into());
    let many = format!("{{{}a}}", "a,".repeat(10_000));
    assert_eq!(error(&many), NameError::ListTooLong { names: 10_001, names_max: 10_000 });
    assert!(matches!(error("a*"), NameError::Logical(LogicalNameError::Character { .. })));
    assert!(matches!(error("{a}b"), NameError::Logical(LogicalNameError::Character { .. })));
}

#[test]
fn what_no_relay_stores_says_how_it_is_reached() {
    for (text, hint) in [
        ("foreign::h::a", "PLANE:scope::name"),
        ("remote::s::a", "PLANE:scope::name"),
        ("file::h::a", "ZONE:path"),
        ("file::h::>a", "ZONE:path"),
        ("plane::lz::a", "lz:path/"),
        ("{a,b}", "one at a time"),
    ] {
        let message = name(text).logical().unwrap_err().to_string();
        assert!(message.contains(hint), "{message}");
    }
}

#[test]
fn an_external_file_lies_on_its_host() {
    assert_eq!(path("file::LocalHost::^A::b", &[]), "/A/b");
    assert_eq!(path("file::127.1.2.3::b", &[]), "/b");
    assert_eq!(path("file::127.host.2.3::b", &[]), "//127.host.2.3/b");
    assert_eq!(path("file::h:7100::a::b", &[]), "//h:7100/a/b");
    let error = name("file::h::a*").physical_path(&[]).unwrap_err();
    assert_eq!(error, PhysicalError::Wildcards { name: "file::h::a*".into() });
}

#[test]
fn a_file_of_a_plane_lies_below_its_prefix() {
    let two = NonZeroU32::new(2).unwrap();
    let planes = [
        root("here", "/"),
        root("there", "/srv//lz/").with_hosts(vec![host("n1"), host("n2")]),
        root("wide", "/d").with_devices(two),
    ];

    assert_eq!(path("plane::here::a", &planes), "/a");
    assert_eq!(path("plane::There::a::^B", &planes), "//n1/srv/lz/a/B");
    assert_eq!(path("plane::there", &planes), "//n1/srv/lz");
    let error = |text: &str| name(text).physical_path(&planes).unwrap_err();
    assert_eq!(
        error("plane::wide::a"),
        PhysicalError::Devices { plane: plane("wide"), devices: two }
    );
    let unknown =
        PhysicalError::UnknownPlane { name: "plane::gone::a".into(), plane: plane("gone") };
    assert_eq!(unknown.hpcc_number(), Some(8115));
    assert_eq!(error("plane::gone::a"), unknown);
    assert_eq!(
        error("plane::here::a?"),
        PhysicalError::Wildcards { name: "plane::here::a?".into() }
    );
    assert_eq!(error("a::b"), PhysicalError::NotExternal { name: "a::b".into() });
}

#[test]
fn a_path_is_inside_the_plane_of_its_host_by_whole_directories() {
    let planes = [
        root("data", "/data"),
        root("deep", "/data/deep"),
        root("far", "/data").with_hosts(vec![host("n1")]),
    ];
    let inside = |text: &str| {
        let path = name(text).physical_path(&planes).unwrap();
        path.inside(&planes).map(|(root, rest)| format!("{} {}", root.name(), rest.join("/")))
    };

    assert_eq!(inside("file::localhost::data::x::y"), Ok("data x/y".to_owned()));
    assert_eq!(inside("file::localhost::data::deep::y"), Ok("deep y".to_owned()));
    assert_eq!(inside("file::n1::data::deep::y"), Ok("far deep/y".to_owned()));
    assert_eq!(inside("plane::far::y"), Ok("far y".to_owned()));
    for (text, shown) in [
        ("file::localhost::data2::y", "/data2/y"),
        ("file::localhost::^data::y", "/Data/y"),
        ("file::n2::data::y", "//n2/data/y"),
        ("file::n1:7100::data::y", "//n1:7100/data/y"),
    ] {
        let error = inside(text).unwrap_err();
        assert_eq!(error, PhysicalError::NoPlane { path: shown.into() });
        assert_eq!(error.hpcc_number(), Some(8112));
    }
}

#[test]
fn a_prefix_that_is_no_directory_is_refused() {
    for prefix in ["", "data", "s3:data", "/a/../b", "/./a", "/a\n"] {
        let error = PlaneRoot::try_new(plane("p"), prefix).unwrap_err();
        assert!(error.to_string().contains("expected an absolute directory"), "{prefix:?}");
    }
}

#[test]
fn a_relative_path_is_found_at_either_separator() {
    for text in ["~", "~a", ".", "..", "a/..", "a\\..\\b", "./a", "a/.", "a/b\\../c"] {
        assert!(contains_relative_path(text), "{text}");
    }
    for text in ["", "/", "a", "a.b/..c", "a/b~", "a/...", " ~", ".a", "a./b"] {
        assert!(!contains_relative_path(text), "{text}");
    }
}

#[test]
fn an_s3_name_is_a_plane_and_a_key_and_perhaps_a_device() {
    let object = |text: &str, devices| {
        let devices = NonZeroU32::new(devices).unwrap();
        let object = S3Name::parse(text).unwrap().object(devices);
        object.map(|object| (object.device.get(), object.key.to_string()))
    };

    assert_eq!(S3Name::parse("s3:lake/d2/a/b").unwrap().to_string(), "s3:lake/d2/a/b");
    assert_eq!(object("s3:lake/d2/a/b", 3), Ok((2, "a/b".to_owned())));
    assert_eq!(object("s3:lake/d2/a/b", 1), Ok((1, "d2/a/b".to_owned())));
    assert_eq!(object("s3:lake/a", 1), Ok((1, "a".to_owned())));
    for text in ["d4/a", "d0/a", "d01/a", "d+1/a", "d/a", "x/a", "d1", "d99999999999/a"] {
        let error = object(&format!("s3:lake/{text}"), 3).unwrap_err();
        assert!(matches!(error, S3NameError::Device { .. }), "{text}: {error:?}");
    }
}

#[test]
fn an_s3_name_that_breaks_a_rule_says_which() {
    for text in ["", "s3:", "s3:/k", "s3:p", "s3:p/", "s3:p/k/", "S3:p/k", "azureblob:p/k"] {
        let error = S3Name::parse(text).unwrap_err();
        assert_eq!(error, S3NameError::Form { name: text.to_owned() });
    }
    assert!(matches!(S3Name::parse("s3:P/k"), Err(S3NameError::Plane { .. })));
    for text in ["s3:p/../k", "s3:p/a//k", "s3:p//k", "s3:p/./k", "s3:p/a\\k"] {
        let error = S3Name::parse(text).unwrap_err();
        assert!(matches!(error, S3NameError::Key { .. }), "{text}: {error:?}");
    }
}

/// Names of every kind, and texts that are nearly names.
fn text() -> impl Strategy<Value = String> {
    let first = prop::sample::select(vec![
        "",
        "~",
        "file::",
        "plane::",
        "foreign::",
        "remote::",
        "file::h::",
        "plane::p::",
        "foreign::h::",
        "remote::s::",
        "file::h::>",
        "{",
        "a::{",
    ]);
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9]{1,3}",
        4 => Just("::".to_owned()),
        3 => prop::sample::select(vec![
            ".", "..", "^", "^.", "@", "~", " ", ":", "*", "?", "/", "\\", "\0", ",", "}", "{", ">",
        ])
        .prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    (first, prop::collection::vec(piece, 0..10))
        .prop_map(|(first, pieces)| format!("{first}{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_name_reads_back_as_itself_and_its_path_stays_where_it_is(text in text()) {
        if let Ok(name) = HpccName::parse(&text) {
            let again = HpccName::parse(name.as_str()).unwrap();
            prop_assert_eq!(again.as_str(), name.as_str());
            prop_assert!(again.kind() == name.kind() || matches!(name.kind(), NameKind::Multi(_)));
            if let Ok(logical) = name.logical() {
                prop_assert_eq!(Ok(logical.clone()), LogicalName::parse(&text));
            }
            if let Ok(path) = name.physical_path(&[root("p", "/x/y")]) {
                let shown = path.to_string();
                prop_assert!(!contains_relative_path(&shown));
                prop_assert!(!shown.trim_start_matches("//").contains("//"));
                prop_assert!(path.names().iter().all(|n| !n.contains(['/', '\\', '\0'])));
            }
        }
    }
}
