//! Measures the pages of lists and searches over a million logical files, and progress recorded one
//! group at a time. Run it with `cargo run --release -p skyspray-relay --example catalogue_speed --
//! sqlite:FILE` or, for an empty PostgreSQL database, with `-- postgres://…`.

use skyspray_relay::catalogue::{
    Catalogue, NewJob, Opening, PartLayout, Place, Progress, operator,
};
use skyspray_wire::digest::Digest;
use skyspray_wire::ids::{ChunkSize, JobId, PartIndex};
use skyspray_wire::message::WriteTarget;
use skyspray_wire::name::{LogicalName, PlaneName, Scope};
use std::error::Error;
use std::time::{Duration, Instant};

/// Times each is measured.
const RUNS: u32 = 50;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let said = std::env::args().nth(1).ok_or("name sqlite:FILE or postgres://…")?;
    let place = match said.strip_prefix("sqlite:") {
        Some(file) => Place::File(file.into()),
        None => match said.parse()? {
            skyspray_relay::catalogue::CatalogueUrl::Postgres(url) => {
                Place::Postgres { url, password_file: None }
            }
            skyspray_relay::catalogue::CatalogueUrl::Sqlite => return Err("name a file".into()),
        },
    };
    let catalogue = Catalogue::create(&place).await?;
    let plane = PlaneName::parse("data")?;
    pages(&catalogue, &plane).await?;
    progress(&catalogue, &plane).await?;
    catalogue.close().await;
    Ok(())
}

async fn pages(catalogue: &Catalogue, plane: &PlaneName) -> Result<(), Box<dyn Error>> {
    for (what, scope, after) in [
        ("list, first page of all", "", ""),
        ("list, page in the middle of all", "", "big::s500::n000500"),
        ("list, first page of a scope", "big::s777", ""),
    ] {
        let scope = Scope::parse(scope)?;
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let began = Instant::now();
            let found = catalogue.list_logical(plane, &scope, after, 256).await?;
            assert_eq!(found.len(), 256, "{what}");
            times.push(began.elapsed());
        }
        show(what, times);
    }
    for pattern in ["big::s777::n*", "big::s777::n*5", "*n0005*", "*nowhere", "*1"] {
        let scope = Scope::default();
        let parsed = pattern.parse()?;
        let mut times = Vec::new();
        for run in 0..RUNS {
            let after = if run % 2 == 0 { "" } else { "big::s500::n000500" };
            let began = Instant::now();
            catalogue.search_logical((plane, &scope), &parsed, after, 256).await?;
            times.push(began.elapsed());
        }
        show(&format!("search {pattern}"), times);
    }
    Ok(())
}

/// One group of 16 parts of 16 open streams, as a busy spray records it.
async fn progress(catalogue: &Catalogue, plane: &PlaneName) -> Result<(), Box<dyn Error>> {
    let new = NewJob {
        job: JobId([9; 16]),
        agent: operator(),
        target: WriteTarget::LogicalFile {
            plane: plane.clone(),
            name: LogicalName::parse("measured::x")?,
            parts: 16,
        },
        overwrite: true,
        bytes: 0,
        plan: Digest([0; 32]),
        attributes: Vec::new(),
        parts: 16,
        chunk_size: ChunkSize::FILE_PLANE,
        layout: PartLayout { dir_per_part: false, devices: 1, lfn_hash: 0, kept: None },
    };
    let Opening::Granted(opened) = catalogue.open_write(&new, 0).await? else {
        return Err("the job is done already".into());
    };
    for (what, parts) in [("progress of one part", 1), ("progress of 16 parts", 16)] {
        let mut times = Vec::new();
        for run in 0..RUNS {
            let item = |part| Progress {
                job: new.job,
                epoch: opened.epoch,
                part: PartIndex(part),
                tree: vec![0; 100],
                job_bytes: u64::from(run),
                pieces: Vec::new(),
            };
            let items: Vec<_> = (0..parts).map(item).collect();
            let began = Instant::now();
            catalogue.record_progress(&items, 1).await?;
            times.push(began.elapsed());
        }
        show(what, times);
    }
    Ok(())
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    println!(
        "{what:40} median {:7.2} ms, 95 of 100 {:7.2} ms, worst {:7.2} ms",
        at(50),
        at(95),
        at(100)
    );
}
