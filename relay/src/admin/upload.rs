//! Uploads to object stores as commands show them.

use super::output::{Row, when};
use crate::catalogue::UploadRecord;
use serde::Serialize;
use skyspray_wire::name::PlaneName;

/// An upload that was begun and neither completed nor thrown away.
#[derive(Serialize)]
pub(super) struct UploadRow {
    plane: String,
    job: String,
    /// Counted from 1.
    part: u64,
    path: String,
    state: &'static str,
    /// What the store calls it, where that is known.
    upload: Option<String>,
    begun_ms: i64,
    #[serde(skip)]
    now_ms: i64,
}

impl UploadRow {
    pub(super) fn new(plane: &PlaneName, upload: &UploadRecord, now_ms: i64) -> Self {
        Self {
            plane: plane.to_string(),
            job: upload.job.to_string(),
            part: u64::from(upload.part.0) + 1,
            path: upload.path.clone(),
            state: upload.state.as_str(),
            upload: upload.upload.as_ref().map(|upload| upload.0.clone()),
            begun_ms: upload.begun_ms,
            now_ms,
        }
    }
}

impl Row for UploadRow {
    const EVENT: &'static str = "upload";
    const HEADINGS: &'static [&'static str] = &["UPLOAD OF", "PART", "STATE", "BEGUN", "JOB"];

    fn cells(&self) -> Vec<String> {
        vec![
            format!("{}:{}", self.plane, self.path),
            self.part.to_string(),
            self.state.to_owned(),
            when(Some(self.begun_ms), self.now_ms),
            self.job.clone(),
        ]
    }
}
