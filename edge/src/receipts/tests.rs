//! Receipts kept, read back, changed and signed by others.

use super::*;
use crate::exit::{Exit, Explain as _};
use ring::rand::SystemRandom;
use serde_json::Value;
use skyspray_certs::receipt::ReceiptSigner;
use skyspray_link::seam::files::{Cause, MemoryTree};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::Generation;
use skyspray_wire::name::{AgentName, PlaneName};

const JOB: JobId = JobId([7; 16]);

fn signer() -> ReceiptSigner {
    ReceiptSigner::generate(&SystemRandom::new()).unwrap()
}

fn receipt() -> Receipt {
    Receipt {
        version: 1,
        job: JOB,
        wuid: "D20240506-070809-1".into(),
        agent: AgentName::parse("edge-1").unwrap(),
        plane: PlaneName::parse("lake").unwrap(),
        target: "a::b".into(),
        generation: Some(Generation(2)),
        parts: 4,
        bytes: 1000,
        content: Digest::of(b"content"),
        committed_ms: 1_714_979_289_000,
    }
}

fn sign(signer: &ReceiptSigner, receipt: &Receipt) -> Vec<u8> {
    let encoded = postcard::to_stdvec(receipt).unwrap();
    let signature = signer.sign(&Receipt::signed_bytes(&encoded)).to_vec();
    let key_id = signer.verifier().key_id().0;
    postcard::to_stdvec(&SignedReceipt { receipt: encoded, key_id, signature }).unwrap()
}

/// A store with one receipt, its text and the key.
fn kept() -> (MemoryTree, ReceiptStore, String, ReceiptVerifier) {
    let tree = MemoryTree::new(1 << 20);
    let store = ReceiptStore::with_tree(Arc::new(tree.clone()), "/state".into()).unwrap();
    let signer = signer();
    store.keep(JOB, &sign(&signer, &receipt()), &[signer.verifier()]).unwrap();
    let text = store.read(JOB).unwrap();
    (tree, store, text, signer.verifier())
}

#[test]
fn a_receipt_survives_a_crash_and_verifies_offline() {
    let (tree, store, text, key) = kept();
    tree.crash();

    assert_eq!(store.read(JOB).unwrap(), text);
    assert_eq!(attest_file(&text, &[key]).unwrap(), receipt());
    let path = format!("/state/receipts/{JOB}.receipt");
    assert_eq!(store.path(JOB), Path::new(&path));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["attests"]["target"], "a::b");
    assert_eq!(json["attests"]["committed"], "2024-05-06T07:08:09Z");
    let other = store.read(JobId([8; 16])).unwrap_err();
    assert!(matches!(other, ReceiptError::File { source } if source.cause == Cause::Missing));
}

#[test]
fn every_readable_field_that_was_changed_is_found_out() {
    let (_, _, text, key) = kept();
    let json: Value = serde_json::from_str(&text).unwrap();
    let fields = json["attests"].as_object().unwrap();
    assert_eq!(fields.len(), 11);
    for (field, value) in fields {
        let mut changed = json.clone();
        changed["attests"][field] = match value {
            Value::Number(number) => Value::from(number.as_u64().unwrap() + 1),
            _ => Value::from("another"),
        };
        let error = attest_file(&changed.to_string(), &[key]).unwrap_err();
        assert_eq!((error.exit(), error.code().as_ref()), (Exit::Mismatch, "receipt-differs"));
        assert!(error.to_string().starts_with(&format!("receipt field {field} is ")), "{error}");
    }
    let mut changed = json;
    changed["attests"]["bytes"] = Value::from(999);
    assert_eq!(
        attest_file(&changed.to_string(), &[key]).unwrap_err().to_string(),
        "receipt field bytes is 999, but 1000 was signed"
    );
}

#[test]
fn a_receipt_of_another_relay_or_with_other_bytes_does_not_verify() {
    let (_, _, text, key) = kept();
    let stranger = signer().verifier();
    let unknown = attest_file(&text, &[stranger]).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        format!("receipt is signed with key {}, which is none of the 1 known here", key.key_id())
    );
    assert_eq!((unknown.exit(), unknown.code().as_ref()), (Exit::Mismatch, "receipt-key-unknown"));

    let mut signed: SignedReceipt = {
        let file = ReceiptFile::parse(&text).unwrap();
        file.to_signed().unwrap()
    };
    *signed.receipt.last_mut().unwrap() ^= 1;
    let forged = attest(&postcard::to_stdvec(&signed).unwrap(), &[key]).unwrap_err();
    assert_eq!((forged.exit(), forged.code().as_ref()), (Exit::Mismatch, "receipt-forged"));
    assert_eq!(
        crate::exit::Chain(&forged).to_string(),
        format!(
            "receipt was not signed by this relay, or was changed since: receipt signature does \
             not verify with key {}",
            key.key_id()
        )
    );
}

#[test]
fn a_receipt_of_another_job_or_version_is_not_kept() {
    let tree = MemoryTree::new(1 << 20);
    let store = ReceiptStore::with_tree(Arc::new(tree), "/state".into()).unwrap();
    let signer = signer();
    let keys = [signer.verifier()];
    let other = JobId([8; 16]);
    let error = store.keep(other, &sign(&signer, &receipt()), &keys).unwrap_err();
    assert_eq!(error.to_string(), format!("receipt is of job {JOB}, expected {other}"));
    let newer = Receipt { version: 2, ..receipt() };
    let error = store.keep(JOB, &sign(&signer, &newer), &keys).unwrap_err();
    assert_eq!(error.to_string(), "receipt has version 2, expected 1");
    let error = store.keep(JOB, b"\xff", &keys).unwrap_err();
    assert_eq!(error.code(), "receipt-undecodable");

    for job in [JOB, other] {
        assert!(matches!(store.read(job), Err(ReceiptError::File { .. })), "{job} was kept");
    }
}

#[test]
fn what_is_no_receipt_file_is_refused() {
    let (_, _, text, key) = kept();
    let json: Value = serde_json::from_str(&text).unwrap();
    let code = |text: &str| attest_file(text, &[key]).unwrap_err().to_string();
    let with = |field: &str, value: &str| {
        let mut changed = json.clone();
        changed[field] = value.into();
        changed.to_string()
    };

    assert_eq!(code("{}"), "file is no receipt");
    assert_eq!(code(&with("extra", "x")), "file is no receipt");
    assert_eq!(code(&with("signed", "?")), "receipt field signed is not the base64 it should be");
    assert_eq!(
        code(&with("key_id", "12")),
        "receipt field key_id is not the 16 hexadecimal digits it should be"
    );
    let mut newer = json.clone();
    newer["schema"] = 2.into();
    assert_eq!(code(&newer.to_string()), "receipt has version 2, expected 1");
}

#[test]
fn keys_and_receipts_are_read_from_files_anywhere() {
    let (_, _, text, key) = kept();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let hex = key::to_hex(key.as_bytes());
    for form in [hex.clone(), hex.to_uppercase() + "\n"] {
        std::fs::write(&path, form).unwrap();
        assert_eq!(read_key(&path).unwrap(), key);
    }
    std::fs::write(&path, "abcd").unwrap();
    let error = read_key(&path).unwrap_err();
    assert_eq!((error.exit(), error.code().as_ref()), (Exit::Usage, "receipt-key-invalid"));
    assert_eq!(parse_key(" abcd\n"), Err(KeyTextError { length: 4 }));
    assert_eq!(
        parse_key("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        Ok(ReceiptVerifier::from_bytes([0; 32]))
    );

    let receipt = dir.path().join("receipt");
    assert_eq!(read_receipt(&receipt).unwrap_err().exit(), Exit::Source);
    std::fs::write(&receipt, &text).unwrap();
    assert_eq!(read_receipt(&receipt).unwrap(), text);
    std::fs::write(&receipt, vec![b' '; 64 * 1024 + 1]).unwrap();
    assert!(matches!(read_receipt(&receipt), Err(ReceiptError::NotText)));
}
