//! Uploads to nginx over TLS 1.3 with client certificates: curl and rclone.

use super::Field;
use crate::args;
use crate::bench::contender::{Absence, Entry, Shared};
use crate::bench::server::nginx::Nginx;
use std::ffi::OsString;

/// A plain upload with the cipher OpenSSL prefers.
pub(in crate::bench) const CURL_256: &str = "curl to nginx, AES-256";
/// The same with the cheaper cipher.
pub(in crate::bench) const CURL_128: &str = "curl to nginx, AES-128";
pub(in crate::bench) const RCLONE_DAV: &str = "rclone to nginx, WebDAV";

pub(in crate::bench) fn curl_256(field: &Field, nginx: &Shared<Nginx>) -> Entry {
    field.with(CURL_256, nginx, |nginx| curl(field, nginx, "TLS_AES_256_GCM_SHA384"))
}

pub(in crate::bench) fn curl_128(field: &Field, nginx: &Shared<Nginx>) -> Entry {
    field.with(CURL_128, nginx, |nginx| curl(field, nginx, "TLS_AES_128_GCM_SHA256"))
}

fn curl(field: &Field, nginx: &Nginx, cipher: &str) -> (&'static str, Vec<OsString>) {
    let keys = nginx.keys();
    let mut words = args!["-sS", "--fail", "--cacert", &keys.join("ca.pem")];
    words.extend(args!["--cert", &keys.join("client.pem"), "--key", &keys.join("client.key")]);
    words.extend(args!["--tls13-ciphers", cipher]);
    words.extend(args!["-T", &field.load.source, &nginx.url(&name(field))]);
    ("curl", words)
}

pub(in crate::bench) fn rclone(field: &Field, nginx: &Shared<Nginx>) -> Entry {
    if !Nginx::lists() {
        let reason = "nginx lacks its WebDAV module: .ci/install-bench-tools installs it".into();
        return Err(Absence { name: RCLONE_DAV, reason });
    }
    field.with(RCLONE_DAV, nginx, |nginx| {
        let keys = nginx.keys();
        // Without a configuration of its own it would read the user's.
        let mut words = args!["--config", "", "--ca-cert", &keys.join("ca.pem")];
        words.extend(args!["--client-cert", &keys.join("client.pem")]);
        words.extend(args!["--client-key", &keys.join("client.key")]);
        words.extend(args!["--webdav-url", &nginx.url(""), "--webdav-vendor", "other"]);
        words.extend(args!["copyto", &field.load.source, &format!(":webdav:{}", name(field))]);
        ("rclone", words)
    })
}

fn name(field: &Field) -> String {
    field.load.name().to_string_lossy().into_owned()
}
