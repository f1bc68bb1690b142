//! What a failure of the client crate means.

use super::error::{BucketAction, BucketDetail, BucketFault, ErrorCode};
use super::secret::SecretError;
use super::transport::{Answer, Service};
use object_store::Error;
use object_store::client::HttpError;
use std::error::Error as StdError;

/// What `error` means for `action`. `answer` is what made it fail, if that was an answer.
pub(super) fn classify(
    error: &Error,
    answer: Option<Answer>,
    action: BucketAction,
) -> (BucketFault, Option<BucketDetail>) {
    if let Some(secret) = within::<BucketDetail>(error) {
        return (BucketFault::Denied, Some(secret.clone()));
    }
    if let Some(secret) = within::<SecretError>(error) {
        return (BucketFault::Denied, Some(secret.clone().into()));
    }
    let Some(answer) = answer else {
        return (unanswered(error), None);
    };
    let fault = match answer.service {
        Service::Issuer if (400..500).contains(&answer.status) && answer.status != 429 => {
            BucketFault::Denied
        }
        Service::Issuer => BucketFault::Unavailable,
        Service::Store => {
            let by_code = by_code(answer.code.as_str(), action);
            by_code.unwrap_or_else(|| by_status(answer.status, error, action))
        }
    };
    let Answer { status, code, .. } = answer;
    (fault, Some(BucketDetail::Answer { status, code }))
}

/// What the failure of one entry of a batch means. Only its text has the code, at its end.
pub(super) fn classify_entry(error: &Error) -> (BucketFault, BucketDetail) {
    let text = error.to_string();
    let code = text.rsplit_once("(code: ").and_then(|(_, rest)| rest.split_once(')'));
    let code = ErrorCode::of(code.map_or("", |(code, _)| code));
    let fault = by_code(code.as_str(), BucketAction::Remove).unwrap_or(BucketFault::Unavailable);
    (fault, BucketDetail::Entry { code })
}

/// The cause of that type within the chain of an error.
fn within<E: StdError + 'static>(error: &Error) -> Option<&E> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Failures that no answer explains: the connection broke, or the client refused on its own.
fn unanswered(error: &Error) -> BucketFault {
    match error {
        Error::NotSupported { .. } | Error::NotImplemented { .. } | Error::InvalidPath { .. } => {
            BucketFault::NotSupported
        }
        Error::Precondition { .. } | Error::NotModified { .. } => BucketFault::Changed,
        Error::NotFound { .. } => BucketFault::Missing,
        _ if within::<HttpError>(error).is_some() => BucketFault::Unavailable,
        // An answer of success that says something else than the protocol allows.
        _ => BucketFault::Corrupt,
    }
}

/// The codes of the three stores; those that say no more than their status are left out.
fn by_code(code: &str, action: BucketAction) -> Option<BucketFault> {
    Some(match code {
        "NoSuchUpload" | "InvalidPart" | "InvalidPartOrder" | "InvalidBlockList"
        | "InvalidBlockId" | "InvalidBlobOrBlock" => BucketFault::NoUpload,
        "NoSuchBucket"
        | "ContainerNotFound"
        | "ContainerBeingDeleted"
        | "ContainerDisabled"
        | "InvalidBucketName" => BucketFault::NoBucket,
        "NoSuchKey" | "BlobNotFound" | "ResourceNotFound" => BucketFault::Missing,
        "BlobAlreadyExists" => BucketFault::Exists,
        "ConditionalRequestConflict" | "OperationAborted" | "RequestTimeout" => {
            BucketFault::Unavailable
        }
        "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "AuthenticationFailed"
        | "AuthorizationFailure"
        | "AccountIsDisabled"
        | "InvalidAuthenticationInfo" => BucketFault::Denied,
        "SlowDown"
        | "ServerBusy"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "ThrottlingException"
        | "Throttling" => BucketFault::Throttled,
        "BadDigest"
        | "InvalidDigest"
        | "Md5Mismatch"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "Crc64Mismatch"
        | "IncompleteBody" => BucketFault::Corrupt,
        "EntityTooLarge" | "RequestBodyTooLarge" | "BlockCountExceedsLimit" | "TooManyParts" => {
            BucketFault::TooLarge
        }
        "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "AccountQuotaExceeded" => {
            BucketFault::Full
        }
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraint" => {
            BucketFault::Settings
        }
        "NotImplemented" | "FeatureVersionMismatch" | "EntityTooSmall" => BucketFault::NotSupported,
        "InvalidRange" => BucketFault::Changed,
        "InvalidRequest" if action == BucketAction::Copy => BucketFault::TooLarge,
        _ => return None,
    })
}

fn by_status(status: u16, error: &Error, action: BucketAction) -> BucketFault {
    match status {
        404 if matches!(action, BucketAction::Complete | BucketAction::PutPiece) => {
            BucketFault::NoUpload
        }
        404 | 410 => BucketFault::Missing,
        401 => BucketFault::Denied,
        // Answers to HEAD have no body: nothing tells a bad credential from a missing permission.
        403 if action == BucketAction::Stat => BucketFault::Denied,
        403 => BucketFault::Forbidden,
        304 | 416 => BucketFault::Changed,
        409 | 412 if action == BucketAction::Put => match error {
            Error::AlreadyExists { .. } => BucketFault::Exists,
            _ => BucketFault::Changed,
        },
        412 => BucketFault::Changed,
        413 => BucketFault::TooLarge,
        429 => BucketFault::Throttled,
        300..=399 => BucketFault::Settings,
        405 | 501 => BucketFault::NotSupported,
        507 => BucketFault::Full,
        503 => BucketFault::Throttled,
        408 | 409 => BucketFault::Unavailable,
        // Whatever it is, it will be the same the next time.
        400..=499 => BucketFault::NotSupported,
        _ => BucketFault::Unavailable,
    }
}
