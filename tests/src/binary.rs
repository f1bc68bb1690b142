//! Where the programs under test are.

use crate::error::HarnessError;
use std::env;
use std::path::PathBuf;

/// The program `name`: in `SKYSPRAY_BIN_DIR` when that is set, otherwise beside the running test
/// or demo, where cargo puts both.
///
/// # Errors
///
/// [`HarnessError::BinaryMissing`].
pub fn locate(name: &str) -> Result<PathBuf, HarnessError> {
    let directory = match env::var_os("SKYSPRAY_BIN_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => {
            let mut directory = env::current_exe().map_err(HarnessError::file("/proc/self/exe"))?;
            directory.pop();
            if directory.ends_with("deps") {
                directory.pop();
            }
            directory
        }
    };
    let path = directory.join(name);
    if path.is_file() { Ok(path) } else { Err(HarnessError::BinaryMissing { path }) }
}
