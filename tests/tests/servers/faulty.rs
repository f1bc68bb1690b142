//! The planned faults as the client of object stores sees them, without trying again.

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, RetryConfig};
use skyspray_tests::server::faulty_s3::fault::{Failure, Fault, Operation};
use skyspray_tests::server::faulty_s3::{FaultyS3, PART_BYTES_MIN};

fn client(server: &FaultyS3) -> AmazonS3 {
    server.create_bucket("plane");
    let s3 = server.s3();
    AmazonS3Builder::new()
        .with_endpoint(s3.endpoint())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name("plane")
        .with_access_key_id(s3.access_key())
        .with_secret_access_key(s3.secret_key())
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .build()
        .expect("the client can be made")
}

fn run(test: impl Future<Output = ()>) {
    // Plain HTTP all the same: the client is made for TLS and asks for a provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("the client can be made").block_on(test);
}

#[test]
fn the_client_stores_reads_lists_and_creates_once() {
    run(async {
        let server = FaultyS3::start().unwrap();
        let store = client(&server);
        let path = Path::from("a/b c");
        let create =
            || store.put_opts(&path, Bytes::from("0123456789").into(), PutMode::Create.into());
        create().await.unwrap();
        let again = create().await.unwrap_err();
        assert!(matches!(again, object_store::Error::AlreadyExists { .. }), "{again}");
        assert_eq!(store.get_range(&path, 2..5).await.unwrap(), "234");
        let meta = store.head(&path).await.unwrap();
        assert_eq!((meta.location.clone(), meta.size), (path.clone(), 10));
        let listed = store.list_with_delimiter(None).await.unwrap();
        assert_eq!(listed.common_prefixes, [Path::from("a")]);
        let listed = store.list_with_delimiter(Some(&Path::from("a"))).await.unwrap();
        assert_eq!(listed.objects, [meta]);
        store.copy(&path, &Path::from("copy")).await.unwrap();
        store.delete(&path).await.unwrap();
        assert_eq!(server.keys("plane"), ["copy"]);
        let missing = store.head(&path).await.unwrap_err();
        assert!(matches!(missing, object_store::Error::NotFound { .. }), "{missing}");
    });
}

#[test]
fn the_client_completes_uploads_and_sees_what_goes_wrong() {
    run(async {
        let server = FaultyS3::start().unwrap();
        let store = client(&server);
        let path = Path::from("large");
        let id = store.create_multipart(&path).await.unwrap();
        let first = Bytes::from(vec![1; PART_BYTES_MIN]);
        server.faults().next(Operation::UploadPart, Fault::Fail(Failure::SlowDown));
        let slow = store.put_part(&path, &id, 0, first.clone().into()).await.unwrap_err();
        assert!(format!("{slow:?}").contains("SlowDown"), "{slow:?}");
        server.faults().next(Operation::UploadPart, Fault::Reset);
        store.put_part(&path, &id, 0, first.clone().into()).await.unwrap_err();
        let one = store.put_part(&path, &id, 0, first.into()).await.unwrap();
        let two = store.put_part(&path, &id, 1, Bytes::from("end").into()).await.unwrap();
        let parts = || vec![one.clone(), two.clone()];
        let bogus = vec![one.clone(), PartId { content_id: "\"bogus\"".into() }];
        store.complete_multipart(&path, &id, bogus).await.unwrap_err();
        server.faults().next(Operation::CompleteMultipart, Fault::FailWithin200);
        store.complete_multipart(&path, &id, parts()).await.unwrap_err();
        assert_eq!(server.open_uploads("plane").len(), 1);
        server.faults().next(Operation::CompleteMultipart, Fault::LoseReply);
        store.complete_multipart(&path, &id, parts()).await.unwrap_err();
        assert_eq!(store.head(&path).await.unwrap().size, PART_BYTES_MIN as u64 + 3);
        assert_eq!(server.open_uploads("plane"), []);
        assert_eq!(server.faults().requests(Operation::CompleteMultipart), 3);
    });
}
