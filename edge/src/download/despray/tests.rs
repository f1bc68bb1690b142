//! Files that get their names together, on a disk that fails between any two steps.

use super::cut::cut;
use super::*;
use crate::download::reading::DownloadSink as _;
use crate::exit::Details;
use crate::journal::Journal;
use crate::landing::{LandingPath, ZoneName};
use crate::output::{Manner, Reporter};
use crate::stop;
use shape::Cut;
use skyspray_dfu::blob::{PrefixSpec, SplitPrefixSpec};
use skyspray_link::receive::Sink as _;
use skyspray_link::seam::files::{Caching, Fault, MemoryTree, Op, RelPath, Tree as _};

struct Rig {
    zone: MemoryTree,
    state: MemoryTree,
    locks: tempfile::TempDir,
    shape: Shape,
    replace: Replace,
    parts: [Vec<u8>; 3],
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn three() -> NonZeroU32 {
    NonZeroU32::new(3).unwrap()
}

fn info(length: u64) -> PartInfo {
    PartInfo {
        length,
        digest: None,
        crc32: None,
        records: None,
        modified_ns: None,
        header: 0,
        footer: 0,
    }
}

impl Rig {
    fn new(shape: Shape) -> Self {
        let (zone, state) = (MemoryTree::new(1 << 20), MemoryTree::new(1 << 20));
        let locks = tempfile::tempdir().unwrap();
        let parts = match &shape {
            Shape::Blobs(_) => [&[("a", "a")][..], &[], &[("b", ""), ("c", "ccc")]].map(blobs_of),
            _ => [b"a".to_vec(), Vec::new(), b"ccc".to_vec()],
        };
        Self { zone, state, locks, shape, replace: Replace::Never, parts }
    }

    fn staging(&self) -> Staging {
        let zone = ZoneName::parse("z").unwrap();
        let tree = Arc::new(self.zone.clone());
        let target = LandingPath { zone, tree, path: path("d/out") };
        Staging::new(target, JobId([1; 16]), &self.shape)
    }

    /// What the journal knows, as another run finds it.
    fn progress(&self) -> Result<Arc<Progress>, DownloadFault> {
        let locks = self.locks.path().join("locks");
        let journal = Journal::with_tree(Arc::new(self.state.clone()), locks)?;
        let header = JobHeader {
            job: JobId([1; 16]),
            kind: JobKind::Despray,
            key: CommandKey::of(JobKind::Despray, "lake:a::b", &[], []),
            target: "lake:a::b".into(),
            sources: Vec::new(),
            opened_ms: 0,
        };
        let (Begun::New(log) | Begun::Resumed(log)) = journal.begin(&header)?;
        let state = log.checkpoint().map(DesprayState::decode).unwrap_or_default();
        let reporter = Reporter::new(Manner { quiet: true, ..Manner::default() });
        Ok(Arc::new(Progress::new(log, state, reporter)))
    }

    /// One run of a despray of three parts, the second of them empty, without the receiving.
    fn run(&self) -> Result<Written, DownloadFault> {
        let (staging, progress) = (self.staging(), self.progress()?);
        if let Some(written) = complete::go_on(&staging, &progress, self.replace)? {
            return Ok(written);
        }
        let parts = [0, 1, 2].map(|part| info(self.parts[part].len() as u64));
        let recipe = Recipe::of(&self.shape, &csv(), &parts)?;
        let files = open_files(&staging, &recipe, &progress)?;
        let target = (files.clone(), "z:d/out".to_owned());
        let sink = FileSink::new(target, &parts, Arc::clone(&progress), Arc::default());
        for part in [0, 2] {
            let mut bytes = self.parts[part as usize].clone();
            let written = sink.write(PartIndex(part), 0, &mut bytes);
            let synced = written.and_then(|()| sink.sync(&[PartIndex(part)]));
            synced.map_err(|refusal| sink.take_fault().unwrap_or_else(|| refusal.into()))?;
        }
        let completion =
            Completion { staging, progress, replace: self.replace, stop: stop::channel().1 };
        completion.run(&recipe, &files, &parts)
    }

    fn create(&self, path: &RelPath, bytes: &[u8]) {
        self.zone.create_dirs(&path.parent().unwrap()).unwrap();
        let file = self.zone.create_new(path, 0o600, Caching::Buffered).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file.sync_all().unwrap();
        self.zone.sync_dir(&path.parent().unwrap()).unwrap();
    }

    fn content(&self, text: &str) -> Option<String> {
        let file = self.zone.open_read(&path(text)).ok()?;
        let mut found = vec![0; 100];
        let read = file.read_at(&mut found, 0).unwrap();
        Some(String::from_utf8_lossy(&found[..read]).into_owned())
    }

    /// Names in the directory, staged ones as `.`.
    fn names(&self, directory: &str) -> Vec<String> {
        let entries = self.zone.read_dir(&path(directory), None, 100).unwrap();
        let name = |name: &str| if name.starts_with('.') { "." } else { name }.to_owned();
        entries.iter().map(|entry| name(entry.name.to_str().unwrap())).collect()
    }
}

fn csv() -> Vec<(String, String)> {
    vec![("kind".into(), "csv".into()), ("format".into(), "csv".into())]
}

/// How a run ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// The process is killed at an operation on the landing zone.
    Kill,
    /// The host loses its power at an operation on the landing zone.
    Power,
    /// The host loses its power at an operation on the journal.
    PowerInJournal,
}

impl End {
    fn after(self, rig: &Rig, operations: u64) -> Result<Written, DownloadFault> {
        let tree = if self == Self::PowerInJournal { &rig.state } else { &rig.zone };
        tree.cut_power_after(operations);
        let ended = rig.run();
        if self == Self::Kill {
            tree.cut_power_after(u64::MAX);
        } else {
            rig.zone.crash();
            rig.state.crash();
        }
        ended
    }
}

/// A run ends after no operation, the next after one more and so on until one is done; each is
/// followed by one that is left alone.
fn assert_survives(shape: &Shape, directory: &str, content: &[(&str, &str)]) {
    let expected = content.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    for end in [End::Kill, End::Power, End::PowerInJournal] {
        let mut halves = 0;
        for operations in 0.. {
            let rig = Rig::new(shape.clone());
            let ended = end.after(&rig, operations);
            let known = rig.zone.metadata(&path(directory)).is_ok();
            let visible = if known { rig.names(directory) } else { Vec::new() };
            let placed = visible.iter().filter(|name| *name != ".").count();
            halves += u32::from(placed > 0 && placed < expected.len());
            if placed > 0 {
                let placing = rig.progress().unwrap().state().placing;
                assert!(placing.is_some(), "the journal does not know of {visible:?}");
            }
            let written = rig.run().unwrap();
            assert_eq!(rig.names(directory), expected, "{end:?} after {operations} operations");
            assert_eq!(rig.names("d").iter().filter(|name| *name == ".").count(), 0);
            for (name, bytes) in content {
                let found = rig.content(&format!("{directory}/{name}"));
                assert_eq!(found.as_deref(), Some(*bytes));
            }
            assert_eq!(written, Written { files: expected.len() as u64, bytes: 4 });
            if ended.is_ok() {
                break;
            }
        }
        let met = end != End::Kill || expected.len() == 1 || halves > 0;
        assert!(met, "no kill was between two names");
    }
}

#[test]
fn one_file_survives_an_end_after_any_operation() {
    assert_survives(&Shape::Joined, "d", &[("out", "accc")]);
}

#[test]
fn a_file_for_each_part_survives_an_end_after_any_operation() {
    let content = [("out._1_of_3", "a"), ("out._2_of_3", ""), ("out._3_of_3", "ccc")];
    assert_survives(&Shape::Wrapped, "d", &content);
}

#[test]
fn files_of_records_survive_an_end_after_any_operation() {
    let content = [("out._1_of_3", "accc"), ("out._2_of_3", ""), ("out._3_of_3", "")];
    assert_survives(&Shape::Parts(three()), "d", &content);
}

#[test]
fn blobs_survive_an_end_after_any_operation() {
    let content = [("a", "a"), ("b", ""), ("c", "ccc")];
    assert_survives(&Shape::Blobs(Some(blob_spec())), "d/out", &content);
}

#[test]
fn a_rename_that_fails_is_gone_on_with_by_the_next_run() {
    let rig = Rig::new(Shape::Wrapped);
    rig.zone.fail_after(Op::Rename, 1, Fault::Io);

    let fault = rig.run().unwrap_err();
    assert_eq!(fault.code(), "target-unwritable");
    assert!(!fault.ends_job());
    assert_eq!(rig.names("d"), [".", ".", "out._1_of_3"]);

    assert_eq!(rig.run().unwrap(), Written { files: 3, bytes: 4 });
    assert_eq!(rig.names("d"), ["out._1_of_3", "out._2_of_3", "out._3_of_3"]);
}

#[test]
fn files_get_their_names_all_or_none_when_one_is_taken() {
    let mut rig = Rig::new(Shape::Wrapped);
    rig.create(&path("d/out._3_of_3"), b"precious");

    let fault = rig.run().unwrap_err();
    assert_eq!(fault.to_string(), "z:d/out._3_of_3 exists already");
    assert_eq!(fault.details().hpcc, Some(8089));
    assert_eq!(rig.names("d"), [".", ".", "out._3_of_3"]);
    assert_eq!(rig.content("d/out._3_of_3").as_deref(), Some("precious"));

    rig.replace = Replace::Existing;
    rig.run().unwrap();
    assert_eq!(rig.content("d/out._3_of_3").as_deref(), Some("ccc"));
}

#[test]
fn a_staged_file_that_is_lost_before_it_has_its_name_is_made_again() {
    let rig = Rig::new(Shape::Wrapped);
    rig.zone.fail_after(Op::Rename, 1, Fault::Io);
    rig.run().unwrap_err();
    rig.zone.remove_file(&rig.staging().directory().join("out._3_of_3").unwrap()).unwrap();

    let progress = rig.progress().unwrap();
    assert_eq!(complete::go_on(&rig.staging(), &progress, Replace::Never).unwrap(), None);
    assert_eq!(progress.state(), DesprayState::default());
    assert_eq!(rig.names("d"), ["out._1_of_3"], "what has its name is not touched");
}

#[test]
fn another_file_under_the_name_is_not_what_was_staged() {
    let rig = Rig::new(Shape::Wrapped);
    rig.zone.fail_after(Op::Rename, 1, Fault::Io);
    rig.run().unwrap_err();
    rig.zone.remove_file(&path("d/out._1_of_3")).unwrap();
    rig.create(&path("d/out._1_of_3"), b"b");

    let progress = rig.progress().unwrap();
    assert_eq!(complete::go_on(&rig.staging(), &progress, Replace::Existing).unwrap(), None);
    assert_eq!(rig.content("d/out._1_of_3").as_deref(), Some("b"));
}

#[test]
fn a_list_longer_than_what_is_read_at_once_is_read_whole_and_a_cut_one_is_seen() {
    let rig = Rig::new(Shape::Wrapped);
    let staging = rig.staging();
    rig.zone.create_dirs(&path("d")).unwrap();
    let mut writer = manifest::ManifestWriter::create(&staging).unwrap();
    let names = (0..2000).map(|index| format!("{index:0>200}")).collect::<Vec<_>>();
    rig.create(&path("d/f"), b"");
    let fingerprint = rig.zone.metadata(&path("d/f")).unwrap().fingerprint();
    for name in &names {
        writer.push(name.as_ref(), fingerprint).unwrap();
    }
    writer.finish(&staging).unwrap();

    let mut found = Vec::new();
    let mut list = manifest::Manifest::open(&staging).unwrap();
    while let manifest::Next::Entry(entry) = list.next().unwrap() {
        assert_eq!(entry.fingerprint, fingerprint);
        found.push(entry.name.into_string().unwrap());
    }
    assert_eq!(list.next().unwrap(), manifest::Next::End);
    assert_eq!(found, names);

    let file = rig.zone.open_write(&staging.manifest(), Caching::Buffered).unwrap();
    file.set_len(1000).unwrap();
    let mut list = manifest::Manifest::open(&staging).unwrap();
    let end = std::iter::repeat_with(|| list.next().unwrap())
        .find(|next| !matches!(next, manifest::Next::Entry(_)));
    assert_eq!(end, Some(manifest::Next::Damaged));
}

/// Stages what a despray of `joined` makes, and says what it is called and holds.
fn cut_of(joined: &[u8], shape: Shape, how: &Cut) -> Result<Vec<(String, Vec<u8>)>, DownloadFault> {
    let rig = Rig::new(shape);
    let staging = rig.staging();
    rig.create(&staging.joined(), joined);
    let written = cut(&staging, how, &stop::channel().1)?;
    let directory = staging.directory();
    let entries = rig.zone.read_dir(&directory, None, 5000).unwrap();
    let files = entries.iter().map(|entry| {
        let path = directory.join(&entry.name).unwrap();
        let mut bytes = vec![0; joined.len() + 10];
        let read = rig.zone.open_read(&path).unwrap().read_at(&mut bytes, 0).unwrap();
        bytes.truncate(read);
        (entry.name.to_string_lossy().into_owned(), bytes)
    });
    let files = files.collect::<Vec<_>>();
    assert_eq!(written.files, files.len() as u64);
    assert_eq!(written.bytes, files.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>());
    Ok(files)
}

fn records_cut(
    attributes: &[(&str, &str)],
    joined: &[u8],
    shape: &Shape,
    around: (u32, u32),
) -> Result<Vec<(String, String)>, DownloadFault> {
    let attributes =
        attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let attributes = attributes.collect::<Vec<_>>();
    let marked = attributes.iter().any(|(name, _)| name == "byteOrderMark");
    let length = joined.len() as u64 - if marked { 3 } else { 0 };
    let part = PartInfo { header: around.0, footer: around.1, ..info(length) };
    let recipe = Recipe::of(shape, &attributes, &[part])?;
    let Recipe::Cut(whole, how) = recipe else { panic!("{recipe:?} is no cut") };
    assert_eq!(whole.length, joined.len() as u64);
    let files = cut_of(joined, shape.clone(), &how)?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ok(files.into_iter().map(|(name, bytes)| (name, text(bytes))).collect())
}

fn bodies(files: &[(String, String)]) -> Vec<&str> {
    files.iter().map(|(_, text)| text.as_str()).collect()
}

#[test]
fn files_of_records_are_numbered_and_together_are_the_whole() {
    let csv = [("format", "csv"), ("maxRecordSize", "8")];
    let files = records_cut(&csv, b"aa\nbb\ncc\ndd\n", &Shape::Parts(three()), (0, 0)).unwrap();

    let expected = [("out._1_of_3", "aa\nbb\n"), ("out._2_of_3", "cc\n"), ("out._3_of_3", "dd\n")];
    assert_eq!(files, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

#[test]
fn no_file_is_longer_than_was_asked_for() {
    let csv = [("format", "csv"), ("maxRecordSize", "16")];
    let line = |index: usize| format!("{}\n", "x".repeat(index * 7 % 15));
    let whole = (0..200).map(line).collect::<String>();
    for size in [17, 18, 20, 31, 64, 200, 5000] {
        let shape = Shape::Sized(crate::size::ByteSize(size));
        let files = records_cut(&csv, whole.as_bytes(), &shape, (0, 0)).unwrap();
        assert!(files.iter().all(|(_, text)| text.len() as u64 <= size), "{size}");
        let parts = files.len();
        let mut files = files;
        files.sort_by_key(|(name, _)| {
            name["out._".len()..].split('_').next().unwrap().parse::<u32>().unwrap()
        });
        assert!(files[0].0.ends_with(&format!("_of_{parts}")), "{}", files[0].0);
        assert_eq!(bodies(&files).concat(), whole);
    }
}

/// A boundary in a closing tag gives the row after it away too, which no estimate foresees.
#[test]
fn a_file_that_became_too_long_is_split_again_into_more() {
    let row = |index: usize| format!("<sixteen-bytes-row>{index:03}</sixteen-bytes-row>");
    let whole = format!("<d>{}</d>", (0..60).map(row).collect::<String>());
    let pairs = [("kind", "xml"), ("format", "xml"), ("rowTag", "sixteen-bytes-row")];
    let pairs = [&pairs[..], &[("maxRecordSize", "42")]].concat();
    for size in 60..400 {
        let shape = Shape::Sized(crate::size::ByteSize(size));
        let files = records_cut(&pairs, whole.as_bytes(), &shape, (3, 4)).unwrap();
        let longest = files.iter().map(|(_, text)| text.len() as u64).max();
        assert!(longest <= Some(size), "{longest:?} of {size}");
        assert_eq!(bodies(&files).concat().matches("</sixteen").count(), 60);
    }
}

#[test]
fn every_file_of_a_document_is_one_and_every_file_of_marked_text_is_marked() {
    let xml = [("kind", "xml"), ("format", "xml"), ("rowTag", "r"), ("maxRecordSize", "64")];
    let whole = "<d><r>1</r><r>2</r><r>3</r></d>";
    let files = records_cut(&xml, whole.as_bytes(), &Shape::Parts(three()), (3, 4)).unwrap();
    assert_eq!(bodies(&files), ["<d><r>1</r><r>2</r></d>", "<d><r>3</r></d>", "<d></d>"]);

    let marked = [("kind", "csv"), ("format", "utf8n"), ("byteOrderMark", "1")];
    let whole = "\u{feff}ä\nö\nü\n";
    let files = records_cut(&marked, whole.as_bytes(), &Shape::Parts(three()), (0, 0)).unwrap();
    assert_eq!(bodies(&files), ["\u{feff}ä\n", "\u{feff}ö\n", "\u{feff}ü\n"]);
}

#[test]
fn a_document_without_rows_is_every_file() {
    let xml = [("kind", "xml"), ("format", "xml"), ("rowTag", "r")];
    let files = records_cut(&xml, b"<d></d>", &Shape::Parts(three()), (3, 4)).unwrap();
    assert_eq!(bodies(&files), ["<d></d>"; 3]);

    let files = records_cut(&[("format", "csv")], b"", &Shape::Parts(three()), (0, 0)).unwrap();
    assert_eq!(bodies(&files), [""; 3]);
}

#[test]
fn records_that_are_not_what_is_said_of_them_end_the_job() {
    let fixed = [("format", "fixed"), ("recordSize", "4")];
    let fault = records_cut(&fixed, b"aaaabb", &Shape::Parts(three()), (0, 0)).unwrap_err();

    assert_eq!((fault.exit(), fault.ends_job()), (Exit::Source, true));
    assert_eq!(fault.details().hpcc, Some(8078));
}

fn blob_spec() -> SplitPrefixSpec {
    SplitPrefixSpec::parse("FILENAME,FILESIZE:B2").unwrap()
}

fn blobs_of(blobs: &[(&str, &str)]) -> Vec<u8> {
    let spec = PrefixSpec::parse("FILENAME,FILESIZE:B2").unwrap();
    let blob = |(name, text): &(&str, &str)| {
        [spec.prefix(name.as_bytes(), text.len() as u64).unwrap(), text.as_bytes().to_vec()]
    };
    blobs.iter().flat_map(blob).flatten().collect()
}

#[test]
fn blobs_become_the_files_they_were() {
    let many = (0..100).map(|index| (format!("n{index:02}"), "x".repeat(index)));
    let many = many.collect::<Vec<_>>();
    let blobs = many.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let stored = blobs_of(&blobs.collect::<Vec<_>>());

    let files = cut_of(&stored, Shape::Blobs(None), &Cut::Blobs(blob_spec())).unwrap();

    let expected = many.into_iter().map(|(name, text)| (name, text.into_bytes()));
    assert_eq!(files, expected.collect::<Vec<_>>());
}

#[test]
fn two_blobs_of_one_name_are_refused_and_both_are_pointed_at() {
    let stored = blobs_of(&[("a", "12"), ("b", "3"), ("a", "4")]);
    let fault = cut_of(&stored, Shape::Blobs(None), &Cut::Blobs(blob_spec())).unwrap_err();

    assert_eq!(
        fault.to_string(),
        "the blobs whose bytes begin at offset 7 and at offset 24 both are called a"
    );
    assert!(fault.ends_job());
}

#[test]
fn blobs_that_break_off_say_where_with_hpccs_number() {
    let mut stored = blobs_of(&[("a", "12"), ("b", "345")]);
    stored.pop();
    let fault = cut_of(&stored, Shape::Blobs(None), &Cut::Blobs(blob_spec())).unwrap_err();

    let expected = Details { hpcc: Some(8091), file: Some("z:d/out".into()), offset: Some(18) };
    assert_eq!((fault.exit(), fault.details()), (Exit::Source, expected));
}
