//! How fast a relay writes to an object store, beside the client it uses alone, round after round in
//! one run against one SeaweedFS over TLS. Memory of the relay while eight sprays run at once.
//!
//! `cargo run --release -p skyspray-tests --example store_speed`, after `cargo build --release` of both
//! programs. `STORE_MIB=1024 STORE_ROUNDS=5` are the defaults.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::ClientOptions;
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::multipart::MultipartStore as _;
use object_store::path::Path as Key;
use skyspray_tests::args;
use skyspray_tests::data::random_file;
use skyspray_tests::output::Output;
use skyspray_tests::pair::Pair;
use skyspray_tests::planes::{LAKE, add_s3};
use skyspray_tests::server::ca::TestCa;
use skyspray_tests::server::s3::{REGION, S3};
use skyspray_tests::server::seaweed::Seaweed;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const BUCKET: &str = "bench";

/// What the relay uploads at once: its inbound memory in chunks of 8 MiB.
const PIECES_AT_ONCE: usize = 6;

const PIECE_BYTES: u64 = 8 << 20;

const PARTS: u64 = 4;

fn main() {
    if cfg!(debug_assertions) {
        eprintln!("a debug build says nothing about speed: run it with --release");
        std::process::exit(2);
    }
    rustls::crypto::ring::default_provider().install_default().expect("installed once");
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (mib, rounds) = (number("STORE_MIB", 1024), number("STORE_ROUNDS", 5));
    let ca = TestCa::new().expect("an authority can be made");
    let server = Seaweed::start(Some(&ca)).unwrap_or_else(|error| panic!("{error}"));
    server.s3().create_bucket(BUCKET).expect("a bucket can be made");
    let mut pair = Pair::prepare().expect("a pair can be made");
    add_s3(&pair, server.s3(), BUCKET, "");
    pair.relay.configure("[limits]\nsessions_per_agent = 64\n");
    pair.relay.serve().expect("the relay gets ready");
    pair.enroll("push,pull,list,remove,overwrite:*").expect("the edge enrolls");
    let source = pair.edge.file("source.bin");
    random_file(&source, mib << 20, rounds).expect("the source can be written");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("threads can be had");
    let store = Arc::new(client(server.s3()));

    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let alone = seconds(|| runtime.block_on(upload(&store, &source, mib << 20)));
        let sprayed = seconds(|| spray(&pair, &source, "t::bench"));
        ratios.push(alone / sprayed);
        let rate = |seconds: f64| (mib << 20) as f64 / seconds / 1e6;
        println!(
            "round {round}: client alone {:.0} MB/s, spray {:.0} MB/s, ratio {:.2}",
            rate(alone),
            rate(sprayed),
            alone / sprayed
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2} of {rounds} rounds", ratios[ratios.len() / 2]);
    let took = seconds(|| eight_sprays(&pair, &source));
    let peak = pair.relay.process().memory_bytes_peak().expect("the relay serves");
    println!(
        "8 sprays of {mib} MiB at once: {:.0} MB/s, relay {} MiB at most",
        8.0 * (mib << 20) as f64 / took / 1e6,
        peak >> 20
    );
}

fn seconds(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

fn client(s3: &S3) -> AmazonS3 {
    let pem = s3.ca_pem().expect("the server speaks TLS");
    let authority = object_store::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
    let options =
        ClientOptions::new().with_root_certificate(authority).with_no_system_certificates(true);
    AmazonS3Builder::new()
        .with_endpoint(s3.endpoint())
        .with_region(REGION)
        .with_bucket_name(BUCKET)
        .with_access_key_id(s3.access_key())
        .with_secret_access_key(s3.secret_key())
        .with_checksum_algorithm(Checksum::CRC64NVME)
        .with_unsigned_payload(true)
        .with_client_options(options.with_timeout(Duration::from_secs(300)))
        .build()
        .expect("a client can be built")
}

/// Four objects of a quarter each, in pieces, as the relay stores the parts of a spray.
async fn upload(store: &Arc<AmazonS3>, source: &Path, length: u64) {
    let file = Arc::new(File::open(source).expect("the source is there"));
    let part = length / PARTS;
    for number in 0..PARTS {
        let key = Key::from(format!("alone/{number}"));
        let id = store.create_multipart(&key).await.expect("an upload begins");
        let pieces = (0..part.div_ceil(PIECE_BYTES)).map(|piece| {
            let (store, file, key, id) = (Arc::clone(store), Arc::clone(&file), &key, &id);
            async move {
                let offset = piece * PIECE_BYTES;
                let mut bytes = vec![0; PIECE_BYTES.min(part - offset) as usize];
                file.read_exact_at(&mut bytes, number * part + offset)?;
                let index = usize::try_from(piece).expect("few pieces");
                let put = store.put_part(key, id, index, Bytes::from(bytes).into()).await;
                put.map_err(std::io::Error::other)
            }
        });
        let pieces = stream::iter(pieces).buffered(PIECES_AT_ONCE).try_collect::<Vec<_>>().await;
        let pieces = pieces.expect("pieces are stored");
        store.complete_multipart(&key, &id, pieces).await.expect("the upload is completed");
    }
}

fn arguments(source: &Path, name: &str) -> Vec<std::ffi::OsString> {
    let mut arguments = args!["spray", source, &format!("{LAKE}:{name}"), "--overwrite"];
    arguments.extend(args!["--format", "fixed", "--record-size", "1", "--parts", "4"]);
    arguments
}

fn spray(pair: &Pair, source: &Path, name: &str) {
    finish(pair.begin(arguments(source, name)));
}

fn eight_sprays(pair: &Pair, source: &Path) {
    let running: Vec<_> =
        (0..8).map(|n| pair.begin(arguments(source, &format!("t::bench {n}")))).collect();
    running.into_iter().for_each(finish);
}

fn finish(mut running: skyspray_tests::edge::Running) {
    let output = running.finish_within(Duration::from_secs(1800), &|| false);
    output.and_then(Output::done).unwrap_or_else(|error| panic!("{error}"));
}
