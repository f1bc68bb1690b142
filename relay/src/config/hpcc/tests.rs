//! Values files as clusters have them, and as they should not be.

use super::*;
use crate::config::{Category, Credentials, ObjectKind, RelaySettings};
use crate::plane::PlaneUrl;
use std::error::Error;
use std::num::NonZeroU32;

/// Reads `text` with `{root}` standing for a directory that is there.
fn read(text: &str) -> (tempfile::TempDir, Result<HpccPlanes, HpccError>) {
    let root = tempfile::tempdir().unwrap();
    let text = text.replace("{root}", root.path().to_str().unwrap());
    let path = Path::new("values.yaml");
    let read = StorageValues::parse(&text, path).and_then(|storage| {
        let secrets_dir = Path::new("/secrets");
        HpccPlanes::read(path, &Around { storage: &storage, secrets_dir, is_set: &|_| false })
    });
    (root, read)
}

fn planes(text: &str) -> HpccPlanes {
    read(text).1.unwrap()
}

fn refused(text: &str) -> String {
    read(text).1.unwrap_err().to_string()
}

/// The one plane that is not served, and why.
fn reason(plane: &str) -> String {
    let read = planes(&format!("storage:\n  planes:\n  - name: p\n    category: data\n{plane}"));
    assert!(read.served.is_empty());
    let mut reason: &dyn Error = &read.unserved["p"].reason;
    let mut text = reason.to_string();
    while let Some(source) = reason.source() {
        text += ": ";
        text += &source.to_string();
        reason = source;
    }
    text
}

fn plane_name(text: &str) -> PlaneName {
    PlaneName::parse(text).unwrap()
}

fn number(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

/// The planes a cluster has when nobody says otherwise.
const DEFAULTS: &str = "\
global:
  image: {version: 9.14.0, pullPolicy: IfNotPresent}
certificates: {enabled: false}
storage:
  planes:
  - {name: dali, storageClass: '', storageSize: 1Gi, prefix: /var/lib/HPCCSystems/dalistorage, category: dali}
  - name: sasha
    storageClass: ''
    storageSize: 1Gi
    prefix: '/var/lib/HPCCSystems/sasha'
    category: sasha
  - {name: dll, storageSize: 1Gi, prefix: /var/lib/HPCCSystems/queries, category: dll}
  - name: data
    storageClass: ''
    storageSize: 1Gi
    prefix: '{root}'
    category: data
  - name: mydropzone
    storageSize: 1Gi
    prefix: '{root}'
    category: lz
  - {name: debug, disabled: false, storageSize: 1Gi, prefix: /var/lib/HPCCSystems/debug, category: debug}
  remote: []
  hostGroups:
thor: [{name: thor, numWorkers: 2}]
";

#[test]
fn the_planes_of_a_plain_cluster_are_served_or_listed() {
    let (root, read) = read(DEFAULTS);
    let read = read.unwrap();

    let served: Vec<&str> = read.served.keys().map(|name| name.as_str()).collect();
    assert_eq!(served, ["data", "mydropzone"]);
    let data = &read.served[&plane_name("data")];
    assert_eq!(data.url, PlaneUrl::File(root.path().to_owned()));
    assert_eq!((data.category, data.default_parts), (Category::Data, number(1)));
    assert_eq!((data.layout.devices, data.layout.dir_per_part), (number(1), true));
    assert_eq!(read.served[&plane_name("mydropzone")].category, Category::Lz);
    let unserved: Vec<(&str, String)> = read
        .unserved
        .iter()
        .map(|(name, unserved)| (name.as_str(), unserved.reason.to_string()))
        .collect();
    let category = |name: &str| format!("its category is {name}, only data and lz are served");
    assert_eq!(
        unserved,
        ["dali", "debug", "dll", "sasha"].map(|name| (name, category(name))).to_vec()
    );
    assert_eq!(read.ignored, []);
}

#[test]
fn every_key_that_says_where_parts_lie_is_taken() {
    let (root, read) = read(
        "\
storage:
  defaults:
    data: {subDirPerFilePart: false, defaultSprayParts: 9, blockedFileIOKB: 4096}
  planes:
  - name: lake
    prefix: {root}
    subPath: inner/./deep
    category: data
    numDevices: 3
    includeDeviceInPath: true
    defaultSprayParts: 20
    replication: [mirror, far]
    umask: 022
    fancyNewKey: {a: 1}
    aliases: [{name: x, mode: [sequential], prefix: /else}]
    cost: {storageAtRest: '0.02'}
  - {name: mirror, prefix: '{root}', category: data}
",
    );
    // The directory below the prefix is not there.
    let missing = root.path().join("inner/./deep");
    let reason = &read.unwrap().unserved["lake"].reason;
    assert_eq!(*reason, UnservedReason::NoDirectory { path: missing.clone() });

    let text = std::fs::create_dir_all(&missing).map(|()| root.path().display().to_string());
    let text = format!(
        "storage:\n  defaults: {{data: {{subDirPerFilePart: false, defaultSprayParts: 9}}}}\n  \
         planes:\n  - {{name: lake, prefix: '{0}', subPath: inner/./deep, category: data, \
         numDevices: 3, includeDeviceInPath: true, replication: [mirror, far], umask: 022, \
         fancyNewKey: {{a: 1}}, pvc: x}}\n  - {{name: mirror, prefix: '{0}', category: data, \
         defaultSprayParts: 4, subDirPerFilePart: true}}\n",
        text.unwrap()
    );
    let read = planes(&text);
    let lake = &read.served[&plane_name("lake")];
    assert_eq!(lake.url, PlaneUrl::File(missing));
    assert_eq!((lake.layout.devices, lake.layout.dir_per_part), (number(3), false));
    assert_eq!(lake.default_parts, number(9));
    assert_eq!(lake.replication, [plane_name("mirror"), plane_name("far")]);
    let mirror = &read.served[&plane_name("mirror")];
    assert_eq!((mirror.layout.dir_per_part, mirror.default_parts), (true, number(4)));
    let keys = ["fancyNewKey", "umask"].map(str::to_owned).to_vec();
    assert_eq!(read.ignored, [Ignored { plane: plane_name("lake"), keys }]);
}

#[test]
fn planes_on_hosts_of_their_own_are_listed_with_their_hosts() {
    let read = planes(
        "\
storage:
  hostGroups:
  - {name: thor-group, hosts: [10.0.0.1, 10.0.0.2, 10.0.0.3]}
  - {name: half, hostGroup: thor-group, count: 2, offset: 1}
  planes:
  - {name: all, prefix: /d, category: data, hostGroup: thor-group}
  - {name: half, prefix: /d, category: data, hostGroup: half}
  - {name: none, prefix: /d, category: data, hostGroup: gone}
  - {name: one, prefix: /d, category: lz, hosts: [bare.example]}
  - {name: two, prefix: /d, category: lz, hosts: [a, b]}
",
    );

    let hosts = |name: &str| match &read.unserved[name].reason {
        UnservedReason::Hosts { hosts } => hosts.clone(),
        other => panic!("{other}"),
    };
    assert_eq!(hosts("all"), "the 3 hosts of group thor-group");
    assert_eq!(hosts("half"), "the 2 hosts of group half");
    assert_eq!(hosts("none"), "the hosts of group gone");
    assert_eq!((hosts("one"), hosts("two")), ("host bare.example".into(), "2 hosts".into()));
    assert_eq!(
        read.unserved["one"].reason.to_string(),
        "its data lies on host bare.example, reached only by the file servers there"
    );
    assert_eq!(read.unserved["one"].category, "lz");
}

#[test]
fn planes_of_remote_clusters_name_the_cluster() {
    let read = planes(
        "\
storage:
  remote:
  - name: dc2
    service: https://dc2.example:7600
    planes: [{remote: data, local: dc2-data}, {remote: lake, local: dc2-lake}]
  planes:
  - {name: dc2-data, prefix: /dc2, category: remote}
",
    );

    let remote = UnservedReason::Remote { cluster: "dc2".into() };
    for name in ["dc2-data", "dc2-lake"] {
        let unserved = Unserved { category: "remote".into(), reason: remote.clone() };
        assert_eq!(read.unserved[name], unserved);
    }
    assert_eq!(read.unserved.len(), 2);
}

#[test]
fn a_plane_that_cannot_be_served_says_why() {
    for (plane, expected) in [
        ("    prefix: /d\n    disabled: true\n", "it is disabled"),
        (
            "    prefix: data\n",
            "its prefix \"data\" is neither an absolute path nor that of a storageapi",
        ),
        (
            "    prefix: /d\n    subPath: ../x\n",
            "its subPath \"../x\" is not a relative path without ..",
        ),
        (
            "    prefix: /d\n    subPath: /x\n",
            "its subPath \"/x\" is not a relative path without ..",
        ),
        (
            "    prefix: /d\n    includeDeviceInPath: true\n",
            "includeDeviceInPath is true with numDevices 1",
        ),
        (
            "    prefix: /d\n    numDevices: 2\n    includeDeviceInPath: false\n",
            "includeDeviceInPath is false with numDevices 2",
        ),
        ("    prefix: /\n    numDevices: 0\n", "devices is 0, expected 1 to 65536"),
        (
            "    prefix: /\n    defaultSprayParts: 70000\n",
            "default_parts is 70000, expected 1 to 65536",
        ),
        (
            "    prefix: /\n    replication: [Not A Name]\n",
            "replication names an unusable plane: plane name \"Not A Name\" is not 1 to 63 of the \
             characters a-z 0-9 - _",
        ),
        (
            "    prefix: azurefile:p\n    storageapi: {type: azurefile}\n",
            "azurefile is served as a mounted directory only, with its path as the prefix",
        ),
        (
            "    prefix: tape:p\n    storageapi: {type: tape}\n",
            "storageapi type \"tape\" is not supported, expected s3 or azureblob",
        ),
    ] {
        assert_eq!(reason(plane), expected);
    }
    let read = planes("storage: {planes: [{name: Big One, prefix: /, category: data}]}");
    assert!(matches!(read.unserved["Big One"].reason, UnservedReason::Name(_)));
}

#[test]
fn a_file_that_is_no_values_file_is_refused_with_its_line() {
    assert_eq!(refused("storage: {}"), "values.yaml has no list storage.planes");
    assert_eq!(refused("thor: []"), "values.yaml has no list storage.planes");
    assert_eq!(refused(""), "values.yaml has no list storage.planes");
    let twice = "storage: {planes: [{name: a, prefix: /, category: data}, \
                 {name: a, prefix: /, category: dll}]}";
    assert_eq!(refused(twice), "values.yaml has two planes named \"a\"");
    let line = |text: &str| match read(text).1.unwrap_err() {
        HpccError::Syntax { line, .. } => line,
        other => panic!("{other}"),
    };
    assert_eq!(line("storage:\n  planes: [\n"), 2);
    assert_eq!(line("storage:\n  planes: 7\n"), 2);
    assert_eq!(
        line("storage:\n  planes:\n  - {name: a, prefix: /, category: data, numDevices: x}\n"),
        3
    );
    assert_eq!(line("storage:\n  planes:\n  - {name: a, category: data}\n"), 3);
    assert_eq!(line("a: 1\na: 2\n"), 2);
    assert_eq!(line("a: 1\n---\nb: 2\n"), 3);
    let many =
        format!("storage: {{planes: [{}]}}", "{name: a, prefix: /, category: x},".repeat(4097));
    assert_eq!(
        refused(&many),
        "values.yaml has 4097 entries in storage.planes, at most 4096 are read"
    );
}

#[test]
fn aliases_that_multiply_end_early() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [below.as_str(); 9].join(", "));
    }

    assert!(matches!(read(&text).1, Err(HpccError::Syntax { .. })));
}

#[test]
fn a_file_that_is_missing_or_too_large_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("values.yaml");
    let load = || HpccPlanes::load(&path, Path::new(SECRETS_DIR)).unwrap_err();

    assert!(matches!(load(), HpccError::Read { .. }));
    std::fs::write(&path, "#".repeat((4 << 20) + 1)).unwrap();
    let shown = path.display();
    assert_eq!(load().to_string(), format!("{shown} is larger than 4194304 bytes"));
}

const RELAY: &str = "\
public_name = 'relay.example'
trust_domain = 'sky.example'
listen = '0.0.0.0:4433'
enroll_listen = '0.0.0.0:4434'
planes_from = 'values.yaml'
";

#[test]
fn the_relay_has_the_planes_of_both_files() {
    let root = tempfile::tempdir().unwrap();
    let here = root.path().to_str().unwrap();
    std::fs::write(root.path().join("values.yaml"), DEFAULTS.replace("{root}", here)).unwrap();
    let load = |more: &str| {
        let path = root.path().join("relay.toml");
        RelaySettings::parse(&format!("{RELAY}{more}"), &path, &Default::default())
    };

    let settings = load("[plane.own]\nurl = 'file:///own'\n").unwrap();
    let names: Vec<&str> = settings.planes.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["data", "mydropzone", "own"]);
    let asked = settings.plane(&plane_name("dll")).unwrap_err();
    assert_eq!(asked.to_string(), "plane dll of the values file is not served");
    assert_eq!(
        asked.source().unwrap().to_string(),
        "its category is dll, only data and lz are served"
    );
    for name in ["data", "dll"] {
        let error = load(&format!("[plane.{name}]\nurl = 'file:///own'\n")).unwrap_err();
        let expected =
            format!("plane {name} is in relay.toml and in the values file of planes_from");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_values_file_given_at_start_counts_more_than_the_one_configured() {
    let root = tempfile::tempdir().unwrap();
    let other = root.path().join("other.yaml");
    std::fs::write(&other, "storage: {planes: [{name: x, prefix: /, category: lz}]}").unwrap();
    let overrides = crate::config::Overrides { planes_from: Some(other), catalogue: None };

    let settings = RelaySettings::parse(RELAY, &root.path().join("relay.toml"), &overrides);

    assert_eq!(settings.unwrap().planes[&plane_name("x")].category, Category::Lz);
}

#[test]
fn what_a_peer_is_told_holds_no_path() {
    let reason = UnservedReason::NoDirectory { path: "/srv/secret-place".into() };
    assert_eq!(reason.told(), "the relay cannot use its settings");
    assert_eq!(UnservedReason::Disabled.told(), "it is disabled");
}

fn object_of(text: &str) -> crate::config::ObjectSettings {
    let read = planes(text);
    let settings = read.served.get(&plane_name("p"));
    let settings = settings.unwrap_or_else(|| panic!("{:?}", read.unserved));
    settings.object.clone().expect("a plane of objects")
}

#[test]
fn azure_planes_have_a_container_for_each_device() {
    let text = "\
storage:
  planes:
  - name: p
    prefix: azureblob:p/below
    subPath: deep/er
    category: data
    numDevices: 2
    storageapi:
      type: azureblob
      account: lake1
      secret: azure-key
      containers: [{name: first}, {name: second}, {name: spare}]
";
    let object = object_of(text);

    assert_eq!(object.kind, ObjectKind::Azure);
    assert_eq!(object.buckets, ["first", "second"]);
    assert_eq!((&*object.prefix, &*object.account), ("below/deep/er", "lake1"));
    let directory = PathBuf::from("/secrets/azure-key");
    assert_eq!(object.credentials, Credentials::Static { directory });
    let read = planes(text);
    let p = &read.served[&plane_name("p")];
    assert_eq!(p.url.to_string(), "azure://first/below/deep/er");
    assert_eq!((p.layout.devices, p.layout.dir_per_part), (number(2), true));

    let own = "containers: [{name: one, account: lake2, secret: own}]";
    let more = text
        .replace("numDevices: 2", "numDevices: 1")
        .replace("containers: [{name: first}, {name: second}, {name: spare}]", own);
    let object = object_of(&more);
    assert_eq!((&*object.account, object.buckets.len()), ("lake2", 1));
    let directory = PathBuf::from("/secrets/own");
    assert_eq!(object.credentials, Credentials::Static { directory });
    assert_eq!(
        object_of(
            &more.replace("secret: azure-key\n", "managed: true\n").replace(", secret: own", "")
        )
        .credentials,
        Credentials::ManagedIdentity
    );
}

#[test]
fn s3_planes_have_buckets_or_what_the_schema_calls_containers() {
    let plane = |api: &str| {
        format!(
            "storage: {{planes: [{{name: p, prefix: 's3:p', category: lz, \
             storageapi: {{type: s3, {api}}}}}]}}"
        )
    };
    let text = plane(
        "region: eu-west-1, endpoint: 'https://s3.example:9000', secret: s3-key, \
         buckets: [{name: landing}]",
    );
    let object = object_of(&text);

    assert_eq!((object.kind, &*object.region), (ObjectKind::S3, "eu-west-1"));
    assert_eq!(object.endpoint.as_deref(), Some("https://s3.example:9000"));
    assert_eq!((&object.buckets[..], &*object.prefix), (&["landing".to_owned()][..], ""));
    assert_eq!(planes(&text).served[&plane_name("p")].category, Category::Lz);
    let object = object_of(&plane("managed: true, containers: [{name: landing}]"));
    assert_eq!(object.credentials, Credentials::InstanceMetadata);
}

#[test]
fn a_managed_identity_is_found_by_what_the_provider_sets() {
    let text = "storage: {planes: [{name: p, prefix: 's3:p', category: data, storageapi: \
                {type: s3, managed: true, buckets: [{name: landing}]}}, {name: q, prefix: \
                'azureblob:q', category: data, storageapi: {type: azureblob, managed: true, \
                account: a, containers: [{name: box}]}}]}";
    let with = |variable: &str| {
        let path = Path::new("values.yaml");
        let storage = StorageValues::parse(text, path).unwrap();
        let is_set = |name: &str| name == variable;
        let around =
            Around { storage: &storage, secrets_dir: Path::new("/secrets"), is_set: &is_set };
        let read = HpccPlanes::read(path, &around).unwrap();
        ["p", "q"]
            .map(|name| read.served[&plane_name(name)].object.as_ref().unwrap().credentials.clone())
    };

    use Credentials::{InstanceMetadata, ManagedIdentity, PodIdentity};
    use Credentials::{WebIdentity, WorkloadIdentity};
    assert_eq!(with("HOME"), [InstanceMetadata, ManagedIdentity]);
    assert_eq!(with("AWS_WEB_IDENTITY_TOKEN_FILE"), [WebIdentity, ManagedIdentity]);
    assert_eq!(with("AWS_CONTAINER_CREDENTIALS_FULL_URI"), [PodIdentity, ManagedIdentity]);
    assert_eq!(with("AZURE_FEDERATED_TOKEN_FILE"), [InstanceMetadata, WorkloadIdentity]);
}

#[test]
fn a_plane_of_objects_that_cannot_be_served_says_why() {
    let azure = |more: &str, prefix: &str| {
        reason(&format!(
            "    prefix: {prefix}\n    numDevices: 2\n    storageapi: {{type: azureblob, {more}}}\n"
        ))
    };
    let two = "containers: [{name: one}, {name: two}]";
    for (more, prefix, expected) in [
        (
            "account: a, secret: s, containers: [{name: one}]",
            "azureblob:p",
            "it has 2 devices and 1 containers or buckets",
        ),
        (
            "account: a, secret: s, containers: [{name: one}, {name: two, account: b}]",
            "azureblob:p",
            "its devices have different accounts, one for all is supported",
        ),
        (
            "account: a, containers: [{name: one, secret: s}, {name: two, secret: t}]",
            "azureblob:p",
            "its devices have different secrets, one for all is supported",
        ),
        (
            &*format!("account: a, {two}"),
            "azureblob:p",
            "it names neither a secret nor a managed identity",
        ),
        (
            &*format!("account: a, secret: ../x, {two}"),
            "azureblob:p",
            "secret \"../x\" is not the name of a directory",
        ),
        (
            &*format!("account: a, secret: s, {two}"),
            "azureblob:other",
            "its prefix \"azureblob:other\" is neither an absolute path nor TYPE:NAME of its \
             storageapi",
        ),
        (
            &*format!("account: a, secret: s, {two}"),
            "azureblob:p/../x",
            "its prefix \"azureblob:p/../x\" is neither an absolute path nor TYPE:NAME of its \
             storageapi",
        ),
        (
            &*format!("secret: s, {two}"),
            "azureblob:p",
            "account is missing, expected the name of the storage account",
        ),
    ] {
        assert_eq!(azure(more, prefix), expected);
    }
}
