//! Logical files: lists and removal.

use super::*;
use skyspray_wire::name::Scope;

/// Makes 20,000 live names `big::s0::n00000`… in a shuffled order.
async fn many_names(bench: &Bench) {
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO logical_files (plane, name, current, last) \
         WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 19999) \
         SELECT 'data', 'big::s' || ((i * 7919) % 20000 / 5000) || '::n' || \
         printf('%05d', (i * 7919) % 20000), 1, 1 FROM n",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO generations (plane, name, generation, state, job, wuid, agent, parts, bytes, \
         committed_ms, attributes, dir_per_part, devices, lfn_hash, receipt) \
         SELECT plane, name, 1, 'live', zeroblob(16), 'w', 'edge-1', 1, 5, $1, '[]', 0, 1, 0, \
         zeroblob(1) FROM logical_files",
    )
    .bind(T)
    .execute(&mut *tx)
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

#[tokio::test]
async fn twenty_thousand_names_are_listed_in_pages_in_order() {
    let bench = Bench::new().await;
    many_names(&bench).await;

    let all = names(&bench, "", 512).await;
    let one_scope = names(&bench, "big::s2", 777).await;

    let expected: Vec<String> =
        (0..20_000).map(|n| format!("big::s{}::n{n:05}", n / 5000)).collect();
    assert_eq!(all, expected);
    assert_eq!(one_scope, expected[10_000..15_000]);
}

#[tokio::test]
async fn a_page_of_names_is_read_through_an_index_from_where_it_begins() {
    let bench = Bench::new().await;
    many_names(&bench).await;
    let rows = sqlx::query(
        "EXPLAIN QUERY PLAN SELECT l.name, g.bytes, g.parts, g.committed_ms FROM logical_files l \
         JOIN generations g ON g.plane = l.plane AND g.name = l.name \
         AND g.generation = l.current WHERE l.plane = $1 AND l.current IS NOT NULL \
         AND l.name > $2 AND l.name < $3 ORDER BY l.name LIMIT $4",
    )
    .fetch_all(bench.catalogue.store.readers())
    .await
    .unwrap();

    let plan: Vec<String> = rows.iter().map(|row| sqlx::Row::get(row, "detail")).collect();

    let searches = plan.iter().all(|step| step.starts_with("SEARCH"));
    assert!(searches && plan[0].contains("name>? AND name<?"), "{plan:#?}");
}

#[tokio::test]
async fn a_scope_lists_whole_segments_and_root_files_stand_outside_scopes() {
    let bench = Bench::new().await;
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

#[tokio::test]
async fn a_name_shows_only_between_commit_and_removal() {
    let bench = Bench::new().await;
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

#[tokio::test]
async fn generations_go_on_counting_after_a_removal() {
    let bench = Bench::new().await;
    bench.committed(&spray(1, "a::x"), T).await;
    let name = logical("a::x");
    bench.catalogue.remove_logical(&plane(), &name, &Actor::Operator, T).await.unwrap();

    let done = bench.committed(&spray(2, "a::x"), T).await;

    assert_eq!(done.generation, Some(Generation(2)));
    assert_eq!(bench.discard_paths().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_name_removed_while_it_is_replaced_comes_back_with_the_commit() {
    let bench = Bench::new().await;
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
