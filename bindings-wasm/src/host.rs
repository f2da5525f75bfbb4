//! Values of JavaScript that the core holds.

use alloc::{
    rc::Rc,
    string::{String, ToString},
    vec::Vec,
};

use picobase::{HostValue, Json};

use crate::{
    abi,
    frame::{Args, Value, read},
};

/// What can be asked about a value.
mod question {
    /// The member of that name.
    pub(super) const GET: u32 = 0;
    /// The items of an array.
    pub(super) const ITEMS: u32 = 1;
    /// Names and values of an object.
    pub(super) const MEMBERS: u32 = 2;
    /// The JSON text.
    pub(super) const TEXT: u32 = 3;
    /// What a function makes of its arguments.
    pub(super) const CALL: u32 = 4;
}

/// Keeps a value of JavaScript alive.
pub(crate) struct Handle(u32);

impl Handle {
    pub(crate) fn new(handle: u32) -> Rc<Handle> {
        Rc::new(Handle(handle))
    }

    /// What JavaScript knows it by.
    pub(crate) fn id(&self) -> u32 {
        self.0
    }

    /// Calls it as a function.
    pub(crate) fn call(&self, args: &[u8]) -> Args {
        Args::new(read(&abi::ask(question::CALL, self.0, args)))
    }

    fn ask(&self, question: u32, about: &str) -> Option<Value> {
        read(&abi::ask(question, self.0, about.as_bytes())).into_iter().next()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        abi::release(self.0);
    }
}

impl HostValue for Handle {
    fn get(&self, name: &str) -> Option<Json> {
        self.ask(question::GET, name).map(Value::json)
    }

    fn items(&self) -> Option<Vec<Json>> {
        match self.ask(question::ITEMS, "")? {
            Value::List(items) => Some(items.into_iter().map(Value::json).collect()),
            _ => None,
        }
    }

    fn members(&self) -> Vec<(String, Json)> {
        let mut all = Vec::new();
        let mut rest = Args::new(self.ask(question::MEMBERS, "").map(Value::list).unwrap_or_default());
        while let Some(name) = rest.some() {
            all.push((name, rest.next().json()));
        }
        all
    }

    fn text(&self) -> String {
        self.ask(question::TEXT, "").and_then(Value::text).unwrap_or_else(|| "null".to_string())
    }

    fn handle(&self) -> u32 {
        self.0
    }
}
