//! `file replicate`: copies to the planes that are to have a file too.

use super::*;

impl Stored {
    /// With the planes `mirror` and `spare` beside `data`, which replicates to both.
    async fn with_mirrors() -> Self {
        let stored = Self::new().await;
        let config = stored.site.dir().config_file();
        let text = std::fs::read_to_string(&config).unwrap();
        let head = "[plane.data]\n";
        assert!(text.contains(head), "{text}");
        let mut text = text.replace(head, "[plane.data]\nreplication = [\"mirror\", \"spare\"]\n");
        for name in ["mirror", "spare"] {
            let path = stored.site.at(name);
            std::fs::create_dir(&path).unwrap();
            text.push_str(&format!("\n[plane.{name}]\nurl = \"file://{path}\"\n"));
        }
        std::fs::write(config, text).unwrap();
        stored
    }

    /// Plane and outcome of each replica, and how the command ended.
    async fn replicated(&self, more: &[&str]) -> (Vec<(String, String)>, Ended) {
        let args = [&["file", "replicate", "data:acme::orders", "--json"], more].concat();
        let ended = self.run(&args).await;
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let rows = ended.objects();
        let told = rows.iter().map(|row| (text(&row["plane"]), text(&row["outcome"]))).collect();
        (told, ended)
    }
}

fn outcomes(told: &[(&str, &str)]) -> Vec<(String, String)> {
    told.iter().map(|(plane, outcome)| ((*plane).to_owned(), (*outcome).to_owned())).collect()
}

#[tokio::test]
async fn a_file_goes_to_every_plane_that_lacks_it_and_to_no_other() {
    let stored = Stored::with_mirrors().await;
    stored.spray(job(1), "acme::orders", &[b"one", b"two"]).await;

    let (first, ended) = stored.replicated(&["--to", "spare"]).await;
    assert_eq!((first, ended.exit), (outcomes(&[("spare", "copied")]), Exit::Done));
    assert_eq!(ended.objects()[0]["method"], "streamed");
    let (second, ended) = stored.replicated(&[]).await;
    let expected = outcomes(&[("mirror", "copied"), ("spare", "current")]);
    assert_eq!((second, ended.exit), (expected, Exit::Done));
    let (third, ended) = stored.replicated(&[]).await;

    assert_eq!(third, outcomes(&[("mirror", "current"), ("spare", "current")]));
    assert_eq!(ended.exit, Exit::NothingToDo);
    assert!(ended.err.contains("every plane that is to have data:acme::orders has it"));
    for plane in ["mirror", "spare"] {
        let part = Path::new(&stored.site.at(plane)).join("acme/2/orders._2_of_2");
        assert_eq!(std::fs::read(part).unwrap(), b"two");
    }
}

#[tokio::test]
async fn another_content_of_the_name_is_replaced_only_when_asked_to() {
    let stored = Stored::with_mirrors().await;
    stored.spray(job(1), "acme::orders", &[b"one", b"two"]).await;
    stored.replicated(&[]).await;
    // Same number and length of parts.
    stored.spray(job(2), "acme::orders", &[b"one", b"owt"]).await;

    let (refused, ended) = stored.replicated(&[]).await;
    assert_eq!(refused, outcomes(&[("mirror", "failed"), ("spare", "failed")]));
    assert_eq!(ended.exit, Exit::Refused);
    assert_eq!(ended.objects()[1]["failure"], "file spare:acme::orders exists");
    let (replaced, ended) = stored.replicated(&["--overwrite"]).await;

    assert_eq!(replaced, outcomes(&[("mirror", "copied"), ("spare", "copied")]));
    assert_eq!(ended.exit, Exit::Done, "{}", ended.err);
    assert_eq!(stored.replicated(&[]).await.1.exit, Exit::NothingToDo);
}

#[tokio::test]
async fn a_plane_without_replication_must_be_told_where_to() {
    let stored = Stored::new().await;
    stored.spray(job(1), "acme::orders", &[b"one"]).await;

    let (rows, ended) = stored.replicated(&[]).await;

    assert_eq!((rows, ended.exit), (Vec::new(), Exit::Usage));
    let told = "plane data names no planes that copies of its files go to";
    assert!(ended.err.contains(told), "{}", ended.err);
}
