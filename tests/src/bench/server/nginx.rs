//! An nginx that takes uploads over TLS 1.3 from clients with a certificate.

use super::{Place, keys, listening_at, made, write};
use crate::bench::BenchError;
use crate::process::Process;
use std::path::{Path, PathBuf};

/// Where Debian keeps the part of nginx that lists directories for WebDAV clients.
const DAV_MODULE: &str = "/usr/lib/nginx/modules/ngx_http_dav_ext_module.so";

/// A running nginx.
pub(in crate::bench) struct Nginx {
    process: Process,
    host: &'static str,
    port: u16,
    dir: PathBuf,
}

impl Nginx {
    /// Starts one that keeps all it needs in `root/nginx` and what is uploaded in `target`.
    pub(in crate::bench) fn start(root: &Path, target: &Path) -> Result<Self, BenchError> {
        Self::start_at(root, target, &Place::loopback())
    }

    /// As [`Nginx::start`], at another place.
    pub(in crate::bench) fn start_at(
        root: &Path,
        target: &Path,
        place: &Place,
    ) -> Result<Self, BenchError> {
        let dir = &made(root.join("nginx"))?;
        keys::make(dir, place.host)?;
        let log = dir.join("nginx.log");
        let (process, port) = listening_at(place, "nginx", &log, |port| {
            let config = dir.join("nginx.conf");
            write(&config, &config_text(dir, target, (place.host, port)))?;
            Ok(crate::args!["-p", dir, "-c", &config, "-e", &log])
        })?;
        Ok(Self { process, host: place.host, port, dir: dir.to_owned() })
    }

    /// Its process id.
    pub(in crate::bench) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where `ca.pem`, `client.pem` and `client.key` are.
    pub(in crate::bench) fn keys(&self) -> &Path {
        &self.dir
    }

    /// Where to upload a file of this name to.
    pub(in crate::bench) fn url(&self, name: &str) -> String {
        format!("https://{}:{}/{name}", self.host, self.port)
    }

    /// Whether it can list directories, without which WebDAV clients do not work with it.
    pub(in crate::bench) fn lists() -> bool {
        Path::new(DAV_MODULE).is_file()
    }
}

/// One process, so that its times are all there are. The cipher is what the client prefers.
fn config_text(dir: &Path, target: &Path, (host, port): (&str, u16)) -> String {
    let (dir, target) = (dir.display(), target.display());
    let (load, list) = match Nginx::lists() {
        true => (format!("load_module {DAV_MODULE};\n"), "dav_ext_methods PROPFIND OPTIONS;\n"),
        false => (String::new(), ""),
    };
    format!(
        "{load}daemon off;\nmaster_process off;\npid \"{dir}/nginx.pid\";\n\
         error_log stderr warn;\nevents {{}}\nhttp {{\n  access_log off;\n  \
         client_body_temp_path \"{target}/.uploads\";\n  proxy_temp_path \"{dir}/proxy\";\n  \
         fastcgi_temp_path \"{dir}/fastcgi\";\n  uwsgi_temp_path \"{dir}/uwsgi\";\n  \
         scgi_temp_path \"{dir}/scgi\";\n  server {{\n    listen {host}:{port} ssl;\n    \
         ssl_protocols TLSv1.3;\n    ssl_certificate \"{dir}/server.pem\";\n    \
         ssl_certificate_key \"{dir}/server.key\";\n    ssl_client_certificate \"{dir}/ca.pem\";\n    \
         ssl_verify_client on;\n    root \"{target}\";\n    client_max_body_size 0;\n    \
         client_body_buffer_size 1m;\n    dav_methods PUT DELETE MKCOL MOVE COPY;\n    {list}  }}\n}}\n"
    )
}
