//! What the sources of a crate make public, as far as reading them without compiling can tell.
//!
//! Modules, re-exports, types, functions and inherent methods are followed by name. Macros are not expanded, but believed:
//! a method counts where a macro, or a call of it, names both the method and its type.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use proc_macro2::{TokenStream, TokenTree};
use syn::{ImplItem, Item, UseTree, Visibility};

/// The path of a module or an item from the root of the crate.
type Path = Vec<String>;

/// How many re-exports of re-exports are followed: more than that is a circle.
const DEPTH: usize = 8;

/// The names of a crate.
#[derive(Default)]
pub(super) struct Api {
    /// Public items and modules.
    public: BTreeSet<Path>,
    /// The others.
    private: BTreeSet<Path>,
    imports: Vec<Import>,
    /// What belongs to a type: its path, then the name of a method, a constant or a variant.
    members: BTreeSet<Path>,
    /// Blocks whose type is yet to be looked up: the module, the type as it is written there, the names.
    blocks: Vec<(Path, Path, Vec<String>)>,
    /// The macros of the crate, by name.
    macros: BTreeMap<String, Words>,
    /// The calls of macros: which, and what they are given.
    calls: Vec<(String, Words)>,
    /// What each call of a macro may have made: words that may be types, and functions.
    made: Vec<(BTreeSet<String>, BTreeSet<String>)>,
}

/// The words and signs of code, without its brackets.
type Words = Vec<String>;

/// Who looks for an item.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Viewer {
    /// A user of the crate, who sees what is public.
    User,
    /// A `pub use`, which reaches public items through private modules.
    Export,
    /// Code of the crate, which sees everything.
    Crate,
}

/// `use target as name`, in a module; `name` is none for `use target::*`.
struct Import {
    module: Path,
    name: Option<String>,
    target: Path,
    public: bool,
}

impl Api {
    /// Reads a crate: the paths of its files from `src`, and their texts.
    pub(super) fn parse(files: &[(String, String)]) -> Result<Self> {
        let mut api = Self::default();
        for (path, source) in files {
            let file = syn::parse_file(source).with_context(|| format!("{path} is not Rust"))?;
            api.items(&module_of(path), file.items);
        }
        for (module, written, names) in std::mem::take(&mut api.blocks) {
            if let Some(owner) = api.resolve(&absolute(&module, &written), Viewer::Crate, DEPTH) {
                api.members.extend(names.into_iter().map(|name| join(&owner, name)));
            }
        }
        api.made = api.calls.iter().map(|(name, given)| api.expand(name, given)).collect();
        Ok(api)
    }

    /// Whether a user of the crate can write `picobase::…`.
    pub(super) fn has(&self, symbol: &str) -> bool {
        let path: Path = symbol.split("::").map(str::to_owned).collect();
        let Some((_, path)) = path.split_first().filter(|(root, path)| *root == "picobase" && !path.is_empty()) else {
            return false;
        };
        if self.resolve(path, Viewer::User, DEPTH).is_some() {
            return true;
        }
        let Some((member, owner)) = path.split_last().filter(|(_, owner)| !owner.is_empty()) else {
            return false;
        };
        let owner = self.resolve(owner, Viewer::User, DEPTH);
        owner.is_some_and(|owner| self.members.contains(&join(&owner, member.clone())) || self.made(&owner, member))
    }

    /// Whether some macro names the type and the method.
    fn made(&self, owner: &Path, member: &str) -> bool {
        let owner = owner.last().map(String::as_str).unwrap_or_default();
        self.made.iter().any(|(words, functions)| words.contains(owner) && functions.contains(member))
    }

    /// What a call of a macro may make. A macro with `pub fn $name` may make a function of every word that it is given.
    fn expand(&self, name: &str, given: &Words) -> (BTreeSet<String>, BTreeSet<String>) {
        let body = self.macros.get(name).cloned().unwrap_or_default();
        let mut made = functions(&body);
        if made.contains("$") {
            made.extend(given.iter().cloned());
        }
        made.extend(functions(given));
        (body.into_iter().chain(given.iter().cloned()).collect(), made)
    }

    /// Where the item of a path from the root is really defined, as `by` sees it.
    fn resolve(&self, path: &[String], by: Viewer, depth: usize) -> Option<Path> {
        let last = path.len().checked_sub(1)?;
        (0..).zip(path).try_fold(Path::new(), |module, (index, name)| {
            let private = by == Viewer::Crate || by == Viewer::Export && index < last;
            let here = join(&module, name.clone());
            if self.public.contains(&here) || private && self.private.contains(&here) {
                return Some(here);
            }
            let next = if private { Viewer::Crate } else { Viewer::Export };
            let imports = self.imports.iter().filter(|import| import.module == module && (private || import.public));
            imports
                .filter_map(|import| import.leads_to(name))
                .find_map(|target| self.resolve(&target, next, depth.checked_sub(1)?))
        })
    }

    fn items(&mut self, module: &Path, items: Vec<Item>) {
        for item in items {
            self.item(module, item);
        }
    }

    fn item(&mut self, module: &Path, item: Item) {
        match item {
            Item::Mod(item) => {
                let path = self.define(module, &item.vis, &item.ident);
                self.items(&path, item.content.map(|(_, items)| items).unwrap_or_default());
            }
            Item::Struct(item) => drop(self.define(module, &item.vis, &item.ident)),
            Item::Union(item) => drop(self.define(module, &item.vis, &item.ident)),
            Item::Type(item) => drop(self.define(module, &item.vis, &item.ident)),
            Item::Const(item) => drop(self.define(module, &item.vis, &item.ident)),
            Item::Static(item) => drop(self.define(module, &item.vis, &item.ident)),
            Item::Fn(item) => drop(self.define(module, &item.vis, &item.sig.ident)),
            Item::Enum(item) => {
                let path = self.define(module, &item.vis, &item.ident);
                self.members.extend(item.variants.iter().map(|variant| join(&path, variant.ident.to_string())));
            }
            Item::Trait(item) => {
                let path = self.define(module, &item.vis, &item.ident);
                for member in item.items {
                    if let syn::TraitItem::Fn(method) = member {
                        self.members.insert(join(&path, method.sig.ident.to_string()));
                    }
                }
            }
            Item::Use(item) => {
                let public = matches!(item.vis, Visibility::Public(_));
                self.import(module, public, &mut Path::new(), item.tree);
            }
            Item::Impl(item) if item.trait_.is_none() => self.block(module, item),
            Item::Macro(item) => self.macro_item(item),
            _ => {}
        }
    }

    fn define(&mut self, module: &Path, visibility: &Visibility, name: &syn::Ident) -> Path {
        let path = join(module, name.to_string());
        let set = if matches!(visibility, Visibility::Public(_)) { &mut self.public } else { &mut self.private };
        set.insert(path.clone());
        path
    }

    fn import(&mut self, module: &Path, public: bool, prefix: &mut Path, tree: UseTree) {
        let (name, target) = match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.import(module, public, prefix, *path.tree);
                prefix.pop();
                return;
            }
            UseTree::Group(group) => {
                return group.items.into_iter().for_each(|tree| self.import(module, public, prefix, tree));
            }
            UseTree::Glob(_) => (None, prefix.clone()),
            UseTree::Name(name) if name.ident == "self" => (prefix.last().cloned(), prefix.clone()),
            UseTree::Name(name) => (Some(name.ident.to_string()), join(prefix, name.ident.to_string())),
            UseTree::Rename(name) => (Some(name.rename.to_string()), join(prefix, name.ident.to_string())),
        };
        self.imports.push(Import { module: module.clone(), name, target: absolute(module, &target), public });
    }

    /// `impl Type { … }`: its public methods and constants.
    fn block(&mut self, module: &Path, block: syn::ItemImpl) {
        let syn::Type::Path(written) = *block.self_ty else {
            return;
        };
        let written: Path = written.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let mut names = Vec::new();
        for item in block.items {
            match item {
                ImplItem::Fn(method) if matches!(method.vis, Visibility::Public(_)) => {
                    names.push(method.sig.ident.to_string());
                }
                ImplItem::Const(constant) if matches!(constant.vis, Visibility::Public(_)) => {
                    names.push(constant.ident.to_string());
                }
                ImplItem::Macro(call) => self.call(&call.mac, written.last().cloned()),
                _ => {}
            }
        }
        self.blocks.push((module.clone(), written, names));
    }

    fn macro_item(&mut self, item: syn::ItemMacro) {
        match item.ident {
            Some(name) => drop(self.macros.insert(name.to_string(), words(item.mac.tokens))),
            None => self.call(&item.mac, None),
        }
    }

    /// A call, in the `impl` of a type or outside of any.
    fn call(&mut self, call: &syn::Macro, owner: Option<String>) {
        if let Some(name) = call.path.segments.last() {
            let given = words(call.tokens.clone()).into_iter().chain(owner).collect();
            self.calls.push((name.ident.to_string(), given));
        }
    }
}

impl Import {
    /// Where `name` comes from, if it may come from this import.
    fn leads_to(&self, name: &str) -> Option<Path> {
        match &self.name {
            Some(own) => (own == name).then(|| self.target.clone()),
            None => Some(join(&self.target, name.to_owned())),
        }
    }
}

/// The module of a file: `lib.rs` is the root, `auth/mod.rs` and `auth.rs` are `auth`.
fn module_of(file: &str) -> Path {
    let file = file.trim_end_matches(".rs");
    let file = file.strip_suffix("/mod").unwrap_or(file);
    if file == "lib" { Path::new() } else { file.split('/').map(str::to_owned).collect() }
}

/// A path as it is written in a module, from the root.
fn absolute(module: &Path, written: &Path) -> Path {
    let (mut path, mut rest) = (module.clone(), written.as_slice());
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "crate" => path.clear(),
            "self" => {}
            "super" => drop(path.pop()),
            _ => break,
        }
        rest = others;
    }
    path.extend(rest.iter().cloned());
    path
}

fn join(path: &Path, name: String) -> Path {
    path.iter().cloned().chain([name]).collect()
}

/// What is named after `pub fn`, `pub async fn` and `pub const fn`; `$` where a macro puts the name there.
fn functions(words: &Words) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut public = false;
    for pair in words.windows(2) {
        let [word, next] = pair else { continue };
        match word.as_str() {
            "pub" => public = true,
            "async" | "const" => {}
            "fn" if public => {
                found.insert(next.clone());
                public = false;
            }
            _ => public = false,
        }
    }
    found
}

fn words(tokens: TokenStream) -> Words {
    let mut found = Words::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => found.extend(words(group.stream())),
            other => found.push(other.to_string()),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::Api;

    fn api(files: &[(&str, &str)]) -> Api {
        let files: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Api::parse(&files).unwrap()
    }

    #[test]
    fn items_and_methods_have_to_be_public() {
        let api = api(&[(
            "lib.rs",
            "pub struct A; struct B; impl A { pub fn yes(&self) {} fn no(&self) {} pub(crate) fn inside() {} }
             impl A { pub async fn also(&self) {} } impl B { pub fn f() {} } pub fn free() {} pub enum E { V }
             impl Clone for A { fn clone(&self) -> A { A } } pub trait T { fn t(&self); }",
        )]);
        for there in ["A", "A::yes", "A::also", "free", "E::V", "T::t"] {
            assert!(api.has(&format!("picobase::{there}")), "{there}");
        }
        for absent in ["B", "B::f", "A::no", "A::inside", "A::clone", "E::W", "free::yes", "A::A", ""] {
            assert!(!api.has(&format!("picobase::{absent}")), "{absent}");
        }
        assert!(!api.has("A::yes") && !api.has("picobase") && !api.has("other::A::yes"));
    }

    #[test]
    fn re_exports_are_followed_and_private_modules_are_closed() {
        let api = api(&[
            (
                "lib.rs",
                "mod auth; pub mod files; mod deep; pub use auth::{Auth as Session, otp::*}; pub use self::deep::Deep;",
            ),
            ("auth/mod.rs", "pub mod otp; pub struct Auth; pub struct Hidden;"),
            ("auth/otp.rs", "pub struct Otp; use super::Auth; impl Auth { pub fn sign_in(&self) {} }"),
            ("files.rs", "pub struct Files; impl crate::files::Files { pub fn url(&self) {} }"),
            ("deep.rs", "mod inner { pub struct Deep; impl Deep { pub const C: u8 = 1; } } pub use inner::Deep;"),
        ]);
        for there in ["Session::sign_in", "Otp", "files::Files::url", "Deep::C"] {
            assert!(api.has(&format!("picobase::{there}")), "{there}");
        }
        for absent in ["Auth", "auth::Auth", "Hidden", "Files", "deep::Deep", "Otp::sign_in"] {
            assert!(!api.has(&format!("picobase::{absent}")), "{absent}");
        }
    }

    #[test]
    fn types_of_one_name_are_told_apart() {
        let api = api(&[
            ("lib.rs", "pub mod blocking; pub struct Client; impl Client { pub fn later(&self) {} }"),
            ("blocking.rs", "pub struct Client; impl Client { pub fn now(&self) {} }"),
        ]);
        assert!(api.has("picobase::Client::later") && api.has("picobase::blocking::Client::now"));
        assert!(!api.has("picobase::Client::now") && !api.has("picobase::blocking::Client::later"));
    }

    #[test]
    fn macros_are_believed_about_the_types_that_they_name() {
        let api = api(&[(
            "lib.rs",
            "pub struct A; pub struct B; pub struct C;
             macro_rules! fixed { ($t:ty) => { impl $t { pub fn made(&self) {} fn own(&self) {} } } } fixed!(A);
             macro_rules! named { ($n:ident) => { impl A { pub async fn $n(&self) {} } } } named!(given);
             macro_rules! inner { () => { pub fn inside(&self) {} } } impl B { inner!(); }
             macro_rules! unused { () => { impl C { pub fn never(&self) {} } } }
             macro_rules! silent { ($n:ident) => {} } silent!(nothing);",
        )]);
        for there in ["A::made", "A::given", "B::inside"] {
            assert!(api.has(&format!("picobase::{there}")), "{there}");
        }
        for absent in ["A::own", "A::nothing", "A::inside", "B::made", "B::given", "C::never", "D::made"] {
            assert!(!api.has(&format!("picobase::{absent}")), "{absent}");
        }
    }

    #[test]
    fn a_circle_of_re_exports_ends() {
        assert!(!api(&[("lib.rs", "pub use self::*; pub use crate::*;")]).has("picobase::A"));
    }
}
