//! A transport that answers from a closure.

use alloc::{boxed::Box, sync::Arc};

use super::{Request, Response, Transport, TransportError};
use crate::runtime::{BoxFuture, MaybeSend, MaybeSync};

/// A closure that answers; the trait stands for `Fn` with `Send` only where threads exist.
trait Answer: MaybeSend + MaybeSync {
    fn answer(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>>;
}

impl<F, Fut> Answer for F
where
    F: Fn(Request) -> Fut + MaybeSend + MaybeSync,
    Fut: Future<Output = Result<Response, TransportError>> + MaybeSend + 'static,
{
    fn answer(&self, request: Request) -> BoxFuture<'static, Result<Response, TransportError>> {
        Box::pin(self(request))
    }
}

/// A [`Transport`] without a network, for tests of code that uses the client.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), picobase::Error> {
/// use picobase::{Client, transport::{Headers, MemoryTransport, Response}};
///
/// let transport = MemoryTransport::new(|request| async move {
///     assert_eq!(request.path(), "/api/collections/posts/records/abc");
///     Ok(Response::new(200, Headers::new(), r#"{"id": "abc", "title": "hello"}"#))
/// });
/// let client = Client::builder().url("http://memory").transport(transport).build()?;
/// let post = client.collection("posts").get_one("abc").await?;
/// assert_eq!(post.get_str("title"), Some("hello"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryTransport {
    answer: Arc<dyn Answer>,
}

impl MemoryTransport {
    /// A transport that answers every request by calling `answer`.
    ///
    /// ```
    /// use picobase::transport::{Failure, MemoryTransport, TransportError};
    /// let offline = MemoryTransport::new(|_| async { Err(TransportError::new(Failure::Broken, "offline")) });
    /// # let _ = offline;
    /// ```
    pub fn new<F, Fut>(answer: F) -> Self
    where
        F: Fn(Request) -> Fut + MaybeSend + MaybeSync + 'static,
        Fut: Future<Output = Result<Response, TransportError>> + MaybeSend + 'static,
    {
        MemoryTransport { answer: Arc::new(answer) }
    }
}

impl Transport for MemoryTransport {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        self.answer.answer(request)
    }
}

impl core::fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("MemoryTransport")
    }
}
