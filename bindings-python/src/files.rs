//! Files: their URLs, downloads, and the token that opens protected ones.

use std::{
    future::{IntoFuture, poll_fn},
    ops::Deref,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
};

use futures_core::Stream;
use picobase::{
    ErrorKind,
    files::{Download, DownloadStream, Files},
};
use pyo3::{
    prelude::*,
    types::{PyBytes, PyDict},
};
use tokio::sync::Mutex;

use crate::{
    beside::Beside,
    body,
    client::{Handle, Live, number},
    error,
    fork::Owned,
    options::{Text, options},
    progress::{self, Watched},
};

/// The files of a client, and its backups.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeFiles {
    handle: Handle,
}

impl NativeFiles {
    pub(crate) fn new(handle: Handle) -> NativeFiles {
        NativeFiles { handle }
    }
}

/// What is downloaded: a row of the endpoint table that answers a file, its parameters, and how.
type Wish<'py> = (String, Vec<Text>, Option<Text>, bool, Option<Text>, Bound<'py, PyDict>);

fn wished(wish: &Wish<'_>, live: &Live) -> PyResult<Download> {
    let (row, params, thumb, is_protected, token, given) = wish;
    let params: Vec<&str> = params.iter().map(Deref::deref).collect();
    let download = live.client.row_download(number(row), &params);
    let download = download.thumb(thumb.as_deref().unwrap_or_default());
    let download = match token.as_deref().filter(|token| !token.is_empty()) {
        Some(token) => download.token(token),
        None if *is_protected => download.protected(),
        None => download,
    };
    Ok(download.options(options(given)?))
}

#[pymethods]
impl NativeFiles {
    /// The URL of a file.
    fn url(
        &self,
        py: Python<'_>,
        owner: (Text, Text),
        name: Text,
        thumb: Option<Text>,
        download: bool,
        token: Option<Text>,
    ) -> PyResult<String> {
        let files: Files = self.handle.live(py)?.client.files();
        let url = files.url((&*owner.0, &*owner.1), &name);
        let url = url.thumb(thumb.as_deref().unwrap_or_default()).token(token.as_deref().unwrap_or_default());
        let url = if download { url.download() } else { url };
        url.build().map_err(|e| error::raise(py, &e))
    }

    /// The URL of a backup.
    fn backup_url(&self, py: Python<'_>, key: Text, token: Text) -> PyResult<String> {
        let url = self.handle.live(py)?.client.backups().get_download_url(&key, &token);
        url.map_err(|e| error::raise(py, &e))
    }

    /// A token for protected files.
    fn get_token<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let files: Files = live.client.files();
        let call = Box::pin(async move { files.get_token().await });
        live.run(py, call, |py, token| Ok(token.into_pyobject(py)?.into_any().unbind()))
    }

    /// The whole file in memory.
    fn download<'py>(
        &self,
        py: Python<'py>,
        wish: Wish<'py>,
        on_progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let (download, watched) = self.watched(py, wished(&wish, &live)?, on_progress)?;
        progress::run(&live, py, Box::pin(download.bytes()), Beside::default(), watched, |py, bytes| {
            Ok(PyBytes::new(py, &bytes).into_any().unbind())
        })
    }

    /// The file to a path; answers its size.
    fn download_to<'py>(
        &self,
        py: Python<'py>,
        wish: Wish<'py>,
        path: PathBuf,
        on_progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let (download, watched) = self.watched(py, wished(&wish, &live)?, on_progress)?;
        progress::run(&live, py, Box::pin(download.to_path(path)), Beside::default(), watched, |py, size| {
            Ok(size.into_pyobject(py)?.into_any().unbind())
        })
    }

    /// The file piece by piece: begins the download.
    fn stream<'py>(&self, py: Python<'py>, wish: Wish<'py>) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let download = wished(&wish, &live)?;
        let reader = live.clone();
        live.run(py, Box::pin(download.stream()), move |py, stream| {
            let size = stream.size();
            let open = Owned::new((reader, Arc::new(Mutex::new(Some(stream)))));
            Ok(Py::new(py, NativeDownload { open, size })?.into_any())
        })
    }

    /// Uploads a backup.
    fn upload_backup<'py>(
        &self,
        py: Python<'py>,
        file: &Bound<'py, PyAny>,
        given: &Bound<'py, PyDict>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let live = self.handle.live(py)?;
        let mut beside = Beside::default();
        let source = body::file(file, &mut beside)?;
        let Some(source) = source else {
            let message = format!("{} is no file", file.get_type().name()?);
            return Err(error::fail(py, ErrorKind::Validation, &message, "Pass bytes, a path, or an open file."));
        };
        let call = live.client.backups().upload(source).options(options(given)?).into_future();
        live.run_beside(py, call, beside, |py, ()| Ok(py.None()))
    }
}

impl NativeFiles {
    fn watched(
        &self,
        py: Python<'_>,
        download: Download,
        on_progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(Download, Option<Watched>)> {
        let watched = Watched::new(py, on_progress, self.handle.is_blocking())?;
        Ok(match watched {
            Some(watched) => (download.on_progress(watched.listener(py)), Some(watched)),
            None => (download, None),
        })
    }
}

/// What runs a download, and the download until it is closed.
type Open = (Arc<Live>, Arc<Mutex<Option<DownloadStream>>>);

/// A download that is read piece by piece.
#[pyclass(frozen, module = "picobase._native")]
pub(crate) struct NativeDownload {
    open: Owned<Open>,
    size: Option<u64>,
}

impl NativeDownload {
    fn parts(&self, py: Python<'_>) -> PyResult<&Open> {
        self.open.get().ok_or_else(|| {
            let message = "a download that was begun before a fork belongs to the parent process";
            error::fail(py, ErrorKind::Configuration, message, "Begin it again in this process.")
        })
    }
}

#[pymethods]
impl NativeDownload {
    /// The size of the whole file in bytes, where the server said it.
    #[getter]
    fn size(&self) -> Option<u64> {
        self.size
    }

    /// The next piece; none at the end.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (live, stream) = self.parts(py)?;
        let stream = stream.clone();
        let call = Box::pin(async move {
            match stream.lock().await.as_mut() {
                Some(stream) => poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await.transpose(),
                None => Ok(None),
            }
        });
        live.run(py, call, |py, piece| match piece {
            Some(piece) => Ok(PyBytes::new(py, &piece).into_any().unbind()),
            None => Ok(py.None()),
        })
    }

    /// Ends the download.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (live, stream) = self.parts(py)?;
        let stream = stream.clone();
        live.nothing(
            py,
            Box::pin(async move {
                drop(stream.lock().await.take());
                Ok(())
            }),
        )
    }
}
