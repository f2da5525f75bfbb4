//! Where the bytes of an upload come from, in Python: memory, a path, an open file, or an iterator.

use picobase::{ErrorKind, files::FileSource};
use pyo3::{prelude::*, pybacked::PyBackedBytes};

use crate::{beside::Beside, error};

/// What `picobase._encode.file` says of a file: which kind, the data, its name, its type, its length in bytes.
type Described<'py> = (String, Bound<'py, PyAny>, String, Option<String>, Option<u64>);

/// The upload that was described.
pub(crate) fn source(described: &Bound<'_, PyAny>, beside: &mut Beside) -> PyResult<FileSource> {
    let (kind, data, name, content_type, length): Described<'_> = described.extract()?;
    let source = match kind.as_str() {
        "bytes" => FileSource::bytes(&name, bytes::Bytes::from_owner(data.extract::<PyBackedBytes>()?)),
        "path" => FileSource::path(data.extract::<std::path::PathBuf>()?).filename(&name),
        "once" => beside.file(&data, &name, length, false),
        "again" => beside.file(&data, &name, length, true),
        other => {
            let message = format!("a file cannot come from {other}");
            return Err(error::fail(
                data.py(),
                ErrorKind::Validation,
                &message,
                "Pass bytes, a path, or an open file.",
            ));
        }
    };
    Ok(match content_type {
        Some(content_type) => source.content_type(&content_type),
        None => source,
    })
}
