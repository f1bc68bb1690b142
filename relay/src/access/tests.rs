//! Tests of the policy, most of them against an oracle that compares texts.

use super::*;
use proptest::prelude::*;

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

fn plane(name: &str) -> PlaneName {
    PlaneName::parse(name).unwrap()
}

fn path(text: &str) -> PlanePath {
    PlanePath::parse(text).unwrap()
}

#[test]
fn a_rule_shows_as_it_is_written() {
    for text in ["push,pull:data:ingest::acme", "list:*", "push,overwrite:lake_2:a", "remove:p"] {
        assert_eq!(rule(text).to_string(), text);
    }
    assert_eq!(rule("overwrite, push:data:~A:: B").to_string(), "push,overwrite:data:a::b");
    assert_eq!(rule("push:data:.").to_string(), "push:data");
}

#[test]
fn a_text_that_is_no_rule_says_why() {
    let error = |text: &str| text.parse::<Rule>().unwrap_err().to_string();

    assert_eq!(error("push"), "rule \"push\" is not of the form OPS:PLANE[:SCOPE]");
    assert_eq!(error("put:data"), "operation \"put\" is none of push,pull,list,remove,overwrite");
    assert_eq!(error(":data"), "operation \"\" is none of push,pull,list,remove,overwrite");
    assert_eq!(error("push:Data"), "rule \"push:Data\" names no plane");
    assert_eq!(error("push:data:a::*"), "rule \"push:data:a::*\" names no scope");
    assert_eq!(
        error("push:data:"),
        "rule \"push:data:\" ends with an empty scope; leave out its last `:` to mean every scope"
    );
}

#[test]
fn nothing_is_allowed_without_a_rule() {
    let name = LogicalName::parse("a::b").unwrap();

    for operation in Operation::ALL {
        assert!(!allows_name(&[], operation, &plane("data"), &name));
        assert!(!allows_path(&[], operation, &plane("data"), &path("a/b")));
    }
}

#[test]
fn scopes_are_compared_by_whole_segments_and_paths_in_any_case() {
    let rules = [rule("push:data:ingest::acme")];
    let by_name = |text| {
        let name = LogicalName::parse(text).unwrap();
        allows_name(&rules, Operation::Push, &plane("data"), &name)
    };
    let by_path = |text| allows_path(&rules, Operation::Push, &plane("data"), &path(text));

    assert!(by_name("Ingest::Acme::orders"));
    assert!(!by_name("ingest::acme2::orders"));
    assert!(!by_name("ingest"));
    assert!(!by_name("acme"));
    assert!(by_path("Ingest/ACME/a file.csv"));
    assert!(!by_path("ingest/acme2/a file.csv"));
    assert!(!by_path("ingest"));
    assert!(!by_path(""));
}

#[test]
fn a_letter_that_only_looks_like_ascii_is_another_directory() {
    let rules = [rule("push:data:k")];

    assert!(allows_path(&rules, Operation::Push, &plane("data"), &path("K/x")));
    assert!(!allows_path(&rules, Operation::Push, &plane("data"), &path("\u{212a}/x")));
}

#[test]
fn a_scope_may_be_listed_only_when_all_of_it_may() {
    let rules = [rule("list:data:a::b")];
    let lists =
        |text| allows_scope(&rules, Operation::List, &plane("data"), &Scope::parse(text).unwrap());

    assert!(lists("a::b"));
    assert!(lists("a::b::c"));
    assert!(!lists("a"));
    assert!(!lists(""));
}

/// The same question over texts: the scope with a separator at its end begins the name with one.
fn oracle(rules: &[Rule], operation: Operation, plane: &PlaneName, segments: &[String]) -> bool {
    let name = segments.iter().map(|segment| format!("{segment}\n")).collect::<String>();
    rules.iter().any(|rule| {
        let text = rule.to_string();
        let mut fields = text.splitn(3, ':');
        let operations = fields.next().unwrap();
        let planes = fields.next().unwrap();
        let scope = match fields.next() {
            Some(scope) => scope.replace("::", "\n") + "\n",
            None => String::new(),
        };
        operations.split(',').any(|name| name == operation.as_str())
            && (planes == "*" || planes == plane.as_str())
            && name.starts_with(&scope)
    })
}

fn segments() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[ab]{1,2}", 0..4)
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let operations = prop::sample::subsequence(Operation::ALL.to_vec(), 1..=5);
    let planes = prop::sample::select(vec!["*", "p", "pq"]);
    let one = (operations, planes, segments()).prop_map(|(operations, planes, scope)| Rule {
        operations: Operations::of(operations),
        planes: planes.parse().unwrap(),
        scope: Scope::parse(&scope.join("::")).unwrap(),
    });
    prop::collection::vec(one, 0..4)
}

proptest! {
    #[test]
    fn the_policy_says_what_a_comparison_of_texts_says(
        rules in rules(),
        segments in segments(),
        operation in prop::sample::select(Operation::ALL.to_vec()),
        on in prop::sample::select(vec!["p", "pq", "q"]),
    ) {
        let on = plane(on);
        let expected = oracle(&rules, operation, &on, &segments);

        let found = allows(&rules, operation, &on, segments.iter().map(String::as_str));
        prop_assert_eq!(found, expected);
        let path = path(&segments.join("/").to_uppercase());
        prop_assert_eq!(allows_path(&rules, operation, &on, &path), expected);
    }

    #[test]
    fn a_rule_reads_back_from_what_it_shows(rules in rules()) {
        for rule in rules {
            prop_assert_eq!(rule.to_string().parse::<Rule>(), Ok(rule));
        }
    }
}
