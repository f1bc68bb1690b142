//! The planes of an HPCC Helm values file, served as they are.

use skyspray_tests::args;
use skyspray_tests::check::visible;
use skyspray_tests::data::random_file;
use skyspray_tests::edge::Edge;
use skyspray_tests::pair::Pair;
use skyspray_tests::relay::Relay;
use std::fs;
use std::path::PathBuf;

#[test]
fn parts_of_a_plane_of_a_values_file_lie_where_hpcc_looks_for_them() {
    let root = tempfile::tempdir().unwrap();
    let (lake, zone) = (root.path().join("hpcc-data"), root.path().join("dropzone"));
    fs::create_dir_all(lake.join("sub")).unwrap();
    fs::create_dir(&zone).unwrap();
    let values = root.path().join("values.yaml");
    let text = format!(
        "storage:\n  planes:\n  - {{name: lake, prefix: '{}', subPath: sub, category: data, \
         numDevices: 3, defaultSprayParts: 4}}\n  - {{name: mydropzone, prefix: '{}', category: lz}}\n  \
         - {{name: dll, prefix: /q, category: dll}}\nthor: []\n",
        lake.display(),
        zone.display()
    );
    fs::write(&values, text).unwrap();
    let mut relay = Relay::init_with(root.path(), args!["--planes-from", &values]).unwrap();
    relay.serve().unwrap();
    let edge = Edge::new(root.path(), "edge").unwrap();
    let pair = Pair { edge, relay, root };
    pair.enroll("push,pull,list:*").unwrap();
    let source = pair.edge.file("my.file");
    random_file(&source, 1 << 20, 7).unwrap();

    let mut spray = args!["spray", &source, "lake:Scope1::Sub Scope::My File"];
    spray.extend(args!["--format", "fixed", "--record-size", "1"]);
    pair.done(spray);

    // The number of parts is the plane's; the device of each follows from HPCC's hash of the name.
    let expected = [
        "d1/scope1/sub scope/3/my file._3_of_4",
        "d2/scope1/sub scope/1/my file._1_of_4",
        "d2/scope1/sub scope/4/my file._4_of_4",
        "d3/scope1/sub scope/2/my file._2_of_4",
    ];
    let stored = visible(&lake.join("sub"));
    assert_eq!(stored, expected.map(PathBuf::from).to_vec());
    let whole: Vec<u8> = [1, 3, 0, 2]
        .into_iter()
        .flat_map(|part: usize| fs::read(lake.join("sub").join(&stored[part])).unwrap())
        .collect();
    assert_eq!(whole, fs::read(&source).unwrap());

    pair.done(args!["push", &source, "mydropzone:in/"]);
    assert_eq!(visible(&zone), [PathBuf::from("in/my.file")]);
    let refused = pair.run(args!["push", &source, "dll:in/"]);
    assert_eq!(refused.code, 4, "{}", refused.text());
    let reason = "dll is not served: its category is dll, only data and lz are served";
    assert!(refused.text().contains(reason), "{}", refused.text());
    let log = pair.relay.log_tail();
    assert!(log.contains("plane of the values file is not served"), "{log}");
}
