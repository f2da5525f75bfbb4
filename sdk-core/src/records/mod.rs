//! Records: reading, listing, writing, batches.

mod batch;
mod collection;
mod ends;
pub(crate) mod list;
#[cfg(feature = "std")]
mod record;
mod walk;
mod write;

pub(crate) use self::list::items;
#[cfg(feature = "std")]
pub use self::record::Record;
pub use self::{
    batch::{Batch, BatchCollection, BatchResult, BatchWrite, Chunked},
    collection::Collection,
    list::{GetMany, ListResult, Many},
    walk::{FullList, RecordStream},
    write::Write,
};
/// On the web records are decoded by JavaScript.
#[cfg(not(feature = "std"))]
pub type Record = crate::json::Json;
