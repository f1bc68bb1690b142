//! Conformance with HPCC: every row of the table of names in the folder that SKYSPRAY_CASES names.
//!
//! Without the variable nothing is checked, and that is said.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use serde_json::Value;
use skyspray_dfu::hpcc_name::{Host, HpccName, PlaneRoot, S3Name, contains_relative_path};
use skyspray_wire::name::{LogicalName, PlaneName};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// First scopes of names that no relay stores.
const ELSEWHERE: [&str; 4] = ["foreign::", "remote::", "file::", "plane::"];

#[test]
fn every_table_has_a_test() {
    let Some(table) = table() else { return };
    let known = [
        "accepted",
        "rejected",
        "translated",
        "normalized_internal",
        "normalized_external",
        "scopes",
        "physical_planes",
        "physical",
        "contains_relative_path_posix",
        "s3_url",
    ];
    let found = table.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>();
    assert_eq!(found, BTreeSet::from(known));
}

#[test]
fn what_hpcc_accepts_or_rejects_is_accepted_or_rejected() {
    let Some(table) = table() else { return };
    for text in strings(&table["accepted"]) {
        let name = HpccName::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let internal =
            !text.contains('{') && !ELSEWHERE.iter().any(|s| name.as_str().starts_with(s));
        assert_eq!(name.logical().is_ok(), internal, "{text:?}");
    }
    for text in strings(&table["rejected"]) {
        assert!(HpccName::parse(text).is_err(), "{text:?}");
        assert!(LogicalName::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn names_are_normalised_as_hpcc_does() {
    let Some(table) = table() else { return };
    for key in ["translated", "normalized_internal", "normalized_external"] {
        for (text, expected) in pairs(&table[key]) {
            let name = HpccName::parse(text).unwrap();
            assert_eq!(name.as_str(), expected, "{text:?}");
            assert_eq!(HpccName::parse(expected).unwrap().as_str(), expected);
            if let Ok(logical) = name.logical() {
                assert_eq!(logical.as_str(), expected, "{text:?}");
                assert_eq!(&LogicalName::parse(text).unwrap(), logical, "{text:?}");
            } else {
                assert!(LogicalName::parse(text).is_err(), "{text:?}");
            }
        }
    }
}

#[test]
fn scopes_are_those_of_hpcc() {
    let Some(table) = table() else { return };
    for (text, expected) in pairs(&table["scopes"]) {
        assert_eq!(HpccName::parse(text).unwrap().scopes(), Some(expected), "{text:?}");
    }
}

#[test]
fn physical_paths_are_those_of_hpcc() {
    let Some(table) = table() else { return };
    let planes = table["physical_planes"].as_object().unwrap();
    let planes = planes.iter().map(|(name, prefix)| plane(name, prefix.as_str().unwrap()));
    let planes = planes.collect::<Vec<_>>();
    for (text, expected) in pairs(&table["physical"]) {
        let path = HpccName::parse(text).unwrap().physical_path(&planes).unwrap();
        assert_eq!(path.to_string(), expected, "{text:?}");
    }
}

#[test]
fn relative_paths_are_found_as_hpcc_finds_them() {
    let Some(table) = table() else { return };
    let table = &table["contains_relative_path_posix"];
    for (key, expected) in [("true", true), ("false", false)] {
        for path in strings(&table[key]) {
            assert_eq!(contains_relative_path(path), expected, "{path:?}");
        }
    }
}

#[test]
fn s3_names_are_those_of_hpcc() {
    let Some(table) = table() else { return };
    for text in strings(&table["s3_url"]["valid"]) {
        assert_eq!(S3Name::parse(text).unwrap().to_string(), text);
    }
    for text in strings(&table["s3_url"]["invalid"]) {
        assert!(S3Name::parse(text).is_err(), "{text:?}");
    }
}

/// A plane written `name` or `name (hosts a b)`.
fn plane(text: &str, prefix: &str) -> PlaneRoot {
    let (name, hosts) = text.split_once(" (hosts ").unwrap_or((text, ")"));
    let hosts = hosts.strip_suffix(')').unwrap().split_whitespace();
    let hosts = hosts.map(|host| Host::parse(host).unwrap()).collect();
    PlaneRoot::try_new(PlaneName::parse(name).unwrap(), prefix).unwrap().with_hosts(hosts)
}

/// The texts of a table, of which there must be some.
fn strings(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().unwrap();
    assert!(!rows.is_empty());
    rows.iter().map(|row| row.as_str().unwrap()).collect()
}

/// The rows of two texts of a table, of which there must be some.
fn pairs(rows: &Value) -> Vec<(&str, &str)> {
    let rows = rows.as_array().unwrap();
    assert!(!rows.is_empty());
    rows.iter()
        .map(|row| match strings(row).as_slice() {
            [text, expected] => (*text, *expected),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn table() -> Option<Value> {
    let Some(folder) = std::env::var_os("SKYSPRAY_CASES") else {
        println!("skipped: SKYSPRAY_CASES names no folder");
        return None;
    };
    let text = std::fs::read_to_string(PathBuf::from(folder).join("lfn_names.json")).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}
