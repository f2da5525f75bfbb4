//! The border: what the module imports and exports, its memory, and its one global.
//!
//! Everything unsafe of this crate is here. A buffer that crosses belongs to who receives it: JavaScript writes into
//! memory that it got from `reserve`, and the module frees it.
#![allow(unsafe_code, reason = "calls across the border of the module are")]

use alloc::{
    alloc::{Layout, alloc},
    vec::Vec,
};
use core::{
    cell::UnsafeCell,
    task::{RawWaker, RawWakerVTable, Waker},
};

use crate::{executor::Executor, ops};

#[global_allocator]
static ALLOCATOR: talc::TalckWasm = {
    // SAFETY: nothing else grows the memory of this module, and it has one thread.
    unsafe { talc::TalckWasm::new_global() }
};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

#[link(wasm_import_module = "pb")]
unsafe extern "C" {
    #[link_name = "now"]
    fn js_now() -> f64;
    #[link_name = "uptime"]
    fn js_uptime() -> f64;
    #[link_name = "random"]
    fn js_random(ptr: *mut u8, len: usize);
    #[link_name = "effect"]
    fn js_effect(kind: u32, id: u32, ptr: *const u8, len: usize);
    #[link_name = "abort"]
    fn js_abort(id: u32);
    #[link_name = "tell"]
    fn js_tell(what: u32, id: u32, ptr: *const u8, len: usize);
    #[link_name = "ask"]
    fn js_ask(question: u32, handle: u32, ptr: *const u8, len: usize) -> *mut u8;
    #[link_name = "release"]
    fn js_release(handle: u32);
}

/// What is told to JavaScript: how an operation ended, an event of one, or a client's own notice.
#[derive(Clone, Copy)]
pub(crate) enum Tell {
    /// The operation answers.
    Answer = 0,
    /// The operation failed.
    Failure = 1,
    /// Something happened in the operation.
    Event = 2,
    /// A client tells on its own.
    Notice = 3,
}

/// Wall-clock time in milliseconds since the Unix epoch.
pub(crate) fn now() -> u64 {
    // SAFETY: takes and gives numbers. So the conversion saturates.
    unsafe { js_now() as u64 }
}

/// Milliseconds since some moment.
pub(crate) fn uptime() -> u64 {
    // SAFETY: as above.
    unsafe { js_uptime() as u64 }
}

/// Fills `bytes` with secure randomness.
pub(crate) fn random(bytes: &mut [u8]) {
    // SAFETY: the slice is writable and lives through the call.
    unsafe { js_random(bytes.as_mut_ptr(), bytes.len()) }
}

/// Asks JavaScript to do something; it completes the effect later.
pub(crate) fn effect(kind: u32, id: u32, frame: &[u8]) {
    // SAFETY: the slice lives through the call, and JavaScript keeps nothing of it.
    unsafe { js_effect(kind, id, frame.as_ptr(), frame.len()) }
}

/// Nobody waits for an effect any more.
pub(crate) fn abort(id: u32) {
    // SAFETY: takes a number.
    unsafe { js_abort(id) }
}

/// Tells JavaScript something.
pub(crate) fn tell(what: Tell, id: u32, frame: &[u8]) {
    // SAFETY: as for `effect`.
    unsafe { js_tell(what as u32, id, frame.as_ptr(), frame.len()) }
}

/// Asks JavaScript something about one of its values and gets a frame; an empty one where there is no answer.
pub(crate) fn ask(question: u32, handle: u32, about: &[u8]) -> Vec<u8> {
    // SAFETY: the slice lives through the call. The answer is null, or a buffer of `reserve` that begins with the
    // length of what follows.
    unsafe {
        let answer = js_ask(question, handle, about.as_ptr(), about.len());
        if answer.is_null() {
            return Vec::new();
        }
        let len = u32::from_le_bytes(answer.cast::<[u8; 4]>().read()) as usize + 4;
        let mut frame = Vec::from_raw_parts(answer, len, len);
        frame.drain(..4);
        frame
    }
}

/// A value of JavaScript is not needed any more.
pub(crate) fn release(handle: u32) {
    // SAFETY: takes a number.
    unsafe { js_release(handle) }
}

/// Memory that JavaScript writes into. It passes it back with the next call. None for nothing: nobody would free it.
#[unsafe(no_mangle)]
extern "C" fn reserve(len: usize) -> *mut u8 {
    match Layout::from_size_align(len, 1) {
        // SAFETY: the size is not zero.
        Ok(layout) if len > 0 => unsafe { alloc(layout) },
        _ => core::ptr::null_mut(),
    }
}

/// What JavaScript has written.
fn received(ptr: *mut u8, len: usize) -> Vec<u8> {
    if ptr.is_null() || len == 0 {
        return Vec::new();
    }
    // SAFETY: the buffer is one of `reserve(len)`, written, and passed once.
    unsafe { Vec::from_raw_parts(ptr, len, len) }
}

/// Starts an operation.
#[unsafe(no_mangle)]
extern "C" fn start(op: u32, id: u32, client: u32, ptr: *mut u8, len: usize) {
    ops::start(op, id, client, received(ptr, len));
    crate::executor::run();
}

/// Starts one of the operations that few pages need at once. Like those of realtime they can be a module of their own.
#[unsafe(no_mangle)]
extern "C" fn start_more(op: u32, id: u32, client: u32, ptr: *mut u8, len: usize) {
    ops::start_more(op, id, client, received(ptr, len));
    crate::executor::run();
}

/// Starts an operation of realtime. An export of its own, so that all that only realtime needs can be a module of its
/// own that is loaded with the first of them.
#[unsafe(no_mangle)]
extern "C" fn start_realtime(op: u32, id: u32, client: u32, ptr: *mut u8, len: usize) {
    ops::realtime::start(op, id, client, received(ptr, len));
    crate::executor::run();
}

/// An effect is done.
#[unsafe(no_mangle)]
extern "C" fn complete(id: u32, ptr: *mut u8, len: usize) {
    crate::executor::complete(id, received(ptr, len));
    crate::executor::run();
}

/// An upload has made progress: so many bytes were sent.
#[unsafe(no_mangle)]
extern "C" fn progress(id: u32, bytes: f64) {
    crate::executor::progress(id, bytes as u64);
}

/// Ends an operation whose caller does not wait any more.
#[unsafe(no_mangle)]
extern "C" fn cancel(id: u32) {
    crate::executor::cancel(id);
    crate::executor::run();
}

/// How many tasks and effects there are, for tests that look for leaks.
#[unsafe(no_mangle)]
extern "C" fn alive() -> u32 {
    with(|executor| executor.alive())
}

/// Runs a case of the test vectors; see `testing`.
#[cfg(feature = "test-exports")]
#[unsafe(no_mangle)]
extern "C" fn pure(ptr: *mut u8, len: usize) {
    crate::testing::pure(received(ptr, len));
}

struct Single<T>(UnsafeCell<T>);

// SAFETY: the module has one thread.
unsafe impl<T> Sync for Single<T> {}

static EXECUTOR: Single<Executor> = Single(UnsafeCell::new(Executor::new()));

/// Runs `f` with the executor's state. `f` calls nothing that could come back here: no future, no JavaScript.
pub(crate) fn with<R>(f: impl FnOnce(&mut Executor) -> R) -> R {
    // SAFETY: one thread, and `f` does not come back here (see above), so this is the only reference.
    unsafe { f(&mut *EXECUTOR.0.get()) }
}

/// A waker of the task with this number.
pub(crate) fn waker(task: u32) -> Waker {
    // SAFETY: the functions of the table treat the pointer as the number that it is.
    unsafe { Waker::from_raw(raw_waker(task as usize as *const ())) }
}

fn raw_waker(task: *const ()) -> RawWaker {
    static TABLE: RawWakerVTable = RawWakerVTable::new(raw_waker, wake, wake, |_| {});
    RawWaker::new(task, &TABLE)
}

fn wake(task: *const ()) {
    with(|executor| executor.wake(task as usize as u32));
}
