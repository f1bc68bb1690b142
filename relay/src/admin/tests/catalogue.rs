//! Commands on a catalogue that is on a server.

use super::*;
use skyspray_tests::server::postgres;

#[tokio::test]
async fn every_command_uses_the_catalogue_that_init_was_told() {
    let server = postgres::shared().unwrap_or_else(|error| panic!("{error}"));
    let database = server.new_database().unwrap();
    let (name, port) = (database.name(), server.port());
    let socket = server.dir().join("home");
    let url = format!("postgres://{name}@localhost:{port}/{name}?host={}", socket.display());
    let site = Site::new();

    let made = site.init(&["--catalogue", &url]).await;
    assert_eq!(made.exit, Exit::Done, "{}", made.err);
    let added = site.run(&["agent", "add", "edge-1", "--allow", "push:data"]).await;
    assert_eq!(added.exit, Exit::Done, "{}", added.err);

    let listed = site.run(&["--json", "agent", "list"]).await;
    assert!(listed.out.contains("\"edge-1\""), "{}", listed.out);
    assert!(!site.dir().catalogue().exists());
    let text = std::fs::read_to_string(site.dir().config_file()).unwrap();
    assert!(text.contains(&format!("catalogue = \"{url}\"")), "{text}");
    let elsewhere = site.run(&["--catalogue", "sqlite", "agent", "list"]).await;
    assert_eq!(elsewhere.exit, Exit::Usage, "{}", elsewhere.out);
    assert!(elsewhere.err.contains("catalogue.db cannot be opened"), "{}", elsewhere.err);
}

#[tokio::test]
async fn a_password_in_the_url_is_refused_and_not_repeated() {
    let site = Site::initialised().await;
    let url = "postgres://relay:s3cret@db.example/skyspray";

    let said = site.run(&["--catalogue", url, "agent", "list"]).await;
    let config = site.dir().config_file();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("catalogue = \"{url}\"\n{text}")).unwrap();
    let written = site.run(&["agent", "list"]).await;

    for ended in [said, written] {
        assert_eq!(ended.exit, Exit::Usage);
        assert!(ended.err.contains("the catalogue's URL holds a password"), "{}", ended.err);
        assert!(ended.err.contains("catalogue_password_file"), "{}", ended.err);
        assert!(!ended.err.contains("s3cret") && !ended.out.contains("s3cret"));
    }
    let cli = Cli::try_parse_from(["skyspray-relay", "--catalogue", url, "agent", "list"]).unwrap();
    assert!(!format!("{cli:?}").contains("s3cret"), "{cli:?}");
}
