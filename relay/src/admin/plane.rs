//! `plane list` and `plane test`.

use super::context::Context;
use super::output::{Row, causes};
use super::{AdminError, Output};
use crate::config::PlaneSettings;
use crate::plane::{ObjectMemory, Plane};
use clap::Subcommand;
use serde::Serialize;
use skyspray_wire::name::PlaneName;
use std::num::NonZeroU32;

/// Commands on planes.
#[derive(Clone, Debug, Subcommand)]
pub enum PlaneCommand {
    /// Show every plane of relay.toml and of the values file of planes_from.
    List,
    /// Try on a plane everything the relay needs of it: create, write, sync, rename, read, remove.
    Test {
        /// Planes to test [default: all].
        #[arg(value_name = "PLANE")]
        planes: Vec<PlaneName>,
    },
}

pub(super) async fn run(
    command: PlaneCommand,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    match command {
        PlaneCommand::List => list(context, output),
        PlaneCommand::Test { planes } => test(planes, context, output),
    }
}

#[derive(Serialize)]
struct PlaneRow {
    plane: String,
    state: &'static str,
    category: String,
    /// These are of planes that are served.
    #[serde(flatten)]
    served: Option<Served>,
    /// `None` where the plane cannot be used or knows no such limit.
    free_bytes: Option<u64>,
    usable: bool,
    /// Why it is not served.
    reason: Option<String>,
}

#[derive(Serialize)]
struct Served {
    url: String,
    layout: &'static str,
    keep_generations: Option<u32>,
    default_parts: u32,
    devices: u32,
    dir_per_part: bool,
    replication: Vec<String>,
}

impl Row for PlaneRow {
    const EVENT: &'static str = "plane";
    const HEADINGS: &'static [&'static str] =
        &["PLANE", "CATEGORY", "STATE", "PARTS", "DEVICES", "FREE", "URL"];

    fn cells(&self) -> Vec<String> {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let served = self.served.as_ref();
        let place = served.map_or_else(|| self.reason.clone(), |served| Some(served.url.clone()));
        vec![
            self.plane.clone(),
            self.category.clone(),
            self.state.to_owned(),
            or_dash(served.map(|served| served.default_parts.to_string())),
            or_dash(served.map(|served| served.devices.to_string())),
            or_dash(self.free_bytes.map(|bytes| bytes.to_string())),
            or_dash(place),
        ]
    }
}

fn list(context: &Context<'_>, output: &mut Output<'_>) -> Result<(), AdminError> {
    let settings = &context.settings;
    let mut rows: Vec<PlaneRow> =
        settings.planes.iter().map(|(name, settings)| row(name, settings)).collect();
    rows.extend(settings.hpcc.unserved.iter().map(|(name, unserved)| PlaneRow {
        plane: name.clone(),
        state: "not served",
        category: unserved.category.clone(),
        served: None,
        free_bytes: None,
        usable: false,
        reason: Some(causes(&unserved.reason)),
    }));
    rows.sort_by(|a, b| a.plane.cmp(&b.plane));
    output.rows(&rows, true)
}

fn row(name: &PlaneName, settings: &PlaneSettings) -> PlaneRow {
    let free = Plane::configured(settings, ObjectMemory::default()).ok();
    let free = free.and_then(|plane| plane.free_bytes().ok());
    PlaneRow {
        plane: name.to_string(),
        state: if free.is_some() { "served" } else { "unusable" },
        category: settings.category.to_string(),
        served: Some(Served {
            url: settings.url.to_string(),
            layout: settings.layout.as_str(),
            keep_generations: settings.layout.keep_generations.map(NonZeroU32::get),
            default_parts: settings.default_parts.get(),
            devices: settings.layout.devices.get(),
            dir_per_part: settings.layout.dir_per_part,
            replication: settings.replication.iter().map(ToString::to_string).collect(),
        }),
        free_bytes: free.flatten(),
        usable: free.is_some(),
        reason: None,
    }
}

#[derive(Serialize)]
struct TestRow {
    plane: String,
    ok: bool,
    free_bytes: Option<u64>,
    failure: Option<String>,
}

impl Row for TestRow {
    const EVENT: &'static str = "plane_test";
    const HEADINGS: &'static [&'static str] = &["PLANE", "RESULT"];

    fn cells(&self) -> Vec<String> {
        let result = match (&self.failure, self.free_bytes) {
            (Some(failure), _) => failure.clone(),
            (None, Some(bytes)) => format!("ok, {bytes} bytes free"),
            (None, None) => "ok".to_owned(),
        };
        vec![self.plane.clone(), result]
    }
}

/// Tests all that were named before it fails for the first that does not work.
fn test(
    planes: Vec<PlaneName>,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let all = || context.settings.planes.keys().cloned().collect();
    let planes = if planes.is_empty() { all() } else { planes };
    let mut failed = None;
    let mut rows = Vec::new();
    for plane in planes {
        let outcome = context.plane(&plane).and_then(|opened| {
            opened
                .probe(context.host.job_id())
                .map_err(|source| AdminError::PlaneTest { plane: plane.clone(), source })
        });
        let (free_bytes, error) = match outcome {
            Ok(probed) => (probed.free_bytes, None),
            Err(error) => (None, Some(error)),
        };
        let failure = error.as_ref().map(|error| causes(error));
        rows.push(TestRow { plane: plane.to_string(), ok: failure.is_none(), free_bytes, failure });
        failed = failed.or(error);
    }
    output.rows(&rows, true)?;
    failed.map_or(Ok(()), Err)
}
