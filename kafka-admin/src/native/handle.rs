//! Objects of librdkafka that are freed when they go out of scope, and what it lends read as Rust values.

use std::{
    ffi::{CStr, CString, c_char},
    ptr::NonNull,
};

use rdkafka::{bindings as rd, types::RDKafkaErrorCode};

use crate::error::Failure;

/// Owns one object of librdkafka. It holds a raw pointer and so stays on its thread.
pub(super) struct Handle<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Handle<T> {
    /// `None` for a null pointer, which is how librdkafka's constructors say no.
    ///
    /// # Safety
    /// `pointer` is null, or an object that the caller owns and `destroy` is the function to free it.
    pub(super) unsafe fn own(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, destroy })
    }

    pub(super) fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        // SAFETY: `own` was promised that this object is ours and that this function frees it; nobody copies a handle.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}

/// The pointers of many handles, as the C functions take them. They are valid as long as the handles.
pub(super) fn pointers<T>(handles: &[Handle<T>]) -> Vec<*mut T> {
    handles.iter().map(Handle::as_ptr).collect()
}

pub(super) fn c_text(text: &str) -> Result<CString, Failure> {
    CString::new(text).map_err(|_| Failure::invalid("a name or value holds a zero byte"))
}

/// A copy of what librdkafka lends; null reads as empty.
///
/// # Safety
/// `text` is null or a zero-terminated string that lives during this call.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller promises the rest.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A list that librdkafka lends.
///
/// # Safety
/// `first` is null or points to `count` pointers that live as long as the owner of the list, which outlives `'a`.
pub(super) unsafe fn list<'a, T>(first: *mut *const T, count: usize) -> &'a [*const T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: not null, and the caller promises the rest.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// `Err` unless the code says that all went well; the message is lent.
///
/// # Safety
/// `message` is null or a zero-terminated string that lives during this call.
pub(super) unsafe fn outcome(code: rd::rd_kafka_resp_err_t, message: *const c_char) -> Result<(), Failure> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        // SAFETY: the caller promises it.
        code => Err(Failure { code, message: unsafe { text(message) } }),
    }
}

/// `Err` unless there is no error in this object; it is lent.
///
/// # Safety
/// `error` is null or an error object that lives during this call.
pub(super) unsafe fn lent_error(error: *const rd::rd_kafka_error_t) -> Result<(), Failure> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and the caller promises that it lives.
    unsafe { outcome(rd::rd_kafka_error_code(error), rd::rd_kafka_error_string(error)) }
}
