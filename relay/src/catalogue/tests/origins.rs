//! What the parts of sprays came from.

use super::*;
use skyspray_wire::ids::SourceIndex;
use skyspray_wire::limits::ORIGIN_RANGES_MAX;
use skyspray_wire::message::{OriginRange, Origins, SourceNote};
use skyspray_wire::refusal::RefusalCode;

each_engine! {
    origins_are_read_in_part_order_and_in_pages;
    a_resumed_job_records_the_same_again_and_nothing_else;
    only_an_open_spray_under_its_lease_records_origins;
    ranges_of_unknown_parts_and_sources_are_refused;
    a_job_records_no_more_ranges_than_the_limit;
    a_spray_with_a_range_beyond_its_part_is_not_sealed;
    origins_live_as_long_as_their_generation;
    origins_of_a_job_that_was_given_up_are_forgotten;
}

/// Bytes of each part of the sprays here.
const PART_BYTES: u64 = 34;

fn source(index: u32) -> SourceNote {
    SourceNote::new(SourceIndex(index), &format!("in/{index}.csv"), 100)
}

/// `length` bytes at `offset` of a part, from just there in a source.
fn range(part: u32, offset: u64, source: u32, length: u64) -> OriginRange {
    let source_offset = u64::from(part) * PART_BYTES + offset;
    let (part, source) = (PartIndex(part), SourceIndex(source));
    OriginRange { part, part_offset: offset, source, source_offset, length }
}

/// Two sources and three ranges of a spray of two parts.
fn origins() -> Origins {
    Origins {
        sources: vec![source(0), source(1)],
        ranges: vec![range(1, 4, 1, 30), range(0, 0, 0, PART_BYTES), range(1, 0, 0, 4)],
    }
}

fn only(ranges: Vec<OriginRange>) -> Origins {
    Origins { sources: Vec::new(), ranges }
}

impl Bench {
    /// Opens a spray and records where it comes from.
    async fn recorded(&self, new: &NewJob) -> (JobId, Epoch) {
        let key = (new.job, self.open(new, T).await.unwrap().epoch);
        self.catalogue.record_origins(key, &origins(), T).await.unwrap();
        key
    }

    async fn ranges(&self, job: JobId) -> Vec<(OriginRange, String)> {
        let stored = self.catalogue.origin_ranges(job, None, 100).await.unwrap();
        stored.into_iter().map(|origin| (origin.range, origin.source_name)).collect()
    }

    async fn refused(&self, key: (JobId, Epoch), origins: &Origins) -> (RefusalCode, String) {
        let error = self.catalogue.record_origins(key, origins, T).await.unwrap_err();
        let refusal = error.refusal();
        (refusal.code, refusal.detail)
    }

    /// Forgets everything that may be forgotten, and says how many rows that was.
    async fn forget_all(&self) -> u64 {
        for job in self.catalogue.jobs_to_collect(100).await.unwrap() {
            self.catalogue.collected(job.job).await.unwrap();
        }
        let mut rows = 0;
        loop {
            match self.catalogue.forget_litter(2).await.unwrap() {
                0 => return rows,
                more => rows += more,
            }
        }
    }
}

async fn origins_are_read_in_part_order_and_in_pages(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    bench.recorded(&new).await;
    bench.recorded(&spray(2, "a::other")).await;

    let expected = [
        (range(0, 0, 0, PART_BYTES), "in/0.csv".to_owned()),
        (range(1, 0, 0, 4), "in/0.csv".to_owned()),
        (range(1, 4, 1, 30), "in/1.csv".to_owned()),
    ];
    assert_eq!(bench.ranges(new.job).await, expected);
    let (mut after, mut paged) = (None, Vec::new());
    while let [origin] = &*bench.catalogue.origin_ranges(new.job, after, 1).await.unwrap() {
        after = Some((origin.range.part, origin.range.part_offset));
        paged.push((origin.range, origin.source_name.clone()));
    }
    assert_eq!(paged, expected);
    let sources = bench.catalogue.origin_sources(new.job, None, 10).await.unwrap();
    assert_eq!(sources, origins().sources);
    let after = Some(SourceIndex(0));
    assert_eq!(bench.catalogue.origin_sources(new.job, after, 10).await.unwrap(), [source(1)]);
}

async fn a_resumed_job_records_the_same_again_and_nothing_else(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    bench.recorded(&new).await;
    let before = bench.ranges(new.job).await;

    let key = bench.recorded(&new).await;
    assert_eq!(bench.ranges(new.job).await, before);

    let renamed = Origins {
        sources: vec![SourceNote { name: "other".into(), ..source(1) }],
        ranges: Vec::new(),
    };
    let told = "source 2 was stated before with another name or length".to_owned();
    assert_eq!(bench.refused(key, &renamed).await, (RefusalCode::JobDiffers, told));
    let told = "the range at 4 in part 2 was stated before with another origin".to_owned();
    for other in [range(1, 4, 0, 30), range(1, 4, 1, 29)] {
        // What stands before it in the page is not recorded either.
        let page = only(vec![range(1, 33, 0, 1), other]);
        assert_eq!(bench.refused(key, &page).await, (RefusalCode::JobDiffers, told.clone()));
    }
    assert_eq!(bench.ranges(new.job).await, before);
}

async fn only_an_open_spray_under_its_lease_records_origins(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let (job, epoch) = bench.recorded(&new).await;

    assert_eq!(bench.refused((job, Epoch(9)), &origins()).await.0, RefusalCode::EpochStale);
    let push = bench.open(&push_job(2), T).await.unwrap().epoch;
    assert_eq!(bench.refused((job_id(2), push), &origins()).await.0, RefusalCode::Malformed);
    let parts = parts_of(&new);
    bench.catalogue.seal_parts(job, epoch, &parts, T).await.unwrap();
    bench.catalogue.record_origins((job, epoch), &origins(), T).await.unwrap();
    bench.catalogue.mark_sealed((job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap();
    assert_eq!(bench.refused((job, epoch), &origins()).await.0, RefusalCode::Incomplete);
}

async fn ranges_of_unknown_parts_and_sources_are_refused(engine: Engine) {
    let bench = Bench::new(engine).await;
    let key = bench.recorded(&spray(1, "a::x")).await;

    let told = "a range of part 3 in a job of 2 parts".to_owned();
    let page = only(vec![range(2, 0, 0, 1)]);
    assert_eq!(bench.refused(key, &page).await, (RefusalCode::Malformed, told));
    let told = "a range at 7 in part 1 names source 3, which is unknown".to_owned();
    let page = only(vec![range(0, 7, 2, 1)]);
    assert_eq!(bench.refused(key, &page).await, (RefusalCode::Malformed, told));
    let page = only(vec![OriginRange { source_offset: 1 << 63, ..range(0, 7, 0, 1) }]);
    assert_eq!(bench.refused(key, &page).await.0, RefusalCode::LimitExceeded);
}

async fn a_job_records_no_more_ranges_than_the_limit(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let key = bench.recorded(&new).await;
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    // As if all but one of the others were there.
    query("UPDATE jobs SET origin_ranges = $1 WHERE origin_ranges = 3")
        .bind(i64::from(ORIGIN_RANGES_MAX - 1))
        .execute(&mut tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let two = only(vec![range(1, 32, 0, 1), range(1, 33, 0, 1)]);
    let told = "1000001 ranges, at most 1000000 of a job are recorded".to_owned();
    assert_eq!(bench.refused(key, &two).await, (RefusalCode::LimitExceeded, told));
    assert_eq!(bench.ranges(new.job).await.len(), 3);
    bench.catalogue.record_origins(key, &only(vec![range(1, 33, 0, 1)]), T).await.unwrap();
    bench.catalogue.record_origins(key, &origins(), T).await.unwrap();
    assert_eq!(bench.ranges(new.job).await.len(), 4);
}

async fn a_spray_with_a_range_beyond_its_part_is_not_sealed(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    let key = bench.recorded(&new).await;
    bench.catalogue.seal_parts(new.job, key.1, &parts_of(&new), T).await.unwrap();
    let page = only(vec![range(0, PART_BYTES + 1, 0, 5)]);
    bench.catalogue.record_origins(key, &page, T).await.unwrap();

    let error = bench.catalogue.mark_sealed(key, &[], OPEN_GATE.allowed, T).await.unwrap_err();

    assert_eq!(
        error.to_string(),
        format!("a range at {} in part 1 begins behind the part's end", PART_BYTES + 1)
    );
    assert_eq!(error.refusal().code, RefusalCode::Malformed);
    assert_eq!(bench.job(&new).await.state, JobState::Open);
}

async fn origins_live_as_long_as_their_generation(engine: Engine) {
    let bench = Bench::new(engine).await;
    let (first, second) = (spray(1, "a::x"), NewJob { overwrite: true, ..spray(2, "a::x") });
    for new in [&first, &second] {
        let (job, epoch) = bench.recorded(new).await;
        bench.catalogue.seal_parts(job, epoch, &parts_of(new), T).await.unwrap();
        bench.catalogue.mark_sealed((job, epoch), &[], OPEN_GATE.allowed, T).await.unwrap();
        bench.catalogue.commit_spray(job, epoch, OPEN_GATE.sign, T).await.unwrap();
        if new.job == first.job {
            assert_eq!(bench.forget_all().await, 2, "the parts of the job");
            assert_eq!(bench.ranges(job).await.len(), 3);
        }
    }
    // Of the first 3 ranges and 2 sources, of the second the parts.
    assert_eq!(bench.forget_all().await, 5 + 2);
    assert_eq!(bench.ranges(first.job).await, []);
    assert_eq!(bench.catalogue.origin_sources(first.job, None, 10).await.unwrap(), []);
    assert_eq!(bench.ranges(second.job).await.len(), 3);

    let name = logical("a::x");
    bench.catalogue.remove_logical(&plane(), &name, &Actor::Operator, T).await.unwrap();
    assert_eq!(bench.forget_all().await, 5);
    assert_eq!(bench.ranges(second.job).await, []);
    assert_eq!(bench.forget_all().await, 0);
}

async fn origins_of_a_job_that_was_given_up_are_forgotten(engine: Engine) {
    let bench = Bench::new(engine).await;
    let new = spray(1, "a::x");
    bench.recorded(&new).await;
    assert_eq!(bench.forget_all().await, 0);

    bench.catalogue.abort(new.job, None, &Actor::Operator, T).await.unwrap();

    assert_eq!(bench.forget_all().await, 5);
    assert_eq!(bench.ranges(new.job).await, []);
}
