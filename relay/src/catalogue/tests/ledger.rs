//! What the ledger of uploads shows.

use super::*;
use crate::plane::UploadId;

each_engine! {
    uploads_are_doomed_when_spent_or_when_their_job_has_ended_or_is_abandoned;
    all_uploads_of_a_job_are_shown_page_by_page;
}

impl Bench {
    /// Opens a spray with an upload of each of its two parts; of the first an earlier one is spent.
    async fn uploading(&self, new: &NewJob) -> Epoch {
        let epoch = self.open(new, T).await.unwrap().epoch;
        for (part, upload) in [(0, "old"), (0, "new"), (1, "other")] {
            let (key, part) = ((new.job, epoch), PartIndex(part));
            let upload = UploadId(upload.to_owned());
            self.catalogue.want_upload(key, part, "a/x", T).await.unwrap();
            self.catalogue.record_upload(key, part, ("a/x", &upload), T).await.unwrap();
        }
        epoch
    }

    /// Part, name and state of what a collection would throw away at `now_ms`, a row a page.
    async fn doomed(&self, abandoned_ms: i64) -> Vec<(u32, String, UploadState)> {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let plane = plane();
            let page = self.catalogue.doomed_uploads(&plane, abandoned_ms, after.as_ref(), 1);
            let mut page = page.await.unwrap();
            let Some(upload) = page.pop() else { return found };
            let name = upload.upload.clone().map(|upload| upload.0).unwrap_or_default();
            found.push((upload.part.0, name, upload.state));
            after = Some(upload);
        }
    }
}

fn row(part: u32, name: &str, state: UploadState) -> (u32, String, UploadState) {
    (part, name.to_owned(), state)
}

async fn uploads_are_doomed_when_spent_or_when_their_job_has_ended_or_is_abandoned(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let epoch = bench.uploading(&new).await;
    let spent = row(0, "old", UploadState::Spent);
    let all = [row(0, "new", UploadState::Open), spent.clone(), row(1, "other", UploadState::Open)];

    assert_eq!(bench.doomed(T).await, [spent]);
    assert_eq!(bench.doomed(T + 1).await, all, "nobody has touched the job");
    bench.catalogue.want_upload((new.job, epoch), PartIndex(1), "a/x", T).await.unwrap();
    bench.catalogue.abort(new.job, None, &Actor::Operator, T).await.unwrap();
    let wanted = row(1, "", UploadState::Wanted);
    let [first, second, third] = all;
    assert_eq!(bench.doomed(T).await, [first, second, wanted, third], "it was given up");
}

async fn all_uploads_of_a_job_are_shown_page_by_page(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    bench.uploading(&new).await;

    let first = bench.catalogue.uploads_of(new.job, None, 2).await.unwrap();
    let rest = bench.catalogue.uploads_of(new.job, first.last(), 2).await.unwrap();

    let states: Vec<UploadState> = first.iter().chain(&rest).map(|upload| upload.state).collect();
    assert_eq!(states, [UploadState::Open, UploadState::Spent, UploadState::Open]);
    assert_eq!(bench.catalogue.uploads_of(new.job, rest.last(), 2).await.unwrap(), []);
}
