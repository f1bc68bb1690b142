//! Objects of S3 planes as HPCC writes them: `s3:plane[/dN]/key`.

use super::error::shown;
use skyspray_wire::name::{LabelError, PathError, PlaneName, PlanePath};
use std::num::NonZeroU32;
use thiserror::Error;

/// A name `s3:plane/path`. Which bucket is meant is the plane's own knowledge: see [`S3Name::object`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct S3Name {
    plane: PlaneName,
    path: PlanePath,
}

/// An object of one device of a plane.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct S3Object {
    /// Which of the plane's buckets, counted from 1.
    pub device: NonZeroU32,
    /// The object below that bucket; never empty.
    pub key: PlanePath,
}

/// Why a text names no object. Names are cut to 120 characters.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum S3NameError {
    /// Another form.
    #[error("{name:?} is no object of an S3 plane, expected s3:plane/key or s3:plane/dN/key")]
    Form {
        /// The name.
        name: String,
    },
    /// The plane is none.
    #[error("name {name:?}")]
    Plane {
        /// The name.
        name: String,
        /// The rule.
        source: LabelError,
    },
    /// The key breaks the rules of paths on a plane.
    #[error("name {name:?}")]
    Key {
        /// The name.
        name: String,
        /// The rule.
        source: PathError,
    },
    /// A plane of several devices, and none or an unknown one is named.
    #[error(
        "\"s3:{plane}/{path}\" must name a device d1 to d{devices} of the plane before its key"
    )]
    Device {
        /// The plane.
        plane: PlaneName,
        /// What follows it.
        path: String,
        /// Devices of the plane.
        devices: NonZeroU32,
    },
}

impl S3Name {
    /// Accepts `s3:plane/key`, where the key may begin with a device `dN`.
    ///
    /// # Errors
    ///
    /// Whoever wrote it is at fault: another form, or a key with an empty, `.` or `..` segment.
    pub fn parse(text: &str) -> Result<Self, S3NameError> {
        let form = || S3NameError::Form { name: shown(text) };
        let (plane, key) = text
            .strip_prefix("s3:")
            .and_then(|rest| rest.split_once('/'))
            .filter(|(plane, key)| !plane.is_empty() && !key.is_empty() && !key.ends_with('/'))
            .ok_or_else(form)?;
        let plane = PlaneName::parse(plane)
            .map_err(|source| S3NameError::Plane { name: shown(text), source })?;
        let path = PlanePath::parse(key)
            .map_err(|source| S3NameError::Key { name: shown(text), source })?;
        Ok(Self { plane, path })
    }

    /// The plane.
    pub fn plane(&self) -> &PlaneName {
        &self.plane
    }

    /// What follows the plane: the key, with a device before it where the plane has several.
    pub fn path(&self) -> &PlanePath {
        &self.path
    }

    /// The object on a plane of so many devices.
    ///
    /// A plane of one device has no `dN` in its names: there `d1/key` is a key like any other.
    ///
    /// # Errors
    ///
    /// The plane has several devices and the name says none of them, or nothing after it.
    pub fn object(&self, devices: NonZeroU32) -> Result<S3Object, S3NameError> {
        if devices == NonZeroU32::MIN {
            return Ok(S3Object { device: devices, key: self.path.clone() });
        }
        let text = self.path.to_string();
        let found = text.split_once('/').and_then(|(first, key)| {
            let device = parse_device(first).filter(|&device| device <= devices)?;
            Some(S3Object { device, key: PlanePath::parse(key).ok()? })
        });
        found.ok_or_else(|| S3NameError::Device {
            plane: self.plane.clone(),
            path: shown(&text),
            devices,
        })
    }
}

fn parse_device(text: &str) -> Option<NonZeroU32> {
    let digits = text.strip_prefix('d')?;
    let plain = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

impl std::fmt::Display for S3Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3:{}/{}", self.plane, self.path)
    }
}
