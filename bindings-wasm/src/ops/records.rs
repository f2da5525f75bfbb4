//! Operations on records.

use alloc::{boxed::Box, rc::Rc, string::String, vec::Vec};
use core::{cell::RefCell, future::IntoFuture};

use picobase::{
    Client, Json,
    records::{Batch, RecordStream, Write},
};

use super::{Asked, body, files, op, unknown};
use crate::{
    abi::with,
    executor::write_error,
    frame::{Args, Frame, Value},
    platform::{header, pairs},
};

pub(super) fn start(op: u32, client: &Client, mut asked: Asked) {
    let records = client.collection(&asked.args.text()).typed::<Json>();
    let options = asked.options();
    match op {
        op::GET_FIRST => {
            let filter = asked.args.text();
            asked.json(records.get_first_list_item(&filter).options(options).into_future());
        }
        op::CREATE => {
            let body = body(&mut asked.args);
            write(asked, records.create(&body).options(options));
        }
        op::UPDATE => {
            let (id, body) = (asked.args.text(), body(&mut asked.args));
            write(asked, records.update(&id, &body).options(options));
        }
        op::DELETE => {
            let id = asked.args.text();
            asked.nothing(records.delete(&id).options(options).into_future());
        }
        _ => asked.answer(Err(unknown())),
    }
}

/// What few pages need at once: whole collections, records by ids, batches.
pub(super) fn more(op: u32, client: &Client, mut asked: Asked) {
    if op == op::BATCH {
        return batch(client, asked);
    }
    if op == op::WALK_NEXT || op == op::WALK_END {
        return next(op, asked);
    }
    let records = client.collection(&asked.args.text()).typed::<Json>();
    let options = asked.options();
    match op {
        op::GET_FULL_LIST => {
            let list = records.get_full_list().options(options);
            let list = if let Some(size) = asked.args.small() { list.batch_size(size) } else { list };
            asked.frame(Box::pin(async move { Ok(list_of(&list.await?)) }));
        }
        op::WALK => {
            let list = records.iterate().options(options);
            let list = if let Some(size) = asked.args.small() { list.batch_size(size) } else { list };
            let id = with(|executor| executor.walks.open(list.stream()));
            asked.answer(Ok(Frame::number(id)));
        }
        op::GET_MANY => {
            let many = records.get_many(asked.args.texts()).options(options);
            asked.frame(Box::pin(async move {
                let many = many.await?;
                let mut out = Frame::new();
                out.list(2).items(&many.records).list(many.missing.len());
                for id in &many.missing {
                    out.text(id);
                }
                Ok(out)
            }));
        }
        _ => asked.answer(Err(unknown())),
    }
}

fn write(mut asked: Asked, mut write: Write<Json>) {
    for part in files(asked.args.list()) {
        write = write.file(&part.field, part.source);
    }
    if asked.args.flag() {
        write = write.safe_retry();
    }
    asked.json(write.into_future());
}

fn list_of(items: &[Json]) -> Frame {
    let mut out = Frame::new();
    out.items(items);
    out
}

/// A walk that JavaScript pulls: the stream is away while it is asked.
type Walk = Rc<RefCell<Option<RecordStream<Json>>>>;

/// The walks that are open.
pub(crate) struct Walks {
    all: Vec<(u32, Walk)>,
    last: u32,
}

impl Walks {
    pub(crate) const fn new() -> Walks {
        Walks { all: Vec::new(), last: 0 }
    }

    fn open(&mut self, stream: RecordStream<Json>) -> u32 {
        self.last = self.last.wrapping_add(1);
        self.all.push((self.last, Rc::new(RefCell::new(Some(stream)))));
        self.last
    }

    fn get(&self, id: u32) -> Option<Walk> {
        self.all.iter().find(|(other, _)| *other == id).map(|(_, walk)| walk.clone())
    }

    fn close(&mut self, id: u32) -> Option<(u32, Walk)> {
        let at = self.all.iter().position(|(other, _)| *other == id)?;
        Some(self.all.swap_remove(at))
    }
}

fn next(op: u32, mut asked: Asked) {
    let id = asked.args.small().unwrap_or(0);
    if op == op::WALK_END {
        // Dropped outside: it may abort a request.
        let closed = with(|executor| executor.walks.close(id));
        drop(closed);
        return asked.answer(Ok(Frame::new()));
    }
    let Some(walk) = with(|executor| executor.walks.get(id)) else { return asked.answer(Err(unknown())) };
    asked.frame(Box::pin(async move {
        let taken = walk.borrow_mut().take();
        let Some(mut stream) = taken else { return Err(unknown()) };
        let page = stream.next_page().await;
        *walk.borrow_mut() = Some(stream);
        let page = page?;
        if page.is_empty() {
            let mut end = Frame::new();
            end.null();
            return Ok(end);
        }
        Ok(list_of(&page))
    }));
}

fn batch(client: &Client, mut asked: Asked) {
    let mut batch = client.batch();
    for request in asked.args.list() {
        add(&mut batch, Args::new(request.list()));
    }
    let chunk = asked.args.next();
    let options = asked.options();
    asked.frame(Box::pin(async move {
        let (results, error) = match chunk.int() {
            None => (batch.send().options(options).await?, None),
            Some(size) => {
                let size = (size != 0).then(|| usize::try_from(size).unwrap_or(usize::MAX));
                let sent = batch.send_chunks_with(size, options).await;
                (sent.results, sent.error)
            }
        };
        let mut out = Frame::new();
        out.list(2).list(results.len());
        for result in &results {
            out.list(2).int(result.status.into()).json(&result.body);
        }
        match &error {
            Some(error) => write_error(&mut out, error),
            None => _ = out.null(),
        }
        Ok(out)
    }));
}

fn add(batch: &mut Batch, mut request: Args) {
    let (what, collection, id) = (request.text(), request.text(), request.text());
    let (body, parts) = (body(&mut request), files(request.list()));
    let (query, headers): (Vec<(String, Value)>, _) = (pairs(request.list()), pairs(request.list()));
    let collection = batch.collection(&collection);
    let mut write = match what.as_str() {
        "create" => collection.create(&body),
        "update" => collection.update(&id, &body),
        "upsert" => collection.upsert(&body),
        _ => collection.delete(&id),
    };
    for part in parts {
        write = write.file(&part.field, part.source);
    }
    for (name, value) in query {
        write = write.query(&name, value.query());
    }
    for (name, value) in headers {
        write = write.header(&name, &header(value));
    }
}
