//! A call that is set up and can be awaited.

use alloc::string::String;
use core::future::IntoFuture;

use crate::{
    call::{Call, Limit},
    client::Client,
    error::Error,
    runtime::BoxFuture,
    url::QueryValue,
};

/// How a set-up call is made and its answer turned into the result.
pub(crate) type Run<T> = fn(Client, Call) -> BoxFuture<'static, Result<T, Error>>;

/// One call to the server: set its options, then `.await` it. Nothing is sent before.
///
/// Dropping the future cancels the call.
///
/// ```
/// # async fn demo(client: picobase::Client) -> Result<(), picobase::Error> {
/// use std::time::Duration;
/// let post = client
///     .collection("posts")
///     .get_one("abc123")
///     .expand("author")
///     .fields("id,title,expand.author.name")
///     .header("X-Trace", "42")
///     .timeout(Duration::from_secs(5))
///     .await?;
/// # let _ = post;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is sent before this is awaited"]
pub struct Action<T> {
    pub(crate) client: Client,
    pub(crate) call: Call,
    pub(crate) run: Run<T>,
}

impl<T> Action<T> {
    pub(crate) fn new(client: &Client, call: Call, run: Run<T>) -> Self {
        Action { client: client.clone(), call, run }
    }
}

impl<T: 'static> IntoFuture for Action<T> {
    type Output = Result<T, Error>;
    type IntoFuture = BoxFuture<'static, Result<T, Error>>;

    fn into_future(self) -> Self::IntoFuture {
        (self.run)(self.client, self.call)
    }
}

impl<T> core::fmt::Debug for Action<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Action").field("endpoint", &self.call.endpoint.name).finish_non_exhaustive()
    }
}

/// The options of a call, apart from it: what bindings read before they know the call, and what several calls share.
///
/// ```
/// # fn demo(client: picobase::Client) {
/// use picobase::action::CallOptions;
/// let mut options = CallOptions { timeout: Some(std::time::Duration::from_secs(5)), ..CallOptions::default() };
/// options.headers.set("X-Trace", "42");
/// let post = client.collection("posts").get_one("abc").options(options.clone());
/// let page = client.collection("posts").get_list(1, 20).options(options);
/// # let _ = (post, page); }
/// ```
#[derive(Debug, Clone, Default)]
pub struct CallOptions {
    /// Query parameters; they win over the call's own.
    pub query: crate::url::Query,
    /// Header fields; they win over the call's own.
    pub headers: crate::transport::Headers,
    /// How long the call may take; zero is without end.
    pub timeout: Option<core::time::Duration>,
}

impl CallOptions {
    #[inline(never)]
    pub(crate) fn apply(
        self,
        query: &mut crate::url::Query,
        headers: &mut crate::transport::Headers,
        limit: &mut Limit,
    ) {
        query.merge(self.query);
        headers.merge(&self.headers);
        if let Some(timeout) = self.timeout {
            *limit = if timeout.is_zero() { Limit::Never } else { Limit::After(timeout) };
        }
    }
}

/// The options that every call has.
macro_rules! call_options {
    ($type:ty $(, $generic:ident)*) => {
        impl<$($generic),*> $type {
            /// Takes these options.
            ///
            /// ```
            /// # fn demo(client: picobase::Client, options: picobase::action::CallOptions) {
            /// let call = client.collection("posts").get_one("abc").options(options);
            /// # let _ = call; }
            /// ```
            pub fn options(mut self, options: crate::action::CallOptions) -> Self {
                options.apply(&mut self.call.query, &mut self.call.headers, &mut self.call.limit);
                self
            }

            /// Relations to put into the answer's `expand`, separated by commas; up to six levels with dots.
            ///
            /// ```
            /// # fn demo(client: picobase::Client) {
            /// let call = client.collection("posts").get_one("abc").expand("author,comments_via_post.author");
            /// # let _ = call; }
            /// ```
            pub fn expand(self, expand: impl Into<QueryValue>) -> Self {
                self.query("expand", expand)
            }

            /// The fields to answer, separated by commas; `*` for all of a level, `:excerpt(200,true)` to shorten text.
            ///
            /// ```
            /// # fn demo(client: picobase::Client) {
            /// let call = client.collection("posts").get_one("abc").fields("id,title,body:excerpt(100)");
            /// # let _ = call; }
            /// ```
            pub fn fields(self, fields: impl Into<QueryValue>) -> Self {
                self.query("fields", fields)
            }

            /// Any other query parameter. None takes it out.
            ///
            /// ```
            /// # fn demo(client: picobase::Client) {
            /// let call = client.collection("posts").get_one("abc").query("preview", true);
            /// # let _ = call; }
            /// ```
            pub fn query(mut self, name: &str, value: impl Into<QueryValue>) -> Self {
                self.call.query.set(name, value);
                self
            }

            /// A header field of this call; it wins over the client's.
            ///
            /// ```
            /// # fn demo(client: picobase::Client) {
            /// let call = client.collection("posts").get_one("abc").header("Accept-Language", "de");
            /// # let _ = call; }
            /// ```
            pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
                self.call.headers.set(name, value);
                self
            }

            /// How long the call may take, retries and waiting for a sleeping instance included.
            ///
            /// ```
            /// # fn demo(client: picobase::Client) {
            /// let call = client.collection("posts").get_one("abc").timeout(std::time::Duration::from_secs(5));
            /// # let _ = call; }
            /// ```
            pub fn timeout(mut self, timeout: core::time::Duration) -> Self {
                self.call.limit = Limit::After(timeout);
                self
            }

            /// Lets the call take as long as it takes. A sleeping instance is still given up after
            /// `cold_start_timeout`.
            ///
            /// ```
            /// # fn demo(client: picobase::Client) {
            /// let call = client.collection("posts").get_one("abc").no_timeout();
            /// # let _ = call; }
            /// ```
            pub fn no_timeout(mut self) -> Self {
                self.call.limit = Limit::Never;
                self
            }
        }
    };
}
pub(crate) use call_options;

call_options!(Action<T>, T);
