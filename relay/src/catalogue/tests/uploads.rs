//! The ledger of uploads.

use super::*;
use crate::plane::{PieceId, UploadId};

each_engine! {
    an_upload_is_noted_with_its_pieces_until_a_newer_one_takes_its_place;
    a_committed_job_is_collected_for_uploads_that_made_none_of_its_parts;
}

async fn an_upload_is_noted_with_its_pieces_until_a_newer_one_takes_its_place(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.open(&new, T).await.unwrap().epoch;
    let (key, part, path) = ((new.job, epoch), PartIndex(0), "a/x._1_of_2");
    let catalogue = &bench.catalogue;
    let upload = |name: &str| UploadId(name.to_owned());

    assert_eq!(catalogue.want_upload(key, part, path, T).await.unwrap(), Wanted::First);
    assert_eq!(catalogue.want_upload(key, part, path, T).await.unwrap(), Wanted::Again);
    catalogue.record_upload(key, part, (path, &upload("u1")), T).await.unwrap();
    let pieces: Vec<_> = (0..3).map(|n| (n, PieceId(format!("etag-{n}")))).collect();
    let (job, tree) = (new.job, b"t".to_vec());
    let progress = [Progress { job, epoch, part, tree, job_bytes: 9, pieces: pieces.clone() }];
    for _ in 0..2 {
        assert_eq!(catalogue.record_progress(&progress, T).await.unwrap(), []);
    }

    let open = catalogue.uploads(job, (part, PartIndex(9))).await.unwrap();
    assert_eq!(open[&part].id, upload("u1"));
    assert_eq!(open[&part].pieces, pieces.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    catalogue.record_upload(key, part, (path, &upload("u2")), T).await.unwrap();
    assert_eq!(catalogue.open_upload(job, part).await.unwrap(), Some(upload("u2")));
    let spent = catalogue.spent_uploads(&plane(), 9).await.unwrap();
    assert_eq!(
        spent.iter().map(|one| one.upload.clone()).collect::<Vec<_>>(),
        [Some(upload("u1"))]
    );
    assert_eq!(catalogue.job_parts(job, None, 9).await.unwrap()[0].tree, None);
    catalogue.forget_uploads(&spent).await.unwrap();
    let noted = catalogue.uploads_to(job, (&plane(), path)).await.unwrap();
    assert_eq!(noted, Some(vec![upload("u2")]));
    catalogue.abort(job, None, &Actor::Operator, T).await.unwrap();
    catalogue.collected(job).await.unwrap();
    while catalogue.forget_litter(10).await.unwrap() > 0 {}
    assert_eq!(catalogue.job_uploads(job, 9).await.unwrap(), []);
}

async fn a_committed_job_is_collected_for_uploads_that_made_none_of_its_parts(engine: Engine) {
    let bench = Bench::new(engine).await;
    let catalogue = &bench.catalogue;
    let to_collect = async || {
        let jobs = catalogue.jobs_to_collect(9).await.unwrap();
        jobs.into_iter().map(|job| job.job).collect::<Vec<_>>()
    };
    let part = PartIndex(0);
    let begin = async |new: &NewJob, epoch, path: &str| {
        let key = (new.job, epoch);
        catalogue.want_upload(key, part, path, T).await.unwrap();
        let id = UploadId(format!("of {path}"));
        catalogue.record_upload(key, part, (path, &id), T).await.unwrap();
    };

    // Its uploads became its parts.
    let plain = spray(1, "a::x");
    let epoch = bench.sealed(&plain, T).await;
    begin(&plain, epoch, "a/x._1_of_2").await;
    catalogue.commit_spray(plain.job, epoch, OPEN_GATE.sign, T).await.unwrap();
    assert_eq!(to_collect().await, []);

    // One was about to be begun, and nobody knows whether it was.
    let wanting = spray(2, "a::y");
    let epoch = bench.sealed(&wanting, T).await;
    begin(&wanting, epoch, "a/y._1_of_2").await;
    catalogue.want_upload((wanting.job, epoch), part, "a/y._1_of_2", T).await.unwrap();
    catalogue.commit_spray(wanting.job, epoch, OPEN_GATE.sign, T).await.unwrap();
    assert_eq!(to_collect().await, [wanting.job]);

    // Bytes of a copy were carried over for a while, and then the store copied them all the same.
    let (copy, epoch) = bench.open_copy(3).await;
    assert!(bench.seal_copy((copy.job, epoch), 1).await.unwrap());
    begin(&copy, epoch, "a/twin._1_of_2").await;
    catalogue.commit_spray(copy.job, epoch, OPEN_GATE.sign, T).await.unwrap();
    assert_eq!(to_collect().await, [wanting.job, copy.job]);
}
