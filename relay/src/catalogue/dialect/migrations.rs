//! The steps to this version's layout, for both engines.
//!
//! A new step is a line here and a file of the same name below `migrations/sqlite` and
//! `migrations/postgres`. A step that was released never changes.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType};

/// One step.
#[derive(Clone, Copy, Debug)]
pub(in crate::catalogue) struct Step {
    /// Its number; the layout a catalogue has is the largest one.
    pub(in crate::catalogue) version: i64,
    /// What it is about.
    pub(in crate::catalogue) name: &'static str,
    /// For a file.
    pub(in crate::catalogue) sqlite: &'static str,
    /// For a server.
    pub(in crate::catalogue) postgres: &'static str,
}

macro_rules! steps {
    ($( $version:literal $name:literal; )*) => {
        /// Every step, oldest first.
        pub(in crate::catalogue) const MIGRATIONS: &[Step] = &[$( Step {
            version: $version,
            name: $name,
            sqlite: include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            postgres: include_str!(concat!("../../../migrations/postgres/", $name, ".sql")),
        }, )*];
    };
}

steps! {
    1 "0001_catalogue";
    2 "0002_origins";
    4 "0004_uploads";
    5 "0005_kept_generations";
    6 "0006_stored_parts";
}

/// The steps as sqlx takes them; `sql` picks the engine's text.
pub(super) fn migrations(sql: fn(&Step) -> &'static str) -> Vec<Migration> {
    let step = |step: &Step| {
        // The number is not part of a step's description in catalogues that exist.
        let name = step.name.split_once('_').map_or(step.name, |(_, name)| name);
        let sql = sql(step).into_sql_str();
        Migration::new(step.version, name.into(), MigrationType::Simple, sql, false)
    };
    MIGRATIONS.iter().map(step).collect()
}
