//! Where the parts of a logical file lie on a plane.

use super::PlaneError;
use skyspray_dfu::naming::{self, PartPaths, lfn_hash};
use skyspray_link::seam::files::RelPath;
use skyspray_wire::ids::{JobId, PartIndex};
use skyspray_wire::name::LogicalName;
use std::num::NonZeroU32;

/// Where parts go: with the `hpcc` layout exactly where HPCC Systems looks for them, with the
/// `generation` layout in a directory for each generation.
///
/// Set in the plane's configuration; a generation keeps the one it was written with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Layout {
    /// Devices that parts are spread over, each with a directory `d1`, `d2`, … when there are
    /// several.
    pub devices: NonZeroU32,
    /// Whether each part of a file of several has a directory of its own, named by its number.
    pub dir_per_part: bool,
    /// With the `generation` layout, how many generations of a logical file stay stored, the current
    /// one among them; `None` with the `hpcc` layout, where a replacement takes the same places.
    pub keep_generations: Option<NonZeroU32>,
}

impl Layout {
    /// What the layout is called in `relay.toml`.
    pub fn as_str(&self) -> &'static str {
        if self.keep_generations.is_some() { "generation" } else { "hpcc" }
    }

    /// The rule for the part paths of a file of `parts` parts that `job` writes.
    pub fn paths(&self, name: &LogicalName, parts: NonZeroU32, job: JobId) -> PartPaths {
        PartPaths {
            parts,
            devices: self.devices,
            directory_per_part: self.dir_per_part,
            lfn_hash: lfn_hash(name),
            generation: self.keep_generations.map(|_| job),
        }
    }
}

/// Path of one part of `name`, from the root of the plane.
///
/// # Errors
///
/// [`PlaneError::Path`]: longer than file systems allow.
pub fn part_path(
    paths: &PartPaths,
    name: &LogicalName,
    part: PartIndex,
) -> Result<RelPath, PlaneError> {
    let segments = paths.path(name, part);
    Ok(RelPath::from_segments(segments.iter().map(String::as_str))?)
}

/// Path of the pointer to the current generation of `name`, from the root of the plane.
///
/// # Errors
///
/// [`PlaneError::Path`]: longer than file systems allow.
pub fn pointer_path(name: &LogicalName, devices: NonZeroU32) -> Result<RelPath, PlaneError> {
    let segments = naming::pointer_path(name, devices);
    Ok(RelPath::from_segments(segments.iter().map(String::as_str))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_lies_where_hpcc_looks_for_it() {
        let number = |n| NonZeroU32::new(n).unwrap();
        let layout = Layout { devices: number(3), dir_per_part: true, keep_generations: None };
        let name = LogicalName::parse("~Scope1::Sub Scope::My File").unwrap();

        let path = part_path(&layout.paths(&name, number(4), JobId([1; 16])), &name, PartIndex(2))
            .unwrap();

        assert_eq!(path.to_string(), "d1/scope1/sub scope/3/my file._3_of_4");
    }
}
