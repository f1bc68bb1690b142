//! Logical files: lists and removal.

use super::super::files::list_logical;
use super::*;
use skyspray_wire::name::Scope;

each_engine! {
    a_pattern_finds_whole_names_page_by_page;
    a_search_that_finds_little_says_where_it_goes_on;
    twenty_thousand_names_are_listed_in_pages_in_order;
    a_page_of_names_is_read_through_an_index_from_where_it_begins;
    a_scope_lists_whole_segments_and_root_files_stand_outside_scopes;
    a_name_shows_only_between_commit_and_removal;
    generations_go_on_counting_after_a_removal;
    a_name_removed_while_it_is_replaced_comes_back_with_the_commit;
}

/// Makes 20,000 live names `big::s0::n00000`… in a shuffled order.
async fn many_names(bench: &Bench) {
    let names = match bench.engine {
        Engine::Sqlite => {
            "INSERT INTO logical_files (plane, name, current, last) \
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999) \
             SELECT 'data', 'big::s' || ((i * 7919) % 20000 / 5000) || '::n' || \
             printf('%05d', (i * 7919) % 20000), 1, 1 FROM n"
        }
        Engine::Postgres => {
            "INSERT INTO logical_files (plane, name, current, last) \
             SELECT 'data', 'big::s' || ((i * 7919) % 20000 / 5000) || '::n' || \
             lpad(((i * 7919) % 20000)::text, 5, '0'), 1, 1 FROM generate_series(0, 19999) n (i)"
        }
    };
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    query(names).execute(&mut tx).await.unwrap();
    query(
        "INSERT INTO generations (plane, name, generation, state, job, wuid, agent, parts, bytes, \
         committed_ms, attributes, dir_per_part, devices, lfn_hash, receipt) \
         SELECT plane, name, 1, 'live', $2, 'w', 'edge-1', 1, 5, $1, '[]', 0, 1, 0, $2 \
         FROM logical_files",
    )
    .bind(T)
    .bind(vec![0; 16])
    .execute(&mut tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

async fn names(bench: &Bench, scope: &str, page: u32) -> Vec<String> {
    let scope = Scope::parse(scope).unwrap();
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let entries = bench.catalogue.list_logical(&plane(), &scope, &after, page).await.unwrap();
        if entries.is_empty() {
            return names;
        }
        names.extend(entries.into_iter().map(|entry| entry.name));
    }
}

async fn twenty_thousand_names_are_listed_in_pages_in_order(engine: Engine) {
    let bench = Bench::new(engine).await;
    many_names(&bench).await;

    let all = names(&bench, "", 512).await;
    let one_scope = names(&bench, "big::s2", 777).await;

    let expected: Vec<String> =
        (0..20_000).map(|n| format!("big::s{}::n{n:05}", n / 5000)).collect();
    assert_eq!(all, expected);
    assert_eq!(one_scope, expected[10_000..15_000]);
}

async fn a_page_of_names_is_read_through_an_index_from_where_it_begins(engine: Engine) {
    let bench = Bench::new(engine).await;
    many_names(&bench).await;
    let (explain, column) = match engine {
        Engine::Sqlite => (concat!("EXPLAIN QUERY PLAN ", list_logical!()), "detail"),
        Engine::Postgres => (concat!("EXPLAIN ", list_logical!()), "QUERY PLAN"),
    };
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    if engine == Engine::Postgres {
        query("ANALYZE").execute(&mut tx).await.unwrap();
    }

    let rows = query(explain)
        .bind("data")
        .bind("big::s2::")
        .bind("big::s2:;")
        .bind(100)
        .fetch_all(&mut *tx)
        .await
        .unwrap();

    let plan: Vec<String> = rows.iter().map(|row| row.try_get(column).unwrap()).collect();
    match engine {
        Engine::Sqlite => {
            let searches = plan.iter().all(|step| step.starts_with("SEARCH"));
            assert!(searches && plan[0].contains("name>? AND name<?"), "{plan:#?}");
        }
        Engine::Postgres => {
            let plan = plan.join("\n");
            let whole = plan.contains("Seq Scan") || plan.contains("Sort");
            assert!(!whole && plan.contains("name > 'big::s2::'::text"), "{plan}");
        }
    }
}

async fn a_scope_lists_whole_segments_and_root_files_stand_outside_scopes(engine: Engine) {
    let bench = Bench::new(engine).await;
    for (id, name) in
        ["a::b::x", "a::b2::x", "a::b", "rootfile", "a::b::c::y", "z::x"].into_iter().enumerate()
    {
        bench.committed(&spray(id as u8, name), T).await;
    }

    assert_eq!(names(&bench, "a::b", 1).await, ["a::b::c::y", "a::b::x"]);
    assert_eq!(names(&bench, "a", 2).await, ["a::b", "a::b2::x", "a::b::c::y", "a::b::x"]);
    assert_eq!(names(&bench, "", 9).await.len(), 6);
    assert_eq!(names(&bench, "", 9).await[0], ".::rootfile");
    assert_eq!(names(&bench, "b", 9).await, Vec::<String>::new());
    let other = PlaneName::parse("other").unwrap();
    let entries = bench.catalogue.list_logical(&other, &Scope::default(), "", 9).await.unwrap();
    assert_eq!(entries, []);
}

async fn a_name_shows_only_between_commit_and_removal(engine: Engine) {
    let bench = Bench::new(engine).await;
    let (new, name) = (spray(1, "a::x"), logical("a::x"));
    let epoch = bench.sealed(&new, T).await;
    assert_eq!(names(&bench, "a", 9).await, Vec::<String>::new());
    bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap();
    assert_eq!(names(&bench, "a", 9).await, ["a::x"]);

    let removed =
        bench.catalogue.remove_logical(&plane(), &name, &Actor::Operator, T + 1).await.unwrap();

    assert_eq!(removed, Generation(1));
    assert_eq!(names(&bench, "a", 9).await, Vec::<String>::new());
    assert_eq!(bench.catalogue.current(&plane(), &name).await.unwrap(), None);
    let old = bench.catalogue.generation(&plane(), &name, Generation(1)).await.unwrap().unwrap();
    assert_eq!((old.state, old.ended_ms), (GenerationState::Removed, Some(T + 1)));
    assert_eq!(bench.discard_paths().await, ["a/x._1_of_2", "a/x._2_of_2"]);
    let again = bench.catalogue.remove_logical(&plane(), &name, &Actor::Operator, T).await;
    assert_eq!(again.unwrap_err().to_string(), "a::x does not exist on plane data");
}

async fn generations_go_on_counting_after_a_removal(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&spray(1, "a::x"), T).await;
    let name = logical("a::x");
    bench.catalogue.remove_logical(&plane(), &name, &Actor::Operator, T).await.unwrap();

    let done = bench.committed(&spray(2, "a::x"), T).await;

    assert_eq!(done.generation, Some(Generation(2)));
    assert_eq!(bench.discard_paths().await, Vec::<String>::new());
}

async fn a_name_removed_while_it_is_replaced_comes_back_with_the_commit(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&spray(1, "a::x"), T).await;
    let new = NewJob { overwrite: true, ..spray(2, "a::x") };
    let epoch = bench.sealed(&new, T).await;
    let name = logical("a::x");
    bench.catalogue.remove_logical(&plane(), &name, &Actor::Operator, T).await.unwrap();

    let claimed = bench.catalogue.claim_discards(&plane(), T, 10, T).await.unwrap();
    assert_eq!(claimed, [], "the sealed job needs these places");
    let done = bench.catalogue.commit_spray(new.job, epoch, OPEN_GATE.sign, T).await.unwrap();

    assert_eq!(done.generation, Some(Generation(2)));
    assert_eq!(bench.discard_paths().await, Vec::<String>::new());
}

async fn matching(bench: &Bench, scope: &str, pattern: &str, page: u32) -> Vec<String> {
    let (scope, pattern) = (Scope::parse(scope).unwrap(), pattern.parse().unwrap());
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let place = (&plane(), &scope);
        let found = bench.catalogue.search_logical(place, &pattern, &after, page).await.unwrap();
        assert!(found.entries.len() <= page as usize);
        names.extend(found.entries.into_iter().map(|entry| entry.name));
        match found.next {
            Some(next) => after = next,
            None => return names,
        }
    }
}

async fn a_pattern_finds_whole_names_page_by_page(engine: Engine) {
    let bench = Bench::new(engine).await;
    let all = ["a::log_1", "a::log_2", "a::logx3", "a::sub::log_4", "b::log_5", "log_6"];
    for (id, name) in all.into_iter().enumerate() {
        bench.committed(&spray(id as u8, name), T).await;
    }
    let cases: [(&str, &str, &[&str]); 11] = [
        ("", "*", &[".::log_6", "a::log_1", "a::log_2", "a::logx3", "a::sub::log_4", "b::log_5"]),
        ("", "a::log_?", &["a::log_1", "a::log_2"]),
        ("", "A::LOG_*", &["a::log_1", "a::log_2"]),
        ("", "*log_*", &[".::log_6", "a::log_1", "a::log_2", "a::sub::log_4", "b::log_5"]),
        ("", "*x3", &["a::logx3"]),
        ("", "a::log_1", &["a::log_1"]),
        ("", "a::log", &[]),
        ("a", "*_?", &["a::log_1", "a::log_2", "a::sub::log_4"]),
        ("a::sub", "a::*", &["a::sub::log_4"]),
        ("b", "a::*", &[]),
        ("", "a%", &[]),
    ];
    for (scope, pattern, expected) in cases {
        for page in [1, 2, 100] {
            assert_eq!(matching(&bench, scope, pattern, page).await, expected, "{pattern}");
        }
    }
}

async fn a_search_that_finds_little_says_where_it_goes_on(engine: Engine) {
    let bench = Bench::new(engine).await;
    many_names(&bench).await;
    bench.committed(&spray(1, "zz::last"), T).await;
    let (scope, pattern) = (Scope::default(), "*last".parse().unwrap());

    let place = (&plane(), &scope);
    let first = bench.catalogue.search_logical(place, &pattern, "", 10).await.unwrap();

    let at = Some("big::s3::n19999".to_owned());
    assert_eq!(first, Found { entries: Vec::new(), next: at });
    assert_eq!(matching(&bench, "", "*last", 10).await, ["zz::last"]);
    assert_eq!(matching(&bench, "", "big::s?::n*77", 9).await.len(), 200);
}
