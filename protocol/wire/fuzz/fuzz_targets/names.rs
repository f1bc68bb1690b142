//! Names from any text: refused, or in normal form and without a way out of their directory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skyspray_wire::name::{LogicalName, PlanePath, RESERVED_PREFIX, Scope};

fuzz_target!(|text: &str| {
    if let Ok(name) = LogicalName::parse(text) {
        assert_eq!(LogicalName::parse(name.as_str()), Ok(name.clone()));
        assert!(name.segments().count() >= 1);
        assert!(name.segments().all(harmless));
        assert!(!name.tail().is_empty());
    }
    if let Ok(scope) = Scope::parse(text) {
        assert_eq!(Scope::parse(&scope.to_string()), Ok(scope.clone()));
        assert!(scope.segments().iter().all(|segment| harmless(segment)));
    }
    if let Ok(path) = PlanePath::parse(text) {
        assert_eq!(PlanePath::parse(&path.to_string()), Ok(path.clone()));
        for segment in path.segments() {
            assert!(harmless(segment.as_str()));
            assert!(!segment.as_str().starts_with(RESERVED_PREFIX));
        }
    }
});

fn harmless(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && !segment.contains(['/', '\\', '\0', '\n'])
}
