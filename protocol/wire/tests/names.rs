//! Names from any text: what is accepted reads back as itself and means nothing else to anybody.

use proptest::prelude::*;
use skyspray_wire::name::{AgentName, LogicalName, PlaneName, PlanePath, Scope};

/// Texts made of the pieces that names are made of, and of those that break them.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9]{1,3}",
        2 => Just("::".to_owned()),
        2 => prop::sample::select(vec![".", "..", "/", "\\", "@", "~", " ", ":", "-", "_", "\0"])
            .prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
        1 => Just(".skyspray-".to_owned()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_logical_name_is_in_normal_form_and_has_no_relative_segment(text in text()) {
        if let Ok(name) = LogicalName::parse(&text) {
            prop_assert_eq!(LogicalName::parse(name.as_str()), Ok(name.clone()));
            prop_assert!(name.segments().count() >= 1);
            prop_assert!(name.segments().all(|segment| !matches!(segment, "" | "." | "..")));
            prop_assert!(!name.tail().contains('@'));
            prop_assert!(!name.as_str().contains(['/', '\\', '\0', '~']));
            prop_assert_eq!(name.as_str().to_ascii_lowercase(), name.as_str());
            let bytes = postcard::to_allocvec(&name).unwrap();
            prop_assert_eq!(postcard::from_bytes(&bytes), Ok(name));
        }
    }

    #[test]
    fn a_scope_is_in_normal_form_and_has_no_relative_segment(text in text()) {
        if let Ok(scope) = Scope::parse(&text) {
            prop_assert_eq!(Scope::parse(&scope.to_string()), Ok(scope.clone()));
            prop_assert!(scope.segments().iter().all(|s| !matches!(s.as_str(), "" | "." | "..")));
            prop_assert!(scope.holds(scope.segments().iter().map(String::as_str)));
        }
    }

    #[test]
    fn a_plane_path_keeps_its_text_and_stays_below_its_root(text in text()) {
        if let Ok(path) = PlanePath::parse(&text) {
            prop_assert_eq!(path.to_string(), text.strip_suffix('/').unwrap_or(&text));
            prop_assert_eq!(PlanePath::parse(&path.to_string()), Ok(path.clone()));
            for segment in path.segments() {
                let segment = segment.as_str();
                prop_assert!(!matches!(segment, "" | "." | ".."));
                prop_assert!(!segment.contains(['/', '\\', '\0']));
                prop_assert!(!segment.starts_with(".skyspray-"));
            }
        }
    }

    #[test]
    fn plane_and_agent_names_are_kept_as_they_are(text in text()) {
        if let Ok(name) = PlaneName::parse(&text) {
            prop_assert_eq!(name.as_str(), text.as_str());
        }
        if let Ok(name) = AgentName::parse(&text) {
            prop_assert_eq!(name.as_str(), text.as_str());
            let plane = PlaneName::parse(&text).map(String::from);
            prop_assert_eq!(plane.as_deref(), Ok(text.as_str()));
        }
    }
}

#[test]
fn a_name_that_breaks_the_rules_cannot_be_decoded() {
    for text in ["a::..", "a::..@c", "a/b", "ä", ""] {
        let bytes = postcard::to_allocvec(text).unwrap();
        let error = postcard::from_bytes::<LogicalName>(&bytes).unwrap_err();
        assert_eq!(error, postcard::Error::SerdeDeCustom, "{text:?}");
    }
    for text in ["/a", "a/../b", "a//b", ".skyspray-x", "a\u{202e}b", "a\u{61c}b"] {
        let bytes = postcard::to_allocvec(text).unwrap();
        let error = postcard::from_bytes::<PlanePath>(&bytes).unwrap_err();
        assert_eq!(error, postcard::Error::SerdeDeCustom, "{text:?}");
    }
}
