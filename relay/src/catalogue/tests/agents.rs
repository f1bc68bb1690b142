//! Agents, tokens and identities.

use super::*;
use skyspray_wire::refusal::RefusalCode;

each_engine! {
    an_added_agent_waits_for_its_token;
    a_token_is_redeemed_by_exactly_one_of_two_at_once;
    a_peer_learns_nothing_of_why_a_token_is_refused_but_the_audit_does;
    a_waiting_agent_gets_a_new_token_and_new_rules_and_the_old_token_is_worth_nothing;
    an_enrolled_or_revoked_agent_is_not_added_again;
    an_identity_advances_once_and_repeats_its_answer;
    a_copied_identity_locks_the_agent_until_it_is_invited_again;
    of_two_edges_with_one_identity_that_renew_at_once_one_is_found_out;
    a_revoked_agent_stays_revoked;
    the_revision_moves_with_agents_and_rules_but_not_with_signs_of_life;
    agents_are_listed_in_pages_by_name;
}

async fn an_added_agent_waits_for_its_token(engine: Engine) {
    let bench = Bench::empty(engine).await;
    bench.catalogue.add_agent(&agent("edge-1"), &invitation(1), T).await.unwrap();

    let record = bench.catalogue.agent(&agent("edge-1")).await.unwrap().unwrap();

    assert_eq!(record.state, AgentState::Pending);
    assert_eq!(record.generation, IdentityGeneration(0));
    assert_eq!(record.token_expires_ms, Some(T + 600_000));
    assert_eq!(record.rules, rules());
    assert_eq!((record.bound_key, record.session_key_hash), (None, None));
    assert_eq!(bench.catalogue.agent(&agent("edge-9")).await.unwrap(), None);
}

async fn a_token_is_redeemed_by_exactly_one_of_two_at_once(engine: Engine) {
    let bench = Bench::empty(engine).await;
    let other = bench.other_process().await;
    bench.catalogue.add_agent(&agent("edge-1"), &invitation(1), T).await.unwrap();
    let (mine, theirs) = (redemption("edge-1", 1), redemption("edge-1", 1));

    let (one, two) = tokio::join!(
        bench.catalogue.redeem_token(&mine, T + 1),
        other.redeem_token(&theirs, T + 1)
    );

    let (winner, loser, keys) = if one.is_ok() { (one, two, mine) } else { (two, one, theirs) };
    assert_eq!(winner.unwrap(), IdentityGeneration(1));
    assert!(matches!(loser.unwrap_err(), TokenRefusal::Used { used_ms } if used_ms == T + 1));
    let record = bench.catalogue.agent(&agent("edge-1")).await.unwrap().unwrap();
    assert_eq!(record.state, AgentState::Enrolled);
    assert_eq!(record.bound_key, Some(keys.bound_key));
    assert_eq!(record.session_key_hash, Some(keys.session_key_hash));
    assert_eq!(record.token_expires_ms, None);
}

async fn a_peer_learns_nothing_of_why_a_token_is_refused_but_the_audit_does(engine: Engine) {
    let bench = Bench::empty(engine).await;
    let catalogue = &bench.catalogue;
    catalogue.add_agent(&agent("edge-1"), &invitation(1), T).await.unwrap();
    catalogue.add_agent(&agent("edge-2"), &invitation(1), T).await.unwrap();
    catalogue.redeem_token(&redemption("edge-2", 1), T).await.unwrap();
    catalogue.add_agent(&agent("edge-3"), &invitation(1), T).await.unwrap();
    catalogue.revoke_agent(&agent("edge-3"), T).await.unwrap();

    for (name, token, now_ms, kind) in [
        ("edge-1", 2, T, "unknown"),
        ("edge-9", 1, T, "unknown"),
        ("edge-1", 1, T + 600_000, "expired"),
        ("edge-2", 1, T, "used"),
        ("edge-3", 1, T, "revoked"),
    ] {
        let refusal = catalogue.redeem_token(&redemption(name, token), now_ms).await.unwrap_err();
        assert_eq!(refusal.refusal().code, RefusalCode::TokenRejected);
        assert_eq!(refusal.refusal().detail, "");
        let line = catalogue.audit_tail(1).await.unwrap().remove(0);
        assert_eq!((line.event.as_str(), line.result.as_str()), ("enrolled", "refused 107"));
        assert_eq!(line.target.as_deref(), Some(name));
        assert_eq!(line.detail, format!("{{\"token\":\"{kind}\"}}"));
    }
    catalogue.redeem_token(&redemption("edge-1", 1), T + 599_999).await.unwrap();
}

async fn a_waiting_agent_gets_a_new_token_and_new_rules_and_the_old_token_is_worth_nothing(
    engine: Engine,
) {
    let bench = Bench::empty(engine).await;
    bench.catalogue.add_agent(&agent("edge-1"), &invitation(1), T).await.unwrap();
    let second = Invitation { rules: vec!["list:data".parse().unwrap()], ..invitation(2) };
    bench.catalogue.add_agent(&agent("edge-1"), &second, T).await.unwrap();

    let old = bench.catalogue.redeem_token(&redemption("edge-1", 1), T).await.unwrap_err();
    assert!(matches!(old, TokenRefusal::Unknown));
    bench.catalogue.redeem_token(&redemption("edge-1", 2), T).await.unwrap();

    let record = bench.catalogue.agent(&agent("edge-1")).await.unwrap().unwrap();
    assert_eq!(record.rules, second.rules);
}

async fn an_enrolled_or_revoked_agent_is_not_added_again(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.catalogue.revoke_agent(&agent("edge-2"), T).await.unwrap();

    let enrolled = bench.catalogue.add_agent(&agent("edge-1"), &invitation(2), T).await;
    let revoked = bench.catalogue.add_agent(&agent("edge-2"), &invitation(2), T).await;

    assert_eq!(enrolled.unwrap_err().to_string(), "agent edge-1 is enrolled");
    assert_eq!(revoked.unwrap_err().to_string(), "agent edge-2 is revoked");
}

async fn an_identity_advances_once_and_repeats_its_answer(engine: Engine) {
    let bench = Bench::new(engine).await;
    let (name, next, first) = (agent("edge-1"), key(), IdentityGeneration(1));

    let advanced = bench.catalogue.advance_identity(&name, first, &next, T).await.unwrap();
    let revision = bench.catalogue.agents_revision().await.unwrap();
    let repeated = bench.catalogue.advance_identity(&name, first, &next, T + 5).await.unwrap();

    assert_eq!((advanced, repeated), (IdentityGeneration(2), IdentityGeneration(2)));
    assert_eq!(bench.catalogue.agents_revision().await.unwrap(), revision);
    let record = bench.catalogue.agent(&name).await.unwrap().unwrap();
    assert_eq!(record.session_key_hash, Some(next.hash()));
}

async fn a_copied_identity_locks_the_agent_until_it_is_invited_again(engine: Engine) {
    let bench = Bench::new(engine).await;
    let (name, first) = (agent("edge-1"), IdentityGeneration(1));
    bench.catalogue.advance_identity(&name, first, &key(), T).await.unwrap();

    let copy = bench.catalogue.advance_identity(&name, first, &key(), T).await.unwrap_err();

    assert_eq!(copy.to_string(), "agent edge-1 renewed identity 1, but 2 was issued");
    assert_eq!(copy.refusal().code, RefusalCode::AgentCloned);
    let locked = ("agent-locked".to_owned(), "refused 109".to_owned());
    assert_eq!(bench.audit_events(1).await, [locked]);
    let second = IdentityGeneration(2);
    let rightful = bench.catalogue.advance_identity(&name, second, &key(), T).await.unwrap_err();
    assert_eq!(rightful.to_string(), "agent edge-1 is locked");
    assert_eq!(rightful.refusal().code, RefusalCode::AgentCloned);

    bench.catalogue.add_agent(&name, &invitation(2), T).await.unwrap();
    let record = bench.catalogue.agent(&name).await.unwrap().unwrap();
    assert_eq!(record.state, AgentState::Locked);
    let back = bench.catalogue.redeem_token(&redemption("edge-1", 2), T).await.unwrap();
    assert_eq!(back, IdentityGeneration(3));
}

async fn of_two_edges_with_one_identity_that_renew_at_once_one_is_found_out(engine: Engine) {
    let bench = Bench::new(engine).await;
    let other = bench.other_process().await;
    let (name, first, mine, theirs) = (agent("edge-1"), IdentityGeneration(1), key(), key());

    let (one, two) = tokio::join!(
        bench.catalogue.advance_identity(&name, first, &mine, T),
        other.advance_identity(&name, first, &theirs, T)
    );

    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    let record = bench.catalogue.agent(&name).await.unwrap().unwrap();
    assert_eq!(record.state, AgentState::Locked);
}

async fn a_revoked_agent_stays_revoked(engine: Engine) {
    let bench = Bench::new(engine).await;
    let name = agent("edge-1");
    bench.catalogue.revoke_agent(&name, T + 1).await.unwrap();
    let revision = bench.catalogue.agents_revision().await.unwrap();

    bench.catalogue.revoke_agent(&name, T + 2).await.unwrap();

    let record = bench.catalogue.agent(&name).await.unwrap().unwrap();
    assert_eq!((record.state, record.revoked_ms), (AgentState::Revoked, Some(T + 1)));
    assert_eq!(bench.catalogue.agents_revision().await.unwrap(), revision);
    let renewed = bench.catalogue.advance_identity(&name, IdentityGeneration(1), &key(), T).await;
    assert_eq!(renewed.unwrap_err().refusal().code, RefusalCode::AgentRevoked);
    let rules = bench.catalogue.set_rules(&name, &rules(), T).await.unwrap_err();
    assert_eq!(rules.to_string(), "agent edge-1 is revoked");
    let unknown = bench.catalogue.revoke_agent(&agent("edge-9"), T).await.unwrap_err();
    assert_eq!(unknown.to_string(), "agent edge-9 does not exist");
}

async fn the_revision_moves_with_agents_and_rules_but_not_with_signs_of_life(engine: Engine) {
    let bench = Bench::new(engine).await;
    let other = bench.other_process().await;
    let name = agent("edge-1");
    let mut last = other.agents_revision().await.unwrap();

    bench.catalogue.touch_agents(std::slice::from_ref(&name), T + 9).await.unwrap();
    assert_eq!(other.agents_revision().await.unwrap(), last);
    assert_eq!(other.agent(&name).await.unwrap().unwrap().last_seen_ms, Some(T + 9));

    bench.catalogue.set_rules(&name, &[], T).await.unwrap();
    assert_eq!(other.agent(&name).await.unwrap().unwrap().rules, []);
    for step in ["rules", "added", "revoked"] {
        let revision = other.agents_revision().await.unwrap();
        assert!(revision > last, "{step}");
        last = revision;
        match step {
            "rules" => {
                bench.catalogue.add_agent(&agent("edge-3"), &invitation(1), T).await.unwrap();
            }
            _ => bench.catalogue.revoke_agent(&name, T).await.unwrap(),
        }
    }
}

async fn agents_are_listed_in_pages_by_name(engine: Engine) {
    let bench = Bench::new(engine).await;
    bench.catalogue.add_agent(&agent("a-first"), &invitation(1), T).await.unwrap();

    let first = bench.catalogue.agents(None, 2).await.unwrap();
    let rest = bench.catalogue.agents(Some(&first[1].name), 2).await.unwrap();

    let names = |page: &[AgentRecord]| page.iter().map(|a| a.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&first), ["a-first", "edge-1"]);
    assert_eq!(names(&rest), ["edge-2"]);
    assert_eq!(rest[0].rules, rules());
}
