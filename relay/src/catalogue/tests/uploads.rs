//! The ledger of uploads.

use super::*;
use crate::plane::{PieceId, UploadId};

each_engine! {
    an_upload_is_noted_with_its_pieces_until_a_newer_one_takes_its_place;
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
