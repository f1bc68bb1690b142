//! Directed tests of the sender.
