//! Commands as a person runs them: arguments in, exit code and text out.

mod catalogue;
mod stored;

use super::*;
use crate::config::RelayDir;
use clap::CommandFactory as _;
use skyspray_certs::EnrollToken;
use skyspray_link::seam::ManualClock;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What the commands of these tests take for the present.
const NOW: Duration = Duration::from_secs(1_800_000_000);

fn host() -> Host {
    Host {
        clock: Arc::new(ManualClock::new(SystemTime::UNIX_EPOCH + NOW)),
        random: ring::rand::SystemRandom::new(),
    }
}

/// A directory for one relay and its planes.
struct Site {
    directory: tempfile::TempDir,
}

struct Ended {
    exit: Exit,
    out: String,
    err: String,
}

impl Ended {
    /// The JSON objects on standard output.
    fn objects(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Site {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// A relay with the plane `data`.
    async fn initialised() -> Self {
        let site = Self::new();
        let ended = site.init(&[]).await;
        assert_eq!((ended.exit, ended.err.lines().count()), (Exit::Done, 1), "{}", ended.err);
        site
    }

    fn at(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn dir(&self) -> RelayDir {
        RelayDir::new(self.at("relay"))
    }

    async fn init(&self, more: &[&str]) -> Ended {
        let plane = format!("data=file://{}", self.at("plane"));
        let relay = self.at("relay");
        let args = ["init", &relay, "--public-name", "relay.example", "--plane", &plane];
        run_command(&[&args, more].concat()).await
    }

    /// Runs a command on the relay of this site.
    async fn run(&self, args: &[&str]) -> Ended {
        let relay = self.at("relay");
        run_command(&[args, &["--dir", &relay]].concat()).await
    }
}

async fn run_command(args: &[&str]) -> Ended {
    let cli = Cli::try_parse_from([&["skyspray-relay"], args].concat()).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output::new(cli.json, &mut out, &mut err);
    let exit = run(cli, &host(), &mut output).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { exit, out: text(out), err: text(err) }
}

fn mode(path: impl AsRef<Path>) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_command_line_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn arguments_that_cannot_be_used_are_a_usage_error_that_says_why() {
    let error = |args: &[&str]| {
        let error = Cli::try_parse_from([&["skyspray-relay"], args].concat()).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()));
        error.to_string()
    };

    let plane = error(&["init", "x", "--plane", "data=ftp://bucket"]);
    assert!(
        plane.contains("plane kind \"ftp\" is not supported, expected file, s3, azure or gs"),
        "{plane}"
    );
    let rule = error(&["agent", "add", "a", "--allow", "write:data"]);
    assert!(rule.contains("\"write\" is none of push,pull,list,remove,overwrite"), "{rule}");
    let life = error(&["agent", "add", "a", "--ttl", "8d"]);
    assert!(life.contains("\"8d\" is not between 1s and 7d"), "{life}");
    let listen = error(&["init", "x", "--listen", "4433"]);
    assert!(listen.contains("\"4433\" is not IP:PORT, such as 0.0.0.0:4433"), "{listen}");
    let name = error(&["agent", "add", "Edge"]);
    assert!(name.contains("agent name \"Edge\" is not 1 to 40"), "{name}");
}

#[tokio::test]
async fn init_makes_a_private_directory_with_everything_a_relay_needs() {
    let site = Site::initialised().await;
    let dir = site.dir();

    assert_eq!(mode(dir.path()), 0o700);
    assert_eq!(mode(dir.state()), 0o700);
    assert_eq!(mode(dir.config_file()), 0o600);
    assert!(Path::new(&site.at("plane")).is_dir());
    let settings =
        crate::config::RelaySettings::load(&dir.config_file(), &Default::default()).unwrap();
    assert_eq!(settings.public_name.as_str(), "relay.example");
    assert_eq!(settings.trust_domain.as_str(), "skyspray.internal");
    assert_eq!((settings.listen.port(), settings.enroll_listen.port()), (4433, 4434));
    let identity = load_identity(&dir, &settings, host().clock.now()).unwrap();
    assert_eq!(identity.trust_domain(), &settings.trust_domain);
    crate::catalogue::Catalogue::open(&crate::catalogue::Place::File(dir.catalogue()))
        .await
        .unwrap()
        .close()
        .await;
}

#[tokio::test]
async fn init_refuses_a_directory_that_has_a_relay_and_changes_nothing() {
    let site = Site::initialised().await;
    let config = site.dir().config_file();
    let before = std::fs::read_to_string(&config).unwrap();

    let again = site.init(&["--listen", "0.0.0.0:1"]).await;

    assert_eq!(again.exit, Exit::Usage);
    assert_eq!(
        again.err,
        format!(
            "error: {} exists already\n  try: choose another directory; nothing in this one was \
             changed\n",
            config.display()
        )
    );
    assert_eq!(std::fs::read_to_string(&config).unwrap(), before);
    std::fs::remove_file(&config).unwrap();
    let again = site.init(&[]).await;
    let identity = site.dir().identity();
    assert!(again.err.starts_with(&format!("error: {} exists already\n", identity.display())));
}

#[tokio::test]
async fn init_makes_nothing_when_its_arguments_are_wrong() {
    let site = Site::new();

    let ended = site.init(&["--trust-domain", "Not A Domain"]).await;

    assert_eq!(ended.exit, Exit::Usage);
    assert_eq!(
        ended.err,
        "error: trust_domain is not usable: trust domain \"Not A Domain\" is not a lower-case DNS \
         name of 1 to 200 bytes\n  try: correct relay.toml or the argument\n"
    );
    assert_eq!(std::fs::read_dir(site.directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn commands_need_a_relay_in_the_directory() {
    let site = Site::new();

    let ended = site.run(&["agent", "list"]).await;

    assert_eq!(ended.exit, Exit::Usage);
    let relay = site.at("relay");
    assert_eq!(
        ended.err,
        format!(
            "error: {relay} has no relay.toml\n  try: set it up with skyspray-relay init DIR\n"
        )
    );
}

#[tokio::test]
async fn a_token_stands_alone_on_standard_output() {
    let site = Site::initialised().await;

    let ended = site.run(&["agent", "add", "edge-1", "--allow", "push,list:data:acme"]).await;

    assert_eq!(ended.exit, Exit::Done, "{}", ended.err);
    let line = ended.out.strip_suffix('\n').unwrap();
    assert!(!line.contains(char::is_whitespace), "{line:?}");
    let token = EnrollToken::parse(line).unwrap();
    assert_eq!(token.agent.as_str(), "edge-1");
    assert_eq!(token.address.as_str(), "relay.example:4434");
    let settings =
        crate::config::RelaySettings::load(&site.dir().config_file(), &Default::default()).unwrap();
    assert_eq!(token.pin, load_identity(&site.dir(), &settings, host().clock.now()).unwrap().pin());
    assert!(!ended.err.contains(line) && ended.err.contains("within 10m"), "{}", ended.err);
}

#[tokio::test]
async fn a_program_gets_the_token_as_a_field() {
    let site = Site::initialised().await;

    let ended = site.run(&["agent", "add", "edge-1", "--json", "--ttl", "1h"]).await;

    let objects = ended.objects();
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0]["schema"], 1);
    assert_eq!(objects[0]["event"], "token");
    assert_eq!(objects[0]["expires_ms"], 1_800_003_600_000_i64);
    EnrollToken::parse(objects[0]["token"].as_str().unwrap()).unwrap();
    assert_eq!(ended.err, "");
}

#[tokio::test]
async fn a_token_for_any_free_port_needs_the_running_relay() {
    let site = Site::new();
    let ended = site.init(&["--listen", "127.0.0.1:0", "--enroll-listen", "127.0.0.1:0"]).await;
    assert_eq!(ended.exit, Exit::Done, "{}", ended.err);

    let before = site.run(&["agent", "add", "edge-1"]).await;
    assert_eq!((before.exit, before.out.as_str()), (Exit::Temporary, ""));

    let file = site.dir().addresses_file();
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, r#"{"data":"127.0.0.1:5001","enroll":"127.0.0.1:5002"}"#).unwrap();
    let after = site.run(&["agent", "add", "edge-1"]).await;
    let token = EnrollToken::parse(&after.out).unwrap();
    assert_eq!(token.address.as_str(), "relay.example:5002");
}

#[tokio::test]
async fn an_agent_is_invited_shown_restricted_and_revoked() {
    let site = Site::initialised().await;
    let added = site.run(&["agent", "add", "edge-1", "--allow", "push:data"]).await;
    assert_eq!(added.exit, Exit::Done);
    site.run(&["agent", "add", "edge-2"]).await;

    let listed = site.run(&["agent", "list"]).await;
    assert_eq!(
        listed.out,
        "AGENT   STATE    SEEN  TOKEN ENDS  RULES\n\
         edge-1  pending  -     in 10m      push:data\n\
         edge-2  pending  -     in 10m      -\n"
    );

    let allowed = site.run(&["agent", "allow", "edge-1", "pull:*:acme", "--json"]).await;
    assert_eq!(allowed.objects()[0]["rules"], serde_json::json!(["pull:*:acme"]));
    let revoked = site.run(&["agent", "revoke", "edge-1", "--json"]).await;
    assert_eq!(revoked.objects()[0]["state"], "revoked");
    let again = site.run(&["agent", "add", "edge-1"]).await;
    assert_eq!((again.exit, again.out.as_str()), (Exit::Refused, ""));
    assert!(again.err.starts_with("error: agent edge-1 is revoked\n  try: "), "{}", again.err);
}

#[tokio::test]
async fn an_agent_or_plane_that_is_not_there_is_named() {
    let site = Site::initialised().await;

    let agent = site.run(&["agent", "show", "ghost"]).await;
    assert_eq!(agent.exit, Exit::Source);
    assert!(agent.err.starts_with("error: agent ghost does not exist\n"), "{}", agent.err);

    let rule = site.run(&["agent", "add", "edge-1", "--allow", "push:lake"]).await;
    assert_eq!((rule.exit, rule.out.as_str()), (Exit::Usage, ""));
    assert!(rule.err.starts_with("error: plane lake is not in relay.toml\n"), "{}", rule.err);
    assert_eq!(site.run(&["agent", "list", "--json"]).await.out, "");
}

#[tokio::test]
async fn settings_for_another_trust_domain_are_refused() {
    let site = Site::initialised().await;
    let config = site.dir().config_file();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("skyspray.internal", "other.example")).unwrap();

    let ended = site.run(&["agent", "add", "edge-1"]).await;

    assert_eq!(ended.exit, Exit::Usage);
    assert_eq!(
        ended.err.lines().next(),
        Some(
            "error: trust_domain is other.example, but this relay's certificates are for \
             skyspray.internal"
        )
    );
}

#[tokio::test]
async fn a_plane_is_listed_and_tested_and_its_loss_is_told() {
    let site = Site::initialised().await;

    let listed = site.run(&["plane", "list", "--json"]).await.objects();
    assert_eq!((&listed[0]["plane"], &listed[0]["usable"]), (&"data".into(), &true.into()));
    let tested = site.run(&["plane", "test", "--json"]).await;
    assert_eq!((tested.exit, &tested.objects()[0]["ok"]), (Exit::Done, &true.into()));
    assert_eq!(std::fs::read_dir(site.at("plane")).unwrap().count(), 0);

    std::fs::remove_dir(site.at("plane")).unwrap();
    assert_eq!(site.run(&["plane", "list", "--json"]).await.objects()[0]["usable"], false);
    let tested = site.run(&["plane", "test", "data"]).await;
    assert_eq!(tested.exit, Exit::Usage);
    let path = site.at("plane");
    let cause = format!("plane data cannot be used: directory {path} does not exist");
    let head = "PLANE  FREE  CREATE-ONLY  COPIES  RESULT";
    assert_eq!(tested.out, format!("{head}\ndata   -     -            -       {cause}\n"));
    assert!(tested.err.starts_with(&format!("error: {cause}\n  try: ")), "{}", tested.err);
}

#[tokio::test]
async fn planes_of_a_values_file_are_listed_with_what_becomes_of_them() {
    let site = Site::new();
    let (values, lake) = (site.at("values.yaml"), site.at("lake"));
    std::fs::create_dir(&lake).unwrap();
    let text = format!(
        "storage: {{planes: [{{name: lake, prefix: '{lake}', category: data, numDevices: 2}}, \
         {{name: bare, prefix: /d, category: data, hosts: [h1]}}]}}"
    );
    std::fs::write(&values, text).unwrap();
    assert_eq!(site.init(&["--planes-from", &values]).await.exit, Exit::Done);

    let listed = site.run(&["plane", "list", "--json"]).await.objects();
    let told: Vec<_> = listed.iter().map(|row| [&row["plane"], &row["state"]]).collect();
    assert_eq!(
        told,
        [["bare", "not served"], ["data", "served"], ["lake", "served"]].map(|row| row).to_vec()
    );
    let reason = "its data lies on host h1, reached only by the file servers there";
    assert_eq!(listed[0]["reason"], reason);
    assert_eq!((&listed[2]["devices"], &listed[2]["dir_per_part"]), (&2.into(), &true.into()));
    let refused = site.run(&["file", "list", "bare:"]).await;
    assert_eq!(refused.exit, Exit::Usage);
    assert_eq!(
        refused.err.lines().next(),
        Some(&*format!("error: plane bare of the values file is not served: {reason}"))
    );
    assert_eq!(site.run(&["plane", "test"]).await.exit, Exit::Done);

    std::fs::write(&values, "storage: [").unwrap();
    assert_eq!(site.run(&["plane", "list"]).await.exit, Exit::Usage);
    let other = site.at("other.yaml");
    std::fs::write(&other, "storage: {planes: []}").unwrap();
    assert_eq!(site.run(&["plane", "list", "--planes-from", &other]).await.exit, Exit::Done);
}

#[tokio::test]
async fn the_audit_tells_what_operators_did_and_that_nobody_changed_it() {
    let site = Site::initialised().await;
    site.run(&["agent", "add", "edge-1"]).await;
    site.run(&["agent", "revoke", "edge-1"]).await;

    let tail = site.run(&["audit", "tail", "-n", "1", "--json"]).await.objects();
    assert_eq!(tail.len(), 1);
    assert_eq!((&tail[0]["event"], &tail[0]["seq"]), (&"audit".into(), &2.into()));
    assert_eq!(tail[0]["audit_event"], "agent-revoked");
    let verified = site.run(&["audit", "verify", "--json"]).await;
    assert_eq!((verified.exit, &verified.objects()[0]["lines"]), (Exit::Done, &2.into()));
}

#[tokio::test]
async fn a_token_of_the_http_interface_is_printed_alone_and_kept_as_a_hash() {
    let site = Site::initialised().await;
    let added = site.run(&["api-token", "add", "thor", "--allow", "pull,list:data:acme"]).await;
    assert_eq!((added.exit, added.out.lines().count()), (Exit::Done, 1), "{}", added.err);
    let token = added.out.trim();
    assert!(token.starts_with("skyapi_") && token.len() == 50, "{token}");
    assert!(!added.err.contains(token));

    let listed = site.run(&["--json", "api-token", "list"]).await;
    let row = &listed.objects()[0];
    assert_eq!((&row["event"], &row["name"]), (&"api-token".into(), &"thor".into()));
    assert_eq!(row["rules"], serde_json::json!(["pull,list:data:acme"]));
    let expires = i64::try_from(NOW.as_millis()).unwrap() + 90 * 86_400_000;
    assert_eq!(row["expires_ms"], serde_json::json!(expires));
    let kept = std::fs::read_to_string(site.dir().api_tokens_file()).unwrap();
    assert!(!kept.contains(&token[7..]) && !listed.out.contains(&token[7..]), "{kept}");

    let again = site.run(&["api-token", "add", "thor", "--allow", "pull:data"]).await;
    assert_eq!(again.exit, Exit::Refused, "{}", again.err);
    let nowhere = site.run(&["api-token", "add", "x", "--allow", "pull:lake"]).await;
    assert_eq!(nowhere.exit, Exit::Usage, "{}", nowhere.err);
    let removed = site.run(&["api-token", "remove", "thor"]).await;
    assert_eq!((removed.exit, removed.out.as_str()), (Exit::Done, "removed api token thor\n"));
    let missing = site.run(&["api-token", "remove", "thor"]).await;
    assert_eq!(missing.exit, Exit::Source, "{}", missing.err);
}

#[test]
fn a_token_of_the_http_interface_only_reads() {
    let parse = |allow: &str| {
        let line = ["skyspray-relay", "api-token", "add", "x", "--allow", allow];
        Cli::try_parse_from(line).map(|_| ()).map_err(|error| error.to_string())
    };

    parse("pull,list:*").unwrap();
    let error = parse("pull,push:data").unwrap_err();
    assert!(error.contains("allows push, but the HTTP interface only takes pull and list"));
}
