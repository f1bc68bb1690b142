//! The relay's HTTP interface: what programs in the cluster read is what edges sprayed, byte by
//! byte, range by range, and nothing for whoever has no token.

#![allow(clippy::unwrap_used, reason = "helpers of tests unwrap as tests do")]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use skyspray_tests::args;
use skyspray_tests::check::{assert_says, stored_parts};
use skyspray_tests::data::{Numbers, csv_file, random_file};
use skyspray_tests::http::{Answer, Http};
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use skyspray_tests::process::Launch;
use skyspray_tests::relay::PLANE;
use skyspray_tests::wait;
use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

/// A pair whose relay serves HTTP to a token that may read everything of the plane.
fn pair() -> (Pair, Http) {
    let mut pair = Pair::prepare().unwrap();
    pair.relay.listen_http("127.0.0.1:0");
    pair.relay.serve().unwrap();
    pair.enroll(&format!("push,pull,list,remove,overwrite:{PLANE}")).unwrap();
    let token = pair.relay.add_api_token("reader", &format!("pull,list:{PLANE}"));
    let http = Http { address: pair.relay.http_address(), token: Some(token) };
    (pair, http)
}

fn spray(pair: &Pair, source: &Path, name: &str, options: &[&str]) {
    let mut arguments = args!["spray", source, &pair.target(name)];
    arguments.extend(options.iter().map(OsString::from));
    pair.done(arguments);
}

fn content(name: &str) -> String {
    format!("/v1/files/{}/content?plane={PLANE}", name.replace(':', "%3A"))
}

/// An error as programs see it: its status and code.
fn refused(answer: &Answer) -> (u16, String) {
    let told = answer.json();
    assert_eq!(told["schema"], 1, "{told}");
    for field in ["message", "advice"] {
        assert!(told[field].as_str().is_some_and(|text| !text.is_empty()), "{told}");
    }
    (answer.status, told["code"].as_str().unwrap().to_owned())
}

fn error(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// Reads all of it and many ranges, and compares them with what it should be.
fn assert_reads(http: &Http, path: &str, expected: &[u8]) {
    let whole = http.get(path, &[]);
    assert_eq!((whole.status, whole.announced()), (200, expected.len()), "{whole:?}");
    assert!(whole.body == expected, "{path} is not what was stored");
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let tag = whole.header("etag").unwrap().to_owned();
    let head = http.send(&format!("HEAD {path}"), &[], b"");
    assert_eq!((head.status, head.announced(), head.body.len()), (200, expected.len(), 0));
    assert_eq!(head.header("etag"), Some(tag.as_str()));

    let seed = RandomState::new().build_hasher().finish();
    println!("seed {seed} for {path}");
    let mut numbers = Numbers::new(seed);
    let length = expected.len() as u64;
    for round in 0..40 {
        let from = numbers.below(length);
        let to = from + numbers.below((length - from).min(1 << (round % 24)).max(1));
        let (range, first, last) = match round % 4 {
            0 => (format!("bytes=-{}", length - from), from, length - 1),
            1 => (format!("bytes={from}-"), from, length - 1),
            _ => (format!("bytes={from}-{to}"), from, to),
        };
        let answer = http.get(path, &[("Range", &range), ("If-Match", &tag)]);
        let told = format!("bytes {first}-{last}/{length}");
        assert_eq!((answer.status, answer.header("content-range")), (206, Some(told.as_str())));
        let (first, last) = (usize::try_from(first).unwrap(), usize::try_from(last).unwrap());
        assert!(answer.body == expected[first..=last], "{range} of {path}, seed {seed}");
        assert_eq!(answer.announced(), last + 1 - first);
    }
    let behind = http.get(path, &[("Range", &format!("bytes={length}-"))]);
    assert_eq!(refused(&behind), error(416, "range-unsatisfiable"));
    assert_eq!(behind.header("content-range"), Some(format!("bytes */{length}").as_str()));
    let several = http.get(path, &[("Range", "bytes=0-0,2-3")]);
    assert_eq!((several.status, several.announced()), (200, expected.len()));
    let known = http.get(path, &[("If-None-Match", &tag)]);
    assert_eq!((known.status, known.body.len()), (304, 0));
    let stale = http.get(path, &[("If-Range", "\"other\""), ("Range", "bytes=0-0")]);
    assert_eq!((stale.status, stale.announced()), (200, expected.len()));
    let other = http.get(path, &[("If-Match", "\"other\"")]);
    assert_eq!(refused(&other), error(412, "tag-differs"));
}

fn xml(rows: u32) -> String {
    let row = |index| format!("  <Row id=\"{index}\">{}\u{e9}</Row>\n", "x".repeat(index % 700));
    let rows: String = (0..rows as usize).map(row).collect();
    format!("<?xml version=\"1.0\"?>\n<Rows day=\"1\">\n{rows}</Rows>\n<!-- end -->\n")
}

#[test]
fn files_of_every_shape_are_read_whole_and_by_ranges_as_they_were_sprayed() {
    let (pair, http) = pair();
    let csv = pair.edge.file("orders.csv");
    csv_file(&csv, 9 << 20, 7, &|| false).unwrap();
    let document = pair.edge.file("rows.xml");
    fs::write(&document, xml(4000)).unwrap();
    let rows: Vec<Value> = (0..3000).map(|index| json!({ "id": index, "e": "\u{e9}" })).collect();
    let array = pair.edge.file("rows.json");
    fs::write(&array, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    let wide: Vec<u8> = "\u{feff}a,\u{e9}\n\"x\ny\",2\n"
        .repeat(900)
        .replace("\n\u{feff}", "\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let text = pair.edge.file("wide.csv");
    fs::write(&text, wide).unwrap();

    for (source, name, options) in [
        (&csv, "a::orders 2026", &["--parts", "5"][..]),
        (&document, "a::rows", &["--parts", "4", "--row-tag", "Row"]),
        (&array, "a::array", &["--parts", "3"]),
        (&text, "a::wide", &["--parts", "3"]),
    ] {
        spray(&pair, source, name, options);
        let expected = fs::read(source).unwrap();
        assert_reads(&http, &content(name).replace(' ', "%20"), &expected);
    }
    for (index, stored) in stored_parts(&pair.relay.plane, "a::rows").unwrap().iter().enumerate() {
        let path = format!("/v1/files/a::rows/parts/{}/content?plane={PLANE}", index + 1);
        assert_reads(&http, &path, &fs::read(stored).unwrap());
    }
    for number in ["0", "5"] {
        let path = format!("/v1/files/a::rows/parts/{number}/content?plane={PLANE}");
        assert_eq!(refused(&http.get(&path, &[])), error(404, "part-missing"));
    }
}

#[test]
fn an_empty_file_has_content_and_no_range() {
    let (pair, http) = pair();
    let source = pair.edge.file("empty.csv");
    fs::write(&source, "").unwrap();
    spray(&pair, &source, "a::empty", &["--parts", "2"]);

    let whole = http.get(&content("a::empty"), &[]);
    assert_eq!((whole.status, whole.announced(), whole.body.len()), (200, 0, 0));
    let range = http.get(&content("a::empty"), &[("Range", "bytes=0-")]);
    assert_eq!(refused(&range), error(416, "range-unsatisfiable"));
}

#[test]
fn lists_and_descriptions_say_what_the_command_says() {
    let (pair, http) = pair();
    let source = pair.edge.file("b.bin");
    random_file(&source, 30_000, 3).unwrap();
    for name in ["l::a", "l::b", "l::c", "m::d"] {
        pair.done(pair.spray_bytes(&source, name, 3));
    }
    let shown = pair.relay.admin(args!["file", "show", &pair.target("l::b")]).unwrap().done();
    let mut shown = shown.unwrap().objects();

    let described = http.get(&format!("/v1/files/l%3A%3Ab?plane={PLANE}"), &[]);
    let mut told = described.json();
    let parts = told.as_object_mut().unwrap().remove("part_list").unwrap();
    assert_eq!(told.as_object_mut().unwrap().remove("after"), Some(Value::Null));
    assert_eq!(told, shown.remove(0));
    for (part, mut shown) in parts.as_array().unwrap().iter().zip(shown) {
        let shown = shown.as_object_mut().unwrap();
        assert_eq!(
            (shown.remove("schema"), shown.remove("event")),
            (Some(json!(1)), Some(json!("part")))
        );
        assert_eq!(part.as_object().unwrap(), shown);
    }
    let page = format!("/v1/files/l::b?plane={PLANE}&after=1&limit=1");
    let page = http.get(&page, &[]).json();
    assert_eq!((&page["part_list"][0]["part"], &page["after"]), (&json!(2), &json!(2)));

    let names = |query: &str| {
        let told = http.get(&format!("/v1/files?plane={PLANE}{query}"), &[]).json();
        let files = told["files"].as_array().unwrap().clone();
        let names: Vec<String> =
            files.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect();
        (names.join(" "), told["after"].clone())
    };
    assert_eq!(names("&scope=l&limit=2"), ("l::a l::b".to_owned(), json!("l::b")));
    assert_eq!(names("&scope=l&limit=2&after=l::b"), ("l::c".to_owned(), Value::Null));
    assert_eq!(names("").0, "l::a l::b l::c m::d");
}

#[test]
fn nobody_without_a_token_that_allows_it_gets_anything() {
    let (pair, http) = pair();
    let source = pair.edge.file("b.bin");
    random_file(&source, 1000, 3).unwrap();
    pair.done(pair.spray_bytes(&source, "acme::b", 1));
    let as_token = |token: Option<&str>| Http { token: token.map(str::to_owned), ..http.clone() };
    let path = content("acme::b");

    for token in [None, Some("skyapi_wrong"), Some(""), Some(&"x".repeat(9000)[..])] {
        let answer = as_token(token).get(&path, &[]);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
        refused(&answer);
    }
    let basic = as_token(None).get(&path, &[("Authorization", "Basic eDp5")]);
    assert_eq!(refused(&basic), error(401, "token-missing"));
    let lister = pair.relay.add_api_token("lister", &format!("list:{PLANE}:acme"));
    let other = pair.relay.add_api_token("other", &format!("pull,list:{PLANE}:acme2"));
    for token in [&lister, &other] {
        for path in [&path, "/v1/files/acme::missing?plane=data", "/v1/planes/data/files/acme/b"] {
            let answer = as_token(Some(token)).get(path, &[]);
            assert_eq!(refused(&answer), error(403, "forbidden"), "{path}");
        }
    }
    let list = format!("/v1/files?plane={PLANE}&scope=acme");
    assert_eq!(as_token(Some(&lister)).get(&list, &[]).status, 200);
    assert_eq!(refused(&as_token(Some(&other)).get(&list, &[])), error(403, "forbidden"));
    let everything = as_token(Some(&lister)).get(&format!("/v1/files?plane={PLANE}"), &[]);
    assert_eq!(refused(&everything), error(403, "forbidden"));

    for _ in 0..3 {
        assert_eq!(http.get(&path, &[("Range", "bytes=0-9")]).status, 206);
    }
    pair.relay.admin(args!["api-token", "remove", "reader"]).unwrap().done().unwrap();
    assert_eq!(refused(&http.get(&path, &[])), error(401, "token-unknown"));
    for path in ["/healthz", "/readyz"] {
        let answer = as_token(None).get(path, &[]);
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
    }
    let log = pair.relay.log_tail();
    for token in [&lister, &other, http.token.as_ref().unwrap()] {
        assert!(!log.contains(&token[7..]), "a token is in the log");
    }
    let audit = pair.relay.admin(args!["audit", "tail"]).unwrap().done().unwrap();
    // However many ranges are read, the audit says once that it was read, and with which token.
    let objects = audit.objects();
    let reads: Vec<_> = objects.iter().filter(|line| line["audit_event"] == "read").collect();
    assert_eq!(reads.len(), 1, "{audit:#?}");
    assert_eq!(
        (&reads[0]["target"], &reads[0]["detail"]["api_token"]),
        (&json!("acme::b"), &json!("reader"))
    );
}

#[test]
fn idle_connections_make_room_one_by_one_for_those_that_ask() {
    let (pair, _) = pair();
    let address = pair.relay.http_address();
    let idle: Vec<_> = (0..256).map(|_| TcpStream::connect(&address).unwrap()).collect();

    let anybody = Http { address, token: None };
    for _ in 0..3 {
        assert_eq!(anybody.get("/healthz", &[]).status, 204);
    }

    // Had they all been closed for their time, none for those that ask, or more than one for each of
    // them, this would not hold.
    let is_open = |stream: &TcpStream| {
        stream.set_nonblocking(true).unwrap();
        let read = (&*stream).read(&mut [0; 1]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let closed = idle.iter().filter(|stream| !is_open(stream)).count();
    assert!((1..=3).contains(&closed), "{closed} of 256 idle connections were closed");
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_own_code() {
    let (pair, http) = pair();
    fs::write(pair.relay.plane.join("plain"), "x").unwrap();
    let get = |path: &str| refused(&http.get(path, &[]));

    assert_eq!(get("/v1/nothing"), error(404, "path-unknown"));
    assert_eq!(get("/v1/files/a::b?plane=data"), error(404, "missing"));
    // Whoever may read nothing of a plane does not learn whether it is there.
    assert_eq!(get("/v1/files/a::b?plane=lake"), error(403, "forbidden"));
    let anywhere = Http { token: Some(pair.relay.add_api_token("any", "pull:*")), ..http.clone() };
    let lake = anywhere.get("/v1/files/a::b?plane=lake", &[]);
    assert_eq!(refused(&lake), error(404, "plane-unknown"));
    assert_eq!(get("/v1/files/a::b"), error(400, "request-invalid"));
    assert_eq!(get("/v1/files/a::b?plane=data&x=1"), error(400, "request-invalid"));
    assert_eq!(get("/v1/files?plane=data&limit=0"), error(400, "request-invalid"));
    assert_eq!(get("/v1/files/a::..?plane=data"), error(400, "name-invalid"));
    assert_eq!(get("/v1/planes/data/files/a/../plain"), error(400, "name-invalid"));
    assert_eq!(get("/v1/planes/data/files/%2e%2e/plain"), error(400, "name-invalid"));
    assert_eq!(get("/v1/planes/data/files/.skyspray-x"), error(400, "name-invalid"));
    assert_eq!(get("/v1/planes/data/files/nothing"), error(404, "missing"));
    let wrong = http.send("POST /v1/files?plane=data", &[], b"x");
    assert_eq!(refused(&wrong), error(405, "method-unknown"));
    assert_eq!(wrong.header("allow"), Some("GET, HEAD"));
    let large = http.send("POST /v1/split-points", &[], &vec![b' '; 65 << 10]);
    assert_eq!(refused(&large), error(413, "request-too-large"));
    let many: Vec<(String, String)> =
        (0..100).map(|index| (format!("X-{index}"), "1".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    assert_eq!(http.get("/healthz", &many).status, 431);
}

#[test]
fn a_generation_that_is_replaced_while_it_is_read_ends_short_and_is_not_mixed() {
    let (pair, http) = pair();
    let source = pair.edge.file("big.bin");
    random_file(&source, 64 << 20, 1).unwrap();
    pair.done(pair.spray_bytes(&source, "t::big", 4));
    let old = fs::read(&source).unwrap();
    let head = http.send(&format!("HEAD {}", content("t::big")), &[], b"");
    let tag = head.header("etag").unwrap().to_owned();
    let pinned = format!("{}&generation=1", content("t::big"));
    assert_eq!(head.header("skyspray-generation"), Some("1"));

    // It is begun and not read on, so that most of it is still to be sent.
    let begun = http.begin(&format!("GET {pinned}"), &[], b"");
    assert_eq!(begun.status(), 200);
    random_file(&source, 64 << 20, 2).unwrap();
    let mut again = pair.spray_bytes(&source, "t::big", 4);
    again.extend(args!["--overwrite"]);
    pair.done(again);
    let answer = begun.finish();

    assert_eq!(answer.announced(), old.len());
    assert!(answer.body.len() < old.len(), "all of it came although it was replaced");
    assert!(answer.body == old[..answer.body.len()], "bytes of another generation came");
    assert_eq!(refused(&http.get(&pinned, &[])), error(412, "generation-differs"));
    let matched = http.get(&content("t::big"), &[("If-Match", &tag)]);
    assert_eq!(refused(&matched), error(412, "tag-differs"));
    let new = http.get(&content("t::big"), &[("If-Range", &tag), ("Range", "bytes=5-9")]);
    assert_eq!((new.status, new.announced()), (200, old.len()));
    assert!(new.body == fs::read(&source).unwrap());
}

#[test]
fn a_part_that_is_not_what_was_committed_is_not_passed_on() {
    let (pair, http) = pair();
    let source = pair.edge.file("b.bin");
    random_file(&source, 3 << 20, 5).unwrap();
    pair.done(pair.spray_bytes(&source, "t::b", 2));
    let parts = stored_parts(&pair.relay.plane, "t::b").unwrap();
    let whole = fs::read(&parts[1]).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&parts[1], &damaged).unwrap();

    let answer = http.get(&content("t::b"), &[]);
    assert_eq!((answer.status, answer.announced()), (200, 3 << 20));
    let original = fs::read(&source).unwrap();
    assert!(answer.body.len() < original.len(), "the damaged end came");
    assert!(answer.body == original[..answer.body.len()]);
    fs::write(&parts[1], &whole[1..]).unwrap();
    let second = format!("/v1/files/t::b/parts/2/content?plane={PLANE}");
    assert_eq!(refused(&http.get(&second, &[])), error(500, "stored-corrupt"));
    fs::remove_file(&parts[1]).unwrap();
    assert_eq!(refused(&http.get(&second, &[])), error(500, "stored-corrupt"));
}

#[test]
fn readers_beyond_the_limit_are_told_to_come_back_and_slow_ones_cost_little_memory() {
    let (pair, http) = pair();
    let source = pair.edge.file("big.bin");
    random_file(&source, 64 << 20, 1).unwrap();
    pair.done(pair.spray_bytes(&source, "t::big", 1));
    let path = format!("GET {}", content("t::big"));

    let slow: Vec<_> = (0..16).map(|_| http.begin(&path, &[], b"")).collect();
    let busy = http.send(&path, &[], b"");
    assert_eq!(refused(&busy), error(503, "busy"));
    assert_eq!(busy.header("retry-after"), Some("1"));
    assert_eq!(http.send(&format!("HEAD {}", content("t::big")), &[], b"").status, 200);
    let status = fs::read_to_string(format!("/proc/{}/status", pair.relay.process().id()));
    let status = status.unwrap();
    let resident = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    println!("resident with 16 slow readers: {kib} KiB");
    assert!(kib < 320 << 10, "{resident}");
    drop(slow);
    wait::until("a reader is served again", Duration::from_secs(30), || {
        http.get(&content("t::big"), &[("Range", "bytes=0-9")]).status == 206
    });
}

#[test]
fn a_pushed_file_is_read_by_ranges_and_split_where_a_spray_would_split_it() {
    let (pair, http) = pair();
    let csv = pair.edge.file("orders.csv");
    csv_file(&csv, 5 << 20, 9, &|| false).unwrap();
    let document = pair.edge.file("rows.xml");
    fs::write(&document, xml(3000)).unwrap();
    pair.done(args!["push", &csv, &document, "data:in coming/"]);
    // One that nobody pushed is read like it.
    fs::copy(&csv, pair.relay.plane.join("foreign.csv")).unwrap();

    let expected = fs::read(&csv).unwrap();
    assert_reads(&http, "/v1/planes/data/files/in%20coming/orders.csv", &expected);
    assert_reads(&http, "/v1/planes/data/files/foreign.csv", &expected);
    for (file, more, options) in [
        (&csv, json!({}), args!["--format", "csv"]),
        (&document, json!({ "row-tag": "Row" }), args!["--row-tag", "Row"]),
    ] {
        let name = file.file_name().unwrap().to_str().unwrap();
        let mut asked = json!({ "plane": PLANE, "path": format!("in coming/{name}"), "parts": 4 });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let body = asked.to_string();
        let answer = http.send("POST /v1/split-points", &[], body.as_bytes());
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = answer.json();

        let mut plan = args!["plan", file, "--parts", "4"];
        plan.extend(options);
        let planned = pair.done(plan).objects();
        let source = fs::read(file).unwrap();
        assert_eq!(told["length"], source.len());
        let parts = told["parts"].as_array().unwrap();
        assert_eq!(parts.len(), 4);
        for (part, planned) in parts.iter().zip(planned.iter()) {
            for (mine, theirs) in [
                ("part", "part"),
                ("offset", "offset"),
                ("stored_length", "length"),
                ("records", "records"),
                ("header", "header"),
                ("footer", "footer"),
            ] {
                assert_eq!(part[mine], planned[theirs], "{mine} of {part} and {planned}");
            }
            let number = |field: &str| usize::try_from(part[field].as_u64().unwrap()).unwrap();
            let (offset, length) = (number("offset"), number("length"));
            let around = number("header") + number("footer");
            assert_eq!(length + around, number("stored_length"));
            let range = format!("bytes={offset}-{}", offset + length - 1);
            let path = format!("/v1/planes/data/files/in%20coming/{name}");
            let tag = told["tag"].as_str().unwrap();
            let read = http.get(&path, &[("Range", &range), ("If-Match", tag)]);
            assert_eq!(read.status, 206);
            assert!(read.body == source[offset..offset + length]);
        }
    }
}

#[test]
fn split_points_that_cannot_be_told_say_why() {
    let (pair, http) = pair();
    fs::write(pair.relay.plane.join("a.csv"), "a,\"b\n").unwrap();
    fs::write(pair.relay.plane.join("a.xml"), "<r><x/></r>").unwrap();
    let ask = |more: Value| {
        let mut asked = json!({ "plane": PLANE, "path": "a.csv", "parts": 2 });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(&http.send("POST /v1/split-points", &[], asked.to_string().as_bytes()))
    };

    assert_eq!(ask(json!({})), error(422, "record-invalid"));
    assert_eq!(ask(json!({ "format": "fixed" })), error(400, "format-invalid"));
    assert_eq!(
        ask(json!({ "format": "fixed", "record-size": "1KiB", "quote": "'" })),
        error(400, "format-invalid")
    );
    assert_eq!(ask(json!({ "format": "pdf" })), error(400, "request-invalid"));
    assert_eq!(ask(json!({ "form": "csv" })), error(400, "request-invalid"));
    assert_eq!(ask(json!({ "parts": 0 })), error(400, "request-invalid"));
    assert_eq!(ask(json!({ "parts": 65537 })), error(400, "request-invalid"));
    assert_eq!(ask(json!({ "path": "b.csv" })), error(404, "missing"));
    assert_eq!(ask(json!({ "path": "a.xml", "row-tag": "Row" })), error(422, "rows-missing"));
    let broken = http.send("POST /v1/split-points", &[], b"{");
    assert_eq!(refused(&broken), error(400, "request-invalid"));
}

#[test]
fn without_tls_it_listens_to_other_hosts_only_when_that_is_said() {
    let mut pair = Pair::prepare().unwrap();
    pair.relay.listen_http("0.0.0.0:0");
    let refused = pair.relay.admin(args!["serve"]).unwrap();
    assert_says(&refused, 2, "api_listen 0.0.0.0:0 can be reached from other hosts");
    assert_says(&refused, 2, "plaintext = true");

    pair.relay.configure("[api]\nplaintext = true");
    pair.relay.serve().unwrap();
    let address = pair.relay.http_address().replace("0.0.0.0", "127.0.0.1");
    let http = Http { address, token: None };
    assert_eq!(http.get("/healthz", &[]).status, 204);
}

/// A CA, and a certificate of it for 127.0.0.1 with its key.
fn make_keys(dir: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "test CA");
    fs::write(dir.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let (issuer, key) = (Issuer::new(ca, ca_key), KeyPair::generate().unwrap());
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    fs::write(dir.join("api.crt"), leaf.signed_by(&key, &issuer).unwrap().pem()).unwrap();
    fs::write(dir.join("api.key"), key.serialize_pem()).unwrap();
}

fn curl(pair: &Pair, arguments: Vec<OsString>) -> Output {
    let launch = Launch {
        prefix: Vec::new(),
        program: "/usr/bin/curl".into(),
        arguments,
        log: pair.root.path().join("curl.log"),
    };
    Output::of(&launch, Duration::from_secs(60), &|| false).unwrap()
}

#[test]
fn over_tls_it_is_read_by_whoever_trusts_its_authority_and_by_nobody_in_clear() {
    let mut pair = Pair::prepare().unwrap();
    make_keys(&pair.relay.dir);
    pair.relay.listen_http("127.0.0.1:0");
    pair.relay.configure("[api]\ntls_cert = \"api.crt\"\ntls_key = \"api.key\"");
    pair.relay.serve().unwrap();
    pair.enroll(&format!("push,pull:{PLANE}")).unwrap();
    let source = pair.edge.file("b.bin");
    random_file(&source, 5 << 20, 4).unwrap();
    pair.done(pair.spray_bytes(&source, "t::b", 3));
    let token = pair.relay.add_api_token("thor", &format!("pull:{PLANE}:t"));
    let header = pair.root.path().join("header");
    fs::write(&header, format!("Authorization: Bearer {token}\n")).unwrap();
    let address = pair.relay.http_address();
    let url = format!("https://{address}{}", content("t::b"));
    let (ca, back) = (pair.relay.dir.join("ca.pem"), pair.root.path().join("back"));
    let header = format!("@{}", header.display());
    let trusting = args!["-sS", "--fail", "--cacert", &ca, "-H", &header, "-o", &back, &url];

    let read = curl(&pair, trusting.clone());
    assert_eq!(read.code, 0, "{read:#?}");
    assert_eq!(fs::read(&back).unwrap(), fs::read(&source).unwrap());
    let ranged = [args!["-r", "1000000-1999999"], trusting.clone()].concat();
    assert_eq!(curl(&pair, ranged).code, 0);
    assert_eq!(fs::read(&back).unwrap(), fs::read(&source).unwrap()[1_000_000..2_000_000]);
    let unknown = curl(&pair, args!["-sS", "-H", &header, "-o", &back, &url]);
    assert_eq!(unknown.code, 60, "{unknown:#?}");
    let old = [args!["--tls-max", "1.2"], trusting].concat();
    assert_eq!(curl(&pair, old).code, 35);
    let clear = format!("http://{address}/healthz");
    let clear = curl(&pair, args!["-sS", "-o", &back, &clear]);
    assert_ne!(clear.code, 0, "{clear:#?}");
    assert!(!pair.relay.log_tail().contains(&token[7..]));
}
