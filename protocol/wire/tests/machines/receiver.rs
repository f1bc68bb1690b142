//! Every way a sender can be wrong, with the exact error and refusal.
