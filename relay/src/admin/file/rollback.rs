//! `file rollback`: a kept generation is made current again.

use super::{FileTarget, missing};
use crate::admin::context::Context;
use crate::admin::{AdminError, Output};
use crate::catalogue::{Actor, RollbackError};
use crate::discard::delete_discards;
use crate::placing::Placing;
use crate::pointer::{Pointers, settle_locked};
use clap::Args;
use serde::Serialize;
use skyspray_wire::ids::Generation;
use std::sync::Arc;

/// `file rollback`.
#[derive(Args, Clone, Debug)]
pub struct RollbackArgs {
    /// Which: PLANE:scope::name.
    #[arg(value_name = "PLANE:NAME")]
    pub target: FileTarget,
    /// The generation to go to [default: the newest kept one before the current one].
    #[arg(long, value_name = "G")]
    pub to: Option<u64>,
}

#[derive(Serialize)]
struct RolledBackLine<'a> {
    plane: &'a str,
    name: &'a str,
    from: u64,
    generation: u64,
}

pub(super) async fn rollback(
    args: &RollbackArgs,
    context: &Context<'_>,
    output: &mut Output<'_>,
) -> Result<(), AdminError> {
    let FileTarget { plane: name, name: file } = &args.target;
    // Opened first: readers of a plane that cannot be used would not learn of it.
    let plane = Arc::new(context.plane(name)?);
    let catalogue = context.catalogue().await?;
    let to = args.to.map(Generation);
    let now_ms = context.host.now_ms();
    let rolled = catalogue.roll_back((name, file), to, &Actor::Operator, now_ms).await;
    let rolled = rolled.map_err(|error| match error {
        RollbackError::Missing { .. } => missing(&args.target),
        RollbackError::Catalogue(error) => error.into(),
        error => AdminError::Rollback(error),
    })?;
    let clock = &*context.host.clock;
    let pointers = Pointers { catalogue: &catalogue, clock, name, plane: &plane };
    settle_locked(&pointers, &Placing::new(&context.dir, &catalogue, name), file).await?;
    delete_discards(&catalogue, (name, &plane), clock).await?;
    let line = RolledBackLine {
        plane: name.as_str(),
        name: file.as_str(),
        from: rolled.from.0,
        generation: rolled.to.0,
    };
    let text =
        format!("rolled {} back from generation {} to {}", args.target, rolled.from, rolled.to);
    output.result("rolled_back", &line, &text)
}
