//! A plane behind `storageapi`: which buckets or containers, and with which credentials.

use super::served::{Around, below};
use super::unserved::UnservedReason;
use super::values::{ApiValues, ContainerValues, PlaneValues};
use std::path::PathBuf;

/// Where an object plane is, in the words of `[plane.NAME]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ObjectPlane {
    pub(super) url: String,
    /// One for each device.
    pub(super) buckets: Vec<String>,
    pub(super) account: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) credentials: &'static str,
    pub(super) credentials_dir: Option<PathBuf>,
}

/// Reads `storageapi` of a plane with `devices` devices.
pub(super) fn read(
    (values, api): (&PlaneValues, &ApiValues),
    devices: u32,
    around: &Around<'_>,
) -> Result<ObjectPlane, UnservedReason> {
    let (scheme, listed, other) = match api.kind.as_str() {
        "s3" => ("s3", &api.buckets, &api.containers),
        "azureblob" => ("azure", &api.containers, &api.buckets),
        "azurefile" => return Err(UnservedReason::AzureFile),
        kind => return Err(UnservedReason::ApiKind { kind: kind.chars().take(40).collect() }),
    };
    let listed = if listed.is_empty() { other } else { listed };
    let used = usize::try_from(devices.max(1)).ok().and_then(|count| listed.get(..count));
    let few = UnservedReason::Containers { devices, found: listed.len() };
    let used = used.ok_or(few)?;
    let account = same("account", used, api.account.as_ref(), |one| one.account.as_ref())?;
    let secret = same("secret", used, api.secret.as_ref(), |one| one.secret.as_ref())?;
    let (credentials, credentials_dir) = match secret {
        Some(secret) if is_plain_name(secret) => ("static", Some(around.secrets_dir.join(secret))),
        Some(secret) => {
            let secret = secret.chars().take(80).collect();
            return Err(UnservedReason::SecretName { secret });
        }
        None if api.managed => (managed(scheme, around), None),
        None => return Err(UnservedReason::NoCredentials),
    };
    Ok(ObjectPlane {
        url: format!("{scheme}://{}{}", used[0].name, key_prefix(values, &api.kind)?),
        buckets: used.iter().map(|bucket| bucket.name.clone()).collect(),
        account: account.cloned(),
        region: api.region.clone(),
        endpoint: api.endpoint.clone(),
        credentials,
        credentials_dir,
    })
}

/// How this process gets at the identity the provider manages for it: by what the provider put
/// into its environment, or from the metadata service where it put nothing there.
fn managed(scheme: &str, around: &Around<'_>) -> &'static str {
    let set = |variable| (around.is_set)(variable);
    match scheme {
        "s3" if set("AWS_WEB_IDENTITY_TOKEN_FILE") => "web-identity",
        "s3" if set("AWS_CONTAINER_CREDENTIALS_FULL_URI") => "pod-identity",
        "s3" => "instance-metadata",
        _ if set("AZURE_FEDERATED_TOKEN_FILE") => "workload-identity",
        _ => "managed-identity",
    }
}

/// What every device says, or the plane where a device says nothing.
fn same<'a>(
    key: &'static str,
    devices: &'a [ContainerValues],
    plane: Option<&'a String>,
    of: impl Fn(&'a ContainerValues) -> Option<&'a String>,
) -> Result<Option<&'a String>, UnservedReason> {
    let mut said = devices.iter().map(|device| of(device).or(plane));
    let first = said.next().flatten();
    if said.all(|other| other == first) { Ok(first) } else { Err(UnservedReason::Mixed { key }) }
}

/// What stands before the keys of the plane, with a `/` before it: what its prefix, `KIND:PLANE`,
/// goes on with, and its `subPath`.
fn key_prefix(values: &PlaneValues, kind: &str) -> Result<String, UnservedReason> {
    let own = format!("{kind}:{}", values.name);
    let rest = values.prefix.strip_prefix(&own).filter(|rest| {
        rest.is_empty() || (rest.starts_with('/') && !rest.split('/').any(|part| part == ".."))
    });
    let Some(rest) = rest else {
        let prefix = values.prefix.chars().take(200).collect();
        return Err(UnservedReason::Prefix { prefix, expected: "TYPE:NAME of its storageapi" });
    };
    let below = below(values)?.unwrap_or_default();
    let parts = rest.split('/').chain(below.split('/'));
    let parts = parts.filter(|part| !part.is_empty() && *part != ".");
    Ok(parts.fold(String::new(), |path, part| path + "/" + part))
}

/// Whether a directory can have this name.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}
