//! What the parts of a logical file are called on a plane, exactly as HPCC reads them.

use skyspray_wire::ids::{JobId, PartIndex};
use skyspray_wire::name::LogicalName;
use std::num::NonZeroU32;

/// HPCC's `@lfnHash`: FNV-1 with 32 bits and start value 0 over the normalised name with its `::`.
///
/// A file keeps the hash it was created with, also when it is renamed.
pub fn lfn_hash(name: &LogicalName) -> u32 {
    const PRIME: u32 = 0x0100_0193;
    name.as_str().bytes().fold(0, |hash: u32, byte| hash.wrapping_mul(PRIME) ^ u32::from(byte))
}

/// The name of a part's file: `tail._P_of_N`, counted from 1, also when N is 1.
pub fn part_file_name(tail: &str, part: PartIndex, parts: NonZeroU32) -> String {
    format!("{tail}._{part}_of_{parts}")
}

/// Takes the name of a part's file apart, in any case: what stands before, the part, and how many
/// there are. The inverse of [`part_file_name`]; `None` for any other name.
pub fn split_part_file_name(name: &str) -> Option<(&str, PartIndex, NonZeroU32)> {
    let (front, parts) = name.rsplit_once('_')?;
    let front = strip_suffix_of_any_case(front, "_of")?;
    let (front, number) = front.rsplit_once('_')?;
    let tail = front.strip_suffix('.')?;
    let (number, parts) = (counted(number)?, counted(parts)?);
    (number <= parts).then_some((tail, PartIndex(number.get() - 1), parts))
}

fn strip_suffix_of_any_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    let (front, end) = text.split_at_checked(at)?;
    end.eq_ignore_ascii_case(suffix).then_some(front)
}

/// A number as names of parts have it: digits alone, without a zero in front.
fn counted(text: &str) -> Option<NonZeroU32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}

/// Where the parts of one logical file lie below a plane's prefix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartPaths {
    /// Parts of the file.
    pub parts: NonZeroU32,
    /// Devices of the plane; parts are spread over `d1`, `d2`, … where there are several.
    pub devices: NonZeroU32,
    /// Whether each part has a directory of its own; without effect for one part.
    pub directory_per_part: bool,
    /// The file's hash as its metadata has it; [`lfn_hash`] for a new file.
    pub lfn_hash: u32,
    /// The job whose generation has a directory of its own; `None` where HPCC looks for parts.
    pub generation: Option<JobId>,
}

impl PartPaths {
    /// The device a part lies on, counted from 1.
    pub fn device(&self, part: PartIndex) -> u32 {
        part.0.wrapping_add(self.lfn_hash) % self.devices + 1
    }

    /// The part's path as segments relative to the plane's prefix, the file's name last.
    pub fn path(&self, name: &LogicalName, part: PartIndex) -> Vec<String> {
        let mut path = Vec::new();
        if self.devices.get() > 1 {
            path.push(format!("d{}", self.device(part)));
        }
        let mut segments = name.segments().collect::<Vec<_>>();
        let tail = segments.pop().expect("a logical name has a last segment");
        path.extend(segments.into_iter().map(str::to_owned));
        if let Some(job) = self.generation {
            path.push(format!("{tail}{GENERATION_SUFFIX}{job}"));
        }
        if self.directory_per_part && self.parts.get() > 1 {
            path.push(part.to_string());
        }
        path.push(part_file_name(tail, part, self.parts));
        path
    }
}

/// Between the last segment of a logical name and the job in the name of a generation's directory.
/// Logical names have no capital letter, so the directory is never that of a scope.
const GENERATION_SUFFIX: &str = ".G";

/// What the name of a pointer ends with; for the same reason never the directory of a scope.
const POINTER_SUFFIX: &str = ".CURRENT";

/// Where the pointer to the current generation of a logical file lies, as segments relative to the
/// plane's prefix. A plane whose devices are several has it on the first.
pub fn pointer_path(name: &LogicalName, devices: NonZeroU32) -> Vec<String> {
    let mut path = Vec::new();
    if devices.get() > 1 {
        path.push(FIRST_DEVICE.to_owned());
    }
    path.extend(name.segments().map(str::to_owned));
    path.last_mut().expect("a logical name has a last segment").push_str(POINTER_SUFFIX);
    path
}

/// The logical files whose pointer would lie at `path`, with `/` between segments: none, one, or
/// two where it could be on a plane of one device or of several.
pub fn pointed_names(path: &str) -> impl Iterator<Item = LogicalName> {
    let named = |path: &str| LogicalName::parse(&path.replace('/', "::")).ok();
    let whole = path.strip_suffix(POINTER_SUFFIX);
    let below = whole.and_then(|path| path.strip_prefix(FIRST_DEVICE)?.strip_prefix('/'));
    whole.into_iter().chain(below).filter_map(named)
}

/// The directory of a plane's first device.
const FIRST_DEVICE: &str = "d1";

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(name: &str, parts: u32, devices: u32, directory_per_part: bool) -> Vec<String> {
        let name = LogicalName::parse(name).unwrap();
        let paths = PartPaths {
            parts: NonZeroU32::new(parts).unwrap(),
            devices: NonZeroU32::new(devices).unwrap(),
            directory_per_part,
            lfn_hash: lfn_hash(&name),
            generation: None,
        };
        (0..parts).map(|part| paths.path(&name, PartIndex(part)).join("/")).collect()
    }

    #[test]
    fn a_file_of_one_part_still_says_so() {
        assert_eq!(paths("~thor::persons", 1, 1, true), ["thor/persons._1_of_1"]);
        assert_eq!(paths("fname", 1, 1, true), ["fname._1_of_1"]);
    }

    #[test]
    fn a_part_is_known_by_the_name_of_its_file() {
        let split = |name| {
            let (tail, part, parts) = split_part_file_name(name)?;
            Some((tail, part.0, parts.get()))
        };

        assert_eq!(split("orders._3_of_12"), Some(("orders", 2, 12)));
        assert_eq!(split("a_1._2_of_3.b._1_OF_1"), Some(("a_1._2_of_3.b", 0, 1)));
        for name in [
            "orders",
            "._3_of_2",
            "o._0_of_2",
            "o._01_of_2",
            "o._1_of_",
            "o_1_of_2",
            "o._1_of_+2",
            "o._1_of_99999999999",
            "o._1\u{e9}of_2",
            "_of_2",
            "o._1_of_2.gz",
        ] {
            assert_eq!(split(name), None, "{name}");
        }
        let parts = NonZeroU32::new(400).unwrap();
        let name = part_file_name("orders", PartIndex(17), parts);
        assert_eq!(split_part_file_name(&name), Some(("orders", PartIndex(17), parts)));
    }

    #[test]
    fn several_parts_have_directories_where_the_plane_says_so() {
        assert_eq!(paths("a::b::f", 2, 1, true), ["a/b/1/f._1_of_2", "a/b/2/f._2_of_2"]);
        assert_eq!(paths("a::b::f", 2, 1, false), ["a/b/f._1_of_2", "a/b/f._2_of_2"]);
    }

    #[test]
    fn parts_go_round_the_devices_from_where_the_hash_says() {
        assert_eq!(
            paths("~Scope1::Sub Scope::My File", 4, 3, true),
            [
                "d2/scope1/sub scope/1/my file._1_of_4",
                "d3/scope1/sub scope/2/my file._2_of_4",
                "d1/scope1/sub scope/3/my file._3_of_4",
                "d2/scope1/sub scope/4/my file._4_of_4",
            ]
        );
    }

    #[test]
    fn a_hash_near_its_end_wraps_as_a_32_bit_number() {
        let paths = PartPaths {
            parts: NonZeroU32::new(2).unwrap(),
            devices: NonZeroU32::new(3).unwrap(),
            directory_per_part: false,
            lfn_hash: u32::MAX,
            generation: None,
        };

        assert_eq!(paths.device(PartIndex(0)), 1);
        assert_eq!(paths.device(PartIndex(1)), 1);
    }

    #[test]
    fn a_generation_has_a_directory_that_no_scope_can_have() {
        let name = LogicalName::parse("a::orders").unwrap();
        let (parts, devices) = (NonZeroU32::new(2).unwrap(), NonZeroU32::new(3).unwrap());
        let generation = Some(JobId([0xab; 16]));
        let paths = PartPaths { parts, devices, directory_per_part: true, lfn_hash: 0, generation };

        let path = paths.path(&name, PartIndex(1)).join("/");

        let directory = format!("orders.G{}", "ab".repeat(16));
        assert_eq!(path, format!("d2/a/{directory}/2/orders._2_of_2"));
        let as_scope = LogicalName::parse(&format!("{directory}::x")).unwrap();
        assert_eq!(
            as_scope.as_str(),
            format!("{}::x", directory.to_lowercase()),
            "scopes are lower case"
        );
    }

    #[test]
    fn the_pointer_of_a_logical_file_is_beside_its_generations_and_tells_its_name() {
        let name = LogicalName::parse("a::b::orders").unwrap();
        let at = |devices| pointer_path(&name, NonZeroU32::new(devices).unwrap()).join("/");
        let names = |path: &str| {
            pointed_names(path).map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
        };

        assert_eq!(at(1), "a/b/orders.CURRENT");
        assert_eq!(at(2), "d1/a/b/orders.CURRENT");
        assert_eq!(names(&at(1)), ["a::b::orders"]);
        assert_eq!(names(&at(2)), ["d1::a::b::orders", "a::b::orders"]);
        assert_eq!(names("a/b/orders.current"), Vec::<String>::new());
        assert_eq!(names("a/b/orders"), Vec::<String>::new());
    }

    #[test]
    fn the_hash_is_hpccs() {
        let hash = |name| lfn_hash(&LogicalName::parse(name).unwrap());

        assert_eq!(hash("~a::b::c::data.csv"), 3_060_861_578);
        assert_eq!(hash("fname"), 1_043_652_937);
    }
}
