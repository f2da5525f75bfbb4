//! Bodies of writes: forms and batches.

use serde_json::{Value, json};

use super::{text, urls::query_of};
use crate::{
    client::Client,
    error::Error,
    files::{FilePart, FileSource, Form, PartHeader},
    json::Json,
    records::Batch,
    transport::Body,
    url::QueryValue,
};

fn files(given: &Value) -> Vec<FilePart> {
    let read = |file: &Value| {
        let mut source = FileSource::bytes(file["filename"].as_str().unwrap_or_default(), "x");
        if let Some(content_type) = file["content_type"].as_str() {
            source = source.content_type(content_type);
        }
        FilePart { field: text(file, "field").to_string(), source }
    };
    given.as_array().into_iter().flatten().map(read).collect()
}

/// A part as a vector writes it.
fn part(header: &PartHeader, json: Option<&Json>) -> Value {
    let text = header.text();
    let lines: Vec<&str> = text.split("\r\n").collect();
    let [disposition, content_type, ""] = lines[..] else { panic!("{text:?}") };
    let disposition = disposition.strip_prefix("Content-Disposition: ").unwrap();
    assert_eq!(content_type.strip_prefix("Content-Type: "), Some(header.content_type.as_str()));
    let mut out = json!({"name": header.name, "disposition": disposition});
    match &header.filename {
        Some(filename) => {
            out["filename"] = json!(filename);
            out["content_type"] = json!(header.content_type);
        }
        None => {
            assert_eq!(header.content_type, "application/json");
            out["json"] = json.unwrap().decode().unwrap();
        }
    }
    out
}

pub(super) fn multipart(given: &Value, wanted: &Value) -> Result<Value, Error> {
    let body = Json::encode(&given["body"])?;
    match Form::body(body, files(&given["files"]), None) {
        Body::Json(json) => Ok(json!({"json_body": json.decode::<Value>()?})),
        Body::Multipart(form) => Ok(json!({"parts": parts(&form, &wanted["parts"])})),
        other => panic!("{other:?}"),
    }
}

/// The parts of a form, each with those members that the vector has for it.
fn parts(form: &Form, wanted: &Value) -> Vec<Value> {
    let mut parts: Vec<Value> = form.part_headers().iter().map(|header| part(header, form.json())).collect();
    for (part, wanted) in parts.iter_mut().zip(wanted.as_array().into_iter().flatten()) {
        part.as_object_mut().unwrap().retain(|name, _| wanted.get(name).is_some());
    }
    parts
}

fn batch_of(given: &Value) -> Batch {
    let client = Client::builder().url("https://h").build().unwrap();
    let mut batch = client.batch();
    for request in given["requests"].as_array().unwrap() {
        let collection = batch.collection(text(request, "collection"));
        let (id, body) = (request["id"].as_str().unwrap_or_default(), &request["body"]);
        let mut write = match text(request, "op") {
            "create" => collection.create(body),
            "update" => collection.update(id, body),
            "upsert" => collection.upsert(body),
            "delete" => collection.delete(id),
            other => panic!("{other}"),
        };
        for (name, value) in query_of(&request["query"]).pairs() {
            write = write.query(name, value);
        }
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            write = write.header(name, value.as_str().unwrap());
        }
        for file in files(&request["files"]) {
            write = write.file(&file.field, file.source);
        }
    }
    batch
}

/// The payload of a batch and the names of its file parts.
fn payload(body: &Body) -> (Value, Vec<String>) {
    match body {
        Body::Json(json) => (json.decode().unwrap(), Vec::new()),
        Body::Multipart(form) => {
            let names = form.part_headers().into_iter().map(|header| header.name).skip(1).collect();
            (form.json().unwrap().decode().unwrap(), names)
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn batch(given: &Value, _: &Value) -> Result<Value, Error> {
    let batch = batch_of(given);
    let Some(limit) = given["limit"].as_u64() else {
        let (payload, parts) = payload(&batch.body()?);
        return Ok(json!({"payload": payload, "parts": parts}));
    };
    let chunks = batch.split(usize::try_from(limit).unwrap())?;
    let chunks: Vec<(Value, Vec<String>)> = chunks.into_iter().map(|chunk| payload(&chunk.body().unwrap())).collect();
    let sizes: Vec<usize> = chunks.iter().map(|(payload, _)| payload["requests"].as_array().unwrap().len()).collect();
    let parts: Vec<&Vec<String>> = chunks.iter().map(|(_, parts)| parts).filter(|parts| !parts.is_empty()).collect();
    Ok(json!({"chunks": sizes, "chunk_parts": parts}))
}

#[test]
fn a_value_that_cannot_be_written_fails_its_batch() {
    let client = Client::builder().url("https://h").build().unwrap();
    let mut batch = client.batch();
    batch.collection("posts").delete("a");
    batch.collection("posts").delete("b").query("n", QueryValue::Float(f64::NAN));
    let error = batch.body().unwrap_err();
    assert_eq!((error.kind(), error.item()), (crate::ErrorKind::Validation, Some(1)));
}
