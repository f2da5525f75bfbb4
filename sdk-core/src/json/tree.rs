//! JSON that is not text: values of the host, and what is composed of them.
//!
//! On the web JavaScript decodes and encodes. The core gets its objects as handles, peeks at a few members through
//! them, and passes them on. Only what is composed around them (the requests of a batch, say) is a tree here.

use alloc::{rc::Rc, string::String, vec::Vec};
use core::cell::OnceCell;

use bytes::Bytes;

use super::{Json, array_text, object_text};

/// An object or an array of the host. Strings, numbers, booleans and null come as text instead.
pub trait HostValue: 'static {
    /// The member of that name; none where there is none, or this is no object.
    fn get(&self, name: &str) -> Option<Json>;
    /// The items; none if this is no array.
    fn items(&self) -> Option<Vec<Json>>;
    /// The members in their order.
    fn members(&self) -> Vec<(String, Json)>;
    /// Its JSON text.
    fn text(&self) -> String;
    /// What the host knows it by.
    fn handle(&self) -> u32;
}

/// What a [`Json`] is made of, for whoever passes it to the host.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonView<'a> {
    /// JSON text.
    Text(&'a str),
    /// A value of the host, by its handle.
    Host(u32),
    /// Items.
    Array(&'a [Json]),
    /// Members.
    Object(&'a [(String, Json)]),
}

/// A value, shared by its clones.
#[derive(Clone)]
pub(super) struct Tree {
    node: Rc<Node>,
}

struct Node {
    kind: Kind,
    /// What is no text is written when somebody asks.
    text: OnceCell<Bytes>,
}

enum Kind {
    /// As it was given.
    Text,
    Host(Rc<dyn HostValue>),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Tree {
    fn new(kind: Kind) -> Tree {
        Tree { node: Rc::new(Node { kind, text: OnceCell::new() }) }
    }

    pub(super) fn array(items: Vec<Json>) -> Tree {
        Tree::new(Kind::Array(items))
    }

    pub(super) fn object(members: Vec<(String, Json)>) -> Tree {
        Tree::new(Kind::Object(members))
    }

    pub(super) fn of_text(text: Bytes) -> Tree {
        Tree { node: Rc::new(Node { kind: Kind::Text, text: OnceCell::from(text) }) }
    }

    /// The text that it was made of, where it was.
    pub(super) fn given_text(&self) -> Option<&Bytes> {
        match self.node.kind {
            Kind::Text => self.node.text.get(),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> &Bytes {
        self.node.text.get_or_init(|| match &self.node.kind {
            // There from the start.
            Kind::Text => Bytes::new(),
            Kind::Host(host) => Bytes::from(host.text()),
            Kind::Array(items) => array_text(items),
            Kind::Object(members) => object_text(members.iter().map(|(name, value)| (name, value))),
        })
    }

    pub(super) fn is_object(&self) -> bool {
        match &self.node.kind {
            Kind::Host(host) => host.items().is_none(),
            Kind::Array(_) | Kind::Text => false,
            Kind::Object(_) => true,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<Json> {
        match &self.node.kind {
            Kind::Host(host) => host.get(name),
            Kind::Array(_) | Kind::Text => None,
            Kind::Object(members) => members.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.clone()),
        }
    }

    pub(super) fn items(&self) -> Vec<Json> {
        match &self.node.kind {
            Kind::Host(host) => host.items().unwrap_or_default(),
            Kind::Array(items) => items.clone(),
            Kind::Object(_) | Kind::Text => Vec::new(),
        }
    }

    pub(super) fn members(&self) -> Vec<(String, Json)> {
        match &self.node.kind {
            Kind::Host(host) => host.members(),
            Kind::Array(_) | Kind::Text => Vec::new(),
            Kind::Object(members) => members.clone(),
        }
    }
}

impl Json {
    /// A value of the host.
    pub fn host(value: Rc<dyn HostValue>) -> Json {
        Json { tree: Tree::new(Kind::Host(value)) }
    }

    /// What it is made of.
    pub fn view(&self) -> JsonView<'_> {
        match &self.tree.node.kind {
            Kind::Text => JsonView::Text(self.as_text()),
            Kind::Host(host) => JsonView::Host(host.handle()),
            Kind::Array(items) => JsonView::Array(items),
            Kind::Object(members) => JsonView::Object(members),
        }
    }
}
