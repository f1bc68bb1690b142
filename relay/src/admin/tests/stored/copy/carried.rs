//! Copies whose parts the store was to copy, and did not.

use super::*;

/// A copy of `acme::orders` that is sealed for the store to make, and lacks its commit.
async fn left_to_the_store(stored: &Stored) -> JobRecord {
    let left = left_open(stored).await;
    let orders = (&plane_name(), &logical("acme::orders"));
    let generation = stored.catalogue.current(orders.0, orders.1).await.unwrap().unwrap();
    let parts = stored.catalogue.parts(orders, generation.generation, None, 9).await.unwrap();
    let sealed = parts.iter().map(|part| SealedPart {
        seal: PartSeal {
            part: part.part,
            length: part.length,
            digest: part.digest,
            crc32: part.crc32,
            records: part.records,
            header: 0,
            footer: 0,
        },
        path: part.path.replace("orders", "twin"),
    });
    let sealed: Vec<SealedPart> = sealed.collect();
    stored.catalogue.seal_parts(left.job, left.epoch, &sealed, NOW_MS).await.unwrap();
    let from = crate::catalogue::CopiedFrom {
        plane: orders.0,
        name: orders.1,
        generation: generation.generation,
        read_back: false,
    };
    assert!(stored.catalogue.seal_copy((left.job, left.epoch), from, NOW_MS).await.unwrap());
    stored.newest_job().await
}

/// A plane of files copies nothing by itself, as a store that refuses to.
#[tokio::test]
async fn parts_that_the_store_does_not_copy_are_carried_over_by_the_commit() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    let left = left_to_the_store(&stored).await;
    stored.run(&["file", "remove", "data:acme::orders"]).await;
    stored.put(8, "acme::other", &[("x\n", 1, 0, 0)], &CSV).await;

    let next = stored.run(&["file", "copy", "data:acme::other", "data:acme::twin"]).await;

    assert_eq!(next.exit, Exit::Refused, "{}", next.err);
    let (_, parts, _) = stored.shown("data:acme::twin").await;
    let expected = ["1,a\n2,b\n3,c\n", "4,d\n5,e\n", "6,f\n7\n8\n9\n"];
    assert_eq!(stored.texts(&parts), expected);
    let made = stored.catalogue.job(&JobKey::Id(left.job)).await.unwrap().unwrap();
    assert_eq!((made.state, made.bytes_durable), (JobState::Committed, 30));
    stored.run(&["collect"]).await;
    let files = stored.files();
    assert!(!files.iter().any(|file| file.starts_with("orders")), "{files:?}");
}

#[tokio::test]
async fn a_part_that_is_carried_over_must_be_what_was_committed() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    let left = left_to_the_store(&stored).await;
    std::fs::write(stored.stored_path("acme/3/orders._3_of_3"), "6,f\n7\n8\n8\n").unwrap();

    let next = stored.run(&["file", "copy", "data:acme::orders", "data:acme::twin"]).await;

    assert_eq!(next.exit, Exit::Mismatch, "{}", next.err);
    assert!(next.err.contains("a part's copy is not what was committed"), "{}", next.err);
    let ended = stored.catalogue.job(&JobKey::Id(left.job)).await.unwrap().unwrap();
    assert_eq!(ended.state, JobState::Aborted);
    stored.run(&["collect"]).await;
    let files = stored.files();
    assert!(!files.iter().any(|file| file.contains("twin") || file.starts_with('.')), "{files:?}");
}
