//! The `relay.toml` of a new relay.

use super::PlaneArg;
use crate::catalogue::CatalogueUrl;
use std::fmt::Write as _;
use std::net::SocketAddr;

/// What a new relay is to be.
#[derive(Clone, Debug)]
pub struct NewRelay {
    /// Host part of its addresses.
    pub public_name: String,
    /// DNS suffix of its certificate names.
    pub trust_domain: String,
    /// Where enrolled edges connect.
    pub listen: SocketAddr,
    /// Where edges enroll.
    pub enroll_listen: SocketAddr,
    /// Where the HTTP interface listens, if it does.
    pub api_listen: Option<SocketAddr>,
    /// Where its catalogue is.
    pub catalogue: CatalogueUrl,
    /// An HPCC Helm values file with planes of its own; absolute.
    pub planes_from: Option<String>,
    /// Its planes.
    pub planes: Vec<PlaneArg>,
}

impl NewRelay {
    /// The text of `relay.toml`, for a person to go on from.
    pub fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let address = |address: &SocketAddr| quoted(&address.to_string());
        let mut text = String::from(HEAD);
        let mut line = |key: &str, value: String| {
            writeln!(text, "{key} = {value}").expect("writing to a string succeeds");
        };
        line("public_name", quoted(&self.public_name));
        line("trust_domain", quoted(&self.trust_domain));
        line("listen", address(&self.listen));
        line("enroll_listen", address(&self.enroll_listen));
        if let Some(api_listen) = &self.api_listen {
            line("api_listen", address(api_listen));
        }
        if self.catalogue != CatalogueUrl::Sqlite {
            line("catalogue", quoted(&self.catalogue.to_string()));
        }
        if let Some(planes_from) = &self.planes_from {
            line("planes_from", quoted(planes_from));
        }
        text.push_str(LIMITS);
        for PlaneArg { name, url } in &self.planes {
            let url = quoted(&url.to_string());
            write!(text, "\n[plane.{name}]\nurl = {url}\n").expect("writing to a string succeeds");
        }
        text
    }
}

const HEAD: &str = "\
# Settings of a Skyspray relay; `skyspray-relay serve DIR` reads them at start.
";

const LIMITS: &str = r#"
# catalogue = "sqlite"     # or postgres://USER@HOST/DATABASE?sslmode=verify-full
# catalogue_password_file = "/path"
# planes_from = "/path/values.yaml"   # the planes of an HPCC Helm values file as well
# secrets_dir = "/opt/HPCCSystems/secrets/storage"

# advertise = ["relay.example:4433"]  # what edges are told; default: public_name, port of listen
# identity_dir = "/path"   # what replicas share, read and never written; default: identity/

# [api]                    # of api_listen; without it only this host may reach it
# tls_cert = "api.crt"     # PEM, below the relay's directory or absolute
# tls_key = "api.key"
# plaintext = false        # true: something else encrypts, as in a service mesh

# [limits]
# memory = "128MiB"        # for chunks on their way
# sessions_max = 256
# sessions_per_agent = 4
# mtu = 1452               # longest packet tried, as UDP payload; up to 6500 on a jumbo LAN

# [plane.NAME]
# url = "file:///path"     # a directory, or s3://, azure:// or gs:// bucket/prefix
# category = "data"        # or "lz": plain files only, no sprays
# default_parts = 1        # of a spray that does not say how many
# layout = "hpcc"          # or "generation": a directory for each generation of a file
# devices = 1              # HPCC numDevices
# dir_per_part = true      # HPCC subDirPerFilePart
# replication = []         # planes that `file replicate` copies to
"#;
