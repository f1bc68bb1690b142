//! Command lines that are understood, and those that are not.

use super::*;
use clap::{CommandFactory as _, error::ErrorKind};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("skyspray-edge").chain(line.split(' ')))
}

fn command(line: &str) -> Command {
    parse(line).unwrap().command
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_of_the_contract_is_understood() {
    for line in [
        "enroll --token-file t --dir d --landing-zone in=/a --landing-zone out=/b:ro",
        "spray a.csv lake:x::y --parts 4 --format csv --overwrite --compress off",
        "despray lake:x::y out.csv",
        "despray lake:x::y out.csv --wrap --overwrite",
        "despray lake:x::y out.csv --split 1GiB",
        "despray lake:x::y out.csv --parts 7",
        "despray lake:x::y out --splitprefix FILENAME,FILESIZE",
        "list lake:x",
        "describe lake:x::y",
        "push a b lake:in/",
        "push a --overwrite b --compress off lake:in/",
        "pull lake:in/a out/",
        "plan a.csv --parts 3",
        "verify lake:x::y",
        "status",
        "doctor",
        "receipt check r --key k",
        "--json -q --progress none status --recent 3",
    ] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn a_spray_takes_sources_first_and_its_target_last() {
    let Command::Spray(spray) = command(
        "spray a b in:c lake:x::y --parts 7 --record-size 16 --format fixed --separator -- \
         --quote= --terminator \\n --escape \\ --max-record 1MiB --join verbatim --encoding ascii \
         --compress 3",
    ) else {
        panic!("not a spray")
    };

    assert_eq!(spray.operands.sources, ["a", "b", "in:c"].map(PathBuf::from));
    assert_eq!(spray.operands.target.to_string(), "lake:x::y");
    assert_eq!((spray.parts, spray.overwrite), (7, false));
    assert_eq!(Join::from(spray.layout.join), Join::Verbatim);
    assert_eq!(spray.compress, Some(Compress::Level(3)));
    let format = spray.format;
    assert_eq!(format.format, Some(FormatName::Fixed));
    assert_eq!(format.separator.as_deref(), Some("--"));
    assert_eq!(format.quote.as_deref(), Some(""));
    assert_eq!(format.terminator.as_deref(), Some("\\n"));
    assert_eq!(format.escape.as_deref(), Some("\\"));
    assert_eq!(format.record_size.map(|size| size.0), Some(16));
    assert_eq!(format.max_record.map(|size| size.0), Some(1 << 20));
    assert_eq!(format.encoding, Some(Encoding::Ascii));
}

#[test]
fn sources_may_come_from_a_list_alone() {
    let Command::Spray(spray) =
        command("spray --files-from l --from0 lake:x::y --fail-if-no-source")
    else {
        panic!("not a spray")
    };
    assert_eq!(spray.operands.sources, Vec::<PathBuf>::new());
    assert_eq!(spray.operands.target.to_string(), "lake:x::y");
    let options = spray.source_options;
    assert_eq!(options.files_from, Some(PathBuf::from("l")));
    assert!(options.from0 && options.fail_if_no_source);

    let Command::Spray(spray) = command("spray lake:x --files-from -") else {
        panic!("not a spray")
    };
    assert_eq!(spray.source_options.files_from, Some(PathBuf::from("-")));
    let Command::Spray(spray) = command("spray a b lake:x --files-from l") else {
        panic!("not a spray")
    };
    assert_eq!(spray.operands.sources, ["a", "b"].map(PathBuf::from));
    let Command::Spray(spray) =
        command("spray a --parts 4 --files-from l --overwrite b --quote ' lake:x --json")
    else {
        panic!("not a spray")
    };
    assert_eq!(spray.operands.sources, ["a", "b"].map(PathBuf::from));
    for line in ["plan --parts 1 --files-from l", "verify lake:x --files-from l --from0"] {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn what_is_not_said_is_left_to_others() {
    let Command::Spray(spray) = command("spray a lake:x") else { panic!("not a spray") };

    assert_eq!((spray.parts, spray.compress, spray.format.format), (0, None, None));
    assert_eq!(Join::from(spray.layout.join), Join::Mend);
}

#[test]
fn common_options_stand_before_or_behind_the_command() {
    for line in ["--json -vv --dir d status", "status --json -vv --dir d"] {
        let common = parse(line).unwrap().common;
        assert!(common.json);
        assert_eq!((common.verbose, common.dir), (2, Some(PathBuf::from("d"))));
    }
    let manner = parse("status -q --progress plain").unwrap().common.manner();
    let progress = Some(ProgressChoice::Plain);
    assert_eq!(manner, Manner { json: false, quiet: true, progress });
}

#[test]
fn mistakes_are_refused_by_what_they_are() {
    for (line, kind) in [
        ("spray a", ErrorKind::ValueValidation),
        ("spray lake:x", ErrorKind::MissingRequiredArgument),
        ("spray", ErrorKind::MissingRequiredArgument),
        ("spray a b", ErrorKind::ValueValidation),
        ("spray a lake:x --parts 65537", ErrorKind::ValueValidation),
        ("spray a lake:x --compress 20", ErrorKind::ValueValidation),
        ("spray a lake:x --format thor", ErrorKind::InvalidValue),
        ("spray a lake:x --encoding latin1", ErrorKind::InvalidValue),
        ("spray a lake:x --join never", ErrorKind::InvalidValue),
        ("spray a lake:x --record-size -1", ErrorKind::UnknownArgument),
        ("spray a lake:x --from0", ErrorKind::MissingRequiredArgument),
        ("spray --files-from l", ErrorKind::MissingRequiredArgument),
        ("plan --parts 1", ErrorKind::MissingRequiredArgument),
        ("plan a --parts 0", ErrorKind::ValueValidation),
        ("plan a", ErrorKind::MissingRequiredArgument),
        ("despray lake:x a --wrap --split 1MiB", ErrorKind::ArgumentConflict),
        ("despray lake:x a --wrap --parts 2", ErrorKind::ArgumentConflict),
        ("despray lake:x a --wrap --splitprefix auto", ErrorKind::ArgumentConflict),
        ("despray lake:x a --split 1MiB --parts 2", ErrorKind::ArgumentConflict),
        ("despray lake:x a --split 1MiB --splitprefix auto", ErrorKind::ArgumentConflict),
        ("despray lake:x a --parts 2 --splitprefix auto", ErrorKind::ArgumentConflict),
        ("despray lake:x a --parts 0", ErrorKind::ValueValidation),
        ("enroll", ErrorKind::MissingRequiredArgument),
        ("enroll --token-file t --landing-zone /a", ErrorKind::ValueValidation),
        ("status xyz", ErrorKind::ValueValidation),
        ("status -q -v", ErrorKind::ArgumentConflict),
        ("upload a", ErrorKind::InvalidSubcommand),
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.kind(), kind, "{line}: {error}");
        assert_eq!(error.exit_code(), 2, "{line}");
    }
    let error = parse("spray a b").unwrap_err().to_string();
    assert!(error.contains("\"b\" names no plane, expected PLANE:scope::name"), "{error}");
}
