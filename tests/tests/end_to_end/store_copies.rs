//! Copies by the store from bucket to bucket: where it refuses, where the parts are too large for one
//! request, where somebody writes meanwhile, and on Azure.

use skyspray_tests::args;
use skyspray_tests::check::{assert_same, assert_says};
use skyspray_tests::data::random_file;
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use skyspray_tests::planes::{LAKE, add_azure_as, add_s3_as};
use skyspray_tests::server::azurite::Azurite;
use skyspray_tests::server::faulty_s3::FaultyS3;
use skyspray_tests::server::faulty_s3::fault::{Failure, Fault, Gate, Operation};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::thread;

const MIB: u64 = 1 << 20;
const BUCKET: &str = "cluster-data";
const OTHER_BUCKET: &str = "other-data";

/// A plane in another bucket of the same store.
const SEA: &str = "sea";

/// `lake:t::file` of two parts.
const FILE: &str = "lake:t::file";

/// A relay that serves `lake` and `sea`, with the file on the first.
fn serving(mut pair: Pair) -> (Pair, PathBuf) {
    pair.relay.serve().expect("the relay gets ready");
    pair.enroll("push,pull,list,remove,overwrite:*").expect("the edge enrolls");
    let source = pair.edge.file("source.bin");
    random_file(&source, 30 * MIB + 11, 81).expect("the source can be written");
    let mut spray = args!["spray", &source, FILE, "--format", "fixed", "--record-size", "1"];
    spray.extend(args!["--parts", "2"]);
    pair.done(spray);
    (pair, source)
}

struct Cluster {
    pair: Pair,
    server: FaultyS3,
    source: PathBuf,
}

impl Cluster {
    fn start() -> Self {
        let server = FaultyS3::start().unwrap_or_else(|error| panic!("{error}"));
        let pair = Pair::prepare().expect("a pair can be made");
        for (name, bucket) in [(LAKE, BUCKET), (SEA, OTHER_BUCKET)] {
            server.create_bucket(bucket);
            add_s3_as(name, &pair, (server.s3(), bucket), "");
        }
        let (pair, source) = serving(pair);
        Self { pair, server, source }
    }

    fn copy(&self, more: &[&str]) -> Output {
        let mut arguments = args!["file", "copy", FILE, "sea:u::copy"];
        arguments.extend(more.iter().map(OsString::from));
        self.pair.relay.admin(arguments).expect("the relay's command ends")
    }

    /// Requests of a kind that came since `before`.
    fn asked(&self, operation: Operation) -> u64 {
        self.server.faults().requests(operation)
    }

    /// Nothing of a copy is there, whatever was tried.
    fn assert_nothing(&self) {
        let shown = self.pair.relay.admin(args!["file", "show", "sea:u::copy"]);
        assert_eq!(shown.expect("the relay answers").code, 3);
        self.assert_settled();
        assert_eq!(self.server.keys(OTHER_BUCKET), Vec::<String>::new());
    }

    fn assert_settled(&self) {
        operator(&self.pair, args!["collect"]);
        assert_eq!(self.server.open_uploads(BUCKET), []);
        assert_eq!(self.server.open_uploads(OTHER_BUCKET), []);
    }
}

fn operator(pair: &Pair, arguments: Vec<OsString>) -> Output {
    let output = pair.relay.admin(arguments).and_then(Output::done);
    output.unwrap_or_else(|error| panic!("{error}"))
}

/// The copy is there, whole, and was made as told.
fn assert_copied(pair: &Pair, output: Output, (method, source): (&str, &PathBuf)) -> Output {
    let output = output.done().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(output.objects()[0]["method"], method, "{output:#?}");
    let back = pair.edge.file("back.out");
    pair.done(args!["despray", "sea:u::copy", &back]);
    assert_same(&back, source);
    fs::remove_file(back).expect("the exported file can be removed");
    operator(pair, args!["file", "verify", "sea:u::copy"]);
    output
}

#[test]
fn a_store_that_denies_a_copy_has_the_relay_carry_it_and_the_output_says_so() {
    let cluster = Cluster::start();
    let faults = cluster.server.faults();
    faults.every(Operation::Copy, Fault::Fail(Failure::AccessDenied));

    let output = assert_copied(&cluster.pair, cluster.copy(&[]), ("streamed", &cluster.source));

    let refused = output.objects()[0]["refused"].to_string();
    assert!(refused.contains("the credential lacks a permission (403 AccessDenied)"), "{refused}");
    let listed = operator(&cluster.pair, args!["plane", "list"]);
    assert!(listed.objects().iter().all(|row| row["usable"] == true), "{listed:#?}");
    cluster.assert_settled();
}

/// The limit of the real store is 5 GiB; the server has one that the parts exceed.
#[test]
fn parts_that_are_too_large_for_one_request_are_copied_in_pieces() {
    let cluster = Cluster::start();
    cluster.server.limit_copies(8 * MIB);
    let (sent, read) = (cluster.asked(Operation::UploadPart), cluster.asked(Operation::Get));

    let copied = cluster.copy(&[]).done().unwrap_or_else(|error| panic!("{error}"));

    let carried = (cluster.asked(Operation::UploadPart), cluster.asked(Operation::Get));
    assert_eq!((sent, read), carried, "the relay read or wrote bytes of it");
    assert_eq!(cluster.asked(Operation::UploadPartCopy), 2);
    assert_copied(&cluster.pair, copied, ("provider", &cluster.source));
    cluster.assert_settled();
}

/// F13, F14: the upload of a copy is one like any other.
#[test]
fn pieces_whose_answers_are_lost_or_refused_are_copied_again_or_carried() {
    let cluster = Cluster::start();
    cluster.server.limit_copies(8 * MIB);
    let faults = cluster.server.faults();
    faults.next(Operation::UploadPartCopy, Fault::LoseReply);
    faults.next(Operation::UploadPartCopy, Fault::Fail(Failure::SlowDown));
    faults.next(Operation::CompleteMultipart, Fault::LoseReply);

    let copied = cluster.copy(&["--verify", "full"]);

    assert_copied(&cluster.pair, copied, ("provider", &cluster.source));
    cluster.assert_settled();
    faults.every(Operation::UploadPartCopy, Fault::Fail(Failure::NotImplemented));
    let again = cluster.copy(&["--overwrite"]);
    assert_copied(&cluster.pair, again, ("streamed", &cluster.source));
    cluster.assert_settled();
}

/// The source of the copy, as somebody writes it behind the relay's back: as long, with other bytes.
fn overwrite(cluster: &Cluster) {
    let key = "planes/lake/t/1/file._1_of_2";
    let mut bytes = cluster.server.object(BUCKET, key).expect("the part is there");
    bytes[77] ^= 1;
    cluster.server.s3().put(BUCKET, key, &bytes).expect("it can be written");
}

#[test]
fn a_source_that_changes_before_or_after_the_store_copies_it_is_refused() {
    for fault in [Fault::Hold as fn(Gate) -> Fault, Fault::HoldReply] {
        let cluster = Cluster::start();
        let gate = Gate::new();
        cluster.server.faults().every(Operation::Copy, fault(gate.clone()));
        let refused = thread::scope(|scope| {
            let copying = scope.spawn(|| cluster.copy(&[]));
            gate.wait_reached(2);
            overwrite(&cluster);
            gate.open();
            copying.join().expect("the command ends")
        });
        assert_says(&refused, 6, "was replaced while a part was copied from it");
        cluster.assert_nothing();
    }
}

#[test]
fn a_source_that_changes_while_its_pieces_are_copied_is_refused() {
    let cluster = Cluster::start();
    cluster.server.limit_copies(8 * MIB);
    let gate = Gate::new();
    cluster.server.faults().every(Operation::UploadPartCopy, Fault::HoldReply(gate.clone()));
    let refused = thread::scope(|scope| {
        let copying = scope.spawn(|| cluster.copy(&[]));
        gate.wait_reached(1);
        overwrite(&cluster);
        gate.open();
        copying.join().expect("the command ends")
    });
    assert_says(&refused, 6, "was replaced while a part was copied from it");
    cluster.assert_nothing();
}

#[test]
fn azure_copies_from_container_to_container() {
    let server = Azurite::start(None).unwrap_or_else(|error| panic!("{error}"));
    let pair = Pair::prepare().expect("a pair can be made");
    for (name, container) in [(LAKE, BUCKET), (SEA, OTHER_BUCKET)] {
        server.blobs().create_container(container).expect("a container can be made");
        add_azure_as(name, &pair, (server.blobs(), container), "");
    }
    let (pair, source) = serving(pair);

    let copied = pair.relay.admin(args!["file", "copy", FILE, "sea:u::copy"]);

    assert_copied(&pair, copied.expect("the command ends"), ("provider", &source));
    let names = server.blobs().list(OTHER_BUCKET, "").expect("blobs can be listed");
    let part = |n: u32| format!("planes/sea/u/{n}/copy._{n}_of_2");
    assert_eq!(names, [part(1), part(2)]);
}
