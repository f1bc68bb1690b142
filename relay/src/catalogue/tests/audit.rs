//! The chain.

use super::*;

each_engine! {
    every_change_of_a_job_writes_one_line_in_an_unbroken_chain;
    an_empty_audit_is_whole;
    a_changed_line_shows;
    a_missing_line_shows;
    a_cut_tail_shows;
    a_refused_decision_is_recorded_with_its_number;
}

async fn tamper(bench: &Bench, statement: &'static str) {
    let mut tx = bench.catalogue.store.begin().await.unwrap();
    query(statement).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

async fn fault(bench: &Bench) -> String {
    bench.catalogue.verify_audit().await.unwrap_err().to_string()
}

async fn every_change_of_a_job_writes_one_line_in_an_unbroken_chain(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.committed(&spray(1, "a::x"), T).await;

    let lines = bench.catalogue.audit_tail(3).await.unwrap();

    let events: Vec<&str> = lines.iter().map(|line| line.event.as_str()).collect();
    assert_eq!(events, ["job-opened", "job-sealed", "job-committed"]);
    assert!(lines.iter().all(|line| line.job == Some(job_id(1))
        && line.agent.as_deref() == Some("edge-1")
        && line.plane.as_deref() == Some("data")
        && line.target.as_deref() == Some("a::x")
        && line.result == "done"));
    let summary = bench.catalogue.verify_audit().await.unwrap();
    assert_eq!(summary, AuditSummary { lines: 7, head: lines[2].hash });
    let after = bench.catalogue.audit_after(5, 10).await.unwrap();
    assert_eq!(after, lines[1..]);
}

async fn an_empty_audit_is_whole(engine: Engine) {
    let bench = Bench::empty(engine).await;

    let summary = bench.catalogue.verify_audit().await.unwrap();

    assert_eq!(summary, AuditSummary { lines: 0, head: Digest([0; 32]) });
}

async fn a_changed_line_shows(engine: Engine) {
    for statement in [
        "UPDATE audit SET result = 'refused 201' WHERE seq = 2",
        "UPDATE audit SET at_ms = at_ms + 1 WHERE seq = 2",
        "UPDATE audit SET agent = 'edge-9' WHERE seq = 2",
        "UPDATE audit SET plane = '' WHERE seq = 2",
    ] {
        let bench = Bench::new(engine).await;
        tamper(&bench, statement).await;
        assert_eq!(fault(&bench).await, "audit line 2 was changed", "{statement}");
    }
}

async fn a_missing_line_shows(engine: Engine) {
    let bench = Bench::new(engine).await;
    tamper(&bench, "DELETE FROM audit WHERE seq = 2").await;

    let expected = "audit line 2 is missing or does not follow from the one before";
    assert_eq!(fault(&bench).await, expected);
}

async fn a_cut_tail_shows(engine: Engine) {
    let bench = Bench::new(engine).await;
    tamper(&bench, "DELETE FROM audit WHERE seq > 2").await;

    assert_eq!(fault(&bench).await, "audit ends at line 2, its head is at line 4");
}

async fn a_refused_decision_is_recorded_with_its_number(engine: Engine) {
    let bench = Bench::new(engine).await;
    let code = skyspray_wire::refusal::RefusalCode::Forbidden;
    let mut entry = AuditEntry::new(Actor::Agent(agent("edge-1")), AuditEvent::Listed)
        .target("b::secret")
        .detail(serde_json::json!({ "why": "scope" }));
    entry.result = AuditResult::Refused(code);

    bench.catalogue.record(&entry, T + 1).await.unwrap();

    let line = bench.catalogue.audit_tail(1).await.unwrap().remove(0);
    assert_eq!((line.at_ms, line.actor.as_str()), (T + 1, "agent"));
    assert_eq!((line.event.as_str(), line.result.as_str()), ("listed", "refused 201"));
    assert_eq!(line.detail, "{\"why\":\"scope\"}");
    bench.catalogue.verify_audit().await.unwrap();
}
