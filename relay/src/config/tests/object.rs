//! What `[plane.NAME]` may say of a plane of objects.

use super::*;
use crate::plane::BucketUrl;

fn object(lines: &str) -> ObjectSettings {
    let settings = parse(&format!("{LEAST}[plane.x]\n{lines}")).unwrap();
    settings.planes[&PlaneName::parse("x").unwrap()].object.clone().unwrap()
}

fn wrong(lines: &str) -> String {
    let text = complaint(&format!("[plane.x]\n{lines}"));
    text.strip_prefix("plane x: ").unwrap_or(&text).to_owned()
}

#[test]
fn a_bucket_and_a_directory_of_credentials_are_enough() {
    assert_eq!(
        object("url = 's3://lake/hpcc/data/'\ncredentials_dir = '/run/secrets/lake'\n"),
        ObjectSettings {
            kind: ObjectKind::S3,
            buckets: vec!["lake".to_owned()],
            prefix: "hpcc/data".to_owned(),
            endpoint: None,
            region: "us-east-1".to_owned(),
            account: String::new(),
            credentials: Credentials::Static { directory: "/run/secrets/lake".into() },
            ca_file: None,
            allow_http: false,
            path_style: false,
            checksum: Checksum::Crc64Nvme,
            concurrency: number(16),
        }
    );
}

#[test]
fn every_key_of_a_plane_of_objects_can_be_set() {
    let set = object(
        "\
url = 's3://lake-1'
devices = 2
buckets = ['lake-1', 'lake-2']
endpoint = 'http://store.internal:9000/'
region = 'eu-central-1'
credentials = 'pod-identity'
ca_file = '/etc/ca.pem'
allow_http = true
path_style = false
checksum = 'sha256'
concurrency = 3
",
    );

    assert_eq!(
        set,
        ObjectSettings {
            kind: ObjectKind::S3,
            buckets: vec!["lake-1".to_owned(), "lake-2".to_owned()],
            prefix: String::new(),
            endpoint: Some("http://store.internal:9000".to_owned()),
            region: "eu-central-1".to_owned(),
            account: String::new(),
            credentials: Credentials::PodIdentity,
            ca_file: Some("/etc/ca.pem".into()),
            allow_http: true,
            path_style: false,
            checksum: Checksum::Sha256,
            concurrency: number(3),
        }
    );
}

#[test]
fn the_bucket_stands_in_the_path_where_a_host_name_could_not_hold_it() {
    let dir = "credentials_dir = '/s'\n";
    assert!(!object(&format!("url = 's3://lake'\n{dir}")).path_style);
    assert!(object(&format!("url = 's3://lake.one'\n{dir}")).path_style);
    assert!(object(&format!("url = 's3://lake'\nendpoint = 'https://h'\n{dir}")).path_style);
}

#[test]
fn azure_and_google_have_kinds_of_credentials_of_their_own() {
    let azure =
        object("url = 'azure://box/p'\naccount = 'acct'\ncredentials = 'managed-identity'\n");
    assert_eq!((azure.kind, azure.account.as_str()), (ObjectKind::Azure, "acct"));
    assert_eq!(azure.credentials, Credentials::ManagedIdentity);
    let google = object("url = 'gs://bucket'\ncredentials = 'instance-metadata'\n");
    assert_eq!((google.kind, google.credentials), (ObjectKind::Gcs, Credentials::InstanceMetadata));

    assert_eq!(
        wrong("url = 'gs://bucket'\ncredentials = 'web-identity'\n"),
        "credentials are \"web-identity\", expected one of static, instance-metadata"
    );
    assert_eq!(
        wrong("url = 'azure://box'\ncredentials = 'managed-identity'\n"),
        "account is missing, expected the name of the storage account"
    );
}

#[test]
fn a_plane_does_not_use_the_identity_of_its_machine_by_accident() {
    assert_eq!(
        wrong("url = 's3://lake'\n"),
        "credentials_dir is missing, expected a directory, or credentials = KIND"
    );
    assert_eq!(
        wrong("url = 's3://lake'\ncredentials = 'pod-identity'\ncredentials_dir = '/s'\n"),
        "credentials_dir is set and credentials are pod-identity, expected only one of them"
    );
}

#[test]
fn keys_of_another_kind_of_plane_are_refused() {
    assert_eq!(
        wrong("url = 'file:///x'\nendpoint = 'https://h'\n"),
        "endpoint is not a key of a file plane"
    );
    let dir = "credentials_dir = '/s'\n";
    assert_eq!(
        wrong(&format!("url = 's3://lake'\naccount = 'a'\n{dir}")),
        "account is not a key of a s3 plane"
    );
    assert_eq!(
        wrong(&format!("url = 'gs://lake'\nregion = 'r'\n{dir}")),
        "region is not a key of a gs plane"
    );
}

#[test]
fn what_cannot_be_reached_safely_is_refused() {
    let with = |line: &str| wrong(&format!("url = 's3://lake'\ncredentials_dir = '/s'\n{line}\n"));
    assert_eq!(
        with("endpoint = 'http://h'"),
        "endpoint is http://, expected https:// or allow_http = true"
    );
    for endpoint in ["h", "ftp://h", "https://u:p@h", "https://h?x=1", "https://h#x", "https://"] {
        assert_eq!(
            with(&format!("endpoint = '{endpoint}'")),
            "endpoint is not usable, expected https://host without user, query and fragment",
            "{endpoint}"
        );
    }
    assert_eq!(with("ca_file = 'ca.pem'"), "ca_file is not an absolute path");
    assert_eq!(
        wrong("url = 's3://lake'\ncredentials_dir = 's'\n"),
        "credentials_dir is not an absolute path"
    );
    assert_eq!(with("concurrency = 0"), "concurrency is 0, expected 1 to 256");
    assert_eq!(with("concurrency = 257"), "concurrency is 257, expected 1 to 256");
    assert_eq!(
        with("region = 'eu/central'"),
        "region is \"eu/central\", expected letters, digits and hyphens"
    );
}

#[test]
fn buckets_are_one_or_one_for_each_device() {
    let with = |lines: &str| wrong(&format!("url = 's3://one'\ncredentials_dir = '/s'\n{lines}\n"));
    assert_eq!(
        with("devices = 3\nbuckets = ['one', 'two']"),
        "2 buckets for 3 devices, expected 1 or 3"
    );
    assert_eq!(
        with("devices = 2\nbuckets = ['two', 'one']"),
        "the first of buckets is \"two\", expected \"one\" as in url"
    );
    assert!(
        with("devices = 2\nbuckets = ['one', 'T']").starts_with("bucket \"T\" has an unusable")
    );
}

#[test]
fn buckets_and_prefixes_that_no_store_has_are_refused() {
    for bucket in ["s3://", "s3://ab", "s3://Lake", "s3://a_b/../c", "azure:///x", "gs://-ab"] {
        let error = bucket.parse::<PlaneUrl>().unwrap_err().to_string();
        assert!(error.contains("unusable"), "{bucket}: {error}");
    }
    let express = "s3://lake--use1-az4--x-s3".parse::<PlaneUrl>().unwrap_err();
    assert!(express.to_string().contains("directory bucket"), "{express}");
    for prefix in ["a//b", "/a", "a/./b", "..", "a?b", "a#b", "a\u{7}b"] {
        let error = format!("s3://lake/{prefix}").parse::<PlaneUrl>().unwrap_err().to_string();
        assert!(error.starts_with("prefix "), "{prefix}: {error}");
    }
    let url = |prefix: &str| BucketUrl { bucket: "lake".to_owned(), prefix: prefix.to_owned() };
    for (text, expected, shown) in [
        ("s3://lake", PlaneUrl::S3(url("")), "s3://lake"),
        ("gs://lake/", PlaneUrl::Gcs(url("")), "gs://lake"),
        ("azure://lake/ü b%20/c/", PlaneUrl::Azure(url("ü b%20/c")), "azure://lake/ü b%20/c"),
    ] {
        let parsed: PlaneUrl = text.parse().unwrap();
        assert_eq!(parsed, expected);
        assert_eq!(parsed.to_string(), shown);
    }
}
