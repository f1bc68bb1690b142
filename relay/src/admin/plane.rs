//! `plane list` and `plane test`.

use super::context::Context;
use super::output::{Row, causes};
use super::{AdminError, Output};
use crate::config::PlaneSettings;
use clap::Subcommand;
use futures_util::future::join_all;
use serde::Serialize;
use skyspray_wire::name::PlaneName;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::timeout;

/// How long `list` waits for a plane.
const LOOK_DEADLINE: Duration = Duration::from_secs(10);

/// Commands on planes.
#[derive(Clone, Debug, Subcommand)]
pub enum PlaneCommand {
    /// Show every plane of relay.toml and of the values file of planes_from, and whether it works.
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
        PlaneCommand::List => list(context, output).await,
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
    /// Why it is not served, or cannot be used.
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
        let url = served.map(|served| served.url.clone());
        let place = match (url, &self.reason) {
            (Some(url), Some(reason)) => Some(format!("{url}: {reason}")),
            (url, reason) => url.or_else(|| reason.clone()),
        };
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

/// Looks at all planes at once: one that does not answer holds no other up.
async fn list(context: &Context<'_>, output: &mut Output<'_>) -> Result<(), AdminError> {
    let settings = &context.settings;
    let planes = settings.planes.iter();
    let mut rows = join_all(planes.map(|(name, settings)| row(context, name, settings))).await;
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

async fn row(context: &Context<'_>, name: &PlaneName, settings: &PlaneSettings) -> PlaneRow {
    let (free_bytes, reason) = match look(context, name).await {
        Ok(free) => (free, None),
        Err(reason) => (None, Some(reason)),
    };
    PlaneRow {
        plane: name.to_string(),
        state: if reason.is_none() { "served" } else { "unhealthy" },
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
        free_bytes,
        usable: reason.is_none(),
        reason,
    }
}

/// The free space of a plane that can be used, or why it cannot.
async fn look(context: &Context<'_>, name: &PlaneName) -> Result<Option<u64>, String> {
    let plane = context.plane(name).map_err(|error| causes(&error))?;
    match timeout(LOOK_DEADLINE, plane.check()).await {
        Ok(checked) => checked.map_err(|error| causes(&error))?,
        Err(_) => return Err(format!("no answer within {} s", LOOK_DEADLINE.as_secs())),
    }
    plane.free_bytes().map_err(|error| causes(&error))
}

#[derive(Serialize)]
struct TestRow {
    plane: String,
    ok: bool,
    free_bytes: Option<u64>,
    /// Whether the plane itself keeps two writers of one new name apart; `None` when it failed.
    create_only: Option<bool>,
    /// Whether stored files can be copied inside the plane; `None` when it failed.
    copies: Option<bool>,
    failure: Option<String>,
}

impl Row for TestRow {
    const EVENT: &'static str = "plane_test";
    const HEADINGS: &'static [&'static str] = &["PLANE", "FREE", "CREATE-ONLY", "COPIES", "RESULT"];

    fn cells(&self) -> Vec<String> {
        let free = self.free_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
        let shown = |can: Option<bool>| match can {
            Some(true) => "yes".to_owned(),
            Some(false) => "no".to_owned(),
            None => "-".to_owned(),
        };
        let result = self.failure.clone().unwrap_or_else(|| "ok".to_owned());
        let (create_only, copies) = (shown(self.create_only), shown(self.copies));
        vec![self.plane.clone(), free, create_only, copies, result]
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
        let (probed, error) = match outcome {
            Ok(probed) => (Some(probed), None),
            Err(error) => (None, Some(error)),
        };
        let failure = error.as_ref().map(|error| causes(error));
        rows.push(TestRow {
            plane: plane.to_string(),
            ok: failure.is_none(),
            free_bytes: probed.and_then(|probed| probed.free_bytes),
            create_only: probed.map(|probed| probed.create_only),
            copies: probed.map(|probed| probed.copies),
            failure,
        });
        failed = failed.or(error);
    }
    output.rows(&rows, true)?;
    failed.map_or(Ok(()), Err)
}
