//! Who makes a request, and whether its rules allow what it asks for.

use super::Api;
use super::error::ApiError;
use super::tokens::TokenName;
use crate::access::{self, Operation, Rule};
use crate::state::blocking;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use skyspray_wire::name::{LogicalName, PlaneName, PlanePath, Scope};
use std::sync::Arc;

/// Longest token that is looked up, in bytes.
const TOKEN_BYTES_MAX: usize = 256;

/// The holder of a token that counts.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) name: TokenName,
    rules: Vec<Rule>,
}

impl Caller {
    pub(super) fn may_pull(&self, plane: &PlaneName, name: &LogicalName) -> Result<(), ApiError> {
        let allowed = access::allows_name(&self.rules, Operation::Pull, plane, name);
        self.checked(allowed, Operation::Pull, plane, name.as_str())
    }

    /// Of a path where a part of a logical file is stored, the right to read that file as well.
    pub(super) async fn may_pull_path(
        &self,
        api: &Api,
        (plane, path): (&PlaneName, &PlanePath),
    ) -> Result<(), ApiError> {
        let allowed = access::allows_path(&self.rules, Operation::Pull, plane, path);
        self.checked(allowed, Operation::Pull, plane, &path.to_string())?;
        match api.relay.catalogue.owner_of(plane, path).await? {
            Some(file) => self.may_pull(plane, &file),
            None => Ok(()),
        }
    }

    pub(super) fn may_list(&self, plane: &PlaneName, scope: &Scope) -> Result<(), ApiError> {
        let allowed = access::allows_scope(&self.rules, Operation::List, plane, scope);
        self.checked(allowed, Operation::List, plane, &scope.to_string())
    }

    fn checked(
        &self,
        allowed: bool,
        operation: Operation,
        plane: &PlaneName,
        target: &str,
    ) -> Result<(), ApiError> {
        if allowed {
            return Ok(());
        }
        let (token, plane) = (self.name.to_string(), plane.clone());
        Err(ApiError::Forbidden { token, operation, plane, target: target.to_owned() })
    }
}

impl FromRequestParts<Arc<Api>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(ApiError::NoToken);
        };
        let presented = value.to_str().ok().and_then(|text| text.split_once(' '));
        let Some((_, token)) = presented.filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"))
        else {
            return Err(ApiError::NoToken);
        };
        let token = token.trim();
        if token.len() > TOKEN_BYTES_MAX {
            return Err(ApiError::TokenUnknown);
        }
        let (tokens, presented) = (Arc::clone(&api.tokens), token.to_owned());
        let now_ms = api.relay.now_ms();
        let found = blocking(move || tokens.find(&presented, now_ms)).await?;
        let found = found.ok_or(ApiError::TokenUnknown)?;
        Ok(Self { name: found.name, rules: found.rules })
    }
}
