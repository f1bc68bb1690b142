//! Sprays from a plane of the cluster: what an edge makes of the same files and options.

use serde_json::Value;
use skyspray_tests::args;
use skyspray_tests::check::{assert_nothing_staged_after_collect, assert_returns, assert_says};
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

struct Cluster {
    pair: Pair,
    landing: PathBuf,
}

impl Cluster {
    /// With the landing zone `lz`, a plane of files.
    fn start() -> Self {
        let mut pair = Pair::prepare().expect("a pair can be made");
        let landing = pair.root.path().join("landing");
        fs::create_dir_all(landing.join("in")).expect("a directory can be made");
        let url = landing.display();
        pair.relay.configure(&format!("[plane.lz]\nurl = \"file://{url}\"\ncategory = \"lz\"\n"));
        pair.relay.serve().expect("the relay gets ready");
        pair.enroll("push,pull,list,remove,overwrite:*").expect("the edge enrolls");
        Self { pair, landing }
    }

    /// The same bytes beside the edge and in the landing zone.
    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let beside = self.pair.edge.file(name);
        fs::write(&beside, content).expect("a file can be written");
        fs::write(self.landing.join("in").join(name), content).expect("a file can be written");
        beside
    }

    fn spray(&self, sources: &str, target: &str, options: &[&str]) -> Output {
        let mut arguments = args!["spray", sources, target];
        arguments.extend(options.iter().map(OsString::from));
        self.pair.relay.admin(arguments).expect("the relay's command ends")
    }

    /// All that is shown of a file but who made it and what its sources are called.
    fn shown(&self, target: &str) -> Vec<Value> {
        let output = self.pair.relay.admin(args!["file", "show", target, "--origins"]);
        let output = output.expect("the relay's command ends").done();
        let mut objects = output.unwrap_or_else(|error| panic!("{error}")).objects();
        for object in &mut objects {
            let fields = object.as_object_mut().expect("rows are objects");
            for own in ["name", "path", "agent", "wuid", "committed_ms", "source_name", "lfn_hash"]
            {
                fields.remove(own);
            }
        }
        objects
    }

    /// Sprays the files both ways with the same options and compares all that is known of them.
    fn assert_same(&self, files: &[(&str, &[u8])], options: &[&str]) {
        let beside: Vec<PathBuf> =
            files.iter().map(|(name, content)| self.put(name, content)).collect();
        let mut outside = args!["spray"];
        outside.extend(beside.iter().map(OsString::from));
        outside.extend(args!["data:t::outside", "--overwrite"]);
        outside.extend(options.iter().map(OsString::from));
        self.pair.done(outside);
        let names: Vec<String> = files.iter().map(|(name, _)| format!("in/{name}")).collect();
        let options = [options, &["--overwrite"]].concat();
        let inside = self.spray(&format!("lz:{}", names.join(",")), "data:t::inside", &options);
        let inside = inside.done().unwrap_or_else(|error| panic!("{error}"));

        let expected = self.shown("data:t::outside");
        assert_eq!(self.shown("data:t::inside"), expected, "{names:?} {options:?}");
        assert_eq!(inside.objects()[0]["records"], expected[0]["records"]);
        let verify = args!["file", "verify", "data:t::inside"];
        assert_eq!(self.pair.relay.admin(verify).expect("the relay's command ends").code, 0);
    }
}

fn rows(count: u32) -> String {
    (0..count).map(|row| format!("{row},\"some, text {row}\nand more\"\n")).collect()
}

#[test]
fn the_parts_are_those_that_an_edge_makes_whatever_the_format() {
    let cluster = Cluster::start();
    let csv = rows(90_000);
    let fixed = vec![b'x'; 97 * 20_011];
    let items: Vec<String> = (0..30_000).map(|n| format!("{{\"n\":{n},\"s\":\"a]\"}}")).collect();
    let json = format!("[{}]", items.join(","));
    let row = |n: u32| format!("<row n=\"{n}\">text</row>\n");
    let xml = format!("<rows>\n{}</rows>", (0..30_000).map(row).collect::<String>());
    let wide: Vec<u8> =
        "\u{feff}a,ü\nb,€\nc,d\n".encode_utf16().flat_map(u16::to_le_bytes).collect();

    cluster.assert_same(&[("a.csv", csv.as_bytes())], &["--parts", "5"]);
    cluster.assert_same(
        &[("a.bin", &fixed)],
        &["--parts", "4", "--format", "fixed", "--record-size", "97", "--to", "variable"],
    );
    cluster.assert_same(&[("a.json", json.as_bytes())], &["--parts", "3"]);
    cluster.assert_same(&[("a.xml", xml.as_bytes())], &["--parts", "3", "--row-tag", "row"]);
    cluster.assert_same(&[("wide.csv", &wide)], &["--parts", "2", "--to", "utf8"]);
    cluster.assert_same(&[("wide.csv", &wide)], &["--parts", "2"]);
    cluster.assert_same(
        &[("b.csv", b"1;2|3;4|5"), ("c.csv", b"6|7;8")],
        &["--parts", "3", "--separator", ";", "--terminator", "|", "--join", "verbatim"],
    );
    cluster
        .assert_same(&[("d.csv", b"1\n2"), ("e.csv", b""), ("f.csv", b"3\n")], &["--parts", "2"]);
    cluster.assert_same(&[("d.csv", b"1\n2"), ("f.csv", b"3\n")], &["--parts", "1", "--nosplit"]);
    cluster.assert_same(&[("g.csv", csv.as_bytes())], &["--parts", "4", "--whole"]);
    cluster.assert_same(
        &[("h.one", b"first"), ("h.two", b"")],
        &["--parts", "2", "--prefix", "FILENAME,FILESIZE:B8"],
    );
    cluster.assert_same(
        &[("bad.csv", b"a\xff\nb\n")],
        &["--parts", "1", "--encoding", "utf8", "--to", "utf8-bom", "--on-invalid", "replace"],
    );
    assert_nothing_staged_after_collect(&cluster.pair);
}

/// The end of the document looks like the end of its rows and is not: only reading all of it tells.
#[test]
fn rows_that_end_elsewhere_than_the_end_of_the_file_suggests_are_found_by_another_pass() {
    let cluster = Cluster::start();
    let rows: String = (0..20_000).map(|n| format!("<row>{n}</row>\n")).collect();
    let tail = "<!-- <row>no row</row> -->";
    let xml = format!("<rows>\n{rows}{tail}</rows>");

    cluster.assert_same(&[("odd.xml", xml.as_bytes())], &["--parts", "3", "--row-tag", "row"]);

    assert_nothing_staged_after_collect(&cluster.pair);
}

#[test]
fn a_file_that_cannot_be_sprayed_is_told_with_its_place_and_leaves_nothing() {
    let cluster = Cluster::start();
    let source = cluster.put("open.csv", b"1\n\"2\n");
    cluster.put("good.csv", b"1\n2\n");

    let open = cluster.spray("lz:in/open.csv", "data:t::x", &[]);
    assert_says(&open, 3, "the records of lz:in/open.csv are not what the options say");
    assert_says(&open, 3, "at offset 2: quote is never closed");
    let none = cluster.spray("lz:in/good.csv,in/none.csv", "data:t::x", &[]);
    assert_says(&none, 3, "lz:in/none.csv does not exist");
    assert_says(&cluster.spray("lz:in/good.csv", "lz:t::x", &[]), 2, "is a landing zone");
    assert_says(
        &cluster.spray("lz:in/good.csv", "data:t::x", &["--whole"]),
        2,
        "--whole needs --parts",
    );
    let unsaid = cluster.spray("lz:in/good.csv", "data:t::x", &["--format", "xml"]);
    assert_says(&unsaid, 2, "an xml format needs --row-tag");
    let few = cluster.spray("lz:in/good.csv", "data:t::x", &["--parts", "2", "--nosplit"]);
    assert_says(&few, 2, "1 whole sources cannot fill 2 parts");
    let missing = cluster.pair.relay.admin(args!["file", "show", "data:t::x"]);
    assert_eq!(missing.expect("the relay's command ends").code, 3);

    cluster.spray("lz:in/good.csv", "data:t::x", &["--parts", "2"]).done().expect("it is sprayed");
    let again = cluster.spray("lz:in/good.csv", "data:t::x", &[]);
    assert_says(&again, 4, "\"hpcc\":8089");
    assert_returns(&cluster.pair, "t::x", &cluster.pair.edge.file("good.csv"));
    let job = cluster.pair.relay.admin(args!["job", "list", "--limit", "1"]);
    let job = job.expect("the relay's command ends").objects().remove(0);
    let expected = (&"spray".into(), &"operator".into(), &"committed".into());
    assert_eq!((&job["kind"], &job["agent"], &job["state"]), expected);
    assert_nothing_staged_after_collect(&cluster.pair);
    assert!(source.is_file());
}
