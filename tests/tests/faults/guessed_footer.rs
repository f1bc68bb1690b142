//! A document whose end is guessed wrong, and an edge that dies in the run that knows better (F1).

use skyspray_tests::args;
use skyspray_tests::check::{assert_nothing_staged_after_collect, assert_returns};
use skyspray_tests::pair::Pair;
use std::fs;

const MIB: u64 = 1 << 20;

/// Rows, and behind them character data so long that its end looks like one more row.
fn misleading() -> String {
    let rows = format!("<Row>{}</Row>\n", "x".repeat(1000)).repeat(12 * 1024);
    let behind = format!("<X><![CDATA[{}</Row><![CDATA[]]></X>", "y".repeat(70_000));
    format!("<D>\n{rows}{behind}\n</D>\n")
}

#[test]
fn the_next_run_goes_on_with_the_job_that_knows_where_the_rows_end() {
    let pair = Pair::start();
    pair.edge.configure("memory", "\"16MiB\"");
    let source = pair.edge.file("misleading.xml");
    let document = misleading();
    fs::write(&source, &document).expect("the source can be written");
    let mut command = args!["spray", &source, "data:t::doc", "--row-tag", "Row", "--parts", "3"];
    command.extend(args!["--compress", "off"]);

    // The first pass sends everything before it sees the mistake, so this is in the second.
    let length = document.len() as u64;
    let mut running = pair.begin(command.clone());
    let before = pair.relay.process().used().written_bytes;
    assert!(pair.wait_written(before, length + 5 * MIB, &mut running), "the spray ended");
    running.process.kill();
    let killed = running.finish().expect("a killed process ends");
    assert!(killed.event("done").is_none(), "{killed:#?}");

    let next = pair.done(command);

    assert!(next.done_number("chunks_held") > 0, "the job began anew: {next:#?}");
    let described = pair.done(args!["describe", "data:t::doc"]).event("description").unwrap();
    assert_eq!(described["records"], 12 * 1024);
    assert_returns(&pair, "t::doc", &source);
    assert_nothing_staged_after_collect(&pair);
}
