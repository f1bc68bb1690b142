//! Who may use the HTTP interface: names, hashes of tokens, rules, in one file of the relay's
//! directory that a running relay takes up when it changes. No token is in it.

use crate::access::Rule;
use crate::config::RelayDir;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// What every token begins with, so that one that leaked is recognised.
const PREFIX: &str = "skyapi_";

/// Bytes of a token's secret.
const SECRET_BYTES: usize = 32;

/// Most tokens of one relay: each request is compared with all of them.
pub const TOKENS_MAX: usize = 1024;

/// Of the file: hashes help nobody, rules are nobody else's business.
const FILE_MODE: u32 = 0o600;

/// What an operator calls a token: 1 to 40 of `a-z 0-9 -`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenName(String);

/// A text that names no token.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("token name {name:?} is not 1 to 40 of the characters a-z 0-9 -")]
pub struct TokenNameError {
    name: String,
}

impl TokenName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = TokenNameError;

    fn from_str(text: &str) -> Result<Self, TokenNameError> {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=40).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(TokenNameError { name: text.chars().take(80).collect() })
        }
    }
}

impl TryFrom<String> for TokenName {
    type Error = TokenNameError;

    fn try_from(text: String) -> Result<Self, TokenNameError> {
        text.parse()
    }
}

impl From<TokenName> for String {
    fn from(name: TokenName) -> Self {
        name.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token as its holder has it. Shown once, when it is made.
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// A new one.
    pub fn create(random: &SystemRandom) -> Self {
        let mut secret = [0; SECRET_BYTES];
        random.fill(&mut secret).expect("the operating system provides random bytes");
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(secret)))
    }

    /// The text that is presented.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it. A secret of 256 random bits needs no slower hash.
    pub fn hash(&self) -> blake3::Hash {
        blake3::hash(self.0.as_bytes())
    }
}

/// A token as the relay keeps it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiToken {
    /// What it is called.
    pub name: TokenName,
    /// BLAKE3 of the token. Compared in constant time.
    pub hash: blake3::Hash,
    /// What its holder may do.
    pub rules: Vec<Rule>,
    /// When it was made, in milliseconds since 1970.
    pub added_ms: i64,
    /// From when on it is worth nothing, in milliseconds since 1970; `None` for never.
    pub expires_ms: Option<i64>,
}

/// Why tokens cannot be read or changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokensError {
    /// The host.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("{} is not usable: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Others than the relay could give themselves rights.
    #[error("{} may be written by others than its owner", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
    },
    /// The name is taken.
    #[error("api token {name} exists")]
    Exists {
        /// The name.
        name: TokenName,
    },
    /// Nothing has the name.
    #[error("api token {name} does not exist")]
    Missing {
        /// The name.
        name: TokenName,
    },
    /// No more fit.
    #[error("there are {TOKENS_MAX} api tokens, no more are kept")]
    TooMany,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct TokensFile {
    #[serde(default)]
    token: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: TokenName,
    blake3: String,
    allow: Vec<String>,
    added_ms: i64,
    expires_ms: Option<i64>,
}

impl TryFrom<Entry> for ApiToken {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let rules = entry.allow.iter().map(|rule| rule.parse::<Rule>());
        Ok(Self {
            hash: blake3::Hash::from_hex(&entry.blake3).map_err(|error| error.to_string())?,
            rules: rules.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
            name: entry.name,
            added_ms: entry.added_ms,
            expires_ms: entry.expires_ms,
        })
    }
}

impl From<&ApiToken> for Entry {
    fn from(token: &ApiToken) -> Self {
        Self {
            name: token.name.clone(),
            blake3: token.hash.to_hex().to_string(),
            allow: token.rules.iter().map(Rule::to_string).collect(),
            added_ms: token.added_ms,
            expires_ms: token.expires_ms,
        }
    }
}

/// The tokens of the relay in `dir`; none when the file was never written.
///
/// # Errors
///
/// The file cannot be read, is damaged, or others may write it.
pub fn load(dir: &RelayDir) -> Result<Vec<ApiToken>, TokensError> {
    match File::open(dir.api_tokens_file()) {
        Ok(file) => read(&dir.api_tokens_file(), file),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(failed("read", &dir.api_tokens_file())(source)),
    }
}

fn read(path: &Path, file: File) -> Result<Vec<ApiToken>, TokensError> {
    let mode = file.metadata().map_err(failed("read", path))?.mode();
    if mode & 0o022 != 0 {
        return Err(TokensError::Writable { path: path.to_owned() });
    }
    let text = io::read_to_string(file).map_err(failed("read", path))?;
    let damaged = |message: String| TokensError::Damaged { path: path.to_owned(), message };
    let tokens: TokensFile =
        toml::from_str(&text).map_err(|error| damaged(error.message().replace('\n', ", ")))?;
    if tokens.token.len() > TOKENS_MAX {
        return Err(TokensError::TooMany);
    }
    tokens.token.into_iter().map(ApiToken::try_from).collect::<Result<_, _>>().map_err(damaged)
}

/// Adds a token.
///
/// # Errors
///
/// The name is taken, or as for [`load`].
pub fn add(dir: &RelayDir, token: ApiToken) -> Result<(), TokensError> {
    change(dir, |tokens| {
        if tokens.iter().any(|other| other.name == token.name) {
            return Err(TokensError::Exists { name: token.name });
        }
        if tokens.len() >= TOKENS_MAX {
            return Err(TokensError::TooMany);
        }
        tokens.push(token);
        Ok(())
    })
}

/// Removes a token; no request that begins after that is answered to it.
///
/// # Errors
///
/// Nothing has the name, or as for [`load`].
pub fn remove(dir: &RelayDir, name: &TokenName) -> Result<(), TokensError> {
    change(dir, |tokens| {
        let before = tokens.len();
        tokens.retain(|token| token.name != *name);
        if tokens.len() == before {
            return Err(TokensError::Missing { name: name.clone() });
        }
        Ok(())
    })
}

/// Changes the file as a whole; two commands at once do it one after the other.
fn change(
    dir: &RelayDir,
    with: impl FnOnce(&mut Vec<ApiToken>) -> Result<(), TokensError>,
) -> Result<(), TokensError> {
    let lock = dir.state().join("api-tokens.lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(FILE_MODE);
    let locked = options.open(&lock).map_err(failed("open", &lock))?;
    locked.lock().map_err(failed("lock", &lock))?;
    let mut tokens = load(dir)?;
    with(&mut tokens)?;
    let file = TokensFile { token: tokens.iter().map(Entry::from).collect() };
    let text = toml::to_string(&file).expect("names, numbers and texts are toml");
    let path = dir.api_tokens_file();
    let draft = path.with_extension("toml.new");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &draft)(error));
        }
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .create_new(true)
        .write(true)
        .mode(FILE_MODE)
        .open(&draft)
        .map_err(failed("write", &draft))?;
    file.write_all(HEAD.as_bytes())
        .and_then(|()| file.write_all(text.as_bytes()))
        .and_then(|()| file.sync_all())
        .map_err(failed("write", &draft))?;
    fs::rename(&draft, &path).map_err(failed("write", &path))?;
    let directory = File::open(dir.path()).and_then(|directory| directory.sync_all());
    directory.map_err(failed("write", &path))
}

const HEAD: &str = "# Written by skyspray-relay api-token; holds no token.\n\n";

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TokensError {
    let path = path.to_owned();
    move |source| TokensError::File { action, path, source }
}

/// What tells one state of the file from another: it is only ever replaced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

/// The tokens as they stand, for a relay that serves.
#[derive(Debug)]
pub(crate) struct Tokens {
    dir: RelayDir,
    // Shared by all requests: each looks whether the file changed, and one reads it again.
    held: Mutex<Option<(Stamp, Arc<Vec<ApiToken>>)>>,
}

impl Tokens {
    /// Of the relay in `dir`; nothing is read.
    pub(crate) fn new(dir: RelayDir) -> Self {
        Self { dir, held: Mutex::default() }
    }

    /// The token that was presented, if it is one and still counts. Blocks.
    ///
    /// # Errors
    ///
    /// As for [`load`]; then nobody is known.
    pub(crate) fn find(
        &self,
        presented: &str,
        now_ms: i64,
    ) -> Result<Option<ApiToken>, TokensError> {
        let tokens = self.current()?;
        let hash = blake3::hash(presented.as_bytes());
        // All are compared, each in constant time, so that time tells nothing of any.
        let found = tokens.iter().fold(
            None,
            |found, token| {
                if token.hash == hash { Some(token) } else { found }
            },
        );
        let counts = |token: &&ApiToken| token.expires_ms.is_none_or(|at| now_ms < at);
        Ok(found.filter(counts).cloned())
    }

    fn current(&self) -> Result<Arc<Vec<ApiToken>>, TokensError> {
        let path = self.dir.api_tokens_file();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                *held = None;
                return Ok(Arc::default());
            }
            Err(source) => return Err(failed("read", &path)(source)),
        };
        let stamp = Stamp {
            inode: found.ino(),
            length: found.len(),
            changed: (found.ctime(), found.ctime_nsec()),
        };
        if let Some((known, tokens)) = &*held
            && *known == stamp
        {
            return Ok(Arc::clone(tokens));
        }
        let tokens = Arc::new(load(&self.dir)?);
        *held = Some((stamp, Arc::clone(&tokens)));
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn relay() -> (tempfile::TempDir, RelayDir) {
        let root = tempfile::tempdir().unwrap();
        let dir = RelayDir::new(root.path());
        fs::create_dir(dir.state()).unwrap();
        (root, dir)
    }

    fn token(name: &str, expires_ms: Option<i64>) -> (Token, ApiToken) {
        let token = Token::create(&SystemRandom::new());
        let rules = vec!["pull,list:data:acme".parse().unwrap()];
        let hash = token.hash();
        let kept = ApiToken { name: name.parse().unwrap(), hash, rules, added_ms: 5, expires_ms };
        (token, kept)
    }

    #[test]
    fn a_running_relay_knows_a_token_from_when_it_is_added_until_it_is_removed_or_expires() {
        let (_root, dir) = relay();
        let tokens = Tokens::new(dir.clone());
        let (first, kept) = token("thor", None);
        let (second, brief) = token("roxie", Some(100));
        let found = |token: &Token, now_ms| tokens.find(token.expose(), now_ms).unwrap();

        assert_eq!(found(&first, 0), None);
        add(&dir, kept.clone()).unwrap();
        add(&dir, brief.clone()).unwrap();
        assert_eq!(found(&first, 1_000), Some(kept.clone()));
        assert_eq!((found(&second, 99), found(&second, 100)), (Some(brief.clone()), None));
        assert_eq!(tokens.find("skyapi_", 0).unwrap(), None);
        assert_eq!(load(&dir).unwrap(), [kept.clone(), brief.clone()]);
        remove(&dir, &kept.name).unwrap();
        assert_eq!((found(&first, 0), found(&second, 0)), (None, Some(brief)));
    }

    #[test]
    fn the_file_holds_no_token_and_is_for_the_relay_alone() {
        let (_root, dir) = relay();
        let (secret, kept) = token("thor", Some(7));
        add(&dir, kept.clone()).unwrap();

        let text = fs::read_to_string(dir.api_tokens_file()).unwrap();
        assert!(!text.contains(secret.expose()) && !text.contains(&secret.expose()[7..]));
        assert!(text.contains(&kept.hash.to_hex().to_string()), "{text}");
        assert_eq!(fs::metadata(dir.api_tokens_file()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(format!("{secret:?}"), "Token(..)");
        assert!(matches!(add(&dir, kept), Err(TokensError::Exists { .. })));
    }

    #[test]
    fn a_file_that_others_may_write_or_that_is_damaged_lets_nobody_in() {
        let (_root, dir) = relay();
        let tokens = Tokens::new(dir.clone());
        let (secret, kept) = token("thor", None);
        add(&dir, kept).unwrap();
        assert!(tokens.find(secret.expose(), 0).unwrap().is_some());

        let path = dir.api_tokens_file();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o620)).unwrap();
        let error = tokens.find(secret.expose(), 0).unwrap_err();
        assert!(matches!(error, TokensError::Writable { .. }), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "token = 5").unwrap();
        let error = tokens.find(secret.expose(), 0).unwrap_err();
        assert!(matches!(error, TokensError::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_name_has_few_characters() {
        assert_eq!("thor-1".parse::<TokenName>().unwrap().to_string(), "thor-1");
        for wrong in ["", "Thor", "-a", "a b", &"x".repeat(41)] {
            assert!(wrong.parse::<TokenName>().is_err(), "{wrong:?}");
        }
    }
}
