//! `plan` and `receipt check` on real directories, from arguments to output.

use super::*;
use crate::config::{Access, Limits, ZoneConfig};
use crate::landing::ZoneName;
use crate::output::{Manner, ProgressMode};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

struct Edge {
    dir: tempfile::TempDir,
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Edge {
    fn new() -> Self {
        let edge = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(edge.dir.path().join("zone")).unwrap();
        let directories = edge.directories();
        directories.create().unwrap();
        let zone = ZoneConfig {
            name: ZoneName::parse("in").unwrap(),
            path: edge.dir.path().join("zone"),
            access: Access::Read,
            umask: None,
        };
        let config =
            EdgeConfig { relay_addresses: vec![], zones: vec![zone], limits: Limits::default() };
        config.write_new(&directories).unwrap();
        edge
    }

    fn directories(&self) -> Directories {
        Directories::locate(Some(&self.dir.path().join("edge")))
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.dir.path().join("zone").join(name), bytes).unwrap();
    }

    fn run(&self, json: bool, line: &[&str]) -> (Result<Exit, OfflineError>, String) {
        use clap::Parser as _;
        let arguments = std::iter::once(&"skyspray-edge").chain(line);
        let cli = crate::cli::Cli::try_parse_from(arguments).unwrap();
        let crate::cli::Command::Offline(command) = cli.command else { panic!("not offline") };
        let out = Sink::default();
        let manner = Manner { json, ..Manner::default() };
        let streams: (Box<dyn Write + Send>, Box<dyn Write + Send>) =
            (Box::new(out.clone()), Box::new(Sink::default()));
        let reporter = Reporter::with_streams(manner, ProgressMode::None, streams);
        let ended = run(&command, &self.directories(), Path::new("/"), &reporter);
        let text = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
        (ended, text)
    }
}

#[test]
fn a_plan_prints_its_parts_for_people_and_for_programs() {
    let edge = Edge::new();
    edge.put("a.csv", b"1,\"x\ny\"\n2,z\n3,z\n");
    let (ended, text) = edge.run(false, &["plan", "in:a.csv", "--parts", "2"]);
    assert_eq!(ended.unwrap(), Exit::Done);
    assert_eq!(
        text,
        "part 1 of 2: offset 0, length 12, records 2\n\
         part 2 of 2: offset 12, length 4, records 1\n\
         2 parts, 16 bytes, 3 records\n"
    );
    let (_, text) = edge.run(true, &["plan", "in:a.csv", "--parts", "2"]);
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            r#"{"schema":1,"event":"part","part":1,"offset":0,"length":12,"records":2,"header":0,"footer":0,"ranges":[{"source":1,"offset":0,"length":12,"part_offset":0}]}"#,
            r#"{"schema":1,"event":"part","part":2,"offset":12,"length":4,"records":1,"header":0,"footer":0,"ranges":[{"source":1,"offset":12,"length":4,"part_offset":0}]}"#,
            r#"{"schema":1,"event":"plan","parts":2,"bytes":16,"records":3,"format":"csv","stored":"csv","encoding":null,"sources":["in:a.csv"]}"#,
        ]
    );
}

#[test]
fn a_plan_that_cannot_be_made_ends_with_the_exit_of_its_cause() {
    let edge = Edge::new();
    edge.put("a.bin", &[0; 10]);
    let ended = |line: &[&str]| {
        let error = edge.run(false, line).0.unwrap_err();
        (error.exit(), error.code().into_owned())
    };
    let sized =
        |size| ["plan", "in:a.bin", "--parts", "2", "--format", "fixed", "--record-size", size];

    assert_eq!(ended(&sized("4")), (Exit::Source, "record-invalid".into()));
    assert_eq!(ended(&["plan", "in:a.bin", "--parts", "2"]), (Exit::Usage, "format-unsaid".into()));
    assert_eq!(ended(&["plan", "in:b", "--parts", "2"]), (Exit::Source, "source-missing".into()));
    assert_eq!(ended(&["plan", "/b", "--parts", "2"]), (Exit::Usage, "path-outside-zones".into()));
    std::fs::remove_file(edge.directories().config_file()).unwrap();
    assert_eq!(ended(&sized("5")), (Exit::Usage, "config-missing".into()));
}

#[test]
fn a_receipt_is_checked_with_a_key_from_a_file() {
    use skyspray_certs::receipt::ReceiptSigner;
    use skyspray_wire::receipt::{Receipt, SignedReceipt};
    let edge = Edge::new();
    let signer = ReceiptSigner::generate(&ring::rand::SystemRandom::new()).unwrap();
    let receipt = Receipt {
        version: 1,
        job: skyspray_wire::ids::JobId([1; 16]),
        wuid: "D20240506-070809-1".into(),
        agent: skyspray_wire::name::AgentName::parse("edge-1").unwrap(),
        plane: skyspray_wire::name::PlaneName::parse("lake").unwrap(),
        target: "a::b".into(),
        generation: Some(skyspray_wire::ids::Generation(3)),
        parts: 2,
        bytes: 16,
        content: skyspray_wire::digest::Digest([0xab; 32]),
        committed_ms: 0,
    };
    let encoded = postcard::to_stdvec(&receipt).unwrap();
    let signed = SignedReceipt {
        signature: signer.sign(&Receipt::signed_bytes(&encoded)).to_vec(),
        key_id: signer.verifier().key_id().0,
        receipt: encoded,
    };
    let store = receipts::ReceiptStore::open(&edge.directories().state).unwrap();
    let signed = postcard::to_stdvec(&signed).unwrap();
    store.keep(receipt.job, &signed, &[signer.verifier()]).unwrap();
    let path = store.path(receipt.job);
    let path = path.to_str().unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = edge.dir.path().join("key");
    std::fs::write(&key, hex(signer.verifier().as_bytes())).unwrap();
    let key = key.to_str().unwrap();

    let (ended, text) = edge.run(false, &["receipt", "check", path, "--key", key]);
    assert_eq!(ended.unwrap(), Exit::Done);
    assert_eq!(
        text,
        format!(
            "receipt is genuine\n  target:     lake:a::b\n  generation: 3\n  parts:      2\n  bytes: \
             \x20    16\n  content:    {}\n  committed:  1970-01-01T00:00:00Z\n  sent by:    edge-1\n  \
             job:        {} (D20240506-070809-1)\n",
            "ab".repeat(32),
            "01".repeat(16)
        )
    );
    let (_, json) = edge.run(true, &["receipt", "check", path, "--key", key]);
    assert!(json.starts_with(r#"{"schema":1,"event":"receipt","file":"#), "{json}");
    assert!(json.contains(r#""generation":3,"parts":2,"bytes":16"#), "{json}");

    std::fs::write(key, "00".repeat(32)).unwrap();
    let error = edge.run(false, &["receipt", "check", path, "--key", key]).0.unwrap_err();
    assert_eq!((error.exit(), error.code().as_ref()), (Exit::Mismatch, "receipt-key-unknown"));
    let error = edge.run(false, &["receipt", "check", path]).0.unwrap_err();
    assert_eq!((error.exit(), error.code().as_ref()), (Exit::Usage, "identity-missing"));
}
