//! What answers have in common: CORS, caching, the cookie, and refusals.

use axum::response::{IntoResponse, Response};
use chatcluster_contracts::problem::Problem;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::{
    listen::{Origins, web},
    protocol::sockjs::route::Base,
};

pub(super) const TEXT: &str = "text/plain; charset=UTF-8";

/// A year, in seconds: what never changes is cached as long as caches may.
const YEAR: i64 = 365 * 24 * 3600;
const COOKIE: &str = "JSESSIONID";

pub(super) fn text(status: StatusCode, text: &str) -> Response {
    let nosniff = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    (status, [(header::CONTENT_TYPE, TEXT), nosniff], text.to_owned()).into_response()
}

pub(super) fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let answer = web::problem(status, problem);
    if status == StatusCode::SERVICE_UNAVAILABLE { with(answer, [(header::RETRY_AFTER, "5")]) } else { answer }
}

pub(super) fn method_not_allowed(methods: &[Method]) -> Response {
    let mut answer = StatusCode::METHOD_NOT_ALLOWED.into_response();
    set(&mut answer, header::ALLOW, &list(methods));
    answer
}

/// The answer to a browser that asks whether it may ask.
pub(super) fn preflight(cors: &Cors, methods: &[Method]) -> Response {
    let mut answer = StatusCode::NO_CONTENT.into_response();
    set(&mut answer, header::ACCESS_CONTROL_ALLOW_METHODS, &list(methods));
    set(&mut answer, header::ACCESS_CONTROL_MAX_AGE, &YEAR.to_string());
    cors.allow(cached(answer))
}

fn list(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// For what stays as it is.
pub(super) fn cached(mut answer: Response) -> Response {
    set(&mut answer, header::CACHE_CONTROL, &format!("public, max-age={YEAR}"));
    let expires = jiff::Timestamp::now().as_second() + YEAR;
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    let expires = jiff::Timestamp::from_second(expires).and_then(|time| printer.timestamp_to_rfc9110_string(&time));
    if let Ok(expires) = expires {
        set(&mut answer, header::EXPIRES, &expires);
    }
    answer
}

/// For what is somebody's own, and of the moment. It is not to be taken for anything but what it says it is either.
pub(super) fn uncached(answer: Response) -> Response {
    with(
        answer,
        [
            (header::CACHE_CONTROL, "no-store, no-cache, must-revalidate, max-age=0"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
    )
}

fn with<const N: usize>(mut answer: Response, headers: [(HeaderName, &'static str); N]) -> Response {
    answer.headers_mut().extend(headers.map(|(name, value)| (name, HeaderValue::from_static(value))));
    answer
}

fn set(answer: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// The cookie this base wants a client to have, for load balancers: the one it has, or a new one.
pub(super) fn cookie(base: &Base, headers: &HeaderMap) -> Option<HeaderValue> {
    if !base.cookie {
        return None;
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let own = cookies
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
        .unwrap_or("dummy");
    HeaderValue::from_str(&format!("{COOKIE}={own}; path=/")).ok()
}

pub(super) fn with_cookie(mut answer: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}

/// What an allowed page may read of an answer.
#[derive(Debug)]
pub(super) struct Cors {
    /// `None`: the request names no origin, and no page reads the answer.
    origin: Option<HeaderValue>,
    /// The headers it asks for, if it does.
    headers: Option<HeaderValue>,
}

impl Cors {
    /// `None`: this origin is not allowed.
    pub(super) fn of(origins: &Origins, headers: &HeaderMap) -> Option<Self> {
        let origin = headers.get(header::ORIGIN);
        let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
        // an origin that is no text is nobody's
        let name = origin.map(|value| value.to_str().unwrap_or_default());
        if !origins.allow(name, host) {
            return None;
        }
        let origin = match (origins, name) {
            // a page without an origin, from a file: its own name would mean no to the browser
            (Origins::Any, None | Some("null")) => Some(HeaderValue::from_static("*")),
            _ => origin.cloned(),
        };
        let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).filter(|value| !value.is_empty());
        Some(Self { origin, headers: asked.cloned() })
    }

    pub(super) fn allow(&self, mut answer: Response) -> Response {
        let headers = answer.headers_mut();
        // caches must not hand one page's permission to another
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = &self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            if let Some(asked) = &self.headers {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        answer
    }
}
