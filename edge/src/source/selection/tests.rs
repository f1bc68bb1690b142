//! Arguments against real landing zones: which files they stand for, in which order.

use super::*;
use crate::config::{Access, EdgeConfig, Limits, ZoneConfig};
use crate::exit::{Exit, Explain as _};
use crate::output::{Manner, ProgressMode};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

/// Zones `in` and `lake`; relative paths start in `in`.
struct Host {
    _dir: tempfile::TempDir,
    root: PathBuf,
    zones: LandingZones,
}

fn host() -> Host {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let zone = |name: &str| {
        fs::create_dir(root.join(name)).unwrap();
        let name = ZoneName::parse(name).unwrap();
        ZoneConfig { path: root.join(name.as_str()), name, access: Access::Read, umask: None }
    };
    let zones = vec![zone("in"), zone("lake")];
    let config = EdgeConfig { relay_addresses: Vec::new(), zones, limits: Limits::default() };
    Host { _dir: dir, root, zones: LandingZones::new(&config) }
}

impl Host {
    fn put(&self, paths: &[&str]) {
        for path in paths {
            let path = self.root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
    }

    fn select_with(
        &self,
        arguments: &[&str],
        options: &SourceOptions,
    ) -> Result<Selection, OpenError> {
        let arguments: Vec<_> = arguments.iter().map(PathBuf::from).collect();
        Selection::resolve(&self.zones, &arguments, options, &self.root.join("in"))
    }

    fn select(&self, arguments: &[&str]) -> Result<Selection, OpenError> {
        self.select_with(arguments, &SourceOptions::default())
    }

    fn found(&self, arguments: &[&str]) -> Vec<String> {
        paths(&self.select(arguments).unwrap())
    }

    fn refused(&self, arguments: &[&str]) -> OpenError {
        self.select(arguments).unwrap_err()
    }

    fn listed(&self, bytes: &[u8], from0: bool) -> SourceOptions {
        let file = self.root.join("list");
        fs::write(&file, bytes).unwrap();
        SourceOptions { files_from: Some(file), from0, fail_if_no_source: false }
    }
}

fn paths(selection: &Selection) -> Vec<String> {
    selection.sources.iter().map(|source| source.at().to_string()).collect()
}

fn notices(selection: &Selection) -> Vec<String> {
    selection.notices.iter().map(ToString::to_string).collect()
}

#[test]
fn sources_keep_the_order_of_the_arguments() {
    let host = host();
    host.put(&["in/b", "in/a", "lake/c"]);

    assert_eq!(host.found(&["b", "lake:c", "in:a"]), ["in:b", "lake:c", "in:a"]);
    let absolute = host.root.join("lake/c");
    assert_eq!(host.found(&[absolute.to_str().unwrap()]), ["lake:c"]);
}

#[test]
fn a_pattern_finds_regular_files_in_the_order_of_their_names_bytes() {
    let host = host();
    host.put(&[
        "in/d/b.csv",
        "in/d/B.csv",
        "in/d/a.csv",
        "in/d/\u{e9}.csv",
        "in/d/.h.csv",
        "in/d/.skyspray-1.csv",
    ]);
    host.put(&["in/d/e.csv/inner", "in/d/f.txt", "in/z.csv"]);

    let visible = ["in:d/B.csv", "in:d/a.csv", "in:d/b.csv", "in:d/\u{e9}.csv"];
    assert_eq!(host.found(&["d/*.csv"]), visible);
    assert_eq!(host.found(&["d/.*.csv"]), ["in:d/.h.csv"]);
    assert_eq!(host.found(&["in:d/?.txt", "*.csv"]), ["in:d/f.txt", "in:z.csv"]);
}

#[test]
fn a_pattern_leaves_out_symlinks_and_says_so() {
    let host = host();
    host.put(&["in/a.csv", "lake/secret.csv"]);
    symlink("a.csv", host.root.join("in/b.csv")).unwrap();
    symlink(host.root.join("lake/secret.csv"), host.root.join("in/c.csv")).unwrap();
    symlink(host.root.join("lake"), host.root.join("in/door")).unwrap();
    let selection = host.select(&["*.csv"]).unwrap();

    assert_eq!(paths(&selection), ["in:a.csv"]);
    assert_eq!(
        notices(&selection),
        ["in:b.csv is left out: it is a symlink, and symlinks are not followed (and 1 more)"]
    );
    assert_eq!(host.refused(&["door/*.csv"]).code(), "source-symlink");
    assert_eq!(host.refused(&["door/secret.csv,x"]).code(), "source-symlink");
}

#[test]
fn a_file_that_has_the_very_name_counts_before_lists_and_patterns() {
    let host = host();
    host.put(&["in/a*", "in/ab", "in/c,d", "in/c", "in/d", "in/we*ird/x1", "in/[x].csv"]);

    assert_eq!(host.found(&["a*"]), ["in:a*"]);
    assert_eq!(host.found(&["c,d"]), ["in:c,d"]);
    assert_eq!(host.found(&["d,c"]), ["in:d", "in:c"]);
    assert_eq!(host.found(&["we*ird/x1", "we*ird/x?"]), ["in:we*ird/x1", "in:we*ird/x1"]);
    assert_eq!(host.found(&["[x].csv"]), ["in:[x].csv"]);
}

#[test]
fn later_names_of_a_comma_list_are_relative_to_the_directory_of_the_first() {
    let host = host();
    host.put(&["in/d/a", "in/d/b", "in/d/e/c", "in/b", "lake/x", "in/d/p1", "in/d/p2"]);
    let absolute = host.root.join("lake/x");
    let list = format!("in:d/a,b,e/c,{},p?", absolute.display());

    assert_eq!(
        host.found(&[&list]),
        ["in:d/a", "in:d/b", "in:d/e/c", "lake:x", "in:d/p1", "in:d/p2"]
    );
    assert_eq!(host.found(&["d/p*,a"]), ["in:d/p1", "in:d/p2", "in:d/a"]);
    let long = format!("d/a{}", ",b".repeat(3000));
    assert_eq!(host.found(&[&long]).len(), 3001);
    assert_eq!(host.refused(&["d/a,none"]).to_string(), "source in:d/none does not exist");
    for wrong in ["d/a,", ",d/a", "d/a,,b"] {
        let error = host.refused(&[wrong]);
        assert_eq!((error.exit(), &*error.code()), (Exit::Usage, "source-list-invalid"), "{wrong}");
    }
    assert_eq!(host.refused(&["d/a,../b"]).code(), "path-escapes");
}

#[test]
fn a_wildcard_in_the_name_of_a_directory_is_refused() {
    let host = host();
    host.put(&["in/d1/a"]);

    for pattern in ["d?/a", "d*/*"] {
        let error = host.refused(&[pattern]);
        assert_eq!(
            error.to_string(),
            format!("pattern in:{pattern} has a wildcard in the name of a directory")
        );
        assert_eq!((error.exit(), &*error.code()), (Exit::Usage, "pattern-invalid"));
    }
}

#[test]
fn a_pattern_without_a_match_is_a_warning_unless_that_is_to_fail() {
    let host = host();
    host.put(&["in/a.csv", "in/d/x"]);
    let selection = host.select(&["d/*.csv"]).unwrap();
    assert_eq!(paths(&selection), Vec::<String>::new());
    assert_eq!(selection.first_name(), "*.csv");
    assert_eq!(
        notices(&selection),
        ["pattern in:d/*.csv matches no file", "there is no source: the logical file is empty"]
    );

    let fail = SourceOptions { fail_if_no_source: true, ..SourceOptions::default() };
    let error = host.select_with(&["d/*.csv"], &fail).unwrap_err();
    assert_eq!(error.to_string(), "pattern in:d/*.csv matches no file");
    assert_eq!((error.exit(), error.details().hpcc), (Exit::Source, Some(8095)));
    let others = host.select_with(&["d/*.csv", "a.csv"], &fail).unwrap();
    assert_eq!((paths(&others), others.first_name()), (vec!["in:a.csv".into()], "a.csv".as_ref()));
    assert_eq!(notices(&others), ["pattern in:d/*.csv matches no file"]);
}

#[test]
fn what_is_missing_or_a_directory_is_an_error_whatever_the_options() {
    let host = host();
    host.put(&["in/d/x"]);

    for (argument, number) in [("none", 8050), ("none/*.csv", 8050), ("d", 8050), ("in:", 8050)] {
        let error = host.refused(&[argument]);
        assert_eq!(
            (error.exit(), error.details().hpcc),
            (Exit::Source, Some(number)),
            "{argument}"
        );
    }
    let advice = host.refused(&["d"]).advice();
    assert_eq!(advice.as_deref(), Some("name its files, 'in:d/*', or push the directory"));
}

#[test]
fn a_listed_path_is_only_that_path() {
    let host = host();
    host.put(&["in/a", "in/b", "in/#c", "in/d*", "in/dd", "lake/e,f"]);
    let list = host.listed(b"#c\nd*\n\nlake:e,f\r\n", false);
    let selection = host.select_with(&["b"], &list).unwrap();
    assert_eq!(paths(&selection), ["in:b", "in:#c", "in:d*", "lake:e,f"]);

    let list = host.listed(b"a\0b\0", true);
    assert_eq!(paths(&host.select_with(&[], &list).unwrap()), ["in:a", "in:b"]);
    let pattern = host.listed(b"?", false);
    let error = host.select_with(&[], &pattern).unwrap_err();
    assert_eq!(error.to_string(), "source in:? does not exist");
}

#[test]
fn a_file_that_comes_twice_is_taken_twice_with_a_warning() {
    let host = host();
    host.put(&["in/a", "in/b"]);
    fs::hard_link(host.root.join("in/a"), host.root.join("lake/c")).unwrap();
    let selection = host.select(&["?", "a", "lake:c"]).unwrap();

    assert_eq!(paths(&selection), ["in:a", "in:b", "in:a", "lake:c"]);
    assert_eq!(
        notices(&selection),
        ["source in:a is the same file as in:a; its records come again (and 1 more)"]
    );
}

#[test]
fn the_same_arguments_ask_the_same_whatever_they_find() {
    let host = host();
    host.put(&["in/a1", "in/b"]);
    let asked = || host.select(&["a*,b", "b"]).unwrap().asked;
    let before = asked();
    host.put(&["in/a0"]);

    assert_eq!(asked(), before);
    let paths: Vec<_> = before.iter().map(|asked| asked.path.to_string()).collect();
    assert_eq!(paths, ["a*", "b", "b"]);
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn names_that_announce_several_formats_are_warned_of_unless_one_is_said() {
    let host = host();
    host.put(&["in/a.csv", "in/b.dat", "in/c.tsv"]);
    let selection = host.select(&["a.csv", "b.dat", "c.tsv"]).unwrap();
    let said = |is_said| {
        let errors = Sink::default();
        let streams: (Box<dyn std::io::Write + Send>, Box<dyn std::io::Write + Send>) =
            (Box::new(Sink::default()), Box::new(errors.clone()));
        let reporter = Reporter::with_streams(Manner::default(), ProgressMode::None, streams);
        selection.warn(&reporter, is_said);
        String::from_utf8(errors.0.lock().unwrap().clone()).unwrap()
    };

    assert_eq!(said(true), "");
    assert_eq!(
        said(false),
        "warning: source in:c.tsv announces another format than in:a.csv, by which all are read\n"
    );
}

#[test]
fn sources_of_a_zone_share_its_open_directory() {
    let host = host();
    host.put(&["in/a", "in/b", "lake/c"]);
    let selection = host.select(&["a", "in:b", "lake:c", "?"]).unwrap();
    let tree = |index: usize| Arc::as_ptr(&selection.sources[index].at().tree).cast::<u8>();

    assert!(tree(0) == tree(1) && tree(0) == tree(3), "one directory of the zone in");
    assert!(tree(0) != tree(2));
}

#[test]
fn more_sources_than_the_limit_are_refused() {
    let host = host();
    host.put(&["in/a"]);
    let list = "a\n".repeat(SOURCES_MAX + 1);
    let error = host.select_with(&[], &host.listed(list.as_bytes(), false)).unwrap_err();

    assert_eq!(error.to_string(), "there are more than 100000 sources");
    assert_eq!((error.exit(), &*error.code()), (Exit::Limit, "sources-too-many"));
}
