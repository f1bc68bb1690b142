//! G7: no credential of the relay is at an edge, in a log, in an answer or in an audit line. Each is
//! a canary that is searched for in many forms, and found where it has to be.

use skyspray_tests::args;
use skyspray_tests::canary::Scanner;
use skyspray_tests::data::random_file;
use skyspray_tests::http::Http;
use skyspray_tests::output::Output;
use skyspray_tests::pair::{AGENT, Pair};
use skyspray_tests::planes::{LAKE, secret_files};
use skyspray_tests::server::faulty_s3::FaultyS3;
use skyspray_tests::server::faulty_s3::fault::{Failure, Fault, Gate, Operation};
use skyspray_tests::server::postgres::Postgres;
use skyspray_tests::wait;
use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

const BUCKET: &str = "cluster-data";

/// Secrets the relay gets from files, each with what would be changed by an encoding.
struct Secrets {
    key_id: String,
    secret_key: String,
    session_token: String,
    azure_key: String,
    password: String,
}

impl Secrets {
    fn new() -> Self {
        let word = || {
            // Keyed anew for each, by the host.
            let random = RandomState::new().build_hasher().finish();
            blake3::hash(&random.to_le_bytes()).to_hex().to_string()
        };
        Self {
            key_id: format!("KEYID{}", &word()[..20]),
            secret_key: format!("sec/{}+{}", &word()[..16], &word()[..16]),
            session_token: format!("tok/{}+{}==", &word()[..24], &word()[..24]),
            azure_key: base64(&word()),
            password: format!("pg~{}", &word()[..24]),
        }
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A pair on PostgreSQL with planes on S3 and Azure, both sides logging all they can.
fn prepared(secrets: &Secrets, server: &FaultyS3, postgres: &Postgres) -> Pair {
    let mut pair = Pair::prepare().expect("a pair can be made");
    let traced = args!["env", "SKYSPRAY_LOG=trace"];
    pair.relay.prefix.clone_from(&traced);
    pair.relay.admin_prefix.clone_from(&traced);
    pair.edge.prefix = traced;
    let directory = secret_files(
        &pair,
        &[
            ("aws-key-id", &secrets.key_id),
            ("aws-access-key", &secrets.secret_key),
            ("aws-session-token", &secrets.session_token),
            ("key", &secrets.azure_key),
        ],
    );
    let password = pair.root.path().join("password");
    fs::write(&password, &secrets.password).expect("the password can be written");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("it can be hidden");
    postgres
        .execute(&format!(
            "CREATE ROLE canary LOGIN PASSWORD '{}';\nCREATE DATABASE canary OWNER canary;\n",
            secrets.password
        ))
        .unwrap_or_else(|error| panic!("{error}"));
    let common = format!(
        "endpoint = \"{}\"\ncredentials_dir = \"{}\"\nallow_http = true\n",
        server.s3().endpoint(),
        directory.display()
    );
    pair.relay.configure(&format!(
        "[plane.{LAKE}]\nurl = \"s3://{BUCKET}/planes/lake\"\npath_style = true\n{common}\
         [plane.blue]\nurl = \"azure://{BUCKET}/blue\"\naccount = \"canary\"\n{common}"
    ));
    set_catalogue(&pair, postgres.port(), &password);
    pair.relay.listen_http("127.0.0.1:0");
    pair.relay.serve().expect("the relay gets ready");
    pair
}

/// Moves the catalogue of a relay that never served to PostgreSQL.
fn set_catalogue(pair: &Pair, port: u16, password: &Path) {
    let path = pair.relay.dir.join("relay.toml");
    let text = fs::read_to_string(&path).expect("there is a relay.toml");
    let kept = text.lines().filter(|line| !line.trim_start().starts_with("catalogue"));
    let kept: Vec<&str> = kept.collect();
    let head = format!(
        "catalogue = \"postgres://canary@127.0.0.1:{port}/canary\"\n\
         catalogue_password_file = \"{}\"\n",
        password.display()
    );
    fs::write(&path, format!("{head}{}\n", kept.join("\n"))).expect("relay.toml can be written");
}

fn spray(source: &Path, name: &str) -> Vec<OsString> {
    let mut arguments = args!["spray", source, &format!("{LAKE}:{name}"), "-vv"];
    arguments.extend(args!["--format", "fixed", "--record-size", "1", "--parts", "2"]);
    arguments
}

fn assert_clean(what: &str, found: BTreeSet<String>) {
    assert_eq!(found, BTreeSet::new(), "{what}");
}

#[test]
fn no_credential_of_the_relay_is_anywhere_but_at_the_relay() {
    let secrets = Secrets::new();
    let server = FaultyS3::start().unwrap_or_else(|error| panic!("{error}"));
    server.create_bucket(BUCKET);
    server.accept_key(&secrets.key_id, &secrets.secret_key);
    let postgres = Postgres::start().unwrap_or_else(|error| panic!("{error}"));
    let pair = prepared(&secrets, &server, &postgres);
    let token = pair.relay.add_agent(AGENT, &["--allow", "push,pull,list:*"]);
    let token = token.unwrap_or_else(|error| panic!("{error}"));
    let api_token = pair.relay.add_api_token("reader", "pull,list:*");
    let mut said = String::new();
    let mut note = |output: Output| said.push_str(&output.text());
    note(pair.edge.enroll(&token, &[]).and_then(Output::done).unwrap_or_else(|e| panic!("{e}")));

    let source = pair.edge.file("source.bin");
    random_file(&source, 20 << 20, 71).expect("the source can be written");
    note(pair.done(spray(&source, "t::canary")));
    note(pair.done(args!["despray", &format!("{LAKE}:t::canary"), &pair.edge.file("back.out")]));
    let answers = [Some(api_token.clone()), None].map(|token| {
        let http = Http { address: pair.relay.http_address(), token };
        let answer = http.get(&format!("/v1/files/t%3A%3Acanary?plane={LAKE}"), &[]);
        format!("{:?}{}", answer.headers, String::from_utf8_lossy(&answer.body))
    });
    let gate = Gate::new();
    server.faults().every(Operation::UploadPart, Fault::Hold(gate.clone()));
    let mut running = pair.begin(spray(&source, "t::held"));
    gate.wait_reached(1);
    let hidden = [
        ("the key id", secrets.key_id.as_str()),
        ("the secret key", &secrets.secret_key),
        ("the session token", &secrets.session_token),
        ("the Azure key", &secrets.azure_key),
        ("the password", &secrets.password),
        ("the API token", &api_token),
    ];
    let scanner = Scanner::new(&hidden);
    search_memory(&scanner, running.process.id(), &pair, &source);
    server.faults().clear();
    let denied = || Fault::Fail(Failure::AccessDenied);
    server.faults().every(Operation::CompleteMultipart, denied());
    gate.open();
    let refused = running.finish().unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(refused.code, 4, "{refused:#?}");
    note(refused);
    server.faults().everything(denied());
    for arguments in [
        args!["plane", "test"],
        args!["plane", "list"],
        args!["audit", "tail"],
        args!["agent", "list"],
        args!["job", "list"],
        args!["file", "show", &format!("{LAKE}:t::canary")],
        args!["file", "verify", &format!("{LAKE}:t::canary")],
        args!["api-token", "list"],
    ] {
        note(pair.relay.admin(arguments).unwrap_or_else(|error| panic!("{error}")));
    }
    wait::until("the relay's log is written", wait::PATIENCE, || !pair.relay.log_tail().is_empty());

    assert_clean("the edge's directory", scanner.find_below(&pair.edge.dir).expect("it is there"));
    assert_clean("landing zone", scanner.find_below(&pair.edge.zone).expect("it is there"));
    assert_clean("what commands said", scanner.find(said.as_bytes()));
    assert_clean("what the API answered", scanner.find(answers.concat().as_bytes()));
    let everywhere = Scanner::new(&[&hidden[..], &[("the enrollment token", &token)]].concat());
    search_files(&everywhere, pair.root.path());
    assert!(everywhere.find(token.as_bytes()).contains("the enrollment token as it is"));
}

/// The edge has none of them while it sprays, and the relay has those it uses.
fn search_memory(scanner: &Scanner, edge: u32, pair: &Pair, source: &Path) {
    match scanner.find_in_process(edge) {
        Ok(found) => {
            assert_clean("memory of the edge", found);
            let path = source.to_string_lossy();
            let shown = Scanner::new(&[("the source", &*path)]);
            let found = shown.find_in_process(edge).expect("it was just read");
            assert!(found.contains("the source as it is"), "the edge's memory was not read");
            let relay = scanner.find_in_process(pair.relay.process().id()).expect("as the edge's");
            for name in ["the secret key as it is", "the session token as it is"] {
                assert!(relay.contains(name), "{name} is not in the relay's memory: {relay:?}");
            }
        }
        Err(error) => eprintln!("memory is not searched: {error}"),
    }
}

fn search_files(everywhere: &Scanner, root: &Path) {
    for log in ["edge.log", "relay.log", "relay.admin.log"] {
        let text = fs::read(root.join(log)).unwrap_or_else(|error| panic!("{log}: {error}"));
        assert!(!text.is_empty(), "{log} is empty");
        // The id of a key is no secret to whoever operates the relay.
        let mut found = everywhere.find(&text);
        if log != "edge.log" {
            found.retain(|name| !name.starts_with("the key id"));
        }
        assert_clean(log, found);
    }
    assert!(!root.join("edge.token").exists(), "a token that is used up lies about");
    let control = everywhere.find_below(&root.join("secrets")).expect("they are files");
    assert_eq!(control.iter().filter(|name| name.contains("as it is")).count(), 4, "{control:?}");
}
