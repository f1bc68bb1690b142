//! Several replicas of a relay behind a UDP load balancer: what happens to a spray when the one that
//! serves it is killed, stops for a while or goes away, or when the database does.

mod losses;
