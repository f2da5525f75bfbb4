//! Operations of the client itself: rows of the table, routes of one's own, files.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::future::IntoFuture;

use picobase::{Client, Error, ErrorKind, Json, files::Files, transport::Method};

use super::{Asked, body, file, op, text, unknown};
use crate::{
    clients,
    frame::{Args, Frame, Value},
};

pub(super) fn start(op: u32, client: &Client, mut asked: Asked) {
    match op {
        op::WITH_SESSION => {
            let made = clients::with_session(client, &mut asked.args);
            asked.answer(Ok(made));
        }
        op::CLOSE => {
            clients::close(asked.client_id);
            asked.answer(Ok(Frame::new()));
        }
        op::ROW => row(client, asked),
        op::SEND => send(client, asked),
        op::RPC => {
            let (name, data) = (asked.args.text(), body(&mut asked.args));
            let options = asked.options();
            asked.json(client.rpc::<Json>(&name, &data).options(options).into_future());
        }
        op::FILE_TOKEN => {
            let files: Files = client.files();
            asked.json(Box::pin(async move { Ok(text(&files.get_token().await?)) }));
        }
        _ => asked.answer(Err(unknown())),
    }
}

/// What few pages need at once.
pub(super) fn more(op: u32, client: &Client, mut asked: Asked) {
    match op {
        op::SET_URL => {
            let set = client.set_url(&asked.args.text());
            let set = if asked.args.flag() { set.keep_session() } else { set };
            asked.nothing(set.into_future());
        }
        op::DOWNLOAD => download(client, asked),
        op::BACKUP_UPLOAD => {
            let mut part = Args::new(asked.args.list());
            // Its field is always the same.
            part.next();
            let options = asked.options();
            match file(&mut part) {
                Some(source) => asked.nothing(client.backups().upload(source).options(options).into_future()),
                None => asked.answer(Err(unknown())),
            }
        }
        _ => asked.answer(Err(unknown())),
    }
}

/// A row of the endpoint table, and its path parameters.
fn row_of(args: &mut Args) -> (u8, Vec<String>) {
    (args.small().and_then(|n| u8::try_from(n).ok()).unwrap_or(0), args.texts())
}

fn row(client: &Client, mut asked: Asked) {
    let (number, params) = row_of(&mut asked.args);
    let params: Vec<&str> = params.iter().map(String::as_str).collect();
    let (body, kind, options) = (asked.args.json(), asked.args.int(), asked.options());
    if kind == Some(1) {
        let call = client.row_nothing(number, &params).options(options);
        let call = if let Some(body) = body { call.body(&body) } else { call };
        return asked.nothing(call.into_future());
    }
    let call = client.row::<Json>(number, &params).options(options);
    let call = if let Some(body) = body { call.body(&body) } else { call };
    asked.json(call.into_future());
}

fn send(client: &Client, mut asked: Asked) {
    let Some(method) = Method::named(&asked.args.text()) else {
        let mistake = Error::new(ErrorKind::Validation, "the method is none that can be sent");
        return asked.answer(Err(mistake.with_fix("Use GET, HEAD, POST, PUT, PATCH or DELETE.")));
    };
    let call = client.send::<Json>(method, &asked.args.text());
    let call = match asked.args.next() {
        Value::Null => call,
        Value::Source(source) => call.raw(source),
        value => call.body(&value.json()),
    };
    let call = if asked.args.flag() { call.safe() } else { call };
    let options = asked.options();
    asked.json(call.options(options).into_future());
}

fn download(client: &Client, mut asked: Asked) {
    let (number, params) = row_of(&mut asked.args);
    let params: Vec<&str> = params.iter().map(String::as_str).collect();
    let download = client.row_download(number, &params).options(asked.options());
    let download = if asked.args.flag() { download.protected() } else { download };
    asked.frame(Box::pin(async move {
        let response = download.response().await?;
        let size = response.headers.get("content-length").and_then(|size| size.parse::<u64>().ok());
        let mut out = Frame::new();
        out.list(4).int(response.status.into()).maybe_int(size).some(response.headers.get("content-type"));
        match response.body.handle() {
            Some(handle) => out.handle(handle),
            None => out.null(),
        };
        out.keep(response.body);
        Ok(out)
    }));
}
