//! Tells the guard which compiler builds it, for which machine and how well optimised.

use std::env;
use std::process::Command;

fn main() {
    let rustc = env::var_os("RUSTC").expect("cargo names the compiler");
    let output = Command::new(rustc).arg("--version").output().expect("the compiler runs");
    let version = String::from_utf8(output.stdout).expect("a version is text");
    println!("cargo::rustc-env=GUARD_RUSTC={}", version.trim());
    for (from, to) in [("TARGET", "GUARD_TARGET"), ("OPT_LEVEL", "GUARD_OPT_LEVEL")] {
        println!("cargo::rustc-env={to}={}", env::var(from).expect("cargo sets it"));
    }
    println!("cargo::rerun-if-changed=build.rs");
}
