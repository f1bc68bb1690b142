//! `file copy`: parts as they are, parts split again, and what is left when it fails.

mod carried;

use super::*;
use crate::catalogue::{JobKey, JobKind, JobRecord, LEASE_MS, PartState};
use crate::config::RelaySettings;

use crate::copy::{Copier, CopyError, CopyRequest, Site as CopySite};
use crate::placing::Placing;
use serde_json::{Value, json};
use skyspray_wire::message::JobState;

/// A stored part: its text, records, header and footer.
type Part<'a> = (&'a str, u64, u32, u32);

fn attributes(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const CSV: [(&str, &str); 3] = [("kind", "csv"), ("format", "csv"), ("ECL", "STRING a;")];

impl Stored {
    /// Stores a logical file whose parts are described.
    async fn put(&self, number: u8, name: &str, parts: &[Part<'_>], said: &[(&str, &str)]) {
        let epoch = self.open(job(number), name, parts.len()).await;
        let texts: Vec<&[u8]> = parts.iter().map(|(text, ..)| text.as_bytes()).collect();
        let mut staged = self.stage(job(number), name, &texts);
        for ((_, sealed), (_, records, header, footer)) in staged.iter_mut().zip(parts) {
            sealed.seal.records = Some(*records);
            (sealed.seal.header, sealed.seal.footer) = (*header, *footer);
        }
        let sealed: Vec<SealedPart> = staged.iter().map(|(_, sealed)| sealed.clone()).collect();
        let range = OriginRange {
            part: PartIndex(0),
            part_offset: u64::from(parts[0].2),
            source: SourceIndex(0),
            source_offset: 5,
            length: 2,
        };
        let sources = vec![SourceNote::new(SourceIndex(0), "lz:in/a", 900)];
        let page = Origins { sources, ranges: vec![range] };
        let (key, catalogue) = ((job(number), epoch), &self.catalogue);
        catalogue.record_origins(key, &page, NOW_MS).await.unwrap();
        catalogue.seal_parts(key.0, epoch, &sealed, NOW_MS).await.unwrap();
        catalogue.mark_sealed(key, &attributes(said), &|_, _| Ok(()), NOW_MS).await.unwrap();
        for (target, sealed) in staged {
            let length = sealed.seal.length;
            let finish = Finish {
                target,
                length,
                replace: Replace::Existing,
                staged: None,
                settled: false,
                upload: None,
            };
            assert_eq!(self.plane.finish(&[finish]), [Ok(Finished::Renamed)]);
        }
        catalogue.commit_spray(key.0, epoch, &|_| b"receipt".to_vec(), NOW_MS).await.unwrap();
    }

    /// Nine records in three parts.
    async fn put_csv(&self) {
        let parts =
            [("1,a\n2,b\n3,c\n", 3, 0, 0), ("4,d\n5,e\n", 2, 0, 0), ("6,f\n7\n8\n9\n", 4, 0, 0)];
        self.put(1, "acme::orders", &parts, &CSV).await;
    }

    /// The generation, parts and origins of a file, as `file show` tells them.
    async fn shown(&self, name: &str) -> (Value, Vec<Value>, Vec<Value>) {
        let shown = self.run(&["file", "show", name, "--origins", "--json"]).await;
        assert_eq!(shown.exit, Exit::Done, "{}", shown.err);
        let (mut parts, mut origins) = (shown.objects(), Vec::new());
        let generation = parts.remove(0);
        while parts.last().is_some_and(|row| row["event"] == "origin") {
            origins.insert(0, parts.pop().unwrap());
        }
        (generation, parts, origins)
    }

    /// The texts of the stored parts.
    fn texts(&self, parts: &[Value]) -> Vec<String> {
        let read = |part: &Value| self.stored_path(part["path"].as_str().unwrap());
        parts.iter().map(|part| std::fs::read_to_string(read(part)).unwrap()).collect()
    }

    async fn newest_job(&self) -> JobRecord {
        let jobs = self.catalogue.jobs(&crate::catalogue::JobFilter::default(), None, 1).await;
        jobs.unwrap().remove(0)
    }

    /// Every file on the plane, staged ones included.
    fn files(&self) -> Vec<String> {
        fn walk(directory: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    walk(&entry.path(), found);
                } else {
                    found.push(entry.file_name().to_str().unwrap().to_owned());
                }
            }
        }
        let mut found = Vec::new();
        walk(Path::new(&self.site.at("plane")), &mut found);
        found.sort();
        found
    }

    /// What `file copy` makes of its arguments, without a command line.
    fn copier(&self) -> Copier {
        let dir = self.site.dir();
        let settings = RelaySettings::load(&dir.config_file(), &Default::default()).unwrap();
        let site = CopySite {
            name: plane_name(),
            settings: settings.plane(&plane_name()).unwrap().clone(),
            plane: Arc::clone(&self.plane),
        };
        Copier {
            catalogue: self.catalogue.clone(),
            clock: host().clock,
            identity: Arc::new(load_identity(&dir, &settings, host().clock.now()).unwrap()),
            source: site.clone(),
            target: site,
            placing: Arc::new(Placing::new(&dir, &self.catalogue, &plane_name())),
            planes: crate::housekeeping::Planes::from([(plane_name(), Arc::clone(&self.plane))]),
        }
    }
}

#[tokio::test]
async fn a_copy_has_the_same_parts_and_all_that_is_known_of_them() {
    let stored = Stored::new().await;
    let parts = [("<r><a>1</a></r>", 1, 3, 4), ("<r><a>2</a><a>3</a></r>", 2, 3, 4)];
    let said = [("kind", "xml"), ("rowTag", "a"), ("description", "mine"), ("workunit", "D1")];
    stored.put(1, "acme::orders", &parts, &said).await;

    let copied = stored.run(&["file", "copy", "data:acme::orders", "data:acme::twin"]).await;

    assert_eq!(copied.exit, Exit::Done, "{}", copied.err);
    let made = stored.newest_job().await;
    let told = format!(
        "copied data:acme::orders to data:acme::twin generation 1: 2 parts of 38 bytes, job {}\n",
        made.wuid
    );
    assert_eq!(copied.out, told);
    let (twin, copies, origins) = stored.shown("data:acme::twin").await;
    assert_eq!(stored.texts(&copies), parts.map(|(text, ..)| text));
    let (_, originals, of_original) = stored.shown("data:acme::orders").await;
    for (copy, original) in copies.iter().zip(&originals) {
        for field in ["bytes", "records", "blake3", "crc32", "header", "footer"] {
            assert_eq!(copy[field], original[field], "{field}");
        }
    }
    assert_eq!(copies[1]["path"], "acme/2/twin._2_of_2");
    assert_eq!(origins, of_original);
    assert_eq!(origins[0]["source_name"], "lz:in/a");
    assert_eq!((&twin["agent"], &twin["records"]), (&"operator".into(), &3.into()));
    let kept = json!([["kind", "xml"], ["rowTag", "a"], ["description", "mine"]]);
    assert_eq!((&twin["attributes"], &twin["wuid"]), (&kept, &made.wuid.into()));
    assert_eq!((made.kind, made.state), (JobKind::Copy, JobState::Committed));
    let audit = stored.run(&["audit", "tail", "-n", "3", "--json"]).await.objects();
    let events: Vec<_> = audit.iter().map(|row| (&row["actor"], &row["audit_event"])).collect();
    let operator = |event: &str| (json!("operator"), json!(event));
    assert_eq!(
        events.iter().map(|(who, what)| ((*who).clone(), (*what).clone())).collect::<Vec<_>>(),
        ["job-opened", "job-sealed", "job-committed"].map(operator)
    );
}

#[tokio::test]
async fn a_copy_in_more_or_fewer_parts_splits_on_records() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    let whole = "1,a\n2,b\n3,c\n4,d\n5,e\n6,f\n7\n8\n9\n";

    let five =
        stored.run(&["file", "copy", "data:acme::orders", "data:five", "--parts", "5", "--json"]);
    let five = five.await;
    // The default of the plane is one.
    let one = stored.run(&["file", "copy", "data:five", "data:one", "--parts", "0"]).await;

    assert_eq!((five.exit, one.exit), (Exit::Done, Exit::Done), "{}{}", five.err, one.err);
    let line = &five.objects()[0];
    assert_eq!((&line["event"], &line["parts"]), (&"copied".into(), &5.into()));
    assert_eq!((&line["records"], &line["bytes"]), (&9.into(), &30.into()));
    let (generation, parts, origins) = stored.shown("data:five").await;
    let texts = stored.texts(&parts);
    assert_eq!(texts.concat(), whole);
    assert_eq!(texts.len(), 5);
    for (part, text) in parts.iter().zip(&texts) {
        assert_eq!(part["records"], text.lines().count());
        assert!(text.ends_with('\n'), "{texts:?}");
        assert_eq!(part["blake3"], Digest::of(text.as_bytes()).to_string());
    }
    assert_eq!(generation["attributes"], json!(CSV));
    let mut rebuilt = vec![String::new(); 5];
    let originals = stored.texts(&stored.shown("data:acme::orders").await.1);
    for row in &origins {
        let at = |field: &str| usize::try_from(row[field].as_u64().unwrap()).unwrap();
        let part = &mut rebuilt[at("part") - 1];
        assert_eq!(part.len(), at("part_offset"), "{row}");
        part.push_str(&originals[at("source") - 1][at("source_offset")..][..at("bytes")]);
    }
    assert_eq!(rebuilt, texts);
    assert_eq!(origins[0]["source_name"], "data:acme/1/orders._1_of_3");
    let (_, parts, _) = stored.shown("data:one").await;
    assert_eq!(stored.texts(&parts), [whole]);
    assert_eq!(parts[0]["records"], 9);
}

#[tokio::test]
async fn every_part_of_a_copy_is_a_document_of_its_own() {
    let stored = Stored::new().await;
    let parts = [
        ("<r>\n</r>", 0, 3, 5),
        ("<r><a>1</a>\n<a>22</a></r>", 2, 3, 4),
        ("<q><a>3</a><a>4</a>\n</q>", 2, 3, 5),
    ];
    let said = [("kind", "xml"), ("format", "xml"), ("rowTag", "a"), ("sourcesWhole", "1")];
    stored.put(1, "acme::doc", &parts, &said).await;

    let two = stored.run(&["file", "copy", "data:acme::doc", "data:two", "--parts", "2"]).await;

    assert_eq!(two.exit, Exit::Done, "{}", two.err);
    let (generation, parts, _) = stored.shown("data:two").await;
    let texts = stored.texts(&parts);
    let bodies: Vec<&str> = texts
        .iter()
        .map(|text| text.strip_prefix("<r>").unwrap().strip_suffix("\n</q>").unwrap())
        .collect();
    assert_eq!(bodies.concat(), "<a>1</a>\n<a>22</a><a>3</a><a>4</a>");
    for (part, text) in parts.iter().zip(&texts) {
        assert_eq!((&part["header"], &part["footer"]), (&3.into(), &5.into()));
        assert_eq!(part["records"], text.matches("<a>").count());
    }
    assert_eq!(generation["attributes"], json!(said[..3]));
}

#[tokio::test]
async fn what_cannot_be_copied_is_told_with_hpccs_number_and_changes_nothing() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    stored.put(2, "acme::blobs", &[("x", 1, 0, 0)], &[("kind", "flat"), ("format", "blob")]).await;
    stored.put(3, "acme::odd", &[("x", 1, 0, 0)], &[("kind", "flat"), ("format", "odd")]).await;
    let (files, jobs) = (stored.files(), stored.newest_job().await.number);
    let cases: [(&[&str], Exit, &str); 6] = [
        (
            &["data:acme::orders", "data:~ACME::Orders"],
            Exit::Usage,
            "data:acme::orders cannot be copied onto itself (HPCC 8061)\n",
        ),
        (
            &["data:acme::none", "data:x"],
            Exit::Source,
            "file data:acme::none does not exist (HPCC 8050)\n",
        ),
        (
            &["data:acme::orders", "data:acme::odd"],
            Exit::Refused,
            "file data:acme::odd exists (HPCC 8089)\n",
        ),
        (
            &["data:acme::blobs", "data:x", "--parts", "2"],
            Exit::Source,
            "data:acme::blobs is stored as blob, which cannot be split again into another number \
             of parts\n",
        ),
        (
            &["data:acme::odd", "data:x", "--parts", "2"],
            Exit::Source,
            "data:acme::odd cannot be split again into another number of parts: format \"odd\" is \
             unknown",
        ),
        (
            &["data:acme::orders", "data:x", "--parts", "65537"],
            Exit::Limit,
            "65537 parts, at most 65536 are allowed\n",
        ),
    ];
    for (args, exit, text) in cases {
        let ended = stored.run(&[&["file", "copy"], args].concat()).await;

        assert_eq!(ended.exit, exit, "{}", ended.err);
        let start = format!("error: {text}");
        assert!(ended.err.starts_with(&start), "{:?} is not {start:?}", ended.err);
    }
    assert_eq!((stored.files(), stored.newest_job().await.number), (files, jobs));
    let json = stored.run(&["file", "copy", "data:acme::none", "data:x", "--json"]).await;
    let error: Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!((&error["code"], &error["hpcc"]), (&3.into(), &8050.into()));
    let blobs = stored.run(&["file", "copy", "data:acme::blobs", "data:y"]).await;
    assert_eq!(blobs.exit, Exit::Done, "{}", blobs.err);
}

#[tokio::test]
async fn a_copy_replaces_a_file_and_its_parts_only_when_asked_to() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    stored.put(2, "acme::old", &[("x\n", 1, 0, 0), ("y\n", 1, 0, 0)], &CSV).await;

    let copy = ["file", "copy", "data:acme::orders", "data:acme::old", "--overwrite"];
    let copied = stored.run(&copy).await;

    assert_eq!(copied.exit, Exit::Done, "{}", copied.err);
    let (generation, parts, _) = stored.shown("data:acme::old").await;
    assert_eq!(generation["generation"], 2);
    assert_eq!(stored.texts(&parts)[1], "4,d\n5,e\n");
    let expected = [1, 2, 3].map(|part| format!("old._{part}_of_3"));
    let of_old: Vec<_> = stored.files().into_iter().filter(|f| f.starts_with("old")).collect();
    assert_eq!(of_old, expected);
}

#[tokio::test]
async fn a_part_that_is_not_what_was_committed_ends_the_copy_without_a_trace() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    std::fs::write(stored.stored_path("acme/3/orders._3_of_3"), "6,f\n7\n8\n8\n").unwrap();
    let files = stored.files();
    for more in [&["--parts", "2"][..], &[]] {
        let args = [&["file", "copy", "data:acme::orders", "data:x"], more].concat();
        let copied = stored.run(&args).await;

        assert_eq!(copied.exit, Exit::Mismatch);
        let told = "error: part 3 of data:acme::orders: its BLAKE3 digest differs (HPCC 8081)\n";
        assert!(copied.err.starts_with(told), "{}", copied.err);
        assert_eq!(stored.files(), files);
        assert_eq!(stored.newest_job().await.state, JobState::Aborted);
        assert_eq!(stored.run(&["file", "show", "data:x"]).await.exit, Exit::Source);
    }
}

#[tokio::test]
async fn records_that_are_not_what_the_attributes_say_end_the_copy_with_their_place() {
    let stored = Stored::new().await;
    stored.put(1, "acme::open", &[("1\n\"2\n", 2, 0, 0)], &CSV).await;
    let files = stored.files();

    let copied = stored.run(&["file", "copy", "data:acme::open", "data:x", "--parts", "2"]).await;

    assert_eq!(copied.exit, Exit::Source, "{}", copied.err);
    let told = "error: the records of data:acme::open are not what its attributes say: source 1 \
                at offset 2: quote is never closed\n";
    assert!(copied.err.starts_with(told), "{}", copied.err);
    assert_eq!(stored.files(), files);
}

/// What a process leaves that is killed between two parts.
async fn left_open(stored: &Stored) -> JobRecord {
    let new = NewJob {
        job: job(9),
        agent: crate::catalogue::operator(),
        target: WriteTarget::LogicalFile {
            plane: plane_name(),
            name: logical("acme::twin"),
            parts: 3,
        },
        overwrite: false,
        bytes: 30,
        plan: Digest::of(b"plan"),
        attributes: Vec::new(),
        parts: 3,
        chunk_size: ChunkSize::FILE_PLANE,
        layout: PartLayout { dir_per_part: true, devices: 1, lfn_hash: 0, kept: None },
    };
    stored.catalogue.open_copy(&new, NOW_MS).await.unwrap();
    stored.stage(job(9), "acme::twin", &[b"1,a\n", b"4,", b"x"]);
    stored.newest_job().await
}

#[tokio::test]
async fn a_copy_that_was_cut_off_is_given_up_by_the_next_one() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    let left = left_open(&stored).await;
    assert!(stored.files().iter().any(|file| file.starts_with(".skyspray-")));

    let copied = stored.run(&["file", "copy", "data:acme::orders", "data:acme::twin"]).await;

    assert_eq!(copied.exit, Exit::Done, "{}", copied.err);
    let left = stored.catalogue.job(&JobKey::Id(left.job)).await.unwrap().unwrap();
    assert_eq!(left.state, JobState::Aborted);
    assert!(!stored.files().iter().any(|file| file.starts_with(".skyspray-")));
}

#[tokio::test]
async fn housekeeping_leaves_a_copy_under_way_alone() {
    let stored = Stored::new().await;
    let left = left_open(&stored).await;
    let files = stored.files();

    let collected = stored.run(&["collect", "--json"]).await.objects();

    assert_eq!((&collected[0]["orphans"], &collected[0]["jobs_cleared"]), (&0.into(), &0.into()));
    assert_eq!(stored.files(), files);
    let cancelled = stored.run(&["job", "cancel", &left.wuid, "--json"]).await.objects();
    assert_eq!(
        (&cancelled[0]["state"], &cancelled[0]["kind"]),
        (&"aborted".into(), &"copy".into())
    );
    stored.run(&["collect"]).await;
    assert_eq!(stored.files(), [""; 0]);
}

#[tokio::test]
async fn a_copy_that_only_lacks_its_commit_is_finished_by_the_same_command() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    let lock = stored.site.dir().state().join("placing-data.lock");
    let copy = ["file", "copy", "data:acme::orders", "data:acme::twin"];
    // Nobody gets the right to place parts while a directory is there.
    std::fs::create_dir(&lock).unwrap();
    let failed = stored.run(&copy).await;
    assert_eq!(failed.exit, Exit::Internal, "{}", failed.err);
    let sealed = stored.newest_job().await;
    assert_eq!(sealed.state, JobState::Sealed);
    let parts = stored.catalogue.job_parts(sealed.job, None, 9).await.unwrap();
    assert!(parts.iter().all(|part| part.state == PartState::Sealed));
    assert_eq!(stored.run(&["file", "show", "data:acme::twin"]).await.exit, Exit::Source);
    std::fs::remove_dir(&lock).unwrap();

    let again = stored.run(&copy).await;

    assert_eq!(again.exit, Exit::Done, "{}", again.err);
    let made = stored.newest_job().await;
    assert_eq!((made.job, made.state), (sealed.job, JobState::Committed));
    let (_, parts, _) = stored.shown("data:acme::twin").await;
    assert_eq!(stored.texts(&parts)[1], "4,d\n5,e\n");
    let third = stored.run(&copy).await;
    assert!(third.err.starts_with("error: file data:acme::twin exists (HPCC 8089)\n"));
}

#[tokio::test]
async fn a_copy_and_an_agent_wait_for_each_other() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    let left = left_open(&stored).await;
    let target =
        WriteTarget::LogicalFile { plane: plane_name(), name: logical("acme::twin"), parts: 3 };
    let new = |number| NewJob {
        job: job(number),
        agent: agent(),
        target: target.clone(),
        overwrite: false,
        bytes: 9,
        plan: Digest::of(b"other"),
        attributes: Vec::new(),
        parts: 3,
        chunk_size: ChunkSize::FILE_PLANE,
        layout: PartLayout { dir_per_part: true, devices: 1, lfn_hash: 0, kept: None },
    };

    let early = stored.catalogue.open_write(&new(5), NOW_MS + LEASE_MS - 1).await.unwrap_err();
    let told = format!("acme::twin is being written by job {}", left.wuid);
    assert_eq!(early.to_string(), told);
    stored.catalogue.open_write(&new(6), NOW_MS + LEASE_MS).await.unwrap();

    let copied = stored.run(&["file", "copy", "data:acme::orders", "data:acme::twin"]).await;
    assert_eq!(copied.exit, Exit::Temporary);
    let told = "error: acme::twin is being written by job D";
    assert!(copied.err.starts_with(told), "{}", copied.err);
}

#[tokio::test]
async fn a_source_whose_parts_are_being_replaced_is_not_copied() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    let epoch = stored.open(job(2), "acme::orders", 1).await;
    let (_, sealed) = stored.stage(job(2), "acme::orders", &[b"new"]).remove(0);
    stored.catalogue.seal_parts(job(2), epoch, &[sealed], NOW_MS).await.unwrap();
    stored.catalogue.mark_sealed((job(2), epoch), &[], &|_, _| Ok(()), NOW_MS).await.unwrap();

    let copied = stored.run(&["file", "copy", "data:acme::orders", "data:x"]).await;

    assert_eq!(copied.exit, Exit::Temporary);
    let told = "error: data:acme::orders was replaced or removed while it was copied\n";
    assert!(copied.err.starts_with(told), "{}", copied.err);
}

#[tokio::test]
async fn an_interrupted_copy_leaves_nothing() {
    let stored = Stored::new().await;
    stored.put_csv().await;
    let files = stored.files();
    let request = CopyRequest {
        job: job(7),
        from: logical("acme::orders"),
        to: logical("acme::twin"),
        parts: Some(2),
        overwrite: false,
        read_back: false,
    };

    let ended = stored.copier().copy(&request, std::future::ready(())).await.unwrap_err();

    assert!(matches!(ended, CopyError::Interrupted), "{ended}");
    assert_eq!(stored.files(), files);
    assert_eq!(stored.newest_job().await.state, JobState::Aborted);
}

#[tokio::test]
async fn no_agent_gets_the_name_that_stands_for_the_operator() {
    let site = Site::initialised().await;

    let added = site.run(&["agent", "add", "operator"]).await;

    assert_eq!((added.exit, added.out.as_str()), (Exit::Usage, ""));
    let told = "error: agent name operator is reserved for the operator\n  try: choose another \
                name\n";
    assert_eq!(added.err, told);
}

#[tokio::test]
async fn the_comma_between_two_parts_of_a_json_is_put_back_before_it_is_split_again() {
    let stored = Stored::new().await;
    let parts =
        [("[{\"n\":1},{\"n\":2}]", 2, 1, 1), ("[]", 0, 1, 1), ("[{\"n\":3},{\"n\":4}]", 2, 1, 1)];
    let said = [("kind", "json"), ("format", "json"), ("rowTag", "/"), ("rowSeparator", ",")];
    stored.put(1, "acme::rows", &parts, &said).await;

    let one = stored.run(&["file", "copy", "data:acme::rows", "data:one", "--parts", "1"]).await;
    let four = stored.run(&["file", "copy", "data:one", "data:four", "--parts", "4"]).await;

    assert_eq!((one.exit, four.exit), (Exit::Done, Exit::Done), "{}{}", one.err, four.err);
    let (generation, parts, _) = stored.shown("data:one").await;
    assert_eq!(stored.texts(&parts), ["[{\"n\":1},{\"n\":2},{\"n\":3},{\"n\":4}]"]);
    assert_eq!(
        generation["attributes"].as_array().unwrap()[..3],
        json!(said[..3]).as_array().unwrap()[..]
    );
    assert!(!generation["attributes"].to_string().contains("rowSeparator"));
    let (generation, parts, _) = stored.shown("data:four").await;
    for (number, text) in stored.texts(&parts).iter().enumerate() {
        assert_eq!(*text, format!("[{{\"n\":{}}}]", number + 1));
    }
    assert!(generation["attributes"].to_string().contains("[\"rowSeparator\",\",\"]"));
}
