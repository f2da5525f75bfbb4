//! How an error of the instance becomes an answer of the service.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use picobase::{Error, ErrorKind};
use serde_json::{Map, Value, json};

/// An error on its way to the client.
#[derive(Debug)]
pub struct AppError(Error);

impl From<Error> for AppError {
    fn from(error: Error) -> Self {
        AppError(error)
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let error = self.0;
        let status = match error.kind() {
            ErrorKind::Validation => StatusCode::BAD_REQUEST,
            ErrorKind::Conflict => StatusCode::CONFLICT,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            ErrorKind::InstanceUnavailable | ErrorKind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            // The service's own sign-in or the instance failed: nothing that the client could mend.
            _ => StatusCode::BAD_GATEWAY,
        };
        (status, Json(body(&error))).into_response()
    }
}

/// What a client is told of an error.
pub(crate) fn body(error: &Error) -> Value {
    let fields: Map<String, Value> =
        error.fields().iter().map(|(name, field)| (name.clone(), Value::from(field.message.clone()))).collect();
    json!({"error": error.kind().as_str(), "message": error.message(), "fields": fields})
}
