//! Copies on planes of objects: made by the store where it can, carried by the relay elsewhere.

use skyspray_tests::args;
use skyspray_tests::check::{assert_same, assert_says};
use skyspray_tests::data::csv_file;
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use skyspray_tests::planes::{LAKE, add_s3_as};
use skyspray_tests::server::seaweed::Seaweed;
use skyspray_tests::wait;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MIB: u64 = 1 << 20;
const BUCKET: &str = "cluster-data";
const OTHER_BUCKET: &str = "other-data";

/// Another plane in the bucket of `lake`.
const POND: &str = "pond";

/// A plane in another bucket of the same store.
const SEA: &str = "sea";

struct Cluster {
    pair: Pair,
    server: Seaweed,
    source: PathBuf,
}

impl Cluster {
    /// With `lake:t::rows` in three parts; what `lake` says of replication is `more`.
    fn start(more: &str) -> Self {
        let server = Seaweed::start(None).unwrap_or_else(|error| panic!("{error}"));
        let mut pair = Pair::prepare().expect("a pair can be made");
        let planes = [(LAKE, BUCKET, more), (POND, BUCKET, ""), (SEA, OTHER_BUCKET, "")];
        for bucket in [BUCKET, OTHER_BUCKET] {
            server.s3().create_bucket(bucket).expect("a bucket can be made");
        }
        for (name, bucket, more) in planes {
            add_s3_as(name, &pair, (server.s3(), bucket), more);
        }
        pair.relay.serve().expect("the relay gets ready");
        pair.enroll("push,pull,list,remove,overwrite:*").expect("the edge enrolls");
        let source = pair.edge.file("rows.csv");
        csv_file(&source, 20 * MIB, 7, &|| false).expect("a file can be made");
        pair.done(args!["spray", &source, "lake:t::rows", "--parts", "3"]);
        Self { pair, server, source }
    }

    fn admin(&self, arguments: Vec<OsString>) -> Output {
        self.pair.relay.admin(arguments).expect("the relay's command ends")
    }

    /// The method of a copy that is made.
    fn copied(&self, arguments: Vec<OsString>) -> String {
        let output = self.admin(arguments).done().unwrap_or_else(|error| panic!("{error}"));
        output.objects()[0]["method"].as_str().expect("the method is told").to_owned()
    }

    fn assert_comes_back(&self, target: &str, source: &Path) {
        let back = self.pair.edge.file("back.out");
        self.pair.done(args!["despray", target, &back]);
        assert_same(&back, source);
        fs::remove_file(back).expect("the exported file can be removed");
        self.admin(args!["file", "verify", target])
            .done()
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Nothing is staged any more.
    fn assert_settled(&self) {
        self.admin(args!["collect"]).done().unwrap_or_else(|error| panic!("{error}"));
        for bucket in [BUCKET, OTHER_BUCKET] {
            let open = self.server.s3().open_uploads(bucket).expect("uploads can be listed");
            assert_eq!(open, [], "{bucket}");
        }
    }
}

#[test]
fn the_store_copies_parts_to_any_of_its_buckets_and_the_relay_carries_them_elsewhere() {
    let cluster = Cluster::start("");
    let s3 = cluster.server.s3();

    assert_eq!(cluster.copied(args!["file", "copy", "lake:t::rows", "lake:u::rows"]), "provider");
    assert_eq!(s3.open_uploads(BUCKET).unwrap(), [], "the relay has uploaded something");
    let to_pond = args!["file", "copy", "lake:t::rows", "--plane", POND, "--verify", "full"];
    assert_eq!(cluster.copied(to_pond), "provider");
    let to_sea = args!["file", "copy", "lake:t::rows", "--plane", SEA, "--verify", "full"];
    assert_eq!(cluster.copied(to_sea), "provider");
    let split = args!["file", "copy", "lake:t::rows", "lake:u::five", "--parts", "5"];
    assert_eq!(cluster.copied(split), "streamed");
    assert_eq!(cluster.copied(args!["file", "copy", "pond:t::rows", "data:t::rows"]), "streamed");

    let targets = ["lake:u::rows", "pond:t::rows", "sea:t::rows", "lake:u::five", "data:t::rows"];
    for target in targets {
        cluster.assert_comes_back(target, &cluster.source);
    }
    let keys = s3.list(BUCKET, "planes/pond/").unwrap();
    let part = |n: u32| format!("planes/pond/t/{n}/rows._{n}_of_3");
    assert_eq!(keys, [part(1), part(2), part(3)]);
    let job = cluster.admin(args!["job", "list", "--plane", POND]).objects().remove(0);
    assert_eq!((&job["kind"], &job["state"]), (&"copy".into(), &"committed".into()));
    assert_eq!(job["bytes_durable"], job["bytes"]);
    cluster.assert_settled();
}

#[test]
fn a_copy_by_the_store_replaces_only_when_asked_and_fails_without_a_trace() {
    let cluster = Cluster::start("");
    let pair = &cluster.pair;
    let small = pair.edge.file("small.csv");
    fs::write(&small, "a\nb\nc\nd\n").unwrap();
    pair.done(args!["spray", &small, "lake:t::old", "--parts", "3"]);

    let refused = cluster.admin(args!["file", "copy", "lake:t::rows", "lake:t::old"]);
    assert_says(&refused, 4, "\"hpcc\":8089");
    cluster.assert_comes_back("lake:t::old", &small);
    let replace = args!["file", "copy", "lake:t::rows", "lake:t::old", "--overwrite"];
    assert_eq!(cluster.copied(replace), "provider");
    cluster.assert_comes_back("lake:t::old", &cluster.source);

    // A part that was cut short behind the relay's back.
    let s3 = cluster.server.s3();
    s3.put(BUCKET, "planes/lake/t/2/rows._2_of_3", b"short").unwrap();
    let broken = cluster.admin(args!["file", "copy", "lake:t::rows", "lake:u::broken"]);
    assert_says(&broken, 6, "5 bytes are staged");
    let missing = cluster.admin(args!["file", "show", "lake:u::broken"]);
    assert_eq!(missing.code, 3, "{missing:#?}");
    cluster.assert_settled();
    assert_eq!(s3.list(BUCKET, "planes/lake/u/").unwrap(), Vec::<String>::new());
}

/// The digest is not known to the store: only reading tells that other bytes of the same length
/// stand there, and only its tag that they were written later. A copy takes neither for the original.
#[test]
fn a_part_with_other_bytes_is_found_by_its_tag_or_by_reading_it_and_never_copied() {
    let cluster = Cluster::start("");
    let key = "planes/lake/t/2/rows._2_of_3";
    let verify =
        |mode: &str| cluster.admin(args!["file", "verify", "lake:t::rows", "--mode", mode]);
    for mode in ["size", "stored", "sampled", "full"] {
        let verified = verify(mode);
        assert_eq!((verified.code, &verified.objects()[0]["mode"]), (0, &mode.into()));
    }
    let s3 = cluster.server.s3();
    let mut bytes = s3.get(BUCKET, key).unwrap().expect("the part is there");
    bytes[1000] ^= 1;
    s3.put(BUCKET, key, &bytes).unwrap();

    assert_eq!(verify("size").code, 0);
    assert_says(&verify("stored"), 6, "1 of 3 parts of lake:t::rows are not what was committed");
    assert_says(&verify("full"), 6, "first part 2");
    let proved = args!["file", "copy", "lake:t::rows", "lake:u::proved", "--verify", "full"];
    assert_says(&cluster.admin(proved), 6, "a part's copy is not what was committed");
    cluster.assert_settled();
    assert_eq!(s3.list(BUCKET, "planes/lake/u/").unwrap(), Vec::<String>::new());
    for target in ["lake:u::unread", "sea:u::unread"] {
        let unread = cluster.admin(args!["file", "copy", "lake:t::rows", target]);
        assert_says(&unread, 6, "a part's copy is not what was committed");
        assert_eq!(cluster.admin(args!["file", "show", target]).code, 3);
    }
    cluster.assert_settled();
    assert_eq!(s3.list(BUCKET, "planes/lake/u/").unwrap(), Vec::<String>::new());
    assert_eq!(s3.list(OTHER_BUCKET, "").unwrap(), Vec::<String>::new());

    // The right bytes under another tag, as whoever moves a bucket leaves them.
    bytes[1000] ^= 1;
    s3.put(BUCKET, key, &bytes).unwrap();
    let copy = args!["file", "copy", "lake:t::rows", "sea:t::moved"];
    let copied = cluster.admin(copy).done().unwrap_or_else(|error| panic!("{error}"));
    let line = &copied.objects()[0];
    let refused = line["refused"].as_str().expect("why is told");
    assert_eq!(line["method"], "streamed");
    assert!(refused.ends_with("in bucket cluster-data: it has changed"), "{refused}");
    cluster.assert_comes_back("sea:t::moved", &cluster.source);
}

#[test]
fn a_file_in_a_bucket_is_sprayed_to_a_plane_of_objects_and_replicated() {
    let cluster = Cluster::start("replication = [\"pond\", \"sea\"]\n");
    let s3 = cluster.server.s3();
    s3.put(BUCKET, "planes/pond/in/rows.csv", &fs::read(&cluster.source).unwrap()).unwrap();

    let spray = args!["spray", "pond:in/rows.csv", "lake:v::rows", "--parts", "4"];
    cluster.admin(spray).done().unwrap_or_else(|error| panic!("{error}"));
    cluster.assert_comes_back("lake:v::rows", &cluster.source);

    let replicate = || cluster.admin(args!["file", "replicate", "lake:v::rows"]);
    let first = replicate().done().unwrap_or_else(|error| panic!("{error}")).objects();
    let told = first.iter().map(|row| (row["plane"].clone(), row["method"].clone()));
    let expected = [(POND, "provider"), (SEA, "provider")];
    assert_eq!(told.collect::<Vec<_>>(), expected.map(|(p, m)| (p.into(), m.into())));
    for plane in [POND, SEA] {
        cluster.assert_comes_back(&format!("{plane}:v::rows"), &cluster.source);
    }
    assert_says(&replicate(), 9, "every plane that is to have lake:v::rows has it");
    cluster.assert_settled();
}

/// I1, I2: the commit of a copy is cut off, its source is removed, and whoever comes next finishes it.
#[test]
fn a_sealed_copy_is_finished_later_although_its_source_was_removed() {
    let cluster = Cluster::start("");
    let lock = cluster.pair.relay.dir.join("state/placing-lake.lock");
    // Nobody gets the right to place parts while a directory is there.
    fs::remove_file(&lock).unwrap();
    fs::create_dir(&lock).unwrap();
    let copy = || cluster.admin(args!["file", "copy", "lake:t::rows", "lake:u::rows"]);
    assert_eq!(copy().code, 7);
    cluster.admin(args!["file", "remove", "lake:t::rows"]).done().expect("the name is removed");
    cluster.admin(args!["collect"]).done().expect("others are collected");
    let s3 = cluster.server.s3();
    assert_eq!(s3.list(BUCKET, "planes/lake/t/").unwrap().len(), 3, "the source was deleted");
    fs::remove_dir(&lock).unwrap();

    let mut cluster = cluster;
    cluster.pair.restart_relay();
    let listed = wait::poll(Duration::from_secs(60), || {
        let shown = cluster.admin(args!["file", "show", "lake:u::rows"]);
        (shown.code == 0).then_some(())
    });
    listed.expect("the relay finishes the commit at its start");

    cluster.assert_comes_back("lake:u::rows", &cluster.source);
    cluster.assert_settled();
    let s3 = cluster.server.s3();
    assert_eq!(s3.list(BUCKET, "planes/lake/t/").unwrap(), Vec::<String>::new());
}
